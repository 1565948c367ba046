//! A position that cannot be committed, as a power cut may take back what it stands behind, is in the way of no other.

use std::time::Duration;

use annals::{Consumer, Durability, Error, Record, Result, TopicConfig};

use crate::transactions::laid_over::{World, is_poisoned};

/// A group at `Disk` that reads `in`, where a transaction at `Os` has committed 10 that cannot become durable, and `other`.
struct Doomed {
    world: World,
    consumer: Consumer,
}

impl Doomed {
    fn new(every: Duration) -> Self {
        let world = World::new();
        world.store.create_topic("other", TopicConfig::new()).unwrap();
        let builder = world.store.consumer_builder().group("g").commit_durability(Durability::Disk);
        let mut consumer = builder.auto_commit(every).build().unwrap();
        consumer.assign([("in", 0), ("other", 0)]).unwrap();
        world.step(&mut consumer, ("first", "x")).unwrap();
        world.poison();
        Self { world, consumer }
    }

    fn committed(&self) -> (Option<i64>, Option<i64>) {
        committed(&self.world)
    }

    /// One more record of `other` is read.
    fn read_other(&mut self) {
        send(&self.world, "other", Durability::Disk);
        while !self.consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    }
}

fn send(world: &World, topic: &str, durability: Durability) {
    world.partition(topic).append(&[Record::new().value("work")], durability).unwrap();
}

/// Of `in` and `other`.
fn committed(world: &World) -> (Option<i64>, Option<i64>) {
    let committed = world.store.committed("g");
    let at = |topic: &str| committed.get(&(topic, 0).into()).map(|at| at.offset);
    (at("in"), at("other"))
}

fn names_in(outcome: Result<()>) {
    match outcome {
        Err(Error::OffsetNotCommitted { group, partition, cause }) => {
            assert_eq!((group.as_str(), partition), ("g", ("in", 0).into()));
            is_poisoned(Err::<(), _>((*cause).clone()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_untouched_position_behind_a_doomed_transaction_refused_the_whole_commit() {
    const NEVER: Duration = Duration::from_secs(3600);
    for reads_on in [false, true] {
        for by_a_task in [false, true] {
            let mut doomed = Doomed::new(NEVER);
            for count in 1..4 {
                doomed.read_other();
                if reads_on {
                    doomed.world.read_ten(&mut doomed.consumer);
                }
                let consumer = &mut doomed.consumer;
                let told =
                    if by_a_task { smol::block_on(consumer.commit_async()) } else { consumer.commit() };
                names_in(told);
                assert_eq!(doomed.committed(), (Some(10), Some(count)), "{reads_on}, {by_a_task}");
            }
            // Nothing is left to commit, and what stands there may be taken back all the same.
            names_in(doomed.consumer.commit());
            doomed.consumer.seek_to_committed();
            let again = doomed.consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(again.len(), if reads_on { 30 } else { 0 });
            assert!(again.iter().all(|record| record.topic() == "in"), "others are done");
            doomed.read_other();
            names_in(doomed.consumer.close());
            assert_eq!(committed(&doomed.world), (Some(10), Some(4)));
            let world = doomed.world.after_a_power_cut();
            assert_eq!((committed(&world), world.values("x").len()), ((None, Some(4)), 0));
        }
    }
}

#[test]
fn given_offsets_of_which_one_is_over_a_doomed_transaction_are_all_refused() {
    let mut doomed = Doomed::new(Duration::MAX);
    doomed.read_other();
    let given = [("in", 10), ("other", 1)].map(|(topic, at)| ((topic, 0).into(), at));
    is_poisoned(doomed.consumer.commit_offsets(given));
    assert_eq!(doomed.committed(), (Some(10), Some(0)));
    doomed.consumer.commit_offsets([(("other", 0).into(), 1)]).unwrap();
    assert_eq!(doomed.committed(), (Some(10), Some(1)));
}

/// What stands in `in` cannot become durable: it was put there with something in `x`, or by who has seen that in `y`.
#[test]
fn an_untouched_position_behind_a_doomed_transaction_refused_a_whole_transaction_at_disk() {
    for seen_alone in [false, true] {
        for is_behind in [true, false] {
            let world = World::new();
            world.store.create_topic("other", TopicConfig::new()).unwrap();
            let mut consumer = world.store.consumer("g").unwrap();
            consumer.assign([("in", 0), ("other", 0)]).unwrap();
            send(&world, "in", Durability::Disk);
            let commit = |consumer: &mut Consumer| {
                while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
                consumer.commit().unwrap();
            };
            let both = |topics: [&str; 2]| {
                let mut tx = world.store.transaction("doomed").unwrap();
                for topic in topics {
                    tx.send(Record::to(topic).value("doomed")).unwrap();
                }
                tx.commit().unwrap();
            };
            if !is_behind {
                commit(&mut consumer);
                consumer.pause([("in", 0)]).unwrap();
            }
            if seen_alone {
                both(["x", "y"]);
                both(["y", "in"]);
            } else {
                both(["x", "in"]);
            }
            if is_behind {
                commit(&mut consumer);
            }
            world.poison();
            let step = |consumer: &Consumer, value: &str| {
                let tx = world.store.transaction_builder("step").durability(Durability::Disk);
                let mut tx = tx.begin().unwrap();
                tx.send(Record::to("results").value(value)).unwrap();
                tx.commit_offsets(consumer).unwrap();
                tx.commit()
            };
            world.store.create_topic("results", TopicConfig::new()).unwrap();
            let before = committed(&world).0;
            for count in 1..3 {
                send(&world, "other", Durability::Os);
                while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
                let told = step(&consumer, "of other");
                assert!(told.is_ok(), "{seen_alone}, {is_behind}, {count}: {told:?}");
                assert_eq!(committed(&world), (before, Some(count)));
            }
            // What was read there since refuses it.
            consumer.resume([("in", 0)]).unwrap();
            consumer.seek(("in", 0), 0).unwrap();
            while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
            is_poisoned(step(&consumer, "of in"));
            drop(consumer);
            let world = world.after_a_power_cut();
            assert_eq!((committed(&world).1, world.values("results").len()), (Some(2), 2));
            assert!(!world.values("in").contains(&"doomed".to_owned()) || seen_alone);
        }
    }
}
