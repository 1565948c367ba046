//! Futures that are dropped at every point at which they wait.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use annals::{Durability, Durable, Error, Partition, Producer, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

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

/// A store of a topic with two partitions, and a producer that leaves records in memory.
fn two_partitions(disk: &Arc<FaultyFileSystem>) -> (Store, Producer, [Partition; 2]) {
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let memory = store.producer_builder().durability(Durability::Memory).linger(Duration::from_secs(60));
    let memory = memory.build().unwrap();
    let partitions = [0, 1].map(|number| orders.partition(number).unwrap());
    (store, memory, partitions)
}

/// What is in memory of the first partition cannot be written.
fn lose(disk: &FaultyFileSystem, partition: &Partition) {
    disk.fail(&[Call::Write], "orders-0", (0, Times::ForEver), Fault::Error(28));
    assert!(partition.read(..).unwrap().fetch().unwrap().is_empty(), "the reader has it written, in vain");
    disk.heal();
}

fn is_loss(outcome: &annals::Result<()>) -> bool {
    matches!(outcome, Err(Error::Lost { partition, first: 0, last: 0, .. }) if partition.partition() == 0)
}

/// One partition has lost a record and the other waits for its sync when the future is dropped.
#[test]
fn a_flush_that_was_dropped_used_up_a_loss() {
    for (is_bound, is_begun_before) in [(false, false), (false, true), (true, false), (true, true)] {
        let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let (_store, memory, [lost, waited_for]) = two_partitions(&disk);
        let bound = memory.bind("orders").unwrap();
        let flush = || if is_bound { bound.flush_async() } else { memory.flush_async() };
        memory.send(Record::to("orders").partition(0).value("lost")).unwrap();
        waited_for.append(&[Record::new().value("waited for")], Durability::Os).unwrap();
        let begun = is_begun_before.then(flush);
        lose(&disk, &lost);
        let mut future = begun.unwrap_or_else(flush);
        let waker = super::thread_waker();
        let polled = pin!(&mut future).poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Pending), "{polled:?}");
        drop(future);
        let told = memory.flush();
        assert!(is_loss(&told), "bound {is_bound}, begun before {is_begun_before}: {told:?}");
        memory.flush().unwrap();
    }
}

#[test]
fn a_flush_that_is_ready_tells_of_a_loss_that_another_sender_was_told_of_and_once() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let (_store, memory, [lost, other]) = two_partitions(&disk);
    let flushes: [&dyn Fn() -> Durable; 2] = [&|| lost.flush_async(), &|| memory.flush_async()];
    for flush in flushes {
        memory.send(Record::to("orders").partition(0).value("lost")).unwrap();
        other.append(&[Record::new().value("waited for")], Durability::Os).unwrap();
        lose(&disk, &lost);
        let refused = lost.append(&[Record::new().value("of another")], Durability::Os);
        assert!(is_loss(&refused.map(drop)));
        let told = super::block_on(flush());
        assert!(is_loss(&told), "{told:?}");
        super::block_on(flush()).unwrap();
        memory.flush().unwrap();
    }
}
