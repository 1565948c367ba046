//! Ends of transactions that stand in some partitions and not in others.
//!
//! An open that finds a transaction without an end asks all its partitions: one that has the end knows that it was committed. A partition
//! forgets by age who has written, and with it that it has the end; then the open would take the decision for one that misses something, and
//! take back here what was read as committed there. Where an end cannot be written for a week, or a partition not be opened, nobody
//! forgets one.

use crate::locks::{AtomicI64, Ordering};
use crate::types::Offset;

const NONE: Offset = -1;

/// Up to which decision ends may be asked for, that one included.
#[derive(Debug)]
pub(super) struct EndsNeeded {
    through: AtomicI64,
}

impl Default for EndsNeeded {
    fn default() -> Self {
        Self { through: AtomicI64::new(NONE) }
    }
}

impl EndsNeeded {
    /// Some end of a decision that stands there, or before, is missing somewhere. [`Offset::MAX`]: for the rest of this life.
    pub(super) fn keep_through(&self, decision: Offset) {
        self.through.fetch_max(decision, Ordering::AcqRel);
    }

    /// Below `oldest` all decisions have their ends everywhere, durably; all there are if it is `None`.
    pub(super) fn forget_below(&self, oldest: Option<Offset>) {
        let through = self.through.load(Ordering::Acquire);
        if through < Offset::MAX && oldest.is_none_or(|oldest| oldest > through) {
            // Where somebody has set it meanwhile it stays.
            _ = self.through.compare_exchange(through, NONE, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    pub(super) fn are_any(&self) -> bool {
        self.through.load(Ordering::Acquire) != NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_needed_until_all_decisions_have_them() {
        let needed = EndsNeeded::default();
        assert!(!needed.are_any());
        needed.keep_through(7);
        needed.keep_through(5);
        needed.forget_below(Some(7));
        assert!(needed.are_any());
        needed.forget_below(Some(8));
        assert!(!needed.are_any());
        needed.keep_through(0);
        needed.forget_below(None);
        assert!(!needed.are_any());
        needed.keep_through(Offset::MAX);
        needed.forget_below(None);
        assert!(needed.are_any());
    }
}
