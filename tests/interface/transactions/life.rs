//! Transactions over the end of a store.
#![expect(clippy::disallowed_methods, reason = "files are copied and damaged from outside")]

use std::path::Path;
use std::time::Duration;

use annals::{Durability, Isolation, Record, Store, TopicConfig};

use super::together::values;
use crate::common::copy_dir;

fn open(dir: &Path) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    for topic in ["debits", "credits"] {
        store.ensure_topic(topic, TopicConfig::new()).unwrap();
    }
    store
}

/// Ends a store as a kill does: no destructor runs, and the lock goes with the process; here, with a copy.
pub(super) fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir, copy.path());
    copy
}

fn send_both(tx: &mut annals::Transaction, value: &str) {
    for topic in ["debits", "credits"] {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
}

fn committed(store: &Store) -> [Vec<String>; 2] {
    ["debits", "credits"].map(|topic| values(store, topic, 0, Isolation::ReadCommitted))
}

#[test]
fn a_kill_leaves_what_was_decided_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (name, durability) in [("os", Durability::Os), ("disk", Durability::Disk)] {
        let mut tx = store.transaction_builder(name).durability(durability).begin().unwrap();
        send_both(&mut tx, name);
        tx.commit().unwrap();
    }
    let mut open_one = store.transaction_builder("open").buffer_bytes(0).begin().unwrap();
    send_both(&mut open_one, "open");
    store.producer().send(Record::to("debits").value("plain")).unwrap();
    let mut aborted = store.transaction_builder("aborted").buffer_bytes(0).begin().unwrap();
    send_both(&mut aborted, "aborted");
    aborted.abort().unwrap();
    let expected = [vec!["os", "disk", "plain"], vec!["os", "disk"]];
    let mut copy = killed(dir.path());
    // Again and again: nothing that is decided once changes, whether somebody appends in between or not.
    for life in 0..4 {
        let store = open(copy.path());
        assert_eq!(
            committed(&store),
            expected.clone().map(|all| all.into_iter().map(String::from).collect::<Vec<_>>())
        );
        let debits = store.topic("debits").unwrap().partition(0).unwrap();
        assert_eq!(debits.stable(), debits.end(), "nothing is left open");
        if life % 2 == 1 {
            store.maintain().unwrap();
            assert_eq!(committed(&store)[1], ["os", "disk"]);
        }
        if life == 2 {
            store.close().unwrap();
        } else {
            let next = killed(copy.path());
            copy = next;
        }
    }
    drop(open_one);
}

#[test]
fn a_name_goes_on_after_a_close() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let store = open(dir.path());
        let mut tx = store.transaction("transfer").unwrap();
        send_both(&mut tx, &life.to_string());
        tx.commit().unwrap();
        store.close().unwrap();
        let store = open(dir.path());
        assert_eq!(committed(&store)[0].len(), life + 1);
        store.close().unwrap();
    }
}

#[test]
fn offsets_in_a_transaction_count_only_once_it_is_committed_over_a_kill_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..4 {
        store.producer().send(Record::to("debits").value(&number.to_string())).unwrap();
    }
    let mut consumer = store.consumer_builder().group("billing").max_poll_records(2).build().unwrap();
    consumer.subscribe(["debits"]).unwrap();
    assert_eq!(consumer.poll(std::time::Duration::from_secs(5)).unwrap().len(), 2);
    let mut tx = store.transaction("billing").unwrap();
    tx.send(Record::to("credits").value("two")).unwrap();
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
    let copy = killed(dir.path());
    let again = open(copy.path());
    assert_eq!(again.committed("billing")[&("debits", 0).into()].offset, 2);
    assert_eq!(values(&again, "credits", 0, Isolation::ReadCommitted), ["two"]);
}

