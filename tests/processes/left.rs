//! What an owner leaves when it is killed before the ends of its transactions are in the log, and who reads it then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Durability, Record, Store, StoreReader, TopicPartition};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{by_hand, count_from_env, fast_dir, kill_and_copy, small_segments};
use crate::pair::{child, dir_of_child, kill, say, wait_for};
use crate::world::failing;

const GROUP: &str = "billing";
const ENOSPC: i32 = 28;

/// Offsets and values by partition.
type Values = BTreeMap<u32, Vec<(i64, String)>>;

/// All that is to be read of both partitions, and what the group has committed.
fn seen(reader: &StoreReader) -> (Values, BTreeMap<TopicPartition, i64>) {
    let partitions = reader.topic("orders").unwrap().partitions();
    let records = partitions.into_iter().map(|partition| {
        let records = partition.read(..).unwrap().into_iter().map(Result::unwrap);
        let values = records.map(|one| (one.offset, String::from_utf8(one.value.unwrap()).unwrap()));
        (partition.number(), values.collect())
    });
    let committed = reader.committed(GROUP).into_iter().map(|(place, at)| (place, at.offset));
    (records.collect(), committed.collect())
}

#[test]
fn leaves_transactions_without_their_ends() {
    let Some(dir) = dir_of_child() else { return };
    // Nobody writes the ends of transactions in the background.
    let store = by_hand(&dir).open().unwrap();
    store.ensure_topic("orders", small_segments().partitions(2)).unwrap();
    let mut billing = store.consumer(GROUP).unwrap();
    billing.assign([("orders", 0)]).unwrap();
    let send = |partition, value: &str| {
        store.producer().send(Record::to("orders").partition(partition).value(value)).unwrap()
    };
    for number in 0..3 {
        let mut both = store.transaction("both").unwrap();
        for partition in 0..2 {
            both.send(Record::to("orders").partition(partition).value(&format!("both {number}"))).unwrap();
        }
        billing.seek(("orders", 0), number).unwrap();
        both.commit_offsets(&billing).unwrap();
        both.commit().unwrap();
    }
    say("committed");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut never = store.transaction_builder("never").buffer_bytes(0).begin().unwrap();
    if line.contains("open") {
        never.send(Record::to("orders").partition(1).value("never")).unwrap();
    }
    for number in 0..100 {
        for partition in 0..2 {
            send(partition, &format!("plain {number} {}", "#".repeat(100)));
        }
    }
    say("done");
    std::io::stdin().read_line(&mut line).unwrap();
    drop(never);
}

/// Two processes: the owner is killed, and readers that were there before, that come later, and the next owner see the same.
fn one_death(dir: &Path, what: &str) {
    let mut owner = child("left::leaves_transactions_without_their_ends", dir, 0);
    let lines = wait_for(&mut owner, "committed");
    let reader = StoreReader::attach(dir).unwrap();
    let (before, committed) = seen(&reader);
    assert!(before.values().all(|records| records.iter().filter(|(_, v)| v == "both 2").count() > 0));
    let mut input = owner.stdin.take().unwrap();
    writeln!(input, "{what}").unwrap();
    let mut lines = lines;
    crate::pair::wait_for_line(&mut lines, "done");
    let (living, _) = seen(&reader);
    kill(owner);
    drop(input);
    let (at_once, _) = seen(&reader);
    assert!(living.iter().all(|(number, records)| at_once[number].starts_with(records)), "{what}: at once");
    // Who waits finds out that nobody writes.
    let mut consumer = reader.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0), ("orders", 1)]).unwrap();
    while !consumer.poll(Duration::from_millis(200)).unwrap().is_empty() {}
    let (left, left_committed) = seen(&reader);
    for (number, records) in [&before, &living].into_iter().flatten() {
        assert!(
            left[number].starts_with(records),
            "{what}: partition {number} has {} of {} records",
            left[number].len(),
            records.len()
        );
    }
    assert_eq!(left_committed, committed, "{what}");
    let later = seen(&StoreReader::attach(dir).unwrap());
    assert_eq!(later, (left.clone(), committed.clone()), "{what}: attached later");
    for partition in reader.topic("orders").unwrap().partitions() {
        assert_eq!(partition.stable(), partition.end(), "{what}");
    }
    assert_eq!(seen(&Store::open_read_only(dir).unwrap()), (left.clone(), committed), "{what}: read-only");
    for records in left.values() {
        assert!(records.last().unwrap().1.starts_with("plain 99 "), "{what}: {:?}", records.last());
        assert!(!records.iter().any(|(_, value)| value == "never"));
    }
    next_owners(dir, &reader, &left);
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Owners come and go, and nobody misses a record for a moment.
fn next_owners(dir: &Path, reader: &StoreReader, left: &Values) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while looks == 0 || !is_over.load(Ordering::SeqCst) {
                let now = seen(reader).0;
                for (number, records) in left {
                    assert!(now[number].starts_with(records), "partition {number} has lost what was read");
                    let offsets: BTreeSet<_> = now[number].iter().map(|(offset, _)| offset).collect();
                    assert_eq!(offsets.len(), now[number].len());
                    assert!(!now[number].iter().any(|(_, value)| value == "never"));
                }
                looks += 1;
            }
        });
        // Also where something below fails.
        let over = Over(&is_over);
        for number in 0..3 {
            let store = by_hand(dir).open().unwrap();
            // Its readers wait for ends that are not written yet. What others have read before it came they read on.
            assert!(
                left.iter().all(|(place, records)| seen(reader).0[place].starts_with(records)),
                "{number}"
            );
            let value = format!("life {number}");
            for partition in 0..2 {
                store.producer().send(Record::to("orders").partition(partition).value(&value)).unwrap();
            }
            store.close().unwrap();
        }
        drop(over);
        looks.join().unwrap();
    });
    assert!(seen(reader).0.values().all(|records| records.last().unwrap().1 == "life 2"));
}

