//! What is out when a process ends is out beside others in other partitions and other queues: whoever ends it goes to the dead letters, and
//! nobody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use annals::{Error, Message, QueueBuilder, Record, TopicConfig, WhenFull, Worker};

use crate::fragile_clock::FragileClock;
use crate::world::{World, take, value, values};

const POISON: &str = "poison";
const MOST_KILLS: usize = 9;

fn workers(builders: &[QueueBuilder]) -> Vec<Worker> {
    builders.iter().map(|builder| builder.clone().build().unwrap()).collect()
}

/// What all workers are handed in turn, and hold.
fn hold(workers: &mut [Worker]) -> Vec<Message> {
    workers.iter_mut().flat_map(|worker| take(worker, 3)).collect()
}

/// Lives until nothing is left: all that workers hold is out when one of them has the poison. Returns how many lives there were, and
/// what was done.
fn live(mut world: World, builders: impl Fn(&World) -> Vec<QueueBuilder>) -> (World, usize, Vec<String>) {
    let (mut kills, mut done) = (0, Vec::new());
    'lives: loop {
        let mut workers = workers(&builders(&world));
        loop {
            let out = hold(&mut workers);
            if out.is_empty() {
                break 'lives;
            }
            if out.iter().any(|message| value(message) == POISON) {
                kills += 1;
                let next = world.killed();
                // They are of a process that has ended.
                out.into_iter().for_each(std::mem::forget);
                workers.into_iter().for_each(std::mem::forget);
                std::mem::forget(std::mem::replace(&mut world, next));
                if kills == MOST_KILLS {
                    break 'lives;
                }
                break;
            }
            for message in out {
                done.push(value(&message));
                message.ack().unwrap();
            }
        }
    }
    (world, kills, done)
}

fn send(world: &World, topic: &str, partition: u32, value: &str) {
    world.store.producer().send(Record::to(topic).partition(partition).value(value)).unwrap();
}

/// Hands one message out so often, and has it come back.
fn fail(builder: &QueueBuilder, times: u16) {
    let mut worker = builder.clone().build().unwrap();
    for _ in 0..times {
        take(&mut worker, 1).remove(0).release(Duration::ZERO).unwrap();
    }
}

fn limited(world: &World, topic: &str, limit: u16) -> QueueBuilder {
    world.store.queue_builder(topic, "workers").delivery_limit(limit)
}

#[test]
fn a_message_that_ends_the_process_takes_none_of_another_partition_along() {
    for limit in 2..=6 {
        for failed in 0..limit - 1 {
            for poisoned in 0..2 {
                let world = World::new(2);
                send(&world, "jobs", 1 - poisoned, "innocent");
                fail(&limited(&world, "jobs", limit), failed);
                send(&world, "jobs", poisoned, POISON);
                let (world, kills, done) =
                    live(world, |world| vec![limited(world, "jobs", limit), limited(world, "jobs", limit)]);
                let what = format!("limit {limit}, after {failed} failures, poison in {poisoned}");
                assert_eq!(kills, usize::from(limit), "{what}");
                assert_eq!(world.values("jobs.workers.dead"), [POISON], "{what}");
                assert_eq!(done, ["innocent"], "{what}");
            }
        }
    }
}

#[test]
fn a_message_that_ends_the_process_takes_none_of_another_queue_along() {
    for (limit, other) in [(3, 3), (5, 5), (5, 3), (3, 5), (4, u16::MAX), (2, 5)] {
        for failed in 0..limit - 1 {
            for is_first in [true, false] {
                let world = World::new(1);
                world.store.create_topic("more", TopicConfig::new()).unwrap();
                send(&world, "jobs", 0, "innocent");
                fail(&limited(&world, "jobs", limit), failed);
                send(&world, "more", 0, POISON);
                let what = format!("limits {limit} and {other}, after {failed} failures");
                let builders = |world: &World| {
                    let builders = vec![limited(world, "more", other), limited(world, "jobs", limit)];
                    if is_first { builders } else { builders.into_iter().rev().collect() }
                };
                let (world, kills, done) = live(world, builders);
                assert_eq!(kills, usize::from(other).min(MOST_KILLS), "{what}");
                assert!(world.store.topic("jobs.workers.dead").is_err(), "{what}");
                if other == u16::MAX {
                    // It ends process after process: the other waits, or is done.
                    continue;
                }
                assert_eq!(world.values("more.workers.dead"), [POISON], "{what}");
                assert_eq!(done, ["innocent"], "{what}");
            }
        }
    }
}

