//! Dead letters that are looked at, sent back and dropped; figures.

use std::time::Duration;

use annals::{Error, Record};

use crate::world::{World, take, value, values};

fn rejected(world: &World, jobs: &[&str]) {
    world.send(jobs);
    for message in take(&mut world.worker(), jobs.len()) {
        let name = value(&message);
        message.reject(&format!("{name} is bad")).unwrap();
    }
}

#[test]
fn a_letter_is_sent_back_or_dropped_once() {
    let world = World::new(1);
    assert!(matches!(world.store.dead_letters("jobs", "workers"), Err(Error::UnknownTopic { .. })));
    world.store.producer().send(Record::to("jobs").key("k").value("a").header("trace", "7")).unwrap();
    rejected(&world, &["b", "c", "d"]);
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    let mut taken = letters.take(10).unwrap();
    let reasons: Vec<_> = taken.iter().map(|letter| (letter.offset, letter.reason.as_str())).collect();
    assert_eq!(reasons, [(0, "a is bad"), (1, "b is bad"), (2, "c is bad")]);
    assert!(letters.take(10).unwrap().is_empty(), "they are taken");
    assert_eq!((taken[0].topic.as_str(), taken[0].group.as_str()), ("jobs", "workers"));
    assert_eq!(taken[0].record().headers.len(), 1);
    letters.send_back(taken.remove(0)).unwrap();
    letters.discard(taken.remove(0)).unwrap();
    drop(taken);
    let back = take(&mut world.worker(), 10);
    assert_eq!(values(&back), ["d", "a"]);
    assert_eq!((back[1].delivery_count(), back[1].header("trace")), (1, Some(&b"7"[..])));
    for world in [world.killed(), world] {
        let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
        let left = letters.take(10).unwrap();
        assert_eq!(left.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["c is bad"]);
    }
}

#[test]
fn what_is_sent_back_is_for_the_queue_that_gave_it_up() {
    let world = World::new(2);
    rejected(&world, &["a", "b"]);
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    assert_eq!(letters.redrive(usize::MAX).unwrap(), 2);
    assert_eq!(letters.redrive(usize::MAX).unwrap(), 0);
    let mut mine = values(&take(&mut world.worker(), 10));
    mine.sort();
    assert_eq!(mine, ["a", "b"]);
    let mut others = world.store.queue("jobs", "others").unwrap();
    let seen = take(&mut others, 10);
    assert_eq!(seen.len(), 2, "each once: {seen:?}");
    seen.into_iter().for_each(|message| message.ack().unwrap());
    assert!(take(&mut world.killed().store.queue("jobs", "others").unwrap(), 10).is_empty());
}

#[test]
fn figures_say_what_a_queue_is_doing() {
    let world = World::new(1);
    world.send(&["a", "b", "c", "d", "e", "f"]);
    world.pass(7);
    let mut worker = world.worker();
    let mut out = take(&mut worker, 4).into_iter();
    out.next().unwrap().ack().unwrap();
    out.next().unwrap().release(Duration::from_secs(5)).unwrap();
    out.next().unwrap().reject("no").unwrap();
    let stats = world.store.stats().unwrap().queues;
    assert_eq!(stats.len(), 1);
    let queue = &stats[0];
    assert_eq!((queue.topic.as_str(), queue.group.as_str()), ("jobs", "workers"));
    assert_eq!((queue.waiting, queue.locked, queue.delayed), (2, 1, 1));
    assert_eq!((queue.delivered, queue.acknowledged, queue.released, queue.dead), (4, 1, 1, 1));
    assert_eq!(queue.oldest_age, Some(Duration::from_secs(7)));
    world.pass(5);
    let queue = &world.store.stats().unwrap().queues[0];
    assert_eq!((queue.waiting, queue.delayed), (3, 0));
    world.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(6).unwrap();
    let queue = &world.store.stats().unwrap().queues[0];
    assert_eq!((queue.waiting, queue.locked, queue.lost, queue.oldest_age), (0, 0, 4, None));
}
