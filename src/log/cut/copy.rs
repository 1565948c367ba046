//! Making a log of files that were brought over. It looks as if it had been closed at the cut.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{
    BatchHeader, Identity, Mark, PartitionState, SegmentFile, SegmentSummary, segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::log::cut::carrier::{Carrier, How};
use crate::log::cut::plan::{Plan, Tail};
use crate::log::cut::point::HeldLog;
use crate::log::producers::table::ProducerTable;
use crate::log::producers::{snapshot_file, state};
use crate::log::table::state_file::StateFile;
use crate::log::write::append_times::AppendTimes;
use crate::segment::{LogFile, ReadMode, Segment, scan, summarize, with_aborted, write_indexes};
use crate::types::Offset;

/// A log that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CarriedLog {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Oldest first. None is without a byte.
    pub(crate) segments: Vec<CarriedSegment>,
}

/// A segment of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CarriedSegment {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) headers_crc: u32,
    pub(crate) how: How,
}

impl CarriedSegment {
    fn new(summary: &SegmentSummary, how: How) -> Self {
        let SegmentSummary { base, next_offset, bytes, headers_crc, .. } = *summary;
        Self { base, next_offset, bytes, headers_crc, how }
    }
}

/// The last segment, brought over, and who had written to the log by then.
struct Ended {
    summary: SegmentSummary,
    how: How,
    producers_at: Option<Offset>,
}

impl HeldLog {
    /// Copies what the plan says into an empty directory. All of it is durable then but the directory's name.
    pub(crate) fn copy(
        &self,
        plan: &Plan,
        target: &Directory,
        carrier: &mut Carrier<'_>,
    ) -> Result<CarriedLog> {
        let log = self.log();
        log.check_open()?;
        let copied = plan.copy(&log.directory, self.table.identity, target, carrier);
        // Deleted meanwhile, its names may be another topic's.
        let outcome = log.check_open().and(copied);
        outcome.map_err(|error| log.explain(error))
    }
}

impl Plan {
    /// The same, from any directory, for the partition of that identity.
    pub(crate) fn copy(
        &self,
        source: &Directory,
        identity: Identity,
        target: &Directory,
        carrier: &mut Carrier<'_>,
    ) -> Result<CarriedLog> {
        let mut segments = Vec::with_capacity(self.whole.len() + 1);
        for segment in &self.whole {
            let how = carrier.bring((source, self.table.identity), segment, target)?;
            segments.push(CarriedSegment::new(segment, how));
        }
        let ended = match self.tail {
            Tail::Closed(closed) => self.bring_closed(source, &closed, (target, carrier))?,
            Tail::Grown { .. } | Tail::Empty => self.bring_grown(source, (target, carrier))?,
        };
        if ended.summary.bytes > 0 {
            segments.push(CarriedSegment::new(&ended.summary, ended.how));
        }
        let closed = ended.summary;
        let state = PartitionState {
            identity,
            log_start: self.start,
            sealed: self.whole.clone(),
            closed: Some(closed),
            cleaned_until: self.table.cleaned_until.max(self.start),
            pending: Vec::new(),
            obsolete: Vec::new(),
            producers_at: ended.producers_at,
            mark: Mark { segment: closed.base, offset: closed.next_offset, position: closed.bytes },
            sequence: 0,
        };
        StateFile::create(target, state)?;
        Ok(CarriedLog { start: self.start, end: self.end, segments })
    }

