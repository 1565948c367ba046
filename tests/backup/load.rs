//! Backups of a store that is written to, compacted and emptied meanwhile, against what its writers know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Error, Record, Store, TopicConfig};

use super::records;

/// What was sent to the compacted topic: offset, key, value.
type Sent = BTreeMap<i64, (String, Option<String>)>;

#[derive(Default)]
struct Known {
    stop: AtomicBool,
    sent: Mutex<Sent>,
    log: Mutex<BTreeMap<i64, String>>,
    committed: AtomicU64,
}

impl Known {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

fn backups() -> usize {
    std::env::var("ANNALS_BACKUPS").ok().and_then(|count| count.parse().ok()).unwrap_or(3)
}

fn open(path: &Path) -> Store {
    let store = Store::builder(path).retention_check_interval(Duration::from_millis(10)).open().unwrap();
    let small = || TopicConfig::new().segment_bytes(4000);
    let compacted = small().cleanup_policy(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.01");
    store.ensure_topic("table", compacted).unwrap();
    store.ensure_topic("passing", small().retention_bytes(12_000)).unwrap();
    store.ensure_topic("consumed", small().retention_until_consumed()).unwrap();
    for name in ["first", "second", "debits", "credits"] {
        store.ensure_topic(name, small().partitions(2).retention_bytes(60_000)).unwrap();
    }
    store
}

/// A value for a key, over and over; a tombstone now and then.
fn write_table(store: &Store, known: &Known) {
    let producer = store.producer();
    for number in 0_u64.. {
        if !known.goes_on() {
            return;
        }
        let key = format!("k{}", number % 7);
        let value = (number % 11 != 0).then(|| format!("{number}"));
        // Noted before anybody can have it in a backup, and for no other record: this is the only sender.
        let mut sent = known.sent.lock().unwrap();
        let record = Record::to("table").key(&key);
        let record = match &value {
            Some(value) => record.value(value),
            None => record,
        };
        let at = producer.send(record).unwrap();
        sent.insert(at.offset, (key, value));
        drop(sent);
        let mut log = known.log.lock().unwrap();
        let value = format!("value {number} of some length");
        let at = producer.send(Record::to("passing").value(&value)).unwrap();
        log.insert(at.offset, value);
    }
}

/// What is in `second` was in `first` before.
fn write_causes(store: &Store, known: &Known) {
    let memory = store.producer_builder().durability(Durability::Memory).build().unwrap();
    for number in 0_u32.. {
        if !known.goes_on() {
            return;
        }
        let (value, partition) = (number.to_string(), number % 2);
        memory.send(Record::to("first").partition(partition).value(&value)).unwrap();
        memory.send(Record::to("second").partition(1 - partition).value(&value)).unwrap();
    }
}

/// Both parts are of one transaction.
fn write_transfers(store: &Store, known: &Known) {
    for number in 0_u32.. {
        if !known.goes_on() {
            return;
        }
        let value = number.to_string();
        let mut transfer = store.transaction("transfer").unwrap();
        transfer.send(Record::to("debits").partition(number % 2).value(&value)).unwrap();
        transfer.send(Record::to("credits").partition(number / 2 % 2).value(&value)).unwrap();
        if number % 5 == 4 {
            transfer.abort().unwrap();
        } else {
            transfer.commit().unwrap();
        }
    }
}

/// Everything is read once, and what is committed is removed.
fn consume(store: &Store, known: &Known) {
    let producer = store.producer();
    let mut consumer = store.consumer("workers").unwrap();
    consumer.subscribe(["consumed"]).unwrap();
    while known.goes_on() {
        for _ in 0..20 {
            producer.send(Record::to("consumed").value("a job of some length")).unwrap();
        }
        let next =
            consumer.poll(Duration::from_millis(100)).unwrap().iter().last().map(|last| last.offset() + 1);
        consumer.commit().unwrap();
        next.into_iter().for_each(|next| known.committed.store(next as u64, Ordering::SeqCst));
    }
}

fn numbers(store: &Store, topic: &str) -> BTreeSet<u32> {
    let partitions = store.topic(topic).unwrap().partitions();
    let values = partitions.iter().flat_map(records).map(|(_, _, value)| value.unwrap());
    values.map(|value| String::from_utf8(value).unwrap().parse().unwrap()).collect()
}

fn least_of_each_partition(store: &Store, topic: &str) -> u32 {
    let partitions = store.topic(topic).unwrap().partitions();
    let first = |partition| {
        let first = records(partition).into_iter().next();
        first.map_or(0, |(_, _, value)| String::from_utf8(value.unwrap()).unwrap().parse().unwrap())
    };
    partitions.iter().map(first).max().unwrap()
}

fn check(copy: &Store, known: &Known, committed_before: u64) {
    let partition = |topic: &str| copy.topic(topic).unwrap().partition(0).unwrap();
    let (table, passing, consumed) = (partition("table"), partition("passing"), partition("consumed"));
    // The table is what its records up to the cut add up to.
    let mut expected = BTreeMap::new();
    for (_, (key, value)) in known.sent.lock().unwrap().range(..table.end()) {
        expected.insert(key.clone(), value.clone());
    }
    expected.retain(|_, value| value.is_some());
    let latest = copy.topic("table").unwrap().latest();
    let found: BTreeMap<_, _> = latest
        .map(|record| record.unwrap())
        .map(|one| {
            (String::from_utf8(one.key.unwrap()).unwrap(), one.value.map(|v| String::from_utf8(v).unwrap()))
        })
        .collect();
    assert_eq!(found, expected);
    // Nothing is missing between start and end, and nothing is another's.
    let log = known.log.lock().unwrap();
    let expected: Vec<_> =
        log.range(passing.start()..passing.end()).map(|(at, value)| (*at, value.as_bytes())).collect();
    let found = records(&passing);
    let found: Vec<_> = found.iter().map(|(at, _, value)| (*at, value.as_deref().unwrap())).collect();
    assert_eq!(found, expected);
    drop(log);
    // What had been committed before is, and what is committed was there to be read.
    let committed = copy.committed("workers");
    let committed = committed.get(&("consumed", 0).into()).map_or(0, |one| one.offset);
    assert!(
        committed >= committed_before as i64 && committed <= consumed.end(),
        "{committed} of {}",
        consumed.end()
    );
    assert!(consumed.start() <= committed, "{} was not read", consumed.start());
    assert!(copy.offset_resets().is_empty());
    // No effect without its cause, as far as causes are kept.
    let (causes, effects) = (numbers(copy, "first"), numbers(copy, "second"));
    let from = least_of_each_partition(copy, "first").max(least_of_each_partition(copy, "second"));
    assert!(effects.range(from..).all(|number| causes.contains(number)), "an effect has no cause");
    let missing = causes.range(from..).filter(|number| !effects.contains(number)).count();
    assert!(missing <= 1, "{missing} of one sender are not in both");
    // Transactions are whole.
    let (debits, credits) = (numbers(copy, "debits"), numbers(copy, "credits"));
    let from = least_of_each_partition(copy, "debits").max(least_of_each_partition(copy, "credits"));
    let [debits, credits] = [debits, credits].map(|all| all.range(from..).copied().collect::<Vec<_>>());
    assert_eq!(debits, credits);
    assert!(debits.iter().all(|number| number % 5 != 4), "one was aborted");
}

#[test]
fn each_backup_under_load_is_the_store_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("live"));
    let known = Known::default();
    std::thread::scope(|scope| {
        scope.spawn(|| write_table(&store, &known));
        scope.spawn(|| write_causes(&store, &known));
        scope.spawn(|| write_transfers(&store, &known));
        scope.spawn(|| consume(&store, &known));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut parent = None;
            for number in 0..backups() {
                let committed = known.committed.load(Ordering::SeqCst);
                let path = dir.path().join(format!("copy-{number}"));
                let mut builder = store.backup_builder();
                if number % 2 == 1 {
                    builder = builder.independent();
                }
                if let Some(parent) = &parent {
                    builder = builder.parent(parent);
                }
                if number % 3 == 2 {
                    builder = builder.max_bytes_per_second(2 << 20);
                }
                let report = builder.verify().run(&path).unwrap();
                assert!(report.deleted.is_empty());
                let again = dir.path().join(format!("again-{number}"));
                annals::backup::restore(&path, &again).unwrap();
                let copy = Store::builder(&again).maintain_by_hand().open().unwrap();
                assert!(copy.recovery().iter().all(|one| one.clean && one.failure.is_none()));
                check(&copy, &known, committed);
                copy.producer().send(Record::to("passing").value("goes on")).unwrap();
                copy.close().unwrap();
                assert!(Store::verify(&again).unwrap().is_sound());
                std::fs::remove_dir_all(&again).unwrap();
                if let Some(old) = parent.replace(path) {
                    std::fs::remove_dir_all(old).unwrap();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
        known.stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    store.close().unwrap();
    assert!(Store::verify(dir.path().join("live")).unwrap().is_sound());
}

#[test]
fn topics_that_come_and_go_during_backups_are_in_them_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("live"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("t{}", number % 3);
                match store.create_topic(&name, TopicConfig::new().partitions(2)) {
                    Ok(_) => _ = store.producer().send(Record::to(&name).key("k").value("v")).unwrap(),
                    Err(Error::TopicExists { .. }) => store.delete_topic(&name).unwrap(),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for number in 0..backups() {
            let path = dir.path().join(format!("copy-{number}"));
            let made = store.backup_builder().independent().run(&path);
            if made.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            let report = made.unwrap();
            let listed: BTreeSet<_> =
                report.partitions.iter().map(|one| one.topic_partition.topic().to_owned()).collect();
            assert!(report.deleted.iter().all(|gone| !listed.contains(gone)));
            assert!(annals::backup::verify(&path).unwrap().is_sound());
            std::fs::remove_dir_all(&path).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
}
