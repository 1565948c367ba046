//! Checking every byte of a partition that is checked by anything, without changing one.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Codec, Decompressor, Malformed, RawRecord, RecordIter, SegmentSummary};
use crate::log::check::transactions::TransactionCheck;
use crate::log::log::Log;
use crate::log::open::TornTail;
use crate::log::open::recovery::LastClose;
use crate::log::write::writer::Phase;
use crate::segment::{Cursor, Segment, StoredBatch};
use crate::types::Offset;

/// A place in a store's files that does not contain what was written there.
///
/// ```no_run
/// for damage in annals::Store::verify("shop-log")?.findings {
///     println!("{damage}");
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Byte position of the damage, or of the batch that contains it.
    pub position: u64,
    /// Base offset of the batch, or the offset expected there; `None` in files that contain no batches.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.path.display(), self.position)?;
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl Damage {
    /// What an error tells of a file's content; `None` when it tells of something else.
    pub(crate) fn told_by(error: &Error) -> Option<Self> {
        match error {
            Error::Corrupt { path, position, offset, reason, .. } => Some(Self {
                path: path.clone(),
                position: *position,
                offset: *offset,
                reason: reason.clone(),
            }),
            Error::UnsupportedFormat { path, .. } => {
                Some(Self { path: path.clone(), position: 0, offset: None, reason: error.to_string() })
            }
            _ => None,
        }
    }
}

/// What a check of a whole store found, or has found so far.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// store.close()?;
/// let found = Store::verify(dir.path())?;
/// assert!(found.is_sound());
/// assert_eq!((found.partitions, found.batches, found.records), (1, 1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Partitions examined.
    pub partitions: u64,
    /// Segments examined.
    pub segments: u64,
    /// Batches found.
    pub batches: u64,
    /// Records of the undamaged batches, including those below the partition's start in its first segment, which are never read.
    pub records: u64,
    /// Bytes of the batches found.
    pub bytes: u64,
    /// What is not as it was written.
    pub findings: Vec<Damage>,
    /// What a crash left after the last complete batch of a partition. This is not damage: the next append cuts it off.
    pub torn: Vec<TornTail>,
    /// The `.log` files whose indexes, including the index of aborted transactions, are missing or differ from the log, and the
    /// snapshots of producers that are missing or differ. This is not damage: what they contain is derived from the log when needed.
    pub stale_indexes: Vec<PathBuf>,
}

impl VerifyReport {
    /// Returns whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Notes damage; any other failure ends the check.
    pub(crate) fn note(&mut self, error: Error) -> Result<()> {
        match Damage::told_by(&error) {
            Some(damage) => {
                self.findings.push(damage);
                Ok(())
            }
            None => Err(error),
        }
    }
}

