//! Ending transactions for logs, which know them by what is written there.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::log::{EndsTransactions, NotEnded, RestsOn, TransactionId};
use crate::transaction::coordinator::Transactions;
use crate::types::TopicPartition;

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

    fn keep(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.keep_those(transactions)
    }

    fn await_kept(&self, transactions: &BTreeSet<TransactionId>) -> Result<RestsOn> {
        self.await_those(transactions)
    }

    fn bring_over(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.bring_over_those(transactions)
    }

    fn check_sound(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.check_those(transactions)
    }

    fn check_seen(&self, topic_id: u128, partition: u32) -> Result<()> {
        self.resting.check_sound((topic_id, partition))
    }

    fn needs_ends(&self) -> bool {
        self.are_ends_needed()
    }
}
