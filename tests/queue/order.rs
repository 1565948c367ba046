//! Order by key, and priorities.

use std::sync::Arc;
use std::time::Duration;

use annals::{Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use crate::world::{World, take, value, values};

#[test]
fn at_most_one_message_of_a_key_is_out_and_a_slow_one_holds_up_nobody_else() {
    let world = World::new(1);
    world.send_keyed(&[("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3"), ("b", "b2")]);
    world.send(&["free", "free too"]);
    let mut worker = world.builder().ordered_by_key().build().unwrap();
    let mut first = take(&mut worker, 10);
    assert_eq!(values(&first), ["a1", "b1", "free", "free too"]);
    first.remove(1).ack().unwrap();
    let second = take(&mut worker, 10);
    assert_eq!(values(&second), ["b2"]);
    // A key that is tried again keeps its place.
    first.remove(0).release(Duration::from_secs(5)).unwrap();
    assert!(take(&mut worker, 10).is_empty());
    world.pass(5);
    let again = take(&mut worker, 10).remove(0);
    assert_eq!(value(&again), "a1");
    again.reject("never").unwrap();
    let third = take(&mut worker, 10);
    assert_eq!(values(&third), ["a2"]);
}

#[test]
fn order_is_kept_over_a_restart_and_by_workers_that_come_later() {
    let world = World::new(1);
    world.send_keyed(&[("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("a", "a3")]);
    let mut worker = world.builder().delivery_limit(50).ordered_by_key().build().unwrap();
    let mut out = take(&mut worker, 10);
    out.remove(1).ack().unwrap();
    assert_eq!(values(&take(&mut worker, 10)), ["b2"], "and is dropped");
    let next = world.killed();
    let mut worker = next.builder().delivery_limit(50).ordered_by_key().build().unwrap();
    let out = take(&mut worker, 10);
    assert_eq!(values(&out), ["a1", "b2"]);
    drop(out);
    drop(worker);
    let mut free = next.builder().delivery_limit(50).build().unwrap();
    assert_eq!(values(&take(&mut free, 10)), ["a1", "a2", "b2", "a3"], "no order was asked for");
    drop(free);
    let mut worker = next.builder().delivery_limit(50).ordered_by_key().build().unwrap();
    assert_eq!(values(&take(&mut worker, 10)), ["a1", "b2"]);
}

#[test]
fn a_key_whose_records_retention_has_taken_goes_on() {
    let world = World::new(1);
    world.send_keyed(&[("a", "a1"), ("a", "a2"), ("a", "a3")]);
    let mut worker = world.builder().ordered_by_key().build().unwrap();
    let first = take(&mut worker, 10);
    assert_eq!(values(&first), ["a1"]);
    world.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(2).unwrap();
    assert_eq!(values(&take(&mut worker, 10)), ["a3"]);
    let lost = first.into_iter().next().unwrap().ack();
    assert!(matches!(lost, Err(Error::LockLost { .. })), "{lost:?}");
}

#[test]
fn a_higher_topic_comes_first_and_the_lower_ones_have_their_share() {
    let world = World::new(1);
    for topic in ["urgent", "bulk"] {
        world.store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    for number in 0..40 {
        for topic in ["urgent", "jobs", "bulk"] {
            let value = format!("{topic} {number}");
            world.store.producer().send(Record::to(topic).value(&value)).unwrap();
        }
    }
    let builder = world.store.queue_builder("urgent", "workers").then("jobs").then("bulk");
    let mut worker = builder.clone().lower_share(4).build().unwrap();
    let mut topics = Vec::new();
    for _ in 0..16 {
        let message = take(&mut worker, 1).remove(0);
        topics.push(message.topic.to_string());
        message.ack().unwrap();
    }
    let count = |topic: &str| topics.iter().filter(|other| *other == topic).count();
    assert_eq!((count("urgent"), count("jobs"), count("bulk")), (12, 2, 2), "{topics:?}");
    let mut strict = builder.strict_priority().build().unwrap();
    for _ in 0..28 {
        let message = take(&mut strict, 1).remove(0);
        assert_eq!(&*message.topic, "urgent");
        message.ack().unwrap();
    }
    assert_eq!(&*take(&mut strict, 1)[0].topic, "jobs");
}

#[test]
fn a_topic_that_was_deleted_kept_a_worker_from_all_lower_ones() {
    let world = World::new(1);
    for topic in ["urgent", "bulk"] {
        world.store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    world.send(&["a", "b", "c", "d"]);
    let builder = world.store.queue_builder("urgent", "workers").then("jobs").then("bulk");
    let mut worker = builder.strict_priority().build().unwrap();
    for topic in ["urgent", "bulk"] {
        world.store.delete_topic(topic).unwrap();
    }
    let (mut taken, mut told) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        match worker.take(1, Duration::ZERO) {
            Ok(messages) => taken.extend(messages),
            Err(Error::UnknownTopic { topic, was_deleted: true, .. }) => told.push(topic),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(values(&taken), ["a", "b", "c", "d"]);
    // In turn, and of the lower one too, once there is nothing that comes first.
    assert_eq!((told.len(), told.iter().filter(|topic| *topic == "bulk").count()), (8, 2), "{told:?}");
}

/// The highest topic always has a message, but never as many as are asked for.
#[test]
fn a_topic_that_fails_behind_one_that_always_has_something_kept_its_failure_to_itself() {
    let world = World::new(1);
    for topic in ["gone", "bulk"] {
        world.store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    let builder = world.store.queue_builder("jobs", "workers").then("gone").then("bulk");
    let mut worker = builder.strict_priority().build().unwrap();
    world.store.delete_topic("gone").unwrap();
    world.store.producer().send(Record::to("bulk").value("bulk")).unwrap();
    let (mut taken, mut told) = (Vec::new(), 0);
    for _ in 0..6 {
        world.send(&["x"]);
        match worker.take(9, Duration::ZERO) {
            Ok(messages) => taken.extend(messages),
            Err(Error::UnknownTopic { topic, was_deleted: true, .. }) if topic == "gone" => told += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(told, 3, "in turn with what the others have");
    assert!(values(&taken).contains(&"bulk".to_owned()), "{taken:?}");
}

#[test]
fn a_partition_that_cannot_be_read_kept_a_worker_from_all_behind_it() {
    for is_behind in [false, true] {
        let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let store = Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
        let store = store.open().unwrap();
        store.create_topic("hot", TopicConfig::new()).unwrap();
        store.create_topic("cold", TopicConfig::new().partitions(4)).unwrap();
        for partition in 0..4 {
            let value = partition.to_string();
            store.producer().send(Record::to("cold").partition(partition).value(&value)).unwrap();
        }
        let mut worker = if is_behind {
            store.queue_builder("hot", "workers").then("cold").build().unwrap()
        } else {
            store.queue("cold", "workers").unwrap()
        };
        disk.fail(&[Call::Read, Call::Map], "cold-0", (0, Times::ForEver), Fault::Error(5));
        let (mut taken, mut told) = (Vec::new(), 0);
        for _ in 0..8 {
            store.producer().send(Record::to("hot").value("hot")).unwrap();
            match worker.take(9, Duration::ZERO) {
                Ok(messages) => taken.extend(messages),
                Err(error) => told += usize::from(matches!(error, Error::Io { .. })),
            }
            assert!(taken.len() >= 3, "all that can be read, at once: {taken:?}");
        }
        let mut cold = values(&taken);
        cold.retain(|value| value != "hot");
        cold.sort_unstable();
        assert_eq!(cold, ["1", "2", "3"], "behind another: {is_behind}");
        assert_eq!(told, if is_behind { 4 } else { 7 });
    }
}

/// Until then nobody had asked for an order.
#[test]
fn a_queue_that_comes_to_keep_order_keeps_delays() {
    let world = World::new(1);
    world.send_keyed(&[("k", "k1"), ("k", "k2"), ("l", "l1"), ("l", "l2")]);
    let mut worker = world.worker();
    for message in take(&mut worker, 9) {
        let delay = match value(&message).as_str() {
            "k2" => Duration::from_secs(3600),
            "l2" => Duration::from_secs(5),
            _ => Duration::ZERO,
        };
        message.release(delay).unwrap();
    }
    drop(worker);
    let mut ordered = world.builder().ordered_by_key().build().unwrap();
    let mut out = take(&mut ordered, 9);
    assert_eq!(values(&out), ["k1", "l1"]);
    out.remove(0).ack().unwrap();
    world.pass(6);
    assert!(take(&mut ordered, 9).is_empty(), "the one is delayed, and the other behind one that is out");
    out.remove(0).ack().unwrap();
    let mut next = take(&mut ordered, 9);
    assert_eq!(values(&next), ["l2"]);
    next.remove(0).ack().unwrap();
    world.pass(3600);
    assert_eq!(values(&take(&mut ordered, 9)), ["k2"]);
}
