//! A store on the model, and the hand that uses it: every call notes what it may leave before it is made, and what it
//! promised after it returned.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    Durability, Error, Offset, Partition, Record, Result, Store, Topic, TopicConfig, TopicPartition,
};

use crate::common::Random;
use crate::disk::{Disk, UNIT};
use crate::model::Model;
use crate::promise::{self, Entry, LogPromise, Outcome, Promises, SETTING, TopicPromise};
use crate::record::{Moment, Recorder};

/// Where the store is.
pub(crate) const PATH: &str = "/machine/store";
/// The time of the first record.
const BEGINNING: i64 = 1_700_000_000_000;

/// A store that keeps at most so many files open.
pub(crate) fn open(model: &Model, clock: &Arc<ManualClock>, files: usize) -> Result<Store> {
    Store::builder(PATH)
        .max_open_files(files)
        .file_system(Arc::new(model.clone()))
        .clock(Arc::clone(clock) as Arc<dyn annals::io::Clock>)
        .read_mode(annals::ReadMode::Positional)
        .sync_every(Duration::ZERO)
        .maintain_by_hand()
        .open()
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(BEGINNING))
}

/// Segments of a few records.
pub(crate) fn tiny() -> TopicConfig {
    TopicConfig::new().segment_bytes(1200).index_interval_bytes(200)
}

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Random,
    /// How many files the store keeps open. With one, each partition that is used takes it from another.
    pub(crate) files: usize,
    /// Goes on after most failures, as programs do that run for long.
    pub(crate) bears: bool,
    store: Option<Store>,
    sent: u64,
}

impl World {
    /// A new machine.
    pub(crate) fn new(seed: u64) -> Self {
        Self::on(Disk::new(), Promises::default(), seed)
    }

    /// A machine that was running before.
    pub(crate) fn on(disk: Disk, promises: Promises, seed: u64) -> Self {
        let recorder = Arc::new(Recorder::default());
        recorder.attempt("start", |empty| *empty = promises);
        let model = Model::new(disk, Some(Arc::clone(&recorder)));
        let random = Random::new(seed);
        let files = if seed.is_multiple_of(2) { 1 } else { 100 };
        Self { model, recorder, clock: clock(), random, files, bears: false, store: None, sent: seed << 32 }
    }

    /// Everything recorded, and the moment after the last call.
    pub(crate) fn moments(self) -> Vec<Moment> {
        self.model.record();
        self.model.kill();
        self.recorder.ask(Vec::new());
        self.recorder.take_moments()
    }

    /// The same, from the first call on that failed.
    pub(crate) fn moments_in_trouble(&mut self) -> Vec<Moment> {
        self.model.record();
        self.recorder.take_moments_in_trouble()
    }

    /// Ends the process, and the machine goes on.
    pub(crate) fn kill(mut self) -> Disk {
        let disk = self.model.kill();
        self.drop_store();
        disk
    }

