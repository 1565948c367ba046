//! Ending transactions that are in the way of what has to go: only the layer above can, as it knows where else they stand.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Weak;

use crate::error::{Error, Result};
use crate::locks::OnceLock;
use crate::log::DurableWait;
use crate::types::TopicPartition;

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
    /// What a power cut takes them back without.
    pub(crate) own: Vec<DurableWait>,
    /// What else they have seen, and what earlier lives have left, which may be part of that: what of it cannot be made durable keeps nobody.
    pub(crate) seen: Vec<DurableWait>,
}

/// Who can end transactions.
pub(crate) trait EndsTransactions: Send + Sync {
    /// Has the transaction that this producer has open in the partition come to its end in the log, if it can: aborts it where it is
    /// not decided. It is called under no lock of a log, perhaps under those of another transaction, and waits for no transaction.
    fn clear_away(&self, partition: &TopicPartition, producer_id: i64);

    /// Writes the ends of transactions that are decided into the logs, now and not before long. One that cannot be written is in no other's
    /// way. It is called under no lock of a log.
    fn write_decided(&self) -> Result<(), NotEnded>;

    /// Returns when these transactions, which are committed, survive a power cut; what they have seen is synced with them, where it can be. An
    /// error is that of something which they rest on themselves. It is called under no lock of a log.
    fn keep(&self, transactions: &BTreeSet<TransactionId>) -> Result<()>;

    /// What that waits for, for whoever may not.
    fn await_kept(&self, transactions: &BTreeSet<TransactionId>) -> Result<RestsOn>;

    /// An error where what these rest on is not where a sync reaches it, and cannot be brought there: somebody is about to write what must not
    /// outlive them. It is called under no lock of a log.
    fn bring_over(&self, transactions: &BTreeSet<TransactionId>) -> Result<()>;

    /// An error where one of these cannot come to survive a power cut before the store is opened again. For a moment alone.
    fn check_sound(&self, transactions: &BTreeSet<TransactionId>) -> Result<()>;

    /// The same of what stands in the partition, of a topic of that id, and of all that it has seen.
    fn check_seen(&self, topic_id: u128, partition: u32) -> Result<()>;

    /// Whether an end that stands here may be asked for however old it is: another partition, or one that cannot be opened, has yet to get
    /// the end of the same transaction. It is called under the locks of a log.
    fn needs_ends(&self) -> bool;
}

/// Who knows something of records that is to outlive them.
pub(crate) trait OutlivesRecords: Send + Sync {
    /// Records of the partition may go now: returns when what outlives them needs them no more. It is called under no lock of a log.
    fn before_removal(&self, partition: &TopicPartition) -> Result<()>;

    /// Records at the start of the partition may have gone.
    fn after_removal(&self, partition: &TopicPartition);
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

    pub(in crate::log) fn after_removal(&self, partition: &TopicPartition) {
        self.outliving.get().and_then(Weak::upgrade).iter().for_each(|who| who.after_removal(partition));
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

    pub(crate) fn keep(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.ask(transactions, |who| who.keep(transactions))
    }

    pub(crate) fn await_kept(&self, transactions: &BTreeSet<TransactionId>) -> Result<RestsOn> {
        self.ask(transactions, |who| who.await_kept(transactions))
    }

    pub(crate) fn bring_over(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.ask(transactions, |who| who.bring_over(transactions))
    }

    pub(crate) fn check_sound(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.ask(transactions, |who| who.check_sound(transactions))
    }

    pub(crate) fn check_seen(&self, topic_id: u128, partition: u32) -> Result<()> {
        let who = self.transactions.get().and_then(Weak::upgrade);
        who.map_or(Ok(()), |who| who.check_seen(topic_id, partition))
    }

    fn ask<T: Default>(
        &self,
        transactions: &BTreeSet<TransactionId>,
        what: impl FnOnce(&dyn EndsTransactions) -> Result<T>,
    ) -> Result<T> {
        if transactions.is_empty() {
            return Ok(T::default());
        }
        self.transactions.get().and_then(Weak::upgrade).map_or_else(|| Ok(T::default()), |who| what(&*who))
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
