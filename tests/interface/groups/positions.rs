//! Positions: what is committed, what is deleted beneath them, and what they count.

use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Error, Record, StartFrom, TopicConfig, TopicPartition};

use crate::common::{TOPIC, by_hand, fast_dir, on_faulty};
use crate::groups::{GROUP, committed, drain, member, numbers, place, reader, send, store};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

#[test]
fn a_position_at_the_end_is_committed_though_no_record_was_read() {
    let dir = fast_dir();
    let first = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&first, partition, 0..3));
    let mut a = newest(&first, "a");
    assert_eq!(drain(&mut a), []);
    a.commit().unwrap();
    assert_eq!(committed(&first), [(0, 3), (1, 3)].into());
    // A rebalance: whoever gets the partition goes on where its reader stood.
    send(&first, 1, 3..8);
    let mut b = newest(&first, "b");
    assert_eq!(drain(&mut b), numbers(1, 3..8));
    drop((a, b));
    // A restart.
    first.close().unwrap();
    let again = by_hand(dir.path()).open().unwrap();
    send(&again, 0, 3..8);
    assert_eq!(drain(&mut newest(&again, "c")), [numbers(0, 3..8), numbers(1, 3..8)].concat());
}

/// A member that begins at the end.
fn newest(store: &annals::Store, name: &str) -> annals::Consumer {
    let builder = store.consumer_builder().group(GROUP).start_from(StartFrom::Latest).client_id(name);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

#[test]
fn a_rebalance_before_the_first_commit_passed_over_what_was_sent_since_the_first_look() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..3));
    let mut a = newest(&store, "a");
    assert_eq!(drain(&mut a), []);
    send(&store, 1, 3..6);
    let mut b = newest(&store, "b");
    assert_eq!(drain(&mut b), numbers(1, 3..6));
    // Nothing was committed: what was handed out comes again, as it does to those who begin at the first record.
    send(&store, 1, 6..8);
    drop(b);
    assert_eq!(drain(&mut a), numbers(1, 3..8));
    a.commit().unwrap();
    let mut c = newest(&store, "c");
    send(&store, 1, 8..9);
    assert_eq!(drain(&mut c), numbers(1, 8..9));
    // A seek is not where the group has begun.
    c.seek(place(1), 0).unwrap();
    assert_eq!(drain(&mut c), numbers(1, 0..9));
}

#[test]
fn a_group_that_nobody_reads_for_begins_at_the_end_again() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    store.create_topic("other", TopicConfig::new()).unwrap();
    let mut a = newest(&store, "a");
    assert_eq!(drain(&mut a), []);
    let mut idle = store.consumer_builder().group(GROUP).client_id("idle").build().unwrap();
    idle.subscribe(["other"]).unwrap();
    drop(a);
    send(&store, 0, 0..3);
    let mut b = newest(&store, "b");
    assert_eq!(drain(&mut b), []);
    // Another topic of the name is another one.
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..2);
    drop(b);
    let mut c = newest(&store, "c");
    assert_eq!(drain(&mut c), []);
    send(&store, 0, 2..4);
    let mut alone = reader(&store, StartFrom::Latest);
    assert_eq!(drain(&mut alone), [], "who has assigned it to itself looks for itself");
    assert_eq!(drain(&mut c), numbers(0, 2..4));
}

#[test]
fn what_was_consumed_goes_only_after_its_commit_is_durable() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let config = TopicConfig::new().segment_bytes(1000).retention_until_consumed();
    store.create_topic(TOPIC, config).unwrap();
    for _ in 0..40 {
        store.producer().send(Record::to(TOPIC).value("0123456789012345678901234567890123456789")).unwrap();
    }
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 40);
    a.commit_offsets([(place(0), 0)]).unwrap();
    files.forget();
    a.commit().unwrap();
    assert!(store.topic(TOPIC).unwrap().partition(0).unwrap().start() > 0, "nothing was removed");
    let trace = files.trace();
    let committed = trace.iter().rposition(|done| {
        done.call == Call::Sync && done.path.to_string_lossy().contains("__consumer_offsets-0/0000")
    });
    let removed = trace.iter().position(|done| {
        done.call == Call::Rename && done.path.to_string_lossy().contains("orders-0/annals")
    });
    assert!(removed.is_some());
    assert!(committed.is_some() && committed < removed, "removed at {removed:?}, committed at {committed:?}");
}

