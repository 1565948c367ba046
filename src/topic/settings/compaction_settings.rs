//! What a topic's configuration says of its compaction.

use std::time::Duration;

use crate::log::{CompactionConfig, Effort};
use crate::topic::partition::Partition;

/// When and how a topic is compacted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionSettings {
    pub(super) delete_retention: Duration,
    pub(super) min_lag: Duration,
    pub(super) max_lag: Option<Duration>,
    pub(super) min_dirty_ratio: f64,
}

impl CompactionSettings {
    /// What compaction of one of its partitions needs to know, now.
    pub(crate) fn config(&self, partition: &Partition, effort: Effort) -> CompactionConfig {
        CompactionConfig {
            effort,
            memory_bytes: partition.log().options().compaction_memory_bytes,
            delete_retention: self.delete_retention,
            min_lag: self.min_lag,
            max_lag: self.max_lag,
            min_dirty_ratio: self.min_dirty_ratio,
            now: partition.log().now(),
        }
    }
}
