//! What an append leaves that is refused, and what a failure leaves that is definite: nothing.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::{Condition, Durability, Error, Query, Record, Store, TopicConfig, WhenFull};

use crate::common::{TOPIC, by_hand, fast_dir, kill_and_copy, on_faulty, producer, records, spawn};
use crate::durability::{EIO, EMFILE, ENOSPC};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

/// A partition of at most 4,000 bytes, nearly full.
fn nearly_full(store: &Store, when_full: WhenFull) {
    let config = TopicConfig::new()
        .segment_bytes(1000)
        .size_limit(4000, when_full)
        .max_message_bytes(900)
        .key_index(true);
    let topic = store.create_topic(TOPIC, config).unwrap();
    let partition = topic.partition(0).unwrap();
    while partition.stats().unwrap().bytes < 3900 {
        store.producer().send(Record::to(TOPIC).value(&[b'v'; 100])).unwrap();
    }
}

#[test]
fn a_refused_append_takes_nothing_out_of_a_full_partition() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    nearly_full(&store, WhenFull::DropOldest);
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    let before = records(&partition);
    let large = store.producer().send(Record::to(TOPIC).value(&[b'v'; 1000]));
    assert!(matches!(large, Err(Error::RecordTooLarge { .. })), "{large:?}");
    for expected in [0, 7] {
        let conflict = partition.append_if(expected, &[Record::new().value(&[b'v'; 500])], Durability::Os);
        assert!(matches!(conflict, Err(Error::UnexpectedEnd { .. })), "{conflict:?}");
    }
    let late = Record::to(TOPIC).value(&[b'v'; 500]).timestamp(i64::MAX / 2);
    assert!(matches!(store.producer().send(late), Err(Error::InvalidTimestamp { .. })));
    assert_eq!(records(&partition), before);
    // What nothing refuses takes the room it needs.
    store.producer().send(Record::to(TOPIC).value(&[b'v'; 500])).unwrap();
    assert!(partition.start() > 0);
}

/// Conditions that hold, or do not; records that no partition takes; numbers of a sender; another partition that is full.
#[test]
fn no_refused_append_under_conditions_and_no_refused_transaction_takes_anything_out() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    nearly_full(&store, WhenFull::DropOldest);
    let full = TopicConfig::new().segment_bytes(1000).size_limit(1000, WhenFull::Fail);
    let full = store.create_topic("full", full).unwrap().partition(0).unwrap();
    while full.append(&[Record::new().value(&[b'v'; 300])], Durability::Os).is_ok() {}
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    let named = store.named_producer("importer").unwrap();
    let record = Record::new().value("first");
    let sent = named.append(&partition, 0, std::slice::from_ref(&record), Durability::Os).unwrap();
    let before = records(&partition);
    let condition = Condition::none(Query::tag("paid"));
    let (large, fits) = ([b'v'; 1000], [b'v'; 600]);
    let guarded = partition.append_when(&[condition], &[Record::new().value(&large)], Durability::Os);
    assert!(matches!(guarded, Err(Error::RecordTooLarge { .. })), "{guarded:?}");
    let small = TopicConfig::new().size_limit(1000, WhenFull::DropOldest);
    store.create_topic("small", small).unwrap();
    for round in 0..4 {
        let mut tx = store.transaction("bank").unwrap();
        tx.send(Record::to(TOPIC).partition(0).value(&fits)).unwrap();
        match round {
            0 => tx.expect_end(&partition, 3),
            1 => tx.expect_end(&full, 0),
            2 => tx.send(Record::to("small").partition(0).value(&[b'v'; 1200])).unwrap(),
            _ => tx.send(Record::to("full").partition(0).value(&fits)).unwrap(),
        }
        assert!(tx.commit().is_err(), "{round}");
        assert_eq!(records(&partition), before, "{round}");
    }
    let again = named.append(&partition, 0, &[record], Durability::Os).unwrap();
    assert!(again.is_duplicate && again.batch.last_offset == sent.batch.last_offset);
    let late = named.append(&partition, 7, &[Record::new().value(&fits)], Durability::Os);
    assert!(matches!(late, Err(Error::OutOfSequence { .. })), "{late:?}");
    assert_eq!(records(&partition), before);
    named.append(&partition, 1, &[Record::new().value(&fits)], Durability::Os).unwrap();
    assert!(partition.start() > 0, "what nothing refuses takes the room it needs");
}

