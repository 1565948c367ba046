//! Opening a partition: reading its state file, and judging what a crash may have left. Changes no byte.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    BatchHeader, Identity, SegmentFile, SegmentSummary, cleaned_log_name, parse_cleaned_log_name,
    parse_segment_file_name, segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::log::log::Log;
use crate::log::open::known_producers::{KnownProducers, producers_behind};
use crate::log::open::report::{RecoveryReport, TornTail};
use crate::log::producers::table::ProducerTable;
use crate::log::segment_list::SegmentList;
use crate::log::table::names::is_half_written;
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::log::write::append_times::AppendTimes;
use crate::segment::{LogFile, ReadMode, Scan, Segment, Tail, scan};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp, TopicPartition};

/// How the partition was left.
#[derive(Debug)]
pub(in crate::log) enum LastClose {
    /// Closed; this is its last segment.
    Clean(SegmentSummary),
    /// In the middle of things. The segments after the sealed ones, oldest first, the last one active; never empty.
    Unclean(Vec<Scan>),
}

/// A partition as found.
#[derive(Debug)]
pub(in crate::log) struct Examined {
    pub(in crate::log) state: StateFile,
    pub(in crate::log) last_close: LastClose,
    pub(in crate::log) segments: SegmentList,
    pub(in crate::log) leftovers: Leftovers,
    /// What is known of its producers.
    pub(in crate::log) producers: ProducerTable,
    /// Where the snapshot ends that this was begun with: the log tells the rest.
    pub(in crate::log) producers_from: Offset,
    pub(in crate::log) end: Offset,
    pub(in crate::log) durable: Offset,
    pub(in crate::log) report: RecoveryReport,
    /// A settling has failed half way: the files may be others by now.
    pub(in crate::log) is_half_settled: bool,
}

/// What a crash kept the last life of the partition from doing to its files, by their bases.
#[derive(Debug, Default)]
pub(in crate::log) struct Leftovers {
    /// Taken out of the log, to be removed.
    pub(in crate::log) segments: Vec<Offset>,
    /// Rewritten, but not part of the log: to be removed.
    pub(in crate::log) cleaned: Vec<Offset>,
    /// Rewritten and part of the log: to be given their names.
    pub(in crate::log) pending: Vec<Offset>,
    /// Names of files that were being written: to be removed.
    pub(in crate::log) half_written: Vec<String>,
}

impl Examined {
    /// When the last segment was appended to.
    pub(in crate::log) fn appended(&self, now: Timestamp) -> AppendTimes {
        match &self.last_close {
            LastClose::Clean(closed) => AppendTimes::of(closed),
            LastClose::Unclean(scans) => match scans.last() {
                Some(scan) if scan.tally.bytes > 0 => AppendTimes::found(scan.tally.first_timestamp, now),
                _ => AppendTimes::NONE,
            },
        }
    }

    /// Where the first segment begins that the state file does not list as sealed.
    pub(in crate::log) fn unsealed_from(&self) -> Offset {
        match &self.last_close {
            LastClose::Clean(closed) => closed.base,
            LastClose::Unclean(scans) => scans.first().map_or(self.end, |scan| scan.tally.base),
        }
    }

    /// When the partition was last appended to, by the clock of that time; -1 when that is not known.
    pub(in crate::log) fn last_append(&self) -> Timestamp {
        let state = self.state.state();
        state.closed.as_ref().or(state.sealed.last()).map_or(NO_TIMESTAMP, |segment| segment.last_append)
    }
}

