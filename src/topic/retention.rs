//! Retention as the users of topics and partitions see it.

use crate::error::Result;
use crate::log::{RemovalReason, RetentionPolicy};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::types::{Offset, TopicPartition};

/// What retention took out of one partition.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let topic = store.create_topic("clicks", TopicConfig::new().segment_bytes(1000).retention_bytes(2000))?;
/// let producer = store.producer();
/// for _ in 0..100 {
///     producer.send(Record::to("clicks").value("a click on a page"))?;
/// }
/// let reports = topic.apply_retention()?;
/// assert!(reports[0].bytes() > 0);
/// assert_eq!(reports[0].start, topic.partition(0)?.start());
/// assert!(topic.partition(0)?.bytes() < 3000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// First offset that may be read now.
    pub start: Offset,
    /// What went, oldest first.
    pub removed: Vec<RemovedSegment>,
    /// The clock had leapt so far ahead since the last run that nothing was removed for its age. The next run believes it.
    pub clock_leapt: bool,
}

impl RetentionReport {
    /// Bytes of all removed segments.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|segment| segment.bytes).sum()
    }

    /// Records of all removed segments.
    pub fn records(&self) -> u64 {
        self.removed.iter().map(|segment| segment.records).sum()
    }
}

/// A segment that retention took out.
///
/// ```
/// fn is_expired(segment: &annals::RemovedSegment) -> bool {
///     segment.reason == annals::RemovalReason::Age
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedSegment {
    /// Its first offset.
    pub base: Offset,
    /// The offset behind its last one.
    pub next_offset: Offset,
    /// Bytes of its `.log`.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// Which rule took it.
    pub reason: RemovalReason,
}

/// What [`Partition::delete_records`] took out.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let partition = store.create_topic("clicks", TopicConfig::new())?.partition(0)?;
/// partition.append(&[Record::new().value("a"), Record::new().value("b")], Durability::Os)?;
/// let deleted = partition.delete_records(1)?;
/// assert_eq!((deleted.start, partition.start(), partition.end()), (1, 1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteReport {
    /// First offset that may be read now.
    pub start: Offset,
    /// Whole segments removed.
    pub segments: usize,
    /// Bytes that the partition has less.
    pub bytes: u64,
}

impl Partition {
    /// Removes what the policy does not keep, which is asked for when nobody can change the topic's settings.
    pub(crate) fn apply_retention(&self, ask: impl FnOnce() -> RetentionPolicy) -> Result<RetentionReport> {
        let report = self.log().apply_retention(ask)?;
        let removed = report.removed.iter().map(|segment| RemovedSegment {
            base: segment.base,
            next_offset: segment.next_offset,
            bytes: segment.bytes,
            records: segment.records,
            reason: segment.reason,
        });
        Ok(RetentionReport {
            topic_partition: self.topic_partition().clone(),
            start: report.start,
            removed: removed.collect(),
            clock_leapt: report.clock_leapt,
        })
    }

    /// Deletes every record below `before`. When the call returns they can never be read again, whatever crashes; an
    /// offset at or below the start deletes nothing.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange) above the end, [`Io`](crate::Error::Io).
    pub fn delete_records(&self, before: Offset) -> Result<DeleteReport> {
        self.refuse_internal()?;
        let report = self.log().delete_records(before)?;
        self.log().note_reclaimed(report.bytes);
        Ok(DeleteReport { start: report.start, segments: report.segments, bytes: report.bytes })
    }
}

impl Topic {
    /// Removes from each partition what the topic's time, size and record limits do not keep, and tells what went. A
    /// topic without limits loses nothing. The store does the same by itself from time to time, and also what depends on
    /// groups: [`Store::apply_retention`](crate::Store::apply_retention).
    ///
    /// # Errors
    /// The first failure of any partition; the others are done all the same.
    pub fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        let partitions = self.partitions();
        let outcomes =
            partitions.iter().map(|partition| partition.apply_retention(|| self.settings().retention()));
        let outcomes: Vec<_> = outcomes.collect();
        outcomes.into_iter().collect()
    }
}
