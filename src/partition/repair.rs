//! Setting a damaged partition right, by taking out what cannot be read. Never done unless asked for.
//!
//! What is to go is copied first. Then segments that change are written anew under their temporary names; the state file
//! that lists them is the commit, as in a compaction; renames and removals follow. A kill between any two steps leaves a
//! partition that is damaged as before, or one that opens.

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::{
    BatchHeader, Identity, Mark, PartitionState, SegmentFile, SegmentSummary, cleaned_log_name,
    parse_cleaned_log_name, parse_segment_file_name, segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::partition::append_times::AppendTimes;
use crate::partition::config::LogConfig;
use crate::partition::copies::Copies;
use crate::partition::log::{Log, LogContext};
use crate::partition::state_file::{STATE_FILE, StateFile};
use crate::partition::verify::{Checked, count_records};
use crate::segment::{ActiveSegment, Known, LogFile, NewSegment, ReadMode, Salvage, salvage};
use crate::types::Offset;

/// One thing that a repair took out of a store, or put right in it.
///
/// ```no_run
/// for repair in annals::Store::builder("shop-log").repair("/backup/taken-out")?.repairs {
///     println!("{}: {}; offsets {:?} are lost", repair.path.display(), repair.reason, repair.lost);
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The file.
    pub path: PathBuf,
    /// Byte positions in it, as it was.
    pub position: Range<u64>,
    /// Offsets that may have been there and cannot be read any more; empty when no record is lost. Where offsets were
    /// missing before, it tells of more than there were; it ends with the largest offset of all where nobody knows what
    /// followed, and then offsets may be given out again.
    pub lost: Range<Offset>,
    /// What did not fit.
    pub reason: String,
    /// Where the bytes are now; `None` when there were none.
    pub copy: Option<PathBuf>,
}

impl Repair {
    /// A file that was replaced whole, and no record with it. Its copy, and its length.
    pub(crate) fn of_whole_file(path: PathBuf, reason: String, copy: Option<(PathBuf, u64)>) -> Self {
        let position = 0..copy.as_ref().map_or(0, |(_, len)| *len);
        Self { path, position, lost: 0..0, reason, copy: copy.map(|(copy, _)| copy) }
    }
}

/// What repairs of partitions have come to.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    pub(crate) repairs: Vec<Repair>,
    /// What is left as it is: it may be somebody else's.
    pub(crate) refused: Vec<Error>,
    /// Segments whose index files were written anew.
    pub(crate) indexes: Vec<PathBuf>,
}

/// A `.log` that is looked through.
struct Source {
    base: Offset,
    summary: Option<SegmentSummary>,
    until: Offset,
    /// Nothing is missing in it, as far as the state file can be believed.
    was_gapless: bool,
    /// Where the batch of an offset must begin, of a segment without a summary.
    mark: Option<Mark>,
    /// Whether it is part of the log only if it joins the one before.
    must_join: bool,
}

/// One that has something to keep.
struct Found {
    source: Source,
    salvage: Salvage,
}

