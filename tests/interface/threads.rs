//! Many threads on one store: nothing lost, nothing doubled, everybody's order kept, nobody left asleep.
//!
//! `ANNALS_ROUNDS` is the number of rounds of the ping-pong at each durability, 200,000 by default.
//! `ANNALS_RECORDS` is the number of records of each producer thread, 2,000 by default (a tenth of it at `Disk`).
#![expect(
    clippy::expect_used,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Offset, ReadMode, Record, Store, TopicConfig};

use crate::common::{TOPIC, by_hand, count_from_env, fast_dir, now, producer, records};

const THREADS: usize = 8;

fn small() -> TopicConfig {
    TopicConfig::new().segment_bytes(16 << 10).index_interval_bytes(512)
}

/// Eight threads send; returns what each was told: partition, offset, value.
fn send_from_threads(store: &Store, durability: Durability, count: usize) -> Vec<(u32, Offset, String)> {
    let partitions = store.topic(TOPIC).expect("the topic").partition_count() as usize;
    let producer = producer(store, durability);
    thread::scope(|scope| {
        let send = |thread: usize| {
            let producer = producer.clone();
            scope.spawn(move || {
                let mut told = Vec::new();
                for number in 0..count {
                    let value = format!("{thread} {number} {}", "-".repeat((thread * 31 + number * 7) % 90));
                    let partition = u32::try_from((thread + number) % partitions).expect("a partition");
                    let record = Record::to(TOPIC).partition(partition).value(&value);
                    let at = producer.send(record).expect("a send").offset;
                    told.push((partition, at, value));
                }
                told
            })
        };
        let threads: Vec<_> = (0..THREADS).map(send).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
    })
}

fn nothing_lost_or_doubled(partitions: u32, durability: Durability) {
    let dir = fast_dir();
    let count = count_from_env("ANNALS_RECORDS", 2_000) / if durability == Durability::Disk { 10 } else { 1 };
    let store = Store::open(dir.path()).expect("a new store");
    store.create_topic(TOPIC, small().partitions(partitions)).expect("a new topic");
    let started = now();
    let told = send_from_threads(&store, durability, count);
    store.producer().flush().expect("a flush");
    println!("{partitions} partitions at {durability:?}: {} records in {:?}", told.len(), started.elapsed());
    check(&store, &told, count);
    store.close().expect("a close");
    check(&Store::open(dir.path()).expect("the store again"), &told, count);
}

fn check(store: &Store, told: &[(u32, Offset, String)], count: usize) {
    let topic = store.topic(TOPIC).expect("the topic");
    let mut total = 0;
    for partition in topic.partitions() {
        let found = records(&partition);
        total += found.len();
        assert!(found.iter().zip(0..).all(|((offset, _), at)| *offset == at), "offsets are not dense");
        assert_eq!((partition.durable(), partition.end()), (found.len() as i64, found.len() as i64));
        let mine = |place: &u32| *place == partition.number();
        for (_, offset, value) in told.iter().filter(|(place, ..)| mine(place)) {
            let at = usize::try_from(*offset).expect("an offset");
            assert_eq!(
                found.get(at).map(|(_, found)| found.as_slice()),
                Some(value.as_bytes()),
                "offset {offset}"
            );
        }
        // Each thread's numbers grow with the offsets.
        let mut last = [None; THREADS];
        for (_, value) in &found {
            let text = std::str::from_utf8(value).expect("text");
            let mut words = text.split(' ').map(|word| word.parse::<usize>());
            let (Some(Ok(thread)), Some(Ok(number))) = (words.next(), words.next()) else {
                panic!("{text:?}")
            };
            assert!(last[thread] < Some(number), "thread {thread}: {number} behind {:?}", last[thread]);
            last[thread] = Some(number);
        }
    }
    assert_eq!(total, THREADS * count);
}

#[test]
fn eight_threads_on_one_partition() {
    [Durability::Memory, Durability::Os, Durability::Disk]
        .into_iter()
        .for_each(|at| nothing_lost_or_doubled(1, at));
}

#[test]
fn eight_threads_on_four_partitions() {
    [Durability::Memory, Durability::Os, Durability::Disk]
        .into_iter()
        .for_each(|at| nothing_lost_or_doubled(4, at));
}

fn reader_of(store: &Store, topic: &str) -> Consumer {
    let mut consumer = store.consumer_builder().build().expect("a consumer");
    consumer.assign([(topic, 0)]).expect("a partition");
    consumer
}

