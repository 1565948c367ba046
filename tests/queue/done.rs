//! What nobody needs any more goes, record by record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig, TopicPartition, WhenFull};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, Random, Times};

use crate::world::{World, take};

fn offsets(store: &Store) -> BTreeSet<i64> {
    let log = store.topic("log").unwrap().partition(0).unwrap();
    log.read(..).unwrap().into_iter().map(|record| record.unwrap().offset).collect()
}

/// With a topic `log` of small segments, some records in batches, some in transactions that were committed or aborted.
fn filled(random: &mut Random) -> World {
    let world = World::new(1);
    let config = TopicConfig::new().retention_until_consumed().segment_bytes(2048);
    let log = world.store.create_topic("log", config).unwrap().partition(0).unwrap();
    for _ in 0..30 {
        let records: Vec<_> =
            (0..=random.below(8)).map(|_| Record::to("log").value("something to do")).collect();
        if random.one_in(3) {
            let mut tx = world.store.transaction("t").unwrap();
            records.into_iter().for_each(|record| tx.send(record).unwrap());
            if random.one_in(2) { tx.commit().map(drop).unwrap() } else { tx.abort().unwrap() }
        } else {
            log.append(&records, Durability::Os).unwrap();
        }
    }
    // What a power cut leaves of it is not what is looked at.
    log.flush().unwrap();
    world
}

#[test]
fn what_all_have_done_goes_and_nothing_else_whatever_crashes() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let world = filled(&mut random);
        let before = offsets(&world.store);
        let (mut one, mut other) =
            (world.store.queue("log", "one").unwrap(), world.store.queue("log", "other").unwrap());
        let mut done = [BTreeSet::new(), BTreeSet::new()];
        let mut held = Vec::new();
        for (worker, done) in [&mut one, &mut other].into_iter().zip(&mut done) {
            for message in take(worker, 20 + usize::try_from(random.below(90)).unwrap()) {
                if random.one_in(5) {
                    held.push(message);
                } else {
                    done.insert(message.offset);
                    message.ack().unwrap();
                }
            }
        }
        let mut consumer = world.store.consumer("readers").unwrap();
        consumer.subscribe(["log"]).unwrap();
        drop(consumer.poll(Duration::ZERO).unwrap());
        let read = i64::try_from(random.below(100)).unwrap();
        consumer.commit_offsets([(TopicPartition::new("log", 0), read)]).unwrap();
        let reports = world.store.drop_done("log").unwrap();
        let gone = |offset: &i64| done.iter().all(|done| done.contains(offset)) && *offset < read;
        let left: BTreeSet<_> = before.iter().copied().filter(|offset| !gone(offset)).collect();
        assert_eq!(offsets(&world.store), left, "seed {seed}");
        assert_eq!(reports[0].records, (before.len() - left.len()) as u64);
        for next in [world.killed(), world.without_power()] {
            assert_eq!(offsets(&next.store), left);
            for (group, done) in ["one", "other"].into_iter().zip(&done) {
                let mut worker = next.store.queue("log", group).unwrap();
                let mut again = BTreeSet::new();
                loop {
                    let messages = take(&mut worker, 50);
                    if messages.is_empty() {
                        break;
                    }
                    for message in messages {
                        assert!(again.insert(message.offset));
                        message.ack().unwrap();
                    }
                }
                // The deletion rests on the answers: they are as durable.
                let owed: BTreeSet<_> = before.difference(done).copied().collect();
                assert_eq!(again, owed, "seed {seed}: {group}");
            }
        }
    }
}