impl Log {
    /// Looks at a partition as `check` does, and sets right what that finds.
    pub(crate) fn repair(
        context: LogContext,
        config: LogConfig,
        copies: &Copies,
        repaired: &mut Repaired,
    ) -> Result<()> {
        let (directory, identity) = (context.directory.clone(), context.identity);
        let max_expanded_bytes = context.options.max_expanded_bytes;
        if !directory.exists()? {
            directory.create()?;
            Self::create(&directory, identity, &config)?;
            let reason = "the partition's directory was missing: it begins anew, empty".to_owned();
            let (path, lost) = (directory.path().to_path_buf(), 0..Offset::MAX);
            repaired.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
            return Ok(());
        }
        let now = context.clock.now();
        match Self::open(context, config.clone()) {
            Ok((log, _)) => {
                let mut checked = Checked::default();
                _ = log.check(&mut checked, &mut |_| ControlFlow::Continue(()))?;
                if checked.damages.is_empty() {
                    return log.rebuild_indexes(&checked, repaired);
                }
            }
            Err(error @ Error::Corrupt { .. }) => drop(error),
            Err(error @ Error::UnsupportedFormat { .. }) => {
                repaired.refused.push(error);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let state = match StateFile::read(&directory) {
            Ok(file) if file.state().identity != identity => {
                let reason =
                    "it is of another partition: whose the segments beside it are, nobody knows".to_owned();
                let path = directory.join(STATE_FILE);
                repaired.refused.push(Error::Corrupt { path, position: 0, offset: None, reason });
                return Ok(());
            }
            Ok(file) => Some(file.state().clone()),
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let repairs = &mut repaired.repairs;
        Mender { directory, identity, config, copies, repairs, max_expanded_bytes, now }.mend(state)
    }

    /// Index files are made anew by whoever needs them and finds them wrong.
    fn rebuild_indexes(&self, checked: &Checked, repaired: &mut Repaired) -> Result<()> {
        for segment in self.segment_list().iter() {
            if checked.stale_indexes.contains(&segment.log().path()) {
                segment.walk()?;
                repaired.indexes.push(segment.log().path());
            }
        }
        Ok(())
    }
}

struct Mender<'a> {
    directory: Directory,
    identity: Identity,
    config: LogConfig,
    copies: &'a Copies,
    repairs: &'a mut Vec<Repair>,
    max_expanded_bytes: usize,
    now: i64,
}

impl Mender<'_> {
    fn mend(mut self, state: Option<PartitionState>) -> Result<()> {
        if let Some(state) = &state {
            self.finish_swaps(&state.pending)?;
        } else {
            self.take_out(STATE_FILE, "the state file could not be read: it is made anew")?;
        }
        let (sources, strangers) = self.sources(state.as_ref())?;
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
            let reached = found.last().map_or(first, |last: &Found| last.salvage.tally.next_offset);
            match self.look_through(source, reached)? {
                Some(one) => {
                    end = end.max(one.salvage.tally.next_offset);
                    found.push(one);
                }
                None => obsolete.push(base),
            }
        }
        self.tell_of_the_end(&found, state.as_ref());
        if state.is_some() {
            let its = self.repairs.iter_mut().filter(|repair| repair.path.starts_with(self.directory.path()));
            its.for_each(|repair| repair.lost.end = repair.lost.end.min(end).max(repair.lost.start));
        }
        obsolete.retain(|base| *base != end && !found.iter().any(|one| one.source.base == *base));
        let log_start = state.as_ref().map_or(first, |state| state.log_start);
        let (sealed, pending) = self.write_anew(&found)?;
        let mut active =
            ActiveSegment::create(&self.directory, end, self.config.segment, ReadMode::Positional)?;
        let closed = AppendTimes::NONE.on(active.seal()?);
        let new = PartitionState {
            identity: self.identity,
            log_start: log_start.min(end),
            sealed,
            closed: Some(closed),
            cleaned_until: state.as_ref().map_or(0, |state| state.cleaned_until),
            pending,
            obsolete,
            mark: Mark { segment: end, offset: end, position: 0 },
            sequence: state.as_ref().map_or(0, |state| state.sequence),
        };
        self.commit(new)
    }

    /// Gives segments that a compaction had made part of the log their names.
    fn finish_swaps(&self, pending: &[Offset]) -> Result<()> {
        let entries = self.directory.list()?;
        for base in pending {
            let name = cleaned_log_name(*base);
            if entries.iter().any(|entry| entry.name == name) {
                self.directory.rename(&name, &segment_file_name(*base, SegmentFile::Log))?;
            }
        }
        self.directory.sync()
    }

    /// The files to look through, in order, and those that belong to nothing.
    fn sources(&mut self, state: Option<&PartitionState>) -> Result<(Vec<Source>, Vec<String>)> {
        let entries = self.directory.list()?;
        let mut bases: Vec<Offset> = entries
            .iter()
            .filter_map(|entry| parse_segment_file_name(&entry.name))
            .filter(|name| name.file == SegmentFile::Log)
            .map(|name| name.base)
            .collect();
        bases.sort_unstable();
        let cleaned = entries.iter().filter(|entry| parse_cleaned_log_name(&entry.name).is_some());
        let mut strangers: Vec<_> = cleaned.map(|entry| entry.name.clone()).collect();
        let mut sources = Vec::new();
        let known: Vec<_> = state.iter().flat_map(|state| state.sealed.iter().chain(&state.closed)).collect();
        for summary in &known {
            if bases.contains(&summary.base) {
                sources.push(self.known_source(**summary, state.and_then(|state| state.closed))?);
            } else {
                let path = self.directory.join(&segment_file_name(summary.base, SegmentFile::Log));
                let lost = summary.base..summary.next_offset;
                let reason = "the segment is missing".to_owned();
                self.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
            }
        }
        let from = known.last().map(|last| last.next_offset).or(state.map(|state| state.mark.segment));
        let is_closed = state.is_some_and(|state| state.closed.is_some());
        for (at, base) in bases.iter().copied().enumerate() {
            let is_known = known.iter().any(|summary| summary.base == base);
            if is_known || state.is_some_and(|state| state.obsolete.contains(&base)) {
                continue;
            }
            // What lies before the first is what retention took out.
            let first = known.first().map_or(0, |first| first.base);
            if base < first.min(state.map_or(0, |state| state.log_start)) {
                continue;
            }
            if from.is_some_and(|from| base < from) {
                strangers.push(segment_file_name(base, SegmentFile::Log));
            } else {
                let until = bases.get(at + 1).copied().unwrap_or(Offset::MAX);
                let mark = state.map(|state| state.mark).filter(|mark| mark.segment == base && !is_closed);
                let (summary, was_gapless) = (None, state.is_some());
                sources.push(Source { base, summary, until, was_gapless, mark, must_join: is_closed });
            }
        }
        Ok((sources, strangers))
    }

