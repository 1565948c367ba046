//! One answer after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals::io::ManualClock;
use annals::queue::RetryPolicy;
use annals::{Durability, Error, Event, Record, StartFrom, Store, TopicConfig, WhenFull};
use annals_testing::MemoryFileSystem;

use crate::world::{World, take, value, values};

#[test]
fn what_is_done_is_never_handed_out_again_and_what_is_not_is() {
    let world = World::new(1);
    world.send(&["a", "b", "c", "d"]);
    let mut worker = world.worker();
    let mut messages = take(&mut worker, 3);
    assert_eq!(values(&messages), ["a", "b", "c"]);
    assert!(messages.iter().all(|message| message.delivery_count() == 1));
    messages.remove(1).ack().unwrap();
    messages.remove(0).release(Duration::ZERO).unwrap();
    drop(messages);
    let messages = take(&mut worker, 10);
    assert_eq!(values(&messages), ["a", "c", "d"]);
    assert_eq!(messages.iter().map(|message| message.delivery_count()).collect::<Vec<_>>(), [2, 2, 1]);
    messages.into_iter().for_each(|message| message.ack().unwrap());
    assert!(take(&mut worker, 10).is_empty());
    assert!(take(&mut world.worker(), 10).is_empty());
    drop(worker);
    assert!(take(&mut world.worker(), 10).is_empty(), "the queue was opened again");
    assert!(take(&mut world.killed().worker(), 10).is_empty());
}

#[test]
fn a_message_is_with_one_worker_at_a_time_and_a_late_answer_is_refused() {
    let world = World::new(1);
    world.send(&["a"]);
    let (mut one, mut other) = (world.worker(), world.worker());
    let first = take(&mut one, 1).remove(0);
    assert!(take(&mut other, 1).is_empty());
    world.pass(29);
    first.renew().unwrap();
    world.pass(29);
    assert!(take(&mut other, 1).is_empty(), "it was renewed");
    world.pass(1);
    let second = take(&mut other, 1).remove(0);
    assert_eq!(second.delivery_count(), 2);
    let lost = first.ack();
    assert!(matches!(&lost, Err(Error::LockLost { offset: 0, .. })), "{lost:?}");
    second.ack().unwrap();
    world.pass(100);
    assert!(take(&mut one, 1).is_empty());
}

#[test]
fn a_late_answer_says_what_has_become_of_its_message() {
    let world = World::new(1);
    let mut worker = world.worker();
    let lost = |message: annals::Message| message.ack().unwrap_err().to_string();
    let late = |worker: &mut annals::Worker| {
        world.send(&["a"]);
        let message = take(worker, 1).remove(0);
        world.pass(30);
        message
    };
    let message = late(&mut worker);
    let waits =
        "the answer was not taken: its lock has run out, and the message waits to be handed out again";
    assert_eq!(lost(message), format!("offset 0 of jobs-0: {waits}"));
    take(&mut worker, 1).remove(0).ack().unwrap();
    let message = late(&mut worker);
    let again = take(&mut worker, 1).remove(0);
    let out = "the answer was not taken: its lock has run out, and another take was handed the message";
    assert_eq!(lost(message), format!("offset 1 of jobs-0: {out}"));
    again.ack().unwrap();
    let message = late(&mut worker);
    take(&mut worker, 1).remove(0).ack().unwrap();
    assert!(lost(message).ends_with("and the message is done or given up"));
    world.send(&["a"]);
    let message = take(&mut worker, 1).remove(0);
    let jobs = world.store.topic("jobs").unwrap().partition(0).unwrap();
    jobs.delete_records(jobs.end()).unwrap();
    assert!(lost(message).ends_with("its record was deleted"));
}

#[test]
fn messages_that_have_lost_their_lock_are_not_done_with_their_neighbours() {
    let world = World::new(1);
    world.send(&["a", "b", "c"]);
    let mut worker = world.worker();
    let messages = worker.take(3, Duration::ZERO).unwrap();
    messages[0].renew_for(Duration::from_secs(100)).unwrap();
    messages[2].renew_for(Duration::from_secs(100)).unwrap();
    world.pass(31);
    let lost = messages.ack();
    assert!(matches!(&lost, Err(Error::LockLost { offset: 1, .. })), "{lost:?}");
    assert_eq!(values(&take(&mut worker, 3)), ["b"]);
}

