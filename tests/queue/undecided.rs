//! Messages of a transaction that an open cannot decide, for a topic that it was in cannot be opened: they wait for the open that can.

use std::time::Duration;

use annals::{Error, Record, TopicConfig};
use annals_testing::Files;

use crate::world::{World, all, done, take, values};

const OTHER: &str = "/store/other-0/annals.state";

/// A store with messages before, in, and behind a transaction that has records in another topic too, and no end in any log.
struct Torn {
    world: World,
    /// Of the other topic, as it is while it can be opened.
    sound: Option<Files>,
}

impl Torn {
    fn new() -> Self {
        let world = World::new(1);
        world.store.create_topic("other", TopicConfig::new()).unwrap();
        world.send_keyed(&[("k", "before")]);
        let mut tx = world.store.transaction("t").unwrap();
        for (key, value) in [("k", "a"), ("l", "b"), ("m", "c")] {
            tx.send(Record::to("jobs").key(key).value(value)).unwrap();
        }
        tx.send(Record::to("other").value("together")).unwrap();
        tx.commit().unwrap();
        Self { world, sound: None }
    }

    /// The process is killed, and the next one cannot open the other topic.
    fn damaged(self) -> Self {
        let mut files = self.world.disk.files();
        let state = files.insert(OTHER.to_owned(), b"damaged".as_slice().into()).unwrap();
        let sound = self.sound.unwrap_or_else(|| Files::from([(OTHER.to_owned(), state)]));
        let world = self.world.again(files);
        assert!(matches!(world.store.topic("other"), Err(Error::Corrupt { .. })));
        Self { world, sound: Some(sound) }
    }

    /// The process is killed, and the topic is sound again.
    fn mended(self) -> World {
        let mut files = self.world.disk.files();
        files.extend(self.sound.unwrap());
        let world = self.world.again(files);
        assert_eq!(world.values("other"), ["together"]);
        world
    }
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

#[test]
fn messages_that_were_out_wait_for_the_open_that_can_decide_their_transaction() {
    // Handed out once, as often as it takes to be suspected, and as often as they may be.
    for (limit, lives, is_ordered) in
        [(9, 1, false), (9, 1, true), (3, 2, false), (3, 2, true), (2, 2, false), (1, 1, true)]
    {
        let what = format!("limit {limit}, {lives} lives, ordered {is_ordered}");
        let mut torn = Torn::new();
        let builder = |world: &World| {
            let builder = world.builder().delivery_limit(limit);
            if is_ordered { builder.ordered_by_key() } else { builder }
        };
        take(&mut builder(&torn.world).build().unwrap(), 1).remove(0).ack().unwrap();
        for _ in 0..lives {
            assert!(!all(builder(&torn.world)).is_empty(), "{what}");
            torn.world = torn.world.killed();
        }
        for _ in 0..2 {
            torn = torn.damaged();
            torn.world.send_keyed(&[("k", "behind")]);
            assert_eq!(done(builder(&torn.world)), [""; 0], "{what}");
            assert_eq!(torn.world.store.stats().unwrap().queues[0].dead, 0, "{what}");
        }
        let world = torn.mended();
        let mut seen = done(builder(&world));
        let is_given_up = lives == usize::from(limit);
        assert_eq!(world.store.topic("jobs.workers.dead").is_ok(), is_given_up, "{what}");
        if is_given_up {
            seen.extend(world.values("jobs.workers.dead"));
        }
        assert_eq!(sorted(seen), ["a", "b", "behind", "behind", "c"], "{what}");
    }
}

#[test]
fn what_stands_before_it_is_handed_out_meanwhile() {
    let torn = Torn::new();
    assert_eq!(all(torn.world.builder().delivery_limit(2)).len(), 4);
    let torn = torn.damaged();
    assert_eq!(done(torn.world.builder().delivery_limit(2)), ["before"]);
    let world = torn.mended();
    assert_eq!(sorted(done(world.builder().delivery_limit(2))), ["a", "b", "c"]);
}

/// A queue whose only message is done by a transaction that has a record in another topic too.
fn answered() -> Torn {
    let world = World::new(1);
    world.store.create_topic("other", TopicConfig::new()).unwrap();
    world.send(&["a", "b"]);
    let mut tx = world.store.transaction("t").unwrap();
    tx.send(Record::to("other").value("together")).unwrap();
    let mut taken = take(&mut world.worker(), 2);
    taken.pop().unwrap().release(Duration::ZERO).unwrap();
    tx.ack(taken.pop().unwrap());
    tx.commit().unwrap();
    Torn { world, sound: None }
}

/// As much as makes a state be written anew.
fn many_updates(world: &World) {
    let mut worker = world.builder().delivery_limit(u16::MAX).build().unwrap();
    for _ in 0..1000 {
        take(&mut worker, 1).remove(0).release(Duration::ZERO).unwrap();
    }
    world.store.maintain().unwrap();
}

#[test]
fn a_message_whose_answer_nobody_can_decide_is_out_to_nobody_until_somebody_can() {
    let torn = answered().damaged();
    let builder = |world: &World| world.builder().delivery_limit(u16::MAX);
    assert_eq!(values(&all(builder(&torn.world))), ["b"]);
    many_updates(&torn.world);
    let torn = torn.damaged();
    assert_eq!(values(&all(builder(&torn.world))), ["b"]);
    let world = torn.mended();
    assert_eq!(done(builder(&world)), ["b"], "it was done");
}

#[test]
fn a_message_whose_answer_did_not_take_effect_after_all_comes_back() {
    let torn = answered();
    let records = "/store/other-0/00000000000000000000.log";
    let mut torn = torn.damaged();
    assert_eq!(values(&all(torn.world.builder())), ["b"]);
    // The topic is there again, without the record.
    torn.sound.as_mut().unwrap().insert(records.to_owned(), [].as_slice().into());
    let mut files = torn.world.disk.files();
    files.extend(torn.sound.unwrap());
    let world = torn.world.again(files);
    assert_eq!(world.values("other"), [""; 0]);
    assert_eq!(sorted(done(world.builder())), ["a", "b"]);
}

#[test]
fn a_message_that_was_given_up_has_one_letter_though_nobody_knew_for_a_life() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let builder = |world: &World| world.builder().delivery_limit(u16::MAX);
    let mut worker = builder(&world).build().unwrap();
    take(&mut worker, 1).remove(0).reject("bad").unwrap();
    let letters = "/store/jobs.workers.dead-0/annals.state";
    let mut files = world.disk.files();
    let state = files.insert(letters.to_owned(), b"damaged".as_slice().into()).unwrap();
    let unknown = world.again(files);
    assert_eq!(values(&all(builder(&unknown))), ["b"]);
    many_updates(&unknown);
    let mut files = unknown.disk.files();
    files.insert(letters.to_owned(), state);
    let world = unknown.again(files);
    assert_eq!(done(builder(&world)), ["b"]);
    assert_eq!(world.values("jobs.workers.dead"), ["a"]);
}

