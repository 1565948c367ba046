//! Random transactions against a list of what was committed, offset by offset: several names, conditions, streamed and buffered, of
//! several batches, writes that fail, kills, closes, compaction, retention, deletion.
//!
//! `ANNALS_TRANSACTION_SEEDS` is their number, `ANNALS_SEED` plays one of them again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use annals::{
    CleanupPolicy, Committed, Durability, Error, Isolation, Offset, Partition, Record, Store, TopicConfig,
    Transaction,
};

use super::life::killed;
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

const TOPICS: [&str; 4] = ["one", "two", "compacted", "short"];

fn open(dir: &std::path::Path, files: &Arc<FaultyFileSystem>) -> Store {
    let store = Store::builder(dir).file_system(files.clone()).maintain_by_hand().open().unwrap();
    for topic in TOPICS {
        // Two or three records of a transaction are a batch.
        let config = TopicConfig::new().partitions(2).segment_bytes(2000).max_message_bytes(180);
        let config = match topic {
            // Tombstones and ends of transactions go with the compaction that meets them again.
            "compacted" => config.cleanup_policy(CleanupPolicy::Compact).delete_retention(Duration::ZERO),
            "short" => config.segment_bytes(400).retention_bytes(800),
            _ => config,
        };
        store.ensure_topic(topic, config).unwrap();
    }
    store
}

type Place = (usize, u32);

fn partition(store: &Store, (topic, number): Place) -> Partition {
    store.topic(TOPICS[topic]).unwrap().partition(number).unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    place: Place,
    key: String,
    value: String,
}

/// A transaction under way, and what it has sent.
struct Running {
    tx: Transaction,
    sent: Vec<Sent>,
    /// Where it wants the partition to end, but for its own records.
    expected: Vec<(Place, Offset)>,
    /// What it has written before its commit.
    written: Vec<(Place, Range<Offset>)>,
}

impl Running {
    /// Whether all its conditions hold.
    fn holds(&self, store: &Store) -> bool {
        self.expected.iter().all(|(place, end)| {
            let own = self.written.iter().filter(|(at, _)| at == place);
            let behind_own = own.fold(*end, |end, (_, own)| if own.start == end { own.end } else { end });
            partition(store, *place).next_offset() == behind_own
        })
    }
}

/// What was committed, by its offset; plain records count as committed when they are sent.
#[derive(Default)]
struct Expected {
    by_place: BTreeMap<Place, BTreeMap<Offset, Sent>>,
}

impl Expected {
    fn add(&mut self, offset: Offset, sent: Sent) {
        assert!(
            self.by_place.entry(sent.place).or_default().insert(offset, sent).is_none(),
            "{offset} is given twice"
        );
    }

    fn add_all(&mut self, sent: Vec<Sent>, committed: &Committed) {
        for place in (0..TOPICS.len()).flat_map(|topic| [(topic, 0), (topic, 1)]) {
            let here =
                |at: &annals::TopicPartition| (at.topic(), at.partition()) == (TOPICS[place.0], place.1);
            let batches = committed.batches.iter().filter(|batch| here(&batch.topic_partition));
            let mut offsets = batches.flat_map(|batch| batch.first_offset..=batch.last_offset);
            for sent in sent.iter().filter(|sent| sent.place == place) {
                self.add(offsets.next().unwrap(), sent.clone());
            }
            assert_eq!(offsets.next(), None, "{place:?}");
        }
    }

    fn compare(&self, store: &Store) {
        for place in (0..TOPICS.len()).flat_map(|topic| [(topic, 0), (topic, 1)]) {
            let log = partition(store, place);
            let reader = log.read(..).unwrap().isolation(Isolation::ReadCommitted);
            let read: Vec<_> = reader.into_iter().map(|record| record.unwrap()).collect();
            let nothing = BTreeMap::new();
            let all = self.by_place.get(&place).unwrap_or(&nothing);
            // What lies behind an open transaction waits for it.
            let readable = || all.range(log.start()..log.stable().max(log.start()));
            let value =
                |record: &annals::OwnedRecord| String::from_utf8(record.value.clone().unwrap()).unwrap();
            let found: Vec<_> = read.iter().map(|record| (record.offset, value(record))).collect();
            if TOPICS[place.0] != "compacted" {
                let expected: Vec<_> =
                    readable().map(|(offset, sent)| (*offset, sent.value.clone())).collect();
                assert_eq!(found, expected, "{place:?}");
                continue;
            }
            // Of each key the last value, and perhaps others that were sent before it.
            for (offset, value) in &found {
                assert_eq!(all.get(offset).map(|sent| &sent.value), Some(value), "{place:?} at {offset}");
            }
            let last: BTreeMap<_, _> = readable().map(|(offset, sent)| (&sent.key, *offset)).collect();
            let is_found = |offset: &Offset| found.iter().any(|(found, _)| found == offset);
            assert!(last.values().all(is_found), "{place:?}: {last:?} {found:?}");
        }
    }
}

