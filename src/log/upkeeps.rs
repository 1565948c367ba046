//! What maintenance has done for a log, for those who remember that it failed.

use crate::locks::{AtomicU64, Ordering};

/// A part of maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upkeep {
    Retention,
    Compaction,
}

/// How often each succeeded since the log was opened, whoever asked for it, also where there was nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Upkeeps {
    retention: AtomicU64,
    compaction: AtomicU64,
}

impl Upkeeps {
    pub(crate) fn note_success(&self, of: Upkeep) {
        self.counter(of).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn successes(&self, of: Upkeep) -> u64 {
        self.counter(of).load(Ordering::Relaxed)
    }

    fn counter(&self, of: Upkeep) -> &AtomicU64 {
        match of {
            Upkeep::Retention => &self.retention,
            Upkeep::Compaction => &self.compaction,
        }
    }
}
