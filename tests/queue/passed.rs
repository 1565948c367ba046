//! Offsets that a queue passes over: messages that were sent back for others, ends of transactions, records that compaction has taken.

use std::time::Duration;

use annals::{CleanupPolicy, QueueBuilder, Record, TopicConfig, WhenFull};

use crate::world::{World, all, done, take, values};

/// A queue that has out what stands on both sides of a message that `others` has sent back.
struct Beside {
    world: World,
    is_ordered: bool,
    limit: u16,
}

impl Beside {
    fn new(is_ordered: bool, limit: u16) -> Self {
        let beside = Self { world: World::new(1), is_ordered, limit };
        let world = &beside.world;
        world.send_keyed(&[("k", "first")]);
        let mut others = world.store.queue("jobs", "others").unwrap();
        take(&mut others, 1).remove(0).reject("not now").unwrap();
        take(&mut beside.builder().build().unwrap(), 1).remove(0).ack().unwrap();
        world.send_keyed(&[("k", "a"), ("one", "b")]);
        assert_eq!(world.store.dead_letters("jobs", "others").unwrap().redrive(9).unwrap(), 1);
        world.send_keyed(&[("two", "c"), ("k", "d")]);
        beside
    }

    fn builder(&self) -> QueueBuilder {
        let builder = self.world.builder().delivery_limit(self.limit);
        if self.is_ordered { builder.ordered_by_key() } else { builder }
    }

    /// What a life is handed that answers nothing and is killed.
    fn live(&mut self) -> Vec<(i64, u16)> {
        let out = all(self.builder());
        let seen = out.iter().map(|message| (message.offset, message.delivery_count())).collect();
        self.world = self.world.killed();
        seen
    }
}

#[test]
fn a_key_is_not_stuck_behind_a_message_that_was_sent_back_for_others() {
    for (limit, lives) in [(2, 1), (3, 1), (3, 2), (5, 2), (5, 3), (5, 4), (10, 9)] {
        let mut beside = Beside::new(true, limit);
        (0..lives).for_each(|_| drop(beside.live()));
        assert_eq!(done(beside.builder()), ["a", "b", "c", "d"], "limit {limit}, {lives} lives");
        beside.world.send_keyed(&[("k", "e")]);
        assert_eq!(done(beside.builder()), ["e"], "limit {limit}, {lives} lives");
    }
}

#[test]
fn what_was_sent_back_for_others_is_no_letter_of_a_queue_that_never_handed_it_out() {
    for (is_ordered, limit) in [(false, 1), (false, 3), (false, 5), (true, 1), (true, 3), (true, 5)] {
        let mut beside = Beside::new(is_ordered, limit);
        for _ in 0..8 {
            let seen = beside.live();
            assert!(seen.iter().all(|(offset, _)| *offset != 3), "{seen:?}");
        }
        done(beside.builder());
        let dead = beside.world.store.dead_letters("jobs", "workers").map(|mut letters| letters.take(9));
        let dead = dead.unwrap().unwrap();
        let offsets: Vec<_> = dead.iter().map(|letter| letter.offset).collect();
        assert!(offsets.contains(&1), "limit {limit}: {offsets:?}");
        assert!(!offsets.contains(&3), "ordered {is_ordered}, limit {limit}: {offsets:?}");
    }
}

#[test]
fn what_was_passed_over_between_messages_is_done_after_an_open() {
    let mut beside = Beside::new(false, 9);
    assert_eq!(beside.live().len(), 4);
    // By what is stored, before anybody looks.
    let queues = &beside.world.store.stats().unwrap().queues;
    let own = queues.iter().find(|queue| queue.group == "workers").unwrap();
    assert_eq!((own.waiting, own.locked), (4, 0));
    assert_eq!(beside.live(), [(1, 2), (2, 2), (4, 2), (5, 2)]);
}

