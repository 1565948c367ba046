//! Transactions: records in any topics and committed offsets take effect together or not at all.
//!
//! [`transaction`] is what a program holds, [`pieces`] what it has gathered, [`condition`] what has to hold, [`shares`] appends it, [`room`] is waited for, [`asked`] are its participants, [`coordinator`] has all of them, [`deciding`] makes one of them a commit, [`undertaken`] is one in the middle of that, [`finish`] sees to it that what
//! was decided is in the log everywhere, [`settling`] keeps it until that is durable, [`found`] those of earlier lives, [`ends_needed`] has partitions remember ends as long as others lack them, [`decisions`] are the records that say so, [`round`] syncs what a decision rests on, [`resting`] knows what commits have seen that is not synced yet, [`own_rounds`] what each of them rests on itself,
//! [`giving_up`] is what becomes of one that takes no effect, [`refused`] tells why, [`aborting`] ends one from outside, [`stats`] lists those that are open, [`seen`] for whoever only reads, [`recovery`] finds out after an open what was decided before.

mod aborting;
mod asked;
mod builder;
mod clearing;
mod committed;
mod committing;
mod condition;
mod coordinator;
mod deciding;
mod decisions;
mod ends_needed;
mod finish;
mod found;
mod giving_up;
mod ids;
mod in_hand;
mod named_producer;
mod names;
mod own_rounds;
mod pieces;
mod recovery;
mod refused;
mod resting;
mod room;
mod round;
mod seen;
mod settling;
mod shares;
mod stats;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod transaction;
mod undertaken;

pub use aborting::AbortOutcome;
pub use builder::TransactionBuilder;
pub use committed::{Committed, CommittedBatch};
pub use committing::Committing;
pub(crate) use condition::{Condition, Held};
pub(crate) use coordinator::Transactions;
pub use named_producer::{NamedAppend, NamedProducer};
pub(crate) use recovery::{LeftJudge, judge_in_memory};
pub(crate) use seen::seen_transactions;
pub use seen::{ReaderTransactionState, ReaderTransactionStats};
pub use stats::TransactionStats;
pub use transaction::Transaction;
