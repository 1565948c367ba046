//! What a layer above needs of records before they may go.

use std::sync::Arc;

use crate::error::Result;
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::types::Offset;

impl Log {
    /// Has what the layers above know of records that may go, and that is to outlive them, need them no more. Called under no lock.
    pub(crate) fn before_removal(self: &Arc<Self>) -> Result<()> {
        self.clearing.before_removal(&self.topic_partition)
    }

    /// Keeps retention, compaction and appends that make room from what stands from `offset` on, and from what is kept already, until
    /// [`need_only_from`](Self::need_only_from).
    pub(crate) fn need_from(&self, offset: Offset) {
        self.needed_from.fetch_min(offset, Ordering::AcqRel);
    }

    /// What stands below `offset` is not needed any more.
    pub(crate) fn need_only_from(&self, offset: Offset) {
        self.needed_from.store(offset, Ordering::Release);
    }

    /// Everything below may go, as far as the layers above are concerned; the largest offset there is where they need nothing.
    pub(in crate::log) fn needed_from(&self) -> Offset {
        self.needed_from.load(Ordering::Acquire)
    }
}
