//! The time that a transaction has, and whoever comes after it is over.
#![expect(clippy::disallowed_methods, reason = "time that passes")]

use std::time::{Duration, Instant};

use annals::{Error, Record, Result, Store, TopicConfig, Transaction};

use crate::common::{by_hand, fast_dir};

const SHORT: Duration = Duration::from_millis(20);

/// One of which something is written, and whose time is over; nobody has looked at it meanwhile.
fn overdue(store: &Store, name: &str) -> Transaction {
    let mut tx = store.transaction_builder(name).buffer_bytes(40).timeout(SHORT).begin().unwrap();
    tx.send(Record::to("a").value("a value of more than forty bytes, so it is written")).unwrap();
    std::thread::sleep(SHORT * 2);
    tx
}

fn expired<T>(call: &str, outcome: Result<T>) {
    match outcome {
        Err(Error::TransactionExpired { .. }) => {}
        Err(other) => panic!("{call}: {other}"),
        Ok(_) => panic!("{call}: it took effect"),
    }
}

#[test]
fn a_call_after_the_timeout_is_refused_before_maintenance_comes_by() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let topic = store.create_topic("a", TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    let consumer = store.consumer("g").unwrap();
    expired("commit", overdue(&store, "one").commit());
    assert_eq!(partition.stable(), partition.end(), "readers go on at once");
    expired("abort", overdue(&store, "one").abort());
    let mut tx = overdue(&store, "two");
    expired("a send that is kept in memory", tx.send(Record::to("a").value("b")));
    expired("a send that is written", tx.send(Record::to("a").value([b'b'; 50].as_slice())));
    expired("commit_offsets", tx.commit_offsets(&consumer));
    expired("commit", tx.commit());
    let mut tx = overdue(&store, "three");
    expired("a send that is written", tx.send(Record::to("a").value([b'b'; 50].as_slice())));
    drop(tx);
    assert_eq!(partition.stable(), partition.end());
    assert_eq!(partition.read(..).unwrap().into_iter().count(), 0);
    // What is in memory keeps nobody waiting, and has no timeout.
    let mut tx = store.transaction_builder("four").timeout(SHORT).begin().unwrap();
    tx.send(Record::to("a").value("in memory")).unwrap();
    std::thread::sleep(SHORT * 2);
    tx.commit().unwrap();
    assert_eq!(partition.read(..).unwrap().into_iter().count(), 1);
}

#[test]
fn readers_wait_a_second_more_than_a_timeout() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic("a", TopicConfig::new()).unwrap().partition(0).unwrap();
    let tx = overdue(&store, "forgotten");
    let begun = Instant::now();
    while partition.stable() < partition.end() {
        assert!(begun.elapsed() < Duration::from_secs(20), "a second, and what a machine that is busy adds");
        std::thread::sleep(Duration::from_millis(5));
    }
    expired("commit", tx.commit());
}
