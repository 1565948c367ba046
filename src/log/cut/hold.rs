//! Holding the files of a log: none is removed, renamed or rewritten, whatever leaves the table meanwhile.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SegmentSummary;
use crate::io::in_drop;
use crate::locks::Ordering;
use crate::log::log::Log;

/// While it lives, every file of the log's table keeps its name and its bytes, and so does each that comes into it. The segment
/// that grows goes on growing. Never dropped by who has a lock of the log.
#[derive(Debug)]
pub(in crate::log) struct Hold(Arc<Log>);

impl Hold {
    pub(in crate::log) fn log(&self) -> &Arc<Log> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.0.process.is_current() {
            return;
        }
        let mut held_back = self.0.held_back.lock();
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            held_back.clear();
        }
        drop(held_back);
        // What left the log meanwhile.
        in_drop(|| _ = self.0.remove_obsolete_or_owe());
    }
}

impl Log {
    /// Holds its files. Whoever has the writer's lock while this is called, and reads the table under it, finds all of that
    /// table's files until the hold is dropped.
    pub(in crate::log) fn hold(self: &Arc<Self>) -> Hold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold(Arc::clone(self))
    }

    /// Notes segments that have left the table, if their files are held.
    pub(in crate::log) fn hold_back(&self, left: Vec<SegmentSummary>) {
        let mut held_back = self.held_back.lock();
        if self.holds.load(Ordering::Acquire) > 0 {
            held_back.extend(left);
        }
    }

    /// Whether files have to stay where they are.
    pub(in crate::log) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0 || self.agenda.is_held()
    }

    /// An error when files have to stay where they are: for what promises that some are gone when it returns.
    pub(in crate::log) fn check_not_held(&self) -> Result<()> {
        if self.is_held() {
            return Err(Error::Held { partition: Some(self.topic_partition.clone()) });
        }
        Ok(())
    }

    /// An error while maintenance is held: for what does a part of it because somebody asks.
    pub(crate) fn check_maintained(&self) -> Result<()> {
        if self.agenda.is_held() {
            return Err(Error::Held { partition: Some(self.topic_partition.clone()) });
        }
        Ok(())
    }

    /// Returns when whoever was changing the table or removing files, when it was called, is done.
    pub(crate) fn await_changes_of_files(&self) {
        drop(self.removing.lock());
        drop(self.writer.lock());
    }
}
