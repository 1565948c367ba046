//! Having what transactions have put here survive a power cut before somebody is told so who rests on it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::error::{Error, Result};
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
        let committed = ranges.iter().flat_map(|range| self.committed_between(*range.start(), *range.end()));
        self.settle_those(&committed.collect())
    }

    /// The same for transactions that were found here.
    pub(crate) fn settle_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.clearing.keep(transactions)
    }

    /// Transactions that are committed, have no end in the log, and have put something here at one of these offsets; perhaps one that has
    /// records before it and behind.
    pub(crate) fn committed_at(&self, offsets: &[Offset]) -> BTreeSet<TransactionId> {
        let producers = self.producers.lock();
        offsets.iter().flat_map(|offset| producers.committed_in(*offset, *offset)).map(|(_, id)| id).collect()
    }

    /// The same of those that had something here at an offset from one to before another, also where that was taken out since: whoever has read it
    /// follows from it.
    pub(crate) fn committed_in(&self, from: Offset, before: Offset) -> BTreeSet<TransactionId> {
        if from >= before {
            return BTreeSet::new();
        }
        self.producers.lock().committed_in(from, before - 1).map(|(_, id)| id).collect()
    }

    /// The same of those that have something here up to an offset.
    pub(crate) fn committed_through(&self, last: Offset) -> BTreeSet<TransactionId> {
        self.committed_between(0, last)
    }

    /// The same of those that have something here from one offset to another. What was taken out already is no concern of whoever asks.
    fn committed_between(&self, from: Offset, last: Offset) -> BTreeSet<TransactionId> {
        let from = from.max(self.start());
        if last < from {
            return BTreeSet::new();
        }
        self.producers.lock().committed_in(from, last).map(|(_, id)| id).collect()
    }

    /// Where the first transaction begins that has something here below `before`, is committed, and cannot survive a power cut any more; and why not.
    pub(crate) fn first_unsound(&self, before: Offset) -> Option<(Offset, Error)> {
        let start = self.start();
        if before <= start {
            return None;
        }
        let committed: Vec<_> = self.producers.lock().committed_in(start, before - 1).collect();
        let check = |ids: BTreeSet<TransactionId>| self.clearing.check_sound(&ids);
        // Nearly always all are.
        check(committed.iter().map(|(_, id)| *id).collect()).err()?;
        committed.into_iter().find_map(|(first, id)| Some((first, check(BTreeSet::from([id])).err()?)))
    }
}
