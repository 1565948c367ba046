//! Decisions whose markers are written, until these are durable.

use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use crate::doubles::{Call, Fault, Times};
use crate::error::Error;
use crate::log::EndsTransactions;
use crate::producer::ProducerBuilder;
use crate::types::{Durability, Record};

fn commit(world: &World, topics: [&str; 2]) {
    let mut tx = world.begin("t");
    topics.iter().for_each(|topic| tx.send(Record::to(topic).value("x")).unwrap());
    tx.commit().unwrap();
    world.transactions.finish().unwrap();
}

/// Its markers never become durable in this life.
#[test]
fn a_partition_whose_sync_failed_keeps_no_later_transactions_of_others_in_memory() {
    let world = World::new();
    commit(&world, ["one", "two"]);
    world.disk.fail(&[Call::Sync], "two", (0, Times::Once), Fault::Error(5));
    assert!(world.partition("two").flush().is_err());
    world.disk.heal();
    for _ in 0..1000 {
        commit(&world, ["one", "state"]);
        ["one", "state"].iter().for_each(|topic| world.partition(topic).flush().unwrap());
    }
    let waiting = world.transactions.outstanding.lock().settling.len();
    assert!((1..100).contains(&waiting), "{waiting}");
}

/// Where nothing is in their way they are so before long, and whoever ended something a week ago is forgotten meanwhile.
#[test]
fn ends_are_needed_where_one_is_not_durable_for_long() {
    let world = World::new();
    let is_needed = || world.transactions.needs_ends();
    commit(&world, ["one", "two"]);
    assert!(!is_needed(), "they are new");
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert!(is_needed());
    commit(&world, ["one", "state"]);
    world.partition("one").flush().unwrap();
    assert!(is_needed(), "a later one is no reason to forget");
    world.partition("two").flush().unwrap();
    assert!(!is_needed());
}

#[test]
fn a_thousand_decisions_that_cannot_be_ended_had_every_other_commit_write_all_ends() {
    let world = World::new();
    world.topics.create("other", &crate::topic::TopicConfig::new()).unwrap();
    world.disk.fail(&[Call::Sync], "two-0/00000000000000000000.log", (0, Times::ForEver), Fault::Error(5));
    let commit = |topics: [&str; 2]| {
        let mut tx = world.begin("a");
        topics.iter().for_each(|topic| tx.send(Record::to(topic).value("x")).unwrap());
        tx.commit().unwrap();
    };
    // With the last of them all ends are written, as far as that can be.
    (0..1000).for_each(|_| commit(["two", "state"]));
    assert!(world.partition("two").log().poisoned_by().is_some());
    world.disk.forget();
    (0..999).for_each(|_| commit(["one", "other"]));
    assert_eq!(world.disk.count(Call::Sync, "other-0/00000000000000000000.log"), 0);
    commit(["one", "other"]);
    assert!(world.disk.count(Call::Sync, "other-0/00000000000000000000.log") > 0, "as many again do it");
    assert_eq!(world.partition("other").log().finished(), world.partition("other").end());
}

/// Each run of it puts down the next as long as anything is left: two timers would be two for ever.
#[test]
fn tasks_that_commit_much_had_the_ends_written_by_more_timers_each_time() {
    let world = World::new();
    for _ in 0..3 {
        for _ in 0..1500 {
            let mut tx = world.begin("t");
            ["one", "two"].iter().for_each(|topic| tx.send(Record::to(topic).value("x")).unwrap());
            drop(tx.commit_async());
        }
        assert_eq!(world.agenda.timers(), 1);
    }
    let due = world.agenda.due();
    assert_eq!(due.len(), 1, "it is due at once");
    due.into_iter().for_each(|due| due.run().unwrap());
    assert_eq!(world.partition("one").log().finished(), world.partition("one").end());
    assert_eq!(world.agenda.timers(), 0);
}

/// Whoever commits to the disk has what earlier lives have left brought there, and waits for nothing else in their partitions.
#[test]
fn a_commit_beside_what_an_earlier_life_has_left_used_up_the_loss_of_a_sender() {
    let world = World::new();
    commit(&world, ["two", "state"]);
    world.append("one", "left", Durability::Os).unwrap();
    let world = world.next_life();
    let memory = ProducerBuilder::new(Arc::clone(&world.topics)).durability(Durability::Memory);
    let memory = memory.linger(Duration::from_secs(60)).build().unwrap();
    memory.send(Record::to("one").value("lost")).unwrap();
    world.disk.fail(&[Call::Write], "one-0", (0, Times::ForEver), Fault::Error(28));
    world.partition("one").log().write_queued();
    world.disk.heal();
    let mut tx = world.builder("t").durability(Durability::Disk).begin().unwrap();
    tx.send(Record::to("two").value("x")).unwrap();
    tx.commit().unwrap();
    let told = memory.flush();
    assert!(matches!(told, Err(Error::Lost { first: 1, last: 1, .. })), "{told:?}");
    memory.flush().unwrap();
    assert_eq!(world.values("one"), ["left"]);
}