#[test]
fn an_id_that_was_sent_behind_an_open_transaction_is_known_to_a_later_enqueuer() {
    let world = World::new(1);
    let enqueuer = || {
        let builder = world.store.enqueuer_builder("jobs");
        builder.unique_within(Duration::from_secs(100), 1000).build().unwrap()
    };
    let mut tx = world.store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("jobs").value("in a transaction")).unwrap();
    enqueuer().send_once("id", Record::new().value("once")).unwrap();
    let again = enqueuer().send_once("id", Record::new().value("twice"));
    assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{again:?}");
}

#[test]
fn a_record_for_later_whose_id_nobody_can_read_comes_once_when_somebody_can() {
    let world = World::new(1);
    let enqueuer = |world: &World| {
        let builder = world.store.enqueuer_builder("jobs");
        builder.unique_within(Duration::from_secs(100_000), 1000).build()
    };
    let later = Duration::from_secs(10);
    enqueuer(&world).unwrap().deliver_once_after("id", Record::new().value("once"), later).unwrap();
    let pass = |world: &World| {
        for _ in 0..60 {
            world.clock.advance(Duration::from_millis(500));
            drop(world.store.maintain());
        }
    };
    let mut files = world.disk.files();
    let state = "/store/__message_ids-0/annals.state".to_owned();
    let sound = files.insert(state.clone(), b"damaged".as_slice().into()).unwrap();
    let torn = world.again(files);
    assert!(enqueuer(&torn).is_err(), "nobody sends with ids");
    pass(&torn);
    let mut files = torn.disk.files();
    files.insert(state, sound);
    let mended = torn.again(files);
    pass(&mended);
    assert_eq!(mended.values("jobs"), ["once"]);
    let again = enqueuer(&mended).unwrap().deliver_once_after("id", Record::new(), later);
    assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{again:?}");
}

/// It may be done: it is out to nobody, also when those before it in the order of its key are done.
#[test]
fn a_message_whose_answer_cannot_be_decided_stays_aside_in_a_queue_that_comes_to_keep_order() {
    let world = World::new(1);
    world.store.create_topic("other", TopicConfig::new()).unwrap();
    world.send_keyed(&[("k", "before"), ("k", "answered"), ("k", "behind")]);
    let mut messages = take(&mut world.worker(), 9);
    let mut tx = world.store.transaction("t").unwrap();
    tx.ack(messages.remove(1));
    tx.send(Record::to("other").value("together")).unwrap();
    tx.commit().unwrap();
    messages.into_iter().for_each(|message| message.put_back().unwrap());
    let torn = Torn { world, sound: None }.damaged();
    assert_eq!(done(torn.world.builder().ordered_by_key()), ["before"]);
    assert_eq!(done(torn.mended().builder()), ["behind"]);
}
