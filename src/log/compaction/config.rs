//! How to compact, and what came of it.

use std::time::Duration;

use crate::types::{Offset, Timestamp};

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

/// What one compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CompactionReport {
    /// Passes over the log. None when there was nothing to do; more than one when the keys did not fit the memory.
    pub(crate) rounds: u32,
    /// Everything below was compared with all that lies below it.
    pub(crate) cleaned_until: Offset,
    /// Segments that were rewritten, and those that took their place.
    pub(crate) segments_before: usize,
    pub(crate) segments_after: usize,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
    /// Records that are gone.
    pub(crate) removed_records: u64,
}
