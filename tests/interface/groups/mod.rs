//! Groups and what they commit; consumers and where they stand.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod damaged;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod large;
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

#[test]
fn two_members_in_two_threads_read_everything_exactly_once() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(5)).unwrap();
    let members = [member(&store, "a"), member(&store, "b")];
    let total = 5 * 400;
    let read = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for mut member in members {
            let read = &read;
            scope.spawn(move || {
                while read.lock().unwrap().len() < total {
                    let records = member.poll(Duration::from_millis(20)).unwrap();
                    read.lock()
                        .unwrap()
                        .extend(records.iter().map(|record| (record.partition(), record.offset())));
                    member.commit().unwrap();
                }
            });
        }
        for partition in 0..5 {
            let store = &store;
            scope.spawn(move || send(store, partition, 0..400));
        }
    });
    let read = read.into_inner().unwrap();
    assert_eq!(read.len(), total, "something was read twice");
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), total);
    assert_eq!(committed(&store), (0..5).map(|partition| (partition, 400)).collect());
}

#[test]
fn every_partition_has_one_owner_through_all_changes() {
    let dir = fast_dir();
    let store = store(dir.path(), 7);
    let check = |members: &mut [&mut Consumer]| {
        let mut owned = Vec::new();
        for member in members.iter_mut() {
            member.poll(Duration::ZERO).unwrap();
            owned.extend(member.assignment().iter().map(TopicPartition::partition));
        }
        owned.sort_unstable();
        assert_eq!(owned, (0..7).collect::<Vec<_>>());
    };
    let mut a = member(&store, "a");
    check(&mut [&mut a]);
    let mut b = member(&store, "b");
    check(&mut [&mut a, &mut b]);
    let mut c = member(&store, "c");
    check(&mut [&mut a, &mut b, &mut c]);
    b.unsubscribe();
    check(&mut [&mut a, &mut c]);
    assert_eq!(b.assignment(), []);
    c.close().unwrap();
    check(&mut [&mut a]);
    // Another topic for one of them changes nothing about this one.
    store.create_topic("payments", TopicConfig::new()).unwrap();
    b.subscribe([TOPIC, "payments"]).unwrap();
    let mut owned: Vec<_> = [&mut a, &mut b]
        .into_iter()
        .flat_map(|one| {
            one.poll(Duration::ZERO).unwrap();
            one.assignment()
        })
        .collect();
    owned.sort();
    let mut expected: Vec<_> = (0..7).map(place).collect();
    expected.push(TopicPartition::new("payments", 0));
    assert_eq!(owned, expected);
    assert_eq!(store.groups(), [GROUP]);
}

#[test]
fn whoever_takes_over_continues_at_what_was_committed() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..10));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 20);
    a.commit_offsets([(place(0), 4), (place(1), 10)]).unwrap();
    let mut b = member(&store, "b");
    assert_eq!(drain(&mut b), [], "partition 1 was done");
    drop(a);
    assert_eq!(drain(&mut b), numbers(0, 4..10));
    b.commit().unwrap();
    assert_eq!(committed(&store), [(0, 10), (1, 10)].into());
}

#[test]
fn a_member_that_lost_a_partition_cannot_commit_it() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..10));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 20);
    let mut b = member(&store, "b");
    b.poll(Duration::ZERO).unwrap();
    let lost = b.assignment()[0].clone();
    match a.commit() {
        Err(Error::NotAssigned { partition, group, member }) => {
            assert_eq!((partition, group.as_str(), member.as_str()), (lost, GROUP, a.member_id()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(committed(&store), BTreeMap::new(), "all or nothing");
    a.poll(Duration::ZERO).unwrap();
    a.commit().unwrap();
    assert_eq!(committed(&store).len(), 1);
    // A zombie: it left, and still thinks it owns something.
    a.unsubscribe();
    assert!(matches!(a.commit_offsets([(place(0), 1)]), Err(Error::NotAssigned { .. })));
    assert_eq!(committed(&store).values().collect::<Vec<_>>(), [&10]);
}

#[test]
fn a_partition_lost_and_regained_goes_on_at_what_was_committed_meanwhile() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    send(&store, 1, 0..10);
    let mut a = store.consumer_builder().group(GROUP).client_id("a").max_poll_records(3).build().unwrap();
    a.subscribe([TOPIC]).unwrap();
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 3);
    let mut b = member(&store, "b");
    assert_eq!(drain(&mut b), numbers(1, 0..10), "what was not committed is handed out again");
    b.commit().unwrap();
    drop(b);
    // It has not polled since, and knows of nothing.
    drop(a.commit());
    assert_eq!(committed(&store), [(1, 10)].into(), "a commit went backwards");
    assert_eq!(drain(&mut a), []);
    a.commit().unwrap();
    assert_eq!(committed(&store), [(0, 0), (1, 10)].into());
}

#[test]
fn commits_survive_a_reopen_and_a_kill() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let first = store(dir.path(), 2);
    send(&first, 0, 0..10);
    let mut a = member(&first, "a");
    drain(&mut a);
    a.commit().unwrap();
    drop(a);
    first.close().unwrap();
    let again = by_hand(dir.path()).open().unwrap();
    assert_eq!(committed(&again), [(0, 10), (1, 0)].into());
    send(&again, 0, 10..15);
    let mut a = member(&again, "a");
    assert_eq!(drain(&mut a), numbers(0, 10..15));
    a.commit_with_metadata([(place(0), 13)], "three to go\u{1f34e}").unwrap();
    std::mem::forget(a);
    kill_and_copy(again, dir.path(), copy.path());
    let after = by_hand(copy.path()).open().unwrap();
    let all = after.committed(GROUP);
    let at = &all[&place(0)];
    assert_eq!((at.offset, at.metadata.as_str()), (13, "three to go\u{1f34e}"));
    assert_eq!(drain(&mut member(&after, "a")), numbers(0, 13..15));
}

