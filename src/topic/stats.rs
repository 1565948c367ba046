//! Figures of topics and partitions.

use crate::error::{Error, Result};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
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

/// A topic's figures at one moment.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let stats = store.create_topic("orders", TopicConfig::new().partitions(3))?.stats()?;
/// assert_eq!((stats.partitions.len(), stats.records(), stats.bytes()), (3, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic's name.
    pub topic: String,
    /// Its partitions in order.
    pub partitions: Vec<PartitionStats>,
}

impl TopicStats {
    /// Bytes of all partitions.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes).sum()
    }

    /// Records of all partitions.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.records).sum()
    }
}

impl Partition {
    /// Its figures now. Reads no record; may wait for a write that is under way.
    ///
    /// # Errors
    /// [`StoreClosed`](Error::StoreClosed), [`UnknownTopic`](Error::UnknownTopic) when it was deleted.
    pub fn stats(&self) -> Result<PartitionStats> {
        let log = self.log();
        let stats = log.stats()?;
        let time = |timestamp: Timestamp| (timestamp >= 0).then_some(timestamp);
        Ok(PartitionStats {
            topic_partition: self.topic_partition().clone(),
            start: self.start(),
            durable: self.durable(),
            end: self.end(),
            bytes: stats.bytes,
            records: stats.records,
            segments: stats.segments,
            oldest_timestamp: time(stats.oldest_timestamp),
            newest_timestamp: time(stats.newest_timestamp),
            dirty_ratio: log.dirty_ratio()?,
            reclaimed_bytes: log.reclaimed(),
            skipped_offsets: stats.skipped_offsets,
            poisoned_by: log.poisoned_by().cloned(),
        })
    }
}

impl Topic {
    /// Its figures now.
    ///
    /// # Errors
    /// As [`Partition::stats`].
    pub fn stats(&self) -> Result<TopicStats> {
        let partitions = self.partitions().iter().map(Partition::stats).collect::<Result<Vec<_>>>()?;
        Ok(TopicStats { topic: self.name().to_owned(), partitions })
    }
}
