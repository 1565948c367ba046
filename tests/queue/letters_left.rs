//! Dead letters of a topic that was deleted, and of another that has its name.

use std::sync::{Arc, Mutex};

use annals::{DeadLetter, Error, Record, Store, TopicConfig};
use annals_testing::MemoryFileSystem;

use crate::clocks::HoldingClock;
use crate::world::{World, open_with, take};

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Some messages with keys, all of which are given up.
fn given_up(world: &World, value: &str, to: Option<&str>) {
    KEYS.iter().for_each(|key| {
        world.store.producer().send(Record::to("jobs").key(key).value(value)).unwrap();
    });
    let builder = world.builder();
    let builder = to.into_iter().fold(builder, annals::QueueBuilder::dead_letter_topic);
    for message in take(&mut builder.build().unwrap(), 10) {
        message.reject("bad").unwrap();
    }
}

fn made_again(world: &World, partitions: u32) {
    world.store.delete_topic("jobs").unwrap();
    world.store.create_topic("jobs", TopicConfig::new().partitions(partitions)).unwrap();
}

fn of(letters: &[DeadLetter], value: &str) -> usize {
    letters.iter().filter(|letter| letter.record().value.as_deref() == Some(value.as_bytes())).count()
}

pub(crate) fn is_gone<T: std::fmt::Debug>(sent: annals::Result<T>) -> bool {
    match sent {
        Err(Error::UnknownTopic { was_deleted, .. }) => was_deleted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn letters_of_a_deleted_topic_are_not_sent_into_another_of_its_name() {
    let world = World::new(7);
    given_up(&world, "old", None);
    made_again(&world, 2);
    given_up(&world, "new", None);
    for world in [world.killed(), world] {
        let mut own = world.store.dead_letters("jobs", "workers").unwrap();
        let taken = own.take(100).unwrap();
        assert_eq!((of(&taken, "new"), of(&taken, "old"), taken.len()), (6, 6, 12));
        drop(taken);
        let mut all = world.store.dead_letters_in("jobs.workers.dead", "jobs", "workers").unwrap();
        let taken = all.take(100).unwrap();
        assert_eq!((of(&taken, "new"), of(&taken, "old"), taken.len()), (6, 6, 12));
        for (number, letter) in taken.into_iter().enumerate() {
            let is_old = of(std::slice::from_ref(&letter), "old") == 1;
            assert_eq!(letter.is_of_deleted_topic(), is_old);
            if is_old && number % 2 == 0 {
                all.discard(letter).unwrap();
            } else if is_old {
                assert!(is_gone(all.send_back(letter)));
            }
        }
        assert_eq!(own.redrive(100).unwrap(), 6);
        assert_eq!(world.values("jobs").iter().filter(|value| *value == "old").count(), 0);
        let taken = all.take(100).unwrap();
        assert_eq!((of(&taken, "old"), taken.len()), (3, 3), "what was dropped does not come again");
        let stats = world.store.stats().unwrap().queues;
        let letters: Vec<_> = stats.iter().filter(|queue| queue.letters_of.is_some()).collect();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].waiting, letters[0].locked), (0, 3));
    }
}

#[test]
fn letters_of_a_deleted_topic_are_handed_out_and_not_sent_back() {
    let world = World::new(7);
    given_up(&world, "old", None);
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    let first = letters.take(1).unwrap().remove(0);
    letters.discard(first).unwrap();
    drop(letters);
    world.store.delete_topic("jobs").unwrap();
    for world in [world.killed(), world] {
        let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
        let taken = letters.take(100).unwrap();
        assert_eq!((of(&taken, "old"), taken.len()), (5, 5));
        taken.into_iter().for_each(|letter| {
            assert!(letter.is_of_deleted_topic());
            assert!(is_gone(letters.send_back(letter)));
        });
    }
}

#[test]
fn letters_in_a_shared_topic_go_back_to_their_own_topic() {
    let world = World::new(3);
    world.store.create_topic("dead", TopicConfig::new()).unwrap();
    given_up(&world, "old", Some("dead"));
    made_again(&world, 1);
    given_up(&world, "new", Some("dead"));
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(letters.redrive(100).unwrap(), 6);
    assert_eq!(world.values("jobs"), ["new"; 12]);
}