fn begin(store: &Store, random: &mut Random) -> Running {
    let name = format!("name {}", random.below(3));
    let durability = [Durability::Memory, Durability::Os, Durability::Disk][random.below(3)];
    let builder = store.transaction_builder(&name).durability(durability);
    let builder = if random.below(2) == 0 { builder.buffer_bytes(random.below(200)) } else { builder };
    let tx = builder.begin().unwrap();
    Running { tx, sent: Vec::new(), expected: Vec::new(), written: Vec::new() }
}

fn any_place(random: &mut Random) -> Place {
    (random.below(TOPICS.len()), u32::try_from(random.below(2)).unwrap())
}

fn any_record(random: &mut Random, count: &mut usize) -> Sent {
    *count += 1;
    let place = any_place(random);
    Sent {
        place,
        key: format!("key {}", random.below(5)),
        value: format!("value {count}{}", ".".repeat(random.below(60))),
    }
}

fn record(sent: &Sent) -> Record<'_> {
    Record::to(TOPICS[sent.place.0]).partition(sent.place.1).key(&sent.key).value(&sent.value)
}

/// A write of it has failed, of which it says so.
fn is_failure(error: &Error) -> bool {
    matches!(error, Error::Io { .. })
}

/// Ends that were refused for what the transaction can know of.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Fenced { .. } | Error::UnexpectedEnd { .. })
}

struct Life {
    random: Random,
    expected: Expected,
    count: usize,
    running: Vec<Running>,
    files: Arc<FaultyFileSystem>,
    /// How often a write has failed in the middle of a commit or a send.
    failed: usize,
}

impl Life {
    /// Some write from here on fails, perhaps, once or with all after it.
    fn fail_a_write(&mut self) {
        if self.random.below(2) == 0 {
            let times = [Times::Once, Times::ForEver][self.random.below(2)];
            let fault =
                [Fault::Error(28), Fault::Error(5), Fault::Torn(20, 28)][self.random.below(3)].clone();
            self.files.fail(&[Call::Write], ".log", (self.random.below(4), times), fault);
        }
    }

