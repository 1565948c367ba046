//! A store with one topic of one partition, default settings.

use annals::{Durability, Offset, Partition, Record, Store, TopicConfig, TopicProducer};
use tempfile::TempDir;

use crate::harness::{Outcome, Scope};
use crate::payload::{Found, Payloads};
use crate::scratch::Scratch;

/// The first offset of what is measured. The record before it has opened the partition for writing, once for the life of
/// a store, which belongs to no row.
pub(crate) const FIRST: Offset = 1;

/// Dropped in this order: the store is closed before its directory goes.
pub(crate) struct AnnalsStore {
    pub(crate) producer: TopicProducer,
    pub(crate) partition: Partition,
    store: Store,
    _dir: TempDir,
}

impl AnnalsStore {
    pub(crate) fn new(scratch: &Scratch, durability: Durability) -> Outcome<Self> {
        Self::with_batch_size(scratch, durability, 64 << 10)
    }

    pub(crate) fn with_batch_size(
        scratch: &Scratch,
        durability: Durability,
        batch_size: usize,
    ) -> Outcome<Self> {
        let dir = scratch.fresh()?;
        let store = Store::open(dir.path())?;
        let partition = store.create_topic("events", TopicConfig::new())?.partition(0)?;
        partition.append(&[Record::new()], Durability::Disk)?;
        let producer = store.producer_builder().durability(durability).batch_size(batch_size).build()?;
        let producer = producer.bind("events")?;
        Ok(Self { producer, partition, store, _dir: dir })
    }

    /// A store that holds `records` payloads in batches of about `batch_size` bytes.
    pub(crate) fn filled(
        scope: &Scope,
        payloads: &Payloads,
        records: usize,
        batch_size: usize,
    ) -> Outcome<Self> {
        let store = Self::with_batch_size(&scope.scratch, Durability::Memory, batch_size)?;
        for number in 0..records {
            store.producer.send(Record::new().value(payloads.get(number)))?;
        }
        store.producer.flush()?;
        Ok(store)
    }

    /// Hands to the operating system what is in memory.
    pub(crate) fn write_out(&self) -> Outcome {
        // A reader sees everything sent, so it has everything written.
        self.partition.read_from(FIRST)?;
        Ok(())
    }

    /// Everything that can be read, each CRC checked, each byte touched.
    pub(crate) fn read_all(&self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut reader = self.partition.read_from(FIRST)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                return Ok(found);
            }
            for record in &records {
                found.add(record.value().unwrap_or_default());
            }
        }
    }

    pub(crate) fn close(self) -> Outcome {
        Ok(self.store.close()?)
    }
}
