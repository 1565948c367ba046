//! One partition that cannot be read is in nobody's way, and no wait goes on after what would end it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::{Consumer, Error, Offset, Record, TopicConfig, TopicPartition};

use crate::common::{TOPIC, by_hand, fast_dir, files_of, on_faulty};
use crate::groups::{GROUP, WAIT, committed, member, numbers, place, send, store};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

/// What so many polls hand out, and how many of them fail.
fn polls(consumer: &mut Consumer, count: usize) -> (Vec<(u32, Offset)>, usize) {
    let (mut read, mut failed) = (Vec::new(), 0);
    for _ in 0..count {
        match consumer.poll(Duration::ZERO) {
            Ok(records) => read.extend(records.iter().map(|record| (record.partition(), record.offset()))),
            Err(_) => failed += 1,
        }
    }
    (read, failed)
}

#[test]
fn a_damaged_batch_does_not_keep_other_partitions_from_being_read() {
    let dir = fast_dir();
    let first = store(dir.path(), 3);
    (0..3).for_each(|partition| send(&first, partition, 0..10));
    first.close().unwrap();
    let log = &files_of(dir.path(), "orders-0", ".log")[0];
    let mut bytes = std::fs::read(log).unwrap();
    bytes[65] ^= 1;
    std::fs::write(log, bytes).unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    let mut consumer = store.consumer_builder().max_poll_records(5).build().unwrap();
    consumer.assign((0..3).map(place)).unwrap();
    let (mut read, failed) = polls(&mut consumer, 12);
    read.sort_unstable();
    assert_eq!(read, [numbers(1, 0..10), numbers(2, 0..10)].concat());
    assert!(failed >= 2, "the damage was told {failed} times");
}

#[test]
fn a_deleted_topic_does_not_keep_others_from_being_read() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    store.create_topic("a-first", TopicConfig::new()).unwrap();
    send(&store, 0, 0..10);
    let mut consumer = store.consumer_builder().max_poll_records(3).build().unwrap();
    consumer.assign([TopicPartition::new("a-first", 0), place(0)]).unwrap();
    store.delete_topic("a-first").unwrap();
    let (read, failed) = polls(&mut consumer, 12);
    assert_eq!(read, numbers(0, 0..10));
    assert!(failed >= 2, "the deletion was told {failed} times");
}

#[test]
fn a_close_ends_the_poll_of_whoever_has_nothing_to_read() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let reading = member(&store, "a");
    let without = member(&store, "b");
    let mut paused = store.consumer_builder().build().unwrap();
    paused.assign([place(0)]).unwrap();
    paused.pause([place(0)]).unwrap();
    let idle = store.consumer_builder().build().unwrap();
    let waiting: Vec<_> = [reading, without, paused, idle]
        .into_iter()
        .map(|mut consumer| crate::common::spawn(move || consumer.poll(WAIT * 10)))
        .collect();
    thread::sleep(Duration::from_millis(30));
    let started = crate::common::now();
    store.close().unwrap();
    for (number, waiting) in waiting.into_iter().enumerate() {
        let outcome = waiting.join().unwrap();
        assert!(matches!(outcome, Err(Error::StoreClosed { .. })), "consumer {number}: {outcome:?}");
    }
    assert!(started.elapsed() < WAIT * 5, "nobody was woken");
}

#[test]
fn automatic_commits_go_on_while_a_poll_waits() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..6);
    let builder = store.consumer_builder().group(GROUP).auto_commit(Duration::from_millis(20));
    let mut a = builder.build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 6);
    let waiting = crate::common::spawn(move || a.poll(WAIT * 10).map(|records| records.len()));
    let started = crate::common::now();
    while committed(&store).is_empty() && started.elapsed() < WAIT {
        thread::sleep(Duration::from_millis(5));
    }
    let seen = committed(&store);
    send(&store, 0, 6..7);
    assert_eq!(waiting.join().unwrap().unwrap(), 1);
    assert_eq!(seen, [(0, 6)].into());
}

#[test]
fn a_full_disk_does_not_stop_reading_through_automatic_commits() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..6);
    let builder = store.consumer_builder().group(GROUP).auto_commit(Duration::ZERO).max_poll_records(2);
    let mut a = builder.build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), [(0, 2)].into());
    files.fail(&[Call::Write], "__consumer_offsets-0", (0, Times::ForEver), Fault::Error(28));
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2, "reading goes on");
    assert_eq!(committed(&store), [(0, 2)].into());
    files.heal();
    assert!(a.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(committed(&store), [(0, 6)].into());
}

