//! annals: a topic of four partitions, and the queue of a group on it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals::{Durability, Partition, QueueBuilder, Record, Store, TopicConfig, TopicProducer};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

const PARTITIONS: u32 = 4;

pub(crate) const PEER: Peer = Peer {
    name: "annals",
    classes: &Class::ALL,
    is_shared: true,
    open: |dir, class| open(dir, class, |builder| builder),
};

pub(crate) const ORDERED: Peer = Peer {
    name: "annals, in order of each key",
    classes: &Class::ALL,
    is_shared: true,
    open: |dir, class| open(dir, class, QueueBuilder::ordered_by_key),
};

struct Annals {
    store: Store,
    producer: TopicProducer,
    partitions: Vec<Partition>,
    durability: Durability,
    /// Keys, so that there is an order to keep.
    sent: AtomicUsize,
    set: fn(QueueBuilder) -> QueueBuilder,
    class: Class,
}

fn open(dir: &Path, class: Class, set: fn(QueueBuilder) -> QueueBuilder) -> Outcome<Arc<dyn Jobs>> {
    let store = Store::open(dir)?;
    let topic = store.create_topic("jobs", TopicConfig::new().partitions(PARTITIONS))?;
    let durability = if class == Class::Disk { Durability::Disk } else { Durability::Os };
    let producer = store.producer_builder().durability(durability).build()?.bind("jobs")?;
    let (partitions, sent) = (topic.partitions(), AtomicUsize::new(0));
    Ok(Arc::new(Annals { store, producer, partitions, durability, sent, set, class }))
}

impl Jobs for Annals {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        let first = self.sent.fetch_add(values.len(), Ordering::Relaxed);
        if let [value] = values {
            self.producer.send(Record::new().key(&first.to_be_bytes()).value(*value))?;
            return Ok(());
        }
        let keys: Vec<_> = (first..).map(|number| number.to_be_bytes()).take(values.len()).collect();
        let records: Vec<_> =
            keys.iter().zip(values).map(|(key, value)| Record::new().key(key).value(*value)).collect();
        // A batch is of one partition.
        let partition = &self.partitions[first / values.len() % self.partitions.len()];
        partition.append(&records, self.durability)?;
        Ok(())
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        let builder = (self.set)(self.store.queue_builder("jobs", "workers").durability(self.durability));
        // With the process the count may go, where an answer may.
        let builder = if self.class == Class::Memory { builder.count_in_memory() } else { builder };
        Ok(Box::new(builder.build()?))
    }
}

impl Worker for annals::Worker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        let messages = self.take(at_a_time, Duration::ZERO)?;
        messages.iter().for_each(|message| found.add(message.value.as_deref().unwrap_or_default()));
        let count = messages.len();
        messages.ack()?;
        Ok(count)
    }
}
