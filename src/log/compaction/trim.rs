//! Freeing the space of deleted batches in the segment in which a log starts.

use crate::error::Result;
use crate::log::compaction::sieve::FromOffset;
use crate::log::log::Log;

impl Log {
    /// Rewrites the first segment without the batches that lie wholly below the start. Waits for a rewrite that is under
    /// way.
    pub(in crate::log) fn trim(&self) -> Result<()> {
        let start = self.start();
        let starts_inside = || self.segment_list().iter().next().is_some_and(|first| first.base() < start);
        if !starts_inside() {
            return Ok(());
        }
        let _rewriting = self.rewriting.lock();
        self.check_going_on()?;
        // Another deletion may have gone further meanwhile.
        if starts_inside() { self.sift(&FromOffset(start), 1).map(drop) } else { Ok(()) }
    }
}
