//! Looking through all files of a log that is to be adopted: sizes, checksums, records, offsets.

use crate::error::Result;
use crate::format::{AbortedTransaction, BatchHeader, Malformed, RawRecord, SegmentSummary};
use crate::io::{Directory, Link};
use crate::log::adopt::source::{Source, SourceFile, refusal, refused};
use crate::log::check::verify::count_records;
use crate::log::log::Log;
use crate::log::open::report::TornTail;
use crate::log::producers::table::ProducerTable;
use crate::log::write::append_times::AppendTimes;
use crate::segment::{
    Bounds, Known, LogFile, Misfit, ReadMode, SparseIndex, Survey, salvage, summarize, survey,
};
use crate::types::{Offset, Timestamp};

/// A log that was looked through, and found sound.
#[derive(Debug)]
pub(crate) struct Adoptee {
    pub(super) directory: Directory,
    /// Oldest first.
    pub(super) files: Vec<Inspected>,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(super) producers: ProducerTable,
    pub(super) cleaned_until: Offset,
    /// What is not taken over.
    pub(crate) torn: Option<TornTail>,
}

/// A `.log` that was looked through.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) name: String,
    pub(super) summary: SegmentSummary,
    pub(super) index: SparseIndex,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// CRC-32 of the bytes that count.
    pub(super) content: u32,
    /// The file is longer than what counts of it.
    pub(super) has_tail: bool,
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspection {
    pub(crate) max_expanded_bytes: usize,
    pub(crate) index_interval_bytes: u32,
    /// When segments that nobody tells of were appended to last.
    pub(crate) now: Timestamp,
    /// Whether an empty directory is a partition that was never appended to: one of annals is, and a broker has no such.
    pub(crate) is_of_annals: bool,
}

impl Log {
    /// Looks through the log in `directory`, which is to start at `start` or where it starts there. Changes nothing.
    pub(crate) fn inspect(directory: Directory, start: Option<Offset>, how: Inspection) -> Result<Adoptee> {
        let source = Source::find(&directory, how)?;
        let mut looked = Looked {
            end: source.end,
            files: Vec::new(),
            first: None,
            producers: ProducerTable::default(),
            torn: source.torn,
        };
        for (at, file) in source.files.iter().enumerate() {
            let is_last = at + 1 == source.files.len();
            looked.look_through(&directory, file, (is_last, how))?;
        }
        let end = looked.end;
        let start = start.or(source.start).or(looked.first).unwrap_or(end);
        if !(0..=end).contains(&start) {
            let reason =
                format!("it ends at offset {end} and cannot start at {start}: ask for a start up to there");
            return Err(refusal(directory.path().to_path_buf(), (0, Some(start)), reason));
        }
        let producers = source.producers.unwrap_or(looked.producers);
        if let Some(file) = looked.files.last()
            && !has_room_for_ends(&producers, end)
        {
            let reason = "a transaction in it has no end, and no offset is left for the marker that would abort it: have a \
                          broker copy the topic to a new one";
            let place = (file.summary.bytes, Some(end));
            return Err(refusal(directory.join(&file.name), place, reason.to_owned()));
        }
        Ok(Adoptee {
            directory,
            files: looked.files,
            start,
            end,
            producers,
            cleaned_until: source.cleaned_until,
            torn: looked.torn,
        })
    }
}

impl Adoptee {
    /// Bytes of all its batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.summary.bytes).sum()
    }

    /// Of these, those that are copied whatever links there are: a link cannot be cut.
    pub(crate) fn bytes_to_copy(&self, link: Option<Link>) -> u64 {
        let copied = self.files.iter().filter(|file| link.is_none() || file.has_tail);
        copied.map(|file| file.summary.bytes).sum()
    }

    /// Records of all its batches.
    pub(crate) fn records(&self) -> u64 {
        self.files.iter().map(|file| file.summary.record_count).sum()
    }

    /// How many segments hold them.
    pub(crate) fn segments(&self) -> usize {
        self.files.len()
    }
}

/// Whether each transaction without an end can get one behind the files: there is an offset after each batch.
fn has_room_for_ends(producers: &ProducerTable, end: Offset) -> bool {
    let unended = Offset::try_from(producers.open_transactions().len()).unwrap_or(Offset::MAX);
    end.checked_add(unended).is_some()
}