#[test]
fn nothing_is_handed_out_before_its_delay_is_over() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let policy = RetryPolicy::exponential(Duration::from_secs(10), Duration::from_secs(60));
    let mut worker = world.builder().retry_policy(policy).build().unwrap();
    let mut messages = take(&mut worker, 2);
    messages.remove(1).retry().unwrap();
    messages.remove(0).release(Duration::from_millis(9_500)).unwrap();
    assert!(take(&mut worker, 2).is_empty());
    world.clock.advance(Duration::from_millis(9_499));
    assert!(take(&mut worker, 2).is_empty());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(values(&take(&mut worker, 2)), ["a"], "and is dropped");
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(values(&take(&mut worker, 2)), ["b"]);
    world.clock.advance(Duration::from_millis(19_999));
    assert_eq!(values(&take(&mut worker, 2)), ["a"], "it waited twice as long after its second delivery");
    assert_eq!(values(&take(&mut worker, 2)), [""; 0]);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(values(&take(&mut worker, 2)), ["b"]);
}

#[test]
fn what_is_given_up_is_a_dead_letter_that_says_why() {
    let world = World::new(3);
    let bad = Record::to("jobs").partition(2).key("k").value("bad").header("trace", "7");
    world.store.producer().send(bad).unwrap();
    let mut worker = world.builder().delivery_limit(2).build().unwrap();
    take(&mut worker, 1).remove(0).reject("no such customer").unwrap();
    let letters = world.store.topic("jobs.workers.dead").unwrap();
    assert_eq!(letters.partition_count(), 3);
    let letter = letters.partition(2).unwrap().get(0).unwrap().unwrap();
    let mut headers: Vec<_> = letter
        .headers
        .iter()
        .map(|header| (header.key.as_str(), String::from_utf8(header.value.clone().unwrap()).unwrap()))
        .collect();
    let expected = [
        ("trace", "7"),
        ("__dlq.errors.topic", "jobs"),
        ("__dlq.errors.partition", "2"),
        ("__dlq.errors.offset", "0"),
        ("__dlq.errors.group", "workers"),
        ("__dlq.errors.delivery.count", "1"),
        ("__dlq.errors.message", "no such customer"),
    ];
    let (last, id) = headers.pop().unwrap();
    assert_eq!((last, id.len(), u128::from_str_radix(&id, 16).is_ok()), ("annals.letter.topic.id", 32, true));
    assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"k"[..]), Some(&b"bad"[..])));

    // The limit: by release, by a lock that runs out.
    world.store.producer().send(Record::to("jobs").partition(0).value("released")).unwrap();
    world.store.producer().send(Record::to("jobs").partition(1).value("forgotten")).unwrap();
    drop(take(&mut worker, 2));
    let again = take(&mut worker, 1);
    let again = again.into_iter().chain(take(&mut worker, 1));
    for message in again {
        assert_eq!(message.delivery_count(), 2);
        if value(&message) == "released" {
            message.retry().unwrap();
        } else {
            std::mem::forget(message);
        }
    }
    world.pass(31);
    assert!(take(&mut worker, 10).is_empty());
    let mut dead = world.values("jobs.workers.dead");
    dead.sort();
    assert_eq!(dead, ["bad", "forgotten", "released"]);
}

#[test]
fn without_dead_letters_what_is_given_up_is_gone() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let mut worker = world.builder().without_dead_letters().build().unwrap();
    take(&mut worker, 1).remove(0).reject("no").unwrap();
    assert_eq!(values(&take(&mut worker, 10)), ["b"]);
    assert_eq!(world.store.topics().iter().filter(|topic| topic.name().contains("dead")).count(), 0);
    drop(worker);
    let named = world.builder().dead_letter_topic("graveyard").build().unwrap();
    assert!(matches!(world.builder().ordered_by_key().build(), Err(Error::InvalidArgument { .. })));
    drop(named);
    let mut worker = world.builder().dead_letter_topic("graveyard").build().unwrap();
    take(&mut worker, 1).remove(0).reject("no").unwrap();
    assert_eq!(world.values("graveyard"), ["b"]);
}

