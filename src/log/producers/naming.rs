//! Which snapshot the state file names.
//!
//! Records leave a log, and with them what it tells of who has written them; for a week nobody may be forgotten for that. So at
//! all times the snapshot that the state file names is on the disk, name and content, and tells of every record below the active
//! segment. Only sealed segments are removed, cut or rewritten: whatever goes of them, the snapshot knows it already.
//!
//! | what moves the active segment | what is on the disk before the state file says so |
//! |---|---|
//! | a roll | a snapshot of what is known where the new segment begins |
//! | the first append after a crash, which seals what it finds | the same, made of the snapshot before and of what was sealed |
//! | a close | a snapshot of the end, beside the one that is named: a crash of the next life goes back to that |

use std::sync::Arc;

use crate::error::Result;
use crate::format::{PartitionState, SegmentSummary};
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::open::known_producers::{producers_behind, producers_since};
use crate::log::open::recovery::{Examined, LastClose};
use crate::log::producers::snapshot_file;
use crate::log::producers::state::FORGETS_AFTER;
use crate::log::producers::table::{Forgotten, ProducerTable};
use crate::segment::Segment;
use crate::types::{Offset, Timestamp};

impl Log {
    /// Writes what is known of the producers where a segment begins that everything else is sealed below, and says which snapshot is
    /// to be named: none where nobody is known. To be followed by a sync of the names, before the state file names it.
    pub(in crate::log) fn note_producers_at(&self, base: Offset, now: Timestamp) -> Result<Option<Offset>> {
        let forgotten = if self.clearing.needs_ends() { Forgotten::WithoutEnds } else { Forgotten::All };
        // A clock that has leapt ahead is believed when the next roll finds it still there: whoever was forgotten for it would send once more what
        // is in the log.
        let believed = now.min(self.clock_at_roll.load(Ordering::Acquire));
        let mut producers = self.producers.lock();
        producers.expire(believed.saturating_sub(FORGETS_AFTER), forgotten);
        if producers.is_empty() {
            return Ok(None);
        }
        let table = producers.clone();
        drop(producers);
        snapshot_file::write(&self.directory, base, &table)?;
        Ok(Some(base))
    }

    /// Writes what is known where the log is closed, at `end`, and says which snapshot is to be named: the one that is, or one of
    /// where the first of them wrote.
    pub(in crate::log) fn note_producers_at_close(
        &self,
        named: Option<Offset>,
        closed: &SegmentSummary,
    ) -> Result<Option<Offset>> {
        let table = self.producers.lock().clone();
        if table.is_empty() {
            return Ok(named);
        }
        snapshot_file::write(&self.directory, closed.next_offset, &table)?;
        if named.is_none() && closed.base < closed.next_offset {
            snapshot_file::write(&self.directory, closed.base, &ProducerTable::default())?;
        }
        self.sync_names()?;
        Ok(named.or(Some(closed.base)))
    }

    /// The same where appending goes on after an open, at `base`, behind these sealed segments: a crash may have left some that no
    /// snapshot knows of, or no sound snapshot.
    pub(in crate::log) fn note_producers_found(
        &self,
        found: &Examined,
        sealed: &[SegmentSummary],
        base: Offset,
    ) -> Result<Option<Offset>> {
        if found.producers.is_empty() {
            return Ok(None);
        }
        let named = found.state.state().producers_at;
        if named == Some(base) && snapshot_file::read(&self.directory, base)?.is_some() {
            return Ok(named);
        }
        let mode = self.options.read_mode;
        let segments: Vec<_> =
            sealed.iter().map(|summary| Arc::new(Segment::sealed(&self.directory, *summary, mode))).collect();
        let state = PartitionState { sealed: sealed.to_vec(), closed: None, ..found.state.state().clone() };
        let mut known = match (named, &found.last_close) {
            // The first of them wrote to segments that no state file lists yet.
            (None, LastClose::Unclean(scans)) => {
                let first = scans.first().map_or(0, |scan| scan.tally.base);
                producers_since(first, &state, &segments)?
            }
            _ => producers_behind(&self.directory, &state, &segments)?,
        };
        known.wrote_since_found(self.clock.now());
        let mut table = known.table;
        table.add_unknown_below(base, &found.producers);
        snapshot_file::write(&self.directory, base, &table)?;
        self.sync_names()?;
        Ok(Some(base))
    }

    /// Removes the snapshots that the state file does not count on: a disk is full. Where the one that it names cannot be read, the newest
    /// one before it stays, which is all that tells of who has written what is gone.
    pub(in crate::log) fn give_up_snapshots(&self, state: &PartitionState) {
        let Some(named) = state.producers_at.filter(|_| !self.is_held()) else { return };
        let instead = match snapshot_file::read(&self.directory, named) {
            Ok(Some(_)) => Ok(None),
            Ok(None) => snapshot_file::newest_below(&self.directory, named),
            Err(error) => Err(error),
        };
        let Ok(instead) = instead else { return };
        let counts =
            [Some(named), state.closed.map(|closed| closed.next_offset), instead.map(|(offset, _)| offset)];
        drop(snapshot_file::remove_all_but(&self.directory, &counts));
    }
}
