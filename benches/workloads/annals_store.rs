//! A store with one topic of one partition, default settings.

use std::time::Duration;

use annals::{Codec, Durability, Offset, Partition, Record, Store, TopicConfig, TopicProducer};
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
        Self::with(scratch, durability, 64 << 10, TopicConfig::new())
    }

    fn with(
        scratch: &Scratch,
        durability: Durability,
        batch_size: usize,
        config: TopicConfig,
    ) -> Outcome<Self> {
        let dir = scratch.fresh()?;
        let store = Store::open(dir.path())?;
        let partition = store.create_topic("events", config)?.partition(0)?;
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
        let store = Self::with(&scope.scratch, Durability::Memory, batch_size, TopicConfig::new())?;
        store.fill(payloads, records)
    }

    /// The same in batches of 64 KiB before they are compressed.
    pub(crate) fn compressed(
        scope: &Scope,
        payloads: &Payloads,
        records: usize,
        codec: Codec,
    ) -> Outcome<Self> {
        let config = TopicConfig::new().compression_type(codec);
        Self::with(&scope.scratch, Durability::Memory, 64 << 10, config)?.fill(payloads, records)
    }

    fn fill(self, payloads: &Payloads, records: usize) -> Outcome<Self> {
        for number in 0..records {
            self.producer.send(Record::new().value(payloads.get(number)))?;
        }
        self.producer.flush()?;
        Ok(self)
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

    /// The same through a consumer's polls, of as many records as are its default.
    pub(crate) fn poll_all(&self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut consumer = self.store.consumer_builder().build()?;
        consumer.assign([("events", 0)])?;
        consumer.seek(("events", 0), FIRST)?;
        loop {
            let records = consumer.poll(Duration::ZERO)?;
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
