//! What was asked for, what was acknowledged, and so what must and what may be there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use annals::{Durability, Offset};

/// What is known of everything. One lock: facts of different kinds are compared.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    facts: Mutex<Facts>,
}

/// By the topics' ids: a name that comes back is another topic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) topics: BTreeMap<u128, TopicFacts>,
    /// Offsets that somebody asked to commit: group, topic, partition.
    pub(crate) commits: BTreeMap<(String, u128, u32), BTreeSet<Offset>>,
    pub(crate) next: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct TopicFacts {
    pub(crate) name: String,
    /// Asked for, perhaps done.
    pub(crate) is_dying: bool,
    /// Acknowledged: it never comes back.
    pub(crate) is_gone: bool,
    /// Acknowledged.
    pub(crate) partitions: usize,
    /// Keys that were asked to be erased: records of them may be gone.
    pub(crate) erased: BTreeSet<String>,
    pub(crate) logs: BTreeMap<u32, LogFacts>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct LogFacts {
    /// Handed to an append, whatever came of it: by the record's number, its key.
    pub(crate) tried: BTreeMap<u64, String>,
    pub(crate) acknowledged: BTreeMap<Offset, (u64, Durability)>,
    /// Somebody read it there.
    pub(crate) seen: BTreeMap<Offset, u64>,
    /// Records below it may be gone: somebody asked for it.
    pub(crate) trimmed: Offset,
}

impl Ledger {
    pub(crate) fn numbers_of(&self, id: u128, key: &str) -> Vec<u64> {
        let facts = self.facts();
        let Some(topic) = facts.topics.get(&id) else { return Vec::new() };
        let mut numbers = Vec::new();
        for log in topic.logs.values() {
            let of_key = log
                .acknowledged
                .values()
                .filter(|(number, _)| log.tried.get(number).is_some_and(|k| k == key));
            numbers.extend(of_key.map(|(number, _)| *number));
        }
        numbers
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }
}

impl Facts {
    pub(crate) fn log(&mut self, topic: u128, partition: u32) -> &mut LogFacts {
        self.topics.get_mut(&topic).expect("a topic that was created").logs.entry(partition).or_default()
    }

    pub(crate) fn is_dying(&self, topic: u128) -> bool {
        self.topics.get(&topic).is_none_or(|topic| topic.is_dying)
    }

    /// A topic of that name that nobody has asked to delete.
    pub(crate) fn living(&self, name: &str) -> Option<u128> {
        self.topics.iter().find(|(_, topic)| topic.name == name && !topic.is_dying).map(|(id, _)| *id)
    }
}

impl TopicFacts {
    pub(crate) fn is_compacted(&self) -> bool {
        self.name.starts_with("table")
    }
}

impl LogFacts {
    /// Notes that a record was read, and says what is wrong with that.
    pub(crate) fn read(&mut self, offset: Offset, number: u64) -> Result<(), String> {
        if !self.tried.contains_key(&number) {
            return Err(format!("record {number} at {offset} was never appended here"));
        }
        if let Some((other, level)) = self.acknowledged.get(&offset)
            && *other != number
        {
            return Err(format!("record {number} at {offset}, where {other} was acknowledged at {level:?}"));
        }
        match self.seen.insert(offset, number) {
            Some(before) if before != number => Err(format!("at {offset} first {before}, then {number}")),
            _ => Ok(()),
        }
    }
}

/// What a record's value says: where it belongs, and which one it is.
pub(crate) fn value(topic: u128, partition: u32, number: u64) -> String {
    let padding = "-".repeat(usize::try_from(number % 61).unwrap());
    format!("{topic}/{partition}/{number}/{padding}")
}

/// The same, read back.
pub(crate) fn parse(value: &[u8]) -> Result<(u128, u32, u64), String> {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.split('/');
    let mut part = || parts.next().unwrap_or_default();
    match (part().parse(), part().parse(), part().parse()) {
        (Ok(topic), Ok(partition), Ok(number)) => Ok((topic, partition, number)),
        _ => Err(format!("a value that nobody wrote: {text:?}")),
    }
}

/// A record was handed out: it belongs there.
pub(crate) fn handed_out(
    facts: &mut Facts,
    (place, offset): (&str, Offset),
    value: Option<&[u8]>,
    expected: Option<u128>,
) -> Result<(), String> {
    let (id, partition, number) = parse(value.unwrap_or_default())?;
    let Some(topic) = facts.topics.get(&id) else {
        return Err(format!("{place} at {offset}: a record of the unknown topic {id}"));
    };
    let belongs = format!("{}-{partition}", topic.name);
    if belongs != place || expected.is_some_and(|expected| expected != id) {
        return Err(format!(
            "{place} at {offset}: record {number} of {belongs}, topic {id}, not {expected:?}"
        ));
    }
    facts.log(id, partition).read(offset, number).map_err(|wrong| format!("{place}: {wrong}"))
}