/// The append at an expected end is held while it makes room; another one comes meanwhile.
#[test]
fn no_append_comes_between_another_and_the_room_that_is_made_for_it() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    nearly_full(&store, WhenFull::DropOldest);
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    let (end, start) = (partition.end(), partition.start());
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Rename], "annals.state", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let first = spawn({
        let partition = partition.clone();
        move || partition.append_if(end, &[Record::new().value(&[b'v'; 500])], Durability::Os)
    });
    gate.await_arrival();
    let second = spawn({
        let partition = partition.clone();
        move || partition.append(&[Record::new().value("small")], Durability::Memory)
    });
    // Most likely it waits by now.
    thread::sleep(Duration::from_millis(30));
    gate.open();
    assert_eq!(first.join().unwrap().unwrap().first_offset, end);
    assert_eq!(second.join().unwrap().unwrap().first_offset, end + 1);
    assert!(partition.start() > start, "room was made");
}

#[test]
fn a_batch_larger_than_the_whole_limit_is_refused_at_once() {
    for when_full in [WhenFull::Fail, WhenFull::DropOldest, WhenFull::Block] {
        let dir = fast_dir();
        let store = by_hand(dir.path()).open().unwrap();
        // It would wait for longer than any test.
        let config =
            TopicConfig::new().size_limit(300, when_full).size_limit_max_block(Duration::from_secs(100_000));
        store.create_topic(TOPIC, config).unwrap();
        store.producer().send(Record::to(TOPIC).value("kept")).unwrap();
        let refused = store.producer().send(Record::to(TOPIC).value(&[b'v'; 400]));
        assert!(
            matches!(
                refused,
                Err(Error::RecordTooLarge { limit: 300, setting: "annals.size.limit.bytes", .. })
            ),
            "{when_full:?}: {refused:?}"
        );
        assert_eq!(records(&store.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 1);
    }
}

#[test]
fn a_sender_that_waits_for_room_sees_the_limit_lifted() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    nearly_full(&store, WhenFull::Block);
    let long = TopicConfig::new().size_limit_max_block(Duration::from_secs(100_000));
    store.alter_topic(TOPIC, long).unwrap();
    let blocked = store.clone();
    let sender = spawn(move || blocked.producer().send(Record::to(TOPIC).value(&[b'v'; 500])));
    thread::sleep(Duration::from_millis(50));
    assert!(!sender.is_finished(), "it is to wait");
    store.alter_topic(TOPIC, TopicConfig::new().set("annals.size.limit.bytes", "-1")).unwrap();
    sender.join().unwrap().unwrap();
}

