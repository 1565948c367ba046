//! Which files hold a log up to a cut, and how much of each.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{PartitionState, SegmentSummary};
use crate::io::Directory;
use crate::log::cut::point::{CutPoint, HeldLog};
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::log::write::accumulator::Take;
use crate::log::write::append_times::AppendTimes;
use crate::log::write::writer::{Open, Phase};
use crate::types::Offset;

/// The segments that a copy consists of.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The table that it is taken from.
    pub(super) table: PartitionState,
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// Sealed, and below the cut: they never change.
    pub(super) whole: Vec<SegmentSummary>,
    pub(super) tail: Tail,
    /// Offsets of which the source has sound snapshots of its producers, if it has any producers.
    pub(super) snapshots: Vec<Offset>,
    pub(super) index_interval_bytes: u32,
}

/// The last segment of the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing stands between the whole segments and the cut.
    Empty,
    /// It was closed, and its summary is known.
    Closed(SegmentSummary),
    /// The cut goes through it, somewhere in its first `len` bytes.
    Grown { base: Offset, len: u64, appended: AppendTimes },
}

impl Plan {
    /// Bytes of what is below the cut, about.
    pub(crate) fn bytes(&self) -> u64 {
        let whole: u64 = self.whole.iter().map(|segment| segment.bytes).sum();
        whole
            + match self.tail {
                Tail::Empty => 0,
                Tail::Closed(closed) => closed.bytes,
                Tail::Grown { len, .. } => len,
            }
    }

    /// Where it starts and ends.
    pub(crate) fn bounds(&self) -> (Offset, Offset) {
        (self.start, self.end)
    }

    /// The segments of a log that was closed, those that hold something.
    pub(crate) fn segments(&self) -> impl Iterator<Item = SegmentSummary> {
        let closed = match self.tail {
            Tail::Closed(closed) => Some(closed),
            Tail::Empty | Tail::Grown { .. } => None,
        };
        self.whole.iter().copied().chain(closed).filter(|segment| segment.bytes > 0)
    }

    /// The log that was closed in `directory`, all of it.
    pub(crate) fn of_closed(directory: &Directory) -> Result<Self> {
        let table = StateFile::read(directory)?.state().clone();
        let Some(closed) = table.closed.filter(|_| table.pending.is_empty()) else {
            let reason = "it was not closed: this is no part of a backup".to_owned();
            return Err(Error::corrupt(directory.join(STATE_FILE), 0, None, reason));
        };
        Ok(Self {
            start: table.log_start,
            end: closed.next_offset,
            whole: table.sealed.clone(),
            tail: Tail::Closed(closed),
            snapshots: table.producers_at.into_iter().chain([closed.next_offset]).collect(),
            index_interval_bytes: closed.index_interval_bytes,
            table,
        })
    }
}

impl HeldLog {
    /// Writes what was in memory at the cut, and says where it stands. `None` when some of it could not be written: then
    /// offsets below the cut are given out again, and there has to be another cut.
    pub(crate) fn plan(&self, point: CutPoint) -> Result<Option<Plan>> {
        let log = self.log();
        log.check_poison()?;
        let mut writer = log.writer.lock();
        log.write_with(&mut writer, Take::All);
        log.check_poison()?;
        if log.accumulator.lock().failures() != point.failures || log.end() < point.end {
            return Ok(None);
        }
        let now = writer.phase.state().ok_or_else(|| log.closed())?;
        let snapshots = self.table.producers_at.into_iter().chain(now.producers_at).collect();
        let open = match &writer.phase {
            Phase::Open(open) => Some(&**open),
            Phase::Untouched(_) | Phase::Followed(_) | Phase::Closed => None,
        };
        // Those of the hold, those that came since and have gone, those that are there now.
        let mut known: BTreeMap<_, _> = BTreeMap::new();
        for segment in now.sealed.iter().chain(&*log.held_back.lock()).chain(&self.table.sealed) {
            known.insert(segment.base, *segment);
        }
        let tail = tail(&self.table, &known, open, point.end);
        // Sealed since as it was closed, it would be brought over twice.
        let is_tail =
            |segment: &SegmentSummary| matches!(tail, Tail::Closed(closed) if closed.base == segment.base);
        let is_whole = |segment: &SegmentSummary| {
            segment.next_offset <= point.end && segment.next_offset > point.start && !is_tail(segment)
        };
        Ok(Some(Plan {
            table: self.table.clone(),
            start: point.start,
            end: point.end,
            whole: known.into_values().filter(is_whole).collect(),
            tail,
            snapshots,
            index_interval_bytes: log.config().segment.index_interval_bytes,
        }))
    }
}

/// The segment through which the cut goes.
fn tail(
    table: &PartitionState,
    known: &BTreeMap<Offset, SegmentSummary>,
    open: Option<&Open>,
    end: Offset,
) -> Tail {
    // One that was never appended to has no file that could be brought over.
    let is_new = |closed: &SegmentSummary| closed.next_offset == 0;
    if let Some(closed) = table.closed.filter(|closed| closed.next_offset == end && !is_new(closed)) {
        return Tail::Closed(closed);
    }
    if let Some(sealed) = known.values().find(|segment| segment.base < end && end < segment.next_offset) {
        return Tail::Grown { base: sealed.base, len: sealed.bytes, appended: AppendTimes::of(sealed) };
    }
    match open.filter(|open| open.active.base() < end) {
        Some(open) => {
            Tail::Grown { base: open.active.base(), len: open.active.bytes(), appended: open.appended }
        }
        None => Tail::Empty,
    }
}