#[test]
fn a_committed_offset_above_the_recovered_end_is_set_back_durably_and_reported() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let before = store(dir.path(), 1);
    send(&before, 0, 0..5);
    before.producer().flush().unwrap();
    send(&before, 0, 5..10);
    let mut a = store_consumer_at_disk(&before);
    assert_eq!(drain(&mut a).len(), 10);
    a.commit().unwrap();
    std::mem::forget(a);
    kill_and_copy(before, dir.path(), copy.path());
    // The power cut took what was not synced: half of the tail.
    let log = &files_of(copy.path(), "orders-0", ".log")[0];
    let bytes = std::fs::read(log).unwrap();
    let kept = batch_ends(&bytes).iter().find(|(_, next)| *next == 7).unwrap().0;
    std::fs::write(log, &bytes[..usize::try_from(kept).unwrap()]).unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(copy.path(), &files).open().unwrap();
    let back: Vec<_> = store
        .offset_resets()
        .iter()
        .map(|back| (back.group.as_str(), back.topic_partition.clone(), back.committed, back.end))
        .collect();
    assert_eq!(back, [(GROUP, place(0), 10, 7)]);
    assert_eq!(committed(&store), [(0, 7)].into());
    let trace = files.trace();
    let written = trace.iter().rposition(|done| {
        done.call == Call::Write && done.path.ends_with("__consumer_offsets-0/00000000000000000000.log")
    });
    let synced = trace.iter().rposition(|done| {
        done.call == Call::Sync && done.path.ends_with("__consumer_offsets-0/00000000000000000000.log")
    });
    assert!(written.is_some() && written < synced, "it was not stored durably");
    // New records take the lost offsets; the group must see them.
    send(&store, 0, 100..103);
    assert_eq!(drain(&mut member(&store, "a")), numbers(0, 7..10));
    let last = fast_dir();
    kill_and_copy(store, copy.path(), last.path());
    let store = by_hand(last.path()).open().unwrap();
    assert_eq!((store.offset_resets().len(), committed(&store)), (0, [(0, 7)].into()), "once is enough");
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
fn new_partitions_are_shared_out() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    let (mut a, mut b) = (member(&store, "a"), member(&store, "b"));
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 0));
    store.add_partitions(TOPIC, 4).unwrap();
    (0..4).for_each(|partition| send(&store, partition, 0..3));
    let mut read = drain(&mut a);
    read.extend(drain(&mut b));
    read.sort_unstable();
    assert_eq!(read, (0..4).flat_map(|partition| numbers(partition, 0..3)).collect::<Vec<_>>());
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
}