/// It has failed by itself in the life in which the other ends the process, too.
#[test]
fn a_message_that_was_out_before_and_fails_once_more_is_not_taken_along_at_its_last_attempt() {
    let world = World::new(2);
    send(&world, "jobs", 0, "innocent");
    send(&world, "jobs", 1, POISON);
    let out = hold(&mut workers(&[limited(&world, "jobs", 3), limited(&world, "jobs", 3)]));
    assert_eq!(out.len(), 2);
    let after = world.killed();
    let builder = limited(&after, "jobs", 3);
    let mut workers = workers(&[builder.clone(), builder]);
    let first = take(&mut workers[0], 1).remove(0);
    assert_eq!((value(&first).as_str(), first.delivery_count()), ("innocent", 2));
    let second = take(&mut workers[1], 1).remove(0);
    first.release(Duration::ZERO).unwrap();
    assert!(take(&mut workers[0], 1).is_empty(), "its last attempt, beside one that may end the process");
    second.ack().unwrap();
    assert_eq!(take(&mut workers[0], 1)[0].delivery_count(), 3);
    drop(out);
}

/// Two queues with one message each that was out when the process ended, and is at its last attempt.
fn both_at_their_last(world: &World) -> World {
    world.store.create_topic("more", TopicConfig::new()).unwrap();
    send(world, "jobs", 0, "first");
    send(world, "more", 0, "second");
    let out = hold(&mut workers(&[limited(world, "jobs", 2), limited(world, "more", 2)]));
    assert_eq!(out.len(), 2);
    let after = world.killed();
    drop(out);
    after
}

type End = fn(&World, Message);

/// What may become of the one that is out.
const ENDS: [(&str, End); 12] = [
    ("ack", |_, message| message.ack().unwrap()),
    ("release", |_, message| message.release(Duration::from_secs(900)).unwrap()),
    ("retry", |_, message| message.retry_because("no").unwrap()),
    ("drop", |_, message| drop(message)),
    ("reject", |_, message| message.reject("no").unwrap()),
    ("put back", |_, message| message.put_back().unwrap()),
    ("commit", |world, message| {
        let mut tx = world.store.transaction("t").unwrap();
        tx.ack(message);
        tx.commit().unwrap();
    }),
    ("abort", |world, message| {
        let mut tx = world.store.transaction("t").unwrap();
        tx.ack(message);
        tx.abort().unwrap();
    }),
    ("deletion", |world, message| {
        world.store.delete_topic("jobs").unwrap();
        assert!(message.ack().is_err());
    }),
    ("deletion of its record", |world, message| {
        let partition = world.store.topic("jobs").unwrap().partition(0).unwrap();
        partition.delete_records(partition.end()).unwrap();
        std::mem::forget(message);
    }),
    ("retention", |world, message| {
        world.store.alter_topic("jobs", TopicConfig::new().retention_bytes(0)).unwrap();
        world.store.topic("jobs").unwrap().apply_retention().unwrap();
        std::mem::forget(message);
    }),
    ("lock", |world, message| {
        world.pass(31);
        std::mem::forget(message);
    }),
];

