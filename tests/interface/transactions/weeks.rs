//! Ends of transactions that some partition gets only after the week for which others know who has written.

use std::sync::Arc;
use std::time::Duration;

use annals::io::{FileSystem, ManualClock};
use annals::{Durability, Error, Isolation, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Files, Image, MemoryFileSystem, Times};

use super::together::values;

const STATE: &str = "/store/two-0/annals.state";

fn open(disk: Arc<dyn FileSystem>, clock: &Arc<ManualClock>) -> Store {
    let builder = Store::builder("/store").file_system(disk).clock(Arc::clone(clock) as _);
    builder.maintain_by_hand().open().unwrap()
}

/// A store in which a transaction has its end in one topic, and the other takes none any more.
fn half_ended(memory: &MemoryFileSystem, clock: &Arc<ManualClock>) -> Store {
    let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
    let store = open(Arc::clone(&disk) as _, clock);
    for topic in ["one", "two"] {
        store.create_topic(topic, TopicConfig::new().segment_bytes(1024)).unwrap();
    }
    let mut tx = store.transaction("t").unwrap();
    for topic in ["one", "two"] {
        tx.send(Record::to(topic).value("together")).unwrap();
    }
    tx.commit().unwrap();
    disk.fail(&[Call::Write, Call::SetLen], "two-0/", (0, Times::ForEver), Fault::Error(5));
    assert!(store.producer().flush().is_err(), "an end is missing");
    disk.heal();
    let ends = ["one", "two"].map(|topic| store.topic(topic).unwrap().partition(0).unwrap().end());
    assert_eq!(ends, [2, 1]);
    store
}

/// As long as it takes for those who have written to be forgotten.
fn a_week_later(store: &Store, clock: &ManualClock) {
    clock.advance(Duration::from_secs(8 * 24 * 3600));
    for _ in 0..40 {
        store.producer().send(Record::to("one").value(&[b'x'; 100])).unwrap();
    }
}

fn check_whole(files: Files, clock: &Arc<ManualClock>) {
    let store = open(Arc::new(MemoryFileSystem::over(&Image::new(files))), clock);
    for topic in ["one", "two"] {
        let committed = values(&store, topic, 0, Isolation::ReadCommitted);
        assert_eq!(committed.first().map(String::as_str), Some("together"), "{topic}");
    }
}

#[test]
fn a_transaction_is_whole_where_one_partition_takes_its_end_only_after_a_week() {
    let (memory, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let store = half_ended(&memory, &clock);
    a_week_later(&store, &clock);
    check_whole(memory.files(), &clock);
}

/// Nobody was told that an end was missing, and a power cut takes it.
#[test]
fn a_transaction_is_whole_where_one_partition_synced_its_end_and_the_other_could_not_for_a_week() {
    let (memory, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
    let store = open(Arc::clone(&disk) as _, &clock);
    for topic in ["one", "two"] {
        store.create_topic(topic, TopicConfig::new().segment_bytes(1024)).unwrap();
    }
    let mut tx = store.transaction_builder("t").durability(Durability::Disk).begin().unwrap();
    for topic in ["one", "two"] {
        tx.send(Record::to(topic).value("together")).unwrap();
    }
    tx.commit().unwrap();
    let [one, two] = ["one", "two"].map(|topic| store.topic(topic).unwrap().partition(0).unwrap());
    assert_eq!([one.end(), two.end()], [2, 2], "both have it");
    disk.fail(&[Call::Sync], "two-0/", (0, Times::Once), Fault::Error(5));
    assert!(two.flush().is_err());
    disk.heal();
    one.flush().unwrap();
    a_week_later(&store, &clock);
    one.flush().unwrap();
    assert_eq!([one.durable(), two.durable()], [42, 1]);
    check_whole(memory.durable_files(), &clock);
}

#[test]
fn a_transaction_is_whole_where_one_topic_can_be_opened_only_after_a_week() {
    let (memory, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let store = half_ended(&memory, &clock);
    let mut files = memory.files();
    drop(store);
    let sound = files.insert(STATE.to_owned(), b"damaged".as_slice().into()).unwrap();
    let memory = MemoryFileSystem::over(&Image::new(files));
    let store = open(Arc::new(memory.clone()), &clock);
    assert!(matches!(store.topic("two"), Err(Error::Corrupt { .. })));
    a_week_later(&store, &clock);
    let mut files = memory.files();
    files.insert(STATE.to_owned(), sound);
    check_whole(files, &clock);
}