#[test]
fn polls_and_closes_do_not_fail_when_members_come_and_go() {
    let dir = fast_dir();
    let store = store(dir.path(), 6);
    (0..6).for_each(|partition| send(&store, partition, 0..5));
    let store = Arc::new(store);
    let failures: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let store = Arc::clone(&store);
                scope.spawn(move || {
                    for turn in 0..150 {
                        let builder = store.consumer_builder().group(GROUP).client_id(format!("m{number}"));
                        let mut one = builder.auto_commit(Duration::ZERO).build().unwrap();
                        one.subscribe([TOPIC]).unwrap();
                        for _ in 0..5 {
                            one.seek_to_beginning();
                            one.poll(Duration::ZERO).map_err(|error| format!("poll {turn}: {error}"))?;
                        }
                        one.close().map_err(|error| format!("close {turn}: {error}"))?;
                    }
                    Ok::<(), String>(())
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect()
    });
    assert_eq!(failures, [""; 0]);
}

#[test]
fn a_poll_beside_deletions_says_unknown_topic_and_nothing_else() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            for _ in 0..60 {
                for _ in 0..20 {
                    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
                }
                store.delete_topic(TOPIC).unwrap();
                store.create_topic(TOPIC, TopicConfig::new()).unwrap();
            }
        });
        let mut alone = store.consumer_builder().max_poll_records(3).build().unwrap();
        while !deleting.is_finished() {
            let outcome = alone.assign([place(0)]).and_then(|()| alone.poll(Duration::ZERO));
            let is_expected = matches!(&outcome, Ok(_) | Err(Error::UnknownTopic { .. }));
            assert!(is_expected, "{outcome:?}");
            let lag = alone.lag();
            assert!(matches!(lag, Ok(_) | Err(Error::UnknownTopic { .. })), "{lag:?}");
            let moved = alone.seek_to_time(1);
            assert!(matches!(moved, Ok(()) | Err(Error::UnknownTopic { .. })), "{moved:?}");
        }
    });
}

#[test]
fn a_waker_ends_a_poll_that_waits_or_the_next_one() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let mut a = member(&store, "a");
    let waker = a.waker();
    let waiting = crate::common::spawn(move || {
        let outcome = a.poll(WAIT * 10).map(|records| records.len());
        (a, outcome)
    });
    thread::sleep(Duration::from_millis(20));
    waker.wake();
    let (mut a, outcome) = waiting.join().unwrap();
    assert_eq!(outcome.unwrap(), 0);
    waker.wake();
    let started = crate::common::now();
    assert!(a.poll(WAIT * 10).unwrap().is_empty());
    assert!(started.elapsed() < WAIT * 5);
    // Records come first.
    send(&store, 0, 0..1);
    waker.wake();
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn changes_of_what_a_member_reads_are_reported_once() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = {
        let seen = Arc::clone(&seen);
        move |change: &annals::Rebalance| {
            let numbers =
                |places: &[TopicPartition]| places.iter().map(TopicPartition::partition).collect::<Vec<_>>();
            seen.lock().unwrap().push((numbers(&change.revoked), numbers(&change.assigned)));
        }
    };
    let builder = store.consumer_builder().group(GROUP).client_id("a").on_rebalance(listener);
    let mut a = builder.build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    let poll = |a: &mut Consumer| {
        drop(a.poll(Duration::ZERO));
        std::mem::take(&mut *seen.lock().unwrap())
    };
    assert_eq!(poll(&mut a), [(vec![], vec![0, 1])]);
    assert_eq!(poll(&mut a), []);
    let b = member(&store, "b");
    assert_eq!(poll(&mut a), [(vec![1], vec![])]);
    drop(b);
    assert_eq!(poll(&mut a), [(vec![], vec![1])]);
    // Another's in between, unnoticed.
    drop(member(&store, "b"));
    assert_eq!(poll(&mut a), [(vec![1], vec![1])]);
    store.delete_topic(TOPIC).unwrap();
    assert_eq!(poll(&mut a), [(vec![0, 1], vec![])]);
}

#[test]
fn a_listener_may_panic_or_close_the_store() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..3);
    let builder = store.consumer_builder().group(GROUP).on_rebalance(|_| panic!("a listener's own"));
    let mut a = builder.build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a.poll(Duration::ZERO).map(drop)));
    assert!(polled.is_err());
    assert_eq!(crate::groups::drain(&mut a), numbers(0, 0..3), "the consumer survives it");
    drop(a);
    let closing = store.clone();
    let builder = store.consumer_builder().group(GROUP).on_rebalance(move |_| closing.close().unwrap());
    let mut b = builder.build().unwrap();
    b.subscribe([TOPIC]).unwrap();
    assert!(matches!(b.poll(WAIT), Err(Error::StoreClosed { .. })));
}