    fn send_in_transaction(&mut self, store: &Store) {
        let at = self.random.below(self.running.len());
        let mut sent = any_record(&mut self.random, &mut self.count);
        if let Some(last) = self.running[at].sent.last().filter(|_| self.random.below(3) > 0) {
            sent.place = last.place;
        }
        let places: Vec<Place> = (0..TOPICS.len()).flat_map(|topic| [(topic, 0), (topic, 1)]).collect();
        let ends = || places.iter().map(|place| partition(store, *place).next_offset()).collect::<Vec<_>>();
        let before = ends();
        self.fail_a_write();
        let (holds, running) = (self.running[at].holds(store), &mut self.running[at]);
        let told = running.tx.send(record(&sent));
        self.files.heal();
        match told {
            Ok(()) => {
                running.sent.push(sent);
                let grown = places
                    .iter()
                    .zip(before.iter().zip(ends()))
                    .filter(|(_, (before, after))| *before < after);
                let grown: Vec<_> = grown.map(|(place, (before, after))| (*place, *before..after)).collect();
                assert!(holds || grown.is_empty(), "written though a condition does not hold");
                running.written.extend(grown);
            }
            Err(error) if is_refusal(&error) => {
                assert!(!holds || matches!(error, Error::Fenced { .. }), "{error}");
                drop(self.running.swap_remove(at));
            }
            Err(error) if is_failure(&error) => {
                self.failed += 1;
                drop(self.running.swap_remove(at));
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn commit(&mut self, store: &Store) {
        let running = self.running.swap_remove(self.random.below(self.running.len()));
        let holds = running.holds(store);
        self.fail_a_write();
        let told = running.tx.commit();
        self.files.heal();
        match told {
            Ok(committed) => {
                assert!(holds, "a condition did not hold");
                self.expected.add_all(running.sent, &committed);
            }
            Err(Error::Fenced { .. }) => {}
            Err(Error::UnexpectedEnd { .. }) => assert!(!holds, "the conditions held"),
            Err(error) if is_failure(&error) => self.failed += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// Readers wait for a transaction that is under way, and for no other.
    fn assert_nobody_waits_in_vain(&self, store: &Store) {
        let is_under_way = |place: Place| {
            self.running.iter().any(|one| one.written.iter().any(|(written, _)| *written == place))
        };
        for place in (0..TOPICS.len()).flat_map(|topic| [(topic, 0), (topic, 1)]) {
            let log = partition(store, place);
            assert!(is_under_way(place) || log.stable() == log.end(), "readers of {place:?} wait");
        }
    }

    fn upkeep(&mut self, store: &Store) {
        match self.random.below(7) {
            0 => store.maintain().unwrap(),
            1 => drop(store.topic("compacted").unwrap().compact().unwrap()),
            2 => drop(store.topic("short").unwrap().apply_retention().unwrap()),
            3 => {
                let log = partition(store, any_place(&mut self.random));
                if log.topic() == "short" && log.stable() > log.start() {
                    let before = log.start() + 1;
                    // Refused while a transaction is open there.
                    drop(log.delete_records(before));
                }
            }
            _ => {
                self.expected.compare(store);
                self.assert_nobody_waits_in_vain(store);
            }
        }
    }

    fn step(&mut self, store: &Store) {
        match self.random.below(14) {
            0..=2 => {
                let begun = begin(store, &mut self.random);
                self.running.push(begun);
            }
            3 => {
                let sent = any_record(&mut self.random, &mut self.count);
                let offset = store.producer().send(record(&sent)).unwrap().offset;
                self.expected.add(offset, sent);
            }
            4..=8 if !self.running.is_empty() => self.send_in_transaction(store),
            9 if !self.running.is_empty() => self.commit(store),
            10 if !self.running.is_empty() => {
                self.fail_a_write();
                drop(self.running.swap_remove(self.random.below(self.running.len())));
                self.files.heal();
            }
            11 => self.upkeep(store),
            12 | 13 if !self.running.is_empty() => {
                let (at, place) = (self.random.below(self.running.len()), any_place(&mut self.random));
                let log = partition(store, place);
                let seen = log.next_offset() - Offset::from(self.random.below(4) == 0);
                let running = &mut self.running[at];
                running.tx.expect_end(&log, seen);
                running.expected.push((place, seen));
            }
            _ => {}
        }
    }
}

/// Says how many writes have failed.
fn life(seed: u64) -> usize {
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::new();
    let (expected, running) = (Expected::default(), Vec::new());
    let mut life = Life { random, expected, count: 0, running, files: Arc::clone(&files), failed: 0 };
    for _ in 0..3 {
        let store = open(dir.path(), &files);
        life.expected.compare(&store);
        for _ in 0..life.random.below(60) {
            life.step(&store);
        }
        if life.random.below(3) == 0 {
            life.running.clear();
            store.close().unwrap();
        } else {
            let next = killed(dir.path());
            life.running.clear();
            drop(store);
            dir = next;
        }
        let found = Store::verify(dir.path()).unwrap();
        let is_snapshot = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "snapshot");
        assert!(found.is_sound() && !found.stale_indexes.iter().any(is_snapshot), "{found:?}");
    }
    life.expected.compare(&open(dir.path(), &files));
    life.failed
}

#[test]
fn what_was_committed_is_there_and_nothing_else() {
    let seeds = std::env::var("ANNALS_TRANSACTION_SEEDS").map_or(20, |text| text.parse().unwrap());
    let one = std::env::var("ANNALS_SEED").ok().map(|text| text.parse::<u64>().unwrap());
    let mut failed = 0;
    for seed in one.map_or(1..=seeds, |one| one..=one) {
        match std::panic::catch_unwind(|| life(seed)) {
            Ok(of_this) => failed += of_this,
            Err(panic) => {
                eprintln!("again with ANNALS_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{failed} commits and sends of which a write failed");
    assert!(one.is_some() || failed > 0, "no write has failed");
}
