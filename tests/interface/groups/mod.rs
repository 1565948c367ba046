//! Groups and what they commit; consumers and where they stand.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod commits;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod large;
#[cfg(test)]
mod members;
#[cfg(test)]
mod positions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    Consumer, Durability, Error, Offset, OnDamage, Record, StartFrom, Store, TopicConfig, TopicPartition,
};

use crate::common::{
    TOPIC, batch_ends, by_hand, fast_dir, files_of, kill_and_copy, now, on_faulty, value_of,
};
use annals_testing::{Call, FaultyFileSystem};

const WAIT: Duration = Duration::from_secs(20);
const GROUP: &str = "billing";

fn place(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn store(dir: &Path, partitions: u32) -> Store {
    let store = by_hand(dir).open().expect("a new store");
    store.create_topic(TOPIC, TopicConfig::new().partitions(partitions)).expect("a new topic");
    store
}

/// Sends `value_of(n)` to a partition for each number.
fn send(store: &Store, partition: u32, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let value = value_of(number);
        store.producer().send(Record::to(TOPIC).partition(partition).value(&value)).expect("a send");
    }
}

fn member(store: &Store, name: &str) -> Consumer {
    let mut consumer = store.consumer_builder().group(GROUP).client_id(name).build().expect("a consumer");
    consumer.subscribe([TOPIC]).expect("the topic");
    consumer
}

fn reader(store: &Store, start: StartFrom) -> Consumer {
    let mut consumer = store.consumer_builder().start_from(start).build().expect("a consumer");
    consumer.assign([(TOPIC, 0)]).expect("a partition");
    consumer
}

/// Everything there is now: partition and offset.
fn drain(consumer: &mut Consumer) -> Vec<(u32, Offset)> {
    let mut all = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).expect("a poll");
        if records.is_empty() {
            return all;
        }
        all.extend(records.iter().map(|record| (record.partition(), record.offset())));
    }
}

fn numbers(partition: u32, offsets: std::ops::Range<Offset>) -> Vec<(u32, Offset)> {
    offsets.map(|offset| (partition, offset)).collect()
}

fn committed(store: &Store) -> BTreeMap<u32, Offset> {
    store.committed(GROUP).into_iter().map(|(place, at)| (place.partition(), at.offset)).collect()
}

fn store_consumer_at_disk(store: &Store) -> Consumer {
    let mut consumer = store
        .consumer_builder()
        .group(GROUP)
        .commit_durability(Durability::Disk)
        .build()
        .expect("a consumer");
    consumer.subscribe([TOPIC]).expect("the topic");
    consumer
}

#[test]
fn seeking_and_asking_for_the_position() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).clock(Arc::new(ManualClock::at(1_000_000))).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    for number in 0..10 {
        store.producer().send(Record::to(TOPIC).timestamp(number * 1000).value("x")).unwrap();
    }
    let mut consumer = reader(&store, StartFrom::Earliest);
    assert_eq!((consumer.position((TOPIC, 0)).unwrap(), consumer.lag().unwrap()), (0, 10));
    consumer.seek((TOPIC, 0), 7).unwrap();
    assert_eq!((consumer.position((TOPIC, 0)).unwrap(), consumer.lag().unwrap()), (7, 3));
    assert_eq!(drain(&mut consumer), numbers(0, 7..10));
    assert_eq!((consumer.position((TOPIC, 0)).unwrap(), consumer.lag().unwrap()), (10, 0));
    consumer.seek_to_beginning();
    assert_eq!(drain(&mut consumer), numbers(0, 0..10));
    consumer.seek_to_time(4_500).unwrap();
    assert_eq!(drain(&mut consumer), numbers(0, 5..10));
    consumer.seek_to_time(5_000).unwrap();
    assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 5);
    consumer.seek_to_time(99_000).unwrap();
    assert_eq!(drain(&mut consumer), []);
    consumer.seek_to_beginning();
    // Records that wait in memory lie before the end as well.
    let memory = store.producer_builder().durability(Durability::Memory).linger(WAIT).build().unwrap();
    memory.send(Record::to(TOPIC).value("in memory")).unwrap();
    consumer.seek_to_end();
    assert_eq!((consumer.position((TOPIC, 0)).unwrap(), drain(&mut consumer)), (11, vec![]));
    memory.send(Record::to(TOPIC).value("behind")).unwrap();
    assert_eq!(drain(&mut consumer), numbers(0, 11..12));
}

#[test]
fn a_position_that_is_not_there_follows_the_policy() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..5);
    for (start, expected) in [(StartFrom::Earliest, numbers(0, 0..5)), (StartFrom::Latest, vec![])] {
        let mut consumer = reader(&store, start);
        consumer.seek((TOPIC, 0), 50).unwrap();
        assert_eq!(drain(&mut consumer), expected, "{start:?}");
        assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 5, "{start:?}");
    }
    let mut strict = reader(&store, StartFrom::Fail);
    strict.seek((TOPIC, 0), 50).unwrap();
    for _ in 0..2 {
        assert!(matches!(
            strict.poll(Duration::ZERO),
            Err(Error::OffsetOutOfRange { requested: 50, start: 0, end: 5, .. })
        ));
    }
    strict.seek((TOPIC, 0), 4).unwrap();
    assert_eq!(drain(&mut strict), numbers(0, 4..5));
}