#[test]
fn nothing_goes_that_nobody_has_done_or_that_is_to_be_kept() {
    let mut random = Random::new(7);
    let world = filled(&mut random);
    let before = offsets(&world.store);
    assert_eq!(world.store.drop_done("log").unwrap()[0].records, 0, "no queue has begun");
    take(&mut world.store.queue("log", "one").unwrap(), 9).into_iter().for_each(|one| one.ack().unwrap());
    let mut consumer = world.store.consumer("readers").unwrap();
    consumer.subscribe(["log"]).unwrap();
    drop(consumer.poll(Duration::ZERO).unwrap());
    assert_eq!(world.store.drop_done("log").unwrap()[0].records, 0, "a group has not committed yet");
    assert_eq!(offsets(&world.store), before);
    world.send(&["a"]);
    assert!(matches!(world.store.drop_done("jobs"), Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_queue_that_each_answer_empties_rolls_and_removes_no_segment_for_it() {
    let world = World::new(1);
    world.store.create_topic("log", TopicConfig::new().retention_until_consumed()).unwrap();
    let mut worker = world.store.queue("log", "one").unwrap();
    let mut consumer = world.store.consumer("readers").unwrap();
    consumer.subscribe(["log"]).unwrap();
    let counters = || {
        let counters = world.store.stats().unwrap().counters;
        (counters.rolls, counters.removed_segments, counters.syncs)
    };
    let before = counters();
    for number in 0..20 {
        world.store.producer().send(Record::to("log").value("something to do")).unwrap();
        world
            .store
            .schedule()
            .deliver_after(Record::to("jobs").value("later"), Duration::from_secs(1))
            .unwrap();
        drop(consumer.poll(Duration::ZERO).unwrap());
        consumer.commit().unwrap();
        match take(&mut worker, 1).remove(0) {
            message if number % 2 == 0 => message.ack().unwrap(),
            message => {
                let mut tx = world.store.transaction("t").unwrap();
                tx.ack(message);
                tx.commit().unwrap();
            }
        }
    }
    assert_eq!((counters().0, counters().1), (before.0, before.1));
    assert_eq!(world.store.topic("log").unwrap().partition(0).unwrap().start(), 0);
    // A round takes what all are done with, and one of nothing new takes nothing.
    world.store.maintain().unwrap();
    assert_eq!(offsets(&world.store), BTreeSet::new());
    assert_eq!(counters().0, before.0 + 1);
    world.store.maintain().unwrap();
    assert_eq!(counters().0, before.0 + 1);
}

#[test]
fn an_answer_makes_room_in_a_partition_that_is_smaller_than_a_segment() {
    for when_full in [WhenFull::Fail, WhenFull::Block] {
        let world = World::new(1);
        let config = TopicConfig::new().retention_until_consumed().size_limit(4000, when_full);
        world.store.create_topic("log", config).unwrap();
        let mut worker = world.store.queue("log", "one").unwrap();
        for _ in 0..500 {
            world.store.producer().send(Record::to("log").value(&[b'x'; 200])).unwrap();
            take(&mut worker, 1).remove(0).ack().unwrap();
        }
        let rolls = world.store.stats().unwrap().counters.rolls;
        assert!((20..=260).contains(&rolls), "{rolls}");
    }
}

#[test]
fn what_was_delivered_later_rolls_no_segment_of_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let mut worker = store.queue("jobs", "workers").unwrap();
    for _ in 0..6 {
        store.schedule().deliver_after(Record::to("jobs").value("later"), Duration::from_millis(66)).unwrap();
        worker.take(1, Duration::from_secs(60)).unwrap().ack().unwrap();
    }
    assert_eq!(store.stats().unwrap().counters.rolls, 0);
    let moved = |store: &Store| {
        let waiting = store.topic("__delayed_messages").unwrap().partitions();
        waiting.iter().map(|partition| (partition.start(), partition.end())).collect::<Vec<_>>()
    };
    assert!(moved(&store).iter().all(|(start, _)| *start == 0));
    store.maintain().unwrap();
    assert!(moved(&store).iter().any(|(start, _)| *start > 0), "a round takes what was moved");
}

/// A topic that is to keep what its queues have done keeps it as soon as that is said, whatever is at work by then.
#[test]
fn nothing_that_is_done_goes_by_settings_that_were_replaced() {
    let (disk, gate) = (FaultyFileSystem::over(Arc::new(MemoryFileSystem::new())), Arc::new(Gate::default()));
    let store =
        Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().retention_until_consumed().segment_bytes(1024);
    store.create_topic("log", config).unwrap();
    for _ in 0..60 {
        store.producer().send(Record::to("log").value("something to do")).unwrap();
    }
    let before = offsets(&store);
    let mut worker = store.queue("log", "one").unwrap();
    for message in worker.take(50, Duration::ZERO).unwrap() {
        if message.offset % 2 == 1 {
            message.ack().unwrap();
        }
    }
    disk.fail(&[Call::Create], ".cleaned", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    thread::scope(|scope| {
        let dropping = scope.spawn(|| store.drop_done("log"));
        gate.await_arrival();
        store.alter_topic("log", TopicConfig::new().unset("annals.retention.consumed")).unwrap();
        gate.open();
        let dropped = dropping.join().unwrap();
        assert!(dropped.as_ref().is_ok_and(|reports| reports[0].records == 0), "{dropped:?}");
    });
    assert_eq!(offsets(&store), before);
}
