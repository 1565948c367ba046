//! One thread: calls by chance, each noted before it is made and when it has returned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::{
    CleanupPolicy, Consumer, Durability, Error, Offset, Partition, Record, Store, Topic, TopicConfig,
};
use annals_testing::Random;

use super::ledger::{Ledger, TopicFacts, handed_out, parse, value};
use super::watchdog::Watchdog;

/// `table` ones are compacted.
const NAMES: [&str; 4] = ["a", "b", "table", "table-2"];
const KEYS: [&str; 4] = ["ann", "bob", "eve", "zoe"];
const GROUPS: [&str; 2] = ["billing", "audit"];

/// Who creates or deletes a name holds its lock, so that the ledger knows what there is.
static CATALOG: [Mutex<()>; NAMES.len()] = [const { Mutex::new(()) }; NAMES.len()];

pub(crate) struct Worker {
    thread: usize,
    random: Random,
    store: Store,
    ledger: Arc<Ledger>,
    dog: Arc<Watchdog>,
    /// Handles of a while ago.
    kept: Vec<Topic>,
    consumer: Option<(String, Consumer)>,
    /// What the consumer has handed out: topic's name and partition; topic's id, next offset.
    read: BTreeMap<(String, u32), (u128, Offset)>,
}

type Outcome = Result<(), String>;

impl Worker {
    pub(crate) fn new(
        (thread, seed): (usize, u64),
        store: &Store,
        ledger: &Arc<Ledger>,
        dog: &Arc<Watchdog>,
    ) -> Self {
        Self {
            thread,
            random: Random::new(seed),
            store: store.clone(),
            ledger: Arc::clone(ledger),
            dog: Arc::clone(dog),
            kept: Vec::new(),
            consumer: None,
            read: BTreeMap::new(),
        }
    }

    /// So many calls, or until somebody has found a fault.
    pub(crate) fn work(mut self, calls: u64, stop: &AtomicBool) -> Outcome {
        for _ in 0..calls {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let one = self.one();
            if one.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            one?;
        }
        Ok(())
    }

    fn note(&self, what: impl FnOnce() -> String) {
        self.dog.note(self.thread, what);
    }

    fn one(&mut self) -> Outcome {
        match self.random.below(30) {
            0..=2 => self.create(),
            3 => self.delete(),
            4 => self.grow(),
            5 => self.alter(),
            6..=7 => self.flush(),
            8 => self.delete_records(),
            9..=10 => self.maintain(),
            11 => self.erase(),
            12..=13 => self.read_partition(),
            14 => self.get(),
            15..=18 => self.consume(),
            _ => self.append(),
        }
    }

    /// Some topic, from the list or from long ago.
    fn topic(&mut self) -> Option<Topic> {
        if !self.kept.is_empty() && self.random.one_in(4) {
            return Some(self.random.choose(&self.kept).clone());
        }
        let topic =
            self.store.topic(NAMES[usize::try_from(self.random.below(NAMES.len() as u64)).unwrap()]).ok()?;
        // One that another thread is making is not in the ledger yet.
        if !self.ledger.facts().topics.contains_key(&topic.id()) {
            return None;
        }
        self.kept.push(topic.clone());
        self.kept.drain(..self.kept.len().saturating_sub(4));
        Some(topic)
    }

    fn partition(&mut self) -> Option<(u128, Partition)> {
        let topic = self.topic()?;
        let count = topic.partition_count();
        let number = u32::try_from(self.random.below(u64::from(count))).unwrap();
        Some((topic.id(), topic.partition(number).ok()?))
    }