#[test]
fn where_to_start_without_a_committed_offset() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..5);
    let mut latest = reader(&store, StartFrom::Latest);
    let mut strict = store.consumer_builder().group(GROUP).start_from(StartFrom::Fail).build().unwrap();
    strict.subscribe([TOPIC]).unwrap();
    assert_eq!(drain(&mut reader(&store, StartFrom::Earliest)), numbers(0, 0..5));
    assert_eq!(drain(&mut latest), []);
    send(&store, 0, 5..7);
    assert_eq!(drain(&mut latest), numbers(0, 5..7));
    assert!(matches!(strict.poll(Duration::ZERO), Err(Error::NoCommittedOffset { .. })));
    strict.commit_offsets([(place(0), 6)]).unwrap();
    let mut strict = store.consumer_builder().group(GROUP).start_from(StartFrom::Fail).build().unwrap();
    strict.assign([(TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut strict), numbers(0, 6..7));
}

#[test]
fn pausing_and_resuming() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..3));
    let mut a = member(&store, "a");
    a.pause([place(0)]).unwrap();
    assert_eq!(drain(&mut a), numbers(1, 0..3));
    assert_eq!(a.paused(), [place(0)]);
    assert_eq!((a.position(place(0)).unwrap(), a.lag().unwrap()), (0, 3));
    // Records of a paused partition wake nobody for long.
    let started = now();
    send(&store, 0, 3..4);
    assert!(a.poll(Duration::from_millis(100)).unwrap().is_empty());
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert!(matches!(a.pause([place(9)]), Err(Error::NotAssigned { .. })));
    a.resume([place(0)]).unwrap();
    assert_eq!((drain(&mut a), a.paused()), (numbers(0, 0..4), vec![]));
}

#[test]
fn a_durable_reader_sees_nothing_that_can_be_lost() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let mut careful = store.consumer_builder().read_durable_only().build().unwrap();
    careful.assign([(TOPIC, 0)]).unwrap();
    let mut quick = reader(&store, StartFrom::Earliest);
    send(&store, 0, 0..3);
    assert_eq!(drain(&mut quick), numbers(0, 0..3));
    assert_eq!(drain(&mut careful), []);
    assert!(careful.poll(Duration::from_millis(30)).unwrap().is_empty());
    store.producer().flush().unwrap();
    assert_eq!(drain(&mut careful), numbers(0, 0..3));
    send(&store, 0, 3..4);
    assert_eq!(drain(&mut careful), []);
    store.topic(TOPIC).unwrap().partition(0).unwrap().flush().unwrap();
    assert_eq!(drain(&mut careful), numbers(0, 3..4));
}

#[test]
fn one_busy_partition_does_not_starve_the_others() {
    let dir = fast_dir();
    let store = store(dir.path(), 3);
    (0..3).for_each(|partition| send(&store, partition, 0..100));
    let mut consumer = store.consumer_builder().max_poll_records(30).build().unwrap();
    consumer.assign((0..3).map(place)).unwrap();
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for poll in 0.. {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            break;
        }
        assert!(records.len() <= 30);
        seen.extend(records.iter().map(|record| record.partition()));
        all.extend(records.iter().map(|record| (record.partition(), record.offset())));
        assert!(poll < 5 || seen.len() == 3, "{poll} polls, and only {seen:?} were read");
    }
    all.sort_unstable();
    assert_eq!(all, (0..3).flat_map(|partition| numbers(partition, 0..100)).collect::<Vec<_>>());
}

#[test]
fn damage_is_told_at_every_poll_until_it_is_passed_over() {
    let dir = fast_dir();
    let first = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&first, partition, 0..10));
    first.close().unwrap();
    let log = &files_of(dir.path(), "orders-0", ".log")[0];
    let mut bytes = std::fs::read(log).unwrap();
    let at = usize::try_from(batch_ends(&bytes)[4].0).unwrap();
    bytes[at - 3] ^= 1;
    std::fs::write(log, bytes).unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([place(0), place(1)]).unwrap();
    let mut read = Vec::new();
    let mut told = 0;
    for _ in 0..10 {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => read.extend(records.iter().map(|record| (record.partition(), record.offset()))),
            Err(Error::Corrupt { path, offset: Some(4), .. }) => {
                assert_eq!(&path, log);
                told += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(told > 3 && read.starts_with(&numbers(0, 0..4)), "told {told} times, read {read:?}");
    consumer.seek(place(0), 5).unwrap();
    read.extend(drain(&mut consumer));
    let mut skipping = store.consumer_builder().on_damage(OnDamage::Skip).build().unwrap();
    skipping.assign([place(0), place(1)]).unwrap();
    for mut read in [read, drain(&mut skipping)] {
        read.sort_unstable();
        assert_eq!(read, [numbers(0, 0..4), numbers(0, 5..10), numbers(1, 0..10)].concat());
    }
}