#[test]
fn who_waits_in_one_queue_for_a_last_attempt_in_another_is_woken_by_its_end() {
    for (how, end) in ENDS {
        let world = both_at_their_last(&World::new(1));
        let mut one = limited(&world, "jobs", 2).build().unwrap();
        // Its lock runs out by the world's clock, and is looked at by a real one.
        let short = Duration::from_millis(if how == "lock" { 50 } else { 30_000 });
        let mut other = limited(&world, "more", 2).lock_timeout(short).build().unwrap();
        let mut one_short = limited(&world, "jobs", 2).lock_timeout(short).build().unwrap();
        let first = take(&mut one_short, 1).remove(0);
        assert!(take(&mut other, 1).is_empty() && take(&mut one, 1).is_empty(), "{how}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| other.take(1, Duration::from_secs(10)).unwrap().len());
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished(), "{how}");
            end(&world, first);
            assert_eq!(waiting.join().unwrap(), 1, "{how}: nobody was woken");
        });
    }
}

/// A worker's thread that panics lets go what it holds; one of a queue that nobody works on any more holds nothing.
#[test]
fn a_last_attempt_whose_worker_is_gone_keeps_no_other_waiting() {
    let world = both_at_their_last(&World::new(1));
    let mut other = limited(&world, "more", 2).build().unwrap();
    let builder = limited(&world, "jobs", 2);
    let worker = thread::spawn(move || {
        let _first = builder.build().unwrap().take(1, Duration::ZERO).unwrap();
        panic!("the worker");
    });
    assert!(worker.join().is_err());
    assert_eq!(take(&mut other, 1).len(), 1);
}

/// One message in each of three partitions, out when the process ended: the one in `last` has its last attempt before it, the others two.
fn one_at_its_last_of_three(last: u32) -> World {
    let world = World::new(3);
    send(&world, "jobs", last, "last");
    fail(&limited(&world, "jobs", 4), 2);
    for partition in (0..3).filter(|partition| *partition != last) {
        send(&world, "jobs", partition, "doubted");
    }
    let out = hold(&mut [(); 3].map(|()| limited(&world, "jobs", 4).build().unwrap()));
    assert_eq!(out.len(), 3);
    let after = world.killed();
    drop(out);
    for partition in 0..3 {
        send(&after, "jobs", partition, "new");
    }
    after
}

#[test]
fn what_was_out_when_a_process_ended_waits_for_a_last_attempt_and_what_is_new_does_not() {
    let world = one_at_its_last_of_three(0);
    let mut workers = [(); 3].map(|()| limited(&world, "jobs", 4).build().unwrap());
    let last = take(&mut workers[0], 9);
    assert_eq!((values(&last), last[0].delivery_count()), (vec!["last".to_owned()], 4));
    assert_eq!(values(&take(&mut workers[1], 9)), ["new", "new", "new"]);
    drop(last);
    let out: Vec<_> = (0..5).flat_map(|_| take(&mut workers[1], 1)).collect();
    assert_eq!(out.iter().filter(|message| value(message) == "doubted").count(), 2, "side by side");
}

#[test]
fn a_last_attempt_waits_for_what_may_end_the_process_and_not_for_what_came_back() {
    let world = one_at_its_last_of_three(2);
    let mut workers = [(); 3].map(|()| limited(&world, "jobs", 4).build().unwrap());
    let (mut one, mut two) = (take(&mut workers[0], 1), take(&mut workers[0], 1));
    assert_eq!([values(&one), values(&two)].concat(), ["doubted", "doubted"]);
    assert_eq!(values(&take(&mut workers[2], 9)), ["new", "new", "new"]);
    one.remove(0).put_back().unwrap();
    two.remove(0).release(Duration::ZERO).unwrap();
    // One has come back, the other was not begun.
    let one = take(&mut workers[1], 1);
    assert_eq!((values(&one), one[0].delivery_count()), (vec!["doubted".to_owned()], 2));
    let two = take(&mut workers[1], 1);
    assert_eq!((values(&two), two[0].delivery_count()), (vec!["doubted".to_owned()], 3));
    assert!(take(&mut workers[2], 9).iter().all(|message| value(message) == "new"));
    one.into_iter().for_each(|message| message.release(Duration::from_secs(1)).unwrap());
    let out: Vec<_> = (0..4).flat_map(|_| take(&mut workers[2], 1)).collect();
    assert!(out.iter().any(|message| value(message) == "last" && message.delivery_count() == 4));
    drop(two);
}

