//! A life of a store in which each call of the public interface has its place, and what is to be there.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::{
    CleanupPolicy, Durability, Error, Expected, Offset, Record, Result, StartFrom, Store, StoreReader,
    TopicConfig,
};

/// A call, by its name. Once more after an error it does what it had to do.
pub(super) type Step = (&'static str, fn(&mut Life) -> Result<()>);

pub(super) struct Life {
    dir: PathBuf,
    store: Option<Store>,
    /// What partition 0 of "orders" is to hold.
    sent: Vec<(Offset, String)>,
    /// The end of what was sent at more than `Memory`, or before such a record.
    written: Offset,
    number: usize,
    /// A sender was told of a loss.
    was_told: bool,
}

const SECOND: Duration = Duration::from_secs(1);

pub(super) const STEPS: [Step; 34] = [
    ("open", Life::open),
    ("create a topic", |life| life.topic("orders", orders())),
    ("create a compacted topic", |life| life.topic("table", small().cleanup_policy(CleanupPolicy::Compact))),
    ("append at Memory", |life| life.append(Durability::Memory, 1)),
    ("append at Os", |life| life.append(Durability::Os, 1)),
    ("append at Disk", |life| life.append(Durability::Disk, 1)),
    ("appends that roll", |life| life.append(Durability::Os, 60)),
    ("flush", Life::flush),
    ("a send of a producer", |life| life.table(40)),
    ("poll and commit", Life::consume),
    ("commit a transaction", Life::transfer),
    ("append to a stream", Life::append_to_stream),
    ("read a stream", |life| life.store()?.topic("orders")?.stream("alice")?.last().map(drop)),
    ("append by a named producer", Life::append_as_named),
    ("take and acknowledge", Life::work),
    ("reject", Life::reject),
    ("schedule", |life| {
        life.store()?.schedule().deliver_after(Record::to("jobs").value("later"), SECOND * 3600)
    }),
    ("alter a topic", |life| {
        life.store()?.alter_topic("orders", TopicConfig::new().retention(SECOND * 86_400)).map(drop)
    }),
    ("add partitions", |life| match life.store()?.topic("jobs")?.partition_count() {
        1 => life.store()?.add_partitions("jobs", 2).map(drop),
        _ => Ok(()),
    }),
    ("apply retention", |life| life.store()?.apply_retention().map(drop)),
    ("compact", |life| life.store()?.topic("table")?.compact().map(drop)),
    ("erase", |life| life.store()?.erase("table", "key-1").map(drop)),
    ("delete records", Life::delete_records),
    ("done messages go", |life| life.store()?.drop_done("jobs").map(drop)),
    ("back up", Life::back_up),
    ("hold maintenance", |life| life.store()?.hold_maintenance().map(drop)),
    ("figures", |life| life.store()?.stats().map(drop)),
    ("attach a reader", Life::attach),
    ("delete a group", |life| life.store()?.delete_group("billing")),
    ("delete a topic", |life| match life.store()?.delete_topic("table") {
        Err(Error::UnknownTopic { .. }) => Ok(()),
        done => done,
    }),
    ("maintain", |life| life.store()?.maintain()),
    ("close", |life| life.store()?.close()),
    ("open again", |life| {
        life.store = None;
        life.open()
    }),
    ("append in the second life", |life| life.append(Durability::Disk, 3)),
];

fn small() -> TopicConfig {
    TopicConfig::new().segment_bytes(4096).index_interval_bytes(256)
}

fn orders() -> TopicConfig {
    small().partitions(2).key_index(true)
}

impl Life {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), store: None, sent: Vec::new(), written: 0, number: 0, was_told: false }
    }

    fn store(&self) -> Result<&Store> {
        Ok(self.store.as_ref().unwrap())
    }

    fn open(&mut self) -> Result<()> {
        self.store = Some(Store::builder(self.dir.join("store")).open()?);
        Ok(())
    }

    fn topic(&mut self, name: &str, config: TopicConfig) -> Result<()> {
        self.store()?.ensure_topic(name, config).map(drop)
    }

    fn flush(&mut self) -> Result<()> {
        let flush = || self.store()?.producer().flush();
        match flush() {
            // And to the next flush, which does not know to whom.
            Err(Error::Lost { .. }) if self.was_told => flush()?,
            done => done?,
        }
        self.was_told = false;
        Ok(())
    }

    fn append(&mut self, durability: Durability, count: usize) -> Result<()> {
        let partition = self.store()?.topic("orders")?.partition(0)?;
        for _ in 0..count {
            self.number += 1;
            let value = format!("order {} {}", self.number, "-".repeat(150));
            let append = || partition.append(&[Record::new().key("bob").value(&value)], durability);
            let at = match append() {
                // Said once, to the next sender.
                Err(Error::Lost { .. }) => {
                    self.was_told = true;
                    self.sent.retain(|(offset, _)| *offset < self.written);
                    append()?
                }
                done => done?,
            };
            self.sent.push((at.last_offset, value));
            if durability != Durability::Memory {
                self.written = at.last_offset + 1;
            }
        }
        Ok(())
    }

    fn append_to_stream(&mut self) -> Result<()> {
        let topic = self.store()?.topic("orders")?;
        topic.append_to("alice", Expected::Any, &[Record::new().value("opened")]).map(drop)
    }

    fn append_as_named(&mut self) -> Result<()> {
        let store = self.store()?;
        let named = store.named_producer("importer")?;
        let partition = store.topic("orders")?.partition(1)?;
        let next = named.last_sequence(&partition).map_or(0, |last| last + 1);
        named.append(&partition, next, &[Record::new().value("imported")], Durability::Os).map(drop)
    }

    fn table(&mut self, count: usize) -> Result<()> {
        let producer = self.store()?.producer();
        for number in 0..count {
            let (key, value) = (format!("key-{}", number % 5), format!("{number} {}", "-".repeat(200)));
            producer.send(Record::to("table").key(&key).value(&value))?;
        }
        Ok(())
    }

    fn consume(&mut self) -> Result<()> {
        let builder = self.store()?.consumer_builder().group("billing").start_from(StartFrom::Earliest);
        let mut consumer = builder.commit_durability(Durability::Disk).build()?;
        consumer.subscribe(["orders"])?;
        consumer.poll(SECOND)?;
        consumer.commit()
    }

    fn transfer(&mut self) -> Result<()> {
        let mut transaction = self.store()?.transaction("bank")?;
        for topic in ["orders", "table"] {
            transaction.send(Record::to(topic).partition(0).key("carol").value("both"))?;
        }
        transaction.commit().map(drop)
    }

    fn send_job(&self) -> Result<()> {
        let store = self.store()?;
        store.ensure_topic("jobs", small().retention_until_consumed())?;
        store.producer().send(Record::to("jobs").value("a job")).map(drop)
    }

    fn work(&mut self) -> Result<()> {
        self.send_job()?;
        let mut worker = self.store()?.queue("jobs", "workers")?;
        worker.take(100, SECOND)?.into_iter().try_for_each(|job| job.ack())
    }

    fn reject(&mut self) -> Result<()> {
        self.send_job()?;
        let mut worker = self.store()?.queue("jobs", "workers")?;
        worker.take(100, SECOND)?.into_iter().try_for_each(|job| job.reject("no good"))
    }

    fn delete_records(&mut self) -> Result<()> {
        let partition = self.store()?.topic("orders")?.partition(0)?;
        partition.delete_records(20).map(drop)?;
        self.sent.retain(|(offset, _)| *offset >= 20);
        Ok(())
    }

    fn back_up(&mut self) -> Result<()> {
        let copy = self.dir.join("copy");
        match self.store()?.backup(&copy) {
            Err(error) => {
                assert!(!copy.join("backup").exists(), "a backup that failed is none: {error}");
                Err(error)
            }
            Ok(_) => Ok(()),
        }
    }

    fn attach(&mut self) -> Result<()> {
        let reader = StoreReader::attach(self.dir.join("store"))?;
        let partition = reader.topic("orders")?.partition(0)?;
        for (offset, value) in &self.sent {
            assert_eq!(partition.get(*offset)?.unwrap().value.unwrap(), value.as_bytes());
        }
        Ok(())
    }

    /// Everything that was acknowledged is there, by its offset and in a row.
    pub(super) fn read_all(&self, what: &str) -> Result<()> {
        let Some(store) = self.store.as_ref() else { return Ok(()) };
        let partition = match store.topic("orders") {
            Ok(topic) => topic.partition(0)?,
            // Not created yet, or closed.
            Err(Error::UnknownTopic { .. } | Error::StoreClosed { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (offset, value) in &self.sent {
            let found = match partition.get(*offset) {
                // Accepted in memory, and the write has failed.
                Err(Error::OffsetOutOfRange { .. }) if *offset >= self.written => continue,
                // The start has moved, though the call did not end well.
                Err(Error::OffsetOutOfRange { .. }) if *offset < 20 => continue,
                Err(Error::StoreClosed { .. }) => return Ok(()),
                found => found?,
            };
            assert_eq!(
                found.and_then(|record| record.value).as_deref(),
                Some(value.as_bytes()),
                "{what}: at {offset}"
            );
        }
        let mut in_a_row = Vec::new();
        for record in partition.read(..)? {
            let record = record?;
            in_a_row.extend(record.value.map(|value| (record.offset, value)));
        }
        for (offset, value) in
            self.sent.iter().filter(|(offset, _)| (partition.start()..self.written).contains(offset))
        {
            let at = in_a_row.binary_search_by_key(offset, |(offset, _)| *offset);
            let at =
                at.unwrap_or_else(|_| panic!("{what}: offset {offset} of {} is not read", self.sent.len()));
            assert_eq!(in_a_row[at].1, value.as_bytes());
        }
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.store.take().unwrap().close().unwrap();
    }
}