/// Records accepted at `Memory` while the store is being closed are written, or their senders are told.
#[test]
fn a_close_beside_senders_into_memory_loses_nothing_that_was_accepted() {
    for round in 0..20_u64 {
        let dir = fast_dir();
        let store = by_hand(dir.path()).open().unwrap();
        store.create_topic(TOPIC, TopicConfig::new().partitions(8)).unwrap();
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let store = store.clone();
                spawn(move || {
                    let builder = store.producer_builder().durability(Durability::Memory);
                    let producer = match builder.linger(Duration::from_secs(100_000)).build() {
                        Err(Error::StoreClosed { .. }) => return 0,
                        built => built.unwrap(),
                    };
                    let mut accepted = 0_u64;
                    loop {
                        match producer.send(Record::to(TOPIC).value("in memory")) {
                            Ok(_) => accepted += 1,
                            Err(Error::StoreClosed { .. }) => return accepted,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_micros(500 * round));
        store.close().unwrap();
        let accepted: u64 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        drop(store);
        let store = by_hand(dir.path()).open().unwrap();
        let partitions = store.topic(TOPIC).unwrap().partitions();
        let found: usize = partitions.iter().map(|partition| records(partition).len()).sum();
        assert_eq!(found as u64, accepted, "round {round}");
    }
}

/// A store with a few records, left in one of two ways.
fn left(dir: &std::path::Path, closed: bool) -> tempfile::TempDir {
    let store = by_hand(dir).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    for durability in [Durability::Disk, Durability::Os] {
        producer(&store, durability).send(Record::to(TOPIC).value("before")).unwrap();
    }
    let copy = fast_dir();
    if closed {
        store.close().unwrap();
        crate::common::copy_dir(dir, copy.path());
    } else {
        kill_and_copy(store, dir, copy.path());
    }
    copy
}

/// Every call of the first append but a sync fails once with an error that is definite: the next append succeeds.
#[test]
fn a_moment_without_space_or_descriptors_at_the_first_append_poisons_nothing() {
    let calls = [Call::Open, Call::Create, Call::Write, Call::Len, Call::SetLen, Call::Allocate];
    for (closed, errno) in [(true, ENOSPC), (true, EMFILE), (false, ENOSPC), (false, EMFILE)] {
        let mut nth = 0;
        loop {
            let before = fast_dir();
            let dir = left(before.path(), closed);
            let files = FaultyFileSystem::new();
            let store = on_faulty(dir.path(), &files).open().unwrap();
            files.fail(&calls, "orders-0", (nth, Times::Once), Fault::Error(errno));
            let what = format!("closed {closed}, error {errno}, call {nth}");
            let first = producer(&store, Durability::Disk).send(Record::to(TOPIC).value("first"));
            let is_struck = files.armed() == 0;
            files.heal();
            let second = producer(&store, Durability::Disk).send(Record::to(TOPIC).value("second"));
            let second = second.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(second.offset, if first.is_ok() { 3 } else { 2 }, "{what}: {first:?}");
            let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
            store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
            drop(store);
            let store = by_hand(dir.path()).open().unwrap();
            assert_eq!(records(&store.topic(TOPIC).unwrap().partition(0).unwrap()), found, "{what}");
            if !is_struck {
                break;
            }
            nth += 1;
        }
        assert!(nth >= 4, "{nth} calls");
    }
}

#[test]
fn a_failed_sync_of_the_directory_at_the_first_append_is_not_tried_again() {
    let before = fast_dir();
    let dir = left(before.path(), false);
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    files.fail_next(Call::SyncDir, "orders-0", EIO);
    assert!(store.producer().send(Record::to(TOPIC).value("first")).is_err());
    assert_eq!(files.armed(), 0);
    let next = producer(&store, Durability::Disk).send(Record::to(TOPIC).value("second"));
    assert!(matches!(next, Err(Error::Poisoned { .. })), "{next:?}");
}

/// What is accepted and on its way to the file is waited for, by whatever asks for it.
#[test]
fn a_record_that_is_being_written_can_be_asked_for() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let memory = store.producer_builder().durability(Durability::Memory).build().unwrap();
    let at = memory.send(Record::to(TOPIC).value("in flight").timestamp(1_000)).unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Write], ".log", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    thread::scope(|scope| {
        let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
        let flushed = scope.spawn(|| store.producer().flush());
        gate.await_arrival();
        let found = scope.spawn({
            let partition = partition.clone();
            move || partition.get(at.offset)
        });
        let by_time = scope.spawn(move || partition.offset_for_time(1_000));
        thread::sleep(Duration::from_millis(50));
        gate.open();
        assert!(found.join().unwrap().unwrap().is_some());
        assert_eq!(by_time.join().unwrap().unwrap().map(|found| found.offset), Some(0));
        flushed.join().unwrap().unwrap();
    });
}
