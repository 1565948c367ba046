//! Ending transactions that are in the way of what has to go: only the layer above can, as it knows where else they stand.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Weak;

use crate::error::{Error, Result};
use crate::locks::OnceLock;
use crate::log::DurableWait;
use crate::types::{Offset, TopicPartition};

/// A transaction, wherever it has records: who writes it, and in which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransactionId {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
}

/// Why some transactions that are decided have no ends yet. Whoever waits for one that is not among them has nothing to do with that.
#[derive(Debug)]
pub(crate) struct NotEnded {
    pub(crate) error: Box<Error>,
    pub(crate) left: BTreeSet<TransactionId>,
}

/// What transactions rest on, for a task to wait for.
#[derive(Debug, Default)]
pub(crate) struct RestsOn {
    pub(crate) waits: Vec<DurableWait>,
    /// What earlier lives have left, which may be part of that: what of it cannot be made durable keeps nobody.
    pub(crate) left: Vec<DurableWait>,
}

/// Who can end transactions.
pub(crate) trait EndsTransactions: Send + Sync {
    /// Has the transaction that this producer has open in the partition come to its end in the log, if it can: aborts it where it is
    /// not decided. It is called under no lock of a log, perhaps under those of another transaction, and waits for no transaction.
    fn clear_away(&self, partition: &TopicPartition, producer_id: i64);

    /// Writes the ends of transactions that are decided into the logs, now and not before long. One that cannot be written is in no other's
    /// way. It is called under no lock of a log.
    fn write_decided(&self) -> Result<(), NotEnded>;

    /// Returns when what stands in the partition up to an offset survives a power cut, and with it all that transactions which have put any of
    /// it there rest on. It is called under no lock of a log.
    fn keep_through(&self, partition: &TopicPartition, last: Offset) -> Result<()>;

    /// What that waits for, for whoever may not.
    fn await_through(&self, partition: &TopicPartition, last: Offset) -> Result<RestsOn>;

    /// Whether an end that stands here may be asked for however old it is: another partition, or one that cannot be opened, has yet to get
    /// the end of the same transaction. It is called under the locks of a log.
    fn needs_ends(&self) -> bool;
}

/// Who knows something of records that is to outlive them.
pub(crate) trait OutlivesRecords: Send + Sync {
    /// Records of the partition may go now: returns when what outlives them needs them no more. It is called under no lock of a log.
    fn before_removal(&self, partition: &TopicPartition) -> Result<()>;
}

/// Those who can, for all logs of a store; nobody at first.
#[derive(Default)]
pub(crate) struct Clearing {
    transactions: OnceLock<Weak<dyn EndsTransactions>>,
    outliving: OnceLock<Weak<dyn OutlivesRecords>>,
}

impl Clearing {
    pub(crate) fn set(&self, who: Weak<dyn EndsTransactions>) {
        drop(self.transactions.set(who));
    }

    pub(crate) fn set_outliving(&self, who: Weak<dyn OutlivesRecords>) {
        drop(self.outliving.set(who));
    }

    pub(in crate::log) fn before_removal(&self, partition: &TopicPartition) -> Result<()> {
        self.outliving.get().and_then(Weak::upgrade).map_or(Ok(()), |who| who.before_removal(partition))
    }

    pub(in crate::log) fn clear_away(&self, partition: &TopicPartition, producer_id: i64) {
        if let Some(who) = self.transactions.get().and_then(Weak::upgrade) {
            who.clear_away(partition, producer_id);
        }
    }
}

impl NotEnded {
    /// The error, for whoever rests on one of these.
    pub(crate) fn of(self, mut transactions: impl Iterator<Item = TransactionId>) -> Result<()> {
        if transactions.any(|one| self.left.contains(&one)) { Err(*self.error) } else { Ok(()) }
    }
}

impl Clearing {
    pub(crate) fn write_decided(&self) -> Result<(), NotEnded> {
        self.transactions.get().and_then(Weak::upgrade).map_or(Ok(()), |who| who.write_decided())
    }

    pub(in crate::log) fn keep_through(&self, partition: &TopicPartition, last: Offset) -> Result<()> {
        let who = self.transactions.get().and_then(Weak::upgrade);
        who.map_or(Ok(()), |who| who.keep_through(partition, last))
    }

    pub(in crate::log) fn await_through(&self, partition: &TopicPartition, last: Offset) -> Result<RestsOn> {
        let who = self.transactions.get().and_then(Weak::upgrade);
        who.map_or_else(|| Ok(RestsOn::default()), |who| who.await_through(partition, last))
    }

    pub(in crate::log) fn needs_ends(&self) -> bool {
        self.transactions.get().and_then(Weak::upgrade).is_some_and(|who| who.needs_ends())
    }
}

impl fmt::Debug for Clearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clearing")
    }
}