#[test]
fn a_letter_that_cannot_be_written_is_written_later_and_is_in_nobodys_way() {
    let world = World::new(1);
    world.store.create_topic("graveyard", TopicConfig::new().size_limit(1, WhenFull::Fail)).unwrap();
    world.send(&["bad", "good"]);
    let mut worker = world.builder().dead_letter_topic("graveyard").delivery_limit(1).build().unwrap();
    drop(take(&mut worker, 1));
    let full = worker.take(1, Duration::ZERO);
    let taken = full.map(|messages| values(&messages)).unwrap_or_default();
    let taken = if taken.is_empty() { values(&take(&mut worker, 1)) } else { taken };
    assert_eq!(taken, ["good"]);
    world.store.alter_topic("graveyard", TopicConfig::new().size_limit(1 << 20, WhenFull::Fail)).unwrap();
    world.pass(2);
    assert!(take(&mut worker, 1).is_empty());
    let mut dead = world.values("graveyard");
    dead.sort();
    assert_eq!(dead, ["bad", "good"]);
}

#[test]
fn an_answer_takes_effect_with_its_transaction_or_not_at_all() {
    let world = World::new(1);
    world.store.create_topic("results", TopicConfig::new()).unwrap();
    world.send(&["a", "b", "c"]);
    let mut worker = world.worker();
    let mut messages = take(&mut worker, 3).into_iter();
    let mut tx = world.store.transaction("work").unwrap();
    tx.send(Record::to("results").value("a done")).unwrap();
    tx.ack(messages.next().unwrap());
    tx.commit().unwrap();
    let mut aborted = world.store.transaction("work").unwrap();
    aborted.send(Record::to("results").value("b done")).unwrap();
    aborted.ack(messages.next().unwrap());
    drop(aborted);
    let mut late = world.store.transaction("work").unwrap();
    late.send(Record::to("results").value("c done")).unwrap();
    late.ack(messages.next().unwrap());
    world.pass(31);
    assert!(matches!(late.commit(), Err(Error::LockLost { offset: 2, .. })));
    for world in [world.killed(), world] {
        assert_eq!(world.values("results"), ["a done"]);
        assert_eq!(values(&take(&mut world.worker(), 10)), ["b", "c"]);
    }
}

#[test]
fn all_messages_of_a_take_are_done_with_one_write() {
    let world = World::new(1);
    let jobs: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    world.send(&jobs.iter().map(String::as_str).collect::<Vec<_>>());
    let mut worker = world.worker();
    let messages = worker.take(100, Duration::ZERO).unwrap();
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    let before = states.end();
    messages.ack().unwrap();
    assert_eq!(states.end() - before, 1);
    assert!(take(&mut world.killed().worker(), 10).is_empty());
}

#[test]
fn a_durable_answer_survives_a_power_cut_and_counts_may_not() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    world.store.producer().flush().unwrap();
    let mut worker = world.builder().durability(Durability::Disk).build().unwrap();
    let mut messages = take(&mut worker, 2).into_iter();
    messages.next().unwrap().ack().unwrap();
    let after = world.without_power();
    assert_eq!(values(&take(&mut after.worker(), 10)), ["b"]);
}

#[test]
fn queues_of_different_groups_and_topics_know_nothing_of_each_other() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let mut late = world.store.queue_builder("jobs", "late").start_from(StartFrom::Latest).build().unwrap();
    take(&mut world.worker(), 1).remove(0).ack().unwrap();
    assert_eq!(values(&take(&mut world.store.queue("jobs", "others").unwrap(), 10)), ["a", "b"]);
    world.send(&["c"]);
    assert_eq!(values(&take(&mut late, 10)), ["c"]);
    assert_eq!(values(&take(&mut world.worker(), 10)), ["b", "c"]);
    let mut consumer = world.store.consumer("workers").unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 3);
    let fail = world.store.queue_builder("jobs", "new").start_from(StartFrom::Fail).build();
    assert!(matches!(fail, Err(Error::NoCommittedOffset { .. })), "{fail:?}");
    assert!(world.store.queue_builder("jobs", "workers").start_from(StartFrom::Fail).build().is_ok());
}

#[test]
fn arguments_that_make_no_queue_are_refused() {
    let world = World::new(1);
    let unknown = world.store.queue("nowhere", "g");
    assert!(matches!(unknown, Err(Error::UnknownTopic { .. })));
    assert!(matches!(world.store.queue("jobs", ""), Err(Error::InvalidName { .. })));
    let none = world.builder().delivery_limit(0).build();
    assert!(matches!(none, Err(Error::InvalidConfig { .. })));
    let short = world.builder().lock_timeout(Duration::from_micros(999)).build();
    assert!(matches!(short, Err(Error::InvalidConfig { .. })));
    assert!(matches!(world.builder().then("jobs").build(), Err(Error::InvalidArgument { .. })));
    let _worker = world.worker();
    assert!(matches!(world.store.queue("__share_group_state", "g"), Err(Error::InvalidArgument { .. })));
    assert!(
        world.store.topic("__share_group_state").unwrap().partition(0).unwrap().delete_records(0).is_err()
    );
}

