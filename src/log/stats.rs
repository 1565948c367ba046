//! Figures of a partition.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::figures::{Appended, Event};
use crate::format::{BatchHeader, TimestampType};
use crate::locks::Ordering;
use crate::log::compaction::{CompactionConfig, CompactionReport};
use crate::log::config::KeyRule;
use crate::log::log::Log;
use crate::log::retain::RemovedSegment;
use crate::log::write::writer::Phase;
use crate::segment::Segment;
use crate::types::{Offset, Timestamp, TopicPartition};

/// A partition's figures at one moment.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new())?;
/// store.producer().send(Record::to("orders").value("2 apples").timestamp(7_000))?;
/// let stats = orders.partition(0)?.stats()?;
/// assert_eq!((stats.records, stats.segments, stats.end), (1, 1, 1));
/// assert_eq!((stats.oldest_timestamp, stats.newest_timestamp), (Some(7_000), Some(7_000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PartitionStats {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The first offset that may be read.
    pub start: Offset,
    /// Every record below this offset survives a power cut.
    pub durable: Offset,
    /// The next offset to be assigned.
    pub end: Offset,
    /// The last stable offset: readers of committed records stop there. Below `end` while a transaction is open.
    pub stable: Offset,
    /// Bytes of the partition's batches, as stored.
    pub bytes: u64,
    /// The partition's records, as far as its segments know. Records below `start` may be included, and ends of transactions are: a topic of
    /// dead letters has one for each letter. [`QueueStats`](crate::stats::QueueStats) counts letters alone.
    pub records: u64,
    /// The partition's segments.
    pub segments: usize,
    /// The timestamp of the first record, Unix milliseconds. If a compaction has stored something else in its place, or if the batch
    /// cannot be read, this is the largest timestamp of the first batch.
    pub oldest_timestamp: Option<Timestamp>,
    /// The largest timestamp of all records, Unix milliseconds.
    pub newest_timestamp: Option<Timestamp>,
    /// The fraction of the bytes in sealed segments that compaction has not compared yet, from 0 to 1; `None` if the partition is not
    /// compacted.
    pub dirty_ratio: Option<f64>,
    /// Bytes that retention, deletion, compaction and erasure have freed since the store was opened.
    pub reclaimed_bytes: u64,
    /// Offsets that readers with [`OnDamage::Skip`](crate::OnDamage::Skip) passed over since the store was opened, counted
    /// for each reader. Offsets that were missing anyway may be included.
    pub skipped_offsets: u64,
    /// Records that were appended since the store was opened. A [`StoreReader`](crate::StoreReader) does not know this, and has 0.
    pub appended_records: u64,
    /// Bytes of the batches of these records, as stored. In a [`StoreReader`](crate::StoreReader) it is what the writing process has appended
    /// since it opened the store: it begins at 0 with each such process, and is 0 while nobody has the store open.
    pub appended_bytes: u64,
    /// Batches of these records. A [`StoreReader`](crate::StoreReader) does not know this, and has 0.
    pub appended_batches: u64,
    /// The failure after which the partition accepts nothing more until the store is reopened.
    pub poisoned_by: Option<Error>,
}

/// The time of the first record of a log.
#[derive(Debug)]
pub(super) struct FirstTime {
    /// Where it stands: a segment that is written again is another.
    segment: Weak<Segment>,
    /// Where the log begins.
    start: Offset,
    time: Option<Timestamp>,
}

impl FirstTime {
    fn is_of(&self, segment: &Arc<Segment>, start: Offset) -> bool {
        self.start == start && std::ptr::eq(self.segment.as_ptr(), Arc::as_ptr(segment))
    }
}

