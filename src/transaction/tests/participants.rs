//! Layers that take part with records of their own.

use std::sync::Arc;

use super::world::World;
use crate::doubles::{Call, Fault, Times};
use crate::error::{Error, Result};
use crate::locks::{Mutex, MutexGuard};
use crate::topic::{Contribution, Entry, Outcome, Participant, Partition, Prepared, WrittenIn};
use crate::transaction::Transaction;
use crate::types::{Durability, Record};

/// A layer whose state is the sum of its records.
#[derive(Debug, Default)]
struct Counter {
    sum: Mutex<i64>,
    /// How its transactions have ended.
    ends: Mutex<Vec<Outcome>>,
}

/// What it wants of a transaction.
#[derive(Debug)]
struct Adding {
    counter: Arc<Counter>,
    topic: &'static str,
    partition: Partition,
    add: i64,
    input: Option<(Partition, i64)>,
    /// The state may not become greater.
    most: i64,
}

struct PreparedAdding<'a> {
    adding: &'a Adding,
    sum: MutexGuard<'a, i64>,
    contribution: Contribution,
}

impl Participant for Adding {
    fn topic(&self) -> &'static str {
        self.topic
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let sum = self.counter.sum.lock();
        if self.add == 0 {
            return Ok(None);
        }
        if *sum + self.add > self.most {
            return Err(Error::invalid("too much"));
        }
        let value = Some(self.add.to_string().into_bytes());
        let entries = vec![Entry { key: b"sum".to_vec(), value }];
        let inputs = self.input.clone().into_iter().collect();
        let contribution = Contribution {
            partition: self.partition.clone(),
            entries,
            inputs,
            behind: Vec::new(),
            owners: vec![b"sum".to_vec()],
            laid_over: Vec::new(),
            written_in: WrittenIn::default(),
        };
        Ok(Some(Box::new(PreparedAdding { adding: self, sum, contribution })))
    }
}

impl Prepared for PreparedAdding<'_> {
    fn contribution(&self) -> &Contribution {
        &self.contribution
    }

    fn end(mut self: Box<Self>, outcome: Outcome) {
        if outcome == Outcome::Applied {
            *self.sum += self.adding.add;
        }
        self.adding.counter.ends.lock().push(outcome);
    }
}

fn add(world: &World, tx: &mut Transaction, counter: &Arc<Counter>, more: i64) {
    let begin = || Adding {
        counter: Arc::clone(counter),
        topic: "state",
        partition: world.partition("state"),
        add: 0,
        input: None,
        most: 10,
    };
    tx.take_part(begin, |adding| adding.add += more);
}

fn ends(counter: &Counter) -> Vec<Outcome> {
    counter.ends.lock().clone()
}

#[test]
fn what_a_layer_writes_takes_effect_with_the_records_or_not_at_all() {
    let world = World::new();
    let counter = Arc::new(Counter::default());
    let mut tx = world.begin("a");
    tx.send(Record::to("one").value("with 5")).unwrap();
    add(&world, &mut tx, &counter, 2);
    add(&world, &mut tx, &counter, 3);
    tx.commit().unwrap();
    assert_eq!(
        (world.values("state"), *counter.sum.lock()),
        (vec!["5".to_owned()], 5),
        "one part of each type"
    );

    let mut dropped = world.begin("b");
    add(&world, &mut dropped, &counter, 1);
    drop(dropped);
    let mut refused = world.begin_written("c");
    refused.send(Record::to("one").value("refused")).unwrap();
    add(&world, &mut refused, &counter, 6);
    assert!(matches!(refused.commit(), Err(Error::InvalidArgument { .. })));
    assert_eq!(
        world.partition("one").stable(),
        world.partition("one").end(),
        "what was written is aborted at once"
    );
    let mut unmet = world.begin("d");
    add(&world, &mut unmet, &counter, 1);
    unmet.expect_end(&world.partition("one"), 0);
    assert!(matches!(unmet.commit(), Err(Error::UnexpectedEnd { .. })));

    assert_eq!(ends(&counter), [Outcome::Applied, Outcome::Aborted]);
    assert_eq!((world.values("state"), *counter.sum.lock()), (vec!["5".to_owned()], 5));
    assert_eq!(world.values("one"), ["with 5"]);
    let next = world.next_life();
    assert_eq!((next.values("state"), next.values("one")), (vec!["5".to_owned()], vec!["with 5".to_owned()]));
}

#[test]
fn a_part_alone_is_a_transaction_too() {
    let world = World::new();
    let counter = Arc::new(Counter::default());
    let mut tx = world.begin("a");
    add(&world, &mut tx, &counter, 4);
    assert_eq!(tx.commit().unwrap().batches.len(), 1);
    assert_eq!(world.next_life().values("state"), ["4"]);
    assert_eq!(ends(&counter), [Outcome::Applied]);
}

#[test]
fn a_layer_is_told_when_nobody_knows_how_a_transaction_has_ended() {
    for path in ["__transaction_state-0", "one-0", "state-0"] {
        let world = World::new();
        let counter = Arc::new(Counter::default());
        // All topics are written to: the first write to one syncs too, and fails for sure.
        world.append("one", "before", Durability::Os).unwrap();
        let mut first = world.begin("a");
        add(&world, &mut first, &counter, 1);
        first.commit().unwrap();
        let mut tx = world.builder("a").durability(Durability::Disk).begin().unwrap();
        tx.send(Record::to("one").value("with 2")).unwrap();
        add(&world, &mut tx, &counter, 2);
        world.disk.fail(&[Call::Sync], path, (0, Times::ForEver), Fault::Error(5));
        assert!(matches!(tx.commit(), Err(Error::Undecided { .. })), "{path}");
        assert_eq!((ends(&counter), *counter.sum.lock()), (vec![Outcome::Applied, Outcome::Unknown], 1));
        assert_eq!(world.values("one"), ["before"], "readers wait");
        let next = world.next_life();
        // All that was written is there after a kill: it is committed, in both.
        assert_eq!((next.values("state").len(), next.values("one").len()), (2, 2), "{path}");
    }
}

#[test]
fn what_a_layer_rests_on_is_part_of_the_decision() {
    let world = World::new();
    let counter = Arc::new(Counter::default());
    world.append("two", "input", Durability::Os).unwrap();
    let mut tx = world.builder("a").durability(Durability::Disk).begin().unwrap();
    add(&world, &mut tx, &counter, 1);
    let input = world.partition("two");
    tx.take_part(|| -> Adding { unreachable!() }, |adding| adding.input = Some((input.clone(), 0)));
    assert_eq!(input.durable(), 0);
    tx.commit().unwrap();
    assert_eq!(input.durable(), 1, "synced with it");
}

#[test]
fn what_a_layer_rests_on_is_durable_before_the_end_is_written() {
    let world = World::new();
    let counter = Arc::new(Counter::default());
    world.append("two", "input", Durability::Os).unwrap();
    let mut tx = world.begin("a");
    tx.send(Record::to("one").value("with 1")).unwrap();
    add(&world, &mut tx, &counter, 1);
    let input = world.partition("two");
    tx.take_part(|| -> Adding { unreachable!() }, |adding| adding.input = Some((input.clone(), 0)));
    tx.commit().unwrap();
    assert_eq!((input.durable(), world.partition("one").end()), (0, 1), "at `Os`");
    world.transactions.finish().unwrap();
    assert_eq!((input.durable(), world.partition("one").end()), (1, 2));
}
