//! Ending transactions for logs, which know them by what is written there.

use crate::error::{Error, Result};
use crate::log::{EndsTransactions, NotEnded, RestsOn};
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
        self.sync_with_what_it_rests_on(self.standing_through(partition, last)?)
    }

    fn await_through(&self, partition: &TopicPartition, last: Offset) -> Result<RestsOn> {
        let (mut seen, mut left) = (self.standing_through(partition, last)?, Round::default());
        self.resting.complete(&mut seen);
        self.resting.add_left(&mut left);
        Ok(RestsOn { waits: seen.waits()?, left: left.waits()? })
    }

    fn needs_ends(&self) -> bool {
        self.are_ends_needed()
    }
}

impl Transactions {
    /// What stands in a partition up to `last`; nothing of one that is gone.
    fn standing_through(&self, partition: &TopicPartition, last: Offset) -> Result<Round> {
        let mut seen = Round::default();
        let topic = self.topics.get(partition.topic());
        match topic.and_then(|topic| topic.partition(partition.partition())) {
            // It was deleted, with all that was put there.
            Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => {}
            found => seen.add(&found?, last),
        }
        Ok(seen)
    }
}
