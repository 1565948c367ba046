//! Dead letters that are looked at, sent back and dropped; figures.

use std::time::Duration;

use annals::{Error, Record, TopicConfig, WhenFull};

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
    assert!(world.store.dead_letters("jobs", "workers").unwrap().take(9).unwrap().is_empty());
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
    assert_eq!(stats.len(), 2, "its dead letters are one, too");
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

/// The clock of the store is behind the time of the message.
#[test]
fn what_waits_had_no_age_where_the_clock_was_set_back() {
    let world = World::new(1);
    world.send(&["a"]);
    drop(world.worker());
    world.clock.set(10);
    let queue = &world.store.stats().unwrap().queues[0];
    assert_eq!((queue.waiting, queue.oldest_age), (1, Some(Duration::ZERO)));
}

/// A store whose queue gives up at once, into a topic of letters that was made before.
fn with_letters(config: TopicConfig) -> World {
    let world = World::new(1);
    world.store.create_topic("dead", config).unwrap();
    world
}

#[test]
fn a_letter_that_lost_its_value_is_sent_back_with_it() {
    let world = with_letters(TopicConfig::new().max_message_bytes(2000));
    let large = "x".repeat(5000);
    world.store.producer().send(Record::to("jobs").key("k").value(&large).header("trace", "7")).unwrap();
    let mut worker = world.builder().dead_letter_topic("dead").build().unwrap();
    take(&mut worker, 1).remove(0).reject("bad").unwrap();
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    let letter = letters.take(1).unwrap().remove(0);
    assert!(!letter.is_whole() && letter.record().value.is_none());
    assert_eq!(letter.record().headers.len(), 1);
    letters.send_back(letter).unwrap();
    let back = take(&mut worker, 1).remove(0);
    assert_eq!((value(&back), back.key.as_deref()), (large, Some(&b"k"[..])));
    back.reject("bad again").unwrap();
    world.store.delete_topic("jobs").unwrap();
    world.store.create_topic("jobs", TopicConfig::new()).unwrap();
    world.send(&["another's", "another's"]);
    let letter = letters.take(1).unwrap().remove(0);
    assert!(matches!(letters.send_back(letter), Err(Error::UnknownTopic { was_deleted: true, .. })));
    assert_eq!(letters.take(9).unwrap().len(), 1, "it stays");
}

#[test]
fn letters_of_large_messages_keep_their_values() {
    let world = World::new(1);
    let most = TopicConfig::new().max_message_bytes(3 << 20);
    world.store.create_topic("large", most).unwrap();
    let large = "x".repeat((3 << 20) - 200);
    world.store.producer().send(Record::to("large").value(&large)).unwrap();
    let mut worker = world.store.queue("large", "workers").unwrap();
    take(&mut worker, 1).remove(0).reject("bad").unwrap();
    let mut letters = world.store.dead_letters("large", "workers").unwrap();
    let letter = letters.take(1).unwrap().remove(0);
    assert!(letter.is_whole());
    assert_eq!(letter.record().value.as_ref().map(Vec::len), Some(large.len()));
}

#[test]
fn a_message_whose_letter_never_fits_is_given_up_all_the_same() {
    let world = with_letters(TopicConfig::new().max_message_bytes(1500));
    let (key, long) = ("k".repeat(4000), "h".repeat(4000));
    world.store.producer().send(Record::to("jobs").key(&key).value("a")).unwrap();
    world.store.producer().send(Record::to("jobs").value("b").header("long", &long)).unwrap();
    let mut worker = world.builder().dead_letter_topic("dead").delivery_limit(1).build().unwrap();
    drop(take(&mut worker, 2));
    world.pass(5);
    assert!(take(&mut worker, 2).is_empty());
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    let taken = letters.take(9).unwrap();
    assert_eq!(taken.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [0, 1]);
    assert!(taken.iter().all(|letter| !letter.is_whole()));
    world.send(&["c"]);
    let reason = "r".repeat(3 << 20);
    take(&mut worker, 1).remove(0).reject(&reason).unwrap();
    assert_eq!(world.store.stats().unwrap().queues.iter().map(|queue| queue.dead).sum::<u64>(), 3);
}

