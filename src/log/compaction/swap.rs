//! Putting a rewritten segment in the place of those it was made of.
//!
//! | a crash | finds |
//! |---|---|
//! | before the state file is replaced | the old segments, and a `.cleaned` file that nothing lists: it is removed |
//! | after that | the new table; it says that the file may still be called `.cleaned`, and is read under that name |
//! | after the rename | the new table and the new file; old files are listed as obsolete and are removed |
//! | after the state file is replaced again | nothing to do |

use std::sync::Arc;

use crate::error::Result;
use crate::format::{PartitionState, SegmentFile, SegmentSummary, cleaned_log_name, segment_file_name};
use crate::log::compaction::rewrite::Source;
use crate::log::log::Log;
use crate::log::table::state_file::{ReplaceFailure, StateFile};
use crate::log::write::writer::Writer;
use crate::segment::{FinishedSegment, Segment};
use crate::types::{Offset, Timestamp};

/// What became of a rewritten segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swap {
    Done,
    /// Some of the old segments had left the log meanwhile; the new one was thrown away.
    Overtaken,
}

impl Log {
    /// Puts `new` in the place of `group`, durably. Appends wait for this, and for nothing else of a rewrite.
    pub(super) fn swap(&self, group: &[Source], new: Option<FinishedSegment>) -> Result<Swap> {
        // The new name must not be lost when the table that lists it is not.
        let synced = if new.is_some() { self.directory.sync() } else { Ok(()) };
        let mut writer = self.writer.lock();
        let swapped = synced.and_then(|()| self.swap_table(&mut writer, group, new.as_ref()));
        if !matches!(swapped, Ok(Swap::Done)) {
            if let Some(new) = new.filter(|_| self.poison.get().is_none()) {
                // What cannot be removed now is removed by the next rewrite, or after the next open.
                drop(self.remove_cleaned(&[new.summary.base]));
            }
            return swapped;
        }
        let renamed = self.swap_files(&mut writer, group, new.as_ref());
        drop(writer);
        // While the new name is not synced the old files stay: the next rewrite removes them, or the next open.
        renamed?;
        self.remove_obsolete();
        Ok(Swap::Done)
    }

    /// True when one of the segments is no longer part of the log.
    pub(super) fn has_left(&self, group: &[Source]) -> bool {
        let list = self.segment_list();
        group.iter().any(|source| !list.iter().any(|segment| Arc::ptr_eq(segment, &source.segment)))
    }

    /// The commit: before it the old segments are the log, after it the new one is.
    fn swap_table(
        &self,
        writer: &mut Writer,
        group: &[Source],
        new: Option<&FinishedSegment>,
    ) -> Result<Swap> {
        let open = self.opened(writer)?;
        let mut state = open.state.state().clone();
        let Some(at) = position_of(&state, group) else { return Ok(Swap::Overtaken) };
        state.sealed.splice(at..at + group.len(), new.map(|new| new.summary));
        let gone = group.iter().map(|source| source.summary.base);
        state.obsolete.extend(gone.filter(|base| new.is_none_or(|new| new.summary.base != *base)));
        state.pending.extend(new.map(|new| new.summary.base));
        self.replace_state(&mut open.state, state)?;
        Ok(Swap::Done)
    }

    /// What follows from the new table. Nobody knows what a failure in the middle leaves to those who hold names.
    fn swap_files(&self, writer: &mut Writer, group: &[Source], new: Option<&FinishedSegment>) -> Result<()> {
        let open = self.opened(writer)?;
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        if let Some(new) = new {
            let base = new.summary.base;
            let log = segment_file_name(base, SegmentFile::Log);
            let renamed = self.directory.rename(&cleaned_log_name(base), &log);
            renamed.and_then(|()| self.directory.sync()).map_err(|error| self.poison_with(error))?;
            // Indexes are hints; without them the first reader walks the batch headers.
            drop(new.write_indexes(&self.directory));
        }
        let segment =
            new.map(|new| Segment::sealed(&self.directory, new.summary, self.options.read_mode).into());
        let list = self.segment_list().replaced(first.summary.base..=last.summary.base, segment);
        self.replace_list(list);
        self.watchers.raise();
        self.clear_pending(&mut open.state)
    }

    /// Makes the state file say that every rewritten segment has its name. It must, before another file may be called
    /// `.cleaned`.
    pub(super) fn clear_pending(&self, file: &mut StateFile) -> Result<()> {
        if file.state().pending.is_empty() {
            return Ok(());
        }
        let mut state = file.state().clone();
        state.pending.clear();
        self.replace_state(file, state)
    }

    pub(super) fn replace_state(&self, file: &mut StateFile, state: PartitionState) -> Result<()> {
        match file.replace(state) {
            Ok(()) => Ok(()),
            Err(ReplaceFailure::Before(error)) => Err(error),
            Err(ReplaceFailure::Unknown(error)) => Err(self.poison_with(error)),
        }
    }

    /// Notes, durably, how far the log was cleaned, and when tombstones of segments that did not change may go.
    pub(super) fn note_cleaned(&self, until: Offset, horizons: &[NewHorizon]) -> Result<()> {
        let mut writer = self.writer.lock();
        let open = self.opened(&mut writer)?;
        let mut state = open.state.state().clone();
        state.cleaned_until = state.cleaned_until.max(until);
        for segment in &mut state.sealed {
            if let Some(noted) = horizons.iter().find(|noted| noted.of == *segment) {
                segment.delete_horizon = noted.delete_horizon;
            }
        }
        if state == *open.state.state() { Ok(()) } else { self.replace_state(&mut open.state, state) }
    }
}

/// What compaction found out about a segment that it left as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewHorizon {
    pub(super) of: SegmentSummary,
    pub(super) delete_horizon: Timestamp,
}

/// Where the group stands in the table, if all of it still does.
fn position_of(state: &PartitionState, group: &[Source]) -> Option<usize> {
    let first = group.first()?.summary.base;
    let at = state.sealed.iter().position(|segment| segment.base == first)?;
    let there = state.sealed.get(at..at + group.len())?;
    there.iter().eq(group.iter().map(|source| &source.summary)).then_some(at)
}
