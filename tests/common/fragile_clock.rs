//! A clock that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use annals::Timestamp;
use annals::io::{Clock, SystemClock};
use annals_testing::PLANTED;

/// Shows the time so often, then panics once, or from there on.
#[derive(Debug)]
pub(crate) struct FragileClock {
    /// Below zero after the panic.
    pub(crate) left: AtomicI64,
    /// It panics at each later call as well.
    pub(crate) stays: AtomicBool,
}

impl FragileClock {
    /// One that does not panic before `left` is set.
    pub(crate) fn sound() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::MAX), stays: AtomicBool::new(false) })
    }
}

impl Clock for FragileClock {
    fn now(&self) -> Timestamp {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        assert!(left != 0 && (left > 0 || !self.stays.load(Ordering::SeqCst)), "{PLANTED}");
        SystemClock.now()
    }
}