/// Who looks for a time goes by the header, here as in a broker: a record above it would never be found. That is no damage, for all readers
/// read it; but it is not to come into a store.
fn check_time(header: &BatchHeader, record: &RawRecord<'_>) -> std::result::Result<(), Malformed> {
    let (time, most) = (record.timestamp, header.max_timestamp);
    if time <= most {
        return Ok(());
    }
    let why = format!("a record of time {time}, the header says {most} at most");
    Err(Malformed::invalid(BatchHeader::MAX_TIMESTAMP, why))
}

/// What was seen so far.
struct Looked {
    files: Vec<Inspected>,
    /// Of all batches.
    first: Option<Offset>,
    end: Offset,
    producers: ProducerTable,
    torn: Option<TornTail>,
}

impl Looked {
    fn look_through(
        &mut self,
        directory: &Directory,
        file: &SourceFile,
        (is_last, how): (bool, Inspection),
    ) -> Result<()> {
        let log = LogFile::lazy(directory.clone(), file.name.clone(), ReadMode::Positional);
        let len = log.len()?;
        if let Some(summary) = file.summary.filter(|summary| summary.bytes != len) {
            let reason = format!("the file has {len} bytes, {} were sealed", summary.bytes);
            return Err(refused(log.broken(len.min(summary.bytes), file.base, reason)));
        }
        let bounds = Bounds {
            base: file.base,
            until: file.until,
            bytes: file.bytes,
            interval_bytes: how.index_interval_bytes,
        };
        let mut judge = |header: &BatchHeader, batch: &[u8]| {
            let body = batch.get(BatchHeader::LEN..).unwrap_or_default();
            let shown = |record: &RawRecord<'_>| check_time(header, record);
            count_records((header, body), how.max_expanded_bytes, shown).map(drop)
        };
        let mut witness = |header: &BatchHeader, body: &[u8]| match header.producer_id < 0 {
            true => None,
            false => self.producers.replay(header, body),
        };
        let found = survey(&log, bounds, &mut judge, &mut witness)?;
        if let Some(misfit) = &found.misfit {
            let is_torn = is_last && file.bytes.is_none() && is_torn(&log, (file.base, misfit, &found), how)?;
            if !is_torn {
                return Err(refused(log.broken(
                    found.tally.bytes,
                    found.tally.next_offset,
                    misfit.reason.clone(),
                )));
            }
            let (position, bytes, reason) = (found.tally.bytes, misfit.bytes, misfit.reason.clone());
            self.torn = Some(TornTail { path: log.path(), position, bytes, reason });
        }
        let summary = summary_of(&log, file, &found, how)?;
        self.first = self.first.or(found.first_offset);
        self.end = self.end.max(summary.next_offset);
        if found.tally.bytes > 0 {
            self.files.push(Inspected {
                name: file.name.clone(),
                has_tail: len > found.tally.bytes,
                summary,
                index: found.index,
                aborted: found.aborted,
                content: found.content.finalize(),
            });
        }
        Ok(())
    }
}

/// Whether what lies after the last whole batch of a log is the beginning of one more: then it was never acknowledged, or
/// is in the middle of being written. Anything else is damage, a whole batch with a wrong checksum too.
fn is_torn(
    log: &LogFile,
    (base, misfit, found): (Offset, &Misfit, &Survey),
    how: Inspection,
) -> Result<bool> {
    if !misfit.is_cut_off {
        return Ok(false);
    }
    // A wrong length would lead behind the end, too.
    let known = Known {
        base,
        until: Offset::MAX,
        was_gapless: false,
        sealed_bytes: None,
        headers_crc: None,
        interval_bytes: how.index_interval_bytes,
    };
    let searched = salvage(log, known, &mut |_, _| Ok(()))?;
    Ok(!searched.kept.iter().any(|kept| kept.position > found.tally.bytes))
}

/// What the state file is to say of it. Where another state file spoke of it, the two must agree.
fn summary_of(log: &LogFile, file: &SourceFile, found: &Survey, how: Inspection) -> Result<SegmentSummary> {
    let summary = SegmentSummary { is_sparse: !found.is_gapless, ..summarize(&found.tally, &found.index) };
    let Some(told) = file.summary else {
        return Ok(AppendTimes::found(found.tally.first_timestamp, how.now).on(summary));
    };
    if told.headers_crc != summary.headers_crc || told.record_count != summary.record_count {
        return Err(refused(log.broken(0, file.base, "its batches differ from those that were sealed")));
    }
    let summary = SegmentSummary {
        next_offset: told.next_offset,
        delete_horizon: told.delete_horizon,
        is_sparse: told.is_sparse,
        ..summary
    };
    Ok(AppendTimes::of(&told).on(summary))
}