    /// What may become of a call on a topic: if somebody deletes it, that is said; nothing else fails.
    fn judge<T>(&self, topic: u128, call: &str, result: annals::Result<T>) -> Result<Option<T>, String> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::UnknownTopic { .. }) if self.ledger.facts().is_dying(topic) => Ok(None),
            // What was in memory alone, and whose it was.
            Err(Error::Lost { cause, .. })
                if matches!(*cause, Error::UnknownTopic { .. }) && self.ledger.facts().is_dying(topic) =>
            {
                Ok(None)
            }
            Err(error) => {
                let dying = self.ledger.facts().is_dying(topic);
                Err(format!("{call}: {error} ({error:?}), topic {topic}, being deleted: {dying}"))
            }
        }
    }

    fn create(&mut self) -> Outcome {
        let at = usize::try_from(self.random.below(NAMES.len() as u64)).unwrap();
        let name = NAMES[at];
        let _alone = CATALOG[at].lock().unwrap();
        let is_there = self.ledger.facts().living(name).is_some();
        let partitions = 1 + self.random.below(3);
        let policy = if name.starts_with("table") { CleanupPolicy::Compact } else { CleanupPolicy::Delete };
        let config = TopicConfig::new()
            .partitions(u32::try_from(partitions).unwrap())
            .segment_bytes(2048)
            .index_interval_bytes(256)
            .min_cleanable_dirty_ratio(0.1)
            .cleanup_policy(policy);
        self.note(|| format!("create {name}"));
        match self.store.create_topic(name, config) {
            Ok(topic) if !is_there => {
                let facts = TopicFacts {
                    name: name.to_owned(),
                    is_dying: false,
                    is_gone: false,
                    partitions: usize::try_from(partitions).unwrap(),
                    erased: [].into(),
                    logs: BTreeMap::new(),
                };
                if let Some(before) = self.ledger.facts().topics.insert(topic.id(), facts) {
                    return Err(format!("the id of {} was given out twice", before.name));
                }
                Ok(())
            }
            Err(Error::TopicExists { .. }) if is_there => Ok(()),
            other => {
                Err(format!("create {name}, which is {}there: {other:?}", if is_there { "" } else { "not " }))
            }
        }
    }

    fn delete(&mut self) -> Outcome {
        let at = usize::try_from(self.random.below(NAMES.len() as u64)).unwrap();
        let name = NAMES[at];
        let _alone = CATALOG[at].lock().unwrap();
        let living = {
            let mut facts = self.ledger.facts();
            let living = facts.living(name);
            living
                .and_then(|id| facts.topics.get_mut(&id))
                .into_iter()
                .for_each(|topic| topic.is_dying = true);
            living
        };
        self.note(|| format!("delete {name}"));
        match self.store.delete_topic(name) {
            Ok(()) if living.is_some() => {
                let mut facts = self.ledger.facts();
                living
                    .and_then(|id| facts.topics.get_mut(&id))
                    .into_iter()
                    .for_each(|topic| topic.is_gone = true);
                Ok(())
            }
            Err(Error::UnknownTopic { .. }) if living.is_none() => Ok(()),
            other => Err(format!("delete {name} ({living:?}): {other:?}")),
        }
    }

    fn grow(&mut self) -> Outcome {
        let at = usize::try_from(self.random.below(NAMES.len() as u64)).unwrap();
        let name = NAMES[at];
        let _alone = CATALOG[at].lock().unwrap();
        let Some(id) = self.ledger.facts().living(name) else { return Ok(()) };
        let count = self.ledger.facts().topics[&id].partitions;
        self.note(|| format!("grow {name}"));
        let grown = self.store.add_partitions(name, u32::try_from((count + 1).min(5)).unwrap());
        if count < 5 {
            self.judge(id, "add_partitions", grown)?;
            self.ledger.facts().topics.get_mut(&id).unwrap().partitions = count + 1;
        }
        Ok(())
    }

    fn alter(&mut self) -> Outcome {
        let Some(topic) = self.topic() else { return Ok(()) };
        let bytes = *self.random.choose(&[1024, 2048, 8192]);
        self.note(|| format!("alter {}", topic.name()));
        let altered = self.store.alter_topic(topic.name(), TopicConfig::new().segment_bytes(bytes));
        // By name: it may be another one by now, or none.
        match altered {
            Ok(_) | Err(Error::UnknownTopic { .. }) => Ok(()),
            Err(error) => Err(format!("alter {}: {error:?}", topic.name())),
        }
    }

    fn append(&mut self) -> Outcome {
        let Some((id, partition)) = self.partition() else { return Ok(()) };
        let level =
            *self.random.choose(&[Durability::Memory, Durability::Os, Durability::Os, Durability::Disk]);
        let count = 1 + self.random.below(4);
        let mut batch = Vec::new();
        {
            let mut facts = self.ledger.facts();
            for _ in 0..count {
                facts.next += 1;
                let number = facts.next;
                let key = (*self.random.choose(&KEYS)).to_owned();
                if facts.topics.contains_key(&id) {
                    facts.log(id, partition.number()).tried.insert(number, key.clone());
                }
                batch.push((number, key, value(id, partition.number(), number)));
            }
        }
        let records: Vec<_> =
            batch.iter().map(|(_, key, value)| Record::new().key(key).value(value)).collect();
        self.note(|| format!("append to {} at {level:?}", partition.topic_partition()));
        let appended = if self.random.one_in(5) {
            match partition.append_if(partition.end(), &records, level) {
                Err(Error::UnexpectedEnd { .. }) => return Ok(()),
                other => other,
            }
        } else {
            partition.append(&records, level)
        };
        let Some(appended) = self.judge(id, "append", appended)? else { return Ok(()) };
        let mut facts = self.ledger.facts();
        if !facts.topics.contains_key(&id) {
            return Ok(());
        }
        let is_dying = facts.is_dying(id);
        let log = facts.log(id, partition.number());
        for ((number, ..), offset) in batch.iter().zip(appended.first_offset..) {
            if let Some(other) = log.acknowledged.insert(offset, (*number, level)) {
                return Err(format!(
                    "{}: offset {offset} was given to {other:?} and {:?}, being deleted: {is_dying}",
                    partition.topic_partition(),
                    (number, level)
                ));
            }
            if let Some(seen) = log.seen.get(&offset)
                && seen != number
            {
                return Err(format!(
                    "{}: {seen} was read at {offset}, which is {number}",
                    partition.topic_partition()
                ));
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome {
        let Some((id, partition)) = self.partition() else { return Ok(()) };
        let below: Vec<_> = {
            let mut facts = self.ledger.facts();
            if !facts.topics.contains_key(&id) {
                return Ok(());
            }
            facts.log(id, partition.number()).acknowledged.keys().copied().collect()
        };
        self.note(|| format!("flush {}", partition.topic_partition()));
        if self.judge(id, "flush", partition.flush())?.is_some() {
            let mut facts = self.ledger.facts();
            let log = facts.log(id, partition.number());
            for offset in below {
                log.acknowledged.entry(offset).and_modify(|(_, level)| *level = Durability::Disk);
            }
        }
        Ok(())
    }

    fn delete_records(&mut self) -> Outcome {
        let Some((id, partition)) = self.partition() else { return Ok(()) };
        let (start, end) = (partition.start(), partition.end());
        let before =
            start + i64::try_from(self.random.below(u64::try_from((end - start) / 2).unwrap() + 1)).unwrap();
        {
            let mut facts = self.ledger.facts();
            if facts.topics.contains_key(&id) {
                let log = facts.log(id, partition.number());
                log.trimmed = log.trimmed.max(before);
            }
        }
        self.note(|| format!("delete_records {} below {before}", partition.topic_partition()));
        self.judge(id, "delete_records", partition.delete_records(before)).map(drop)
    }

    fn maintain(&mut self) -> Outcome {
        if self.random.one_in(2) {
            self.note(|| "maintain".to_owned());
            return self.store.maintain().map_err(|error| format!("maintain: {error:?}"));
        }
        let Some(topic) = self.topic() else { return Ok(()) };
        if !topic.name().starts_with("table") {
            self.note(|| "apply_retention".to_owned());
            return self
                .store
                .apply_retention()
                .map(drop)
                .map_err(|error| format!("apply_retention: {error:?}"));
        }
        self.note(|| format!("compact {}", topic.name()));
        self.judge(topic.id(), "compact", topic.compact()).map(drop)
    }

    fn erase(&mut self) -> Outcome {
        let Some(topic) = self.topic() else { return Ok(()) };
        let key = *self.random.choose(&KEYS[..1]);
        let id = topic.id();
        self.ledger
            .facts()
            .topics
            .get_mut(&id)
            .into_iter()
            .for_each(|topic| _ = topic.erased.insert(key.to_owned()));
        // Those that were there before are gone afterwards.
        let before = self.ledger.numbers_of(id, key);
        self.note(|| format!("erase {key} of {}", topic.name()));
        let Some(erased) = self.judge(id, "erase", topic.erase(key))? else { return Ok(()) };
        for partition in topic.partitions() {
            let Ok(reader) = partition.read(..) else { continue };
            for record in reader.into_iter().map_while(Result::ok) {
                let (_, _, number) = parse(record.value.as_deref().unwrap_or_default())?;
                if before.contains(&number) {
                    let facts = self.ledger.facts();
                    let log = facts.topics.get(&id).and_then(|topic| topic.logs.get(&partition.number()));
                    let known = log.and_then(|log| log.acknowledged.get(&record.offset));
                    return Err(format!(
                        "{} still has {number} of {key} at {}, which was erased: {erased:?}; {known:?} was acknowledged \
                         there, and it goes from {} to {}",
                        partition.topic_partition(),
                        record.offset,
                        partition.start(),
                        partition.end()
                    ));
                }
            }
        }
        Ok(())
    }

    fn read_partition(&mut self) -> Outcome {
        let Some((id, partition)) = self.partition() else { return Ok(()) };
        let place = partition.topic_partition().to_string();
        self.note(|| format!("read {place}"));
        let mut next = None;
        let Some(reader) = self.judge(id, "read", partition.read(..))? else { return Ok(()) };
        for record in reader {
            let record = match record {
                Ok(record) => record,
                Err(Error::OffsetOutOfRange { start, requested, .. }) if start > requested => return Ok(()),
                Err(error) => return self.judge(id, "read", Err::<(), _>(error)).map(drop),
            };
            let mut facts = self.ledger.facts();
            handed_out(&mut facts, (&place, record.offset), record.value.as_deref(), Some(id))?;
            let is_gap = next.is_some_and(|next: Offset| record.offset > next);
            let is_whole = !partition.topic().starts_with("table")
                && facts.topics.get(&id).is_some_and(|topic| topic.erased.is_empty());
            if next.is_some_and(|next| record.offset < next)
                || is_gap && is_whole && partition.start() <= next.unwrap_or(0)
            {
                return Err(format!(
                    "{place}: {} after {next:?}, start {}",
                    record.offset,
                    partition.start()
                ));
            }
            next = Some(record.offset + 1);
        }
        Ok(())
    }

    fn get(&mut self) -> Outcome {
        let Some((id, partition)) = self.partition() else { return Ok(()) };
        let known: Vec<_> = {
            let mut facts = self.ledger.facts();
            if !facts.topics.contains_key(&id) {
                return Ok(());
            }
            facts.log(id, partition.number()).acknowledged.keys().copied().collect()
        };
        if known.is_empty() {
            return Ok(());
        }
        let offset = *self.random.choose(&known);
        self.note(|| format!("get {} at {offset}", partition.topic_partition()));
        match partition.get(offset) {
            Ok(Some(record)) => {
                let place = partition.topic_partition().to_string();
                handed_out(&mut self.ledger.facts(), (&place, offset), record.value.as_deref(), Some(id))
            }
            Ok(None) => {
                let facts = self.ledger.facts();
                let topic = &facts.topics[&id];
                let may_be_gone = topic.is_compacted() || !topic.erased.is_empty() || topic.is_dying;
                if may_be_gone {
                    Ok(())
                } else {
                    Err(format!("{}: nothing at {offset}", partition.topic_partition()))
                }
            }
            Err(Error::OffsetOutOfRange { .. }) if offset < partition.start() => Ok(()),
            other => self.judge(id, "get", other).map(drop),
        }
    }

    fn consume(&mut self) -> Outcome {
        if self.consumer.is_none() || self.random.one_in(12) {
            if let Some((_, consumer)) = self.consumer.take() {
                self.note(|| "close a consumer".to_owned());
                consumer.close().map_err(|error| format!("close of a consumer: {error:?}"))?;
            }
            let group = *self.random.choose(&GROUPS);
            let mut consumer = self.store.consumer(group).map_err(|error| format!("consumer: {error:?}"))?;
            let names: Vec<_> = NAMES.iter().filter(|_| !self.random.one_in(3)).copied().collect();
            let there: Vec<_> = names.into_iter().filter(|name| self.store.topic(name).is_ok()).collect();
            self.read.clear();
            match consumer.subscribe(there) {
                Ok(()) => self.consumer = Some((group.to_owned(), consumer)),
                Err(Error::UnknownTopic { .. } | Error::InvalidArgument { .. }) => {}
                Err(error) => return Err(format!("subscribe: {error:?}")),
            }
            return Ok(());
        }
        let Some((group, mut consumer)) = self.consumer.take() else { return Ok(()) };
        let done = self.poll_and_commit(&group, &mut consumer);
        self.consumer = Some((group, consumer));
        done
    }

    fn poll_and_commit(&mut self, group: &str, consumer: &mut Consumer) -> Outcome {
        self.note(|| format!("poll of {group}"));
        let records = match consumer.poll(Duration::ZERO) {
            Ok(records) => records,
            // A topic it reads is gone.
            Err(Error::UnknownTopic { .. }) => return Ok(()),
            Err(error) => return Err(format!("poll of {group}: {error:?}")),
        };
        for record in &records {
            let place = format!("{}-{}", record.topic(), record.partition());
            let id = handed_out(&mut self.ledger.facts(), (&place, record.offset()), record.value(), None)
                .and_then(|()| parse(record.value().unwrap_or_default()))?
                .0;
            let key = (record.topic().to_owned(), record.partition());
            self.read.insert(key, (id, record.offset() + 1));
        }
        if self.random.one_in(2) {
            return Ok(());
        }
        {
            let mut facts = self.ledger.facts();
            for ((_, partition), (id, offset)) in &self.read {
                facts.commits.entry((group.to_owned(), *id, *partition)).or_default().insert(*offset);
            }
        }
        self.note(|| format!("commit of {group}"));
        match consumer.commit() {
            Ok(()) | Err(Error::NotAssigned { .. } | Error::UnknownTopic { .. }) => Ok(()),
            Err(error) => Err(format!("commit of {group}: {error:?}")),
        }
    }
}
