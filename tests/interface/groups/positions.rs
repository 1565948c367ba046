//! Positions: what is committed, what is deleted beneath them, and what they count.

use std::time::Duration;

use annals::{Durability, Record, StartFrom, TopicConfig};

use crate::common::{TOPIC, by_hand, fast_dir, on_faulty};
use crate::groups::{GROUP, committed, drain, member, numbers, place, reader, send, store};
use annals_testing::{Call, FaultyFileSystem};

#[test]
fn a_position_at_the_end_is_committed_though_no_record_was_read() {
    let dir = fast_dir();
    let first = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&first, partition, 0..3));
    let news = |store: &annals::Store, name: &str| {
        let builder = store.consumer_builder().group(GROUP).start_from(StartFrom::Latest).client_id(name);
        let mut consumer = builder.build().unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        consumer
    };
    let mut a = news(&first, "a");
    assert_eq!(drain(&mut a), []);
    a.commit().unwrap();
    assert_eq!(committed(&first), [(0, 3), (1, 3)].into());
    // A rebalance: whoever gets the partition goes on where its reader stood.
    send(&first, 1, 3..8);
    let mut b = news(&first, "b");
    assert_eq!(drain(&mut b), numbers(1, 3..8));
    drop((a, b));
    // A restart.
    first.close().unwrap();
    let again = by_hand(dir.path()).open().unwrap();
    send(&again, 0, 3..8);
    assert_eq!(drain(&mut news(&again, "c")), [numbers(0, 3..8), numbers(1, 3..8)].concat());
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
