//! Markers that are missing after a clean close: the decisions that they follow from are needed still.
#![expect(clippy::disallowed_methods, reason = "threads, files and a time limit of a test")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use annals::io::FileSystem;
use annals::{Durability, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

fn open(fs: Arc<dyn FileSystem>) -> Store {
    Store::builder("/store").without_live_readers().maintain_by_hand().file_system(fs).open().unwrap()
}

/// What a kill leaves.
fn killed(disk: &MemoryFileSystem, store: Store) -> MemoryFileSystem {
    let left = MemoryFileSystem::over(&Image::new(disk.files()));
    std::mem::forget(store);
    left
}

/// Ten transactions of one name over both topics.
fn commit_ten(store: &Store) {
    for number in 0..10_u32 {
        let mut tx = store.transaction("transfer").unwrap();
        for topic in ["a", "b"] {
            tx.send(Record::to(topic).value(&number.to_be_bytes())).unwrap();
        }
        tx.commit().unwrap();
    }
}

fn committed(store: &Store) -> [usize; 2] {
    ["a", "b"]
        .map(|topic| store.topic(topic).unwrap().partition(0).unwrap().read(..).unwrap().into_iter().count())
}

/// How many ends of transactions a topic has in its log.
fn ended(disk: &MemoryFileSystem, topic: &str) -> usize {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in disk.files() {
        if let Some((_, name)) = path.split_once(&format!("{topic}-0/")) {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
    super::life::ends_in(dir.path())
}

/// A store whose first life was killed and whose second one has committed ten transactions more.
fn second_life() -> (MemoryFileSystem, Arc<FaultyFileSystem>, Store) {
    let disk = MemoryFileSystem::new();
    let store = open(Arc::new(disk.clone()));
    for topic in ["a", "b"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    commit_ten(&store);
    let disk = killed(&disk, store);
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = open(faulty.clone());
    commit_ten(&store);
    assert_eq!(committed(&store), [20, 20]);
    (disk, faulty, store)
}

/// Opens it, has decisions compacted as maintenance does, and kills that life before it has written a marker.
fn compacted_and_killed(disk: &MemoryFileSystem) -> MemoryFileSystem {
    let store = open(Arc::new(disk.clone()));
    assert!(store.recovery().iter().all(|partition| partition.clean), "the case is a clean close");
    assert_eq!(committed(&store), [20, 20]);
    store.topic("__transaction_state").unwrap().compact().unwrap();
    killed(disk, store)
}

#[test]
fn decisions_whose_markers_a_close_could_not_write_are_kept() {
    let (disk, faulty, store) = second_life();
    // The markers find no room, the close itself writes to other files.
    faulty.fail(&[Call::Write, Call::Allocate], ".log", (0, Times::ForEver), Fault::Error(ENOSPC));
    store.close().unwrap();
    let disk = compacted_and_killed(&disk);
    let store = open(Arc::new(disk.clone()));
    assert_eq!(committed(&store), [20, 20]);
    store.close().unwrap();
    assert_eq!(committed(&open(Arc::new(disk))), [20, 20]);
}

#[test]
fn a_close_does_not_overtake_markers_that_are_being_written() {
    let (disk, faulty, store) = second_life();
    let gate = Arc::new(Gate::default());
    faulty.fail(&[Call::Sync], "a-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let maintained = {
        let store = store.clone();
        thread::spawn(move || {
            // The markers are due one second after the first commit.
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until && store.maintain().is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    gate.await_arrival();
    let closing = {
        let store = store.clone();
        thread::spawn(move || store.close())
    };
    thread::sleep(Duration::from_millis(100));
    gate.open();
    closing.join().unwrap().unwrap();
    maintained.join().unwrap();
    assert_eq!(["a", "b"].map(|topic| ended(&disk, topic)), [20, 20]);
    let disk = compacted_and_killed(&disk);
    assert_eq!(committed(&open(Arc::new(disk))), [20, 20]);
}

#[test]
fn a_decision_is_kept_while_its_markers_are_being_written() {
    let disk = MemoryFileSystem::new();
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = open(faulty.clone());
    for topic in ["a", "b", "c", "d"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    commit_ten(&store);
    let gate = Arc::new(Gate::default());
    faulty.fail(&[Call::Sync], "a-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let writing = {
        let partition = store.topic("a").unwrap().partition(0).unwrap();
        thread::spawn(move || partition.delete_records(1))
    };
    gate.await_arrival();
    // Another one ends meanwhile, and has the store look for what is not needed any more.
    let mut tx = store.transaction_builder("transfer").durability(Durability::Disk).begin().unwrap();
    for topic in ["c", "d"] {
        tx.send(Record::to(topic).value("others")).unwrap();
    }
    tx.commit().unwrap();
    for topic in ["c", "d"] {
        store.topic(topic).unwrap().flush().unwrap();
    }
    let mut tx = store.transaction_builder("given up").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("c").value("never")).unwrap();
    tx.abort().unwrap();
    store.topic("__transaction_state").unwrap().compact().unwrap();
    let left = MemoryFileSystem::over(&Image::new(disk.files()));
    gate.open();
    drop(writing.join().unwrap());
    assert_eq!(committed(&open(Arc::new(left))), [10, 10]);
}

#[test]
fn a_partition_that_cannot_be_synced_holds_up_no_other_transactions() {
    let (disk, faulty, store) = second_life();
    store.create_topic("c", TopicConfig::new()).unwrap();
    let mut tx = store.transaction("another").unwrap();
    for topic in ["b", "c"] {
        tx.send(Record::to(topic).value("held up")).unwrap();
    }
    tx.commit().unwrap();
    faulty.fail(&[Call::Sync], "c-0", (0, Times::ForEver), Fault::Error(EIO));
    assert!(store.close().is_err());
    faulty.heal();
    assert_eq!(ended(&disk, "a"), 20);
}

#[test]
fn a_topic_that_was_deleted_holds_up_no_markers_of_its_transactions() {
    let (disk, _, store) = second_life();
    store.delete_topic("b").unwrap();
    store.close().unwrap();
    assert_eq!(ended(&disk, "a"), 20);
}

/// Its marker never becomes durable in this life, and its producer goes on under the name, in other topics.
#[test]
fn a_commit_whose_marker_was_not_synced_was_taken_back_for_later_ones_of_its_name() {
    let disk = MemoryFileSystem::new();
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = open(Arc::clone(&faulty) as _);
    for topic in ["a", "b", "c"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    let mut consumer = store.consumer("group").unwrap();
    consumer.assign([("c", 0)]).unwrap();
    let mut commit = |topic: &str| {
        store.producer().send(Record::to("c").value("work")).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        let tx = store.transaction_builder("transfer").durability(Durability::Disk);
        let mut tx = tx.begin().unwrap();
        tx.send(Record::to(topic).value("done")).unwrap();
        tx.commit_offsets(&consumer).unwrap();
        tx.commit().unwrap();
    };
    commit("b");
    faulty.fail(&[Call::Sync], "b-0", (0, Times::Once), Fault::Error(EIO));
    assert!(store.topic("b").unwrap().flush().is_err());
    for _ in 0..3 {
        commit("a");
        ["a", "__consumer_offsets"].iter().for_each(|topic| store.topic(topic).unwrap().flush().unwrap());
    }
    drop(consumer);
    assert!(store.close().is_err());
    let left = MemoryFileSystem::over(&Image::new(disk.durable_files()));
    assert_eq!(committed(&open(Arc::new(left))), [3, 1]);
}
