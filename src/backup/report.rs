//! What was backed up and restored.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::{Offset, Timestamp, TopicPartition};

/// What [`Store::backup`](crate::Store::backup) has made.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path().join("shop-log"))?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let report = store.backup(dir.path().join("monday"))?;
/// println!("{} bytes, {} of them copied", report.bytes, report.copied_bytes);
/// println!("appends were stopped for {:?}", report.stopped);
/// assert!(report.deleted.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Where it is.
    pub path: PathBuf,
    /// When the cut was made, by the store's clock.
    pub time: Timestamp,
    /// Every partition in it, by topic and number.
    pub partitions: Vec<BackedUp>,
    /// Topics that were deleted while it was made, and are not in it.
    pub deleted: Vec<String>,
    /// How many segments hold the records.
    pub segments: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Of these, and of indexes, bytes that were copied. The others are files or blocks of the store or of the parent.
    pub copied_bytes: u64,
    /// How long appends were stopped.
    pub stopped: Duration,
}

/// What of a partition is in a backup.
///
/// ```
/// fn records_at_most(partition: &annals::backup::BackedUp) -> i64 {
///     partition.end - partition.start
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// First offset that may be read.
    pub start: Offset,
    /// The offset after the last record.
    pub end: Offset,
}

impl BackedUp {
    pub(super) fn new(topic_partition: TopicPartition, (start, end): (Offset, Offset)) -> Self {
        Self { topic_partition, start, end }
    }
}

/// How far a backup or a restore has come.
///
/// ```
/// fn percent(progress: &annals::backup::BackupProgress) -> u64 {
///     progress.bytes * 100 / progress.total_bytes.max(1)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes of segments that are there.
    pub bytes: u64,
    /// As far as it is known how many it will be. A segment that has grown since the cut is counted as it is now.
    pub total_bytes: u64,
    /// Bytes that were copied so far.
    pub copied_bytes: u64,
}

/// What a restore has made.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let (copy, again) = (dir.path().join("monday"), dir.path().join("again"));
/// # let store = Store::open(dir.path().join("shop-log"))?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.backup(&copy)?;
/// let report = annals::backup::restore(&copy, &again)?;
/// assert_eq!(report.partitions.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Where the store is.
    pub path: PathBuf,
    /// Every partition in it.
    pub partitions: Vec<BackedUp>,
    /// Bytes of segments.
    pub bytes: u64,
    /// Of these, and of indexes, bytes that were copied.
    pub copied_bytes: u64,
}