/// Two threads, each of which goes on only when the other's record has come: one wake-up missed, and both sleep.
fn ping_pong(durability: Durability) {
    let dir = fast_dir();
    let rounds = count_from_env("ANNALS_ROUNDS", 200_000) as i64;
    let store = by_hand(dir.path()).open().expect("a new store");
    let (ping, pong) = ("ping", "pong");
    [ping, pong]
        .into_iter()
        .for_each(|name| drop(store.create_topic(name, TopicConfig::new()).expect("a new topic")));
    let producer = store
        .producer_builder()
        .durability(durability)
        // A record in memory is written when a reader wants it, or never.
        .linger(Duration::from_secs(3600))
        .build()
        .expect("a producer");
    let started = now();
    let play = |from: &'static str, to: &'static str, serves: bool| {
        let mut consumer = reader_of(&store, from);
        let out = producer.bind(to).expect("the topic");
        move || {
            if serves {
                out.send(Record::new().value("0")).expect("a send");
            }
            for round in 0..rounds {
                let got = consumer.poll(Duration::from_secs(20)).expect("a poll");
                assert_eq!(
                    got.iter().map(|record| record.offset()).collect::<Vec<_>>(),
                    [round],
                    "{durability:?}: {from}: nobody was woken"
                );
                if !serves || round + 1 < rounds {
                    out.send(Record::new().value(&round.to_be_bytes())).expect("a send");
                }
            }
        }
    };
    let (first, second) = (play(ping, pong, false), play(pong, ping, true));
    thread::scope(|scope| {
        scope.spawn(first);
        scope.spawn(second);
    });
    println!("{rounds} rounds at {durability:?} in {:?}", started.elapsed());
}

#[test]
fn a_waiting_reader_misses_no_wake_up_at_memory() {
    ping_pong(Durability::Memory);
}

#[test]
fn a_waiting_reader_misses_no_wake_up_at_os() {
    ping_pong(Durability::Os);
}

/// Nanoseconds that this thread has run, from the kernel.
#[cfg(target_os = "linux")]
fn thread_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel's figures");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
#[cfg(target_os = "linux")]
fn a_waiting_reader_uses_no_processor() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(4)).unwrap();
    (0..4).for_each(|partition| {
        _ = store.producer().send(Record::to(TOPIC).partition(partition).value("x")).unwrap()
    });
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    while !consumer.poll(Duration::from_millis(50)).unwrap().is_empty() {}
    let (started, before) = (now(), thread_nanos());
    assert!(consumer.poll(Duration::from_secs(1)).unwrap().is_empty());
    let (waited, used) = (started.elapsed(), Duration::from_nanos(thread_nanos() - before));
    println!("waited {waited:?}, used {used:?}");
    assert!(
        waited >= Duration::from_secs(1) && used < Duration::from_millis(5),
        "waited {waited:?}, used {used:?}"
    );
}

