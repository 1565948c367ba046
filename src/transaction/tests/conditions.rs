//! What has to hold at the moment of a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::world::World;
use crate::error::{Error, Result};
use crate::locks::Mutex;
use crate::log::Holding;
use crate::topic::Partition;
use crate::transaction::{Condition, Held};
use crate::types::{Durability, Record};

/// So many records with that value are there and may come to be, those apart that the transaction itself has written.
#[derive(Debug)]
struct Count {
    partition: Partition,
    value: &'static str,
    expected: usize,
    /// How often it was checked.
    checks: Arc<AtomicUsize>,
}

impl Condition for Count {
    fn partitions(&self) -> Vec<Partition> {
        vec![self.partition.clone()]
    }

    fn check(&self, held: &Held<'_, '_>) -> Result<()> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        let mut found = 0;
        held.each(&self.partition, self.partition.start(), |record| {
            let is_own = held.own(&self.partition).any(|own| own.contains(&record.offset()));
            found += usize::from(!is_own && record.value() == Some(self.value.as_bytes()));
            true
        })?;
        if found == self.expected { Ok(()) } else { Err(Error::invalid(format!("{found} are there"))) }
    }
}

fn count(world: &World, topic: &str, value: &'static str, expected: usize) -> (Count, Arc<AtomicUsize>) {
    let checks = Arc::new(AtomicUsize::new(0));
    (Count { partition: world.partition(topic), value, expected, checks: Arc::clone(&checks) }, checks)
}

#[test]
fn a_condition_sees_what_is_in_memory_and_what_is_not_decided_and_nothing_that_was_aborted() {
    let world = World::new();
    world.append("one", "x", Durability::Os).unwrap();
    let mut aborted = world.begin_written("aborted");
    aborted.send(Record::to("one").value("x")).unwrap();
    drop(aborted);
    let mut undecided = world.begin_written("undecided");
    undecided.send(Record::to("one").value("x")).unwrap();
    // Behind it, and in memory alone.
    world.append("one", "x", Durability::Memory).unwrap();
    assert!(world.partition("one").next_offset() > world.partition("one").end());
    for (expected, holds) in [(1, false), (2, false), (3, true), (4, false)] {
        let mut tx = world.begin("a");
        tx.send(Record::to("two").value("because")).unwrap();
        tx.expect(count(&world, "one", "x", expected).0);
        assert_eq!(tx.commit().is_ok(), holds, "{expected}");
    }
    assert_eq!(world.values("two"), ["because"]);
    drop(undecided);
    let mut tx = world.begin("a");
    tx.send(Record::to("two").value("two are left")).unwrap();
    tx.expect(count(&world, "one", "x", 2).0);
    tx.commit().unwrap();
    assert_eq!(world.values("one").len(), 2);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody else appends")]
fn nobody_appends_between_a_condition_and_the_records_it_is_for() {
    /// Lets another thread begin an append to its partition, and gives it time.
    #[derive(Debug)]
    struct Slow(Partition);
    impl Condition for Slow {
        fn partitions(&self) -> Vec<Partition> {
            vec![self.0.clone()]
        }
        fn check(&self, held: &Held<'_, '_>) -> Result<()> {
            let partition = self.0.clone();
            std::thread::spawn(move || partition.append(&[Record::new().value("late")], Durability::Os));
            std::thread::sleep(Duration::from_millis(20));
            assert_eq!(held.end(&self.0).unwrap(), 0);
            Ok(())
        }
    }
    let world = World::new();
    let mut tx = world.begin("a");
    tx.send(Record::to("one").value("first")).unwrap();
    // Of a partition that it writes to, and of one that it does not.
    tx.expect(Slow(world.partition("one")));
    tx.expect(Slow(world.partition("two")));
    tx.commit().unwrap();
    while world.values("one").len() + world.values("two").len() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(
        (world.values("one"), world.values("two")),
        (vec!["first".into(), "late".into()], vec!["late".into()])
    );
}

#[test]
fn a_condition_holds_until_the_commit_though_records_were_written_before() {
    let world = World::new();
    world.append("one", "seen", Durability::Os).unwrap();
    for elsewhere in [false, true] {
        let (seen, other) = (world.partition("one").end(), world.partition("two").end());
        let mut tx = world.begin_written("a");
        tx.expect_end(&world.partition("one"), seen);
        tx.expect_end(&world.partition("two"), other);
        // Its own records are no append of another.
        for _ in 0..3 {
            tx.send(Record::to("two").value("because")).unwrap();
            tx.send(Record::to("one").value("because")).unwrap();
        }
        if elsewhere {
            world.append("one", "somebody else's", Durability::Os).unwrap();
        }
        let outcome = tx.commit();
        assert_eq!(outcome.is_err(), elsewhere, "{outcome:?}");
    }
    assert_eq!(world.values("two").len(), 3);
    let (condition, checks) = count(&world, "one", "because", 3);
    let mut tx = world.begin_written("a");
    tx.expect(condition);
    tx.send(Record::to("one").value("because")).unwrap();
    tx.send(Record::to("two").value("because")).unwrap();
    tx.commit().unwrap();
    assert_eq!(checks.load(Ordering::SeqCst), 3, "at each write and at the commit");
}

#[test]
fn what_a_condition_refuses_has_changed_nothing() {
    let world = World::new();
    world.append("one", "x", Durability::Os).unwrap();
    let ends = ["one", "two", "state"].map(|topic| world.partition(topic).end());
    let mut tx = world.begin("a");
    tx.send(Record::to("two").value("never")).unwrap();
    tx.send(Record::to("state").value("never")).unwrap();
    tx.expect(count(&world, "one", "x", 0).0);
    assert!(tx.commit().is_err());
    assert_eq!(ends, ["one", "two", "state"].map(|topic| world.partition(topic).next_offset()));
}

#[test]
fn a_partition_that_can_know_no_more_producers_could_not_be_looked_at() {
    let world = World::new();
    let mut number = 0;
    let refused = loop {
        let mut tx = world.begin(&number.to_string());
        tx.send(Record::to("two").value("x")).unwrap();
        match tx.commit() {
            Ok(_) => number += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused:?}");
    assert!(number > 100);
    let mut tx = world.begin("looks");
    tx.send(Record::to("one").value("x")).unwrap();
    tx.expect_end(&world.partition("two"), world.partition("two").end());
    tx.commit().unwrap();
}

/// What others need to meet them they hold for a moment only: that can be waited for.
#[test]
fn what_a_partition_requires_is_met_without_a_lock_by_a_transaction_that_waits_for_no_room() {
    let world = World::new();
    let met = Arc::new(Mutex::new(Vec::new()));
    for topic in ["one", "two"] {
        let met = Arc::clone(&met);
        let partition = world.partition(topic);
        assert!(partition.log().require(move |holding| {
            met.lock().push((topic, holding));
            Ok(())
        }));
    }
    let mut tx = world.builder("t").without_waiting().begin().unwrap();
    tx.send(Record::to("one").value("x")).unwrap();
    tx.expect_end(&world.partition("two"), 0);
    tx.commit().unwrap();
    assert_eq!(*met.lock(), [("one", Holding::Nothing), ("two", Holding::Nothing)]);
}
