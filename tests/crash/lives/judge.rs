//! What must be found on a copy of the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use annals::io::ManualClock;
use annals::{Durability, Offset, Store};
use annals_testing::PowerCutFileSystem;

use super::ledger::{Facts, LogFacts, TopicFacts, parse};

/// How a life ended, or would have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Close,
    Kill,
    PowerCut,
}

impl End {
    /// What survives it.
    fn keeps(self, level: Durability) -> bool {
        match level {
            Durability::Memory => self == Self::Close,
            Durability::Os => self != Self::PowerCut,
            Durability::Disk => true,
        }
    }
}

pub(crate) fn open(machine: &PowerCutFileSystem) -> annals::Result<Store> {
    Store::builder("/store")
        .file_system(machine.shared())
        .clock(Arc::new(ManualClock::at(1_700_000_000_000)))
        .sync_every(std::time::Duration::from_millis(20))
        .open()
}

/// The records of one partition, as they are found.
pub(crate) type Found = BTreeMap<Offset, u64>;

/// Compares a store with what had been acknowledged `before` the copy was made, and what had been tried `after`. Returns how
/// many records were found.
pub(crate) fn judge(store: &Store, end: End, before: &Facts, after: &Facts) -> Result<u64, String> {
    let mut records = 0;
    for (id, topic) in &before.topics {
        let found = store.topics().into_iter().find(|found| found.id() == *id);
        let Some(found) = found else {
            if after.is_dying(*id) {
                continue;
            }
            return Err(format!("topic {} ({id}), whose creation was acknowledged, is gone", topic.name));
        };
        if topic.is_gone {
            return Err(format!("topic {} ({id}), whose deletion was acknowledged, is back", topic.name));
        }
        if (found.partition_count() as usize) < topic.partitions {
            return Err(format!(
                "{} has {} of {} partitions",
                topic.name,
                found.partition_count(),
                topic.partitions
            ));
        }
        for partition in found.partitions() {
            let number = partition.number();
            let place = partition.topic_partition().to_string();
            let read = read_all(&partition, *id).map_err(|error| format!("{place}: {error}"))?;
            records += read.len() as u64;
            let (known, possible) = (&before.topics[id], &after.topics[id]);
            let empty = LogFacts::default();
            let tried = possible.logs.get(&number).unwrap_or(&empty);
            for (offset, record) in &read {
                if !tried.tried.contains_key(record) {
                    return Err(format!("{place}: {record} at {offset} was never appended"));
                }
            }
            if let Some(known) = known.logs.get(&number) {
                missing(known, (possible, tried), end, &read).map_err(|error| format!("{place}: {error}"))?;
            }
        }
    }
    commits(store, after)?;
    Ok(records)
}

fn read_all(partition: &annals::Partition, id: u128) -> Result<Found, String> {
    let mut found = Found::new();
    let mut numbers = std::collections::BTreeSet::new();
    for record in partition.read(..).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let (topic, number, serial) = parse(record.value.as_deref().unwrap_or_default())?;
        if (topic, number) != (id, partition.number()) {
            return Err(format!("{serial} at {} belongs to {topic}/{number}", record.offset));
        }
        if !numbers.insert(serial) {
            return Err(format!("{serial} stands there twice, again at {}", record.offset));
        }
        found.insert(record.offset, serial);
    }
    Ok(found)
}

/// What was acknowledged and has to be there.
fn missing(
    known: &LogFacts,
    (topic, tried): (&TopicFacts, &LogFacts),
    end: End,
    found: &Found,
) -> Result<(), String> {
    for (offset, (number, level)) in &known.acknowledged {
        if !end.keeps(*level) || *offset < tried.trimmed {
            continue;
        }
        let key = known.tried.get(number).map_or("", String::as_str);
        match found.get(offset) {
            Some(there) if there == number => continue,
            Some(there) => {
                return Err(format!("{there} at {offset}, where {number} was acknowledged at {level:?}"));
            }
            None if topic.erased.contains(key) => continue,
            None if topic.is_compacted() => {
                let is_later = |(at, later): (&Offset, &u64)| {
                    at > offset && tried.tried.get(later).is_some_and(|other| other == key)
                };
                if !found.iter().any(is_later) {
                    return Err(format!(
                        "the last record of key {key}, {number} at {offset}, is gone ({level:?})"
                    ));
                }
            }
            None => {
                return Err(format!(
                    "{number} at {offset}, acknowledged at {level:?}, is gone after {end:?}"
                ));
            }
        }
    }
    Ok(())
}

/// No group has committed what nobody asked it to: a position that a member of it had reached in that very topic.
fn commits(store: &Store, after: &Facts) -> Result<(), String> {
    for group in store.groups() {
        for (place, committed) in store.committed(&group) {
            let Ok(topic) = store.topic(place.topic()) else { continue };
            let Ok(partition) = topic.partition(place.partition()) else { continue };
            let Some(known) = after.topics.get(&topic.id()) else { continue };
            let asked = after.commits.get(&(group.clone(), topic.id(), place.partition()));
            let furthest = asked.and_then(|asked| asked.last().copied()).unwrap_or(0);
            // Where records were taken out, a position lies beyond the last that was handed out.
            let is_sparse = known.is_compacted() || !known.erased.is_empty();
            let furthest = furthest.max(partition.start()).max(if is_sparse { partition.end() } else { 0 });
            if committed.offset > furthest {
                return Err(format!(
                    "{group} has committed {} of {place} ({}), and nobody was further than {furthest}",
                    committed.offset,
                    topic.id()
                ));
            }
        }
    }
    Ok(())
}
