//! Closing beside work, and beside another close.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

use crate::common::{fast_dir, producer, spawn};

/// A gate before the syncs of directories.
fn gate_at_names(files: &FaultyFileSystem) -> Arc<Gate> {
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::SyncDir], "", (0, Times::ForEver), Fault::Hold(Arc::clone(&gate)));
    gate
}

fn store_on(files: &Arc<FaultyFileSystem>, dir: &Path) -> Store {
    let store = Store::builder(dir).file_system(files.clone()).open();
    let store = store.expect("a new store");
    store.create_topic("orders", TopicConfig::new()).expect("a topic");
    producer(&store, Durability::Os).send(Record::to("orders").value("2 apples")).expect("a send");
    store
}

#[test]
fn a_second_close_waits_for_the_first() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = store_on(&files, dir.path());
    let gate = gate_at_names(&files);
    let closers: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            spawn(move || store.close())
        })
        .collect();
    gate.await_arrival();
    // No wait makes this certain; it fails only where somebody did not wait.
    std::thread::sleep(Duration::from_millis(50));
    assert!(closers.iter().all(|closer| !closer.is_finished()));
    assert!(matches!(store.create_topic("late", TopicConfig::new()), Err(Error::StoreClosed { .. })));
    assert!(matches!(Store::open(dir.path()), Err(Error::StoreLocked { .. })));
    gate.open();
    for closer in closers {
        closer.join().expect("no panic").expect("a close");
    }
    Store::open(dir.path()).expect("the directory is free");
}

#[test]
fn every_close_returns_what_the_first_one_failed_with() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = store_on(&files, dir.path());
    files.fail(&[Call::SyncDir], "", (0, Times::ForEver), Fault::Error(5));
    for _ in 0..2 {
        assert!(matches!(store.close(), Err(Error::Io { .. })));
    }
    Store::open(dir.path()).expect("the directory is free");
}

#[test]
fn a_topic_that_is_being_created_keeps_the_directory_until_it_is() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = store_on(&files, dir.path());
    let gate = gate_at_names(&files);
    let creator = spawn({
        let store = store.clone();
        move || store.create_topic("late", TopicConfig::new())
    });
    gate.await_arrival();
    let closer = spawn(move || store.close());
    std::thread::sleep(Duration::from_millis(20));
    assert!(matches!(Store::open(dir.path()), Err(Error::StoreLocked { .. })));
    gate.open();
    drop(creator.join().expect("no panic"));
    closer.join().expect("no panic").expect("a close");
    Store::open(dir.path()).expect("the directory is free").close().expect("a close");
}

#[test]
fn an_interval_of_nothing_is_refused() {
    let dir = fast_dir();
    let opened = Store::builder(dir.path()).retention_check_interval(Duration::ZERO).open();
    assert!(matches!(opened, Err(Error::InvalidConfig { .. })), "{opened:?}");
    Store::builder(dir.path())
        .retention_check_interval(Duration::from_millis(1))
        .open()
        .expect("a new store");
}

/// Many partitions, each with a record that is not synced.
fn with_many_partitions(dir: &Path, files: &Arc<FaultyFileSystem>) -> Store {
    let store = crate::common::on_faulty(dir, files).open().expect("a new store");
    store.create_topic("orders", TopicConfig::new().partitions(MANY)).expect("a topic");
    for number in 0..MANY {
        let record = Record::to("orders").partition(number).value("2 apples");
        producer(&store, Durability::Os).send(record).expect("a send");
    }
    store
}

const MANY: u32 = 40;

#[test]
fn many_partitions_are_closed_side_by_side() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = with_many_partitions(dir.path(), &files);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "orders-0/", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    files.forget();
    let closer = spawn(move || store.close());
    gate.await_arrival();
    // All but that one.
    let closed = || files.count(Call::Rename, "annals.state");
    while closed() < MANY as usize - 1 && !closer.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
        assert!(gate.waiting() > 0, "{} were closed in half a minute", closed());
    }
    assert!(!closer.is_finished(), "one of them was not waited for");
    gate.open();
    closer.join().expect("no panic").expect("a close");
    let store = Store::open(dir.path()).expect("the directory is free");
    assert!(store.recovery().iter().all(|report| report.clean), "{:?}", store.recovery());
}

#[test]
fn of_many_partitions_one_that_fails_keeps_no_other_from_closing() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = with_many_partitions(dir.path(), &files);
    files.fail_next(Call::Sync, "orders-17/", 5);
    assert!(matches!(store.close(), Err(Error::Io { .. })));
    let store = Store::open(dir.path()).expect("the directory is free");
    let unclean: Vec<_> = store.recovery().iter().filter(|report| !report.clean).collect();
    assert_eq!(unclean.iter().map(|report| report.topic_partition.partition()).collect::<Vec<_>>(), [17]);
}

/// One of them is held; all others are synced meanwhile.
#[test]
fn many_partitions_are_flushed_and_synced_in_the_background_side_by_side() {
    type Sync = fn(&Store) -> annals::Result<()>;
    let ways: [(&str, Sync); 3] = [
        ("a producer", |store| store.producer().flush()),
        ("a topic", |store| store.topic("orders").and_then(|topic| topic.flush())),
        ("in the background", |store| store.maintain()),
    ];
    for (way, sync) in ways {
        let dir = fast_dir();
        let files = FaultyFileSystem::new();
        let store = Store::builder(dir.path()).file_system(files.clone()).maintain_by_hand();
        let store = store.sync_every(Duration::from_millis(1)).open().expect("a new store");
        store.create_topic("orders", TopicConfig::new().partitions(MANY)).expect("a topic");
        for number in 0..MANY {
            let record = Record::to("orders").partition(number).value("2 apples");
            producer(&store, Durability::Os).send(record).expect("a send");
        }
        std::thread::sleep(Duration::from_millis(2));
        let gate = Arc::new(Gate::default());
        files.fail(&[Call::Sync], "orders-0/", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        let topic = store.topic("orders").expect("the topic");
        let syncing = spawn({
            let store = store.clone();
            move || sync(&store)
        });
        gate.await_arrival();
        let durable = || topic.partitions().iter().filter(|partition| partition.durable() == 1).count();
        while durable() < MANY as usize - 1 && !syncing.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
            assert!(gate.waiting() > 0, "{way}: {} were synced in half a minute", durable());
        }
        assert!(!syncing.is_finished(), "{way}: one of them was not waited for");
        gate.open();
        syncing.join().expect("no panic").expect("a sync");
        assert_eq!(durable(), MANY as usize, "{way}");
    }
}

/// Each in a partition of its own, which has no file yet, and none of them for long enough to be written by itself.
#[test]
fn a_close_keeps_what_waits_in_memory_in_each_of_400_partitions() {
    const PARTITIONS: u32 = 400;
    let dir = fast_dir();
    let open = || Store::builder(dir.path()).maintain_by_hand().open().expect("a store");
    let store = open();
    store.create_topic("orders", TopicConfig::new().partitions(PARTITIONS)).expect("a topic");
    let builder = store.producer_builder().durability(Durability::Memory);
    let producer = builder.linger(Duration::from_secs(100_000)).build().expect("a producer");
    for number in 0..PARTITIONS {
        producer.send(Record::to("orders").partition(number).value("2 apples")).expect("a send");
    }
    store.close().expect("a close");
    let store = open();
    assert!(store.recovery().iter().all(|report| report.clean), "{:?}", store.recovery());
    for partition in store.topic("orders").expect("the topic").partitions() {
        assert_eq!(crate::common::records(&partition), [(0, b"2 apples".to_vec())], "{partition:?}");
    }
}
