//! Messages whose records were erased, or compacted away, and that nobody has: nobody waits for them.

use std::time::{Duration, Instant};

use annals::queue::RetryPolicy;
use annals::stats::QueueStats;
use annals::{CleanupPolicy, Enqueuer, Error, Record, TopicConfig, Transaction, WhenFull};

use crate::world::{World, take, values};

const HOUR: Duration = Duration::from_secs(3600);

fn enqueuer(world: &World, when_full: WhenFull) -> Enqueuer {
    world.store.enqueuer_builder("jobs").limit("workers", 1, when_full).build().unwrap()
}

fn send(jobs: &Enqueuer, key: &str, value: &str) -> annals::Result<()> {
    jobs.send(Record::new().key(key).value(value)).map(drop)
}

/// What waits, what is locked, what is delayed.
fn figures(world: &World) -> (u64, u64, u64) {
    let queues = world.store.stats().unwrap().queues;
    let of = |queue: &QueueStats| (queue.waiting, queue.locked, queue.delayed);
    queues.iter().find(|queue| queue.letters_of.is_none()).map(of).unwrap()
}

#[test]
fn a_message_that_was_erased_kept_its_key_waiting_for_the_whole_of_its_delay() {
    for delay in [HOUR, Duration::MAX] {
        let world = World::new(1);
        let mut worker = world.builder().ordered_by_key().build().unwrap();
        let jobs = enqueuer(&world, WhenFull::Fail);
        send(&jobs, "alice", "old").unwrap();
        take(&mut worker, 1).remove(0).release(delay).unwrap();
        assert_eq!(figures(&world), (0, 0, 1));
        world.store.erase("jobs", "alice").unwrap();
        assert_eq!(figures(&world), (0, 0, 0));
        send(&jobs, "alice", "new").unwrap();
        assert_eq!(values(&take(&mut worker, 9)), ["new"]);
    }
}

/// How it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    Released,
    NotBegun,
    LockIsOver,
}

#[test]
fn a_message_that_was_erased_while_it_was_out_was_waited_for_when_it_came_back() {
    for back in [Back::Released, Back::NotBegun, Back::LockIsOver] {
        let world = World::new(1);
        let mut worker = world.builder().ordered_by_key().build().unwrap();
        let jobs = enqueuer(&world, WhenFull::Fail);
        send(&jobs, "alice", "old").unwrap();
        let message = take(&mut worker, 1).remove(0);
        world.store.erase("jobs", "alice").unwrap();
        assert!(matches!(send(&jobs, "bob", "no"), Err(Error::QueueFull { .. })), "{back:?}: it is out");
        assert_eq!(figures(&world), (0, 1, 0), "{back:?}");
        match back {
            Back::Released => message.release(HOUR).unwrap(),
            Back::NotBegun => message.put_back().unwrap(),
            Back::LockIsOver => {
                world.pass(31);
                send(&jobs, "alice", "new").unwrap();
                assert!(matches!(message.ack(), Err(Error::LockLost { .. })));
            }
        }
        if back != Back::LockIsOver {
            assert_eq!(figures(&world), (0, 0, 0), "{back:?}");
            send(&jobs, "alice", "new").unwrap();
        }
        assert_eq!(values(&take(&mut worker, 9)), ["new"], "{back:?}");
    }
}

#[test]
fn a_message_that_was_compacted_away_kept_its_key_waiting_for_the_whole_of_its_delay() {
    let world = World::new(1);
    world.store.delete_topic("jobs").unwrap();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    let topic = world.store.create_topic("jobs", config).unwrap();
    let mut worker = world.builder().ordered_by_key().build().unwrap();
    world.send_keyed(&[("alice", "old"), ("bob", "his")]);
    take(&mut worker, 1).remove(0).release(HOUR).unwrap();
    world.send_keyed(&[("alice", "new")]);
    assert_eq!(values(&take(&mut worker, 9)), ["his"], "the old one has its delay");
    topic.compact().unwrap();
    assert_eq!(values(&take(&mut worker, 9)), ["his", "new"]);
}

/// It waits, and was counted before.
#[test]
fn a_limit_counted_a_message_that_was_erased_where_it_had_been_counted_once() {
    let world = World::new(1);
    let mut worker = world.worker();
    let jobs = enqueuer(&world, WhenFull::Fail);
    send(&jobs, "alice", "hers").unwrap();
    assert!(send(&jobs, "bob", "his").is_err());
    world.store.erase("jobs", "alice").unwrap();
    send(&jobs, "bob", "his").unwrap();
    assert_eq!(values(&take(&mut worker, 9)), ["his"]);
}

