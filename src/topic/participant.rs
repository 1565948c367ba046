//! Taking part in a transaction with records of a topic that the store keeps for itself.
//!
//! A layer that keeps its state as such records, as groups keep what they have committed, has it changed together with whatever else
//! a transaction holds: by records in the transaction, which it takes in once they are decided.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::locks::OnceLock;
use crate::log::TransactionId;
use crate::topic::ledger::Entry;
use crate::topic::partition::Partition;
use crate::types::{Offset, Record};

/// Why a transaction takes no effect, or nobody knows whether it does.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) cause: Error,
    /// Something of it was written, and is in the log as aborted.
    pub(crate) was_written: bool,
}

/// What a layer wants of a transaction. There is one of each type in a transaction: it gathers all that its layer wants of it.
///
/// One that is dropped and whose [`prepare`](Self::prepare) was never called was part of a transaction that was aborted.
pub(crate) trait Participant: Any + fmt::Debug + Send + Sync {
    /// The topic that it writes to. No other participant writes there, and all are prepared in the order of these names.
    fn topic(&self) -> &'static str;

    /// What is to be done where nobody knows whether it stands after all, though it was [`Applied`](Outcome::Applied): a sync for it has failed since.
    fn doubt(&self) -> Option<Box<dyn FnOnce() + Send + Sync>> {
        None
    }

    /// It takes no effect, or nobody knows whether it does, and this is what the program was told: it is dropped next.
    fn refused(&self, _why: &Refusal) {}

    /// Takes the locks under which its state stands still, checks what has to hold, and says what is to be written; `None` when
    /// it wants nothing. It is called when the transaction is committed, under no lock of a partition. An error aborts the transaction. Where it
    /// has to wait for room it is called again, after the end of what it returned before.
    ///
    /// Under these locks the oldest records of a topic may be taken out, and another transaction aborted: whoever does either needs none of them.
    ///
    /// Whoever writes to the topic outside of transactions takes the same locks first: no record of its stands between those of a
    /// transaction and the decision.
    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>>;
}

/// A participant that has its locks, until it has been told how it ends.
pub(crate) trait Prepared {
    /// What is to be written.
    fn contribution(&self) -> &Contribution;

    /// How the transaction has ended; by a panic too, then as far as that is known. The locks are given back with this. It takes no others: those of other participants may still be held, and
    /// whoever makes room takes all of them.
    fn end(self: Box<Self>, outcome: Outcome);
}

/// How a commit has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It takes effect, and readers see it.
    Applied,
    /// Nothing of it takes effect, ever. Offsets that its records were given may be those of others.
    Aborted,
    /// Whether it takes effect shows when the store is opened again. State stays as it was before, and nothing may be written that
    /// would be wrong in one of the two cases.
    Unknown,
}

/// The transaction that a participant's records are written in, once they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct WrittenIn(Arc<OnceLock<TransactionId>>);

impl WrittenIn {
    pub(crate) fn note(&self, transaction: TransactionId) {
        _ = self.0.set(transaction);
    }

    pub(crate) fn transaction(&self) -> Option<TransactionId> {
        self.0.get().copied()
    }
}

/// The records of a participant.
#[derive(Debug)]
pub(crate) struct Contribution {
    /// Where they go.
    pub(crate) partition: Partition,
    pub(crate) entries: Vec<Entry>,
    /// What they follow from: partitions, and the last offset in each. A decision counts after a power cut only where that is there too.
    pub(crate) inputs: Vec<(Partition, Offset)>,
    /// Of all that stands there up to the offset they say that it is done: at [`Durability::Disk`](crate::Durability::Disk) no transaction that has put
    /// something there is taken back any more when that is told.
    pub(crate) behind: Vec<(Partition, Offset)>,
    /// Whose state they are part of, in bytes: nothing that is written there of one follows from what is written of another.
    pub(crate) owners: Vec<Vec<u8>>,
    /// What they replace took effect with these, and what they follow from was put there by these: where a power cut takes one of them back it takes
    /// this one, too.
    pub(crate) laid_over: Vec<TransactionId>,
    /// Known when the participant is told that they have taken effect: a power cut may take them back as long as that one has no end in the log.
    pub(crate) written_in: WrittenIn,
}

impl Contribution {
    pub(crate) fn records(&self) -> Vec<Record<'_>> {
        self.entries.iter().map(Entry::record).collect()
    }
}
