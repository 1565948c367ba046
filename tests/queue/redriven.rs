//! What sending letters back leaves in the store, and what is in its way.

use std::collections::BTreeSet;

use annals::{Error, Record, TopicConfig};

use crate::world::{World, take, value};

/// Sends messages and gives all of them up.
fn rejected(world: &World, jobs: &[&str]) {
    world.send(jobs);
    for message in take(&mut world.worker(), jobs.len()) {
        let name = value(&message);
        message.reject(&format!("{name} is bad")).unwrap();
    }
}

#[test]
fn handles_that_send_letters_back_one_after_the_other_leave_no_name_each() {
    let world = World::new(1);
    for number in 0..20 {
        rejected(&world, &[&format!("{number}")]);
        assert_eq!(world.store.dead_letters("jobs", "workers").unwrap().redrive(1).unwrap(), 1);
        take(&mut world.worker(), 1).remove(0).ack().unwrap();
    }
    let two = [0, 1].map(|_| world.store.dead_letters("jobs", "workers").unwrap());
    rejected(&world, &["x", "y"]);
    two.into_iter().for_each(|mut letters| assert_eq!(letters.redrive(1).unwrap(), 1));
    let decisions = world.store.topic("__transaction_state").unwrap().partition(0).unwrap();
    let keys = decisions.read(..).unwrap().into_iter().map(|record| record.unwrap().key.unwrap_or_default());
    let names: BTreeSet<_> =
        keys.filter(|key| key.windows(14).any(|part| part == b"annals.redrive")).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Letters of a deleted topic, more than a queue can have taken of one partition, each beside a record that is none.
fn many_of_a_deleted_topic(world: &World) {
    let said = [("topic", "jobs"), ("partition", "0"), ("offset", "7"), ("group", "workers")];
    let said = said.into_iter().chain([("delivery.count", "5"), ("message", "bad")]);
    let names: Vec<_> = said.map(|(name, text)| (format!("__dlq.errors.{name}"), text)).collect();
    let id = format!("{:032x}", 7);
    let letter =
        names.iter().fold(Record::to("dead").value("old"), |letter, (name, text)| letter.header(name, *text));
    let letter = letter.header("annals.letter.topic.id", &id);
    let batch: Vec<_> = (0..500).flat_map(|_| [letter.clone(), Record::to("dead").value("none")]).collect();
    (0..70).for_each(|_| _ = world.store.producer().send_batch(&batch).unwrap());
}

#[test]
fn redriving_did_not_reach_the_letters_behind_thousands_of_a_deleted_topic() {
    let world = World::new(1);
    world.store.create_topic("dead", TopicConfig::new()).unwrap();
    many_of_a_deleted_topic(&world);
    world.send(&["a", "b", "c"]);
    let mut worker = world.builder().dead_letter_topic("dead").build().unwrap();
    take(&mut worker, 9).into_iter().for_each(|message| message.reject("bad").unwrap());
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(letters.redrive(2).unwrap(), 2);
    assert_eq!(letters.redrive(9).unwrap(), 1);
    assert_eq!(letters.redrive(9).unwrap(), 0);
    assert_eq!(world.values("jobs"), ["a", "b", "c", "a", "b", "c"]);
    let queues = world.store.stats().unwrap().queues;
    let figures = queues.iter().find(|queue| queue.letters_of.is_some()).unwrap();
    assert_eq!((figures.waiting, figures.locked), (35_000, 0), "what was passed over is free");
    let mut others = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    let left = others.take(150).unwrap();
    assert_eq!(left.len(), 150);
    assert!(left.iter().all(annals::DeadLetter::is_of_deleted_topic));
}

#[test]
fn redriving_takes_no_letter_that_another_has() {
    let world = World::new(2);
    rejected(&world, &["a", "b", "c", "d", "e"]);
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    let out = letters.take(2).unwrap();
    let mut others = world.store.dead_letters("jobs", "workers").unwrap();
    assert_eq!(others.redrive(9).unwrap(), 3);
    assert_eq!(others.redrive(9).unwrap(), 0);
    drop(out);
    assert_eq!(others.redrive(1).unwrap(), 1);
    let next = world.killed();
    let mut letters = next.store.dead_letters("jobs", "workers").unwrap();
    assert_eq!(letters.redrive(9).unwrap(), 1);
    let mut jobs = next.values("jobs");
    jobs.sort();
    assert_eq!(jobs, ["a", "a", "b", "b", "c", "c", "d", "d", "e", "e"]);
}

/// How the letter goes that was taken with others and is the last of them: erased, or with the topic of its message.
#[test]
fn redriving_ended_at_a_letter_that_was_gone_since_it_was_taken() {
    const LETTERS: usize = 200;
    for is_erased in [true, false] {
        // Whether it goes while it is taken is a matter of time.
        let is_met = (0..60).any(|_| {
            let world = World::new(1);
            let keys: Vec<_> = (0..LETTERS).map(|number| format!("k{number}")).collect();
            world.send_keyed(&keys.iter().map(|key| (key.as_str(), key.as_str())).collect::<Vec<_>>());
            for message in take(&mut world.worker(), LETTERS) {
                message.reject("bad").unwrap();
            }
            let jobs = world.store.topic("jobs").unwrap().partition(0).unwrap();
            let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
            let sent = std::thread::scope(|scope| {
                let redriving = scope.spawn(|| letters.redrive(LETTERS));
                while jobs.next_offset() == i64::try_from(LETTERS).unwrap() && !redriving.is_finished() {
                    std::hint::spin_loop();
                }
                if is_erased {
                    world.store.erase("jobs", keys.last().unwrap()).unwrap();
                } else {
                    world.store.delete_topic("jobs").unwrap();
                }
                redriving.join().unwrap().expect("what is gone is passed over")
            });
            if is_erased && sent < LETTERS {
                assert_eq!(sent, LETTERS - 1);
                assert!(!world.values("jobs").contains(keys.last().unwrap()));
                assert_eq!(letters.redrive(LETTERS).unwrap(), 0);
            }
            sent < LETTERS
        });
        assert!(is_met, "erased: {is_erased}");
    }
}

/// Its topic takes no message as large by now. Nor does a letter that is refused for its own sake keep others from it the next time.
#[test]
fn redriving_ended_at_each_call_at_a_letter_that_its_topic_does_not_take() {
    let world = World::new(1);
    let large = "x".repeat(5000);
    rejected(&world, &["a", &large, "b"]);
    world.store.alter_topic("jobs", TopicConfig::new().max_message_bytes(2000)).unwrap();
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    for _ in 0..2 {
        let refused = letters.redrive(9);
        assert!(matches!(refused, Err(Error::RecordTooLarge { .. })), "{refused:?}");
        assert_eq!(world.values("jobs")[3..], ["a", "b"]);
    }
    assert_eq!(letters.take(9).unwrap().len(), 1, "it stays where it is");
}