#[test]
fn the_latest_go_on_at_the_first_record_that_is_left() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let mut latest = reader(&store, StartFrom::Latest);
    assert_eq!(drain(&mut latest), []);
    send(&store, 0, 0..20);
    store.topic(TOPIC).unwrap().partition(0).unwrap().delete_records(10).unwrap();
    assert_eq!(drain(&mut latest), numbers(0, 10..20));
}

#[test]
fn retention_beside_a_reader_is_no_offset_out_of_range() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            for number in 0..300 {
                send(&store, 0, number..number + 1);
                partition.delete_records(number + 1).unwrap();
            }
        });
        let mut earliest = reader(&store, StartFrom::Earliest);
        while !deleting.is_finished() {
            earliest.seek_to_beginning();
            drain(&mut earliest);
        }
    });
}

#[test]
fn seeks_take_what_the_group_has_assigned_meanwhile() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..4));
    let mut a = member(&store, "a");
    let b = member(&store, "b");
    drain(&mut a);
    a.commit().unwrap();
    drop(b);
    a.seek_to_end();
    assert_eq!(drain(&mut a), [], "the partition it got back was not moved");
    a.seek_to_beginning();
    assert_eq!(drain(&mut a), [numbers(0, 0..4), numbers(1, 0..4)].concat());
    let c = member(&store, "c");
    a.poll(Duration::ZERO).unwrap();
    drop(c);
    a.seek_to_time(99_000_000_000_000).unwrap();
    assert_eq!(drain(&mut a), []);
}

#[test]
fn the_figures_know_what_was_never_committed_and_not_what_is_gone() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    send(&store, 0, 0..1000);
    let mut a = member(&store, "a");
    let billing = |store: &annals::Store| store.stats().unwrap().groups.into_iter().next().unwrap();
    assert_eq!((billing(&store).lag(), billing(&store).partitions.len()), (1000, 2));
    a.commit_offsets([(place(0), 10)]).unwrap();
    assert_eq!(billing(&store).lag(), 990);
    store.topic(TOPIC).unwrap().partition(0).unwrap().delete_records(500).unwrap();
    assert_eq!(billing(&store).lag(), 500);
}

/// The second time it took the place of the first, and began where nothing is committed.
#[test]
fn a_partition_that_a_consumer_assigned_itself_twice_at_once_began_anew() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..10);
    for start in [StartFrom::Earliest, StartFrom::Latest] {
        let mut consumer = store.consumer_builder().group(GROUP).start_from(start).build().unwrap();
        consumer.assign([place(0)]).unwrap();
        consumer.seek(place(0), 4).unwrap();
        consumer.commit().unwrap();
        consumer.assign([place(0), place(0)]).unwrap();
        assert_eq!(drain(&mut consumer), numbers(0, 4..10), "{start:?}");
    }
}

#[test]
fn a_commit_at_disk_does_not_wait_for_other_commits_syncs() {
    use annals_testing::{Fault, Gate, Times};
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..5);
    let consumer = |group: &str, durability: Durability| {
        let mut one = store.consumer_builder().group(group).commit_durability(durability).build().unwrap();
        one.assign([place(0)]).unwrap();
        one
    };
    let (mut slow, mut quick) = (consumer("slow", Durability::Disk), consumer("quick", Durability::Os));
    quick.commit_offsets([(place(0), 1)]).unwrap();
    store.producer().flush().unwrap();
    let gate = std::sync::Arc::new(Gate::default());
    files.fail(&[Call::Sync], "__consumer_offsets-0/0000", (0, Times::Once), Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || slow.commit_offsets([(place(0), 2)]));
        gate.await_arrival();
        let quick = scope.spawn(move || quick.commit_offsets([(place(0), 3)]));
        let started = crate::common::now();
        while !quick.is_finished() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let was_done = quick.is_finished();
        gate.open();
        quick.join().unwrap().unwrap();
        slow.join().unwrap().unwrap();
        assert!(was_done, "it waited for another group's sync");
    });
}