impl Log {
    /// Its figures now. Reads no record, and one header; may wait for a write that is under way.
    pub(crate) fn stats(&self) -> Result<PartitionStats> {
        self.check_process()?;
        self.look()?;
        let mut writer = self.writer.lock();
        self.note_shown(&mut writer);
        let facts = self.facts(&writer)?;
        let appended = match &writer.phase {
            Phase::Followed(table) => Appended { bytes: table.shown.appended_bytes, ..Appended::default() },
            _ => writer.appended,
        };
        drop(writer);
        let known = |timestamp: &Timestamp| *timestamp >= 0;
        let with_time = facts.iter().map(|segment| segment.first_timestamp).find(known);
        Ok(PartitionStats {
            topic_partition: self.topic_partition.clone(),
            start: self.start(),
            durable: self.durable(),
            end: self.end(),
            stable: self.stable(),
            bytes: facts.iter().map(|segment| segment.bytes).sum(),
            records: facts.iter().map(|segment| segment.records).sum(),
            segments: facts.len(),
            oldest_timestamp: self.first_time().or(with_time),
            newest_timestamp: facts.iter().map(|segment| segment.max_timestamp).max().filter(known),
            dirty_ratio: self.dirty_ratio()?,
            reclaimed_bytes: self.reclaimed_bytes.load(Ordering::Relaxed),
            skipped_offsets: self.skipped_offsets.load(Ordering::Relaxed),
            appended_records: appended.records,
            appended_bytes: appended.bytes,
            appended_batches: appended.batches,
            poisoned_by: self.poisoned_by().cloned(),
        })
    }

    /// The time of the first record that is there, as the header of its batch has it: read once for as long as it is the first.
    fn first_time(&self) -> Option<Timestamp> {
        let list = self.segment_list();
        let (start, first) = (list.start(), list.floor(list.start())?);
        if let Some(known) = self.first_time.lock().as_ref().filter(|known| known.is_of(first, start)) {
            return known.time;
        }
        let header = self.first_header().ok()??;
        let time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        let is_known = time >= 0 && header.record_count > 0 && !header.attributes.has_delete_horizon();
        let time = is_known.then_some(time);
        // What was read of another list is another's.
        let is_current = Arc::ptr_eq(&list, &self.segment_list());
        let known = FirstTime { segment: Arc::downgrade(first), start, time };
        *self.first_time.lock() = Some(known).filter(|_| is_current);
        time
    }

    fn first_header(&self) -> Result<Option<BatchHeader>> {
        self.over_segments(|list| {
            let start = list.start();
            let Some(first) = list.floor(start) else { return Ok(None) };
            let mut cursor = first.seek(start)?;
            while let Some(header) = cursor.peek()? {
                if header.next_offset() > start {
                    return Ok(Some(header));
                }
                cursor.step_over(&header);
            }
            Ok(None)
        })
    }

    /// The part of the sealed bytes that compaction has not compared yet; `None` for a log that is not compacted.
    fn dirty_ratio(&self) -> Result<Option<f64>> {
        match self.config().key_rule {
            KeyRule::Optional => Ok(None),
            KeyRule::Required => {
                self.dirt(&CompactionConfig::measuring(self.now())).map(|dirt| Some(dirt.ratio()))
            }
        }
    }

    /// Notes what was taken out of the log.
    pub(super) fn note_reclaimed(&self, bytes: u64) {
        self.reclaimed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes the segments that retention or a limit took.
    pub(super) fn note_removed(&self, removed: &[RemovedSegment]) {
        let bytes = removed.iter().map(|segment| segment.bytes).sum();
        let records = removed.iter().map(|segment| segment.records).sum();
        self.note_reclaimed(bytes);
        if removed.is_empty() {
            return;
        }
        self.figures.removed_segments.add(removed.len() as u64);
        self.figures.removed_records.add(records);
        self.figures.removed_bytes.add(bytes);
        self.figures.events.note(|| Event::Removed {
            partition: self.topic_partition.clone(),
            start: self.start(),
            segments: removed.len(),
            records,
            bytes,
        });
    }

    /// Notes a compaction that had something to do.
    pub(super) fn note_compacted(&self, report: &CompactionReport, took: Duration) {
        let bytes = report.bytes_before.saturating_sub(report.bytes_after);
        self.note_reclaimed(bytes);
        if report.rounds == 0 {
            return;
        }
        self.figures.compaction.note(took);
        self.figures.compacted_records.add(report.removed_records);
        self.figures.compacted_bytes.add(bytes);
        self.figures.events.note(|| Event::Compacted {
            partition: self.topic_partition.clone(),
            removed_records: report.removed_records,
            bytes_before: report.bytes_before,
            bytes_after: report.bytes_after,
            took,
        });
    }

    /// What it has appended since it was opened.
    pub(crate) fn appended(&self) -> Appended {
        self.writer.lock().appended
    }

    /// The failure after which the log takes nothing more.
    pub(crate) fn poisoned_by(&self) -> Option<&Error> {
        self.poison.get().map(|cause| &**cause)
    }
}