#[test]
fn a_reader_is_woken_whoever_writes_and_whatever_it_waits_for() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(3)).unwrap();
    let wait = Duration::from_secs(20);
    let (send, flush) = (store.clone(), store.clone());
    thread::scope(|scope| {
        let mut durable = store.consumer_builder().read_durable_only().build().unwrap();
        durable.assign([(TOPIC, 1)]).unwrap();
        let mut group = store.consumer("billing").unwrap();
        group.subscribe([TOPIC]).unwrap();
        let durable = scope.spawn(move || durable.poll(wait).unwrap().len());
        let group = scope.spawn(move || {
            let polled = group.poll(wait).unwrap().len();
            // A new partition is handed out while the member sleeps.
            (polled, group.poll(wait).unwrap().len(), group.assignment().len())
        });
        thread::sleep(Duration::from_millis(50));
        send.producer().send(Record::to(TOPIC).partition(1).value("x")).unwrap();
        thread::sleep(Duration::from_millis(50));
        flush.producer().flush().unwrap();
        flush.add_partitions(TOPIC, 4).unwrap();
        thread::sleep(Duration::from_millis(50));
        send.producer().send(Record::to(TOPIC).partition(3).value("y")).unwrap();
        assert_eq!(durable.join().unwrap(), 1);
        assert_eq!(group.join().unwrap(), (1, 1, 4));
    });
    // Closing wakes too: nobody waits for a store that is gone.
    let mut consumer = reader_of(&store, TOPIC);
    consumer.seek_to_end();
    thread::scope(|scope| {
        let sleeper = scope.spawn(move || consumer.poll(wait));
        thread::sleep(Duration::from_millis(50));
        let started = now();
        store.close().unwrap();
        assert!(matches!(sleeper.join().unwrap(), Err(Error::StoreClosed { .. })));
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn append_if_has_one_winner_for_every_end() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic(TOPIC, small()).unwrap().partition(0).unwrap();
    let rounds = 500;
    let barrier = std::sync::Barrier::new(THREADS);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let run = |thread: usize| {
            let (partition, barrier) = (&partition, &barrier);
            scope.spawn(move || {
                let mut outcomes = Vec::new();
                for end in 0..rounds {
                    // All know the same end; one of them is first.
                    barrier.wait();
                    let value = format!("{thread} at {end}");
                    let durability = [Durability::Disk, Durability::Os, Durability::Memory][thread % 3];
                    let outcome = partition.append_if(end, &[Record::new().value(&value)], durability);
                    // Judged when all are through: who panics here leaves the others at the barrier.
                    outcomes.push((end, value.clone(), outcome.map(|at| at.offsets())));
                    barrier.wait();
                }
                outcomes
            })
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut won = Vec::new();
    for (end, value, outcome) in outcomes {
        match outcome {
            Ok(offsets) => {
                assert_eq!(offsets, end..=end);
                won.push((end, value));
            }
            Err(Error::UnexpectedEnd { expected, found, .. }) => {
                assert!(expected == end && found == end + 1, "expected {expected}, found {found}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    won.sort();
    let found: Vec<_> =
        records(&partition).into_iter().map(|(at, value)| (at, String::from_utf8(value).unwrap())).collect();
    assert_eq!(won, found, "winners and records differ");
    assert_eq!(found.len() as i64, rounds);
    let winners: std::collections::BTreeSet<_> =
        found.iter().filter_map(|(_, value)| value.split(' ').next()).collect();
    println!("{} of {THREADS} threads won at least once", winners.len());
}

#[test]
fn readers_read_on_while_segments_roll() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let dir = fast_dir();
        let store = Store::builder(dir.path()).read_mode(mode).open().unwrap();
        let topic = store.create_topic(TOPIC, small().segment_bytes(4096)).unwrap();
        let partition = topic.partition(0).unwrap();
        let (total, done) = (20_000, AtomicBool::new(false));
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 0..total {
                    let durability = if number % 3 == 0 { Durability::Memory } else { Durability::Os };
                    let value = crate::common::value_of(number);
                    producer(&store, durability).send(Record::to(TOPIC).value(&value)).unwrap();
                }
                done.store(true, Ordering::SeqCst);
            });
            for _ in 0..2 {
                let mut consumer = reader_of(&store, TOPIC);
                scope.spawn(move || {
                    let mut next = 0;
                    while next < total {
                        for record in &consumer.poll(Duration::from_secs(20)).unwrap() {
                            assert_eq!(record.offset(), next);
                            assert_eq!(
                                record.value(),
                                Some(crate::common::value_of(next).as_bytes()),
                                "{mode:?}: offset {next}"
                            );
                            next += 1;
                        }
                    }
                });
            }
            let (partition, done) = (&partition, &done);
            scope.spawn(move || {
                let mut random = annals_testing::Random::new(7);
                while !done.load(Ordering::SeqCst) {
                    let end = partition.end();
                    let from = random.below(end.unsigned_abs() + 1).cast_signed();
                    let fetched = partition.read(from..(from + 20)).unwrap().fetch().unwrap();
                    for (record, at) in fetched.iter().zip(from..) {
                        assert_eq!(
                            (record.offset(), record.value()),
                            (at, Some(crate::common::value_of(at).as_bytes()))
                        );
                    }
                }
            });
            writer.join().unwrap();
        });
        let segments = crate::common::files_of(dir.path(), "orders-0", ".log").len();
        println!("{mode:?}: {segments} segments");
        assert!(segments > 100);
    }
}

/// Shows a later time at each look. Whoever looks first is kept until somebody else has appended, or for a while.
#[derive(Debug, Default)]
struct SlowClock {
    looks: AtomicI64,
    is_armed: AtomicBool,
    has_appended: AtomicBool,
}

impl annals::io::Clock for SlowClock {
    fn now(&self) -> i64 {
        let now = 1_000_000 + self.looks.fetch_add(1, Ordering::SeqCst);
        if self.is_armed.swap(false, Ordering::SeqCst) {
            for _ in 0..100 {
                if self.has_appended.load(Ordering::SeqCst) {
                    break;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        now
    }
}

#[test]
fn times_that_the_log_gives_do_not_run_backwards_when_two_threads_append() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = std::sync::Arc::new(SlowClock::default());
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().expect("a store");
    let config = TopicConfig::new().message_timestamp_type(annals::TimestampType::LogAppendTime);
    let partition = store.create_topic(TOPIC, config).and_then(|topic| topic.partition(0)).expect("a topic");
    partition.append(&[Record::new()], Durability::Os).expect("an append");
    clock.is_armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        scope.spawn(|| partition.append(&[Record::new()], Durability::Os).expect("an append"));
        while clock.is_armed.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        partition.append(&[Record::new()], Durability::Os).expect("an append");
        clock.has_appended.store(true, Ordering::SeqCst);
    });
    let read = partition.read(..).expect("a reader");
    let times: Vec<_> = read.into_iter().map(|record| record.expect("a record").timestamp).collect();
    assert_eq!(times.len(), 3);
    assert!(times.is_sorted(), "{times:?}");
}