    /// A segment that was closed, and may be appended to again: here too it must be nobody else's file.
    fn bring_closed(
        &self,
        source: &Directory,
        closed: &SegmentSummary,
        (target, carrier): (&Directory, &mut Carrier<'_>),
    ) -> Result<Ended> {
        let name = segment_file_name(closed.base, SegmentFile::Log);
        let how = carrier.bring_bytes(source, &name, (target, closed.bytes))?;
        carrier.bring_derived(source, closed, target)?;
        if let Some(named) = self.table.producers_at {
            let told = |at| Ok(snapshot_file::read(source, at)?.map(|table| (at, table)));
            let instead = match told(named)? {
                // An open goes by an older one then.
                None => snapshot_file::newest_below(source, named)?,
                told => told,
            };
            for (at, table) in told(closed.next_offset)?.into_iter().chain(instead) {
                snapshot_file::write(target, at, &table)?;
            }
        }
        Ok(Ended { summary: *closed, how, producers_at: self.table.producers_at })
    }

    /// What stands below the cut in a segment that has grown since, perhaps. The batches are looked through where they
    /// are now.
    fn bring_grown(
        &self,
        source: &Directory,
        (target, carrier): (&Directory, &mut Carrier<'_>),
    ) -> Result<Ended> {
        let (base, appended, how) = match self.tail {
            Tail::Grown { base, len, appended } => {
                let name = segment_file_name(base, SegmentFile::Log);
                (base, appended, carrier.bring_bytes(source, &name, (target, len))?)
            }
            Tail::Closed(_) | Tail::Empty => {
                let name = segment_file_name(self.end, SegmentFile::Log);
                target.open(&name, OpenMode::CreateNew)?.sync()?;
                (self.end, AppendTimes::NONE, How::Copied)
            }
        };
        let known = self.producers_at(base, source, target)?;
        let mut producers = known.clone();
        let name = segment_file_name(base, SegmentFile::Log);
        let log = LogFile::lazy(target.clone(), name.clone(), ReadMode::Positional);
        let mut witness = |header: &BatchHeader, body: &[u8]| match header.producer_id < 0 {
            true => None,
            false => producers.replay(header, body),
        };
        let mut found = scan(&log, base, self.index_interval_bytes, self.end, &mut witness)?;
        if found.tally.next_offset != self.end {
            let source = LogFile::lazy(source.clone(), name, ReadMode::Positional);
            let why = format!(
                "its batches end at offset {}, and {} was reached",
                found.tally.next_offset, self.end
            );
            return Err(source.broken(found.tally.bytes, found.tally.next_offset, why));
        }
        // What the records say of time may be long ago.
        producers.wrote_since(base, appended.last);
        let file = target.open(&name, OpenMode::ReadWrite)?;
        file.set_len(found.tally.bytes)?;
        file.sync()?;
        found.index.note_time();
        // Indexes are hints; without them the first reader walks the batch headers.
        drop(write_indexes(target, base, &found.index));
        let summary = with_aborted(target, summarize(&found.tally, &found.index), &found.aborted);
        let mut producers_at = None;
        if !known.is_empty() || !producers.is_empty() {
            snapshot_file::write(target, base, &known)?;
            snapshot_file::write(target, self.end, &producers)?;
            producers_at = Some(base);
        }
        Ok(Ended { summary: appended.on(summary), how, producers_at })
    }

    /// What was known of producers where the last segment begins: a snapshot tells, or the segments below.
    fn producers_at(&self, base: Offset, source: &Directory, target: &Directory) -> Result<ProducerTable> {
        if self.snapshots.is_empty() {
            return Ok(ProducerTable::default());
        }
        let mut at: Vec<_> = self.snapshots.iter().copied().filter(|at| *at <= base).collect();
        at.sort_unstable();
        let mut known = None;
        while let Some(one) = at.pop().filter(|_| known.is_none()) {
            // It knows of records that have left the log, too.
            known = snapshot_file::read(source, one)?.map(|table| (one, table));
            if known.is_none() && at.is_empty() {
                // So does an older one, by which an open goes then.
                known = snapshot_file::newest_below(source, one)?;
            }
        }
        let (from, mut table) = known.unwrap_or_default();
        for summary in self.whole.iter().filter(|summary| summary.next_offset > from) {
            let segment = Arc::new(Segment::sealed(target, *summary, ReadMode::Positional));
            state::replay(&segment, &mut table, from)?;
            table.wrote_since(summary.base.max(from), summary.last_append);
        }
        Ok(table)
    }
}
