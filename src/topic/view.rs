//! Topics and partitions of a store that this process only reads.

use std::fmt;
use std::ops::RangeBounds;

use crate::error::Result;
use crate::log::{OffsetAndTimestamp, PartitionStats};
use crate::topic::config::{CleanupPolicy, TopicConfig};
use crate::topic::latest::Latest;
use crate::topic::partition::Partition;
use crate::topic::partition_reader::PartitionReader;
use crate::topic::record_ref::OwnedRecord;
use crate::topic::stats::TopicStats;
use crate::topic::topic::Topic;
use crate::types::{Offset, Timestamp, TopicPartition};

/// A topic of a [`StoreReader`](crate::StoreReader). Cheap to clone, and usable from many threads at once.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new().partitions(3))?;
/// # store.close()?;
/// let shop = Store::open_read_only(dir.path())?;
/// let orders = shop.topic("orders")?;
/// assert_eq!((orders.name(), orders.partition_count()), ("orders", 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TopicView {
    topic: Topic,
}

impl fmt::Debug for TopicView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicView").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl TopicView {
    pub(crate) fn new(topic: Topic) -> Self {
        Self { topic }
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Returns the topic's name.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    /// Returns a random number made when the topic was created: another topic of the same name has a different one.
    pub fn id(&self) -> u128 {
        self.topic.id()
    }

    /// Returns its configuration as stored, including the number of partitions.
    pub fn config(&self) -> TopicConfig {
        self.topic.config()
    }

    /// Returns what happens to its old records.
    pub fn cleanup_policy(&self) -> CleanupPolicy {
        self.topic.cleanup_policy()
    }

    /// Returns the number of its partitions.
    pub fn partition_count(&self) -> u32 {
        self.topic.partition_count()
    }

    /// Returns all its partitions, in order.
    pub fn partitions(&self) -> Vec<PartitionView> {
        self.topic.partitions().into_iter().map(PartitionView::new).collect()
    }

    /// Returns one of its partitions.
    ///
    /// # Errors
    /// [`UnknownPartition`](crate::Error::UnknownPartition).
    pub fn partition(&self, number: u32) -> Result<PartitionView> {
        self.topic.partition(number).map(PartitionView::new)
    }

    /// Iterates over the last record of every key, as [`Topic::latest`](crate::Topic::latest) does.
    pub fn latest(&self) -> Latest {
        self.topic.latest()
    }

    /// Returns its figures now.
    ///
    /// # Errors
    /// As for [`Partition::stats`](crate::Partition::stats).
    pub fn stats(&self) -> Result<TopicStats> {
        self.topic.stats()
    }
}

/// A partition of a [`StoreReader`](crate::StoreReader). Cheap to clone, and usable from many threads at once.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// # store.close()?;
/// let shop = Store::open_read_only(dir.path())?;
/// let orders = shop.topic("orders")?.partition(0)?;
/// for record in orders.read(..)? {
///     assert_eq!(record?.value.as_deref(), Some(&b"2 apples"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PartitionView {
    partition: Partition,
}

impl fmt::Debug for PartitionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PartitionView");
        shown.field("topic", &self.topic()).field("number", &self.number()).finish_non_exhaustive()
    }
}

impl PartitionView {
    pub(crate) fn new(partition: Partition) -> Self {
        Self { partition }
    }

    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The partition as it is now, or as it was seen last where it cannot be seen: reading says why.
    fn seen(&self) -> &Partition {
        drop(self.partition.log().look());
        &self.partition
    }

    /// Returns the topic's name.
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// Returns the partition's number, from 0.
    pub fn number(&self) -> u32 {
        self.partition.number()
    }

    /// Returns the topic and the partition's number.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.partition.topic_partition()
    }

    /// Returns the first offset that may be read.
    pub fn start(&self) -> Offset {
        self.seen().start()
    }

    /// Returns the offset below which everything survives a power cut.
    pub fn durable(&self) -> Offset {
        self.seen().durable()
    }

    /// Returns the offset after the last record.
    pub fn end(&self) -> Offset {
        self.seen().end()
    }

    /// Returns how far committed records are read: see [`Partition::stable`](crate::Partition::stable).
    pub fn stable(&self) -> Offset {
        self.seen().stable()
    }

    /// Returns the bytes of all batches in its segments.
    pub fn bytes(&self) -> u64 {
        self.seen().bytes()
    }

    /// Returns a reader that begins at `offset`.
    ///
    /// # Errors
    /// As for [`Partition::read_from`](crate::Partition::read_from).
    pub fn read_from(&self, offset: Offset) -> Result<PartitionReader> {
        self.partition.read_from(offset)
    }

    /// Returns a reader of a range of offsets.
    ///
    /// # Errors
    /// As for [`Partition::read`](crate::Partition::read).
    pub fn read(&self, range: impl RangeBounds<Offset>) -> Result<PartitionReader> {
        self.partition.read(range)
    }

    /// Returns a copy of the record at `offset`; `None` if no record has that offset any more.
    ///
    /// # Errors
    /// As for [`Partition::get`](crate::Partition::get).
    pub fn get(&self, offset: Offset) -> Result<Option<OwnedRecord>> {
        self.partition.get(offset)
    }

    /// Returns the earliest offset whose record has a timestamp of `timestamp` (Unix milliseconds) or later.
    ///
    /// # Errors
    /// As for [`Partition::offset_for_time`](crate::Partition::offset_for_time).
    pub fn offset_for_time(&self, timestamp: Timestamp) -> Result<Option<OffsetAndTimestamp>> {
        self.partition.offset_for_time(timestamp)
    }

    /// Returns its figures now. It reads no record.
    ///
    /// # Errors
    /// As for [`Partition::stats`](crate::Partition::stats).
    pub fn stats(&self) -> Result<PartitionStats> {
        self.partition.stats()
    }
}
