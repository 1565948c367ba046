//! The key index of a partition: who writes it, and how much of it is in memory.
//!
//! In memory are the terms of the active segment, of the one that was sealed last until its file is written, and of one
//! more whose file cannot be: of three segments at most.

use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::format::{KeyStamp, SegmentSummary};
use crate::io::Deadline;
use crate::locks::{Mutex, OnceLock};
use crate::log::log::Log;
use crate::segment::{Segment, key_stamp};
use crate::upkeep::{Chore, Reason};

/// A segment with fewer records is walked again faster than its file is written.
const WORTH_A_FILE: u64 = 4096;

/// What a log keeps of its key index, apart from the segments' own.
#[derive(Debug, Default)]
pub(in crate::log) struct KeyUpkeep {
    chore: OnceLock<Arc<KeyChore>>,
    /// Sealed, and its file is not written.
    sealed: Mutex<Option<(Arc<Segment>, KeyStamp)>>,
    /// The same of one that has to be gone through for it, which takes as long as it is large.
    owed: Mutex<Option<(Arc<Segment>, KeyStamp)>>,
    /// Made again in memory, because its file cannot be written.
    made_again: Mutex<Option<Arc<Segment>>>,
}

/// Writes the file of the segment that was sealed last.
#[derive(Debug)]
struct KeyChore(Weak<Log>);

impl Chore for KeyChore {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        // The index is a hint: that it could not be written is nobody's failure.
        if let Some(log) = self.0.upgrade() {
            log.write_key_index();
        }
        Ok(())
    }
}

impl Log {
    /// An error where nobody puts down what records are found by.
    #[inline]
    pub(crate) fn check_key_index(&self) -> Result<()> {
        self.check_process()?;
        if self.config.read().key_index { Ok(()) } else { Err(self.no_key_index()) }
    }

    #[cold]
    fn no_key_index(&self) -> Error {
        let topic = self.topic_partition.topic();
        let why = format!(
            "topic {topic:?} keeps no key index: create it with TopicConfig::key_index(true), or set it with Store::alter_topic"
        );
        Error::config("annals.key.index", "false", why)
    }

    /// Has files written from here on, if the settings ask for it.
    pub(in crate::log) fn keep_keys(self: &Arc<Self>) {
        if self.config.read().key_index {
            self.keys.chore.get_or_init(|| Arc::new(KeyChore(Arc::downgrade(self))));
        }
    }

    /// A segment was sealed: its file is written by and by, without keeping anybody waiting.
    pub(in crate::log) fn note_sealed_keys(&self, segment: &Arc<Segment>, summary: &SegmentSummary) {
        segment.keys().seal(key_stamp(summary));
        let Some(chore) = self.keys.chore.get().filter(|_| self.config.read().key_index) else {
            // From before the index was switched off.
            return segment.forget_keys(Some(key_stamp(summary)));
        };
        let before = self.keys.sealed.lock().replace((Arc::clone(segment), key_stamp(summary)));
        if let Some((segment, stamp)) = before {
            // Whoever writes is behind: it is made again when somebody asks.
            segment.forget_keys(Some(stamp));
        }
        self.agenda.add_timer(chore, Deadline::after(std::time::Duration::ZERO));
    }

    fn write_key_index(&self) {
        let waiting = self.keys.sealed.lock().clone();
        let Some((segment, stamp)) = waiting else { return };
        if !segment.knows_keys(&stamp) || self.check_going_on().is_err() {
            // Lingers and syncs wait for this thread, and files may be held for long: a round does it.
            segment.forget_keys(Some(stamp));
            *self.keys.owed.lock() = Some((Arc::clone(&segment), stamp));
        } else if segment.write_keys(stamp, self.options.max_expanded_bytes).is_err() {
            segment.forget_keys(Some(stamp));
        }
        let mut sealed = self.keys.sealed.lock();
        if sealed.as_ref().is_some_and(|(other, _)| Arc::ptr_eq(other, &segment)) {
            *sealed = None;
        }
    }

    /// Writes the file that takes long, of a segment that was begun in an earlier life.
    pub(crate) fn write_keys_owed(&self) {
        if self.check_going_on().is_err() {
            return;
        }
        let owed = self.keys.owed.lock().take();
        let Some((segment, stamp)) = owed else { return };
        // The index is a hint: it is made again when somebody asks.
        drop(segment.write_keys(stamp, self.options.max_expanded_bytes));
    }

    /// Writes the file of a segment that nobody appends to any more, where that is worth it.
    pub(in crate::log) fn write_keys_at_close(&self, segment: &Arc<Segment>, summary: &SegmentSummary) {
        let is_worth_it = summary.record_count >= WORTH_A_FILE && segment.keys().in_memory() > 0;
        if self.config.read().key_index && is_worth_it {
            drop(segment.write_keys(key_stamp(summary), self.options.max_expanded_bytes));
        }
    }

    /// Makes the file of a segment that took the place of others.
    pub(in crate::log) fn make_keys(&self, segment: &Arc<Segment>, summary: &SegmentSummary) {
        if self.config.read().key_index {
            drop(segment.write_keys(key_stamp(summary), self.options.max_expanded_bytes));
        }
    }

    /// After a look at a segment: where it has terms in memory that no file will hold, another one gives up its own.
    pub(in crate::log) fn bound_keys(&self, segment: &Arc<Segment>, is_sealed: bool) {
        if !is_sealed || segment.keys().in_memory() == 0 {
            return;
        }
        let is_written_soon =
            self.keys.sealed.lock().as_ref().is_some_and(|(sealed, _)| Arc::ptr_eq(sealed, segment));
        if is_written_soon {
            return;
        }
        let before = self.keys.made_again.lock().replace(Arc::clone(segment));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, segment)) {
            before.forget_keys(before.keys().stamp());
        }
    }
}
