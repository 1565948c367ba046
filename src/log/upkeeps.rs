//! What maintenance has done for a log, for those who remember that it failed.

use crate::locks::{AtomicBool, AtomicU64, Ordering};

/// A part of maintenance. They are done in this order, and none waits for another to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upkeep {
    /// Idle rolls are a part of it.
    Retention,
    /// Taking what deletions have left off the disk.
    Freeing,
    Compaction,
}

impl Upkeep {
    pub(crate) const ALL: [Self; 3] = [Self::Retention, Self::Freeing, Self::Compaction];
}

/// How often each succeeded since the log was opened, whoever asked for it, also where there was nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Upkeeps {
    retention: AtomicU64,
    freeing: AtomicU64,
    compaction: AtomicU64,
    /// How often something that was deleted stayed on the disk. What a life before has left is one such time: at first nobody knows.
    left: AtomicU64,
    /// So many of these times are over.
    freed: AtomicU64,
    /// A rewrite has left a file that is part of nothing.
    has_unfinished: AtomicBool,
}

impl Upkeeps {
    pub(crate) fn note_success(&self, of: Upkeep) {
        self.counter(of).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn successes(&self, of: Upkeep) -> u64 {
        self.counter(of).load(Ordering::Relaxed)
    }

    /// Whether nothing that was deleted is left on the disk.
    pub(super) fn is_freed(&self) -> bool {
        self.freed.load(Ordering::Acquire) > self.left.load(Ordering::Acquire)
    }

    /// Something was left.
    pub(super) fn note_left(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// A file that is part of nothing could not be removed.
    pub(super) fn note_unfinished(&self) {
        self.has_unfinished.store(true, Ordering::Release);
        self.note_left();
    }

    /// There is none any more.
    pub(super) fn note_finished(&self) {
        self.has_unfinished.store(false, Ordering::Release);
    }

    /// Whether there is one.
    pub(super) fn has_unfinished(&self) -> bool {
        self.has_unfinished.load(Ordering::Acquire)
    }

    /// What is left from here on is another time than those that a look now can end.
    pub(super) fn times_left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }

    /// A look that began when so many times were known found nothing left, or took it away.
    pub(super) fn note_freed(&self, times: u64) {
        self.freed.fetch_max(times.saturating_add(1), Ordering::AcqRel);
    }

    fn counter(&self, of: Upkeep) -> &AtomicU64 {
        match of {
            Upkeep::Retention => &self.retention,
            Upkeep::Freeing => &self.freeing,
            Upkeep::Compaction => &self.compaction,
        }
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_while_somebody_looks_is_not_taken_for_freed() {
        let upkeeps = Upkeeps::default();
        assert!(!upkeeps.is_freed(), "what a life before has left is not known");
        let looking = upkeeps.times_left();
        upkeeps.note_left();
        upkeeps.note_freed(looking);
        assert!(!upkeeps.is_freed());
        upkeeps.note_freed(upkeeps.times_left());
        assert!(upkeeps.is_freed());
        upkeeps.note_left();
        assert!(!upkeeps.is_freed());
    }
}