#[test]
fn a_full_topic_of_letters_holds_nobody_up() {
    let full = TopicConfig::new().size_limit(600, WhenFull::Block);
    let world = with_letters(full.size_limit_max_block(Duration::from_secs(3600)));
    world.store.producer().send(Record::to("dead").value("x".repeat(400).as_str())).unwrap();
    world.send(&["a", "b"]);
    let mut worker = world.builder().dead_letter_topic("dead").build().unwrap();
    let refused = take(&mut worker, 1).remove(0).reject("a reason that takes room: it is long enough");
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert_eq!(values(&take(&mut worker, 1)), ["b"]);
}

/// Of several that cannot be written each waits for a second, and there are more of them than are tried in one.
#[test]
fn messages_whose_letters_had_no_room_were_in_the_way_of_all_behind_them() {
    const BAD: usize = 60;
    let full = |bytes| TopicConfig::new().size_limit(bytes, WhenFull::Fail);
    let world = with_letters(full(1));
    world.send(&["bad"; BAD]);
    let mut worker = world.builder().dead_letter_topic("dead").delivery_limit(1).build().unwrap();
    std::mem::forget(take(&mut worker, BAD));
    world.pass(31);
    world.send(&["good", "better"]);
    let (mut taken, mut told) = (Vec::new(), 0);
    for _ in 0..4 {
        match worker.take(1, Duration::ZERO) {
            Ok(messages) => {
                taken.extend(messages.iter().map(value));
                messages.ack().unwrap();
            }
            Err(Error::Full { .. } | Error::RecordTooLarge { .. }) => told += 1,
            Err(other) => panic!("{other:?}"),
        }
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!((taken, told), (vec!["good".to_owned(), "better".to_owned()], 2), "each in turn");
    world.store.alter_topic("dead", full(1 << 20)).unwrap();
    world.pass(2);
    while worker.take(9, Duration::ZERO).is_err() {}
    assert_eq!(world.values("dead"), ["bad"; BAD]);
}

#[test]
fn a_letter_that_was_written_late_did_not_say_why() {
    let full = |bytes| TopicConfig::new().size_limit(bytes, WhenFull::Fail);
    let world = with_letters(full(1));
    world.send(&["a", "b", "c", "d"]);
    let mut worker = world.builder().dead_letter_topic("dead").delivery_limit(1).build().unwrap();
    for message in take(&mut worker, 9) {
        match message.offset {
            offset @ (1 | 2) => drop(message.retry_because(&format!("reason {offset}"))),
            _ => drop(message),
        }
    }
    world.pass(2);
    assert!(worker.take(9, Duration::ZERO).is_err(), "it is full still");
    world.store.alter_topic("dead", full(1 << 20)).unwrap();
    world.pass(2);
    while worker.take(9, Duration::ZERO).is_err() {}
    let letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap().take(9).unwrap();
    let mut reasons: Vec<_> = letters.iter().map(|letter| (letter.offset, &letter.reason[..])).collect();
    reasons.sort_unstable();
    let plain = "delivered once and not done";
    let with = [1, 2].map(|offset| format!("{plain}, at last: reason {offset}"));
    assert_eq!(reasons, [(0, plain), (1, &with[0]), (2, &with[1]), (3, plain)]);
}

#[test]
fn letters_in_one_topic_are_each_group_s_own() {
    let world = World::new(1);
    world.send(&["a"]);
    for group in ["x/y", "x_y", "x.y"] {
        let mut worker = world.store.queue("jobs", group).unwrap();
        take(&mut worker, 1).remove(0).reject(group).unwrap();
    }
    for group in ["x/y", "x_y", "x.y"] {
        let letters = world.store.dead_letters("jobs", group).unwrap().take(9).unwrap();
        let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
        assert_eq!(reasons, [group]);
    }
}

#[test]
fn nothing_is_handed_out_to_whoever_asks_for_nothing() {
    let world = World::new(1);
    rejected(&world, &["a"]);
    world.send(&["b"]);
    assert!(take(&mut world.worker(), 0).is_empty());
    assert!(world.store.dead_letters("jobs", "workers").unwrap().take(0).unwrap().is_empty());
    assert_eq!(values(&take(&mut world.worker(), 1)), ["b"]);
}

#[test]
fn handles_of_another_store_are_refused() {
    let (world, other) = (World::new(1), World::new(1));
    rejected(&other, &["a"]);
    other.send(&["b"]);
    let mut tx = world.store.transaction("t").unwrap();
    tx.ack(take(&mut other.worker(), 1).remove(0));
    assert!(matches!(tx.commit(), Err(Error::InvalidArgument { .. })));
    assert_eq!(values(&take(&mut other.worker(), 1)), ["b"], "it was not done, and is free");
    let consumer = other.store.consumer("readers").unwrap();
    let mut tx = world.store.transaction("t").unwrap();
    assert!(matches!(tx.commit_offsets(&consumer), Err(Error::InvalidArgument { .. })));
    rejected(&world, &["c"]);
    let letter = other.store.dead_letters("jobs", "workers").unwrap().take(1).unwrap().remove(0);
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    assert!(matches!(letters.send_back(letter), Err(Error::InvalidArgument { .. })));
}

#[test]
fn a_topic_that_cannot_take_letters_is_refused_at_once() {
    let world = World::new(1);
    world.store.create_topic("a.b", TopicConfig::new()).unwrap();
    for name in ["jobs", "a_b", "no/topic", "__consumer_offsets", ""] {
        let built = world.builder().dead_letter_topic(name).build();
        let is_refused = matches!(
            built,
            Err(Error::InvalidArgument { .. } | Error::InvalidName { .. } | Error::TopicExists { .. })
        );
        assert!(is_refused, "{name:?}: {built:?}");
    }
}

#[test]
fn queues_of_two_topics_that_share_a_topic_of_letters_are_handed_their_own() {
    let world = with_letters(TopicConfig::new());
    world.store.create_topic("refunds", TopicConfig::new()).unwrap();
    world.send(&["a"]);
    world.store.producer().send(Record::to("refunds").value("b")).unwrap();
    let workers = ["jobs", "refunds"].map(|topic| {
        let builder = world.store.queue_builder(topic, "workers").dead_letter_topic("dead");
        let mut worker = builder.build().unwrap();
        take(&mut worker, 1).remove(0).reject(topic).unwrap();
        worker
    });
    for topic in ["jobs", "refunds"] {
        let mut letters = world.store.dead_letters_in("dead", topic, "workers").unwrap();
        let taken = letters.take(9).unwrap();
        assert_eq!(taken.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), [topic]);
        drop(taken);
        assert_eq!(letters.redrive(9).unwrap(), 1);
    }
    let stats = world.store.stats().unwrap().queues;
    let of: Vec<_> = stats.iter().map(|queue| (queue.topic.as_str(), queue.letters_of.as_deref())).collect();
    assert_eq!(of, [("dead", Some("jobs")), ("dead", Some("refunds")), ("jobs", None), ("refunds", None)]);
    assert!(stats.iter().all(|queue| queue.group == "workers"));
    drop(workers);
    // Their progress goes with the group's.
    world.store.delete_group("workers").unwrap();
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    assert_eq!(letters.take(9).unwrap().len(), 1);
    assert!(matches!(world.store.queue("jobs", "a\0b"), Err(Error::InvalidName { .. })));
}