#[test]
fn what_was_read_before_its_owner_was_killed_is_read_after_it() {
    for _ in 0..count_from_env("ANNALS_PROCESS_KILLS", 12).div_ceil(12) {
        for what in ["closed", "open"] {
            one_death(fast_dir().path(), what);
        }
    }
}

#[test]
fn readers_elsewhere_do_not_wait_for_an_aborted_transaction_of_which_nothing_is_left() {
    let (dir, files) = (fast_dir(), FaultyFileSystem::new());
    let store = by_hand(dir.path()).file_system(failing(&files)).open().unwrap();
    let topic = store.create_topic("orders", small_segments().retention_records(3)).unwrap();
    let partition = topic.partition(0).unwrap();
    let plain = || {
        partition.append(&[Record::new().value(&[b'p'; 1500])], Durability::Os).unwrap();
    };
    let mut never = store.transaction_builder("never").buffer_bytes(0).begin().unwrap();
    never.send(Record::to("orders").value("never")).unwrap();
    (0..10).for_each(|_| plain());
    let writes = [Call::Create, Call::Write, Call::Allocate];
    files.fail(&writes, ".log", (0, Times::ForEver), Fault::Error(ENOSPC));
    drop(never);
    assert_eq!(partition.end(), 11, "its end is not in the log");
    let reader = StoreReader::attach(dir.path()).unwrap();
    let elsewhere = reader.topic("orders").unwrap().partition(0).unwrap();
    let seen = || i64::try_from(elsewhere.read(..).unwrap().into_iter().count()).unwrap();
    assert_eq!(seen(), 0);
    topic.apply_retention().unwrap();
    let start = partition.start();
    assert!(start > 1);
    assert_eq!(seen(), 11 - start);
    files.heal();
    plain();
    assert_eq!(partition.end(), 12, "its end is not there yet");
    assert_eq!(seen(), 12 - start);
}

/// Its other topic cannot be opened, and nobody has written its end here.
#[test]
fn readers_of_what_a_dead_owner_has_left_waited_for_a_transaction_of_which_nothing_is_left() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let store = by_hand(dir.path()).open().unwrap();
    let topic = store.create_topic("orders", small_segments().retention_records(3)).unwrap();
    store.create_topic("other", small_segments()).unwrap();
    let partition = topic.partition(0).unwrap();
    let mut both = store.transaction("both").unwrap();
    for topic in ["orders", "other"] {
        both.send(Record::to(topic).value("both")).unwrap();
    }
    both.commit().unwrap();
    for _ in 0..10 {
        partition.append(&[Record::new().value(&[b'p'; 1500])], Durability::Os).unwrap();
    }
    topic.apply_retention().unwrap();
    let (start, end) = (partition.start(), partition.end());
    assert!(start > 1 && end == 11, "from {start} to {end}: it has gone without its end");
    kill_and_copy(store, dir.path(), copy.path());
    std::fs::write(copy.path().join("other-0").join("annals.state"), "broken").unwrap();
    let reader = StoreReader::attach(copy.path()).unwrap();
    let elsewhere = reader.topic("orders").unwrap().partition(0).unwrap();
    let seen = elsewhere.read(..).unwrap().into_iter().map(|record| record.unwrap().offset);
    assert_eq!(seen.collect::<Vec<_>>(), (start..end).collect::<Vec<_>>());
}
