//! Edits of the table of segments. What an edit changes is a value; making it true is one function.
//!
//! The order is always the same: the state file is replaced, then readers get list and start together, then the segments
//! that left the list are told that their names are not theirs any more. Only after that may their files be touched: no
//! reader sees a file other than its list says.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{Mark, PartitionState, SegmentSummary};
use crate::live::Kind;
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::segment_list::SegmentList;
use crate::log::table::state_file::{ReplaceFailure, StateFile};
use crate::types::{Offset, Timestamp};

/// What the table will say, and what readers will see where that changes.
#[derive(Debug)]
pub(in crate::log) struct Edit {
    state: PartitionState,
    list: Option<SegmentList>,
    /// Nobody has appended to the log yet.
    is_as_found: bool,
}

/// What compaction found out about a segment that it left as it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct NewHorizon {
    pub(in crate::log) of: SegmentSummary,
    pub(in crate::log) delete_horizon: Timestamp,
}

impl Edit {
    /// Nothing changes yet.
    pub(in crate::log) fn of(file: &StateFile) -> Self {
        Self { state: file.state().clone(), list: None, is_as_found: false }
    }

    /// What readers see from then on. Where it starts is what the table says.
    pub(in crate::log) fn list(self, list: SegmentList) -> Self {
        Self { list: Some(list), ..self }
    }

    /// Of a log that nobody has appended to yet: other processes look at its files.
    pub(in crate::log) fn untouched(self) -> Self {
        Self { is_as_found: true, ..self }
    }

    /// The active segment is sealed, and an empty one begins at `next`.
    pub(in crate::log) fn seal(mut self, sealed: SegmentSummary, next: Offset) -> Self {
        self.state.sealed.push(sealed);
        self.state.mark = Mark { segment: next, offset: next, position: 0 };
        self
    }

    /// The partition is open: these are sealed, everything below `mark` is synced, and files of `left` were found that are no
    /// part of the log.
    pub(in crate::log) fn open(mut self, sealed: Vec<SegmentSummary>, mark: Mark, left: &[Offset]) -> Self {
        let unlisted: Vec<_> = left.iter().filter(|base| !self.state.obsolete.contains(base)).collect();
        self.state.obsolete.extend(unlisted);
        self.state.sealed = sealed;
        self.state.closed = None;
        self.state.pending.clear();
        self.state.mark = mark;
        self
    }

    /// The partition is closed; this is its last segment.
    pub(in crate::log) fn close(mut self, closed: SegmentSummary) -> Self {
        self.state.mark = Mark { segment: closed.base, offset: closed.next_offset, position: closed.bytes };
        self.state.closed = Some(closed);
        self
    }

    /// What is known of the producers stands in the snapshot of that offset.
    pub(in crate::log) fn producers_at(mut self, offset: Option<Offset>) -> Self {
        self.state.producers_at = offset;
        self
    }

    /// The `count` oldest sealed segments go. The log then starts at `start` or at its first segment, `active` where none
    /// is sealed, whichever is behind the other.
    pub(in crate::log) fn remove_oldest(
        mut self,
        count: usize,
        start: Offset,
        active: Offset,
        list: &SegmentList,
    ) -> Self {
        let gone = self.state.sealed.drain(..count.min(self.state.sealed.len()));
        let gone: Vec<_> = gone.map(|segment| segment.base).collect();
        let first = self.state.sealed.first().map_or(active, |segment| segment.base);
        let start = if gone.is_empty() { start } else { start.max(first) };
        self.state.log_start = self.state.log_start.max(start);
        self.state.cleaned_until = self.state.cleaned_until.max(self.state.log_start);
        self.state.obsolete.extend(&gone);
        let list = list.starting(self.state.log_start, first);
        self.list(list)
    }

    /// The sealed segments `at` go, and `new`, whose file still has its temporary name, stands in their place.
    pub(in crate::log) fn replace(mut self, at: Range<usize>, new: Option<SegmentSummary>) -> Self {
        let gone: Vec<_> = self.state.sealed.splice(at, new).map(|segment| segment.base).collect();
        let taken = new.map(|new| new.base);
        self.state.obsolete.extend(gone.into_iter().filter(|base| Some(*base) != taken));
        self.state.pending.extend(taken);
        self
    }

    /// Every rewritten segment has its name. The table must say so before another file may be called `.cleaned`.
    pub(in crate::log) fn all_named(mut self) -> Self {
        self.state.pending.clear();
        self
    }

    /// The log was cleaned up to `until`; tombstones of segments that did not change may go at these times.
    pub(in crate::log) fn cleaned(mut self, until: Offset, horizons: &[NewHorizon]) -> Self {
        self.state.cleaned_until = self.state.cleaned_until.max(until);
        for segment in &mut self.state.sealed {
            if let Some(noted) = horizons.iter().find(|noted| noted.of == *segment) {
                segment.delete_horizon = noted.delete_horizon;
            }
        }
        self
    }
}

impl Log {
    /// Makes an edit true, on the disk and then for readers. After an error the table is as it was, or nobody knows what
    /// it is and the partition is poisoned. An edit that changes nothing costs nothing.
    pub(in crate::log) fn edit(&self, file: &mut StateFile, edit: Edit) -> Result<()> {
        let Edit { state, list, is_as_found } = edit;
        if list.is_none() && state == *file.state() {
            return Ok(());
        }
        match file.replace(state) {
            Ok(()) => {}
            Err(ReplaceFailure::Before(error)) => return Err(error),
            Err(ReplaceFailure::Unknown(error)) => return Err(self.poison_with(error)),
        }
        if let Some(list) = list {
            debug_assert_eq!(list.start(), file.state().log_start, "list and table start together");
            self.publish(list);
        }
        let is_as_found = is_as_found || file.state().closed.is_some();
        self.show_table(if is_as_found { Kind::AsFound } else { Kind::Growing });
        Ok(())
    }

    /// Gives readers another list. The segments that it does not have any more are not looked for by name again: what is
    /// held of them stays readable, and their names may be given to other files.
    pub(in crate::log) fn publish(&self, list: SegmentList) {
        self.offsets.move_start(list.start());
        let list = Arc::new(list);
        let known = self.segment_list();
        let takes_out = known.missing_in(&list).next().is_some() || known.start() < list.start();
        let thinned = known.thinned_in(&list);
        drop(known);
        // Before readers can meet what is there instead, and after it: whoever takes the count in between has the list of before, and is
        // to know that there is another one.
        if takes_out {
            self.rewrites.fetch_add(1, Ordering::AcqRel);
        }
        let before = std::mem::replace(&mut *self.segments.write(), Arc::clone(&list));
        if takes_out {
            self.rewrites.fetch_add(1, Ordering::AcqRel);
        }
        // After it alone: whoever looks again when it is told meets what stands there now.
        thinned.into_iter().for_each(|place| self.thinned.note(place));
        before.missing_in(&list).for_each(|segment| segment.leave());
        self.watchers.raise();
    }
}
