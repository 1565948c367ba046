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

/// A rewrite had no room.
#[derive(Debug)]
pub(super) struct Lack {
    pub(super) error: Error,
    /// What was to be free; `None` where the file system has refused although there seemed to be as much, or cannot say.
    pub(super) needed: Option<u64>,
    /// Something was written, in vain.
    pub(super) was_written: bool,
}

impl Lack {
    /// Of something that was begun: there had seemed to be room.
    pub(super) fn in_vain(error: Error) -> Self {
        Self { error, needed: None, was_written: true }
    }

    /// Both, told as one: the first error, and what the first of them needs that has room again.
    pub(super) fn both(first: Option<Self>, second: Self) -> Self {
        let Some(first) = first else { return second };
        let needed = match (first.needed, second.needed) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        Self { needed, was_written: first.was_written || second.was_written, ..first }
    }
}

/// What stays free beside a rewrite of so many bytes.
pub(super) fn left_free_beside(bytes: u64) -> u64 {
    (bytes / PART_LEFT_FREE).min(MOST_LEFT_FREE)
}

/// What a compaction had no room for, and what there was then.
#[derive(Debug, Default)]
pub(in crate::log) struct Wanting(Mutex<Option<Wanted>>);

#[derive(Debug)]
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

    /// What the compaction that ends had no room for.
    pub(super) fn note_wanting(&self, lack: Option<&Lack>) {
        *self.wanting.0.lock() = lack.map(|lack| Wanted {
            needed: lack.needed,
            removals: self.figures.removals.get(),
            settings: self.config(),
        });
    }

    /// Whether the last compaction failed for want of room, and things are others now: as much is free, or, where that is not known,
    /// something was removed since; or the log has other settings.
    pub(crate) fn may_have_room(&self) -> bool {
        let wanting = self.wanting.0.lock();
        let Some(wanted) = &*wanting else { return false };
        let was_removed = || self.figures.removals.get() > wanted.removals;
        let has_room = || match wanted.needed {
            Some(needed) => self.directory.check_space(needed).is_ok(),
            None => was_removed(),
        };
        !Arc::ptr_eq(&wanted.settings, &self.config()) || has_room()
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
        let lack = |needed| Lack { error: Error::invalid("room"), needed, was_written: false };
        let both = |one, other| Lack::both(Some(lack(one)), lack(other)).needed;
        assert_eq!([both(Some(7), Some(5)), both(None, Some(5)), both(Some(5), None)], [Some(5); 3]);
        assert_eq!(both(None, None), None);
        assert!(Lack::both(Some(Lack::in_vain(Error::invalid("room"))), lack(Some(5))).was_written);
    }
}
