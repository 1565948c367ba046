//! A store in memory, whose clock is turned by hand and whose process is killed at will.

use std::sync::Arc;
use std::time::Duration;

use annals::io::{Clock, ManualClock};
use annals::{Message, QueueBuilder, Record, Store, TopicConfig, Worker};
use annals_testing::{FaultyFileSystem, Image, MemoryFileSystem};

pub(crate) struct World {
    pub(crate) disk: MemoryFileSystem,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
}

impl World {
    /// With a topic `jobs` of so many partitions.
    pub(crate) fn new(partitions: u32) -> Self {
        let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
        let store = open(&disk, &clock);
        store.create_topic("jobs", TopicConfig::new().partitions(partitions)).unwrap();
        Self { disk, clock, store }
    }

    /// The same with one partition, on a disk that fails when it is told to.
    pub(crate) fn faulty() -> (Arc<FaultyFileSystem>, Self) {
        let (memory, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        let builder = Store::builder("/store").file_system(disk.clone()).clock(clock.clone());
        let store = builder.maintain_by_hand().open().unwrap();
        store.create_topic("jobs", TopicConfig::new()).unwrap();
        (disk, Self { disk: memory, clock, store })
    }

    /// What a kill of the process leaves, opened again.
    pub(crate) fn killed(&self) -> Self {
        self.again(self.disk.files())
    }

    /// What a power cut leaves when everything that was not synced is lost.
    pub(crate) fn without_power(&self) -> Self {
        self.again(self.disk.durable_files())
    }

    pub(crate) fn again(&self, files: annals_testing::Files) -> Self {
        let disk = MemoryFileSystem::over(&Image::new(files));
        let clock = Arc::clone(&self.clock);
        let store = open(&disk, &clock);
        Self { disk, clock, store }
    }

    /// The same with another clock.
    pub(crate) fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        let disk = MemoryFileSystem::over(&Image::new(self.disk.files()));
        let store = open_with(&disk, clock);
        Self { disk, clock: Arc::clone(&self.clock), store }
    }

    pub(crate) fn send(&self, values: &[&str]) {
        for value in values {
            self.store.producer().send(Record::to("jobs").value(value)).unwrap();
        }
    }

    pub(crate) fn send_keyed(&self, records: &[(&str, &str)]) {
        for (key, value) in records {
            self.store.producer().send(Record::to("jobs").key(key).value(value)).unwrap();
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        self.store.queue("jobs", "workers").unwrap()
    }

    pub(crate) fn builder(&self) -> QueueBuilder {
        self.store.queue_builder("jobs", "workers")
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The values of the records of a topic.
    pub(crate) fn values(&self, topic: &str) -> Vec<String> {
        let partitions = self.store.topic(topic).unwrap().partitions();
        let records = partitions.into_iter().flat_map(|partition| partition.read(..).unwrap());
        records.map(|record| String::from_utf8(record.unwrap().value.unwrap()).unwrap()).collect()
    }
}

fn open(disk: &MemoryFileSystem, clock: &Arc<ManualClock>) -> Store {
    open_with(disk, Arc::clone(clock) as _)
}

/// The same, with another clock.
pub(crate) fn open_with(disk: &MemoryFileSystem, clock: Arc<dyn Clock>) -> Store {
    let builder = Store::builder("/store").file_system(Arc::new(disk.clone()));
    builder.clock(clock).maintain_by_hand().open().unwrap()
}

pub(crate) fn value(message: &Message) -> String {
    String::from_utf8(message.value.clone().unwrap()).unwrap()
}

/// What a worker is handed now.
pub(crate) fn take(worker: &mut Worker, most: usize) -> Vec<Message> {
    worker.take(most, Duration::ZERO).unwrap().into_iter().collect()
}

/// The same, by their values.
pub(crate) fn values(messages: &[Message]) -> Vec<String> {
    messages.iter().map(value).collect()
}

/// All that can be out at once.
pub(crate) fn all(builder: QueueBuilder) -> Vec<Message> {
    let mut worker = builder.build().unwrap();
    (0..6).flat_map(|_| take(&mut worker, 9)).collect()
}

/// The values of the same, each acknowledged before the next look.
pub(crate) fn done(builder: QueueBuilder) -> Vec<String> {
    let mut worker = builder.build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..9 {
        let messages = take(&mut worker, 9);
        seen.extend(values(&messages));
        messages.into_iter().for_each(|message| message.ack().unwrap());
    }
    seen
}