    /// Lets go of the store, as an unwinding program does.
    pub(crate) fn drop_store(&mut self) {
        self.recorder.ask(Vec::new());
        drop(self.store.take());
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Whoever bears failures tries twice.
    pub(crate) fn open(&mut self) -> Result<()> {
        self.attempt("open", |_| {});
        let opened = match open(&self.model, &self.clock, self.files) {
            Err(_) if self.bears => open(&self.model, &self.clock, self.files),
            opened => opened,
        };
        self.store = Some(opened?);
        self.promise(|_| {});
        Ok(())
    }

    /// Opens again what this process had open.
    pub(crate) fn open_again(&mut self) -> Result<()> {
        let opened = self.open();
        if opened.is_ok() && self.bears {
            self.compare_with_cache().unwrap();
        }
        opened
    }

    /// What comes of something that may be tried once more, or be left.
    fn bear(&self, outcome: Result<()>) -> Result<bool> {
        if let Err(error) = &outcome {
            eprintln!("{}: {error}", self.recorder.doing());
        }
        match outcome {
            Ok(()) => Ok(true),
            Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) if self.bears => Ok(false),
            Err(Error::Io { .. } | Error::Poisoned { .. } | Error::Lost { .. }) if self.bears => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens what a crash left, compares it, and goes on from there.
    pub(crate) fn reopen(&mut self) -> Outcome<()> {
        self.open().map_err(|error| error.to_string())?;
        let before = self.recorder.promises();
        let found = before.check(self.store())?;
        let now = before.observed(self.store(), &found)?;
        self.promise(|promises| *promises = now);
        Ok(())
    }

    /// Opens what a process left to the machine it ran on. That something reads well does not say that it is on the disk.
    pub(crate) fn reopen_on_cache(&mut self) -> Outcome<()> {
        self.open().map_err(|error| error.to_string())?;
        self.compare_with_cache()
    }

    fn compare_with_cache(&self) -> Outcome<()> {
        let before = self.recorder.promises();
        let found = before.check(self.store())?;
        let mut now = before.observed(self.store(), &found)?;
        for (name, topic) in &mut now.topics {
            topic.is_certain = before.topics[name].is_certain;
            for (log, known) in topic.logs.iter_mut().zip(&before.topics[name].logs) {
                log.durable = known.durable;
                log.least_start = known.least_start;
                log.may_go.clone_from(&known.may_go);
                log.gone.clone_from(&known.gone);
            }
        }
        for (id, allowed) in &mut now.commits {
            allowed.splice(0..0, before.commits[id].iter().copied());
        }
        self.recorder.attempt("open on the cache", |promises| *promises = now);
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        self.attempt("close", |_| {});
        self.recorder.ask(Vec::new());
        let closed = self.store.take().unwrap().close();
        if !self.bear(closed)? {
            return Ok(());
        }
        self.promise(|promises| {
            for topic in promises.topics.values_mut() {
                topic.logs.iter_mut().for_each(|log| log.durable = log.end());
            }
            promises.commits.values_mut().for_each(|allowed| drop(allowed.drain(..allowed.len() - 1)));
        });
        Ok(())
    }

    fn attempt(&self, doing: &str, change: impl FnOnce(&mut Promises)) {
        self.recorder.attempt(doing, change);
    }

    fn promise(&self, change: impl FnOnce(&mut Promises)) {
        self.recorder.promise(change);
        if let Some(store) = &self.store {
            self.recorder.ask(promise::topics(store).iter().flat_map(Topic::partitions).collect());
        }
        self.model.record();
    }

    pub(crate) fn create(&mut self, name: &str, config: TopicConfig) -> Result<()> {
        let count = config.partition_count().unwrap_or(1);
        let logs = vec![LogPromise::default(); usize::try_from(count).unwrap()];
        let settings = vec![config.get(SETTING).to_owned()];
        self.recorder.ask(Vec::new());
        self.attempt(&format!("create {name}"), |promises| {
            let promise = TopicPromise { is_certain: false, counts: vec![count], settings, logs };
            promises.topics.insert(name.to_owned(), promise);
        });
        self.store().create_topic(name, config)?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().is_certain = true);
        Ok(())
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        self.recorder.ask(Vec::new());
        self.attempt(&format!("delete {name}"), |promises| {
            promises.topics.get_mut(name).unwrap().is_certain = false;
        });
        self.store().delete_topic(name)?;
        self.promise(|promises| _ = promises.topics.remove(name));
        Ok(())
    }

    pub(crate) fn add_partitions(&mut self, name: &str, count: u32) -> Result<()> {
        self.attempt(&format!("add partitions to {name}"), |promises| {
            let topic = promises.topics.get_mut(name).unwrap();
            topic.counts.push(count);
            topic.logs.resize(usize::try_from(count).unwrap(), LogPromise::default());
        });
        self.store().add_partitions(name, count)?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().counts = vec![count]);
        Ok(())
    }

