//! The latest value of every key, without waiting for a compaction.

use std::collections::HashMap;

use crate::error::Result;
use crate::topic::partition::Partition;
use crate::topic::partition_reader::PartitionReader;
use crate::topic::record_ref::OwnedRecord;
use crate::topic::records::Records;
use crate::types::Offset;

/// Iterates over the last record of every key of a topic, partition by partition, in offset order. Keys whose last record
/// is a tombstone, and records without a key, are left out. What is sent after the iteration over a partition began is not seen,
/// unless a compaction removes what was there before because of it: then it is seen.
///
/// It holds every key of one partition in memory, but no values.
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
///
/// A compaction may come between the two walks: it takes a record that was last, because of one that was sent after the
/// first walk. What was handed out is struck off, therefore, and what the second walk did not find is looked for in what
/// was sent since.
#[derive(Debug)]
struct Replay {
    partition: Partition,
    /// Keys that were not handed out yet, and where each was last seen.
    last: HashMap<Box<[u8]>, Offset>,
    reader: PartitionReader,
    /// Where the walks end.
    until: Offset,
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
                if !replay.look_on()? {
                    self.current = None;
                }
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
        partition.log().write_accepted()?;
        let start = partition.start();
        let mut last: HashMap<Box<[u8]>, Offset> = HashMap::new();
        let until = learn(partition, start, |key, change| match change {
            Change::Value(offset) => match last.get_mut(key) {
                Some(known) => *known = offset,
                None => _ = last.insert(key.into(), offset),
            },
            Change::Tombstone => _ = last.remove(key),
        })?;
        let reader = partition.walk(start..until)?;
        Ok(Self { partition: partition.clone(), last, reader, until })
    }

    /// Goes on after the end of the second walk with the keys that it did not find. False when there are none.
    fn look_on(&mut self) -> Result<bool> {
        if self.last.is_empty() {
            return Ok(false);
        }
        let missing = std::mem::take(&mut self.last);
        let (from, last) = (self.until, &mut self.last);
        self.until = learn(&self.partition, from, |key, change| match change {
            Change::Value(offset) if missing.contains_key(key) => _ = last.insert(key.into(), offset),
            Change::Value(_) => {}
            Change::Tombstone => _ = last.remove(key),
        })?;
        // What was not found there either was deleted or erased.
        self.reader = self.partition.walk(from..self.until)?;
        Ok(!self.last.is_empty())
    }

    fn select(&mut self, records: &Records) -> Vec<OwnedRecord> {
        let mut found = Vec::new();
        for record in records {
            let Some(key) = record.key() else { continue };
            if self.last.get(key).is_some_and(|last| *last == record.offset()) {
                self.last.remove(key);
                found.push(record.to_owned());
            }
        }
        found
    }
}

/// What a record does to its key.
enum Change {
    Value(Offset),
    Tombstone,
}

/// Walks over what lies from `from` on, and returns where that ended: where readers could read to at the beginning, or later when
/// something was taken out meanwhile, because of records that must then be seen too.
fn learn(partition: &Partition, from: Offset, mut note: impl FnMut(&[u8], Change)) -> Result<Offset> {
    let mut walked_to = from;
    loop {
        // What is not decided yet is not walked over: it may be what a key is left with.
        let (rewrites, end) = (partition.log().rewrites(), partition.stable());
        let mut reader = partition.walk(walked_to..end)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let Some(key) = record.key() else { continue };
                let change = record.value().map_or(Change::Tombstone, |_| Change::Value(record.offset()));
                note(key, change);
            }
        }
        walked_to = end.max(walked_to);
        if partition.log().rewrites() == rewrites {
            return Ok(walked_to);
        }
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