#[test]
fn a_key_is_not_stuck_behind_a_message_that_compaction_has_taken() {
    let world = World::new(1);
    let compacted = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    world.store.alter_topic("jobs", compacted.delete_retention(Duration::ZERO)).unwrap();
    world.send_keyed(&[("k", "a"), ("k", "b")]);
    let mut worker = world.builder().ordered_by_key().build().unwrap();
    let out = take(&mut worker, 9);
    assert_eq!(values(&out), ["a"]);
    world.send_keyed(&[("k", "c")]);
    world.store.topic("jobs").unwrap().compact().unwrap();
    out.into_iter().for_each(|message| message.ack().unwrap());
    assert_eq!(values(&take(&mut worker, 9)), ["c"]);
}

#[test]
fn ends_of_transactions_between_messages_are_done_after_an_open() {
    let world = World::new(1);
    let mut tx = world.store.transaction("t").unwrap();
    for value in ["a", "b"] {
        tx.send(Record::to("jobs").value(value)).unwrap();
    }
    tx.commit().unwrap();
    world.send(&["c"]);
    assert_eq!(values(&all(world.builder())), ["a", "b", "c"]);
    let next = world.killed();
    assert_eq!(next.store.stats().unwrap().queues[0].waiting, 3);
    assert_eq!(values(&all(next.builder())), ["a", "b", "c"]);
}

#[test]
fn what_an_earlier_look_has_passed_over_is_done_after_an_open() {
    let world = World::new(1);
    world.send(&["a"]);
    let mut others = world.store.queue("jobs", "others").unwrap();
    let mut worker = world.worker();
    let mut out = take(&mut worker, 9);
    take(&mut others, 9).remove(0).reject("not now").unwrap();
    assert_eq!(world.store.dead_letters("jobs", "others").unwrap().redrive(9).unwrap(), 1);
    assert!(take(&mut worker, 9).is_empty());
    world.send(&["b"]);
    out.extend(take(&mut worker, 9));
    assert_eq!(values(&out), ["a", "b"]);
    let next = world.killed();
    let queues = next.store.stats().unwrap().queues;
    assert_eq!(queues.iter().find(|queue| queue.group == "workers").unwrap().waiting, 2);
    // The same where everything before is done.
    out.into_iter().for_each(|message| message.ack().unwrap());
    let next = world.killed();
    let queues = next.store.stats().unwrap().queues;
    assert_eq!(queues.iter().find(|queue| queue.group == "workers").unwrap().waiting, 0);
}

/// The worker of the group that it was sent back for passes it on, headers and all.
#[test]
fn a_message_that_was_sent_back_and_passed_on_into_another_topic_was_nobodys_there() {
    let world = World::new(1);
    world.store.create_topic("audit", TopicConfig::new()).unwrap();
    world.send(&["a"]);
    let mut others = world.store.queue("jobs", "others").unwrap();
    let mut worker = world.worker();
    for round in 0..2 {
        take(&mut others, 9).remove(0).reject("not now").unwrap();
        assert_eq!(world.store.dead_letters("jobs", "others").unwrap().redrive(9).unwrap(), 1, "{round}");
    }
    let out = take(&mut others, 9);
    let mine: Vec<_> = out[0].headers.iter().map(|header| header.key.as_str()).collect();
    assert_eq!(
        mine,
        ["annals.redrive.topic.id", "annals.redrive.group"],
        "once, however often it was sent back"
    );
    world.store.producer().send(Record::from(&*out[0]).topic("audit")).unwrap();
    let limited = world.store.enqueuer_builder("audit").limit("auditors", 1, WhenFull::Fail);
    assert!(limited.build().unwrap().send(Record::new().value("b")).is_err(), "one waits there");
    let mut auditors = world.store.queue("audit", "auditors").unwrap();
    assert_eq!(values(&take(&mut auditors, 9)), ["a"]);
    // Where it was sent back others still pass over it.
    assert_eq!(values(&take(&mut worker, 9)), ["a"], "the first of them, which was sent to all");
}

/// Its record says the group alone.
#[test]
fn what_earlier_versions_have_sent_back_is_for_its_group_in_whichever_topic() {
    let world = World::new(1);
    for group in ["others", "workers"] {
        let record = Record::to("jobs").value(group).header("annals.redrive.group", group);
        world.store.producer().send(record).unwrap();
    }
    assert_eq!(values(&all(world.builder())), ["workers"]);
}