    /// A segment of the table. The last one of a clean close cannot grow: if it did, the state file is an earlier one.
    fn known_source(&self, summary: SegmentSummary, closed: Option<SegmentSummary>) -> Result<Source> {
        let name = segment_file_name(summary.base, SegmentFile::Log);
        let len = self.directory.open(&name, OpenMode::Read)?.len()?;
        let (base, until, was_gapless) = (summary.base, summary.next_offset, !summary.is_sparse);
        if closed != Some(summary) || len <= summary.bytes {
            let summary = Some(summary);
            return Ok(Source { base, summary, until, was_gapless, mark: None, must_join: false });
        }
        let mark = Some(Mark { segment: base, offset: until, position: summary.bytes });
        Ok(Source { base, summary: None, until: Offset::MAX, was_gapless, mark, must_join: false })
    }

    /// Finds what is sound in a segment, and copies what is not. `None` when nothing of it stays.
    fn look_through(&mut self, source: Source, reached: Offset) -> Result<Option<Found>> {
        let name = segment_file_name(source.base, SegmentFile::Log);
        let log = LogFile::lazy(self.directory.clone(), name.clone(), ReadMode::Positional);
        let known = Known {
            base: source.base,
            until: source.until,
            was_gapless: source.was_gapless,
            sealed_bytes: source.summary.map(|summary| summary.bytes),
            interval_bytes: self.config.segment.index_interval_bytes,
        };
        let limit = self.max_expanded_bytes;
        let mut judge = |header: &BatchHeader, batch: &[u8]| {
            count_records(header, batch.get(BatchHeader::LEN..).unwrap_or_default(), limit).map(drop)
        };
        let salvage = salvage(&log, known, &mut judge)?;
        if is_foreign(&salvage, &source) || source.must_join && source.base != reached {
            let why = "its batches are not those that were written there";
            self.copy_out(&name, 0..salvage.len, source.base..source.until, why)?;
            return Ok(None);
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
                "what the checksum does not cover was wrong; it is known and put right",
            )?;
        }
        Ok((!salvage.kept.is_empty()).then_some(Found { source, salvage }))
    }

    /// Records that were synced and are nowhere.
    fn tell_of_the_end(&mut self, found: &[Found], state: Option<&PartitionState>) {
        let Some(mark) = state.filter(|state| state.closed.is_none()).map(|state| state.mark) else { return };
        let reached = found.last().map_or(mark.segment, |last| last.salvage.tally.next_offset);
        let is_told = self.repairs.iter().any(|repair| {
            repair.path.starts_with(self.directory.path())
                && repair.lost.end >= mark.offset
                && !repair.lost.is_empty()
        });
        if reached < mark.offset && !is_told {
            let base = found.last().map_or(mark.segment, |last| last.source.base);
            let path = self.directory.join(&segment_file_name(base, SegmentFile::Log));
            let reason = format!("records up to offset {} were synced and are missing", mark.offset);
            let lost = reached..mark.offset;
            self.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
        }
    }

    /// The table, with what is written anew in it under its temporary name.
    fn write_anew(&self, found: &[Found]) -> Result<(Vec<SegmentSummary>, Vec<Offset>)> {
        let (mut sealed, mut pending) = (Vec::new(), Vec::new());
        for Found { source, salvage } in found {
            let times = match &source.summary {
                Some(summary) => AppendTimes::of(summary),
                None => AppendTimes::found(salvage.tally.first_timestamp, self.now),
            };
            if salvage.is_whole() {
                sealed.push(source.summary.unwrap_or_else(|| times.on(salvage.summary())));
                continue;
            }
            let name = segment_file_name(source.base, SegmentFile::Log);
            let file = self.directory.open(&name, OpenMode::Read)?;
            let interval = self.config.segment.index_interval_bytes;
            self.directory.check_space(salvage.tally.bytes)?;
            let mut new = NewSegment::begin(&self.directory, source.base, interval)?;
            for kept in &salvage.kept {
                let mut batch = file.read(kept.position, kept.header.total_len())?;
                if kept.is_mended {
                    let written = kept.header.encode_into(&mut batch);
                    written.map_err(|malformed| Error::invalid(malformed.to_string()))?;
                }
                new.append(&kept.header, &batch)?;
            }
            let until = source.summary.map_or(salvage.tally.next_offset, |summary| summary.next_offset);
            let Some(finished) = new.finish(until)? else { continue };
            let delete_horizon = source.summary.map_or(crate::types::NO_TIMESTAMP, |s| s.delete_horizon);
            sealed.push(SegmentSummary { delete_horizon, ..times.on(finished.summary) });
            pending.push(source.base);
        }
        Ok((sealed, pending))
    }

    fn commit(&self, new: PartitionState) -> Result<()> {
        self.directory.sync()?;
        let mut file = StateFile::create(&self.directory, new.clone())?;
        for base in &new.pending {
            self.directory.rename(&cleaned_log_name(*base), &segment_file_name(*base, SegmentFile::Log))?;
            // Hints of what stood there before.
            for hint in [SegmentFile::Index, SegmentFile::TimeIndex] {
                self.directory.remove_if_there(&segment_file_name(*base, hint))?;
            }
        }
        self.directory.sync()?;
        for name in
            new.obsolete.iter().flat_map(|base| SegmentFile::ALL.map(|file| segment_file_name(*base, file)))
        {
            self.directory.remove_if_there(&name)?;
        }
        for entry in
            self.directory.list()?.iter().filter(|entry| parse_cleaned_log_name(&entry.name).is_some())
        {
            self.directory.remove(&entry.name)?;
        }
        self.directory.sync()?;
        Ok(file.replace(PartitionState { pending: Vec::new(), obsolete: Vec::new(), ..new })?)
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

/// Behind all offsets that were given out for certain.
fn known_end(state: &PartitionState) -> Offset {
    let last = state.closed.as_ref().or(state.sealed.last()).map_or(0, |last| last.next_offset);
    // A clean close leaves the mark of an earlier moment.
    last.max(state.mark.offset)
}

/// Whether a file's batches, sound as they may be, are others than those that were written to it.
fn is_foreign(salvage: &Salvage, source: &Source) -> bool {
    let Some(summary) = &source.summary else {
        return source.was_gapless && salvage.begins_elsewhere
            || source.mark.is_some_and(|mark| contradicts(salvage, &mark));
    };
    if salvage.is_whole() {
        let found = salvage.summary();
        return found.headers_crc != summary.headers_crc || found.record_count != summary.record_count;
    }
    let is_cut = salvage.len < summary.bytes
        && salvage.dropped.iter().all(|dropped| dropped.range.end == salvage.len)
        && !salvage.kept.iter().any(|kept| kept.is_mended);
    if salvage.len != summary.bytes && !is_cut {
        return true;
    }
    let first = salvage.kept.iter().find(|kept| kept.header.record_count > 0);
    let begins_otherwise = first
        .is_some_and(|first| first.position == 0 && first.header.max_timestamp != summary.first_timestamp);
    begins_otherwise || salvage.kept.iter().any(|kept| kept.header.max_timestamp > summary.max_timestamp)
}

/// Whether a sound batch lies where none can, if a batch of the mark's offset began at its position.
fn contradicts(salvage: &Salvage, mark: &Mark) -> bool {
    salvage.kept.iter().any(|kept| {
        let end = kept.position + kept.header.total_len() as u64;
        kept.position < mark.position && mark.position < end
            || kept.position == mark.position && kept.header.base_offset != mark.offset
            || end == mark.position && kept.header.next_offset() != mark.offset
    })
}

#[cfg(test)]
mod tests;
