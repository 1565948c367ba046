//! The power fails, or the process dies, at every call that a queue makes of the file system.
//!
//! `ANNALS_QUEUE_STATES=20000 cargo test --test queue power:: -- --nocapture`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Record, Store, TopicConfig};
use annals_testing::Random;
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};

use crate::world::{take, value};

const JOBS: usize = 14;
/// States that are looked at, over all seeds.
const STATES: usize = 240;
const SEEDS: u64 = 4;

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Done {
    #[default]
    No,
    Begun,
    Returned,
}

/// What was promised of a job.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    sent: Done,
    acked: Done,
    rejected: Done,
    /// Acknowledged in a transaction, with a result.
    with_result: Done,
    /// How often it was handed out for sure, and at most.
    handed_out: (u16, u16),
}

type AllFacts = BTreeMap<String, Facts>;

#[derive(Default)]
struct Moments {
    facts: Mutex<AllFacts>,
    seen: Mutex<Vec<(Disk, AllFacts, String)>>,
}

impl Observer for Moments {
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<annals_testing::Fault> {
        let facts = self.facts.lock().unwrap().clone();
        self.seen.lock().unwrap().push((disk.clone(), facts, format!("before {change:?}")));
        None
    }
}

impl Moments {
    fn note(&self, job: &str, change: impl FnOnce(&mut Facts)) {
        change(self.facts.lock().unwrap().entry(job.to_owned()).or_default());
    }
}

fn open(machine: &PowerCutFileSystem) -> Store {
    let builder =
        Store::builder("/store").file_system(machine.shared()).clock(Arc::new(ManualClock::at(1_000_000)));
    builder.maintain_by_hand().open().unwrap()
}

fn queue(store: &Store, durability: Durability) -> annals::Worker {
    let builder = store.queue_builder("jobs", "workers").durability(durability).delivery_limit(1000);
    builder.build().unwrap()
}

/// Takes, answers of every kind, moves, transactions, and what is done is dropped.
fn work(machine: &PowerCutFileSystem, moments: &Moments, (seed, durability): (u64, Durability)) {
    let mut random = Random::new(seed);
    let store = open(machine);
    store.create_topic("jobs", TopicConfig::new().retention_until_consumed()).unwrap();
    store.create_topic("results", TopicConfig::new()).unwrap();
    let jobs = store.producer_builder().durability(Durability::Disk).build().unwrap();
    let mut worker = queue(&store, durability);
    let mut next = 0;
    while next < JOBS || moments.facts.lock().unwrap().values().any(|facts| !is_over(facts)) {
        for _ in 0..random.below(3) {
            let name = format!("job {next}");
            if next < JOBS {
                moments.note(&name, |facts| facts.sent = Done::Begun);
                jobs.send(Record::to("jobs").value(&name)).unwrap();
                moments.note(&name, |facts| facts.sent = Done::Returned);
                next += 1;
            }
        }
        // Whichever it hands out: it may have been counted.
        let may = |moments: &Moments| {
            moments.facts.lock().unwrap().values_mut().for_each(|facts| facts.handed_out.1 += 1);
        };
        may(moments);
        let messages = take(&mut worker, 1 + usize::try_from(random.below(3)).unwrap());
        for facts in moments.facts.lock().unwrap().values_mut() {
            facts.handed_out.1 = facts.handed_out.0;
        }
        for message in &messages {
            let count = message.delivery_count();
            moments.note(&value(message), |facts| facts.handed_out = (count, count));
        }
        for message in messages {
            let name = value(&message);
            match random.below(6) {
                0 | 1 => {
                    moments.note(&name, |facts| facts.acked = Done::Begun);
                    message.ack().unwrap();
                    moments.note(&name, |facts| facts.acked = Done::Returned);
                }
                2 => {
                    moments.note(&name, |facts| facts.rejected = Done::Begun);
                    message.reject("no").unwrap();
                    moments.note(&name, |facts| facts.rejected = Done::Returned);
                }
                3 => {
                    moments.note(&name, |facts| facts.with_result = Done::Begun);
                    let mut tx = store.transaction_builder("work").durability(durability).begin().unwrap();
                    tx.send(Record::to("results").value(&name)).unwrap();
                    tx.ack(message);
                    tx.commit().unwrap();
                    moments.note(&name, |facts| facts.with_result = Done::Returned);
                }
                4 => message.release(Duration::ZERO).unwrap(),
                _ => drop(message),
            }
        }
        if random.one_in(5) {
            store.maintain().unwrap();
        }
        if random.one_in(5) {
            store.drop_done("jobs").unwrap();
        }
    }
    store.close().unwrap();
}

