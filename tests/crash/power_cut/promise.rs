//! What a store has promised: what must be found after a power cut, and what may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::power_cut::transactions::TransactionPromise;
use annals::{Offset, Partition, RecordRef, Store, Topic, TopicPartition};

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
    /// In the order in which they were begun.
    pub(crate) transactions: Vec<TransactionPromise>,
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
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    /// `None` deletes the key.
    pub(crate) value: Option<Vec<u8>>,
    /// A batch may end behind it.
    pub(crate) ends_batch: bool,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = (self.key.escape_ascii(), self.value.as_deref().map(<[u8]>::escape_ascii));
        let end = if self.ends_batch { "." } else { "" };
        write!(f, "{key}: {}{end}", value.map_or("none".to_owned(), |value| value.to_string()))
    }
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

    /// Compares a partition, and tells which offsets are there.
    fn check(&self, partition: &Partition) -> Outcome<Vec<Offset>> {
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
        let mut there = Vec::new();
        let mut wrong = None;
        each_record(partition, |record| {
            let offset = record.offset();
            let is_it = |sent: &Entry| {
                sent.key == record.key().unwrap_or_default() && sent.value.as_deref() == record.value()
            };
            if !self.entry(offset).is_some_and(is_it) {
                wrong.get_or_insert_with(|| format!("offset {offset} is not what was sent"));
            }
            if self.gone.contains(&offset) {
                wrong.get_or_insert_with(|| format!("offset {offset} came back"));
            }
            there.push(offset);
        })?;
        if let Some(wrong) = wrong {
            return fail(wrong);
        }
        if !there.is_sorted_by(|a, b| a < b) {
            return fail("out of order".to_owned());
        }
        let missing =
            missing(start..end, &there).find(|at| !self.may_go.contains(at) && !self.gone.contains(at));
        missing.map_or(Ok(there), |offset| fail(format!("offset {offset} is missing")))
    }
}

/// Those of `all` that are not among `there`, which is sorted.
fn missing(all: Range<Offset>, there: &[Offset]) -> impl Iterator<Item = Offset> {
    let mut there = there.iter().copied().peekable();
    all.filter(move |offset| {
        while there.next_if(|at| at < offset).is_some() {}
        there.next_if_eq(offset).is_none()
    })
}

fn each_record(partition: &Partition, mut see: impl FnMut(RecordRef<'_>)) -> Outcome<()> {
    let mut reader = partition.read(..).map_err(|error| error.to_string())?;
    loop {
        let records = reader.fetch().map_err(|error| error.to_string())?;
        if records.is_empty() {
            return Ok(());
        }
        records.iter().for_each(&mut see);
    }
}

pub(crate) fn offsets(partition: &Partition) -> Outcome<Vec<Offset>> {
    let mut offsets = Vec::new();
    each_record(partition, |record| offsets.push(record.offset()))?;
    Ok(offsets)
}

/// Which offsets were found, by topic and partition.
pub(crate) type Found = BTreeMap<String, Vec<Vec<Offset>>>;

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
    pub(crate) fn check(&self, store: &Store) -> Outcome<Found> {
        let mut there = Found::new();
        for (name, promise) in &self.topics {
            match store.topic(name) {
                Ok(topic) => _ = there.insert(name.clone(), promise.check(&topic)?),
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
        Ok(there)
    }

    /// What was found and agrees with these promises, as the promises of the next life: what is on the disk stays there.
    pub(crate) fn observed(&self, store: &Store, found: &Found) -> Outcome<Self> {
        let mut now = self.clone();
        now.topics.retain(|name, _| found.contains_key(name));
        for (name, promise) in &mut now.topics {
            let topic = store.topic(name).map_err(|error| error.to_string())?;
            promise.is_certain = true;
            promise.counts = vec![topic.partition_count()];
            promise.settings = vec![topic.config().get(SETTING).to_owned()];
            promise.logs.truncate(topic.partitions().len());
            for ((log, partition), there) in promise.logs.iter_mut().zip(topic.partitions()).zip(&found[name])
            {
                log.entries.truncate(usize::try_from(partition.end()).unwrap());
                log.durable = partition.end();
                (log.least_start, log.most_start) = (partition.start(), partition.start());
                log.gone = missing(partition.start()..partition.end(), there).collect();
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
    fn check(&self, topic: &Topic) -> Outcome<Vec<Vec<Offset>>> {
        let setting = topic.config().get(SETTING).to_owned();
        if !self.counts.contains(&topic.partition_count()) || !self.settings.contains(&setting) {
            let count = topic.partition_count();
            return Err(format!("{} has {count} partitions and {setting}, not {self:?}", topic.name()));
        }
        topic.partitions().iter().zip(&self.logs).map(|(partition, log)| log.check(partition)).collect()
    }
}