    pub(crate) fn alter(&mut self, name: &str, value: u32) -> Result<()> {
        self.attempt(&format!("alter {name}"), |promises| {
            promises.topics.get_mut(name).unwrap().settings.push(value.to_string());
        });
        self.store().alter_topic(name, TopicConfig::new().max_message_bytes(value))?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().settings = vec![value.to_string()]);
        Ok(())
    }

    pub(crate) fn partition(&self, place: &TopicPartition) -> Result<Partition> {
        self.store().topic(place.topic())?.partition(place.partition())
    }

    /// New records; no two have the same value.
    pub(crate) fn entries(&mut self, count: u64, keys: u64) -> Vec<Entry> {
        let entry = |at: u64| {
            // At most one record of a batch spans units, or three would not fit into a tiny segment.
            let padding = match self.random.below(8) {
                0 if at == 0 => UNIT + 40,
                n => usize::try_from(n).unwrap() * 12,
            };
            let key = self.random.below(keys);
            Entry { ends_batch: at + 1 == count, ..self.entry(key, padding) }
        };
        (0..count).map(entry).collect()
    }

    /// A new record of about so many bytes.
    pub(crate) fn entry(&mut self, key: u64, padding: usize) -> Entry {
        self.sent += 1;
        let value = format!("{} {}", self.sent, "-".repeat(padding)).into_bytes();
        Entry { key: format!("key {key}").into_bytes(), value: Some(value), ends_batch: true }
    }

    /// Appends a batch. At `Memory` it may become two.
    pub(crate) fn append(
        &mut self,
        place: &TopicPartition,
        count: u64,
        durability: Durability,
    ) -> Result<()> {
        let entries = self.entries(count, 5);
        self.append_entries(place, &entries, durability)
    }

    pub(crate) fn append_entries(
        &mut self,
        place: &TopicPartition,
        entries: &[Entry],
        durability: Durability,
    ) -> Result<()> {
        // What waits in memory when something fails is gone, or not: too much to keep account of.
        let durability = if self.bears { durability.max(Durability::Os) } else { durability };
        self.begin(&format!("append at {durability:?}"), place, entries, durability);
        let records: Vec<_> = entries.iter().map(record).collect();
        let appended = self.partition(place).and_then(|partition| partition.append(&records, durability));
        self.appended(place, durability, appended.map(drop))
    }

    /// After a failed sync of the log nobody knows; after any other failure nothing of it is there.
    fn appended(&self, place: &TopicPartition, durability: Durability, outcome: Result<()>) -> Result<()> {
        let is_refused = match &outcome {
            // Of the log: the partition takes nothing more. Of a new table: it goes on as before.
            Err(Error::Io { operation: "sync", .. }) => self.partition(place)?.flush().is_ok(),
            outcome => outcome.is_err(),
        };
        if self.bear(outcome)? {
            self.acknowledge(place, durability);
        } else if is_refused {
            let end = self.partition(place).map_or(0, |partition| partition.end());
            let end = usize::try_from(end).unwrap();
            self.attempt("refused", |promises| promises.log(place).entries.truncate(end));
        }
        Ok(())
    }

    /// Appends a record that may be refused, and then is not there.
    pub(crate) fn try_append(&mut self, place: &TopicPartition, entry: Entry) -> Result<()> {
        let end = self.partition(place)?.end();
        match self.append_entries(place, &[entry], Durability::Os) {
            Err(Error::Io { .. }) if self.partition(place)?.flush().is_ok() => {
                let end = usize::try_from(end).unwrap();
                self.promise(|promises| promises.log(place).entries.truncate(end));
                Ok(())
            }
            other => other,
        }
    }

    /// The same through a producer.
    pub(crate) fn send(&mut self, place: &TopicPartition, count: u64, durability: Durability) -> Result<()> {
        let entries = self.entries(count, 5);
        self.begin("send a batch", place, &entries, durability);
        let to = |entry| record_to(entry, place);
        let records: Vec<_> = entries.iter().map(to).collect();
        let producer = self.store().producer_builder().durability(durability).build()?;
        self.appended(place, durability, producer.send_batch(&records).map(drop))
    }

    /// Twice: as it is expected, and then not.
    pub(crate) fn append_if(&mut self, place: &TopicPartition) -> Result<()> {
        let entries = self.entries(2, 5);
        self.begin("append if", place, &entries, Durability::Disk);
        let records: Vec<_> = entries.iter().map(record).collect();
        let partition = self.partition(place)?;
        let expected = partition.end();
        let appended = partition.append_if(expected, &records, Durability::Disk).map(drop);
        let is_appended = appended.is_ok();
        self.appended(place, Durability::Disk, appended)?;
        if !is_appended {
            return Ok(());
        }
        let refused = partition.append_if(expected, &records, Durability::Disk);
        assert!(matches!(refused, Err(Error::UnexpectedEnd { .. })), "{refused:?}");
        Ok(())
    }

    fn begin(&self, doing: &str, place: &TopicPartition, entries: &[Entry], durability: Durability) {
        let split = durability == Durability::Memory;
        let entries = entries.iter().cloned().map(|mut entry| {
            entry.ends_batch |= split;
            Arc::new(entry)
        });
        self.attempt(doing, |promises| promises.log(place).entries.extend(entries));
    }

    fn acknowledge(&self, place: &TopicPartition, durability: Durability) {
        self.promise(|promises| {
            let log = promises.log(place);
            if durability == Durability::Disk {
                log.durable = log.end();
            }
        });
    }

    pub(crate) fn flush(&mut self, place: &TopicPartition) -> Result<()> {
        self.attempt("flush", |_| {});
        if !self.bear(self.partition(place).and_then(|partition| partition.flush()))? {
            return Ok(());
        }
        self.acknowledge(place, Durability::Disk);
        Ok(())
    }

    pub(crate) fn maintain(&mut self) -> Result<()> {
        self.attempt("maintain", |promises| {
            for log in promises.topics.values_mut().flat_map(|topic| &mut topic.logs) {
                log.most_start = log.end();
            }
        });
        if !self.bear(self.store().maintain().map(drop))? {
            return Ok(());
        }
        self.promise(|_| {});
        self.note_starts();
        Ok(())
    }

    pub(crate) fn apply_retention(&mut self) -> Result<()> {
        self.attempt("retention", |promises| {
            for log in promises.topics.values_mut().flat_map(|topic| &mut topic.logs) {
                log.most_start = log.end();
            }
        });
        if self.bear(self.store().apply_retention().map(drop))? {
            self.note_starts();
        }
        Ok(())
    }

    /// What a start says is gone stays gone.
    fn note_starts(&self) {
        let topics = promise::topics(self.store());
        self.promise(|promises| {
            for partition in topics.iter().flat_map(Topic::partitions) {
                let log = promises.log(partition.topic_partition());
                log.least_start = partition.start();
                // One that failed before may have moved the start on the disk, and not here.
                log.most_start = if self.bears { log.most_start } else { partition.start() };
            }
        });
    }

    pub(crate) fn delete_records(&mut self, place: &TopicPartition, before: Offset) -> Result<()> {
        self.attempt("delete records", |promises| {
            let log = promises.log(place);
            log.most_start = log.most_start.max(before);
            // What is left of a segment may be nothing: the start passes over offsets that compaction took.
            while log.gone.contains(&log.most_start) || log.may_go.contains(&log.most_start) {
                log.most_start += 1;
            }
        });
        if !self
            .bear(self.partition(place).and_then(|partition| partition.delete_records(before)).map(drop))?
        {
            return Ok(());
        }
        self.promise(|promises| promises.log(place).least_start = before);
        Ok(())
    }

    pub(crate) fn compact(&mut self, name: &str) -> Result<()> {
        self.attempt("compact", |promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let superseded = log.superseded();
                log.may_go.extend(superseded);
            }
        });
        let compacted = self.store().topic(name).and_then(|topic| topic.compact()).map(drop);
        if self.bear(compacted)? { self.note_gone(name) } else { Ok(()) }
    }

    pub(crate) fn erase(&mut self, name: &str, key: &[u8]) -> Result<()> {
        let of_key = |log: &LogPromise| -> BTreeSet<Offset> {
            let found = log.entries.iter().enumerate().filter(|(_, entry)| entry.key == key);
            found.map(|(at, _)| Offset::try_from(at).unwrap()).collect()
        };
        self.attempt("erase", |promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let of_key = of_key(log);
                log.may_go.extend(of_key);
            }
        });
        if !self.bear(self.store().topic(name).and_then(|topic| topic.erase(key)).map(drop))? {
            return Ok(());
        }
        self.promise(|promises| {
            for log in &mut promises.topics.get_mut(name).unwrap().logs {
                let erased = of_key(log);
                log.gone.extend(erased);
            }
        });
        self.note_gone(name)
    }

    /// What the running store does not show any more must not come back.
    fn note_gone(&self, name: &str) -> Result<()> {
        for partition in self.store().topic(name)?.partitions() {
            let there = promise::offsets(&partition).unwrap();
            let log = self.recorder.promises().log(partition.topic_partition()).clone();
            // Records in memory whose write has failed are told of by the next append.
            let offsets = log.least_start..partition.end();
            let gone: BTreeSet<_> = offsets.filter(|offset| there.binary_search(offset).is_err()).collect();
            let mut lost = gone.iter().filter(|at| !log.may_go.contains(at) && !log.gone.contains(at));
            assert_eq!(lost.next(), None, "{}", partition.topic_partition());
            self.promise(|promises| {
                let log = promises.log(partition.topic_partition());
                log.gone.extend(gone);
                log.may_go.clear();
            });
        }
        Ok(())
    }

    pub(crate) fn commit(
        &mut self,
        group: &str,
        (place, offset): (&TopicPartition, Offset),
        durability: Durability,
    ) -> Result<()> {
        let id = (group.to_owned(), place.clone());
        self.attempt(&format!("commit {offset} at {durability:?}"), |promises| {
            promises.commits.entry(id.clone()).or_insert_with(|| vec![None]).push(Some(offset));
        });
        let builder = self.store().consumer_builder().group(group).commit_durability(durability);
        let commit = || {
            let mut consumer = builder.build()?;
            consumer.assign([place.clone()])?;
            consumer.commit_offsets([(place.clone(), offset)])
        };
        if !self.bear(commit())? {
            return Ok(());
        }
        self.promise(|promises| {
            if durability == Durability::Disk {
                promises.commits.insert(id, vec![Some(offset)]);
            }
        });
        Ok(())
    }
}

fn record(entry: &Entry) -> Record<'_> {
    let record = Record::new().key(&entry.key);
    match &entry.value {
        Some(value) => record.value(value),
        None => record,
    }
}

fn record_to<'a>(entry: &'a Entry, place: &'a TopicPartition) -> Record<'a> {
    let record = Record::to(place.topic()).partition(place.partition()).key(&entry.key);
    match &entry.value {
        Some(value) => record.value(value),
        None => record,
    }
}
