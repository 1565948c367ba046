//! What a store has promised: what must be found after a power cut, and what may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use annals::{Offset, Partition, Store, Topic, TopicPartition};

/// What the store keeps for itself.
const INTERNAL: &str = "__consumer_offsets";
/// The setting that workloads change.
pub(crate) const SETTING: &str = "max.message.bytes";

pub(crate) type Outcome<T> = Result<T, String>;

/// All of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promises {
    pub(crate) topics: BTreeMap<String, TopicPromise>,
    /// By group and partition: the last commit known to be durable, and all that were begun since.
    pub(crate) commits: BTreeMap<(String, TopicPartition), Vec<Option<Offset>>>,
}

/// One topic that may be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicPromise {
    pub(crate) is_certain: bool,
    /// How many partitions it may have.
    pub(crate) counts: Vec<u32>,
    /// What the setting may be.
    pub(crate) settings: Vec<String>,
    pub(crate) logs: Vec<LogPromise>,
}

/// One partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogPromise {
    /// By offset, all that was sent.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Everything below was acknowledged as durable.
    pub(crate) durable: Offset,
    pub(crate) least_start: Offset,
    pub(crate) most_start: Offset,
    /// May have been compacted away.
    pub(crate) may_go: BTreeSet<Offset>,
    /// Was.
    pub(crate) gone: BTreeSet<Offset>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    /// `None` deletes the key.
    pub(crate) value: Option<Vec<u8>>,
    /// A batch may end behind it.
    pub(crate) ends_batch: bool,
}

impl LogPromise {
    pub(crate) fn end(&self) -> Offset {
        Offset::try_from(self.entries.len()).unwrap()
    }

    fn entry(&self, offset: Offset) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset).ok()?).map(|entry| &**entry)
    }

    /// Offsets that a later record of the same key supersedes, and deletions.
    pub(crate) fn superseded(&self) -> BTreeSet<Offset> {
        let last: BTreeMap<_, _> =
            self.entries.iter().enumerate().map(|(at, entry)| (&entry.key, at)).collect();
        let old = self
            .entries
            .iter()
            .enumerate()
            .filter(|(at, entry)| last[&entry.key] != *at || entry.value.is_none());
        old.map(|(at, _)| Offset::try_from(at).unwrap()).collect()
    }

    fn check(&self, partition: &Partition) -> Outcome<()> {
        let (start, end) = (partition.start(), partition.end());
        let fail = |what: String| Err(format!("{}: {what}", partition.topic_partition()));
        if end < self.durable || end > self.end() {
            return fail(format!("ends at {end}, not from {} to {}", self.durable, self.end()));
        }
        if start < self.least_start || start > self.most_start {
            return fail(format!("starts at {start}, not from {} to {}", self.least_start, self.most_start));
        }
        if end > 0 && !self.entry(end - 1).is_some_and(|entry| entry.ends_batch) {
            return fail(format!("ends at {end}, inside a batch"));
        }
        let found = read(partition)?;
        for (offset, key, value) in &found {
            let sent = self.entry(*offset);
            if sent.is_none_or(|sent| sent.key != *key || sent.value != *value) {
                return fail(format!("offset {offset} is not what was sent"));
            }
            if self.gone.contains(offset) {
                return fail(format!("offset {offset} came back"));
            }
        }
        if !found.is_sorted_by(|a, b| a.0 < b.0) {
            return fail("out of order".to_owned());
        }
        let there: BTreeSet<_> = found.iter().map(|(offset, ..)| *offset).collect();
        let missing = (start..end).find(|offset| {
            !there.contains(offset) && !self.may_go.contains(offset) && !self.gone.contains(offset)
        });
        missing.map_or(Ok(()), |offset| fail(format!("offset {offset} is missing")))
    }
}

type Found = (Offset, Vec<u8>, Option<Vec<u8>>);

