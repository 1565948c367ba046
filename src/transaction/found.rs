//! Markers of earlier lives: a power cut may take those that no sync has reached, and then their decisions are needed once more.

use std::sync::Arc;

use crate::transaction::coordinator::Transactions;
use crate::transaction::round::Round;
use crate::types::Offset;

/// What was found when the store was opened and may be in the page cache alone.
#[derive(Debug, Default)]
pub(super) struct FoundUnsynced {
    left: Round,
    /// So many segments the decisions had when all of it was to be brought onto the disk.
    tried_at: usize,
}

impl FoundUnsynced {
    pub(super) fn beside(left: Round) -> Self {
        Self { left, tried_at: 1 }
    }

    /// Any decision may be the one of a marker among it: none is compacted away before all of it is durable.
    pub(super) fn keeps_from(&mut self) -> Option<Offset> {
        self.left.forget_durable();
        (self.left.len() > 0).then_some(0)
    }

    /// What is to be brought onto the disk, now that the decisions have so many segments. Where it cannot be it is tried with the next one.
    fn due(&mut self, segments: usize) -> Option<Round> {
        if segments <= self.tried_at || self.keeps_from().is_none() {
            return None;
        }
        self.tried_at = segments;
        Some(self.left.clone())
    }
}

impl Transactions {
    /// Brings onto the disk what an earlier life has left where no sync reaches it, once the decisions that are kept for it grow: a partition that is
    /// not appended to would keep them for as long as the store is open.
    pub(super) fn bring_found_over(self: &Arc<Self>) {
        let segments = self.decisions.segments();
        let due = self.outstanding.lock().found.due(segments);
        if let Some(left) = due {
            // One that fails keeps none of the others from it, and partitions tell of their own failures.
            drop(left.sync());
            self.release_decisions();
        }
    }
}
