//! Up to where offsets were given out, also for who does not wait for those who give them.

use std::sync::Arc;

use crate::locks::{AtomicI64, Ordering};
use crate::types::Offset;

/// Set under the accumulator; a copy shows the same from outside, be that held over a roll that waits for the disk.
#[derive(Debug, Clone)]
pub(in crate::log) struct NextOffset(Arc<AtomicI64>);

impl NextOffset {
    pub(in crate::log) fn new(at: Offset) -> Self {
        Self(Arc::new(AtomicI64::new(at)))
    }

    #[inline]
    pub(in crate::log) fn get(&self) -> Offset {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn set(&self, at: Offset) {
        self.0.store(at, Ordering::Release);
    }
}