fn read(partition: &Partition) -> Outcome<Vec<Found>> {
    let mut reader = partition.read(..).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    loop {
        let records = reader.fetch().map_err(|error| error.to_string())?;
        if records.is_empty() {
            return Ok(found);
        }
        found.extend(records.iter().map(|record| {
            (record.offset(), record.key().unwrap_or_default().to_vec(), record.value().map(<[u8]>::to_vec))
        }));
    }
}

pub(crate) fn offsets(partition: &Partition) -> Outcome<BTreeSet<Offset>> {
    Ok(read(partition)?.into_iter().map(|(offset, ..)| offset).collect())
}

/// The topics of users.
pub(crate) fn topics(store: &Store) -> Vec<Topic> {
    store.topics().into_iter().filter(|topic| topic.name() != INTERNAL).collect()
}

impl Promises {
    pub(crate) fn log(&mut self, place: &TopicPartition) -> &mut LogPromise {
        let number = usize::try_from(place.partition()).unwrap();
        &mut self.topics.get_mut(place.topic()).unwrap().logs[number]
    }

    /// Compares a store that was opened after a power cut.
    pub(crate) fn check(&self, store: &Store) -> Outcome<()> {
        for (name, promise) in &self.topics {
            match store.topic(name) {
                Ok(topic) => promise.check(&topic)?,
                Err(_) if !promise.is_certain => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        if let Some(other) = topics(store).iter().find(|topic| !self.topics.contains_key(topic.name())) {
            return Err(format!("topic {} came back", other.name()));
        }
        for ((group, place), allowed) in &self.commits {
            let Ok(partition) =
                store.topic(place.topic()).and_then(|topic| topic.partition(place.partition()))
            else {
                continue;
            };
            let found = store.committed(group).get(place).map(|committed| committed.offset);
            let end = partition.end();
            let is_allowed =
                |offset: &Option<Offset>| found == *offset || found == offset.map(|at| at.min(end));
            if found.is_some_and(|at| at > end) || !allowed.iter().any(is_allowed) {
                return Err(format!(
                    "{group} has {found:?} for {place}, not one of {allowed:?}; the end is {end}"
                ));
            }
        }
        Ok(())
    }

    /// What was found and agrees with these promises, as the promises of the next life: what is on the disk stays there.
    pub(crate) fn observed(&self, store: &Store) -> Outcome<Self> {
        let mut now = self.clone();
        now.topics.retain(|name, _| store.topic(name).is_ok());
        for (name, promise) in &mut now.topics {
            let topic = store.topic(name).map_err(|error| error.to_string())?;
            promise.is_certain = true;
            promise.counts = vec![topic.partition_count()];
            promise.settings = vec![topic.config().get(SETTING).to_owned()];
            promise.logs.truncate(topic.partitions().len());
            for (log, partition) in promise.logs.iter_mut().zip(topic.partitions()) {
                log.entries.truncate(usize::try_from(partition.end()).unwrap());
                log.durable = partition.end();
                (log.least_start, log.most_start) = (partition.start(), partition.start());
                let there = offsets(&partition)?;
                log.gone = (partition.start()..partition.end()).filter(|at| !there.contains(at)).collect();
                log.may_go.clear();
            }
        }
        now.commits.retain(|(_, place), _| now.topics.contains_key(place.topic()));
        for ((group, place), allowed) in &mut now.commits {
            *allowed = vec![store.committed(group).get(place).map(|committed| committed.offset)];
        }
        Ok(now)
    }
}

impl TopicPromise {
    fn check(&self, topic: &Topic) -> Outcome<()> {
        let setting = topic.config().get(SETTING).to_owned();
        if !self.counts.contains(&topic.partition_count()) || !self.settings.contains(&setting) {
            let count = topic.partition_count();
            return Err(format!("{} has {count} partitions and {setting}, not {self:?}", topic.name()));
        }
        topic.partitions().iter().zip(&self.logs).try_for_each(|(partition, log)| log.check(partition))
    }
}
