//! A store's directory gets another name while the store is open, and another store takes the old one.

use std::fs;
use std::path::Path;

use annals::{Durability, ReadMode, Record, Store};

use crate::common::{fast_dir, producer, records, small_segments};

fn opened(path: &Path, mode: ReadMode) -> Store {
    Store::builder(path).maintain_by_hand().read_mode(mode).open().expect("a store")
}

/// Acknowledged as durable, over several segments.
fn send(store: &Store, topic: &str, whose: &str, count: usize) {
    let producer = producer(store, Durability::Disk);
    for number in 0..count {
        let value = format!("{whose} {number} {}", "-".repeat(400));
        producer.send(Record::to(topic).value(&value)).expect("a send");
    }
}

fn count(store: &Store, topic: &str, whose: &str) -> usize {
    let partition = store.topic(topic).expect("the topic").partition(0).expect("a partition");
    let records = records(&partition);
    assert!(records.iter().all(|(_, value)| value.starts_with(whose.as_bytes())), "records of another store");
    records.len()
}

#[test]
fn two_stores_after_a_rename_both_keep_what_they_acknowledged() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let dir = fast_dir();
        let (path, renamed) = (dir.path().join("data"), dir.path().join("data.old"));
        let first = opened(&path, mode);
        first.create_topic("orders", small_segments()).expect("a topic");
        first.create_topic("bills", small_segments()).expect("a topic");
        send(&first, "orders", "first", 20);
        fs::rename(&path, &renamed).expect("a rename");

        let second = opened(&path, mode);
        second.create_topic("orders", small_segments()).expect("a topic");
        send(&second, "orders", "second", 20);
        // Whatever the first makes, replaces and removes now is its own.
        send(&first, "orders", "first", 20);
        first.delete_topic("bills").expect("a deletion");
        first.create_topic("late", small_segments()).expect("a topic");
        send(&first, "late", "first", 20);
        first.topic("orders").expect("it").partition(0).expect("it").delete_records(10).expect("a deletion");
        assert_eq!((count(&first, "orders", "first"), count(&second, "orders", "second")), (30, 20));
        first.close().expect("a close");
        send(&second, "orders", "second", 20);
        second.close().expect("a close");

        let second = opened(&path, mode);
        assert_eq!(count(&second, "orders", "second"), 40);
        assert!(
            second.topic("late").is_err() && second.recovery().iter().all(|report| report.failure.is_none())
        );
        let first = opened(&renamed, mode);
        assert_eq!((count(&first, "orders", "first"), count(&first, "late", "first")), (30, 20));
        assert!(
            first.topic("bills").is_err() && first.recovery().iter().all(|report| report.failure.is_none())
        );
        for store in [&first, &second] {
            store.close().expect("a close");
        }
        for path in [&path, &renamed] {
            assert!(Store::verify(path).expect("it can be read").is_sound());
        }
    }
}

#[test]
fn a_renamed_directory_stays_locked() {
    let dir = fast_dir();
    let (path, renamed) = (dir.path().join("data"), dir.path().join("data.old"));
    let store = opened(&path, ReadMode::Mapped);
    fs::rename(&path, &renamed).expect("a rename");
    assert!(matches!(Store::open(&renamed), Err(annals::Error::StoreLocked { .. })));
    store.close().expect("a close");
    Store::open(&renamed).expect("the directory is free");
}

#[test]
fn a_store_opened_by_a_relative_path_stays_where_it_is() {
    // The working directory belongs to the whole process: the other tests of this binary use absolute paths.
    let dir = fast_dir();
    fs::create_dir(dir.path().join("elsewhere")).expect("a directory");
    let before = std::env::current_dir().expect("a working directory");
    std::env::set_current_dir(dir.path()).expect("a change");
    let store = opened(Path::new("data"), ReadMode::Mapped);
    std::env::set_current_dir(dir.path().join("elsewhere")).expect("a change");
    store.create_topic("orders", small_segments()).expect("a topic");
    send(&store, "orders", "first", 20);
    store.close().expect("a close");
    std::env::set_current_dir(before).expect("a change");
    assert_eq!(fs::read_dir(dir.path().join("elsewhere")).expect("a list").count(), 0);
    assert_eq!(count(&opened(&dir.path().join("data"), ReadMode::Mapped), "orders", "first"), 20);
}
