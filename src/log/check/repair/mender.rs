//! Putting a partition together again from what is sound in it.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{
    BatchHeader, Identity, Mark, PartitionState, SegmentFile, parse_cleaned_log_name,
    parse_segment_file_name, segment_file_name,
};
use crate::io::Directory;
use crate::log::check::copies::Copies;
use crate::log::check::repair::Repair;
use crate::log::check::repair::endings::{Snapshot, lost_ends};
use crate::log::check::repair::inventory::{Inventory, Source};
use crate::log::check::repair::origin::is_foreign;
use crate::log::check::repair::rewrite::{Found, Table, write_anew};
use crate::log::check::repair::swap::{commit, finish_swaps};
use crate::log::check::verify::count_records;
use crate::log::config::LogConfig;
use crate::log::producers::snapshot_file;
use crate::log::producers::table::ProducerTable;
use crate::log::table::state_file::STATE_FILE;
use crate::log::write::append_times::AppendTimes;
use crate::segment::{ActiveSegment, Known, LogFile, ReadMode, Salvage, WriteFailure, salvage};
use crate::types::Offset;

/// Whoever mends one partition, and what it takes.
pub(super) struct Mender<'a> {
    pub(super) directory: Directory,
    pub(super) identity: Identity,
    pub(super) config: Arc<LogConfig>,
    pub(super) copies: &'a Copies,
    pub(super) repairs: &'a mut Vec<Repair>,
    pub(super) max_expanded_bytes: usize,
    pub(super) now: i64,
}

