//! Ending transactions for logs, which know them by what is written there.

use crate::error::{Error, Result};
use crate::log::{EndsTransactions, NotEnded};
use crate::transaction::coordinator::Transactions;
use crate::transaction::round::Round;
use crate::types::{Offset, TopicPartition};

impl EndsTransactions for Transactions {
    fn clear_away(&self, partition: &TopicPartition, producer_id: i64) {
        let Some(this) = self.this.upgrade() else { return };
        let names: Vec<_> = this.names.lock().values().cloned().collect();
        for named in names {
            // Whoever writes under it right now may be the one who asks.
            let Some(mut state) = named.state.try_lock() else { continue };
            let displaced = state.displace(producer_id, (&named.name, partition));
            drop(state);
            if let Some(open) = displaced {
                this.give_up(&named, open);
                return;
            }
        }
        // It is decided, perhaps, and its marker waits for others. What fails is tried again.
        drop(this.finish());
    }

    fn write_decided(&self) -> Result<(), NotEnded> {
        self.this.upgrade().map_or(Ok(()), |this| this.finish())
    }

    fn keep_through(&self, partition: &TopicPartition, last: Offset) -> Result<()> {
        let found =
            self.topics.get(partition.topic()).and_then(|topic| topic.partition(partition.partition()));
        let partition = match found {
            // It was deleted, with all that was put there.
            Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => return Ok(()),
            found => found?,
        };
        let mut seen = Round::default();
        seen.add(&partition, last);
        self.sync_with_what_it_rests_on(seen)
    }

    fn needs_ends(&self) -> bool {
        self.are_ends_needed()
    }
}
