//! Ends of transactions that stand in some partitions and not in others.
//!
//! An open that finds a transaction without an end asks all its partitions: one that has the end knows that it was committed. A partition
//! forgets by age who has written, and with it that it has the end; then the open would take the decision for one that misses something, and
//! take back here what was read as committed there. Where an end cannot be written for a week, or not be synced, or a partition not be
//! opened, nobody forgets one.

use crate::locks::{AtomicI64, Ordering};
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Outstanding;
use crate::types::{Offset, Timestamp};

const NONE: Offset = -1;
/// An end that was written and is not durable after so long may never be: a day, which is less than the week after which others are
/// forgotten.
const FOR_LONG_MS: Timestamp = 24 * 3600 * 1000;

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

impl Outstanding {
    /// Whether some partition may lack an end, after a power cut, that stands in another: those that were written after `long_ago` do not count.
    fn lacks_ends(&self, long_ago: Timestamp) -> bool {
        let is_half_ended = self.ended.iter().any(|one| one.decision.is_some() && !one.markers.is_empty());
        is_half_ended || self.settling.waits_since(long_ago)
    }
}

impl Transactions {
    /// Called under the locks of a log.
    pub(super) fn are_ends_needed(&self) -> bool {
        let long_ago = self.now().saturating_sub(FOR_LONG_MS);
        // Who has it busy may wait for that log. The next look will do.
        let lacks_ends = || self.outstanding.try_lock().is_none_or(|one| one.lacks_ends(long_ago));
        self.ends_needed.are_any() || lacks_ends()
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
