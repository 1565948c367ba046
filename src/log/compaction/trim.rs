//! Freeing the space of deleted records, in whole segments and in the one in which a log starts.

use crate::error::{Error, Result};
use crate::log::compaction::sieve::FromOffset;
use crate::log::log::Log;
use crate::log::upkeeps::Upkeep;
use crate::log::write::writer::Phase;
use crate::types::Offset;

impl Log {
    /// Removes the files of segments that have left the log, and those of rewrites that failed, and rewrites the first one without the batches that lie wholly below the
    /// start. Waits for a rewrite that is under way.
    ///
    /// # Errors
    /// Some of it is left on the disk, and owed: see [`free_what_is_owed`](Self::free_what_is_owed).
    pub(in crate::log) fn free_deleted(&self) -> Result<()> {
        // First: the rewrite needs room. A failure shows at the end.
        drop(self.remove_obsolete());
        let _rewriting = self.rewriting.lock();
        // Under the lock: who fails later than this says so later.
        let (start, times) = (self.start(), self.upkeeps.times_left());
        let trimmed = self.trim(start);
        // Each of them, whatever became of the one before.
        let removed = self.remove_obsolete();
        let freed = trimmed.and(removed).and(self.remove_left_by_rewrites()).and(self.check_not_held());
        if freed.is_err() {
            self.upkeeps.note_left();
        } else if self.start() == start {
            self.upkeeps.note_freed(times);
            self.upkeeps.note_success(Upkeep::Freeing);
        }
        freed
    }

    /// The same, where a deletion could not, or a life before. A log of which nothing is owed is looked at once, and not touched.
    pub(crate) fn free_what_is_owed(&self) -> Result<()> {
        if self.upkeeps.is_freed() {
            return Ok(());
        }
        let times = self.upkeeps.times_left();
        if self.has_obsolete() || self.upkeeps.has_unfinished() || self.starts_with_deleted()? {
            return self.free_deleted();
        }
        self.upkeeps.note_freed(times);
        self.upkeeps.note_success(Upkeep::Freeing);
        Ok(())
    }

    /// The same, but nothing is written anew: there was no room for it. Whether nothing is left.
    pub(crate) fn free_without_rewriting(&self) -> Result<bool> {
        if self.upkeeps.is_freed() || !self.starts_with_deleted()? {
            return self.free_what_is_owed().map(|()| true);
        }
        let removed = self.remove_obsolete();
        let _rewriting = self.rewriting.lock();
        removed.and(self.remove_left_by_rewrites()).map(|()| false)
    }

    /// What rewrites could not remove that did not come to their end.
    pub(super) fn remove_left_by_rewrites(&self) -> Result<()> {
        if !self.upkeeps.has_unfinished() {
            return Ok(());
        }
        self.check_going_on()?;
        self.remove_unfinished()
    }

    fn trim(&self, start: Offset) -> Result<()> {
        if self.segment_list().iter().next().is_none_or(|first| first.base() >= start) {
            self.untrimmed.note(self, None);
            return Ok(());
        }
        self.check_going_on()?;
        let lack = match self.sift(&FromOffset(start), 1) {
            Ok(sifted) => sifted.lack,
            Err(error) => Some(self.lack_of_table(error, 0)?),
        };
        self.untrimmed.note(self, lack.as_ref());
        lack.map_or(Ok(()), |lack| Err(lack.error))
    }

    pub(in crate::log) fn has_obsolete(&self) -> bool {
        match &self.writer.lock().phase {
            Phase::Open(open) => !open.state.state().obsolete.is_empty(),
            Phase::Untouched(found) => !found.state.state().obsolete.is_empty(),
            Phase::Followed(_) | Phase::Closed => false,
        }
    }

    /// Whether the first batch lies wholly below the start.
    fn starts_with_deleted(&self) -> Result<bool> {
        self.over_segments(|list| {
            let start = self.start();
            let Some(first) = list.iter().next().filter(|first| first.base() < start) else {
                return Ok(false);
            };
            match first.walk().and_then(|mut cursor| cursor.peek()) {
                Ok(first) => Ok(first.is_some_and(|first| first.next_offset() <= start)),
                // For a repair.
                Err(Error::Corrupt { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }
}
