//! A clock that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use annals::Timestamp;
use annals::io::{Clock, SystemClock};
use annals_testing::PLANTED;

/// Shows the time so often, then panics once.
#[derive(Debug)]
pub(crate) struct FragileClock {
    /// Below zero after the panic.
    pub(crate) left: AtomicI64,
}

impl FragileClock {
    /// One that does not panic before `left` is set.
    pub(crate) fn sound() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::MAX) })
    }
}

impl Clock for FragileClock {
    fn now(&self) -> Timestamp {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) != 0, "{PLANTED}");
        SystemClock.now()
    }
}
