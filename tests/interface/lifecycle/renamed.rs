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

/// What the child of the next test does: it opens `log` in its working directory, and goes where another store has that path.
#[test]
#[ignore = "the working directory is the whole process's: the next test runs this in one of its own"]
fn child_that_leaves_its_directory() {
    let elsewhere = std::env::var_os("ANNALS_ELSEWHERE").expect("a directory");
    let home = std::env::current_dir().expect("a working directory");
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        std::env::set_current_dir(&home).expect("a change");
        let store = opened(Path::new("log"), mode);
        std::env::set_current_dir(&elsewhere).expect("a change");
        assert_eq!(store.path(), home.join("log"));
        assert!(matches!(Store::open(home.join("log")), Err(annals::Error::StoreLocked { .. })));
        // Segments are made and replaced, directories made and removed.
        send(&store, "orders", "first", 20);
        let late = store.create_topic("late", small_segments()).expect("a topic").partition(0).expect("it");
        send(&store, "late", "first", 20);
        late.delete_records(10).expect("a deletion");
        assert_eq!(count(&store, "late", "first"), 10);
        store.delete_topic("late").expect("a deletion");
        store.create_topic("kept", small_segments()).map(drop).unwrap_or_default();
        store.close().expect("a close");
    }
}

#[test]
fn a_store_opened_by_a_relative_path_stays_where_it_is_beside_another_of_that_path() {
    let dir = fast_dir();
    let (home, elsewhere) = (dir.path().join("a"), dir.path().join("b"));
    for (at, whose) in [(&home, "first"), (&elsewhere, "second")] {
        fs::create_dir(at).expect("a directory");
        let store = opened(&at.join("log"), ReadMode::Mapped);
        store.create_topic("orders", small_segments()).expect("a topic");
        send(&store, "orders", whose, 5);
        store.close().expect("a close");
    }
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "lifecycle::renamed::child_that_leaves_its_directory", "--ignored"])
        .current_dir(&home)
        .env("ANNALS_ELSEWHERE", &elsewhere)
        .output()
        .expect("a child");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    for (at, whose, records) in [(&home, "first", 45), (&elsewhere, "second", 5)] {
        let path = at.join("log");
        assert!(Store::verify(&path).expect("it can be read").is_sound());
        let store = opened(&path, ReadMode::Mapped);
        assert_eq!(count(&store, "orders", whose), records);
        assert_eq!(store.topic("kept").is_ok(), whose == "first");
        assert!(store.recovery().iter().all(|report| report.failure.is_none()));
    }
}
