//! Random transactions against a list of what was committed.
//!
//! `ANNALS_TRANSACTION_SEEDS` is their number, `ANNALS_SEED` plays one of them again.

use std::collections::BTreeMap;

use annals::{CleanupPolicy, Durability, Isolation, Record, Store, TopicConfig, Transaction};

use super::life::killed;
use super::together::values;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

const TOPICS: [&str; 3] = ["one", "two", "compacted"];

fn open(dir: &std::path::Path) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    for topic in TOPICS {
        let config = TopicConfig::new().partitions(2).segment_bytes(2000);
        let config = if topic == "compacted" { compacted(config) } else { config };
        store.ensure_topic(topic, config).unwrap();
    }
    store
}

/// Tombstones and ends of transactions go with the compaction that meets them again.
fn compacted(config: TopicConfig) -> TopicConfig {
    config.cleanup_policy(CleanupPolicy::Compact).delete_retention(std::time::Duration::ZERO)
}

type Place = (usize, u32);

/// A transaction under way, and what it has sent.
struct Running {
    tx: Transaction,
    sent: Vec<(Place, String, String)>,
}

/// What was committed, in the order of commits; plain records count as committed when they are sent.
#[derive(Default)]
struct Expected {
    by_place: BTreeMap<Place, Vec<(String, String)>>,
}

impl Expected {
    fn add(&mut self, sent: Vec<(Place, String, String)>) {
        for (place, key, value) in sent {
            self.by_place.entry(place).or_default().push((key, value));
        }
    }

    fn compare(&self, store: &Store) {
        for (number, topic) in TOPICS.iter().enumerate() {
            for partition in 0..2 {
                let sent = self.by_place.get(&(number, partition)).cloned().unwrap_or_default();
                let mut read = values(store, topic, partition, Isolation::ReadCommitted);
                let mut all: Vec<_> = sent.iter().map(|(_, value)| value.clone()).collect();
                if *topic == "compacted" {
                    // Of each key the last value, and perhaps others that were sent before it.
                    assert!(read.iter().all(|value| all.contains(value)), "{topic} {partition}: {read:?}");
                    continue;
                }
                let log = store.topic(topic).unwrap().partition(partition).unwrap();
                if log.stable() < log.end() {
                    // What lies behind an open transaction waits for it.
                    assert!(read.iter().all(|value| all.contains(value)), "{topic} {partition}: {read:?}");
                    continue;
                }
                // Those of transactions that were written before they were decided stand where they were written.
                read.sort();
                all.sort();
                assert_eq!(read, all, "{topic} {partition}");
            }
        }
    }
}

fn begin(store: &Store, random: &mut Random) -> Running {
    let name = format!("name {}", random.below(3));
    let durability = [Durability::Memory, Durability::Os, Durability::Disk][random.below(3)];
    let builder = store.transaction_builder(&name).durability(durability);
    let builder = if random.below(2) == 0 { builder.buffer_bytes(random.below(200)) } else { builder };
    Running { tx: builder.begin().unwrap(), sent: Vec::new() }
}

fn record(random: &mut Random, count: &mut usize) -> (Place, String, String) {
    *count += 1;
    let place = (random.below(3), u32::try_from(random.below(2)).unwrap());
    (place, format!("key {}", random.below(5)), format!("value {count}"))
}

fn life(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut dir = tempfile::tempdir().unwrap();
    let (mut expected, mut count) = (Expected::default(), 0);
    for _ in 0..3 {
        let store = open(dir.path());
        expected.compare(&store);
        let mut running: Vec<Running> = Vec::new();
        for _ in 0..random.below(40) {
            match random.below(12) {
                0..=2 => {
                    let begun = begin(&store, &mut random);
                    running.push(begun);
                }
                3 => {
                    let (place, key, value) = record(&mut random, &mut count);
                    let sent = Record::to(TOPICS[place.0]).partition(place.1).key(&key).value(&value);
                    store.producer().send(sent).unwrap();
                    expected.add(vec![(place, key, value)]);
                }
                4..=8 if !running.is_empty() => {
                    let at = random.below(running.len());
                    let (place, key, value) = record(&mut random, &mut count);
                    let sent = Record::to(TOPICS[place.0]).partition(place.1).key(&key).value(&value);
                    match running[at].tx.send(sent) {
                        Ok(()) => running[at].sent.push((place, key, value)),
                        Err(annals::Error::Fenced { .. }) => drop(running.swap_remove(at)),
                        Err(error) => panic!("{error}"),
                    }
                }
                9 if !running.is_empty() => {
                    let Running { tx, sent } = running.swap_remove(random.below(running.len()));
                    match tx.commit() {
                        Ok(_) => expected.add(sent),
                        Err(annals::Error::Fenced { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                10 if !running.is_empty() => drop(running.swap_remove(random.below(running.len()))),
                11 => match random.below(4) {
                    0 => store.maintain().unwrap(),
                    1 => drop(store.topic("compacted").unwrap().compact().unwrap()),
                    _ => expected.compare(&store),
                },
                _ => {}
            }
        }
        if random.below(3) == 0 {
            running.clear();
            store.close().unwrap();
        } else {
            let next = killed(dir.path());
            drop((running, store));
            dir = next;
        }
        let found = Store::verify(dir.path()).unwrap();
        let is_snapshot = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "snapshot");
        assert!(found.is_sound() && !found.stale_indexes.iter().any(is_snapshot), "{found:?}");
    }
    expected.compare(&open(dir.path()));
}

#[test]
fn what_was_committed_is_there_and_nothing_else() {
    let seeds = std::env::var("ANNALS_TRANSACTION_SEEDS").map_or(20, |text| text.parse().unwrap());
    let one = std::env::var("ANNALS_SEED").ok().map(|text| text.parse::<u64>().unwrap());
    for seed in one.map_or(1..=seeds, |one| one..=one) {
        if let Err(panic) = std::panic::catch_unwind(|| life(seed)) {
            eprintln!("again with ANNALS_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
