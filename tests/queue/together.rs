//! Answers that are part of transactions, beside what rewrites the states and deletes what is done.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use annals::{Durability, Record, TopicConfig};

use crate::world::{World, take, values};

#[test]
fn a_power_cut_leaves_the_message_or_its_letter_whatever_was_written_of_its_state_meanwhile() {
    // As many changes as make a state be written anew, and as many as do not wait for it any longer.
    for changes in [1000, 4000] {
        let world = World::new(1);
        world.send(&["a", "b"]);
        world.store.producer().flush().unwrap();
        let mut worker = world.builder().delivery_limit(u16::MAX).build().unwrap();
        take(&mut worker, 1).remove(0).reject("bad").unwrap();
        for _ in 0..changes {
            take(&mut worker, 1).remove(0).release(Duration::ZERO).unwrap();
        }
        world.store.create_topic("elsewhere", TopicConfig::new()).unwrap();
        world.store.producer().send(Record::to("elsewhere").value("x")).unwrap();
        // The answer that is to survive a power cut takes all states along.
        let durable = world.store.queue_builder("elsewhere", "workers").durability(Durability::Disk);
        take(&mut durable.build().unwrap(), 1).remove(0).ack().unwrap();
        let after = world.without_power();
        let mut seen = values(&take(&mut after.builder().delivery_limit(u16::MAX).build().unwrap(), 9));
        if after.store.topic("jobs.workers.dead").is_ok() {
            seen.extend(after.values("jobs.workers.dead"));
        }
        seen.sort();
        assert_eq!(seen, ["a", "b"], "{changes} changes");
    }
}

#[test]
fn what_a_transaction_has_done_is_not_deleted_before_the_transaction_survives_a_power_cut() {
    for is_dropped in [true, false] {
        let world = World::new(1);
        let config = TopicConfig::new().retention_until_consumed().segment_bytes(1024);
        world.store.create_topic("log", config).unwrap();
        world.store.create_topic("results", TopicConfig::new()).unwrap();
        let value = [b'x'; 200];
        for _ in 0..20 {
            world.store.producer().send(Record::to("log").value(&value)).unwrap();
        }
        world.store.producer().flush().unwrap();
        let mut worker = world.store.queue("log", "workers").unwrap();
        let mut tx = world.store.transaction("t").unwrap();
        let mut messages = take(&mut worker, 20);
        // One that is out keeps whole segments, which would go with the commit.
        let _first = is_dropped.then(|| messages.remove(0));
        for message in messages {
            tx.send(Record::to("results").value("done")).unwrap();
            tx.ack(message);
        }
        tx.commit().unwrap();
        if is_dropped {
            world.store.drop_done("log").unwrap();
        } else {
            world.store.apply_retention().unwrap();
        }
        let after = world.without_power();
        let results = after.values("results").len();
        let left = take(&mut after.store.queue("log", "workers").unwrap(), 99).len();
        assert_eq!(results + left, 20, "{results} results, and {left} messages");
    }
}

#[test]
fn a_commit_with_answers_and_offsets_makes_room_without_waiting_for_itself() {
    let (told, tells) = channel();
    thread::spawn(move || {
        let world = World::new(1);
        let config = TopicConfig::new().retention_until_consumed().segment_bytes(1024);
        world.store.create_topic("log", config).unwrap();
        let value = [b'x'; 200];
        for _ in 0..40 {
            world.store.producer().send(Record::to("log").value(&value)).unwrap();
        }
        let (mut one, mut two) =
            (world.store.queue("log", "one").unwrap(), world.store.queue("log", "two").unwrap());
        let mut consumer = world.store.consumer("readers").unwrap();
        consumer.subscribe(["log"]).unwrap();
        let mut tx = world.store.transaction("t").unwrap();
        while consumer.lag().unwrap() > 0 {
            drop(consumer.poll(Duration::ZERO).unwrap());
        }
        tx.commit_offsets(&consumer).unwrap();
        for message in take(&mut one, 40).into_iter().chain(take(&mut two, 40)) {
            tx.ack(message);
        }
        tx.commit().unwrap();
        told.send(world.store.topic("log").unwrap().partition(0).unwrap().start()).unwrap();
    });
    let start = tells.recv_timeout(Duration::from_secs(20)).expect("the commit waits for itself");
    assert!(start > 20, "{start}: the commit has made room");
}

#[test]
fn what_was_delivered_is_not_deleted_from_the_schedule_before_its_delivery_survives_a_power_cut() {
    let world = World::new(1);
    let value = vec![b'x'; 1_000_000];
    let schedule = world.store.schedule().durability(Durability::Disk);
    for _ in 0..20 {
        schedule.deliver_after(Record::to("jobs").value(&value), Duration::from_millis(16)).unwrap();
    }
    world.clock.advance(Duration::from_millis(16));
    world.store.maintain().unwrap();
    let jobs = |world: &World| world.store.topic("jobs").unwrap().partition(0).unwrap();
    assert_eq!(jobs(&world).read(..).unwrap().into_iter().count(), 20);
    let after = world.without_power();
    after.store.maintain().unwrap();
    assert_eq!(jobs(&after).read(..).unwrap().into_iter().count(), 20);
}

#[test]
fn states_are_written_anew_though_every_answer_is_of_a_transaction() {
    const MESSAGES: usize = 2000;
    let world = World::new(1);
    world.store.create_topic("results", TopicConfig::new()).unwrap();
    let jobs: Vec<_> = (0..MESSAGES).map(|_| Record::new().value("x")).collect();
    world.store.topic("jobs").unwrap().partition(0).unwrap().append(&jobs, Durability::Disk).unwrap();
    thread::scope(|scope| {
        for number in 0..3 {
            let store = &world.store;
            scope.spawn(move || {
                let mut worker = store.queue("jobs", "workers").unwrap();
                while let Some(message) = take(&mut worker, 1).pop() {
                    let mut tx = store.transaction(&format!("worker {number}")).unwrap();
                    tx.send(Record::to("results").value("done")).unwrap();
                    tx.ack(message);
                    tx.commit().unwrap();
                }
            });
        }
    });
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    let records = states.read(..).unwrap().into_iter().map(|record| record.unwrap().key.unwrap());
    let snapshots = records.filter(|key| key.starts_with(&[0, 0])).count();
    assert!(snapshots > 1, "one that each of {MESSAGES} answers was added to");
    for after in [world.killed(), world.without_power()] {
        let results = after.values("results").len();
        let left = take(&mut after.worker(), MESSAGES + 1).len();
        assert_eq!(results + left, MESSAGES, "{results} results, {left} left");
    }
}
