//! Figures of a partition.

use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::locks::Ordering;
use crate::log::compaction::CompactionConfig;
use crate::log::config::KeyRule;
use crate::log::log::Log;
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
    /// First offset that may be read.
    pub start: Offset,
    /// Everything below survives a power cut.
    pub durable: Offset,
    /// Next offset to be assigned.
    pub end: Offset,
    /// The last stable offset: readers of committed records stop there. Below `end` while a transaction is open.
    pub stable: Offset,
    /// Bytes of its batches, as stored.
    pub bytes: u64,
    /// Its records, as far as its segments know; some below `start` may be among them.
    pub records: u64,
    /// Its segments.
    pub segments: usize,
    /// Timestamp of its first record, Unix milliseconds. Where a compaction noted something else in its place, or the batch
    /// cannot be read, the largest of the first batch.
    pub oldest_timestamp: Option<Timestamp>,
    /// Largest timestamp of all, Unix milliseconds.
    pub newest_timestamp: Option<Timestamp>,
    /// The part of its sealed bytes that compaction has not compared yet, from 0 to 1; `None` when it is not compacted.
    pub dirty_ratio: Option<f64>,
    /// Bytes that retention, deletion, compaction and erasure have freed since the store was opened.
    pub reclaimed_bytes: u64,
    /// Offsets that readers with [`OnDamage::Skip`](crate::OnDamage::Skip) passed over since the store was opened, those of
    /// each reader. Offsets that were missing anyway may be among them.
    pub skipped_offsets: u64,
    /// The failure after which the partition takes nothing more until the store is reopened.
    pub poisoned_by: Option<Error>,
}

impl Log {
    /// Its figures now. Reads no record, and one header; may wait for a write that is under way.
    pub(crate) fn stats(&self) -> Result<PartitionStats> {
        self.look()?;
        let mut writer = self.writer.lock();
        self.note_shown(&mut writer);
        let facts = self.facts(&writer)?;
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
            poisoned_by: self.poisoned_by().cloned(),
        })
    }

    /// The time of the first record that is there, as the header of its batch has it.
    fn first_time(&self) -> Option<Timestamp> {
        let list = self.segment_list();
        let start = list.start();
        let mut cursor = list.floor(start)?.seek(start).ok()?;
        let mut header = cursor.peek().ok()??;
        while header.next_offset() <= start {
            cursor.step_over(&header);
            header = cursor.peek().ok()??;
        }
        let time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp,
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        let is_known = time >= 0 && header.record_count > 0 && !header.attributes.has_delete_horizon();
        is_known.then_some(time)
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

    /// The failure after which the log takes nothing more.
    pub(crate) fn poisoned_by(&self) -> Option<&Error> {
        self.poison.get().map(|cause| &**cause)
    }
}
