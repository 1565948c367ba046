//! What a partition notes of producers and of aborted transactions.

use std::path::{Path, PathBuf};

use crate::dump::segment::{directory, entries};
use crate::error::Result;
use crate::format::{
    AbortedTransaction, ProducerEntry, decode_aborted, decode_producer_snapshot, parse_snapshot_file_name,
};
use crate::types::{Offset, Timestamp};

/// Far more than such a file has.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// The content of a `.txnindex`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbortedDump {
    /// The entries in the order of the file; none when it cannot be read.
    pub entries: Vec<AbortedEntry>,
    /// Why it cannot be read; `None` when it can.
    pub unreadable: Option<String>,
}

/// A transaction whose ABORT marker is in the segment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbortedEntry {
    /// The producer's id.
    pub producer_id: i64,
    /// The offset of the transaction's first record.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
    /// The last stable offset once the marker was there.
    pub last_stable_offset: Offset,
}

/// The content of a `.snapshot`: what the partition knew of producers when its log had reached `offset`.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// use annals::dump::SnapshotDump;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let mut tx = store.transaction("shop")?;
/// tx.send(Record::to("orders").value("2 apples"))?;
/// tx.commit()?;
/// store.close()?;
/// let snapshots = SnapshotDump::in_directory(dir.path().join("orders-0"))?;
/// let newest = snapshots.last().unwrap();
/// assert_eq!((newest.offset, newest.producers[0].open_since), (2, None)); // after the marker
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotDump {
    /// The path of the file.
    pub path: PathBuf,
    /// The end of the log at that time, which is also the name of the file.
    pub offset: Offset,
    /// The producers in the order of the file; none when it cannot be read.
    pub producers: Vec<ProducerDump>,
    /// Why it cannot be read; `None` when it can.
    pub unreadable: Option<String>,
}

/// A producer in a [`SnapshotDump`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerDump {
    /// The producer's id.
    pub producer_id: i64,
    /// The epoch in which the producer writes.
    pub producer_epoch: i16,
    /// The sequence number of its last record, -1 for none.
    pub last_sequence: i32,
    /// The offset of its last record, -1 for none.
    pub last_offset: Offset,
    /// How many offsets its last batch has beyond the first.
    pub offset_delta: i32,
    /// The timestamp of its last batch, Unix milliseconds.
    pub timestamp: Timestamp,
    /// The coordinator epoch of the last marker that ended one of its transactions.
    pub coordinator_epoch: i32,
    /// The offset of the first record of the transaction that it had open; `None` when it had none.
    pub open_since: Option<Offset>,
}

impl SnapshotDump {
    /// Returns all snapshots in a partition's directory, in the order of their offsets.
    ///
    /// # Errors
    /// [`Io`](crate::Error::Io), which says what to give where there is no such directory.
    pub fn in_directory(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let directory = directory(path.as_ref());
        let mut snapshots = Vec::new();
        for entry in entries(&directory)? {
            let Some(offset) = parse_snapshot_file_name(&entry.name) else { continue };
            // Gone meanwhile: a store that is open keeps the newest.
            let Some(bytes) = directory.read_file(&entry.name, MOST_BYTES)? else { continue };
            let (producers, unreadable) = match decode_producer_snapshot(&bytes) {
                Ok(producers) => (producers.into_iter().map(ProducerDump::new).collect(), None),
                Err(malformed) => (Vec::new(), Some(malformed.to_string())),
            };
            snapshots.push(Self { path: path.as_ref().join(&entry.name), offset, producers, unreadable });
        }
        snapshots.sort_by_key(|snapshot| snapshot.offset);
        Ok(snapshots)
    }
}

impl ProducerDump {
    fn new(entry: ProducerEntry) -> Self {
        let ProducerEntry { producer_id, producer_epoch, last_sequence, last_offset, offset_delta, .. } =
            entry;
        let ProducerEntry { timestamp, coordinator_epoch, open_since, .. } = entry;
        Self {
            producer_id,
            producer_epoch,
            last_sequence,
            last_offset,
            offset_delta,
            timestamp,
            coordinator_epoch,
            open_since,
        }
    }
}

pub(super) fn aborted(bytes: &[u8]) -> AbortedDump {
    let entry = |AbortedTransaction { producer_id, first, last, stable }| AbortedEntry {
        producer_id,
        first_offset: first,
        last_offset: last,
        last_stable_offset: stable,
    };
    match decode_aborted(bytes) {
        Ok(entries) => AbortedDump { entries: entries.into_iter().map(entry).collect(), unreadable: None },
        Err(malformed) => AbortedDump { entries: Vec::new(), unreadable: Some(malformed.to_string()) },
    }
}