impl Log {
    /// Walks every batch of every segment: its place, its checksum, its records; then what the state file says of all of
    /// them. `go_on` is asked after each segment.
    pub(crate) fn check(
        &self,
        report: &mut VerifyReport,
        go_on: &mut dyn FnMut(&VerifyReport) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let (summaries, named) = self.listed();
        let mut transactions = TransactionCheck::new(named, &self.directory)?;
        for segment in self.segment_list().iter() {
            let summary = summaries.iter().find(|summary| summary.base == segment.base());
            self.check_segment(segment, summary, (&mut transactions, report))?;
            report.segments += 1;
            if go_on(report).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        transactions.come_to(Offset::MAX, &self.directory, report)?;
        Ok(ControlFlow::Continue(()))
    }

    /// What the state file says of segments that nobody appends to, and which snapshot of producers it names.
    pub(in crate::log) fn listed(&self) -> (Vec<SegmentSummary>, Option<Offset>) {
        let writer = self.writer.lock();
        let (state, closed) = match &writer.phase {
            Phase::Open(open) => (open.state.state(), None),
            Phase::Untouched(found) => match found.last_close {
                // Where nothing was ever appended there are no files to compare.
                LastClose::Clean(closed) if found.state.is_written() => (found.state.state(), Some(closed)),
                LastClose::Clean(_) | LastClose::Unclean(_) => (found.state.state(), None),
            },
            Phase::Followed(_) | Phase::Closed => return (Vec::new(), None),
        };
        (state.sealed.iter().copied().chain(closed).collect(), state.producers_at)
    }

    fn check_segment(
        &self,
        segment: &Arc<Segment>,
        summary: Option<&SegmentSummary>,
        (transactions, report): (&mut TransactionCheck, &mut VerifyReport),
    ) -> Result<()> {
        let before = (report.findings.len(), report.records);
        let mut headers = crc32fast::Hasher::new();
        let mut cursor = Some(segment.from_start());
        while let Some(mut at) = cursor.take() {
            match at.next_batch() {
                Ok(Some(batch)) => {
                    headers.update(batch.bytes().get(..BatchHeader::LEN).unwrap_or_default());
                    report.bytes += batch.bytes().len() as u64;
                    report.batches += 1;
                    transactions.come_to(batch.header().base_offset, &self.directory, report)?;
                    match self.count_records(&batch) {
                        Ok(records) => {
                            report.records += records;
                            transactions.add(batch.header(), batch.body());
                        }
                        Err(malformed) => {
                            let offset = batch.header().base_offset;
                            transactions.go_blind();
                            report.note(segment.log().damaged(batch.position(), offset, malformed))?;
                        }
                    }
                    cursor = Some(at);
                }
                Ok(None) => {}
                Err(error) => {
                    report.note(error)?;
                    transactions.go_blind();
                    cursor = behind(segment, summary, at.position())?;
                }
            }
        }
        let has_aborted = transactions.end_segment(segment, summary, report)?;
        let Some(summary) = summary else { return Ok(()) };
        if before.0 == report.findings.len() {
            // Every batch is sound by itself: together they must be what was sealed.
            let records = report.records - before.1;
            if headers.finalize() != summary.headers_crc || records != summary.record_count {
                let why = format!("{records} records in batches that differ from those that were sealed");
                report.note(segment.log().broken(0, segment.base(), why))?;
            }
        }
        let len = segment.log().len()?;
        if len > summary.bytes {
            let why = format!("{} bytes follow the {} that were sealed", len - summary.bytes, summary.bytes);
            report.note(segment.log().broken(summary.bytes, summary.next_offset, why))?;
        }
        if !has_aborted || segment.stored_index(summary)?.is_none() {
            report.stale_indexes.push(segment.log().path());
        }
        Ok(())
    }

    /// The number of records of a batch that is sound.
    fn count_records(&self, batch: &StoredBatch) -> std::result::Result<u64, Malformed> {
        BatchHeader::verify_crc(batch.bytes())?;
        count_records((batch.header(), batch.body()), self.options.max_expanded_bytes, |_| Ok(()))
    }
}

/// The number of records of a batch whose checksum fits; `each` may refuse one.
pub(in crate::log) fn count_records(
    (header, body): (&BatchHeader, &[u8]),
    max_expanded_bytes: usize,
    mut each: impl FnMut(&RawRecord<'_>) -> std::result::Result<(), Malformed>,
) -> std::result::Result<u64, Malformed> {
    let mut expanded = Vec::new();
    let records = match header.codec() {
        Codec::None => body,
        codec => {
            Decompressor::default().decompress(codec, body, max_expanded_bytes, &mut expanded)?;
            &expanded
        }
    };
    let mut count = 0;
    for record in RecordIter::resume(header, records, 0, header.record_count) {
        each(&record?)?;
        count += 1;
    }
    Ok(count)
}

/// The next batch after a stretch that cannot be walked, as far as the stored index knows one.
fn behind(segment: &Arc<Segment>, summary: Option<&SegmentSummary>, position: u64) -> Result<Option<Cursor>> {
    let Some(index) = summary.map(|summary| segment.stored_index(summary)).transpose()?.flatten() else {
        return Ok(None);
    };
    Ok(index.entry_behind(position).and_then(|entry| segment.at_entry(&entry)))
}