/// What names a partition says so, what is about all of them leaves it out, and a poll tells in turn.
#[test]
fn a_consumer_of_its_own_partitions_could_seek_in_a_topic_that_was_deleted() {
    for is_created_again in [true, false] {
        let dir = fast_dir();
        let store = store(dir.path(), 2);
        store.create_topic("other", TopicConfig::new()).unwrap();
        let (gone, other) = (place(0), TopicPartition::new("other", 0));
        send(&store, 0, 0..5);
        for value in ["a", "b", "c"] {
            store.producer().send(Record::to("other").value(value)).unwrap();
        }
        let builder = store.consumer_builder().group(GROUP).max_poll_records(1);
        let mut alone = builder.build().unwrap();
        alone.assign([gone.clone(), place(1), other.clone()]).unwrap();
        alone.seek(&gone, 2).unwrap();
        store.delete_topic(TOPIC).unwrap();
        if is_created_again {
            store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
            send(&store, 0, 0..9);
        }
        let calls = [
            ("seek", alone.seek(&gone, 1)),
            ("position", alone.position(&gone).map(drop)),
            ("the position of one that was never polled", alone.position(place(1)).map(drop)),
            ("commit_offsets", alone.commit_offsets([(gone.clone(), 1)])),
        ];
        for (call, outcome) in calls {
            assert!(
                matches!(outcome, Err(Error::UnknownTopic { was_deleted: true, .. })),
                "{call}: {outcome:?}"
            );
        }
        assert_eq!(alone.lag().unwrap(), 3, "of what there is");
        alone.seek_to_time(0).unwrap();
        let mut read = Vec::new();
        for _ in 0..9 {
            match alone.poll(Duration::ZERO) {
                Ok(records) => {
                    read.extend(records.iter().map(|record| (record.topic().to_owned(), record.offset())))
                }
                Err(error) => {
                    assert!(matches!(error, Error::UnknownTopic { was_deleted: true, .. }), "{error}")
                }
            }
        }
        assert_eq!(read, (0..3).map(|offset| ("other".to_owned(), offset)).collect::<Vec<_>>());
        alone.commit().unwrap();
        assert_eq!(store.committed(GROUP).into_keys().collect::<Vec<_>>(), [other]);
        // Paused, it is no more told of.
        alone.pause([gone, place(1)]).unwrap();
        assert!((0..4).all(|_| alone.poll(Duration::ZERO).unwrap().is_empty()));
        alone.close().unwrap();
    }
}

/// What the next reader of the group begins at is what a close is about.
#[test]
fn a_consumer_that_had_committed_all_could_not_be_closed_after_its_store() {
    let read = |start, is_committed: bool, most: usize| {
        let dir = fast_dir();
        let store = store(dir.path(), 3);
        send(&store, 0, 0..5);
        send(&store, 1, 0..2);
        let builder = store.consumer_builder().group(GROUP).start_from(start).max_poll_records(most);
        let mut billing = builder.auto_commit(Duration::from_secs(1000)).build().unwrap();
        billing.subscribe([TOPIC]).unwrap();
        if most == 9 {
            billing.poll(Duration::ZERO).unwrap();
        }
        if is_committed {
            billing.commit().unwrap();
        }
        store.close().unwrap();
        assert!(matches!(billing.commit(), Err(Error::StoreClosed { .. })));
        billing.close()
    };
    for start in [StartFrom::Earliest, StartFrom::Latest] {
        read(start, true, 9).unwrap();
        read(start, false, 1).unwrap();
    }
    match read(StartFrom::Earliest, false, 9).unwrap_err() {
        Error::NotCommitted { group, partitions, .. } => {
            assert_eq!((group.as_str(), partitions), (GROUP, vec![(place(0), 5), (place(1), 2)]));
        }
        other => panic!("{other:?}"),
    }
    // What comes next it would pass over: it began at the end.
    let error = read(StartFrom::Latest, false, 9).unwrap_err();
    assert_eq!(
        error.to_string(),
        "group \"billing\": the store was closed before offset 5 of orders-0 was committed, and those of 2 other partitions"
    );
}

