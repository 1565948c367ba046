//! How to compact, and what came of it.

use std::time::Duration;

use crate::types::{Offset, Timestamp, TopicPartition};

/// When to compact, and how much of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Only when enough has changed or has waited long enough, and only what is sealed already.
    WhenDue,
    /// Whatever has changed. The active segment is sealed first, so that its records count too.
    Now,
}

/// Settings of one compaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CompactionConfig {
    pub(crate) effort: Effort,
    /// Most memory for the map of keys. What does not fit waits for another round.
    pub(crate) memory_bytes: usize,
    /// How long a tombstone stays after the first compaction that met it.
    pub(crate) delete_retention: Duration,
    /// Segments younger than this are left alone.
    pub(crate) min_lag: Duration,
    /// A log that has had something to compact for this long is due; `None` waits for the ratio.
    pub(crate) max_lag: Option<Duration>,
    /// The log is due when more than this part of its bytes was not yet compacted.
    pub(crate) min_dirty_ratio: f64,
    /// The time of day, from the log's clock.
    pub(crate) now: Timestamp,
}

impl CompactionConfig {
    /// For looking at how much there is to do, whatever the settings.
    pub(crate) fn measuring(now: Timestamp) -> Self {
        Self {
            effort: Effort::WhenDue,
            memory_bytes: 0,
            delete_retention: Duration::MAX,
            min_lag: Duration::ZERO,
            max_lag: None,
            min_dirty_ratio: 1.0,
            now,
        }
    }
}

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
    /// Passes over the partition: 0 when there was nothing to do, more than one when its keys did not fit into the memory.
    pub rounds: u32,
    /// Below this offset, only the last record of each key is left, and tombstones whose time is not over.
    pub cleaned_until: Offset,
    /// Segments that were rewritten.
    pub segments_before: usize,
    /// Segments that replaced them.
    pub segments_after: usize,
    /// Bytes of the segments that were rewritten.
    pub bytes_before: u64,
    /// Bytes of the segments that replaced them.
    pub bytes_after: u64,
    /// Records that were removed. This includes records below the partition's start that were still in a segment, although
    /// nobody could read them any more.
    pub removed_records: u64,
}

impl CompactionReport {
    /// Nothing done yet.
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self {
            topic_partition,
            rounds: 0,
            cleaned_until: 0,
            segments_before: 0,
            segments_after: 0,
            bytes_before: 0,
            bytes_after: 0,
            removed_records: 0,
        }
    }

    /// Bytes that it has made room for.
    pub(super) fn freed(&self) -> u64 {
        self.bytes_before.saturating_sub(self.bytes_after)
    }
}
