//! The front of a log, whichever phase its write side is in.
//!
//! What goes from there is sealed, and was synced when it was: an edit of the table takes it out, and nothing behind it is touched. So a log
//! that was opened and not appended to loses it without its tail being copied first, for which a full disk has no room. Only where the
//! snapshot of its producers was lost it is made ready to be appended to first, which names another one: what goes may be all that tells of them.

use crate::error::Result;
use crate::format::SegmentSummary;
use crate::log::log::Log;
use crate::log::open::recovery::Examined;
use crate::log::segment_list::SegmentList;
use crate::log::table::edit::Edit;
use crate::log::table::state_file::StateFile;
use crate::log::write::writer::{Phase, Writer};
use crate::types::Offset;

/// What an edit of the front changes.
#[derive(Debug, Clone, Copy)]
struct Front {
    /// So many sealed segments go.
    count: usize,
    start: Offset,
    /// Where the first one begins that is not sealed.
    unsealed: Offset,
    /// Nobody has appended to the log yet.
    is_as_found: bool,
}

impl Log {
    /// Takes the `count` oldest sealed segments out of the log, which then starts at `start` or at its first segment,
    /// whichever is behind the other. Their files stay until [`remove_obsolete`](Self::remove_obsolete).
    pub(in crate::log) fn take_out(&self, writer: &mut Writer, count: usize, start: Offset) -> Result<()> {
        self.check_poison()?;
        if matches!(&writer.phase, Phase::Untouched(found) if found.report.lost_snapshot.is_some()) {
            self.settle(writer)?;
        }
        match &mut writer.phase {
            Phase::Open(open) => {
                let front = Front { count, start, unsealed: open.active.base(), is_as_found: false };
                self.edit_front(&mut open.state, &self.segment_list(), front)
            }
            Phase::Untouched(found) => {
                self.name_rewritten(found)?;
                let front = Front { count, start, unsealed: found.unsealed_from(), is_as_found: true };
                self.edit_front(&mut found.state, &found.segments, front)?;
                let state = found.state.state();
                let first = state.sealed.first().map_or(front.unsealed, |segment| segment.base);
                found.segments = found.segments.starting(state.log_start, first);
                Ok(())
            }
            Phase::Followed(_) | Phase::Closed => Err(self.closed()),
        }
    }

    fn edit_front(&self, state: &mut StateFile, list: &SegmentList, front: Front) -> Result<()> {
        let Front { count, start, unsealed, is_as_found } = front;
        let leaving: Vec<SegmentSummary> = state.state().sealed.iter().take(count).copied().collect();
        let edit = |state: &StateFile| {
            let edit = Edit::of(state).remove_oldest(count, start, unsealed, list);
            if is_as_found { edit.all_named().untouched() } else { edit }
        };
        let outcome = self.with_room_of_indexes(state, StateFile::state, |log, state| {
            let edit = edit(state);
            log.edit(state, edit)
        });
        if outcome.is_ok() {
            self.hold_back(leaving);
        }
        outcome
    }

    /// Gives rewritten segments that the table of a log lists as it was found, and that a crash kept from it, their names: one of them that went
    /// under another would stay on the disk. Where a settling has failed half way, it looks first which files there are.
    fn name_rewritten(&self, found: &mut Examined) -> Result<()> {
        self.look_again(found)?;
        if found.state.state().pending.is_empty() {
            return Ok(());
        }
        self.sync_names()?;
        self.finish_swaps(found)?;
        // The files are others from here on. Those that have no name yet are as they were after an error.
        found.is_half_settled = true;
        found.leftovers.pending.clear();
        Ok(())
    }

    /// Which files of segments that left the log are there; none of them while somebody copies it: the end of the hold removes them.
    pub(in crate::log) fn obsolete_to_remove(&self) -> Result<Vec<Offset>> {
        match &mut self.writer.lock().phase {
            Phase::Open(open) if !self.is_held() => Ok(open.state.state().obsolete.clone()),
            Phase::Untouched(found)
                if !self.is_held()
                    && self.poison.get().is_none()
                    && !found.state.state().obsolete.is_empty() =>
            {
                // The process that wrote the table may have been killed before its name was synced: a power cut would bring back one
                // that lists them.
                self.sync_names()?;
                self.name_rewritten(found)?;
                Ok(found.state.state().obsolete.clone())
            }
            Phase::Open(_) | Phase::Untouched(_) | Phase::Followed(_) | Phase::Closed => Ok(Vec::new()),
        }
    }

    /// These are gone.
    pub(in crate::log) fn forget_obsolete(&self, gone: &[Offset]) {
        match &mut self.writer.lock().phase {
            Phase::Open(open) => open.state.forget_obsolete(gone),
            Phase::Untouched(found) => found.state.forget_obsolete(gone),
            Phase::Followed(_) | Phase::Closed => {}
        }
    }
}
