//! Compaction and erasure as the users of topics see them.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::log::{CompactionConfig, Effort};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::types::{Offset, TopicPartition};

/// What compaction did to one partition.
///
/// ```
/// # use annals::{CleanupPolicy, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let prices = store.create_topic("prices", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
/// # let producer = store.producer();
/// for price in ["2", "3", "4"] {
///     producer.send(Record::to("prices").key("apple").value(price))?;
/// }
/// let reports = prices.compact()?;
/// assert_eq!(reports[0].removed_records, 2);
/// assert_eq!(reports[0].cleaned_until, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Passes over the partition: 0 when there was nothing to do, more than one when its keys did not fit the memory.
    pub rounds: u32,
    /// Of the records below, only the last of each key is left, and tombstones whose time has not come.
    pub cleaned_until: Offset,
    /// Segments that were rewritten.
    pub segments_before: usize,
    /// Segments that took their place.
    pub segments_after: usize,
    /// Bytes of the segments that were rewritten.
    pub bytes_before: u64,
    /// Bytes of those that took their place.
    pub bytes_after: u64,
    /// Records that are gone.
    pub removed_records: u64,
}

/// What [`Topic::erase`] took out of one partition.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let visits = store.create_topic("visits", TopicConfig::new())?;
/// # let producer = store.producer();
/// for (who, page) in [("alice", "/"), ("bob", "/"), ("alice", "/basket")] {
///     producer.send(Record::to("visits").key(who).value(page))?;
/// }
/// let reports = visits.erase("alice")?;
/// assert_eq!(reports[0].records, 2);
/// let left: Vec<_> = visits.partition(0)?.read(..)?.into_iter().map(|record| record.unwrap().offset).collect();
/// assert_eq!(left, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EraseReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Records that are gone.
    pub records: u64,
    /// Segments that held one of them and were rewritten.
    pub segments: usize,
    /// Bytes that the partition has less.
    pub bytes: u64,
}

impl Partition {
    pub(crate) fn compact(&self, ask: &dyn Fn() -> Option<CompactionConfig>) -> Result<CompactionReport> {
        let report = self.log().compact(ask)?;
        self.log().note_reclaimed(report.bytes_before.saturating_sub(report.bytes_after));
        Ok(CompactionReport {
            topic_partition: self.topic_partition().clone(),
            rounds: report.rounds,
            cleaned_until: report.cleaned_until,
            segments_before: report.segments_before,
            segments_after: report.segments_after,
            bytes_before: report.bytes_before,
            bytes_after: report.bytes_after,
            removed_records: report.removed_records,
        })
    }

    fn erase(&self, key: &[u8]) -> Result<EraseReport> {
        self.refuse_internal()?;
        let report = self.log().erase(&|other| other == key)?;
        self.log().note_reclaimed(report.bytes);
        Ok(EraseReport {
            topic_partition: self.topic_partition().clone(),
            records: report.records,
            segments: report.segments,
            bytes: report.bytes,
        })
    }
}

impl Topic {
    /// Compacts every partition now, whatever its policy says of when: of the records of each key below the end, the last
    /// one stays, at its offset and with its timestamp; records without a key go. A tombstone stays for
    /// `delete.retention.ms` after the first compaction that met it, so that every reader in time sees it. Records younger
    /// than `min.compaction.lag.ms` are left alone. Others send and read meanwhile.
    ///
    /// # Errors
    /// The first failure of any partition, which is as it was before or as it should be after; the others are compacted all
    /// the same. [`InvalidArgument`](crate::Error::InvalidArgument) for a topic that is not compacted.
    pub fn compact(&self) -> Result<Vec<CompactionReport>> {
        self.compact_with(|_| ControlFlow::Continue(()))
    }

    /// The same, telling of each partition when it is done. `Break` ends it before the next one.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub fn compact_with(
        &self,
        mut progress: impl FnMut(&CompactionReport) -> ControlFlow<()>,
    ) -> Result<Vec<CompactionReport>> {
        if self.settings().compaction().is_none() {
            return Err(Error::invalid("the topic's cleanup.policy is delete: it is not compacted"));
        }
        let mut outcomes = Vec::new();
        for partition in self.partitions() {
            let outcome = partition.compact(&|| self.compaction_of(&partition, Effort::Now));
            let goes_on = outcome.as_ref().map_or(ControlFlow::Continue(()), &mut progress);
            outcomes.push(outcome);
            if goes_on.is_break() {
                break;
            }
        }
        outcomes.into_iter().collect()
    }

    /// How to compact one of its partitions, by the settings of this moment.
    pub(crate) fn compaction_of(&self, partition: &Partition, effort: Effort) -> Option<CompactionConfig> {
        self.settings().compaction().map(|settings| settings.config(partition, effort))
    }

    /// Takes every record of `key` out of every partition, so that no file of the topic holds its key or value any more,
    /// whatever the cleanup policy. The blocks they stood in are the file system's to overwrite; what was copied elsewhere
    /// (backups, consumers) is not reached.
    ///
    /// # Errors
    /// The first failure of any partition, which may then still hold some of the records: call again. The others are done
    /// all the same.
    pub fn erase(&self, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        let partitions = self.partitions();
        let outcomes: Vec<_> = partitions.iter().map(|partition| partition.erase(key.as_ref())).collect();
        outcomes.into_iter().collect()
    }
}
