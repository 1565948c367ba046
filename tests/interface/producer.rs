//! Producers and the partitions of a topic: one that is bound to it sees what becomes of it; records without a key reach all of
//! them; open batches of many are bounded.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::io::{Clock, ManualClock};
use annals::{Durability, Error, Offset, Partition, Record, Store, TimestampType, TopicConfig, WhenFull};

use crate::common::{TOPIC, by_hand, fast_dir};

#[test]
fn partitions_added_later_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let bound = store.producer().bind("orders").unwrap();
    let early = bound.send(Record::new().partition(1));
    assert!(matches!(early, Err(Error::UnknownPartition { partition: 1, partitions: 1, .. })), "{early:?}");
    store.add_partitions("orders", 2).unwrap();
    assert_eq!(bound.send(Record::new().partition(1)).unwrap().partition, 1);
}

#[test]
fn a_deleted_topic_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let bound = store.producer().bind("orders").unwrap();
    bound.send(Record::new()).unwrap();
    store.delete_topic("orders").unwrap();
    assert!(bound.send(Record::new()).is_err());
}

#[test]
fn records_of_headers_alone_reach_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(4)).unwrap();
    let producer = store.producer_builder().batch_size(1_000).build().unwrap();
    for _ in 0..800 {
        producer.send(Record::to("orders").header("kind", &[0; 100])).unwrap();
    }
    let ends: Vec<_> = (0..4).map(|number| topic.partition(number).unwrap().end()).collect();
    assert!(ends.iter().all(|end| *end > 0), "{ends:?}");
}

#[test]
fn appends_in_memory_to_many_partitions_keep_to_a_producers_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(520)).unwrap();
    let partitions: Vec<_> = (0..520).map(|number| topic.partition(number).unwrap()).collect();
    for partition in &partitions {
        partition.append(&[Record::new().value("paid")], Durability::Memory).unwrap();
    }
    // 32 MiB are 512 batches of 64 KiB.
    assert_eq!(partitions.iter().filter(|partition| partition.end() == 0).count(), 512);
}

/// Counts who looks at it.
#[derive(Debug)]
struct Looks {
    shows: ManualClock,
    count: AtomicUsize,
}

impl Clock for Looks {
    fn now(&self) -> i64 {
        let now = self.shows.now();
        self.count.fetch_add(1, Ordering::SeqCst);
        now
    }
}

/// Whoever waits for room has looked at the clock before; what others could append meanwhile is later.
#[test]
fn times_that_the_log_gives_do_not_run_backwards_after_a_wait_for_room() {
    const START: i64 = 1_704_067_200_000;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Looks { shows: ManualClock::at(START), count: AtomicUsize::new(0) });
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new()
        .message_timestamp_type(TimestampType::LogAppendTime)
        .segment_bytes(1000)
        .size_limit(4000, WhenFull::Block);
    let partition = store.create_topic("orders", config).unwrap().partition(0).unwrap();
    let append = |bytes: usize| {
        partition.append(&[Record::new().value(&*"x".repeat(bytes))], Durability::Os).unwrap().timestamp
    };
    (0..6).for_each(|_| _ = append(500));
    let (looks, end) = (clock.count.load(Ordering::SeqCst), partition.end());
    let last = std::thread::scope(|scope| {
        let waits = scope.spawn(|| append(900));
        // It has looked, and there was no room.
        while clock.count.load(Ordering::SeqCst) < looks + 2 {
            std::thread::yield_now();
        }
        clock.shows.set(START + 1000);
        // There is room for this one.
        append(1);
        assert_eq!(partition.end(), end + 1);
        partition.delete_records(3).unwrap();
        waits.join().unwrap()
    });
    assert_eq!(last, START + 1000, "what its sender was told");
    let read = partition.read(..).unwrap().into_iter();
    let times: Vec<_> = read.map(|record| record.unwrap().timestamp).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.last(), Some(&last));
}

/// What is in memory was accepted, and its sender told of its time, by the settings of before.
#[test]
fn records_in_memory_got_another_time_than_their_sender_was_told_where_the_topic_was_altered() {
    use TimestampType::{CreateTime, LogAppendTime};
    const NOW: i64 = 1_704_067_200_000;
    for (before, after, expected) in [(LogAppendTime, CreateTime, NOW), (CreateTime, LogAppendTime, 5)] {
        let dir = fast_dir();
        let clock = Arc::new(ManualClock::at(NOW));
        let store = by_hand(dir.path()).clock(clock.clone()).open().unwrap();
        let topic = store.create_topic(TOPIC, TopicConfig::new().message_timestamp_type(before)).unwrap();
        let partition = topic.partition(0).unwrap();
        let producer =
            store.producer_builder().durability(Durability::Memory).linger(std::time::Duration::MAX);
        let producer = producer.build().unwrap();
        let told = producer.send(Record::to(TOPIC).value("x").timestamp(5)).unwrap();
        assert_eq!((told.timestamp, partition.end()), (expected, 0), "it is in memory");
        clock.set(NOW + 1000);
        store.alter_topic(TOPIC, TopicConfig::new().message_timestamp_type(after)).unwrap();
        let later = producer.send(Record::to(TOPIC).value("y").timestamp(NOW)).unwrap();
        let read = partition.read(..).unwrap().into_iter();
        let times: Vec<_> = read.map(|record| record.unwrap().timestamp).collect();
        assert_eq!(times, [told.timestamp, later.timestamp], "{before:?}");
    }
}

/// A range may be of the program's own. This one has records deleted when it is asked where it begins.
struct Deletes<'a>(&'a Partition);

impl RangeBounds<Offset> for Deletes<'_> {
    fn start_bound(&self) -> Bound<&Offset> {
        assert!(self.0.delete_records(self.0.start() + 1).is_ok());
        Bound::Unbounded
    }

    fn end_bound(&self) -> Bound<&Offset> {
        Bound::Unbounded
    }
}

#[test]
fn a_read_from_the_start_was_out_of_range_where_the_start_moved_between_two_looks_at_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    for _ in 0..10 {
        partition.append(&[Record::new().value("paid")], Durability::Os).unwrap();
    }
    let read = partition.read(Deletes(&partition)).unwrap().into_iter();
    let offsets: Vec<_> = read.map(|record| record.unwrap().offset).collect();
    let start = partition.start();
    assert!(start > 0);
    assert_eq!(offsets, (start..10).collect::<Vec<_>>());
}

/// Gives each record that it is asked about the next partition.
#[derive(Debug, Default)]
struct InTurn(std::sync::atomic::AtomicU32);

impl annals::Partitioner for InTurn {
    fn partition(&self, _record: &Record<'_>, partitions: u32) -> Option<u32> {
        Some(self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % partitions)
    }
}

#[test]
fn a_batch_of_one_record_was_refused_where_a_partitioner_takes_turns() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(3)).unwrap();
    let producer = store.producer_builder().partitioner(InTurn::default()).build().unwrap();
    for expected in [0, 1, 2, 0] {
        assert_eq!(producer.send_batch(&[Record::to(TOPIC).value("x")]).unwrap().partition, expected);
    }
    let two = [Record::to(TOPIC).value("x"), Record::to(TOPIC).value("y")];
    assert!(producer.send_batch(&two).is_err(), "they are for two partitions");
}