/// As letters of before were written.
#[test]
fn letters_that_do_not_say_which_topic_they_are_of_are_handed_out_by_its_name() {
    let world = World::new(1);
    world.store.create_topic("dead", TopicConfig::new()).unwrap();
    let said = [("topic", "jobs"), ("partition", "0"), ("offset", "7"), ("group", "workers")];
    let said = said.into_iter().chain([("delivery.count", "5"), ("message", "bad")]);
    let names: Vec<_> = said.map(|(name, text)| (format!("__dlq.errors.{name}"), text)).collect();
    let letter = Record::to("dead").key("k").value("old").header("own", "x");
    let letter = names.iter().fold(letter, |letter, (name, text)| letter.header(name, text));
    world.store.producer().send(letter).unwrap();
    world.store.delete_topic("jobs").unwrap();
    // Whoever has made its queue did so by the name alone.
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(of(&letters.take(9).unwrap(), "old"), 1);
    drop(letters);
    world.store.create_topic("jobs", TopicConfig::new()).unwrap();
    given_up(&world, "new", Some("dead"));
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    let taken = letters.take(9).unwrap();
    assert_eq!((of(&taken, "old"), of(&taken, "new")), (1, 6));
    let old = taken.into_iter().find(|letter| letter.offset == 7).unwrap();
    assert_eq!(old.record().headers.len(), 1);
    letters.send_back(old).unwrap();
    assert_eq!(world.values("jobs").last().map(String::as_str), Some("old"));
}

/// Has `one` run with a message that was given up, in another thread, and a topic deleted and made again at each of its looks at the clock. What
/// it is to see then is told by `check`, with whether `one` went well.
fn made_again_meanwhile(
    topic: &'static str,
    begin: impl Fn(&Store) -> Box<dyn FnOnce() -> annals::Result<()> + Send>,
    check: impl Fn(&World, annals::Result<()>),
) {
    let mut calls = 0;
    loop {
        let (disk, manual) = (MemoryFileSystem::new(), World::new(1).clock);
        let clock = HoldingClock::over(&manual);
        let store = open_with(&disk, Arc::clone(&clock) as _);
        ["jobs", "dead"]
            .iter()
            .for_each(|topic| drop(store.create_topic(topic, TopicConfig::new()).unwrap()));
        store.producer().send(Record::to("jobs").key("k").value("old")).unwrap();
        let (one, other) = (begin(&store), store.clone());
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let was_held = clock.between(
            calls,
            move || *told.lock().unwrap() = Some(one()),
            move || {
                other.delete_topic(topic).unwrap();
                other.create_topic(topic, TopicConfig::new()).unwrap();
            },
        );
        let outcome = outcome.lock().unwrap().take().unwrap();
        check(&World { disk, clock: manual, store }, outcome);
        if !was_held {
            break;
        }
        calls += 1;
    }
    assert!(calls > 2, "{calls}");
}

#[test]
fn a_letter_was_sent_into_a_topic_that_had_taken_the_name_meanwhile() {
    let begin = |store: &Store| {
        let mut worker = store.queue("jobs", "workers").unwrap();
        take(&mut worker, 1).remove(0).reject("bad").unwrap();
        let mut letters = store.dead_letters("jobs", "workers").unwrap();
        let letter = letters.take(1).unwrap().remove(0);
        Box::new(move || letters.send_back(letter)) as Box<dyn FnOnce() -> annals::Result<()> + Send>
    };
    made_again_meanwhile("jobs", begin, |world, sent| {
        assert_eq!(world.values("jobs"), [""; 0]);
        // What was sent back in time has gone with its topic.
        let left = world.store.dead_letters("jobs", "workers").unwrap().take(9).unwrap();
        assert_eq!(left.len(), usize::from(sent.is_err()), "{sent:?}");
        if sent.is_err() {
            assert!(is_gone(sent));
        }
    });
}

#[test]
fn a_letter_in_a_topic_that_had_taken_the_name_meanwhile_was_in_no_figures() {
    let begin = |store: &Store| {
        let builder = store.queue_builder("jobs", "workers").dead_letter_topic("dead");
        let message = take(&mut builder.build().unwrap(), 1).remove(0);
        Box::new(move || message.reject("bad")) as Box<dyn FnOnce() -> annals::Result<()> + Send>
    };
    made_again_meanwhile("dead", begin, |world, rejected| {
        let letters = world.values("dead").len();
        let stats = world.store.stats().unwrap().queues;
        let waiting: u64 =
            stats.iter().filter(|queue| queue.letters_of.is_some()).map(|queue| queue.waiting).sum();
        assert_eq!(waiting, letters as u64, "{rejected:?}");
    });
}