#[test]
fn the_last_reason_of_a_message_that_was_tried_too_often_is_in_its_letter() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let mut worker = world.builder().delivery_limit(2).build().unwrap();
    for left in [1, 0] {
        let mut messages = take(&mut worker, 1);
        messages.extend(take(&mut worker, 1));
        assert_eq!(messages.iter().map(|one| one.deliveries_left()).collect::<Vec<_>>(), [Some(left); 2]);
        messages.remove(0).retry_because(&format!("{left} times more")).unwrap();
        messages.remove(0).release_because(Duration::ZERO, "busy").unwrap();
    }
    let letters = world.store.dead_letters("jobs", "workers").unwrap().take(9).unwrap();
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    let said = |why| format!("delivered 2 times and not done, at last: {why}");
    assert_eq!(reasons, [said("0 times more"), said("busy")]);
    drop(worker);
    let mut worker = world.builder().delivery_limit(u16::MAX).build().unwrap();
    world.send(&["c"]);
    assert_eq!(take(&mut worker, 1)[0].deliveries_left(), None);
}

#[test]
fn what_a_worker_has_not_begun_comes_back_uncounted_also_after_restarts_and_in_full_company() {
    for is_ordered in [false, true] {
        let mut world = World::new(1);
        let names: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        names.iter().for_each(|name| world.send_keyed(&[(name, name)]));
        for life in 0..12 {
            let builder = if is_ordered { world.builder().ordered_by_key() } else { world.builder() };
            let mut worker = builder.build().unwrap();
            let messages = worker.take(10, Duration::ZERO).unwrap();
            assert_eq!(messages.len(), 10, "life {life}");
            assert!(messages.iter().all(|message| message.delivery_count() == 1));
            if life % 2 == 0 {
                messages.put_back().unwrap();
            } else {
                messages.into_iter().for_each(|message| message.put_back().unwrap());
            }
            drop(worker);
            world = world.killed();
        }
        // One that did count stays counted.
        let mut worker = world.worker();
        take(&mut worker, 1).remove(0).retry().unwrap();
        take(&mut worker, 1).remove(0).put_back().unwrap();
        let world = world.killed();
        let again = take(&mut world.worker(), 1);
        assert_eq!(again[0].delivery_count(), 2);
        world.pass(31);
        let late = again.into_iter().next().unwrap().put_back();
        assert!(matches!(late, Err(Error::LockLost { .. })), "{late:?}");
    }
}

#[test]
fn locks_that_figures_find_have_run_out_are_told() {
    let (told, clock) = (Arc::new(AtomicU64::new(0)), Arc::new(ManualClock::at(1_000_000)));
    let to = Arc::clone(&told);
    let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
    let builder = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().on_event(move |event| {
        if let Event::LocksExpired { group, messages, .. } = event {
            assert_eq!(group, "workers");
            to.fetch_add(*messages, Ordering::SeqCst);
        }
    });
    let store = builder.open().unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("jobs").value("x")).unwrap();
    let mut worker = store.queue("jobs", "workers").unwrap();
    let out = take(&mut worker, 1);
    clock.advance(Duration::from_secs(31));
    assert_eq!(store.stats().unwrap().queues[0].waiting, 1);
    assert_eq!(take(&mut worker, 1).len(), 1);
    store.maintain().unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 1);
    drop(out);
}

/// Whoever waits knows the end that the lock had.
#[test]
fn a_worker_waited_for_the_end_of_a_lock_that_had_been_cut_short() {
    let world = World::new(1);
    world.send(&["a"]);
    let mut worker = world.worker();
    let message = take(&mut worker, 1).remove(0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.take(1, Duration::from_secs(20)).unwrap().len());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        message.renew_for(Duration::ZERO).unwrap();
        let began = std::time::Instant::now();
        assert_eq!(waiting.join().unwrap(), 1);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
    assert!(matches!(message.ack(), Err(Error::LockLost { .. })));
}
