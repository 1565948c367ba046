//! The latest value of every key, without waiting for a compaction.

use std::collections::HashMap;

use crate::error::Result;
use crate::topic::partition::Partition;
use crate::topic::record_ref::OwnedRecord;
use crate::topic::records::Records;
use crate::types::Offset;

/// Iterates over the last record of every key of a topic, partition by partition, in offset order. Keys whose last record
/// is a tombstone, and records without a key, are left out. What is sent after the iterator was made is not seen.
///
/// Holds every key of one partition in memory, and no values.
///
/// ```
/// # use annals::{CleanupPolicy, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let prices = store.create_topic("prices", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
/// # let producer = store.producer();
/// for (fruit, price) in [("apple", "2"), ("pear", "3"), ("apple", "4")] {
///     producer.send(Record::to("prices").key(fruit).value(price))?;
/// }
/// producer.send(Record::to("prices").key("pear"))?; // a tombstone: no more pears
/// let latest = prices.latest().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(latest.len(), 1);
/// assert_eq!(latest[0].value.as_deref(), Some(&b"4"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Latest {
    /// Next one last.
    partitions: Vec<Partition>,
    current: Option<Replay>,
    /// Copies of what was found last, next one last.
    found: Vec<OwnedRecord>,
}

/// A second walk over one partition, which hands out what the first one found to be last.
#[derive(Debug)]
struct Replay {
    last: HashMap<Box<[u8]>, Offset>,
    reader: crate::topic::PartitionReader,
}

impl Latest {
    pub(super) fn new(mut partitions: Vec<Partition>) -> Self {
        partitions.reverse();
        Self { partitions, current: None, found: Vec::new() }
    }

    /// Copies of the next records that are the last of their key; none at the end.
    fn advance(&mut self) -> Result<Vec<OwnedRecord>> {
        loop {
            let replay = match &mut self.current {
                Some(replay) => replay,
                None => match self.partitions.pop() {
                    Some(partition) => self.current.insert(Replay::new(&partition)?),
                    None => return Ok(Vec::new()),
                },
            };
            let records = replay.reader.fetch()?;
            if records.is_empty() {
                self.current = None;
                continue;
            }
            let found = replay.select(&records);
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
}

impl Replay {
    fn new(partition: &Partition) -> Result<Self> {
        partition.log().write_queued();
        let end = partition.end();
        let mut last: HashMap<Box<[u8]>, Offset> = HashMap::new();
        let mut reader = partition.read(..end)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let Some(key) = record.key() else { continue };
                match (last.get_mut(key), record.value()) {
                    (Some(offset), Some(_)) => *offset = record.offset(),
                    (None, Some(_)) => _ = last.insert(key.into(), record.offset()),
                    (_, None) => _ = last.remove(key),
                }
            }
        }
        Ok(Self { last, reader: partition.read(..end)? })
    }

    fn select(&self, records: &Records) -> Vec<OwnedRecord> {
        let is_last = |key: &[u8], offset| self.last.get(key).is_some_and(|last| *last == offset);
        let last =
            records.iter().filter(|record| record.key().is_some_and(|key| is_last(key, record.offset())));
        last.map(|record| record.to_owned()).collect()
    }
}

impl Iterator for Latest {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        if self.found.is_empty() {
            match self.advance() {
                Ok(found) => self.found = found,
                Err(error) => {
                    // A partition that cannot be read ends the walk over it, not over the others.
                    self.current = None;
                    return Some(Err(error));
                }
            }
            self.found.reverse();
        }
        self.found.pop().map(Ok)
    }
}