/// Of two that are out the one whose lock holds for long is done; the worker of the other is gone.
#[test]
fn a_last_attempt_waits_no_longer_than_what_is_out_is_locked() {
    for is_renewed in [false, true] {
        let world = World::new(1);
        world.store.create_topic("more", TopicConfig::new()).unwrap();
        send(&world, "more", 0, "last");
        fail(&limited(&world, "more", 3), 1);
        ["long", "short"].into_iter().for_each(|value| send(&world, "jobs", 0, value));
        let out = hold(&mut workers(&[limited(&world, "more", 3), limited(&world, "jobs", 9)]));
        assert_eq!(out.len(), 3);
        let after = world.killed();
        drop(out);
        let long = limited(&after, "jobs", 9).lock_timeout(Duration::from_secs(3600));
        let long = take(&mut long.build().unwrap(), 1).remove(0);
        let short = take(&mut limited(&after, "jobs", 9).build().unwrap(), 1).remove(0);
        let mut last = limited(&after, "more", 3).build().unwrap();
        assert!(take(&mut last, 1).is_empty());
        std::mem::forget(short);
        if !is_renewed {
            long.ack().unwrap();
            after.pass(31);
            assert_eq!(take(&mut last, 1).len(), 1);
            continue;
        }
        after.pass(31);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| last.take(1, Duration::from_secs(10)).unwrap().len());
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            long.renew_for(Duration::from_secs(1)).unwrap();
            std::mem::forget(long);
            after.pass(2);
            assert_eq!(waiting.join().unwrap(), 1, "nobody was woken");
        });
    }
}

/// Figures find that it is gone.
#[test]
fn a_last_attempt_that_made_room_keeps_no_other_waiting_once_figures_were_asked_for() {
    let world = both_at_their_last(&World::new(1));
    let mut other = limited(&world, "more", 2).build().unwrap();
    let first = take(&mut limited(&world, "jobs", 2).build().unwrap(), 1).remove(0);
    assert!(take(&mut other, 1).is_empty());
    let partition = world.store.topic("jobs").unwrap().partition(0).unwrap();
    let drops = TopicConfig::new().segment_bytes(1 << 20).size_limit(1 << 20, WhenFull::DropOldest);
    world.store.alter_topic("jobs", drops).unwrap();
    while partition.start() == 0 {
        send(&world, "jobs", 0, &"x".repeat(300 << 10));
    }
    assert_eq!(world.store.stats().unwrap().queues.len(), 2);
    assert_eq!(take(&mut other, 1).len(), 1);
    drop(first);
}

/// A clock of the program's own panics where the state is forgotten. Whoever has the message never answers.
#[test]
fn a_last_attempt_in_a_topic_that_is_gone_keeps_no_other_waiting_after_a_panic() {
    let mut handed_out = 0;
    for calls in 0..12 {
        let world = both_at_their_last(&World::new(1));
        let clock = FragileClock::sound();
        let world = world.with_clock(Arc::clone(&clock) as _);
        let mut other = limited(&world, "more", 2).build().unwrap();
        let first = take(&mut limited(&world, "jobs", 2).build().unwrap(), 1).remove(0);
        assert!(take(&mut other, 1).is_empty());
        clock.left.store(calls, Ordering::SeqCst);
        let deleted = catch_unwind(AssertUnwindSafe(|| world.store.delete_topic("jobs")));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        std::mem::forget(first);
        if deleted.is_err() {
            continue;
        }
        match other.take(1, Duration::ZERO) {
            Ok(messages) => {
                assert_eq!(messages.len(), 1, "after {calls} calls");
                handed_out += 1;
                messages.into_iter().for_each(|message| message.ack().unwrap());
            }
            Err(error) => assert!(matches!(error, Error::Poisoned { .. }), "{error}"),
        }
    }
    assert!(handed_out > 0);
}
