//! What a repair tells: each thing that it took out or put right, and what it left alone.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::log::check::verify::Damage;
use crate::types::Offset;

/// One thing that a repair took out of a store, or put right in it.
///
/// ```no_run
/// for repair in annals::Store::builder("shop-log").repair("/backup/taken-out")?.repairs {
///     println!("{repair}");
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The file.
    pub path: PathBuf,
    /// Byte positions in it, as it was.
    pub position: Range<u64>,
    /// Offsets that may have been there and cannot be read any more, or not by readers of committed records, as the end of their
    /// transaction is lost; empty when no record is lost. Where offsets were missing before, it has more than there were; it ends with the largest offset of all where it is not known what
    /// followed, and then offsets may be given out again.
    pub lost: Range<Offset>,
    /// What did not fit.
    pub reason: String,
    /// Where the bytes are now; `None` when there were none.
    pub copy: Option<PathBuf>,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.position.start, self.position.end);
        write!(f, "{}, bytes {from} to {to}: {}", self.path.display(), self.reason)?;
        match self.lost {
            Range { start, end } if start >= end => f.write_str("; no record is lost")?,
            Range { start, end: Offset::MAX } => write!(f, "; offsets from {start} on may be lost")?,
            Range { start, end } => write!(f, "; offsets {start} to {} are lost", end - 1)?,
        }
        match &self.copy {
            Some(copy) => write!(f, "; the bytes are in {}", copy.display()),
            None => Ok(()),
        }
    }
}

impl Repair {
    /// A file that was replaced whole, and no record with it. Its copy, and its length.
    pub(crate) fn of_whole_file(path: PathBuf, reason: String, copy: Option<(PathBuf, u64)>) -> Self {
        let position = 0..copy.as_ref().map_or(0, |(_, len)| *len);
        Self { path, position, lost: 0..0, reason, copy: copy.map(|(copy, _)| copy) }
    }

    /// What was found, and put right without taking anything out.
    pub(crate) fn without_loss(Damage { path, position, reason, .. }: Damage) -> Self {
        Self { path, position: position..position, lost: 0..0, reason, copy: None }
    }
}

/// What a repair has done.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop-log");
/// # let store = Store::open(&path)?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// # store.close()?;
/// let report = Store::builder(&path).repair(dir.path().join("taken-out"))?;
/// assert!(report.is_unchanged());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Partitions looked at.
    pub partitions: u64,
    /// What was taken out or put right, in the order of topics, partitions and offsets.
    pub repairs: Vec<Repair>,
    /// What was left as it is, because it may be of another store, partition or version: a person has to decide.
    pub refused: Vec<Damage>,
    /// The `.log` files whose indexes were made again, those that the repair has written among them.
    pub rebuilt_indexes: Vec<PathBuf>,
}

impl RepairReport {
    /// True when nothing was to be repaired.
    pub fn is_unchanged(&self) -> bool {
        self.repairs.is_empty() && self.refused.is_empty() && self.rebuilt_indexes.is_empty()
    }
}
