//! The offsets that bound a log, and the order that they keep.

use crate::locks::{AtomicI64, Ordering};
use crate::types::Offset;

/// `start <= durable <= end` at all times. Whoever moves one of them holds the writer's lock, but for `durable`, which a
/// sync moves without a lock: forwards only, and never beyond what was written when it began.
///
/// `stable` lies at or below `end`: where no transaction is open it is the same.
#[derive(Debug)]
pub(super) struct Offsets {
    /// First offset that may be read.
    start: AtomicI64,
    /// Everything below survives a power cut.
    durable: AtomicI64,
    /// Next offset among records handed to the operating system.
    end: AtomicI64,
    /// Everything below belongs to no transaction, or to one whose end is decided. The writer alone moves it, forwards.
    stable: AtomicI64,
}

impl Offsets {
    pub(super) fn new(start: Offset, durable: Offset, end: Offset, stable: Offset) -> Self {
        let [start, durable, end, stable] = [start, durable, end, stable].map(AtomicI64::new);
        let offsets = Self { start, durable, end, stable };
        offsets.check();
        offsets
    }

    #[inline]
    pub(super) fn start(&self) -> Offset {
        self.start.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn durable(&self) -> Offset {
        self.durable.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn end(&self) -> Offset {
        self.end.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn stable(&self) -> Offset {
        self.stable.load(Ordering::Acquire)
    }

    /// What another process shows: start, durable, end and stable. One thread at a time. Where that process was replaced by
    /// another, each may go back. A transaction below the start that has no end yet keeps nobody waiting.
    pub(super) fn follow(&self, (start, durable, end, stable): (Offset, Offset, Offset, Offset)) {
        self.start.store(start, Ordering::Release);
        self.end.store(end, Ordering::Release);
        self.durable.store(durable, Ordering::Release);
        self.stable.store(stable.max(start), Ordering::Release);
    }

    /// What lies below `stable` is decided.
    #[inline]
    pub(super) fn move_stable(&self, stable: Offset) {
        debug_assert!(stable <= self.end(), "stable {stable} beyond the end {}", self.end());
        self.stable.store(stable, Ordering::Release);
    }

    /// What lies below `start` was taken out. A lesser one than is known changes nothing.
    pub(super) fn move_start(&self, start: Offset) {
        self.start.fetch_max(start, Ordering::AcqRel);
        self.check();
    }

    /// What lies below `durable` was synced. A lesser one than is known changes nothing.
    pub(super) fn move_durable(&self, durable: Offset) {
        self.durable.fetch_max(durable, Ordering::AcqRel);
        self.check();
    }

    /// What lies below `end` was written.
    #[inline]
    pub(super) fn move_end(&self, end: Offset) {
        debug_assert!(end >= self.end(), "the end went back from {} to {end}", self.end());
        self.end.store(end, Ordering::Release);
        self.check();
    }

    /// Looked at from the least to the greatest: none of them goes back, so one that moves meanwhile only helps.
    #[inline]
    fn check(&self) {
        if cfg!(debug_assertions) {
            let start = self.start();
            let durable = self.durable();
            let end = self.end();
            debug_assert!(start <= durable && durable <= end, "start {start}, durable {durable}, end {end}");
        }
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn each_moves_by_its_own_setter_and_none_goes_back() {
        let offsets = Offsets::new(2, 3, 5, 5);
        offsets.move_end(9);
        offsets.move_durable(7);
        offsets.move_durable(4);
        offsets.move_start(6);
        assert_eq!((offsets.start(), offsets.durable(), offsets.end()), (6, 7, 9));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn an_order_that_does_not_hold_is_noticed() {
        type Wrong = fn(&Offsets);
        let wrong: [Wrong; 3] = [
            |offsets| offsets.move_start(4),
            |offsets| offsets.move_durable(6),
            |offsets| offsets.move_end(4),
        ];
        for wrong in wrong {
            let outcome = std::panic::catch_unwind(|| wrong(&Offsets::new(2, 3, 5, 5)));
            assert!(outcome.is_err());
        }
    }
}
