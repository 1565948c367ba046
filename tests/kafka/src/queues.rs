//! Queues of annals before the classes of Kafka's share coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use annals::{Record, Store, TopicConfig};
use serde_json::Value;

use crate::Answer;
use crate::content::number;
use crate::java::Java;
use crate::random::Random;
use crate::tally::array;

const PARTITIONS: u32 = 2;
const GROUPS: [&str; 2] = ["workers", "рабочие"];
const AVAILABLE: i64 = 0;
const ACKNOWLEDGED: i64 = 2;
const ARCHIVED: i64 = 4;

/// What became of a record: Kafka's number of the state, and how often it was handed out.
type Fates = BTreeMap<(String, u32, i64), (i64, i64)>;

/// Random work in one store for each seed.
pub fn run(java: &Java, stores: usize, seed: u64) -> Answer<()> {
    let (mut records, mut states) = (0, 0);
    for number in 0..stores {
        let mut random = Random::new(seed.wrapping_add(number as u64));
        let dir = tempfile::tempdir()?;
        let (fates, ids) = work(dir.path(), &mut random)?;
        let log = dir.path().join("__share_group_state-0");
        let answer: Value = serde_json::from_str(&java.judge(&["queues", &log.display().to_string()])?)?;
        records += self::number_of(&answer, "records")?;
        if self::number_of(&answer, "different")? != 0 {
            return Err(format!("store {number}: Kafka writes other bytes: {answer}").into());
        }
        states += compare(&answer, &fates, &ids).map_err(|error| format!("store {number}: {error}"))?;
    }
    println!(
        "{stores} stores, {records} records that Kafka writes alike, {states} records of queues in the same state"
    );
    Ok(())
}

fn number_of(answer: &Value, name: &str) -> Answer<i64> {
    number(&answer[name]).map_err(|error| format!("{name}: {error}").into())
}

fn work(dir: &std::path::Path, random: &mut Random) -> Answer<(Fates, Vec<i64>)> {
    let mut fates = Fates::new();
    let store = Store::open(dir)?;
    store.create_topic("jobs", TopicConfig::new().partitions(PARTITIONS))?;
    for round in 0..60 {
        for _ in 0..random.below(40) {
            let partition = u32::try_from(random.below(PARTITIONS as usize))?;
            store.producer().send(Record::to("jobs").partition(partition).value("job"))?;
        }
        for group in GROUPS {
            let builder = store.queue_builder("jobs", group).delivery_limit(4);
            let mut worker = builder.without_dead_letters().build()?;
            for message in worker.take(1 + random.below(30), Duration::ZERO)? {
                let place = (group.to_owned(), message.partition, message.offset);
                let count = i64::from(message.delivery_count());
                let fate = match random.below(6) {
                    0..=2 => message.ack().map(|()| ACKNOWLEDGED)?,
                    3 => message.reject("no").map(|()| ARCHIVED)?,
                    _ if count == 4 => message.release(Duration::ZERO).map(|()| ARCHIVED)?,
                    _ => message.release(Duration::ZERO).map(|()| AVAILABLE)?,
                };
                fates.insert(place, (fate, count));
            }
        }
        if round == 30 {
            store.maintain()?;
        }
    }
    let ends = store.topic("jobs")?.partitions().iter().map(annals::Partition::end).collect();
    store.close()?;
    Ok((fates, ends))
}

/// Kafka has the state of every record that was handed out; says how many.
fn compare(answer: &Value, fates: &Fates, ends: &[i64]) -> Answer<i64> {
    let mut compared = 0;
    for state in array(answer, "states")? {
        let group = state["group"].as_str().ok_or("no group")?.to_owned();
        let (partition, start) = (number_of(state, "partition")? as u32, number_of(state, "start")?);
        let mut found = BTreeMap::new();
        for batch in array(state, "batches")? {
            let (first, last) = (number_of(batch, "first")?, number_of(batch, "last")?);
            let fate = (number_of(batch, "state")?, number_of(batch, "count")?);
            (first..=last).for_each(|offset| _ = found.insert(offset, fate));
        }
        for offset in 0..*ends.get(partition as usize).ok_or("no such partition")? {
            let ours = fates.get(&(group.clone(), partition, offset));
            let theirs = found.get(&offset);
            let agree = match (ours, theirs) {
                // Done, and below the start: nothing more is known of it.
                (Some((fate, _)), None) => offset < start && *fate != AVAILABLE,
                // Of what is done, counts of neighbours are one.
                (Some((fate, count)), Some((found, times))) => {
                    fate == found && (count == times || *fate != AVAILABLE)
                }
                (None, Some((found, times))) => (*found, *times) == (AVAILABLE, 0),
                (None, None) => offset >= start,
            };
            if !agree {
                return Err(format!("{group}, {partition}@{offset}: {ours:?}, Kafka says {theirs:?}").into());
            }
            compared += i64::from(ours.is_some());
        }
    }
    Ok(compared)
}
