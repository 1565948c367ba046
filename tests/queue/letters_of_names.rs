//! Dead letters are handed out by the name of their topic and their group, whichever topics have or had that name, and whatever was forgotten.

use std::sync::Arc;
use std::time::Duration;

use annals::{CleanupPolicy, DeadLetters, Durability, Error, Record, Store, TopicConfig, WhenFull};
use annals_testing::{Image, MemoryFileSystem};

use crate::letters_left::is_gone;
use crate::world::{World, open_with, take};

/// One message that is given up.
fn reject(store: &Store, value: &str, to: Option<&str>) {
    store.producer().send(Record::to("jobs").key("k").value(value)).unwrap();
    let builder = store.queue_builder("jobs", "workers");
    let mut worker = to.into_iter().fold(builder, annals::QueueBuilder::dead_letter_topic).build().unwrap();
    take(&mut worker, 9).into_iter().for_each(|message| message.reject("bad").unwrap());
}

fn made_again(store: &Store) {
    store.delete_topic("jobs").unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
}

/// The values of all letters there are, which stay where they are.
fn shown(letters: &mut DeadLetters) -> Vec<String> {
    let taken = letters.take(99).unwrap();
    let values = taken.iter().map(|letter| letter.record().value.clone().unwrap());
    values.map(|value| String::from_utf8(value).unwrap()).collect()
}

#[test]
fn compaction_keeps_the_letters_of_a_deleted_topic_beside_those_of_another_of_its_name() {
    let World { store, clock, .. } = World::new(1);
    let compacted = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    store.create_topic("dead", compacted.delete_retention(Duration::ZERO)).unwrap();
    reject(&store, "old", Some("dead"));
    made_again(&store);
    reject(&store, "new", Some("dead"));
    // Compaction stops at what has no end.
    store.maintain().unwrap();
    let dead = store.topic("dead").unwrap();
    let stored = dead.partition(0).unwrap().read(..).unwrap().into_iter();
    let mut keys: Vec<_> = stored.map(|record| record.unwrap().key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 2, "{keys:?}");
    dead.compact().unwrap();
    clock.advance(Duration::from_secs(1));
    dead.compact().unwrap();
    let mut letters = store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(shown(&mut letters), ["old", "new"]);
}

#[test]
fn letters_of_deleted_topics_are_handed_out_after_their_group_was_deleted() {
    for is_made_again in [false, true] {
        for group_first in [false, true] {
            for to in [None, Some("dead")] {
                let World { store, .. } = World::new(1);
                store.create_topic("dead", TopicConfig::new()).unwrap();
                reject(&store, "old", to);
                if group_first {
                    store.delete_group("workers").unwrap();
                }
                store.delete_topic("jobs").unwrap();
                if !group_first {
                    store.delete_group("workers").unwrap();
                }
                if is_made_again {
                    store.create_topic("jobs", TopicConfig::new()).unwrap();
                }
                let mut all = vec![];
                all.push(
                    store.dead_letters_in(to.unwrap_or("jobs.workers.dead"), "jobs", "workers").unwrap(),
                );
                if to.is_none() {
                    all.push(store.dead_letters("jobs", "workers").unwrap());
                }
                all.iter_mut().for_each(|letters| assert_eq!(shown(letters), ["old"]));
                let letter = all[0].take(1).unwrap().remove(0);
                all[0].discard(letter).unwrap();
                all.iter_mut().for_each(|letters| assert!(shown(letters).is_empty()));
            }
        }
    }
}

#[test]
fn letters_are_erased_with_their_key_after_their_group_was_deleted() {
    let World { store, .. } = World::new(1);
    reject(&store, "old", None);
    store.delete_group("workers").unwrap();
    store.erase("jobs", "k").unwrap();
    assert!(shown(&mut store.dead_letters("jobs", "workers").unwrap()).is_empty());
}

/// In a topic that was chosen: nothing but a state says that letters are in it.
#[test]
fn letters_in_a_chosen_topic_are_erased_with_their_key_after_their_group_was_deleted() {
    let world = World::new(1);
    let consumed = TopicConfig::new().retention_until_consumed().segment_bytes(1000);
    world.store.create_topic("dead", consumed).unwrap();
    reject(&world.store, "old", Some("dead"));
    world.store.producer().flush().unwrap();
    for _ in 0..2 {
        world.store.delete_group("workers").unwrap();
    }
    for world in [world.killed(), world.without_power(), world] {
        assert!(world.store.stats().unwrap().queues.is_empty());
        let copy = MemoryFileSystem::over(&Image::new(world.disk.files()));
        let reader = Store::builder("/store").file_system(Arc::new(copy)).open_read_only().unwrap();
        assert!(reader.stats().unwrap().queues.is_empty());
        for expected in [2, 0] {
            let erased = world.store.erase("jobs", "k").unwrap();
            assert_eq!(erased.iter().map(|one| one.records).sum::<u64>(), expected);
        }
        let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
        assert!(shown(&mut letters).is_empty());
        drop(letters);
        world.store.delete_group("workers").unwrap();
        // It is no reader whom retention waits for.
        let partition = world.store.topic("dead").unwrap().partition(0).unwrap();
        let value = "x".repeat(300);
        (0..9).for_each(|_| _ = partition.append(&[Record::new().value(&value)], Durability::Os).unwrap());
        let mut reading = world.store.consumer("readers").unwrap();
        reading.subscribe(["dead"]).unwrap();
        while !reading.poll(Duration::from_millis(50)).unwrap().is_empty() {}
        reading.commit().unwrap();
        world.store.apply_retention().unwrap();
        assert!(partition.start() > 0, "what is consumed goes");
    }
}

