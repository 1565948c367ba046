//! What maintenance has done for a log, for those who remember that it failed.

use crate::locks::{AtomicBool, AtomicU64, Ordering};

/// A part of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upkeep {
    Retention,
    /// Taking what deletions have left off the disk.
    Freeing,
    Compaction,
}

/// How often each succeeded since the log was opened, whoever asked for it, also where there was nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Upkeeps {
    retention: AtomicU64,
    freeing: AtomicU64,
    compaction: AtomicU64,
    /// Nothing that was deleted is left on the disk, as far as is known: what a life before has left is not, at first.
    is_freed: AtomicBool,
}

impl Upkeeps {
    pub(crate) fn note_success(&self, of: Upkeep) {
        self.counter(of).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn successes(&self, of: Upkeep) -> u64 {
        self.counter(of).load(Ordering::Relaxed)
    }

    pub(super) fn is_freed(&self) -> bool {
        self.is_freed.load(Ordering::Acquire)
    }

    pub(super) fn note_freed(&self, is_freed: bool) {
        self.is_freed.store(is_freed, Ordering::Release);
    }

    fn counter(&self, of: Upkeep) -> &AtomicU64 {
        match of {
            Upkeep::Retention => &self.retention,
            Upkeep::Freeing => &self.freeing,
            Upkeep::Compaction => &self.compaction,
        }
    }
}
