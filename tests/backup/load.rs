//! Backups of a store that is written to, compacted and emptied meanwhile, against what its writers know. `ANNALS_BACKUPS` is how many.
//!
//! Writers rest while a copy is looked at: what is there then stays, whatever the machine is busy with, and a run of hundreds looks
//! at no more than a short one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Durability, Error, Record, Store, TopicConfig};

use super::records;

/// What was sent to the compacted topic: offset, key, value.
type Sent = BTreeMap<i64, (String, Option<String>)>;

#[derive(Default)]
struct Known {
    stop: AtomicBool,
    /// Writers rest.
    rest: AtomicBool,
    sent: Mutex<Sent>,
    /// The last value of each key up to the end of the last copy; what came after is in `sent`.
    table: Mutex<BTreeMap<String, String>>,
    log: Mutex<BTreeMap<i64, String>>,
    committed: AtomicU64,
}

impl Known {
    fn goes_on(&self) -> bool {
        while self.rest.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

fn backups() -> usize {
    std::env::var("ANNALS_BACKUPS").ok().and_then(|count| count.parse().ok()).unwrap_or(3)
}

/// Every file is rolled, compacted and removed many times in a short run. In a long one retention and compaction come each second, and
/// segments are larger: writers would make more of small ones in the time of a backup than are taken away.
fn open(path: &Path) -> Store {
    let (interval, segment_bytes) = if backups() > 3 { (1000, 32_000) } else { (10, 4000) };
    let interval = Duration::from_millis(interval);
    let store = Store::builder(path).retention_check_interval(interval).open().unwrap();
    let small = || TopicConfig::new().segment_bytes(segment_bytes);
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
    let mut expected = known.table.lock().unwrap();
    let mut sent = known.sent.lock().unwrap();
    let later = sent.split_off(&table.end());
    for (key, value) in std::mem::replace(&mut *sent, later).into_values() {
        match value {
            Some(value) => _ = expected.insert(key, value),
            None => _ = expected.remove(&key),
        }
    }
    drop(sent);
    let latest = copy.topic("table").unwrap().latest();
    let found: BTreeMap<_, _> = latest
        .map(|record| record.unwrap())
        .map(|one| {
            (String::from_utf8(one.key.unwrap()).unwrap(), String::from_utf8(one.value.unwrap()).unwrap())
        })
        .collect();
    assert_eq!(found, *expected);
    drop(expected);
    // Nothing is missing between start and end, and nothing is another's.
    let mut log = known.log.lock().unwrap();
    *log = log.split_off(&passing.start());
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

/// One backup, restored and looked at, with the one before as parent. Says how long it took, and how many MiB it has.
fn backup_and_check(store: &Store, known: &Known, dir: &Path, number: usize) -> (Duration, u64) {
    let committed = known.committed.load(Ordering::SeqCst);
    let [path, parent, again] = ["copy", "copy", "again"].map(|name| dir.join(format!("{name}-{number}")));
    let parent = parent.with_file_name(format!("copy-{}", number.wrapping_sub(1)));
    let mut builder = store.backup_builder();
    if number % 2 == 1 {
        builder = builder.independent();
    }
    if number > 0 {
        builder = builder.parent(&parent);
    }
    if number % 3 == 2 {
        builder = builder.max_bytes_per_second(if backups() > 3 { 32 << 20 } else { 2 << 20 });
    }
    let begin = Instant::now();
    let report = builder.verify().run(&path).unwrap();
    let took = begin.elapsed();
    known.rest.store(true, Ordering::Relaxed);
    assert!(report.deleted.is_empty());
    annals::backup::restore(&path, &again).unwrap();
    let copy = Store::builder(&again).maintain_by_hand().open().unwrap();
    assert!(copy.recovery().iter().all(|one| one.clean && one.failure.is_none()));
    check(&copy, known, committed);
    copy.producer().send(Record::to("passing").value("goes on")).unwrap();
    copy.close().unwrap();
    assert!(Store::verify(&again).unwrap().is_sound());
    std::fs::remove_dir_all(&again).unwrap();
    if number > 0 {
        std::fs::remove_dir_all(&parent).unwrap();
    }
    (took, report.bytes >> 20)
}

#[test]
fn each_backup_under_load_is_the_store_at_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("live"));
    let known = Known::default();
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| write_table(&store, &known));
        scope.spawn(|| write_causes(&store, &known));
        scope.spawn(|| write_transfers(&store, &known));
        scope.spawn(|| consume(&store, &known));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..backups() {
                all.push(backup_and_check(&store, &known, dir.path(), number));
                if number % 8 == 7 {
                    // Or each copy would hold the decisions of all transactions that there ever were.
                    store.topic("__transaction_state").unwrap().compact().unwrap();
                }
                known.rest.store(false, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        }));
        known.stop.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let records: i64 = store.topics().iter().flat_map(|topic| topic.partitions()).map(|one| one.end()).sum();
    store.close().unwrap();
    assert!(Store::verify(dir.path().join("live")).unwrap().is_sound());
    all.sort_unstable();
    let (most, longest) = (all.iter().map(|one| one.1).max().unwrap(), all[all.len() - 1].0);
    println!("{} backups beside {records} records, {longest:?} and {most} MiB at most", all.len());
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
