//! The end of a partition's write side.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::SegmentSummary;
use crate::log::log::Log;
use crate::log::open::recovery::LastClose;
use crate::log::table::edit::Edit;
use crate::log::write::accumulator::Take;
use crate::log::write::writer::{Open, Phase, Writer};
use crate::segment::WriteFailure;

impl Log {
    /// Whether a close changes a file.
    pub(crate) fn has_to_write_at_close(&self) -> bool {
        match &self.writer.lock().phase {
            Phase::Open(_) => true,
            Phase::Untouched(found) => {
                matches!(found.last_close, LastClose::Unclean(_)) || !self.accumulator.lock().is_empty()
            }
            Phase::Followed(_) | Phase::Closed => false,
        }
    }

    /// Writes and syncs everything, cuts what was allocated ahead and notes that the close was clean. Later appends fail.
    /// When it returns no rewrite and no removal of files is under way.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        let _rewriting = self.end_rewrites();
        let _removing = self.removing.lock();
        let mut writer = self.writer.lock();
        // From here on nothing is accepted: what was is in the batches that are written now, or by whoever has the writer
        // before.
        let closed = self.closed();
        self.accumulator.lock().refuse(closed);
        self.watchers.raise();
        self.write_with(&mut writer, Take::All);
        // As a flush does; and before what else fails, for a loss is told now or never.
        let poisoned = if self.retired.get().is_some() { Ok(()) } else { self.check_poison() };
        poisoned.and(self.tell_lost()).and(self.close_written(&mut writer))
    }

    /// The same of what is written.
    fn close_written(self: &Arc<Self>, writer: &mut Writer) -> Result<()> {
        if let Phase::Untouched(found) = &writer.phase
            && matches!(found.last_close, LastClose::Unclean(_))
        {
            // Set right now, the next life need not scan it again.
            self.settle(writer)?;
        }
        let Phase::Open(mut open) = std::mem::replace(&mut writer.phase, Phase::Closed) else {
            // A first append that failed for good has left it closed, and must not pass for one that was.
            return if self.retired.get().is_some() { Ok(()) } else { self.check_poison() };
        };
        self.check_poison()?;
        let closed = self.sealed(&mut open)?;
        let noted = self.note_closed(&mut open, closed);
        if noted.is_ok() {
            self.remove_old_snapshots(open.state.state().producers_at);
            self.write_keys_at_close(open.active.segment(), &closed);
        }
        open.active.retire();
        if self.poison.get().is_none() {
            // It was synced, whether that could be noted or not.
            self.raise_durable(closed.next_offset);
        }
        noted
    }

    /// Notes that the close was clean. On a full disk index files go for it, which the next life makes again: those of the last segment
    /// first. Where there is no room all the same the next life looks at what this one has written.
    fn note_closed(&self, open: &mut Open, closed: SegmentSummary) -> Result<()> {
        let note = |log: &Self, open: &mut Open| {
            let producers_at = log.note_producers_at_close(open.state.state().producers_at, &closed)?;
            let edit = Edit::of(&open.state).close(closed).producers_at(producers_at);
            log.edit(&mut open.state, edit)
        };
        match note(self, open) {
            Err(error) if error.is_disk_full() && self.poison.get().is_none() => {
                self.remove_indexes_of(&[closed]);
                self.with_room_of_indexes(open, Open::table, note)
            }
            noted => noted,
        }
    }

    /// Seals the active segment and says what it holds.
    pub(in crate::log) fn sealed(&self, open: &mut Open) -> Result<SegmentSummary> {
        match open.active.seal() {
            Ok(sealed) => Ok(open.appended.on(sealed)),
            Err(WriteFailure::Undone(error)) => Err(error),
            Err(WriteFailure::Stuck(error)) => Err(self.poison_with(error)),
        }
    }

    /// The write side, ready to be appended to.
    #[inline]
    pub(in crate::log) fn opened<'a>(&self, writer: &'a mut Writer) -> Result<&'a mut Open> {
        self.check_poison()?;
        self.settle(writer)?;
        match &mut writer.phase {
            Phase::Open(open) => Ok(open),
            Phase::Untouched(_) | Phase::Followed(_) | Phase::Closed => Err(self.closed()),
        }
    }

    pub(in crate::log) fn closed(&self) -> Error {
        self.check_poison()
            .err()
            .unwrap_or_else(|| Error::StoreClosed { path: self.directory.path().to_path_buf() })
    }
}
