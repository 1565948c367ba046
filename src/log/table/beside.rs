//! Looking at the segments of a log beside those who change the list.

use crate::error::Result;
use crate::log::log::Log;
use crate::log::segment_list::SegmentList;

impl Log {
    /// Looks at the segments, and once more where some of them left the log meanwhile: their files may be gone.
    pub(in crate::log) fn over_segments<T>(&self, look: impl Fn(&SegmentList) -> Result<T>) -> Result<T> {
        loop {
            let list = self.segment_list();
            match look(&list) {
                Err(_) if list.has_lost(&self.segment_list()) => self.check_open()?,
                Err(error) => return self.check_open().and(Err(error)),
                found => return found,
            }
        }
    }
}
