//! Having what transactions have put here survive a power cut before somebody is told so who rests on it.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::log::log::Log;
use crate::log::producers::clearing::{RestsOn, TransactionId};
use crate::types::Offset;

impl Log {
    /// Has transactions that have put here any of what stands up to `last`, and are decided, survive a power cut: none is taken back, to be made
    /// once more. Where all of them have their ends here they do.
    pub(crate) fn settle_through(&self, last: Offset) -> Result<()> {
        if self.finished() > last {
            return Ok(());
        }
        let kept = self.clearing.keep_through(&self.topic_partition, last);
        if kept.is_ok() {
            return Ok(());
        }
        // That is for all they have seen. Those whose own parts are durable get their ends whatever becomes of the others.
        drop(self.write_decided());
        if self.finished() > last { Ok(()) } else { kept }
    }

    /// What that waits for, for a task; nothing where all of them have their ends here.
    pub(crate) fn await_settled(&self, last: Offset) -> Result<RestsOn> {
        if self.finished() > last {
            return Ok(RestsOn::default());
        }
        self.clearing.await_through(&self.topic_partition, last)
    }

    /// Has those survive a power cut that have put something here at these offsets. What becomes of others is nothing to whoever asks.
    pub(crate) fn settle_at(&self, offsets: &[Offset]) -> Result<()> {
        let Some(last) = offsets.iter().copied().max().filter(|last| self.finished() <= *last) else {
            return Ok(());
        };
        self.settle_those(&self.committed_at(offsets), last)
    }

    /// The same for transactions that were found here up to `last`.
    pub(crate) fn settle_those(&self, transactions: &BTreeSet<TransactionId>, last: Offset) -> Result<()> {
        if transactions.is_empty() {
            return Ok(());
        }
        let kept = self.clearing.keep_through(&self.topic_partition, last);
        if kept.is_ok() {
            return Ok(());
        }
        // As above.
        drop(self.write_decided());
        if transactions.iter().any(|one| self.lacks_end(*one)) { kept } else { Ok(()) }
    }

    /// Transactions that are committed, have no end in the log, and have put something here at one of these offsets; perhaps one that has
    /// records before it and behind.
    pub(crate) fn committed_at(&self, offsets: &[Offset]) -> BTreeSet<TransactionId> {
        let producers = self.producers.lock();
        offsets.iter().flat_map(|offset| producers.committed_at(*offset)).collect()
    }
}
