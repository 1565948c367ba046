//! Futures that are dropped at every point at which they wait.

use std::collections::BTreeSet;

use annals::{Durability, Record, Store, TopicConfig};

use super::{dropping, offsets};

#[test]
fn a_consumer_whose_every_wait_is_dropped_misses_nothing_and_gets_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(3)).unwrap();
    let mut consumer = store.consumer_builder().group("billing").max_poll_records(7).build().unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut seen = BTreeSet::new();
    let mut dropped = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = store.producer_builder().durability(Durability::Memory).build().unwrap();
            for number in 0..600_u32 {
                producer.send(Record::to("orders").partition(number % 3).value("x")).unwrap();
                if number % 50 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            producer.flush().unwrap();
        });
        while seen.len() < 600 {
            let (records, more) = dropping!(consumer.next());
            dropped += more;
            for one in offsets(&records.unwrap()) {
                assert!(seen.insert(one), "{one:?} came twice");
            }
        }
    });
    assert!(dropped > 0);
    assert!((0..3).all(|partition| (0..200).all(|offset| seen.contains(&(partition, offset)))));
}

/// The whole step is dropped, wherever it waits: what it had been handed it has noted, what it had committed is.
#[test]
fn a_step_of_reading_and_committing_may_be_dropped_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut seen = Vec::new();
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    for number in 0..30 {
        super::send(&store, "orders", &number.to_string());
        if number % 10 == 9 {
            // Another member goes on where this one had committed.
            consumer = store.consumer("billing").unwrap();
            consumer.subscribe(["orders"]).unwrap();
        }
        let (outcome, _) = dropping!(async {
            if seen.last() != Some(&(0, number)) {
                seen.extend(offsets(&consumer.next().await?));
            }
            consumer.commit_async().await
        });
        outcome.unwrap();
    }
    assert_eq!(seen, (0..30).map(|offset| (0, offset)).collect::<Vec<_>>());
    assert_eq!(store.committed("billing")[&("orders", 0).into()].offset, 30);
    let commits = store.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    assert_eq!(commits.durable(), commits.end());
}

#[test]
fn a_reader_whose_every_wait_is_dropped_reads_the_range_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let mut reader = orders.read(..50).unwrap();
    let (mut seen, mut dropped) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..70 {
                super::send(&store, "orders", &number.to_string());
                std::thread::yield_now();
            }
        });
        loop {
            let (records, more) = dropping!(reader.next());
            dropped += more;
            match records.unwrap() {
                Some(records) => seen.extend(offsets(&records)),
                None => break,
            }
        }
    });
    assert_eq!(seen, (0..50).map(|offset| (0, offset)).collect::<Vec<_>>());
    assert_eq!(reader.position(), 50);
}

#[test]
fn a_wait_for_the_disk_that_is_dropped_leaves_the_record_and_the_next_wait_ends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let mut dropped = 0;
    for _ in 0..20 {
        let sent = orders.append(&[Record::new().value("x")], Durability::Memory).unwrap();
        let (outcome, more) = dropping!(orders.durable_through(sent.last_offset));
        outcome.unwrap();
        assert!(orders.durable() > sent.last_offset);
        dropped += more;
    }
    assert!(dropped >= 20, "{dropped}: a sync takes a while");
}