impl Mender<'_> {
    /// Takes out what cannot be read, and makes what is left a log that opens. `state` is what the state file says, if it
    /// can be read.
    pub(super) fn mend(mut self, state: Option<PartitionState>) -> Result<()> {
        if let Some(state) = &state {
            finish_swaps(&self.directory, &state.pending)?;
        } else {
            self.take_out(STATE_FILE, "the state file could not be read: it is created again")?;
        }
        let Inventory { sources, missing, strangers } = Inventory::of(&self.directory, state.as_ref())?;
        let mut emptied = Vec::new();
        for summary in missing {
            self.tell_of_the_missing(summary.base..summary.next_offset);
            emptied.push(self.emptied(Source::of_missing(summary)));
        }
        if let Some(source) = state.as_ref().and_then(|state| Source::of_missing_mark(state, &sources)) {
            self.tell_of_the_missing(source.base..source.until);
            emptied.push(self.emptied(source));
        }
        let mut end = state.as_ref().map_or(0, known_end);
        let mut obsolete: Vec<_> = state.iter().flat_map(|state| state.obsolete.iter().copied()).collect();
        for name in strangers {
            self.take_out(&name, "the file is no part of the partition")?;
            match parse_cleaned_log_name(&name) {
                // Only a rename would make it part of one.
                Some(_) => {}
                None => obsolete.extend(parse_segment_file_name(&name).map(|name| name.base)),
            }
        }
        let mut found = Vec::new();
        let first = sources.first().map_or(0, |source| source.base);
        for source in sources {
            end = end.max(source.base);
            let base = source.base;
            let reached = found.last().map_or(first, Found::reached);
            let one = self.look_through(source, reached)?;
            if one.is_empty() {
                obsolete.push(base);
                emptied.push(one);
            } else {
                end = end.max(one.reached());
                found.push(one);
            }
        }
        let nowhere = self.tell_of_the_end(&found, state.as_ref());
        if state.is_some() {
            let its = self.repairs.iter_mut().filter(|repair| repair.path.starts_with(self.directory.path()));
            its.for_each(|repair| repair.lost.end = repair.lost.end.min(end).max(repair.lost.start));
        }
        let found = self.put_ends(found, emptied, (state.as_ref(), nowhere))?;
        end = found.last().map_or(end, |last| end.max(last.reached()));
        obsolete.retain(|base| *base != end && !found.iter().any(|one| one.source.base == *base));
        let log_start = state.as_ref().map_or(first, |state| state.log_start);
        let interval = self.config.segment.index_interval_bytes;
        let Table { sealed, pending, has_producers } =
            write_anew(&self.directory, &found, interval, self.now)?;
        let producers_at = self.keep_producers(state.as_ref(), has_producers)?;
        let mut active =
            ActiveSegment::create(&self.directory, end, self.config.segment, ReadMode::Positional)?;
        let closed = AppendTimes::NONE.on(active.seal().map_err(WriteFailure::into_error)?);
        let new = PartitionState {
            identity: self.identity,
            log_start: log_start.min(end),
            sealed,
            closed: Some(closed),
            cleaned_until: state.as_ref().map_or(0, |state| state.cleaned_until),
            pending,
            obsolete,
            producers_at,
            mark: Mark { segment: end, offset: end, position: 0 },
            sequence: state.as_ref().map_or(0, |state| state.sequence),
        };
        snapshot_file::remove_all_but(&self.directory, &[producers_at])?;
        commit(&self.directory, new)
    }

    /// The log tells of producers again, from its beginning on; of those who have none of their records in it any more the snapshot
    /// does that was named. Only of those without transactions: how these end the log alone may say.
    fn keep_producers(&self, state: Option<&PartitionState>, has_producers: bool) -> Result<Option<Offset>> {
        let named = state.and_then(|state| state.producers_at);
        let closed = state.and_then(|state| state.closed).map(|closed| closed.next_offset);
        let mut known = None;
        for at in closed.filter(|_| named.is_some()).into_iter().chain(named) {
            known = known.or(snapshot_file::read(&self.directory, at)?);
        }
        if known.is_none() {
            known = snapshot_file::newest_below(&self.directory, Offset::MAX)?.map(|(_, table)| table);
        }
        let known = known.unwrap_or_default().without_transactions();
        if !has_producers && known.is_empty() {
            return Ok(None);
        }
        snapshot_file::write(&self.directory, 0, &known)?;
        self.directory.sync()?;
        Ok(Some(0))
    }

    /// Puts ends of transactions into the place of those that are lost, and tells of them. `emptied` are segments of which nothing else stays.
    fn put_ends(
        &mut self,
        mut found: Vec<Found>,
        emptied: Vec<Found>,
        (state, nowhere): (Option<&PartitionState>, Option<Range<Offset>>),
    ) -> Result<Vec<Found>> {
        found.extend(emptied);
        found.sort_by_key(|one| one.source.base);
        let closed = state.map(|state| self.known_at_the_close(state)).transpose()?.flatten();
        for lost in lost_ends(&self.directory, &found, (closed.as_ref(), nowhere))? {
            let put_into = lost.marker.as_ref().and_then(|(number, _)| found.get(*number));
            let path = match put_into {
                Some(one) => self.directory.join(&segment_file_name(one.source.base, SegmentFile::Log)),
                None => self.directory.path().to_path_buf(),
            };
            let (offsets, reason) = (lost.lost(), lost.to_string());
            self.repairs.push(Repair { path, position: 0..0, lost: offsets, reason, copy: None });
            if let Some((number, marker)) = lost.marker
                && let Some(one) = found.get_mut(number)
            {
                one.markers.push(marker);
                one.markers.sort_by_key(|marker| marker.header.base_offset);
            }
        }
        found.retain(|one| !one.is_empty());
        Ok(found)
    }

    /// The snapshot that an open would go by. A close that names none has known of nobody.
    fn known_at_the_close(&self, state: &PartitionState) -> Result<Option<Snapshot>> {
        let closed = state.closed.map(|closed| closed.next_offset);
        let Some(named) = state.producers_at else {
            return Ok(closed.map(|at| (at, ProducerTable::default())));
        };
        let mut known = None;
        for at in closed.into_iter().chain([named]) {
            known = known.or(snapshot_file::read(&self.directory, at)?.map(|table| (at, table)));
        }
        Ok(known)
    }

    fn known(&self, source: &Source) -> Known {
        Known {
            base: source.base,
            until: source.until,
            was_gapless: source.was_gapless,
            sealed_bytes: source.summary.map(|summary| summary.bytes),
            headers_crc: source.summary.map(|summary| summary.headers_crc),
            interval_bytes: self.config.segment.index_interval_bytes,
        }
    }

    /// A segment of which no file is left, or another one's.
    fn emptied(&self, source: Source) -> Found {
        let salvage = Salvage::of_nothing(self.known(&source), source.base..source.until);
        Found { source, salvage, markers: Vec::new() }
    }

    /// Finds what is sound in a segment, and copies what is not.
    fn look_through(&mut self, source: Source, reached: Offset) -> Result<Found> {
        let name = segment_file_name(source.base, SegmentFile::Log);
        let log = LogFile::lazy(self.directory.clone(), name.clone(), ReadMode::Positional);
        let known = self.known(&source);
        let limit = self.max_expanded_bytes;
        let mut judge = |header: &BatchHeader, batch: &[u8]| {
            let body = batch.get(BatchHeader::LEN..).unwrap_or_default();
            count_records((header, body), limit, |_| Ok(())).map(drop)
        };
        let salvage = salvage(&log, known, &mut judge)?;
        if is_foreign(&salvage, &source) || source.must_join && source.base != reached {
            let why = "its batches are not those that were written there";
            self.copy_out(&name, 0..salvage.len, source.base..source.until, why)?;
            return Ok(self.emptied(source));
        }
        for dropped in &salvage.dropped {
            self.copy_out(&name, dropped.range.clone(), dropped.offsets.clone(), &dropped.reason)?;
        }
        for mended in salvage.kept.iter().filter(|kept| kept.is_mended) {
            let range = mended.position..mended.position + BatchHeader::UNCHECKED as u64;
            let none = mended.header.base_offset..mended.header.base_offset;
            self.copy_out(
                &name,
                range,
                none,
                "bytes that the checksum does not cover were wrong; what they must be is known, and they were corrected",
            )?;
        }
        Ok(Found { source, salvage, markers: Vec::new() })
    }

    fn tell_of_the_missing(&mut self, lost: Range<Offset>) {
        let path = self.directory.join(&segment_file_name(lost.start, SegmentFile::Log));
        let reason = "the segment is missing".to_owned();
        self.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
    }

    /// Records that were synced and are nowhere: those of them that no file is left of.
    fn tell_of_the_end(&mut self, found: &[Found], state: Option<&PartitionState>) -> Option<Range<Offset>> {
        let mark = state.and_then(promised)?;
        let reached = found.last().map_or(mark.segment, |last| last.salvage.tally.next_offset);
        let is_told = self.repairs.iter().any(|repair| {
            repair.path.starts_with(self.directory.path())
                && repair.lost.end >= mark.offset
                && !repair.lost.is_empty()
        });
        if reached >= mark.offset || is_told {
            return None;
        }
        let base = found.last().map_or(mark.segment, |last| last.source.base);
        let path = self.directory.join(&segment_file_name(base, SegmentFile::Log));
        let reason = format!("records up to offset {} were synced and are missing", mark.offset);
        let lost = reached..mark.offset;
        self.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
        Some(reached.max(mark.segment)..mark.offset)
    }

    /// Copies the whole of a file, if it is there, and notes that it goes.
    fn take_out(&mut self, name: &str, reason: &str) -> Result<()> {
        let copy = self.copies.keep_file(&self.directory, name)?;
        self.repairs.push(Repair::of_whole_file(self.directory.join(name), reason.to_owned(), copy));
        Ok(())
    }

    fn copy_out(
        &mut self,
        name: &str,
        position: Range<u64>,
        lost: Range<Offset>,
        reason: &str,
    ) -> Result<()> {
        let copy = match position.is_empty() {
            true => None,
            false => Some(self.copies.keep(&self.directory, name, position.clone())?),
        };
        let (path, reason) = (self.directory.join(name), reason.to_owned());
        self.repairs.push(Repair { path, position, lost, reason, copy });
        Ok(())
    }
}

/// Up to where all was synced. A clean close syncs everything, and what it left empty begins where nothing is missing.
fn promised(state: &PartitionState) -> Option<Mark> {
    let Some(closed) = state.closed else { return Some(state.mark) };
    let mark = Mark { segment: closed.base, offset: closed.next_offset, position: closed.bytes };
    (closed.bytes > 0).then_some(mark)
}

/// Behind all offsets that were given out for certain.
pub(super) fn known_end(state: &PartitionState) -> Offset {
    let last = state.closed.as_ref().or(state.sealed.last()).map_or(0, |last| last.next_offset);
    // A clean close leaves the mark of an earlier moment.
    last.max(state.mark.offset)
}
