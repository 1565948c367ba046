//! Putting a rewritten segment in the place of those it was made of.
//!
//! | a crash | finds |
//! |---|---|
//! | before the state file is replaced | the old segments, and a `.cleaned` file that nothing lists: it is removed |
//! | after that | the new table; it says that the file may still be called `.cleaned`, and is read under that name |
//! | after the rename | the new table and the new file; old files are listed as obsolete and are removed |
//! | after the state file is replaced again | nothing to do |
//!
//! Readers get the new list, in which the new segment still has its temporary name, before a file is renamed or removed.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::PartitionState;
use crate::io::Names;
use crate::log::compaction::rewrite::Source;
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::table::edit::{Edit, NewHorizon};
use crate::log::table::names;
use crate::log::write::writer::{Open, Writer};
use crate::segment::{FinishedSegment, Segment};
use crate::types::Offset;

/// What became of a rewritten segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swap {
    Done,
    /// Some of the old segments had left the log meanwhile, or it has other settings: the new one was thrown away.
    Overtaken,
}

impl Log {
    /// Puts `new` in the place of `run`, durably, if the log still has the settings it was made by. Appends wait for this,
    /// and for nothing else of a rewrite.
    pub(super) fn swap(
        &self,
        run: &[Source],
        new: Option<FinishedSegment>,
        settings: Option<&Arc<LogConfig>>,
    ) -> Result<Swap> {
        // The new name must not be lost when the table that lists it is not.
        let synced = if new.is_some() { self.sync_names() } else { Ok(()) };
        let segment =
            new.as_ref().map(|new| Arc::new(Segment::finished(&self.directory, new, self.options.read_mode)));
        // Without descriptors it could not be given its name, durably, once the table lists it.
        let prepared = synced.and_then(|()| segment.iter().try_for_each(|segment| segment.log().hold()));
        let prepared = prepared.and_then(|()| self.directory.names());
        let mut writer = self.writer.lock();
        let is_as_decided = settings.is_none_or(|settings| Arc::ptr_eq(settings, &self.config()));
        // Under the writer's lock: a hold that is taken later finds the new list.
        let (swapped, names) = match prepared.and_then(|names| self.check_not_held().map(|()| names)) {
            Ok(names) if is_as_decided => {
                (self.swap_table(&mut writer, run, new.as_ref(), segment.as_ref()), Some(names))
            }
            outcome => (outcome.map(|_| Swap::Overtaken), None),
        };
        let (Ok(Swap::Done), Some(names)) = (&swapped, names) else {
            if let Some(new) = new.as_ref().filter(|_| self.poison.get().is_none()) {
                self.throw_away(&[new.summary.base]);
            }
            return swapped;
        };
        let named = self.name_file((&mut writer, &names), new.as_ref(), segment.as_ref());
        drop(writer);
        // While the new name is not synced the old files stay: after the next open they go.
        named?;
        if let (Some(new), Some(segment)) = (&new, &segment) {
            self.make_keys(segment, &new.summary);
        }
        // Who promises that the files are gone looks again.
        self.remove_obsolete_or_owe();
        Ok(Swap::Done)
    }

    /// True when one of the segments is no longer part of the log.
    pub(super) fn has_left(&self, run: &[Source]) -> bool {
        self.gone_of(run) > 0
    }

    /// How many of the segments are no longer part of the log: the first ones. Nobody else puts others in their place.
    pub(super) fn gone_of(&self, run: &[Source]) -> usize {
        let list = self.segment_list();
        let is_gone = |source: &&Source| !list.iter().any(|segment| Arc::ptr_eq(segment, &source.segment));
        run.iter().take_while(is_gone).count()
    }

    /// The commit: before it the old segments are the log, after it the new one is.
    fn swap_table(
        &self,
        writer: &mut Writer,
        run: &[Source],
        new: Option<&FinishedSegment>,
        segment: Option<&Arc<Segment>>,
    ) -> Result<Swap> {
        let open = self.opened(writer)?;
        let Some(at) = position_of(open.state.state(), run) else { return Ok(Swap::Overtaken) };
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Swap::Overtaken) };
        let list = self.segment_list().replaced(first.summary.base..=last.summary.base, segment.cloned());
        self.with_room_of_indexes(open, Open::table, |log, open| {
            let replaced = Edit::of(&open.state).replace(at.clone(), new.map(|new| new.summary));
            log.edit(&mut open.state, replaced.list(list.clone()))
        })?;
        Ok(Swap::Done)
    }

    /// Gives the new segment the name of the first one it replaces. Nobody knows what a failure leaves to those who hold
    /// names.
    fn name_file(
        &self,
        (writer, names): (&mut Writer, &Names<'_>),
        new: Option<&FinishedSegment>,
        segment: Option<&Arc<Segment>>,
    ) -> Result<()> {
        let open = self.opened(writer)?;
        if let (Some(new), Some(segment)) = (new, segment) {
            names::finish_swaps(names, [(segment.base(), segment.log())])
                .map_err(|error| self.poison_with(error))?;
            // Indexes are hints; without them the first reader walks the batch headers.
            drop(new.write_indexes(&self.directory));
        }
        let edit = Edit::of(&open.state).all_named();
        match self.edit(&mut open.state, edit) {
            // The table says that the name may be missing, which harms nobody until the next rewrite: that says so first. A full disk is
            // freed by what goes now.
            Err(_) if self.poison.get().is_none() => Ok(()),
            outcome => outcome,
        }
    }

    /// Notes, durably, how far the log was cleaned, and when tombstones of segments that did not change may go.
    pub(super) fn note_cleaned(&self, until: Offset, horizons: &[NewHorizon]) -> Result<()> {
        let mut writer = self.writer.lock();
        let open = self.opened(&mut writer)?;
        self.with_room_of_indexes(open, Open::table, |log, open| {
            let edit = Edit::of(&open.state).cleaned(until, horizons);
            log.edit(&mut open.state, edit)
        })
    }
}

/// Where the run stands in the table, if all of it still does.
fn position_of(state: &PartitionState, run: &[Source]) -> Option<Range<usize>> {
    let first = run.first()?.summary.base;
    let at = state.sealed.iter().position(|segment| segment.base == first)?;
    let range = at..at + run.len();
    let there = state.sealed.get(range.clone())?;
    there.iter().eq(run.iter().map(|source| &source.summary)).then_some(range)
}
