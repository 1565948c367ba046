//! Room on the disk for what is rewritten, and what one remembers who had none.
//!
//! A rewrite needs room for what stays beside the old segments. Where the file system says what is free, nothing is written that would not
//! fit, and something stays free for those who send and commit: they come first. Where it does not say, a try ends at the first write that
//! is refused, and gives back what it has taken.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::locks::Mutex;
use crate::log::config::LogConfig;
use crate::log::log::Log;

/// Stays free beside a rewrite, of what it reads such a part, and so many bytes at most.
const PART_LEFT_FREE: u64 = 8;
const MOST_LEFT_FREE: u64 = 1 << 20;
/// Where not even so many bytes are free, index files go for what is written.
const LITTLE: u64 = 64 * 1024;

/// Disks give room by so many bytes, mostly.
const BLOCK: u64 = 4096;

/// A rewrite had no room.
#[derive(Debug)]
pub(super) struct Lack {
    pub(super) error: Error,
    /// What was to be free; `None` where the file system has refused although there seemed to be as much, or cannot say.
    pub(super) needed: Option<u64>,
    pub(super) reached: Reached,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// It was looked at, and is as if nobody had.
    Look,
    /// Nothing was to be written but a table, which was refused.
    Table,
    /// Something was written, in vain.
    Written,
}

impl Lack {
    /// Of something that was begun: there had seemed to be room.
    pub(super) fn in_vain(error: Error) -> Self {
        Self { error, needed: None, reached: Reached::Written }
    }

    /// Both, told as one: the first error, and what the first of them needs that has room again.
    pub(super) fn both(first: Option<Self>, second: Self) -> Self {
        let Some(first) = first else { return second };
        let needed = match (first.needed, second.needed) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        Self { needed, reached: first.reached.max(second.reached), ..first }
    }
}

/// What stays free beside a rewrite of so many bytes.
pub(super) fn left_free_beside(bytes: u64) -> u64 {
    (bytes / PART_LEFT_FREE).min(MOST_LEFT_FREE)
}

/// What a file of so many bytes takes.
fn in_blocks(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK).unwrap_or(bytes)
}

/// What a compaction, or the freeing of what a deletion has left, had no room for, and what there was then.
#[derive(Debug, Default)]
pub(in crate::log) struct Wanting(Mutex<Option<Wanted>>);

#[derive(Debug, Clone)]
struct Wanted {
    needed: Option<u64>,
    /// How often files of the store had been taken off the disk.
    removals: u64,
    /// Those of the log.
    settings: Arc<LogConfig>,
}

impl Log {
    /// True when it is known that so many bytes do not fit.
    pub(super) fn is_scarce(&self, bytes: u64) -> Result<bool> {
        match self.directory.check_space(bytes) {
            Err(error) if error.is_disk_full() => Ok(true),
            checked => checked.map(|()| false),
        }
    }

    /// An error where so many bytes do not fit, also without index files, which can be made again.
    pub(super) fn make_room(&self, bytes: u64) -> Result<()> {
        if self.is_scarce(bytes)? && self.is_scarce(bytes.min(LITTLE))? {
            self.give_up_indexes();
        }
        self.directory.check_space(bytes)
    }

    /// What there is to wait for where a new state file was refused, or what goes with one, and `beside` it was to be written. The error itself where
    /// it was refused for something else than room.
    pub(super) fn lack_of_table(&self, error: Error, beside: u64) -> Result<Lack> {
        if !error.is_disk_full() || self.poison.get().is_some() {
            return Err(error);
        }
        let table = self.writer.lock().phase.state().map_or(0, |state| state.encode().len() as u64);
        let needed = in_blocks(table).saturating_add(in_blocks(beside));
        // It is free, and was refused all the same, or the file system does not say.
        let is_scarce = self.is_scarce(needed).unwrap_or_default();
        let reached = if beside > 0 { Reached::Written } else { Reached::Table };
        Ok(Lack { error, needed: is_scarce.then_some(needed), reached })
    }

    /// What the compaction that ends had no room for.
    pub(super) fn note_wanting(&self, lack: Option<&Lack>) {
        self.wanting.note(self, lack);
    }

    /// Whether the last compaction failed for want of room, and things are others now: as much is free, or, where that is not known,
    /// something was removed since; or the log has other settings.
    pub(crate) fn may_have_room(&self) -> bool {
        self.wanting.is_over(self).unwrap_or_default()
    }

    /// Whether what a deletion has left in the first segment was not freed for want of room, and things are as they were.
    pub(crate) fn has_no_room_to_free(&self) -> bool {
        self.untrimmed.is_over(self) == Some(false)
    }
}

impl Wanting {
    pub(super) fn note(&self, log: &Log, lack: Option<&Lack>) {
        let wanted = lack.map(|lack| Wanted {
            needed: lack.needed,
            removals: log.figures.removals.get(),
            settings: log.config(),
        });
        *self.0.lock() = wanted;
    }

    /// Whether things are others than they were when there was no room. `None` where there was.
    fn is_over(&self, log: &Log) -> Option<bool> {
        // Taken out: the file system is asked under no lock.
        let wanted = self.0.lock().clone()?;
        let was_removed = || log.figures.removals.get() > wanted.removals;
        let has_room = || match wanted.needed {
            Some(needed) => log.directory.check_space(needed).is_ok(),
            None => was_removed(),
        };
        Some(!Arc::ptr_eq(&wanted.settings, &log.config()) || has_room())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_what_is_read_stays_free_and_a_mebibyte_at_most() {
        let left: Vec<_> = [0, 7, 800, 1 << 20, 8 << 20, 1 << 30].map(left_free_beside).into();
        assert_eq!(left, [0, 0, 100, 1 << 17, 1 << 20, 1 << 20]);
    }

    #[test]
    fn of_several_that_lack_room_the_least_is_waited_for() {
        let lack = |needed| Lack { error: Error::invalid("room"), needed, reached: Reached::Look };
        let both = |one, other| Lack::both(Some(lack(one)), lack(other)).needed;
        assert_eq!([both(Some(7), Some(5)), both(None, Some(5)), both(Some(5), None)], [Some(5); 3]);
        assert_eq!(both(None, None), None);
        let written = Lack::both(Some(Lack::in_vain(Error::invalid("room"))), lack(Some(5)));
        assert_eq!(written.reached, Reached::Written);
    }
}
