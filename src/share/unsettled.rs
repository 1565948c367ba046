//! Transactions that have changed a state and may have no end in the log.
//!
//! A snapshot says what they do, and may be durable before they are: there is none before they have their ends. What they have done is not taken
//! out of a topic before that either. Those of other states are in nobody's way.

use crate::log::{Log, TransactionId};
use crate::share::slot::SlotInner;
use crate::share::state_log::StateLog;

/// The transactions, in the order of their decisions.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Vec<TransactionId>);

impl Unsettled {
    pub(super) fn add(&mut self, transaction: TransactionId) {
        if self.0.last() != Some(&transaction) {
            self.0.push(transaction);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = TransactionId> {
        self.0.iter().copied()
    }

    /// Forgets the last ones, as long as they have their ends: so no more are kept than wait for theirs, and one that never gets it.
    fn forget_ended(&mut self, log: &Log) {
        while self.0.pop_if(|last| !log.lacks_end(*last)).is_some() {}
    }
}

impl StateLog {
    /// Whether a power cut takes back nothing that a snapshot would say, and the rest not.
    pub(super) fn is_settled(&self, inner: &mut SlotInner) -> bool {
        if inner.accounts.is_frozen {
            return false;
        }
        if inner.unsettled.0.is_empty() {
            return true;
        }
        let Ok(partition) = self.partition() else { return false };
        inner.unsettled.forget_ended(partition.log());
        inner.unsettled.0.is_empty()
    }

    /// The same, after seeing to it where that can be done.
    pub(super) fn settle(&self, inner: &mut SlotInner) -> bool {
        if self.is_settled(inner) || inner.accounts.is_frozen {
            return !inner.accounts.is_frozen;
        }
        // What fails here is tried again at the next change.
        drop(self.topics.write_decided());
        self.is_settled(inner)
    }

    /// A transaction has changed a state, and is decided.
    pub(super) fn note_decided(&self, inner: &mut SlotInner, transaction: Option<TransactionId>) {
        if let Ok(partition) = self.partition() {
            inner.unsettled.forget_ended(partition.log());
        }
        transaction.into_iter().for_each(|one| inner.unsettled.add(one));
    }
}