#[test]
fn a_topic_of_letters_that_was_compacted_later_takes_letters_without_keys_and_keeps_all() {
    let world = with_letters(TopicConfig::new());
    let mut worker = world.builder().dead_letter_topic("dead").build().unwrap();
    let compacted = TopicConfig::new().cleanup_policy(annals::CleanupPolicy::Compact);
    world.store.alter_topic("dead", compacted.delete_retention(Duration::ZERO)).unwrap();
    let producer = world.store.producer();
    producer.send(Record::to("jobs").value("no key")).unwrap();
    producer.send(Record::to("jobs").key("k").value("first").header("annals.letter.key", "its own")).unwrap();
    producer.send(Record::to("jobs").key("k").value("second")).unwrap();
    producer.send(Record::to("jobs").key("k")).unwrap();
    let sent: Vec<_> = take(&mut worker, 9)
        .into_iter()
        .map(|message| {
            let sent = (message.key.clone(), message.value.clone(), message.headers.clone());
            message.reject("bad").unwrap();
            sent
        })
        .collect();
    let dead = world.store.topic("dead").unwrap();
    dead.compact().unwrap();
    world.pass(1);
    dead.compact().unwrap();
    let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
    let taken = letters.take(9).unwrap();
    let kept = taken.iter().map(|letter| letter.record());
    let kept: Vec<_> = kept.map(|it| (it.key.clone(), it.value.clone(), it.headers.clone())).collect();
    assert_eq!(kept, sent);
    taken.into_iter().for_each(|letter| letters.send_back(letter).unwrap());
    let back: Vec<_> =
        take(&mut worker, 9).into_iter().map(|back| (back.key.clone(), back.value.clone())).collect();
    assert_eq!(back, sent.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect::<Vec<_>>());
}

