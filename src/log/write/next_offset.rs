//! Up to where offsets were given out, also for who does not wait for those who give them.

use std::sync::Arc;

use crate::locks::{AtomicI64, Ordering};
use crate::types::Offset;

/// Who has the accumulator alone has it, and sets it; what it shows is the same from outside, be the accumulator held over a roll that
/// waits for the disk.
#[derive(Debug)]
pub(in crate::log) struct NextOffset {
    at: Offset,
    shown: GivenOut,
}

/// What a [`NextOffset`] shows.
#[derive(Debug, Clone)]
pub(in crate::log) struct GivenOut(Arc<AtomicI64>);

impl NextOffset {
    pub(in crate::log) fn new(at: Offset) -> Self {
        Self { at, shown: GivenOut(Arc::new(AtomicI64::new(at))) }
    }

    #[inline]
    pub(in crate::log) fn get(&self) -> Offset {
        self.at
    }

    #[inline]
    pub(super) fn set(&mut self, at: Offset) {
        self.at = at;
        self.shown.0.store(at, Ordering::Release);
    }

    pub(in crate::log) fn shown(&self) -> GivenOut {
        self.shown.clone()
    }
}

impl GivenOut {
    #[inline]
    pub(in crate::log) fn get(&self) -> Offset {
        self.0.load(Ordering::Acquire)
    }
}
