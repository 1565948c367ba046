//! Having what transactions have put here survive a power cut before somebody is told so who rests on it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::error::Result;
use crate::log::log::Log;
use crate::log::producers::clearing::{RestsOn, TransactionId};
use crate::types::Offset;

impl Log {
    /// Has transactions that have put here any of what stands up to `last`, and are committed, survive a power cut: none is taken back, to be made
    /// once more. Those that have their ends here do.
    pub(crate) fn settle_through(&self, last: Offset) -> Result<()> {
        self.check_process()?;
        self.settle_those(&self.committed_through(last))
    }

    /// What that waits for, for a task.
    pub(crate) fn await_settled(&self, last: Offset) -> Result<RestsOn> {
        self.check_process()?;
        self.clearing.await_kept(&self.committed_through(last))
    }

    /// Has those survive a power cut that have put something here at these offsets. What becomes of others is nothing to whoever asks.
    pub(crate) fn settle_at(&self, offsets: &[Offset]) -> Result<()> {
        self.check_process()?;
        self.settle_those(&self.committed_at(offsets))
    }

    /// The same at the offsets of these ranges.
    pub(crate) fn settle_in(&self, ranges: &[RangeInclusive<Offset>]) -> Result<()> {
        self.check_process()?;
        let committed: BTreeSet<_> = {
            let producers = self.producers.lock();
            ranges.iter().flat_map(|range| producers.committed_in(*range.start(), *range.end())).collect()
        };
        self.settle_those(&committed)
    }

    /// The same for transactions that were found here.
    pub(crate) fn settle_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.clearing.keep(transactions)
    }

    /// Transactions that are committed, have no end in the log, and have put something here at one of these offsets; perhaps one that has
    /// records before it and behind.
    pub(crate) fn committed_at(&self, offsets: &[Offset]) -> BTreeSet<TransactionId> {
        let producers = self.producers.lock();
        offsets.iter().flat_map(|offset| producers.committed_in(*offset, *offset)).collect()
    }

    /// The same at offsets from one to before another.
    pub(crate) fn committed_between(&self, from: Offset, before: Offset) -> BTreeSet<TransactionId> {
        if from >= before {
            return BTreeSet::new();
        }
        self.producers.lock().committed_in(from, before - 1).collect()
    }

    /// The same of those that have put something here up to an offset.
    pub(crate) fn committed_through(&self, last: Offset) -> BTreeSet<TransactionId> {
        self.producers.lock().committed_through(last).collect()
    }
}