#[test]
fn deleting_a_topic_forgets_its_offsets() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let store = store(dir.path(), 2);
    store.create_topic("payments", TopicConfig::new()).unwrap();
    send(&store, 0, 0..5);
    let mut a = store.consumer(GROUP).unwrap();
    a.subscribe([TOPIC, "payments"]).unwrap();
    drain(&mut a);
    a.commit_offsets([(place(0), 5), (TopicPartition::new("payments", 0), 0)]).unwrap();
    store.delete_topic(TOPIC).unwrap();
    let payments: Vec<_> = store.committed(GROUP).into_keys().collect();
    assert_eq!(payments, [TopicPartition::new("payments", 0)]);
    assert!(matches!(a.poll(Duration::ZERO), Err(Error::UnknownTopic { topic, .. }) if topic == TOPIC));
    assert_eq!(drain(&mut a), []);
    assert_eq!(a.assignment(), payments);
    // Another topic of the name begins at its beginning, for a member that polls in between and for one that does not.
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..2);
    assert_eq!(drain(&mut a), numbers(0, 0..2));
    store.delete_topic(TOPIC).unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0, 0..3);
    assert!(matches!(a.poll(Duration::ZERO), Err(Error::UnknownTopic { topic, .. }) if topic == TOPIC));
    assert_eq!(drain(&mut a), numbers(0, 0..3));
    std::mem::forget(a);
    kill_and_copy(store, dir.path(), copy.path());
    let store = by_hand(copy.path()).open().unwrap();
    assert_eq!(store.committed(GROUP).into_keys().collect::<Vec<_>>(), payments);
    store.delete_group(GROUP).unwrap();
    assert!(store.committed(GROUP).is_empty() && store.groups().is_empty());
}

#[test]
fn consumers_that_assign_themselves_do_not_disturb_each_other() {
    let dir = fast_dir();
    let store = store(dir.path(), 2);
    (0..2).for_each(|partition| send(&store, partition, 0..4));
    let mut alone = store.consumer_builder().build().unwrap();
    alone.assign([(TOPIC, 1)]).unwrap();
    let mut also = store.consumer_builder().group(GROUP).build().unwrap();
    also.assign([(TOPIC, 1), (TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(1, 0..4));
    assert_eq!(drain(&mut also).len(), 8);
    also.commit().unwrap();
    assert_eq!(committed(&store), [(0, 4), (1, 4)].into());
    assert!(store.consumer_builder().build().unwrap().committed((TOPIC, 0)).is_none());
    // A later one of the group begins there, one without a group at the beginning.
    also.assign([(TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut also), []);
    alone.assign([(TOPIC, 0)]).unwrap();
    assert_eq!(drain(&mut alone), numbers(0, 0..4));
    // A refused assignment changes nothing.
    assert!(alone.assign([(TOPIC, 1), (TOPIC, 9)]).is_err());
    assert_eq!(alone.assignment(), [place(0)]);
    // From assigned to subscribed and back.
    also.subscribe([TOPIC]).unwrap();
    assert_eq!(also.assignment(), [place(0), place(1)]);
    also.assign([(TOPIC, 1)]).unwrap();
    assert_eq!(member(&store, "a").assignment().len(), 2, "it is a member no more");
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
fn automatic_commits_take_what_earlier_polls_handed_out() {
    let dir = fast_dir();
    let store = store(dir.path(), 1);
    send(&store, 0, 0..6);
    let automatic = |every: Duration| {
        let builder = store.consumer_builder().group(GROUP).auto_commit(every).max_poll_records(2);
        let mut consumer = builder.build().unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        consumer
    };
    let mut a = automatic(Duration::ZERO);
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), BTreeMap::new(), "what is being worked on is not done");
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), [(0, 2)].into());
    drop(a);
    assert_eq!(committed(&store), [(0, 2)].into(), "dropping commits nothing");
    let mut a = automatic(Duration::from_secs(3600));
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 2);
    assert_eq!(committed(&store), [(0, 2)].into(), "it is not yet time");
    a.close().unwrap();
    assert_eq!(committed(&store), [(0, 6)].into(), "closing commits");
}

#[test]
fn a_failed_commit_commits_nothing() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
    (0..2).for_each(|partition| send(&store, partition, 0..5));
    let mut a = member(&store, "a");
    assert_eq!(drain(&mut a).len(), 10);
    a.commit_offsets([(place(0), 1), (place(1), 1)]).unwrap();
    files.fail_next(Call::Write, "__consumer_offsets-0", 28);
    let error = a.commit().unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    assert_eq!((committed(&store), a.committed((TOPIC, 0))), ([(0, 1), (1, 1)].into(), Some(1)));
    // One offset out of range refuses both.
    assert!(matches!(a.commit_offsets([(place(0), 2), (place(1), 6)]), Err(Error::OffsetOutOfRange { .. })));
    assert_eq!(committed(&store), [(0, 1), (1, 1)].into());
    a.commit().unwrap();
    assert_eq!(committed(&store), [(0, 5), (1, 5)].into());
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
