//! What an open says of what it found.

use std::fmt;
use std::path::PathBuf;

use crate::error::Error;
use crate::types::{Offset, TopicPartition};

/// What opening one partition found, or that it could not be opened.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let store = annals::Store::open(dir.path())?;
/// assert!(store.recovery().iter().all(|partition| partition.torn.is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// True after a clean close: nothing was scanned.
    pub clean: bool,
    /// Bytes of batches, and of a torn tail after them, that were read to find the end. Space allocated ahead is not counted.
    pub scanned_bytes: u64,
    /// The end of the log: the next offset to be assigned.
    pub end: Offset,
    /// What was found after the last complete batch and is not part of the log.
    pub torn: Option<TornTail>,
    /// Why the partition could not be opened: every call on its topic returns this error, while the other topics are open. There is one
    /// such report for a topic, about the first of its partitions that failed. For the directory of a partition that the list of topics
    /// does not name, why it was left as it is.
    pub failure: Option<Error>,
    /// Records of an internal topic that the store does not understand: a later version or another program has written
    /// them. They stay where they are and have no effect.
    pub skipped: Vec<SkippedRecord>,
    /// What records of an internal topic, such as the committed offsets of groups, say about another topic that had the name of a present
    /// one: a topic that was deleted, or whose id a repair has not found. It has no effect from now on.
    pub let_go: Vec<String>,
    /// The snapshot of what the partition knows of producers, if it could not be read. It was rebuilt from the log, and from an older
    /// snapshot if there is one: a producer whose records have all left the log may be forgotten, and what it sends again may be appended
    /// again.
    pub lost_snapshot: Option<LostSnapshot>,
}

impl RecoveryReport {
    /// Something that could not be opened, or cleared away.
    pub(crate) fn failed(topic_partition: TopicPartition, error: Error) -> Self {
        Self {
            topic_partition,
            clean: false,
            scanned_bytes: 0,
            end: 0,
            torn: None,
            failure: Some(error),
            skipped: Vec::new(),
            let_go: Vec::new(),
            lost_snapshot: None,
        }
    }
}

/// A record that was not understood and was skipped.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let store = annals::Store::open(dir.path())?;
/// for record in store.recovery().iter().flat_map(|partition| &partition.skipped) {
///     println!("the record at {} was left alone: {}", record.offset, record.reason);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRecord {
    /// The record's offset.
    pub offset: Offset,
    /// What is not understood about it.
    pub reason: String,
}

impl SkippedRecord {
    pub(crate) fn new(offset: Offset, reason: String) -> Self {
        Self { offset, reason }
    }
}

/// A snapshot of what a partition knows of producers that is missing or damaged.
///
/// ```
/// let dir = tempfile::tempdir()?;
/// let store = annals::Store::open(dir.path())?;
/// for lost in store.recovery().iter().filter_map(|partition| partition.lost_snapshot.as_ref()) {
///     println!("who wrote to the partition was found out from its log: {lost}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostSnapshot {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it: it is missing, or damaged.
    pub reason: String,
}

impl fmt::Display for LostSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Bytes after the last complete batch: a write that a crash cut off before it was acknowledged as durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the tail begins.
    pub position: u64,
    /// The number of bytes, up to the last one that is not zero.
    pub bytes: u64,
    /// Why the bytes are not a batch.
    pub reason: String,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position, bytes, reason } = self;
        write!(f, "{}: {bytes} bytes from byte {position} on are no batch: {reason}", path.display())
    }
}