/// Looks at the partition in `directory`, which must be the one that `identity` tells of.
pub(in crate::log) fn examine(
    directory: &Directory,
    identity: Identity,
    topic_partition: &TopicPartition,
    how: Examine,
) -> Result<Examined> {
    let file = Log::state_in(directory, identity, how.index_interval_bytes)?;
    check_identity(directory, &file, identity)?;
    if let Some(closed) = file.state().closed.filter(|_| !file.is_written()) {
        // It was never appended to.
        let segment = Segment::empty(directory, closed.base, how.index_interval_bytes);
        let found = (Leftovers::default(), vec![Arc::new(segment)], KnownProducers::nobody(0));
        return Ok(as_closed((file, closed), found, topic_partition));
    }
    let names = Names::list(directory)?;
    let state = file.state();
    let (cleaned, pending) = names.cleaned.iter().partition(|base| !state.pending.contains(base));
    let half_written = names.half_written;
    let mut leftovers = Leftovers { segments: Vec::new(), cleaned, pending, half_written };
    let known: BTreeSet<_> = state.sealed.iter().chain(&state.closed).map(|segment| segment.base).collect();
    if let Some(absent) =
        known.iter().find(|base| !names.logs.contains(base) && !leftovers.pending.contains(base))
    {
        return Err(corrupt(directory, *absent, 0, "the segment is missing"));
    }
    let first = known.first().copied().unwrap_or(state.mark.segment);
    let behind = state.closed.or(state.sealed.last().copied());
    let from = behind.map_or(state.mark.segment, |segment| segment.next_offset);
    let mut open = Vec::new();
    for base in names.logs.iter().copied().filter(|base| !known.contains(base)) {
        if state.obsolete.contains(&base) || base < first.min(state.log_start) {
            leftovers.segments.push(base);
        } else if base < from || state.closed.is_some() {
            let reason = "the state file knows no such segment: was it copied from elsewhere?";
            return Err(corrupt(directory, base, 0, reason));
        } else {
            open.push(base);
        }
    }
    match state.closed {
        Some(closed) => clean(directory, file, closed, (leftovers, topic_partition, how)),
        None => unclean(directory, file, &open, (leftovers, topic_partition, how)),
    }
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct Examine {
    pub(in crate::log) read_mode: ReadMode,
    pub(in crate::log) index_interval_bytes: u32,
}

pub(in crate::log) fn check_identity(
    directory: &Directory,
    file: &StateFile,
    expected: Identity,
) -> Result<()> {
    let found = file.state().identity;
    let reason = match found {
        _ if found == expected => return Ok(()),
        _ if found.store != expected.store => "it belongs to another store",
        _ if found.topic != expected.topic => {
            "it belongs to another topic, or to an earlier one of this name"
        }
        _ => "it belongs to another partition",
    };
    let path = directory.join(STATE_FILE);
    Err(Error::corrupt(path, 0, None, reason))
}

/// The segments whose `.log` is there, by their bases.
struct Names {
    logs: BTreeSet<Offset>,
    /// Under the name of one that was rewritten.
    cleaned: BTreeSet<Offset>,
    /// Other files that have no name of their own yet.
    half_written: Vec<String>,
}

impl Names {
    fn list(directory: &Directory) -> Result<Self> {
        let names = directory.list()?;
        let parsed = names.iter().filter_map(|entry| parse_segment_file_name(&entry.name));
        let logs = parsed.filter(|name| name.file == SegmentFile::Log).map(|name| name.base).collect();
        let cleaned = names.iter().filter_map(|entry| parse_cleaned_log_name(&entry.name)).collect();
        let names = names.into_iter().map(|entry| entry.name);
        Ok(Self { logs, cleaned, half_written: names.filter(|name| is_half_written(name)).collect() })
    }
}

/// The segments that the state file lists. One that was rewritten may still have its temporary name.
fn listed(directory: &Directory, file: &StateFile, pending: &[Offset], mode: ReadMode) -> Vec<Arc<Segment>> {
    let state = file.state();
    let segment = |summary: &SegmentSummary| {
        let temporary = pending.contains(&summary.base);
        let base = summary.base;
        let name = if temporary { cleaned_log_name(base) } else { segment_file_name(base, SegmentFile::Log) };
        Arc::new(Segment::sealed_as(directory, *summary, name, mode))
    };
    state.sealed.iter().chain(&state.closed).map(segment).collect()
}

fn clean(
    directory: &Directory,
    file: StateFile,
    closed: SegmentSummary,
    (leftovers, topic_partition, how): (Leftovers, &TopicPartition, Examine),
) -> Result<Examined> {
    let name = segment_file_name(closed.base, SegmentFile::Log);
    let len = directory.open(&name, OpenMode::Read)?.len()?;
    if len != closed.bytes {
        let reason = format!("the file has {len} bytes, the clean close left {}", closed.bytes);
        return Err(corrupt(directory, closed.base, len.min(closed.bytes), &reason));
    }
    check_start(directory, &file, closed.next_offset)?;
    let segments = listed(directory, &file, &leftovers.pending, how.read_mode);
    let producers = producers_behind(directory, file.state(), &segments)?;
    Ok(as_closed((file, closed), (leftovers, segments, producers), topic_partition))
}

/// What nobody writes to, and as it is found.
fn as_closed(
    (file, closed): (StateFile, SegmentSummary),
    (leftovers, segments, producers): (Leftovers, Vec<Arc<Segment>>, KnownProducers),
    topic_partition: &TopicPartition,
) -> Examined {
    let end = closed.next_offset;
    let report = RecoveryReport {
        topic_partition: topic_partition.clone(),
        clean: true,
        scanned_bytes: 0,
        end,
        torn: None,
        failure: None,
        skipped: Vec::new(),
        let_go: Vec::new(),
        lost_snapshot: producers.lost,
    };
    let (producers, producers_from) = (producers.table, producers.from);
    let segments = SegmentList::new(file.state().log_start, segments);
    let (last_close, durable, is_half_settled) = (LastClose::Clean(closed), end, false);
    Examined {
        state: file,
        last_close,
        segments,
        leftovers,
        producers,
        producers_from,
        end,
        durable,
        report,
        is_half_settled,
    }
}

fn unclean(
    directory: &Directory,
    file: StateFile,
    open: &[Offset],
    (leftovers, topic_partition, how): (Leftovers, &TopicPartition, Examine),
) -> Result<Examined> {
    let state = file.state();
    let mut segments = listed(directory, &file, &leftovers.pending, how.read_mode);
    let mut expected = state.sealed.last().map_or(state.mark.segment, |segment| segment.next_offset);
    let mut report = RecoveryReport {
        topic_partition: topic_partition.clone(),
        clean: false,
        scanned_bytes: 0,
        end: expected,
        torn: None,
        failure: None,
        skipped: Vec::new(),
        let_go: Vec::new(),
        lost_snapshot: None,
    };
    let mut scans = Vec::new();
    let mut producers = producers_behind(directory, file.state(), &segments)?;
    report.lost_snapshot = producers.lost.take();
    for (number, base) in open.iter().copied().enumerate() {
        if base > expected && number > 0 || base > expected.max(state.mark.offset) {
            return Err(missing_before(directory, base, expected));
        }
        let until = open.get(number + 1).copied().unwrap_or(Offset::MAX);
        // Read positionally until the first append: that one may cut the file.
        let log =
            LogFile::lazy(directory.clone(), segment_file_name(base, SegmentFile::Log), ReadMode::Positional);
        let mut witness = |header: &BatchHeader, body: &[u8]| producers.take(header, body);
        let scan = scan(&log, base, how.index_interval_bytes, until, &mut witness)?;
        report.scanned_bytes += scan.tally.bytes;
        if let (Tail::Torn { bytes, reason }, Offset::MAX) = (&scan.tail, until) {
            let path = directory.join(&segment_file_name(base, SegmentFile::Log));
            let (position, bytes, reason) = (scan.tally.bytes, *bytes, reason.clone());
            report.scanned_bytes += bytes;
            report.torn = Some(TornTail { path, position, bytes, reason });
        }
        expected = scan.tally.next_offset;
        segments.push(Arc::new(Segment::scanned(log, &scan)));
        scans.push(scan);
    }
    check_mark(directory, &file, &scans, expected)?;
    check_start(directory, &file, expected)?;
    report.end = expected;
    let durable = state.mark.offset;
    let (segments, last_close) = (SegmentList::new(state.log_start, segments), LastClose::Unclean(scans));
    let (producers, producers_from) = (producers.table, producers.from);
    let (end, is_half_settled) = (expected, false);
    Ok(Examined {
        state: file,
        last_close,
        segments,
        leftovers,
        producers,
        producers_from,
        end,
        durable,
        report,
        is_half_settled,
    })
}

/// What was synced must be there. A tail that ends below the mark is not torn, it is damaged.
fn check_mark(directory: &Directory, file: &StateFile, scans: &[Scan], end: Offset) -> Result<()> {
    let mark = file.state().mark;
    let Some(last) = scans.last() else { return Err(missing_before(directory, mark.segment, mark.segment)) };
    if end < mark.offset || mark.segment == last.tally.base && mark.position > last.tally.bytes {
        let why = match &last.tail {
            Tail::Torn { reason, .. } => reason,
            Tail::Clean => "it ends there",
        };
        let reason = format!("records up to offset {} were synced, but {why}", mark.offset);
        let path = directory.join(&segment_file_name(last.tally.base, SegmentFile::Log));
        return Err(Error::corrupt(path, last.tally.bytes, Some(end), reason));
    }
    match scans.iter().find(|scan| scan.tally.base == mark.segment) {
        Some(scan) if !is_at_mark(directory, file, scan)? => {
            let base = scan.tally.base;
            let reason = format!("no batch of offset {} begins there, as was synced", mark.offset);
            Err(corrupt(directory, base, mark.position, &reason))
        }
        Some(_) => Ok(()),
        // What stands behind it begins where the mark is, and does not say that the records before are gone.
        None => Err(missing_before(directory, mark.segment, mark.segment)),
    }
}

/// Whether the segment of the mark goes on, or ends, where the mark says. If it does not, its batches are whole and are
/// not those that were synced: a file of another life of this partition.
fn is_at_mark(directory: &Directory, file: &StateFile, scan: &Scan) -> Result<bool> {
    let mark = file.state().mark;
    if mark.position == scan.tally.bytes {
        return Ok(mark.offset == scan.tally.next_offset);
    }
    let log = directory.open(&segment_file_name(scan.tally.base, SegmentFile::Log), OpenMode::Read)?;
    let header = BatchHeader::decode(&log.read(mark.position, BatchHeader::LEN)?);
    Ok(header.is_ok_and(|header| header.base_offset == mark.offset))
}

fn check_start(directory: &Directory, file: &StateFile, end: Offset) -> Result<()> {
    let start = file.state().log_start;
    if (0..=end).contains(&start) {
        return Ok(());
    }
    let reason = format!("the log would begin at offset {start} and end at {end}");
    Err(Error::corrupt(directory.join(STATE_FILE), 0, None, reason))
}

fn missing_before(directory: &Directory, base: Offset, expected: Offset) -> Error {
    corrupt(
        directory,
        base,
        0,
        &format!("the segment that begins at offset {expected} is missing or too short"),
    )
}

fn corrupt(directory: &Directory, base: Offset, position: u64, reason: &str) -> Error {
    let path = directory.join(&segment_file_name(base, SegmentFile::Log));
    Error::corrupt(path, position, Some(base), reason)
}
