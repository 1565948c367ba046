//! Small scenes of transactions, each under thousands of schedules, chosen by the crate `shuttle`: see `log/tests/schedules/`.
//!
//! `ANNALS_TRANSACTION_SCHEDULES` is the number of schedules of all scenes together, 1,000 by default.

use std::collections::BTreeSet;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, MaxSteps, Runner};

use super::world::World;
use crate::error::Error;
use crate::log::EndsTransactions;
use crate::types::{Durability, Record};

const SCENES: usize = 8;

fn explore(scene: fn()) {
    let mut config = Config::new();
    config.stack_size = 512 << 10;
    config.max_steps = MaxSteps::FailAfter(2_000_000);
    if let Ok(schedule) = std::env::var("ANNALS_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(scene);
        return;
    }
    let total = std::env::var("ANNALS_TRANSACTION_SCHEDULES").map_or(1_000, |count| count.parse().unwrap());
    let half = (total / SCENES / 2).max(1);
    Runner::new(RandomScheduler::new(half), config.clone()).run(scene);
    Runner::new(PctScheduler::new(3, half), config).run(scene);
}

type Part = Box<dyn FnOnce() + Send>;

fn together(parts: Vec<Part>) {
    let threads: Vec<_> = parts.into_iter().map(shuttle::thread::spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Sends `value` to both topics, the first one named first.
fn send_both(tx: &mut crate::transaction::Transaction, topics: [&str; 2], value: &str) {
    for topic in topics {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
}

/// Both topics show the same transactions, all of these and none else; a next life shows the same.
fn check_both(world: &Arc<World>, must: &[&str], may: &[&str]) {
    let of = |topic| world.values(topic);
    let (one, two) = (of("one"), of("two"));
    let (first, second): (BTreeSet<_>, BTreeSet<_>) = (one.iter().collect(), two.iter().collect());
    assert_eq!(first, second, "half of a transaction is visible");
    assert!(must.iter().all(|value| one.iter().any(|found| found == value)), "{must:?}: {one:?}");
    assert!(
        one.iter().all(|found| must.contains(&found.as_str()) || may.contains(&found.as_str())),
        "{one:?}"
    );
    for topic in ["one", "two"] {
        assert_eq!(world.partition(topic).stable(), world.partition(topic).end(), "{topic}: left open");
    }
    world.transactions.finish().unwrap();
    assert_eq!((of("one"), of("two")), (one, two), "markers say something else");
}

#[test]
fn two_over_the_same_partitions_in_opposite_order_and_a_reader() {
    explore(|| {
        let world = Arc::new(World::new());
        let part = |name: &'static str, topics: [&'static str; 2]| -> Part {
            let world = Arc::clone(&world);
            Box::new(move || {
                let mut tx = world.begin(name);
                send_both(&mut tx, topics, name);
                tx.commit().unwrap();
            })
        };
        let reader = Arc::clone(&world);
        together(vec![
            part("a", ["one", "two"]),
            part("b", ["two", "one"]),
            Box::new(move || {
                for topic in ["two", "one", "two"] {
                    let values = reader.values(topic);
                    assert!(values.iter().all(|value| value == "a" || value == "b"), "{values:?}");
                }
            }),
        ]);
        check_both(&world, &["a", "b"], &[]);
        assert_eq!(world.values("one"), world.values("two"), "their order is that of one moment");
    });
}

#[test]
fn a_fencer_comes_before_a_commit_or_after_it() {
    explore(|| {
        let world = Arc::new(World::new());
        let mut first = world.begin("name");
        send_both(&mut first, ["one", "two"], "first");
        let (committer, fencer) = (Arc::clone(&world), Arc::clone(&world));
        let committed = Arc::new(crate::locks::AtomicBool::new(false));
        let outcome = Arc::clone(&committed);
        together(vec![
            Box::new(move || match first.commit() {
                Ok(_) => outcome.store(true, crate::locks::Ordering::SeqCst),
                Err(Error::Fenced { .. }) => drop(committer),
                Err(error) => panic!("{error}"),
            }),
            Box::new(move || {
                let mut second = fencer.begin("name");
                send_both(&mut second, ["two", "one"], "second");
                second.commit().unwrap();
            }),
        ]);
        let was_committed = committed.load(crate::locks::Ordering::SeqCst);
        let must: &[&str] = if was_committed { &["first", "second"] } else { &["second"] };
        check_both(&world, must, &[]);
    });
}

#[test]
fn two_in_opposite_order_a_reader_and_a_fencer() {
    explore(|| {
        let world = Arc::new(World::new());
        let mut first = world.begin("a");
        send_both(&mut first, ["one", "two"], "a");
        let committed = Arc::new(crate::locks::AtomicBool::new(false));
        let (outcome, other) = (Arc::clone(&committed), Arc::clone(&world));
        let (fencer, reader) = (Arc::clone(&world), Arc::clone(&world));
        together(vec![
            Box::new(move || match first.commit() {
                Ok(_) => outcome.store(true, crate::locks::Ordering::SeqCst),
                Err(Error::Fenced { .. }) => {}
                Err(error) => panic!("{error}"),
            }),
            Box::new(move || {
                let mut tx = other.begin_written("b");
                send_both(&mut tx, ["two", "one"], "b");
                tx.commit().unwrap();
            }),
            Box::new(move || {
                let mut tx = fencer.begin("a");
                send_both(&mut tx, ["two", "one"], "fencer");
                tx.commit().unwrap();
            }),
            Box::new(move || {
                for topic in ["two", "one", "two"] {
                    let values = reader.values(topic);
                    let is_known = |value: &String| ["a", "b", "fencer"].contains(&value.as_str());
                    assert!(values.iter().all(is_known), "{values:?}");
                }
            }),
        ]);
        let was_committed = committed.load(crate::locks::Ordering::SeqCst);
        let must: &[&str] = if was_committed { &["a", "b", "fencer"] } else { &["b", "fencer"] };
        check_both(&world, must, &[]);
    });
}

#[test]
fn a_commit_at_disk_takes_along_what_was_seen_a_moment_before() {
    explore(|| {
        let world = Arc::new(World::new());
        let (first, second) = (Arc::clone(&world), Arc::clone(&world));
        together(vec![
            Box::new(move || {
                let mut tx = first.begin("a");
                send_both(&mut tx, ["one", "two"], "a");
                tx.commit().unwrap();
            }),
            Box::new(move || {
                let has_seen = second.values("two") == ["a"];
                let mut tx = second.builder("b").durability(Durability::Disk).begin().unwrap();
                tx.send(Record::to("state").value("b")).unwrap();
                tx.expect_end(&second.partition("two"), i64::from(has_seen));
                match tx.commit() {
                    Ok(_) if has_seen => assert!(second.partition("one").durable() >= 1),
                    Ok(_) | Err(Error::UnexpectedEnd { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }),
        ]);
        check_both(&world, &["a"], &[]);
    });
}

#[test]
fn what_is_written_before_the_decision_is_fenced_whole() {
    explore(|| {
        let world = Arc::new(World::new());
        let mut first = world.begin_written("name");
        first.send(Record::to("one").value("first")).unwrap();
        let (fencer, other) = (Arc::clone(&world), Arc::clone(&world));
        let committed = Arc::new(crate::locks::AtomicBool::new(false));
        let outcome = Arc::clone(&committed);
        together(vec![
            Box::new(move || {
                let sent = first.send(Record::to("two").value("first"));
                match sent.and_then(|()| first.commit().map(drop)) {
                    Ok(()) => outcome.store(true, crate::locks::Ordering::SeqCst),
                    Err(Error::Fenced { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }),
            Box::new(move || drop(fencer.begin("name"))),
            Box::new(move || {
                let mut tx = other.begin("other");
                send_both(&mut tx, ["two", "one"], "other");
                tx.commit().unwrap();
                other.transactions.finish().unwrap();
            }),
        ]);
        let was_committed = committed.load(crate::locks::Ordering::SeqCst);
        let must: &[&str] = if was_committed { &["first", "other"] } else { &["other"] };
        check_both(&world, must, &[]);
    });
}

#[test]
fn of_two_that_rest_on_what_the_other_changes_one_takes_effect() {
    explore(|| {
        let world = Arc::new(World::new());
        let count = Arc::new(crate::locks::AtomicUsize::new(0));
        let part = |name: &'static str, sees: &'static str, writes: &'static str| -> Part {
            let (world, count) = (Arc::clone(&world), Arc::clone(&count));
            Box::new(move || {
                let mut tx = world.begin(name);
                tx.expect_end(&world.partition(sees), 0);
                tx.send(Record::to(writes).value(name)).unwrap();
                match tx.commit() {
                    Ok(_) => _ = count.fetch_add(1, crate::locks::Ordering::SeqCst),
                    Err(Error::UnexpectedEnd { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let appender = Arc::clone(&world);
        together(vec![
            part("a", "one", "two"),
            part("b", "two", "one"),
            Box::new(move || appender.append("state", "beside", Durability::Os).unwrap()),
        ]);
        assert_eq!(count.load(crate::locks::Ordering::SeqCst), 1, "write skew, or nobody got through");
    });
}

#[test]
fn one_that_makes_room_and_one_that_commits() {
    explore(|| {
        let world = Arc::new(World::new());
        let mut tx = world.begin_written("name");
        send_both(&mut tx, ["one", "two"], "first");
        let producer = world.partition("one").log().open_transactions()[0].producer_id;
        let clearer = Arc::clone(&world);
        let committed = Arc::new(crate::locks::AtomicBool::new(false));
        let outcome = Arc::clone(&committed);
        together(vec![
            Box::new(move || match tx.commit() {
                Ok(_) => outcome.store(true, crate::locks::Ordering::SeqCst),
                Err(Error::TransactionDisplaced { .. }) => {}
                Err(error) => panic!("{error}"),
            }),
            Box::new(move || {
                let one = clearer.partition("one");
                clearer.transactions.clear_away(one.topic_partition(), producer);
            }),
        ]);
        let was_committed = committed.load(crate::locks::Ordering::SeqCst);
        let must: &[&str] = if was_committed { &["first"] } else { &[] };
        check_both(&world, must, &[]);
    });
}

/// Nothing is in the partition.
#[derive(Debug)]
struct Nothing(crate::topic::Partition);

impl crate::transaction::Condition for Nothing {
    fn partitions(&self) -> Vec<crate::topic::Partition> {
        vec![self.0.clone()]
    }

    fn check(&self, held: &crate::transaction::Held<'_, '_>) -> crate::error::Result<()> {
        let mut is_any = false;
        held.each(&self.0, 0, |_| {
            is_any = true;
            false
        })?;
        if is_any { Err(Error::invalid("something is there")) } else { Ok(()) }
    }
}

#[test]
fn a_condition_sees_what_came_into_memory_a_moment_before() {
    explore(|| {
        let world = Arc::new(World::new());
        let (sender, appender) = (Arc::clone(&world), Arc::clone(&world));
        let committed = Arc::new(crate::locks::AtomicBool::new(false));
        let outcome = Arc::clone(&committed);
        together(vec![
            Box::new(move || {
                let mut tx = sender.begin("name");
                tx.send(Record::to("one").value("first")).unwrap();
                tx.expect(Nothing(sender.partition("one")));
                outcome.store(tx.commit().is_ok(), crate::locks::Ordering::SeqCst);
            }),
            Box::new(move || appender.append("one", "beside", Durability::Memory).unwrap()),
        ]);
        let was_committed = committed.load(crate::locks::Ordering::SeqCst);
        let values = world.values("one");
        assert_eq!(values[0] == "first", was_committed, "{values:?}");
    });
}