#[test]
fn a_message_as_large_as_may_be_is_sent_back_and_none_grows_by_it() {
    let world = World::new(1);
    let most = TopicConfig::new().max_message_bytes(2000);
    world.store.create_topic("large", most).unwrap();
    let mut large = "x".repeat(2000);
    while world.store.producer().send(Record::to("large").key("k").value(&large)).is_err() {
        large.pop();
    }
    world.store.producer().send(Record::to("large").key("k").value("small")).unwrap();
    let mut worker = world.store.queue("large", "workers").unwrap();
    for _ in 0..3 {
        let messages = take(&mut worker, 2);
        assert_eq!(values(&messages), [large.as_str(), "small"]);
        assert_eq!(messages[0].headers, []);
        assert!(messages[1].headers.len() <= 2);
        messages.into_iter().for_each(|message| message.reject("bad").unwrap());
        assert_eq!(world.store.dead_letters("large", "workers").unwrap().redrive(2).unwrap(), 2);
    }
}

#[test]
fn headers_that_are_named_like_a_letters_own_are_sent_back_with_their_message() {
    let names = ["__dlq.errors.topic", "__dlq.errors.message", "__dlq.errors.more", "annals.letter.without"];
    for name in names.into_iter().chain(["annals.letter.key", "annals.letter.value", "annals.redrive.group"])
    {
        for policy in [annals::CleanupPolicy::Delete, annals::CleanupPolicy::Compact] {
            let world = with_letters(TopicConfig::new().cleanup_policy(policy));
            let record = Record::to("jobs").key("k").value("a").header(name, "mine");
            world.store.producer().send(record.header("z", "1")).unwrap();
            let mut worker = world.builder().dead_letter_topic("dead").build().unwrap();
            let message = take(&mut worker, 1).remove(0);
            let sent = message.headers.clone();
            message.reject("bad").unwrap();
            let mut letters = world.store.dead_letters_in("dead", "jobs", "workers").unwrap();
            let letter = letters.take(9).unwrap().remove(0);
            assert!(letter.is_whole(), "{name}");
            assert_eq!((letter.topic.as_str(), letter.reason.as_str()), ("jobs", "bad"), "{name}");
            assert_eq!((letter.record().headers.clone(), letter.offset), (sent.clone(), 0), "{name}");
            letters.send_back(letter).unwrap();
            let back = take(&mut worker, 9).remove(0);
            assert_eq!(back.headers[..back.headers.len() - 2], sent, "{name}");
        }
    }
}

