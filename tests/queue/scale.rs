//! Many waiting messages: memory, an open and a take do not grow with them.
//!
//! `ANNALS_WAITING=10000000 cargo test --release --test queue scale:: -- --nocapture`

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig};

use crate::clocks::AskingClock;
use crate::world::{World, take};

/// What the process holds, in KiB, files that are mapped left out.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// In a process of its own: what it holds is not that of other tests.
#[test]
fn a_worker_far_behind_keeps_nothing_of_what_waits() {
    const ALONE: &str = "ANNALS_SCALE_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", "scale::a_worker_far_behind_keeps_nothing_of_what_waits", "--nocapture"]);
        assert!(alone.env(ALONE, "1").status().unwrap().success(), "see above");
        return;
    }
    let waiting =
        std::env::var("ANNALS_WAITING").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000_u64);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
    let jobs = store.producer_builder().durability(Durability::Memory).build().unwrap().bind("jobs").unwrap();
    for number in 0..waiting {
        jobs.send(Record::new().key(&number.to_be_bytes()).value("job")).unwrap();
    }
    jobs.flush().unwrap();
    let before = resident();
    let mut worker = store.queue("jobs", "workers").unwrap();
    // Every tenth of the first ones is not done: a window with holes.
    let mut kept = Vec::new();
    for _ in 0..100 {
        for message in take(&mut worker, 100) {
            if message.offset % 10 == 0 {
                kept.push(message);
            } else {
                message.ack().unwrap();
            }
        }
    }
    let held = resident().saturating_sub(before);
    kept.into_iter().for_each(std::mem::forget);
    drop(worker);
    store.close().unwrap();
    let began = Instant::now();
    let store = Store::open(dir.path()).unwrap();
    let mut worker = store.queue("jobs", "workers").unwrap();
    let opened = began.elapsed();
    let began = Instant::now();
    let first = take(&mut worker, 100);
    println!("{waiting} waiting: {held} KiB held, opened in {opened:?}, first take in {:?}", began.elapsed());
    assert_eq!(first.len(), 100);
    assert!(first.iter().all(|message| message.offset % 10 == 0 && message.delivery_count() == 2));
    assert!(held < 64 << 10, "{held} KiB");
    assert!(worker.take(1, Duration::ZERO).unwrap().len() == 1);
}

/// What newer snapshots stand for is deleted, and no state with it: neither one that changes all the time, nor one that nobody touches, nor
/// one that comes meanwhile.
#[test]
fn what_is_deleted_of_the_stored_states_is_needed_by_none() {
    // More than maintenance leaves there.
    const UPDATES: usize = 51_000;
    let world = World::new(1);
    world.send(&["a", "b", "c"]);
    let mut cold = world.store.queue("jobs", "cold").unwrap();
    take(&mut cold, 1).remove(0).ack().unwrap();
    drop(take(&mut cold, 1));
    let mut worker = world.builder().delivery_limit(u16::MAX).build().unwrap();
    for _ in 0..UPDATES {
        drop(worker.take(1, Duration::ZERO).unwrap());
    }
    take(&mut worker, 1).remove(0).ack().unwrap();
    // What a power cut leaves of the rest is not what is looked at.
    world.store.producer().flush().unwrap();
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    assert_eq!(states.start(), 0);
    let before = world.killed();
    world.store.maintain().unwrap();
    assert!(states.start() > 25_000, "{} of {}", states.start(), states.end());
    for next in [world.killed(), world.without_power()] {
        let mut worker = next.builder().delivery_limit(u16::MAX).build().unwrap();
        let left = take(&mut worker, 10);
        let counts: Vec<_> = left.iter().map(|message| (message.offset, message.delivery_count())).collect();
        assert_eq!(counts, [(1, 1), (2, 1)]);
        let mut cold = next.store.queue("jobs", "cold").unwrap();
        let left = take(&mut cold, 10);
        let counts: Vec<_> = left.iter().map(|message| (message.offset, message.delivery_count())).collect();
        assert_eq!(counts, [(1, 2), (2, 1)]);
    }
    check_that_new_ones_stay(&before);
}

/// Queues come at each look at the clock, and none is there that would keep anything.
fn check_that_new_ones_stay(before: &World) {
    before.store.delete_group("workers").unwrap();
    let (clock, calls) = AskingClock::over(&before.clock);
    let world = before.with_clock(Arc::clone(&clock) as _);
    let new = thread::scope(|scope| {
        scope.spawn(|| clock.ask(|| world.store.maintain().unwrap()));
        let new = calls.iter().enumerate().map(|(number, reply)| {
            drop(world.store.queue("jobs", &format!("new {number}")).unwrap());
            _ = reply.send(());
        });
        new.count()
    });
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    assert!(states.start() > 50_000, "{} of {}", states.start(), states.end());
    assert_eq!(world.killed().store.stats().unwrap().queues.len(), 1 + new);
}

/// The states are pruned by bytes, soon after they are many, and at last by a worker where nobody maintains the store.
#[test]
fn stored_states_of_long_names_are_few_segments_whoever_prunes_them() {
    // Each record bears it: a segment holds about 500 of them.
    let group = "g".repeat(30_000);
    let world = World::new(1);
    world.send(&["a", "b"]);
    let mut cold = world.store.queue("jobs", "cold").unwrap();
    take(&mut cold, 1).remove(0).ack().unwrap();
    let mut worker = world.store.queue_builder("jobs", &group).delivery_limit(u16::MAX).build().unwrap();
    let work = |worker: &mut annals::Worker, times: usize| {
        for _ in 0..times {
            world.send(&["c"]);
            take(worker, 1).remove(0).ack().unwrap();
        }
    };
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    let bytes = || states.bytes() >> 20;
    work(&mut worker, 500);
    assert!(bytes() > 33, "{} MiB", bytes());
    world.store.maintain().unwrap();
    assert!(bytes() < 33, "{} MiB after maintenance", bytes());
    work(&mut worker, 1500);
    assert!((33..100).contains(&bytes()), "{} MiB without maintenance", bytes());
    // What a power cut leaves of the rest is not what is looked at.
    world.store.producer().flush().unwrap();
    for next in [world.killed(), world.without_power()] {
        let mut cold = next.store.queue("jobs", "cold").unwrap();
        assert_eq!(take(&mut cold, 1)[0].offset, 1);
        let mut worker = next.store.queue_builder("jobs", &group).build().unwrap();
        assert_eq!(take(&mut worker, 9).iter().map(|left| left.offset).collect::<Vec<_>>(), [2000, 2001]);
    }
}