#[test]
fn compaction_takes_aborted_records_and_keeps_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let config = TopicConfig::new().cleanup_policy(annals::CleanupPolicy::Compact);
    let states = store.create_topic("states", config).unwrap();
    let send = |tx: &mut annals::Transaction, key: &str, value: &str| {
        tx.send(Record::to("states").key(key).value(value)).unwrap();
    };
    let mut tx = store.transaction("first").unwrap();
    send(&mut tx, "a", "committed");
    tx.commit().unwrap();
    let mut tx = store.transaction_builder("second").buffer_bytes(0).begin().unwrap();
    send(&mut tx, "a", "aborted");
    send(&mut tx, "b", "aborted");
    tx.abort().unwrap();
    states.compact().unwrap();
    assert_eq!(values(&store, "states", 0, Isolation::ReadCommitted), ["committed"]);
    assert_eq!(values(&store, "states", 0, Isolation::ReadUncommitted), ["committed"], "aborted records go");
    let mut tx = store.transaction_builder("third").buffer_bytes(0).begin().unwrap();
    send(&mut tx, "a", "open");
    store.producer().send(Record::to("states").key("a").value("newest")).unwrap();
    states.compact().unwrap();
    assert_eq!(values(&store, "states", 0, Isolation::ReadCommitted), ["committed"]);
    tx.abort().unwrap();
    assert_eq!(values(&store, "states", 0, Isolation::ReadCommitted), ["committed", "newest"]);
    states.compact().unwrap();
    assert_eq!(values(&store, "states", 0, Isolation::ReadCommitted), ["newest"]);
    let copy = killed(dir.path());
    let again = Store::open(copy.path()).unwrap();
    assert_eq!(values(&again, "states", 0, Isolation::ReadCommitted), ["newest"]);
}

/// Ends of transactions in the files of a partition, commits and aborts alike.
fn markers(dir: &Path, partition: &str) -> usize {
    ends_in(&dir.join(partition))
}

/// The same of one directory.
pub(super) fn ends_in(dir: &Path) -> usize {
    let segments = annals::dump::SegmentDump::in_directory(dir).unwrap();
    let stretches =
        segments.iter().flat_map(|segment| segment.stretches().map(|one| one.unwrap()).collect::<Vec<_>>());
    let is_marker = |one: &annals::dump::Stretch| match one {
        annals::dump::Stretch::Batch(batch) => batch.is_control && batch.producer_id >= 0,
        _ => false,
    };
    stretches.filter(is_marker).count()
}

#[test]
fn ends_of_transactions_of_which_nothing_is_left_go_after_the_delete_horizon() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(annals::io::ManualClock::at(1_000_000));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().cleanup_policy(annals::CleanupPolicy::Compact);
    let states = store.create_topic("states", config.delete_retention(Duration::from_secs(60))).unwrap();
    for number in 0..4 {
        let mut tx =
            store.transaction_builder("tx").durability(Durability::Disk).buffer_bytes(0).begin().unwrap();
        tx.send(Record::to("states").key("a").value(&number.to_string())).unwrap();
        if number % 2 == 0 { tx.commit().map(drop).unwrap() } else { tx.abort().unwrap() }
    }
    let next = |value: &str| {
        store.producer().send(Record::to("states").key("a").value(value)).unwrap();
        states.compact().unwrap();
        markers(dir.path(), "states-0")
    };
    assert_eq!(next("first"), 4, "their records were there");
    assert_eq!(next("second"), 4, "their horizon begins");
    clock.advance(Duration::from_secs(59));
    assert_eq!(next("third"), 4);
    clock.advance(Duration::from_secs(2));
    // Nothing new: the horizon alone is the reason. The last one tells the epoch of its producer.
    states.compact().unwrap();
    assert_eq!(markers(dir.path(), "states-0"), 1);
    assert_eq!(values(&store, "states", 0, Isolation::ReadUncommitted), ["third"]);
    let mut tx = store.transaction_builder("tx").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("states").key("a").value("undecided")).unwrap();
    let copy = killed(dir.path());
    let found = Store::verify(copy.path()).unwrap();
    assert!(found.is_sound() && found.stale_indexes.is_empty(), "{found:?}");
    assert_eq!(values(&open(copy.path()), "states", 0, Isolation::ReadCommitted), ["third"]);
}

#[test]
fn a_repair_keeps_aborted_records_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tx = store.transaction_builder("aborted").buffer_bytes(0).begin().unwrap();
    send_both(&mut tx, "aborted");
    tx.abort().unwrap();
    let mut tx = store.transaction("committed").unwrap();
    send_both(&mut tx, "committed");
    tx.commit().unwrap();
    store.close().unwrap();
    let state = dir.path().join("debits-0").join("annals.state");
    let mut bytes = std::fs::read(&state).unwrap();
    bytes[4] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let copies = tempfile::tempdir().unwrap();
    let report = Store::builder(dir.path()).repair(copies.path()).unwrap();
    assert!(!report.repairs.is_empty());
    let store = open(dir.path());
    assert_eq!(committed(&store), [["committed"], ["committed"]]);
}
