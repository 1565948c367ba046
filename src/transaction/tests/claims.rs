//! Whose a consumer's positions are, where transactions end and begin in other threads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{Consumer, ConsumerBuilder};
use crate::doubles::MemoryFileSystem;
use crate::error::Error;
use crate::group::{Groups, IsOver, PendingOffsets};
use crate::io::{Clock, Directory, ManualClock};
use crate::topic::{TopicConfig, TopicContext, Topics};
use crate::types::{Durability, Record};
use crate::upkeep::Agenda;

struct World {
    topics: Arc<Topics>,
    groups: Arc<Groups>,
}

impl World {
    fn new() -> Self {
        let root = Directory::new(Arc::new(MemoryFileSystem::new()), Path::new("/store"));
        root.ensure().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(0));
        let agenda = Arc::new(Agenda::new(Duration::MAX, Duration::MAX));
        let topics = Arc::new(Topics::open(root, TopicContext::of_tests(&clock, &agenda)).unwrap());
        let groups = Groups::open(Arc::clone(&topics), clock).unwrap();
        topics.create("orders", &TopicConfig::new()).unwrap();
        let world = Self { topics, groups };
        world.append();
        world
    }

    fn append(&self) {
        let partition = self.topics.get("orders").unwrap().partition(0).unwrap();
        partition.append(&[Record::new().value("2 apples")], Durability::Os).unwrap();
    }

    fn consumer(&self) -> Consumer {
        let builder = ConsumerBuilder::new(Arc::clone(&self.topics), Arc::clone(&self.groups));
        let mut consumer = builder.group("billing").build().unwrap();
        consumer.assign([("orders", 0)]).unwrap();
        consumer
    }

    fn offsets(&self, is_over: &IsOver) -> PendingOffsets {
        PendingOffsets::new(&self.groups, is_over.clone())
    }
}

fn poll(consumer: &mut Consumer) -> Vec<i64> {
    consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset()).collect()
}

fn is_refused(outcome: Result<(), Error>, why: &str) {
    match outcome {
        Err(Error::InvalidArgument { reason }) if reason.contains(why) => {}
        other => panic!("{other:?}"),
    }
}

/// The first transaction is dropped in another thread while the positions for the second are gathered.
#[test]
fn records_of_a_transaction_that_was_dropped_as_the_next_one_began_were_skipped_for_ever() {
    let world = World::new();
    let mut consumer = world.consumer();
    assert_eq!(poll(&mut consumer), [0]);
    let mut first = world.offsets(&IsOver::default());
    first.set(consumer.pending().unwrap()).unwrap();
    world.append();
    assert_eq!(poll(&mut consumer), [1]);
    let behind = consumer.pending().unwrap();
    drop(first);
    let mut second = world.offsets(&IsOver::default());
    is_refused(second.set(behind), "goes back");
    assert_eq!(poll(&mut consumer), [0, 1], "what the first was to do is nobody's");
    second.set(consumer.pending().unwrap()).unwrap();
}

#[test]
fn a_transaction_that_is_over_changed_what_is_remembered_for_the_one_that_came_after_it() {
    let world = World::new();
    let mut consumer = world.consumer();
    poll(&mut consumer);
    let is_over = IsOver::default();
    let mut first = world.offsets(&is_over);
    first.set(consumer.pending().unwrap()).unwrap();
    is_over.set();
    poll(&mut consumer);
    let mut second = world.offsets(&IsOver::default());
    second.set(consumer.pending().unwrap()).unwrap();
    is_refused(first.set(consumer.pending().unwrap()), "has ended");
    drop(first);
    second.set(consumer.pending().unwrap()).unwrap();
}
