//! What was backed up and restored.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::{Offset, Timestamp, TopicPartition};

/// The result of [`Store::backup`](crate::Store::backup).
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
    /// The directory of the backup.
    pub path: PathBuf,
    /// When the cut was made, by the store's clock.
    pub time: Timestamp,
    /// Every partition in it, by topic and number.
    pub partitions: Vec<BackedUp>,
    /// Topics that were deleted while the backup was made, and are not in it.
    pub deleted: Vec<String>,
    /// The number of segments that hold the records.
    pub segments: u64,
    /// Bytes of these segments.
    pub bytes: u64,
    /// How many bytes of these, and of indexes, were copied. The others are files or blocks of the store or of the parent.
    pub copied_bytes: u64,
    /// How long appends were stopped.
    pub stopped: Duration,
}

/// The part of a partition that is in a backup.
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
    /// The first offset that may be read.
    pub start: Offset,
    /// The offset after the last record.
    pub end: Offset,
}

impl BackedUp {
    pub(super) fn new(topic_partition: TopicPartition, (start, end): (Offset, Offset)) -> Self {
        Self { topic_partition, start, end }
    }
}

/// How far a backup or a restore has progressed.
///
/// ```
/// fn percent(progress: &annals::backup::BackupProgress) -> u64 {
///     progress.bytes * 100 / progress.total_bytes.max(1)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Bytes of segments that are in place.
    pub bytes: u64,
    /// The total, as far as it is known. A segment that has grown since the cut is counted as it is now.
    pub total_bytes: u64,
    /// Bytes that were copied so far.
    pub copied_bytes: u64,
}

/// The result of a restore.
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
    /// The directory of the store.
    pub path: PathBuf,
    /// Every partition in it.
    pub partitions: Vec<BackedUp>,
    /// Bytes of segments.
    pub bytes: u64,
    /// How many bytes of these, and of indexes, were copied.
    pub copied_bytes: u64,
}
