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
    /// Bytes of batches, and of what is torn after them, that were read to find the end. Space allocated ahead is not counted.
    pub scanned_bytes: u64,
    /// The end of the log, the next offset to be assigned.
    pub end: Offset,
    /// What was found after the last whole batch and is not part of the log.
    pub torn: Option<TornTail>,
    /// Why the partition could not be opened: every call on its topic returns this error, and the other topics are open. The
    /// report is about the first one at fault. Or why the directory of a partition that the list of topics does not name was left as it
    /// is.
    pub failure: Option<Error>,
    /// Records of a topic that the store keeps for itself, which it does not understand: of a later version, or a
    /// stranger's. They stay where they are and count for nothing.
    pub skipped: Vec<SkippedRecord>,
    /// What records of a topic that the store keeps for itself say of another topic of the name that a topic has now, as groups'
    /// committed offsets may: of one that was deleted, or whose id a repair has not found. It counts for nothing from here on.
    pub let_go: Vec<String>,
    /// The file of what the partition knows of producers, which could not be read. That was made again from the log, and from an older
    /// file of its kind where there is one: a producer all of whose records have left the log may be forgotten, and what it sends again be
    /// appended again.
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

/// A record that was not understood.
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
    /// Its offset.
    pub offset: Offset,
    /// What is not understood about it.
    pub reason: String,
}

impl SkippedRecord {
    pub(crate) fn new(offset: Offset, reason: String) -> Self {
        Self { offset, reason }
    }
}

/// A file that should tell what a partition knows of producers, and does not.
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
    /// Why it tells nothing: it is missing, or damaged.
    pub reason: String,
}

impl fmt::Display for LostSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Bytes after the last whole batch: a write that a crash cut off before it was acknowledged as durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the tail begins.
    pub position: u64,
    /// How many bytes, up to the last that is not zero.
    pub bytes: u64,
    /// Why they are no batch.
    pub reason: String,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position, bytes, reason } = self;
        write!(f, "{}: {bytes} bytes from byte {position} on are no batch: {reason}", path.display())
    }
}