#[test]
fn a_letter_that_is_a_message_itself_keeps_what_it_says_when_it_is_sent_back() {
    let world = World::new(1);
    rejected(&world, &["a"]);
    assert_eq!(world.store.dead_letters("jobs", "workers").unwrap().redrive(9).unwrap(), 1);
    take(&mut world.worker(), 1).remove(0).reject("again").unwrap();
    let own = "jobs.workers.dead";
    let mut mailer = world.store.queue(own, "mailer").unwrap();
    let taken = take(&mut mailer, 9);
    assert_eq!(taken.len(), 2, "what was sent back once is a letter for everybody");
    let said: Vec<_> = taken.iter().map(|message| message.headers.clone()).collect();
    taken.into_iter().for_each(|message| message.reject("no post today").unwrap());
    let mut letters = world.store.dead_letters(own, "mailer").unwrap();
    assert!(letters.take(9).unwrap().iter().all(|letter| letter.is_whole() && letter.topic == own));
    assert_eq!(letters.redrive(9).unwrap(), 2);
    let back = take(&mut mailer, 9);
    let kept: Vec<_> = back.iter().map(|back| back.headers[..back.headers.len() - 2].to_vec()).collect();
    assert_eq!(kept, said);
    // It is for the mailer alone.
    let left = world.store.dead_letters("jobs", "workers").unwrap().take(9).unwrap();
    assert_eq!(left.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["again"]);
}

/// Waiting, locked and delayed dead letters of `jobs`, as the figures have them.
fn letters_waiting(world: &World) -> Option<(u64, u64, u64)> {
    let queues = world.store.stats().unwrap().queues;
    let letters = queues.into_iter().find(|queue| queue.group == "workers" && queue.letters_of.is_some());
    letters.map(|letters| (letters.waiting, letters.locked, letters.delayed))
}

#[test]
fn letters_are_counted_before_anybody_opens_them_and_after_restarts_and_without_ends_of_transactions() {
    let world = World::new(2);
    assert_eq!(letters_waiting(&world), None);
    assert!(
        world.store.dead_letters("jobs", "workers").unwrap().take(9).unwrap().is_empty(),
        "there are none yet"
    );
    assert!(matches!(world.store.dead_letters("nothing", "workers"), Err(Error::UnknownTopic { .. })));
    let mut early = world.store.dead_letters("jobs", "workers").unwrap();
    world.send(&["x"; 10]);
    // Those of others in the same topic are no letters of this queue.
    let mut others =
        world.store.queue_builder("jobs", "others").dead_letter_topic("jobs.workers.dead").build().unwrap();
    let mut worker = world.worker();
    for (message, other) in take(&mut worker, 10).into_iter().zip(take(&mut others, 10)) {
        message.reject("no").unwrap();
        other.reject("no").unwrap();
    }
    assert_eq!(letters_waiting(&world), Some((10, 0, 0)));
    let world = world.killed();
    assert_eq!(letters_waiting(&world), Some((10, 0, 0)), "after a restart");
    assert_eq!(early.take(99).unwrap().len(), 10, "the topic has come since");
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    let out = letters.take(3).unwrap();
    assert_eq!(letters_waiting(&world), Some((7, 3, 0)));
    drop(out);
    assert_eq!(letters.redrive(6).unwrap(), 6);
    assert_eq!(letters_waiting(&world), Some((4, 0, 0)));
    letters.redrive(99).unwrap();
    assert_eq!(letters_waiting(&world), Some((0, 0, 0)));
    let world = world.killed();
    assert_eq!(letters_waiting(&world), Some((0, 0, 0)), "all were sent back");
    assert_eq!(
        world.store.stats().unwrap().queues.iter().filter_map(|queue| queue.letters_of.as_ref()).count(),
        2
    );
}

#[test]
fn groups_of_the_store_itself_are_nobodys_to_look_at() {
    let world = World::new(1);
    world
        .store
        .schedule()
        .deliver_after(Record::to("jobs").value("later"), Duration::from_millis(40))
        .unwrap();
    for _ in 0..10 {
        world.clock.advance(Duration::from_millis(16));
        world.store.maintain().unwrap();
    }
    assert_eq!(world.values("jobs"), ["later"]);
    assert_eq!((world.store.groups(), world.store.stats().unwrap().groups.len()), (Vec::new(), 0));
}
