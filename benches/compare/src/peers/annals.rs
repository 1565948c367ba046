//! annals: a topic of one partition, default settings.
//!
//! `Memory` keeps a record in this process until its batch is full or its linger is over; `Os` returns when the write call has;
//! `Disk` when a sync has.

use std::path::Path;

use annals::{Durability, Offset, Partition, Record, Store, TopicConfig, TopicProducer};

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Codec, Kind, Log, Offer, PLAIN, Peer, Setup, Work};

pub(crate) const PEER: Peer = Peer {
    name: "annals",
    kind: Kind::Annals,
    package: Some("annals"),
    offers: &[
        Offer::new(Class::Memory, "send, send_batch at Durability::Memory"),
        Offer::new(Class::Os, "send, send_batch at Durability::Os"),
        Offer::new(Class::Disk, "send, send_batch at Durability::Disk"),
    ],
    codecs: &Codec::ALL,
    open: |dir, setup| open(dir, setup, 64 << 10),
    ..PLAIN
};

pub(crate) const SMALL_BATCHES: Peer = Peer {
    name: "annals, batches of 4 KiB",
    offers: &[Offer::new(
        Class::Memory,
        "send at Durability::Memory, batch_size 4 KiB, index.interval.bytes 2 KiB",
    )],
    codecs: &[Codec::None],
    works: &[Work::W6],
    open: |dir, setup| open_for_points(dir, setup, 4 << 10),
    ..PEER
};

pub(crate) const SMALLER_BATCHES: Peer = Peer {
    name: "annals, batches of 2 KiB",
    offers: &[Offer::new(
        Class::Memory,
        "send at Durability::Memory, batch_size 2 KiB, index.interval.bytes 1 KiB",
    )],
    open: |dir, setup| open_for_points(dir, setup, 2 << 10),
    ..SMALL_BATCHES
};

pub(crate) fn durability(class: Class) -> Durability {
    match class {
        Class::Memory => Durability::Memory,
        Class::Os => Durability::Os,
        Class::Disk => Durability::Disk,
    }
}

fn codec(codec: Codec) -> annals::Codec {
    match codec {
        Codec::None => annals::Codec::None,
        Codec::Lz4 => annals::Codec::Lz4,
        Codec::Zstd => annals::Codec::Zstd,
    }
}

/// Dropped in this order; the store, last, is closed by it.
struct Annals {
    producer: TopicProducer,
    partition: Partition,
    first: Offset,
    /// A `send_batch` is one batch whatever its size: for small ones each record is sent by itself.
    one_by_one: bool,
    _store: Store,
}

fn open(dir: &Path, setup: &Setup, batch_size: usize) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Annals::open(dir, setup, batch_size, TopicConfig::new())?))
}

/// As who reads single records would have it: small batches, an index entry for each.
fn open_for_points(dir: &Path, setup: &Setup, batch_size: usize) -> Outcome<Box<dyn Log>> {
    let config = TopicConfig::new().index_interval_bytes(u32::try_from(batch_size / 2)?);
    let log = Annals::open(dir, setup, batch_size, config)?;
    Ok(Box::new(Annals { one_by_one: true, ..log }))
}

impl Annals {
    fn open(dir: &Path, setup: &Setup, batch_size: usize, config: TopicConfig) -> Outcome<Self> {
        let store = Store::open(dir)?;
        let topic = store.ensure_topic("events", config.compression_type(codec(setup.codec)))?;
        let partition = topic.partition(0)?;
        let producer =
            store.producer_builder().durability(durability(setup.class)).batch_size(batch_size).build()?;
        let producer = producer.bind("events")?;
        let first = partition.start();
        Ok(Self { producer, partition, first, one_by_one: false, _store: store })
    }
}

impl Log for Annals {
    #[inline]
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        self.producer.send(Record::new().value(value))?;
        Ok(())
    }

    fn append_batch(&self, thread: usize, values: &[&[u8]]) -> Outcome {
        if self.one_by_one {
            return values.iter().try_for_each(|value| self.append(thread, value));
        }
        let records: Vec<_> = values.iter().map(|value| Record::new().value(*value)).collect();
        self.producer.send_batch(&records)?;
        Ok(())
    }

    fn prepare_append(&mut self) -> Outcome {
        // The first append makes the first segment.
        self.partition.append(&[Record::new()], Durability::Disk)?;
        self.first = self.partition.end();
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        // A reader sees everything sent, so it has everything written.
        self.partition.read_from(self.first)?;
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut reader = self.partition.read_from(self.first)?;
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

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let offset = self.first + i64::try_from(number)?;
        let record = self.partition.get(offset)?.ok_or("no such record")?;
        found.add(record.value.as_deref().unwrap_or_default());
        Ok(())
    }
}