#[test]
fn a_handle_that_is_older_than_its_topic_hands_out_the_letters_of_that() {
    let World { store, .. } = World::new(1);
    reject(&store, "old", None);
    let mut letters = store.dead_letters("jobs", "workers").unwrap();
    assert_eq!(shown(&mut letters), ["old"]);
    made_again(&store);
    reject(&store, "new", None);
    assert_eq!(shown(&mut letters), ["old", "new"]);

    let World { store, .. } = World::new(1);
    store.delete_topic("jobs").unwrap();
    store.create_topic("dead", TopicConfig::new()).unwrap();
    let mut letters = store.dead_letters_in("dead", "jobs", "workers").unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    reject(&store, "new", Some("dead"));
    assert_eq!(shown(&mut letters), ["new"]);
}

#[test]
fn letters_of_a_topic_that_cannot_be_opened_are_handed_out_and_discarded() {
    let World { store, disk, clock } = World::new(1);
    reject(&store, "a", None);
    store.close().unwrap();
    let mut files = disk.files();
    files.insert("/store/jobs-0/annals.state".to_owned(), Arc::from(&b"no state"[..]));
    let store = open_with(&MemoryFileSystem::over(&Image::new(files)), clock);
    let broken = store.topic("jobs").map(drop).unwrap_err().to_string();
    for mut letters in [
        store.dead_letters("jobs", "workers").unwrap(),
        store.dead_letters_in("jobs.workers.dead", "jobs", "workers").unwrap(),
    ] {
        let letter = letters.take(1).unwrap().remove(0);
        assert!(!letter.is_of_deleted_topic());
        assert_eq!(letters.send_back(letter).unwrap_err().to_string(), broken);
    }
    let mut letters = store.dead_letters("jobs", "workers").unwrap();
    let letter = letters.take(1).unwrap().remove(0);
    letters.discard(letter).unwrap();
    assert!(shown(&mut letters).is_empty());
}

#[test]
fn a_topic_of_letters_that_were_discarded_is_not_held_by_the_topics_that_had_the_name() {
    let World { store, .. } = World::new(1);
    let config = TopicConfig::new().retention_until_consumed().segment_bytes(1024);
    store.create_topic("dead", config).unwrap();
    for value in ["first", "second", "third"] {
        made_again(&store);
        (0..20).for_each(|_| reject(&store, value, Some("dead")));
    }
    let mut letters = store.dead_letters_in("dead", "jobs", "workers").unwrap();
    letters.take(99).unwrap().into_iter().for_each(|letter| letters.discard(letter).unwrap());
    store.maintain().unwrap();
    let before = store.topic("dead").unwrap().partition(0).unwrap().start();
    // The same queue, in another life of its topic.
    made_again(&store);
    (0..20).for_each(|_| reject(&store, "fourth", Some("dead")));
    letters.take(99).unwrap().into_iter().for_each(|letter| letters.discard(letter).unwrap());
    store.maintain().unwrap();
    let dead = store.topic("dead").unwrap().partition(0).unwrap();
    assert!(
        dead.start() > before && dead.start() > 100,
        "{} after {before}, of {}",
        dead.start(),
        dead.end()
    );
}

#[test]
fn redriving_passes_over_the_letters_of_deleted_topics() {
    let world = World::new(1);
    world.store.create_topic("dead", TopicConfig::new()).unwrap();
    for number in 0..150 {
        reject(&world.store, &format!("old {number}"), Some("dead"));
    }
    made_again(&world.store);
    for value in ["1", "2", "3"] {
        reject(&world.store, value, Some("dead"));
    }
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(letters.redrive(2).unwrap(), 2);
    assert_eq!(world.values("jobs"), ["1", "2", "3", "1", "2"]);
    assert_eq!(letters.redrive(100).unwrap(), 1);
    assert_eq!(world.values("jobs"), ["1", "2", "3", "1", "2", "3"]);
    assert_eq!(letters.redrive(100).unwrap(), 0);
    let left = letters.take(200).unwrap();
    assert_eq!(left.len(), 150);
    left.into_iter().for_each(|letter| assert!(is_gone(letters.send_back(letter))));
}

/// Its name is as long as that of a group may be, and a little shorter.
#[test]
fn a_queue_of_a_group_with_a_name_so_long_that_its_letters_had_none_gave_nothing_up() {
    let world = World::new(1);
    let longest = 32_767 - 1 - "jobs".len();
    for (bytes, is_one) in [(32_767, false), (longest + 1, false), (longest, true), (1, true)] {
        let group = "g".repeat(bytes);
        let built = world.store.queue_builder("jobs", &group).build();
        let limited = world.store.enqueuer_builder("jobs").limit(&group, 1, WhenFull::Fail).build();
        let letters = world.store.dead_letters("jobs", &group);
        for refused in [built.as_ref().err(), limited.as_ref().err(), letters.as_ref().err()] {
            let is_refused = matches!(refused, Some(Error::InvalidName { kind: "group", .. }));
            assert_eq!((is_refused, refused.is_some()), (!is_one, !is_one), "{bytes}: {refused:?}");
        }
        let Ok(mut worker) = built else { continue };
        world.send(&["a"]);
        let messages = take(&mut worker, 9);
        assert!(!messages.is_empty());
        messages.into_iter().for_each(|message| message.reject("no").unwrap());
        let mut letters = world.store.dead_letters("jobs", &group).unwrap();
        letters.take(1).unwrap().into_iter().for_each(|letter| letters.send_back(letter).unwrap());
        assert_eq!(take(&mut worker, 9).len(), 1, "{bytes}: it came back");
    }
}
