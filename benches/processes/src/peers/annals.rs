//! annals: the owner sends at `Os`, an attached reader sleeps in `poll`, or looks at the published end without a pause.

use std::path::Path;
use std::time::Duration;

use annals::{Consumer, Durability, PartitionView, Record, Store, StoreReader, TopicConfig, TopicProducer};

use crate::harness::Outcome;
use crate::peers::{Pause, Peer, Receiver, Sender};

pub(crate) const ASLEEP: Peer =
    Peer { name: "annals, asleep in poll", pause: Pause::None, send, receive: sleep };
pub(crate) const SPINNING: Peer =
    Peer { name: "annals, end() without a pause", pause: Pause::None, send, receive: spin };

struct Annals {
    producer: TopicProducer,
    /// Closed last.
    _store: Store,
}

fn send(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let store = Store::open(dir)?;
    store.create_topic("events", TopicConfig::new())?;
    let producer = store.producer_builder().durability(Durability::Os).build()?.bind("events")?;
    Ok(Box::new(Annals { producer, _store: store }))
}

impl Sender for Annals {
    fn send(&mut self, value: &[u8]) -> Outcome {
        self.producer.send(Record::new().value(value))?;
        Ok(())
    }
}

struct Asleep {
    consumer: Consumer,
    _reader: StoreReader,
}

fn sleep(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    let reader = StoreReader::attach(dir)?;
    let mut consumer = reader.consumer_builder().build()?;
    consumer.assign([("events", 0)])?;
    Ok(Box::new(Asleep { consumer, _reader: reader }))
}

impl Receiver for Asleep {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        for record in &self.consumer.poll(Duration::from_secs(1))? {
            take(record.value().unwrap_or_default())?;
        }
        Ok(())
    }
}

struct Spinning {
    partition: PartitionView,
    next: i64,
    _reader: StoreReader,
}

fn spin(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    let reader = StoreReader::attach(dir)?;
    let partition = reader.topic("events")?.partition(0)?;
    Ok(Box::new(Spinning { partition, next: 0, _reader: reader }))
}

impl Receiver for Spinning {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let end = self.partition.end();
        while self.next < end {
            let record = self.partition.get(self.next)?.ok_or("a record is not there")?;
            take(record.value.as_deref().unwrap_or_default())?;
            self.next += 1;
        }
        Ok(())
    }
}
