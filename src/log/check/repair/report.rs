//! What a repair tells: each thing that it took out or put right, and what it left alone.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::log::check::verify::Damage;
use crate::types::Offset;

/// One thing that a repair removed from a store, or corrected in it.
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
    /// Byte positions in the file as it was before the repair.
    pub position: Range<u64>,
    /// Offsets of records that may have been there and can no longer be read, or no longer by readers of committed records because the
    /// end of their transaction is lost; empty if no record is lost. If offsets were missing before, it contains more than there were.
    /// If it is not known what followed, it ends with the largest possible offset, and offsets may be assigned again.
    pub lost: Range<Offset>,
    /// What was wrong.
    pub reason: String,
    /// The file in which the bytes are now; `None` if there were none.
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
    /// Partitions examined.
    pub partitions: u64,
    /// What was removed or corrected, in the order of topics, partitions and offsets.
    pub repairs: Vec<Repair>,
    /// What was left as it is because it may belong to another store, partition or version. A person has to decide.
    pub refused: Vec<Damage>,
    /// The `.log` files whose indexes were rebuilt, including the files that the repair has written.
    pub rebuilt_indexes: Vec<PathBuf>,
}

impl RepairReport {
    /// Returns whether there was nothing to repair.
    pub fn is_unchanged(&self) -> bool {
        self.repairs.is_empty() && self.refused.is_empty() && self.rebuilt_indexes.is_empty()
    }
}