#[test]
fn a_consumer_whose_topic_was_deleted_has_nothing_to_commit_after_the_close() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..5);
    let mut alone =
        store.consumer_builder().group(GROUP).auto_commit(Duration::from_secs(1000)).build().unwrap();
    alone.assign([place(0)]).unwrap();
    drain(&mut alone);
    store.delete_topic(TOPIC).unwrap();
    store.close().unwrap();
    alone.close().unwrap();
}

#[test]
fn a_member_has_nothing_of_a_topic_while_its_files_are_removed() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
    send(&store, 0, 0..3);
    let mut a = member(&store, "a");
    drain(&mut a);
    let mut own = store.consumer_builder().build().unwrap();
    own.assign([place(0)]).unwrap();
    let gate = Arc::new(Gate::default());
    let calls = [Call::Remove, Call::RemoveDir, Call::List, Call::Open];
    files.fail(&calls, "orders-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    std::thread::scope(|scope| {
        let deletion = scope.spawn(|| store.delete_topic(TOPIC).unwrap());
        gate.await_arrival();
        let (position, sought) = (a.position(place(0)), a.seek(place(0), 0));
        assert!(matches!(own.position(place(0)), Err(Error::UnknownTopic { was_deleted: true, .. })));
        gate.open();
        deletion.join().unwrap();
        assert!(matches!(position, Err(Error::NotAssigned { .. })), "{position:?}");
        assert!(matches!(sought, Err(Error::NotAssigned { .. })), "{sought:?}");
    });
    assert!(matches!(a.position(place(0)), Err(Error::NotAssigned { .. })));
}

/// Nothing has that time when it is looked for, and what is sent during the look has.
#[test]
fn seeking_by_time_passed_over_what_was_sent_during_the_look() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let builder = on_faulty(dir.path(), &files).read_mode(annals::ReadMode::Positional);
    let store = builder.open().unwrap();
    let config = TopicConfig::new().segment_bytes(1000).index_interval_bytes(100);
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    let send_at = |time: i64, bytes: usize| {
        let value = "x".repeat(bytes);
        partition.append(&[Record::new().value(&value).timestamp(time)], Durability::Os).unwrap().last_offset
    };
    // The only one so late is deleted, and still in its segment: there is no room for another.
    send_at(5000, 40);
    (0..30).for_each(|_| _ = send_at(1000, 40));
    files.fail(&[Call::Create], ".cleaned", (0, Times::ForEver), Fault::Error(28));
    assert!(!partition.delete_records(1).unwrap().is_freed);
    let mut reads = reader(&store, StartFrom::Earliest);
    assert_eq!(drain(&mut reads).len(), 30);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Read], "orders-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let sent = std::thread::scope(|scope| {
        let seeking = scope.spawn(|| reads.seek_to_time(4000).map(|()| reads));
        gate.await_arrival();
        // In a segment of its own, which comes after those that are looked through.
        let sent = send_at(6000, 800);
        gate.open();
        let mut reads = seeking.join().unwrap().unwrap();
        assert_eq!(drain(&mut reads), numbers(0, sent..sent + 1));
        sent
    });
    assert_eq!(sent, 31);
}
