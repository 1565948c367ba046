//! The end of one segment and the beginning of the next.

use std::sync::Arc;

use crate::error::Result;
use crate::figures::Event;
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::retain::retention::millis;
use crate::log::table::edit::Edit;
use crate::log::write::accumulator::Take;
use crate::log::write::append_times::AppendTimes;
use crate::log::write::writer::Open;
use crate::segment::ActiveSegment;
use crate::types::{Offset, Timestamp};

impl Log {
    /// Seals the active segment and begins a new one, unless the active one is empty. True when it did.
    pub(crate) fn roll(self: &Arc<Self>) -> Result<bool> {
        self.check_process()?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Take::All);
        let open = self.opened(&mut writer)?;
        if open.active.bytes() == 0 {
            return Ok(false);
        }
        self.roll_to(open, open.active.next_offset()).map(|()| true)
    }

    /// The same when the first record of the active segment was appended longer ago than a segment may live, by the log's
    /// clock: so that retention and compaction reach it although nobody appends. A log that was opened and not appended
    /// to is judged by what its last life noted, and not touched before it is due.
    pub(crate) fn roll_if_idle(self: &Arc<Self>, now: Timestamp) -> Result<bool> {
        if self.agenda.is_held() {
            return Ok(false);
        }
        let appended = self.writer.lock().phase.appended(now).ok_or_else(|| self.closed())?;
        let max_age = millis(self.config().segment_age);
        if appended.first < 0 || now.saturating_sub(appended.first) <= max_age {
            return Ok(false);
        }
        self.roll()
    }

    /// Seals the active segment, which is then synced and listed in the state file, and begins one at `base`.
    pub(in crate::log) fn roll_to(&self, open: &mut Open, base: Offset) -> Result<()> {
        let sealed = self.sealed(open)?;
        let config = self.config();
        let mode = self.options.read_mode;
        let names = self.directory.names()?;
        // What it knows is true whatever becomes of the roll.
        let now = self.clock.now();
        let producers_at = self.note_producers_at(base, now)?;
        let next = ActiveSegment::create(&self.directory, base, config.segment, mode)?;
        // A crash must not leave the table that counts on the new names without them.
        names.sync().map_err(|error| self.poison_with(error))?;
        let list = self.segment_list().with(Arc::clone(next.segment()));
        let edit = Edit::of(&open.state).seal(sealed, base).producers_at(producers_at).list(list);
        if let Err(error) = self.edit(&mut open.state, edit) {
            if self.poison.get().is_none() {
                // An empty segment left there, or coming back, would cut off what the old one may still take.
                let removed = next.remove(&self.directory).and_then(|()| names.sync());
                removed.map_err(|error| self.poison_with(error))?;
            }
            return Err(error);
        }
        self.note_sealed_keys(open.active.segment(), &sealed);
        std::mem::replace(&mut open.active, next).retire();
        self.remove_old_snapshots(open.state.state().producers_at);
        open.appended = AppendTimes::NONE;
        // Of one that was not begun this is no look: it is tried again at once.
        self.clock_at_roll.store(now, Ordering::Release);
        self.raise_durable(base);
        self.figures.rolls.add(1);
        let event = || Event::Rolled { partition: self.topic_partition.clone(), base_offset: base };
        self.figures.events.note(event);
        Ok(())
    }
}

/// Whether a segment has become too old to take one more batch.
pub(in crate::log) struct Due {
    /// In milliseconds.
    pub(in crate::log) max_age: Timestamp,
    pub(in crate::log) now: Timestamp,
    /// The largest timestamp of the batch.
    pub(in crate::log) timestamp: Timestamp,
}

/// A segment ends for the time of its records only once it has this part of the bytes that it may have.
const LEAST_PART: u32 = 8;

impl Due {
    /// Age is measured by the log's clock, from the first append on. By the time of the records, as Kafka measures it, it
    /// counts only where the segment has grown so far that ending it leaves no splinter: years of history that are appended
    /// in an hour would become a segment for each `segment.ms` of them.
    #[inline]
    pub(in crate::log) fn is_over(&self, open: &Open) -> bool {
        self.is_longer(open.appended.first, self.now)
            || self.timestamp >= 0
                && open.active.has_part(LEAST_PART)
                && open.active.first_timestamp().is_some_and(|first| self.is_longer(first, self.timestamp))
    }

    #[inline]
    fn is_longer(&self, from: Timestamp, to: Timestamp) -> bool {
        from >= 0 && to.saturating_sub(from) > self.max_age
    }
}
