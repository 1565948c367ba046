//! Groups and queues, whose states all stand in the same partitions: what one rests on is nothing to another.

use std::time::Duration;

use annals::{Consumer, Durability, Message, Record, Result, TopicConfig, Transaction};
use annals_testing::{Call, Fault, Times};

use crate::transactions::laid_over::{World, is_poisoned};

/// In `x`, at a position in `in` of group `g`, and with an answer to a message of `jobs`: what is seen there rests on `x`, which cannot be synced.
fn with_a_topic_in_the_way() -> World {
    let world = World::new();
    for topic in ["jobs", "other-jobs"] {
        world.store.create_topic(topic, TopicConfig::new()).unwrap();
        (0..3).for_each(|_| append(&world, topic));
    }
    let mut consumer = world.consumer(Durability::Os);
    world.read_ten(&mut consumer);
    let mut tx = begin(&world, Durability::Os, "x");
    tx.commit_offsets(&consumer).unwrap();
    tx.ack(take(&world, "jobs", Durability::Os));
    tx.commit().unwrap();
    world.poison();
    world
}

fn append(world: &World, topic: &str) {
    world.partition(topic).append(&[Record::new().value("work")], Durability::Disk).unwrap();
}

fn begin(world: &World, durability: Durability, to: &str) -> Transaction {
    let mut tx = world.store.transaction_builder("a worker").durability(durability).begin().unwrap();
    tx.send(Record::to(to).value("done")).unwrap();
    tx
}

fn take(world: &World, topic: &str, durability: Durability) -> Message {
    let mut worker = world.store.queue_builder(topic, "workers").durability(durability).build().unwrap();
    worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap()
}

/// One that has read all of a topic.
fn reader(world: &World, group: &str, topic: &str) -> Consumer {
    let mut consumer = world.store.consumer_builder().group(group).build().unwrap();
    consumer.assign([(topic, 0)]).unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer
}

/// Says at `Disk` where a consumer is.
fn commit(world: &World, consumer: &Consumer, to: &str) -> Result<()> {
    let mut tx = begin(world, Durability::Disk, to);
    tx.commit_offsets(consumer)?;
    tx.commit().map(drop)
}

#[test]
fn one_topic_that_cannot_be_synced_refused_the_commits_at_disk_of_all_groups_and_queues() {
    let world = with_a_topic_in_the_way();
    let answer = || {
        let mut tx = begin(&world, Durability::Disk, "y");
        tx.ack(take(&world, "other-jobs", Durability::Disk));
        tx.commit().map(drop)
    };
    let outcomes = [
        commit(&world, &reader(&world, "h", "in"), "y"),
        // The same group elsewhere.
        commit(&world, &reader(&world, "g", "jobs"), "y"),
        answer(),
        take(&world, "other-jobs", Durability::Disk).reject("no"),
    ];
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let next = world.after_a_power_cut();
    assert_eq!(next.values("y"), ["done"; 3]);
    assert_eq!(next.values("other-jobs.workers.dead").len(), 1);
    let at =
        |group: &str, topic: &str| next.store.committed(group).get(&(topic, 0).into()).map(|at| at.offset);
    assert_eq!((at("h", "in"), at("g", "jobs"), at("g", "in")), (Some(10), Some(3), None));
    let mut worker = next.store.queue("other-jobs", "workers").unwrap();
    assert_eq!(worker.take(9, Duration::ZERO).unwrap().into_iter().count(), 1);
}

#[test]
fn what_rests_on_a_topic_that_cannot_be_synced_was_not_refused() {
    let world = with_a_topic_in_the_way();
    append(&world, "in");
    is_poisoned(commit(&world, &reader(&world, "g", "in"), "y"));
    let mut tx = begin(&world, Durability::Disk, "y");
    tx.ack(take(&world, "jobs", Durability::Disk));
    is_poisoned(tx.commit());
    // Whoever looks at all that groups have committed has seen that, too.
    let mut tx = begin(&world, Durability::Disk, "y");
    let offsets = world.partition("__consumer_offsets");
    tx.expect_end(&offsets, offsets.end());
    is_poisoned(tx.commit());
}

/// The earlier transaction is on the disk, and what it had seen by a condition is not.
#[test]
fn what_the_earlier_position_of_a_group_has_seen_was_not_taken_along() {
    for is_refused in [false, true] {
        let world = World::new();
        let mut consumer = world.consumer(Durability::Os);
        world.read_ten(&mut consumer);
        let seen = world.partition("y");
        seen.append(&[Record::new().value("seen")], Durability::Os).unwrap();
        let mut tx = begin(&world, Durability::Os, "x");
        tx.expect_end(&seen, 1);
        tx.commit_offsets(&consumer).unwrap();
        tx.commit().unwrap();
        world.partition("x").flush().unwrap();
        assert_eq!(seen.durable(), 0);
        if is_refused {
            world.disk.fail(&[Call::Sync], "y-0", (0, Times::ForEver), Fault::Error(5));
            seen.flush().unwrap_err();
        }
        append(&world, "in");
        world.store.create_topic("z", TopicConfig::new()).unwrap();
        let (other, later) = (reader(&world, "h", "in"), reader(&world, "g", "in"));
        commit(&world, &other, "z").unwrap();
        if is_refused {
            is_poisoned(commit(&world, &later, "z"));
            continue;
        }
        assert_eq!(seen.durable(), 0, "it is nothing to another group");
        commit(&world, &later, "z").unwrap();
        let next = world.after_a_power_cut();
        assert_eq!(next.values("y"), ["seen"]);
    }
}