/// Whether it waits, or has a delay.
#[test]
fn a_sender_that_waits_for_room_goes_on_when_what_was_in_its_way_is_erased() {
    for is_delayed in [false, true] {
        let world = World::new(1);
        let mut worker = world.worker();
        let jobs = enqueuer(&world, WhenFull::Block);
        send(&jobs, "alice", "hers").unwrap();
        if is_delayed {
            take(&mut worker, 1).remove(0).release(HOUR).unwrap();
        }
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| send(&jobs, "bob", "his"));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!sender.is_finished(), "delayed: {is_delayed}");
            world.store.erase("jobs", "alice").unwrap();
            sender.join().unwrap().unwrap();
        });
        assert_eq!(values(&take(&mut worker, 9)), ["his"], "delayed: {is_delayed}");
    }
}

#[test]
fn figures_counted_a_letter_that_was_erased_where_it_had_been_counted_once() {
    let world = World::new(1);
    world.send_keyed(&[("alice", "hers"), ("bob", "his")]);
    take(&mut world.worker(), 2).into_iter().for_each(|message| message.reject("no").unwrap());
    let letters = || {
        let queues = world.store.stats().unwrap().queues;
        queues.iter().find(|queue| queue.letters_of.is_some()).map(|queue| queue.waiting)
    };
    assert_eq!(letters(), Some(2));
    world.store.erase("jobs", "alice").unwrap();
    assert_eq!(letters(), Some(1));
}

/// Why its transaction takes no effect, and how long it is to wait then.
#[test]
fn a_sender_was_not_told_of_the_room_that_an_erased_message_left_by_a_refused_commit() {
    type Refuse = fn(&World, Transaction) -> annals::Result<()>;
    let refusals: [(&str, Refuse); 3] = [
        ("a conflict", |world, mut tx| {
            let jobs = world.store.topic("jobs").unwrap().partition(0).unwrap();
            tx.expect_end(&jobs, 99);
            tx.commit().map(drop)
        }),
        ("its own fault", |_, mut tx| tx.send(Record::to("nowhere")).map(drop).and(tx.commit().map(drop))),
        ("dropped", |_, tx| {
            drop(tx);
            Err(Error::Cancelled { what: "it" })
        }),
    ];
    let mut all = Vec::new();
    for (name, refuse) in refusals {
        for delay in [Duration::ZERO, HOUR] {
            let world = World::new(1);
            let mut worker = world.builder().retry_policy(RetryPolicy::fixed(delay)).build().unwrap();
            let jobs = enqueuer(&world, WhenFull::Block);
            send(&jobs, "alice", "hers").unwrap();
            let message = take(&mut worker, 1).remove(0);
            world.store.erase("jobs", "alice").unwrap();
            let took = std::thread::scope(|scope| {
                let sender = scope.spawn(|| send(&jobs, "bob", "his"));
                // It looks by itself 250 ms after it has come.
                std::thread::sleep(Duration::from_millis(60));
                assert!(!sender.is_finished(), "{name}: it is out");
                let mut tx = world.store.transaction("t").unwrap();
                tx.ack(message);
                assert!(refuse(&world, tx).is_err(), "{name}");
                let refused = Instant::now();
                sender.join().unwrap().unwrap();
                refused.elapsed()
            });
            all.push((name, delay, took));
            assert_eq!(values(&take(&mut worker, 9)), ["his"], "{name}");
        }
    }
    let prompt = all.iter().filter(|(_, _, took)| *took < Duration::from_millis(90)).count();
    assert!(prompt > all.len() / 2, "{all:?}");
}

/// The other direction: it may be the next of its key that waits.
#[test]
fn a_worker_that_waits_is_told_of_what_a_refused_commit_sets_free() {
    for is_erased in [false, true] {
        let world = World::new(1);
        let mut worker = world.builder().ordered_by_key().build().unwrap();
        world.send_keyed(&[("alice", "old")]);
        let message = take(&mut worker, 1).remove(0);
        if is_erased {
            world.store.erase("jobs", "alice").unwrap();
        }
        world.send_keyed(&[("alice", "new")]);
        assert!(take(&mut worker, 9).is_empty());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                values(&worker.take(1, Duration::from_secs(20)).unwrap().into_iter().collect::<Vec<_>>())
            });
            std::thread::sleep(Duration::from_millis(100));
            let jobs = world.store.topic("jobs").unwrap().partition(0).unwrap();
            let mut tx = world.store.transaction("t").unwrap();
            tx.ack(message);
            tx.expect_end(&jobs, 99);
            assert!(tx.commit().is_err());
            assert!(wait_for(|| waits.is_finished()), "erased: {is_erased}");
            assert_eq!(waits.join().unwrap(), [if is_erased { "new" } else { "old" }]);
        });
    }
}

/// Whether it comes to be within some seconds.
fn wait_for(is_so: impl Fn() -> bool) -> bool {
    (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        is_so()
    })
}