fn is_over(facts: &Facts) -> bool {
    [facts.acked, facts.rejected, facts.with_result].contains(&Done::Returned)
}

fn found_in(store: &Store, topic: &str) -> Vec<String> {
    let Ok(topic) = store.topic(topic) else { return Vec::new() };
    let records = topic.partitions().into_iter().flat_map(|partition| partition.read(..).unwrap());
    records.map(|record| String::from_utf8(record.unwrap().value.unwrap()).unwrap()).collect()
}

/// What the next life finds is what was promised.
fn judge(machine: &PowerCutFileSystem, facts: &AllFacts, (durability, is_killed): (Durability, bool)) {
    let store = open(machine);
    if store.topic("jobs").is_err() || store.topic("results").is_err() {
        assert!(facts.is_empty(), "the topics are gone");
        return;
    }
    let mut worker = queue(&store, durability);
    let out = take(&mut worker, 1000);
    let counts: BTreeMap<_, _> =
        out.iter().map(|message| (value(message), message.delivery_count())).collect();
    assert_eq!(counts.len(), out.len(), "one is out twice");
    let is_lossy = durability == Durability::Os && !is_killed;
    let (letters, results) = (found_in(&store, "jobs.workers.dead"), found_in(&store, "results"));
    for (name, facts) in facts {
        let in_queue = counts.contains_key(name);
        let times = |names: &[String]| names.iter().filter(|other| *other == name).count();
        let (dead, result) = (times(&letters), times(&results));
        let what = format!("{name}: in the queue {in_queue}, letters {dead}, results {result}; {facts:?}");
        if facts.sent == Done::Begun {
            continue;
        }
        let places = usize::from(in_queue) + dead + result;
        // What need not survive has happened, or not, and all of it.
        let returned = |done| if done == Done::Returned && is_lossy { Done::Begun } else { done };
        match (returned(facts.acked), returned(facts.rejected), returned(facts.with_result)) {
            (Done::Returned, ..) => assert_eq!(places, 0, "{what}"),
            (Done::Begun, ..) => assert!(dead + result == 0, "{what}"),
            (_, Done::Returned, _) => assert!(!in_queue && dead == 1 && result == 0, "{what}"),
            (_, Done::Begun, _) => assert!(places == 1 && result == 0, "{what}"),
            (_, _, Done::Returned) => assert!(!in_queue && result == 1 && dead == 0, "{what}"),
            (_, _, Done::Begun) => assert!(places == 1 && dead == 0, "{what}"),
            _ => assert!(in_queue && places == 1, "{what}"),
        }
        if let Some(count) = counts.get(name).filter(|_| is_killed) {
            let (least, most) = facts.handed_out;
            assert!((least + 1..=most + 1).contains(count), "{count} times; {what}");
        }
    }
    drop(out);
    // And the life after that finds the same.
    let known: Vec<_> = counts.into_keys().collect();
    drop(worker);
    store.close().unwrap();
    let store = open(&machine.restart());
    let again: Vec<_> = take(&mut queue(&store, durability), 1000).iter().map(value).collect();
    let mut again = again;
    again.sort();
    assert_eq!(again, known);
}

#[test]
fn every_call_may_be_the_last() {
    let states =
        std::env::var("ANNALS_QUEUE_STATES").ok().and_then(|states| states.parse().ok()).unwrap_or(STATES);
    let each = states / usize::try_from(SEEDS).unwrap();
    let mut looked = 0;
    for seed in 0..SEEDS {
        let moments = Arc::new(Moments::default());
        let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
        let durability = if seed % 2 == 0 { Durability::Disk } else { Durability::Os };
        work(&machine, &moments, (seed, durability));
        let seen = std::mem::take(&mut *moments.seen.lock().unwrap());
        let mut random = Random::new(seed);
        for number in 0..each {
            // All of them, as often as there is time for; each time another cut.
            let at = if each >= seen.len() {
                number % seen.len()
            } else {
                usize::try_from(random.below(seen.len() as u64)).unwrap()
            };
            let (disk, facts, doing) = &seen[at];
            let machine = PowerCutFileSystem::on(disk.clone(), None);
            let cut = random.below(8);
            let is_killed = cut == 7;
            let next = if is_killed {
                machine.restart()
            } else {
                machine.cut_power(cut * 1000 + random.below(1000) * u64::from(cut > 1))
            };
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                judge(&next, facts, (durability, is_killed))
            }));
            assert!(judged.is_ok(), "seed {seed}, moment {at} of {}, cut {cut}, {doing}", seen.len());
            looked += 1;
        }
    }
    println!("{looked} states");
}
