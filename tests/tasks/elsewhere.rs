//! Tasks that wait for what another process writes. Owner and readers are in one process here, which the two do not know.

use std::future::poll_fn;
use std::path::Path;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Error, Query, Store, StoreReader, TopicConfig};

use super::{block_on, dropping, send};

/// Where processes can share memory.
fn dir() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn open(dir: &Path) -> Store {
    let store = Store::open(dir).unwrap();
    store.ensure_topic("orders", TopicConfig::new().key_index(true)).unwrap();
    store
}

fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|one| one.trim() == name).count()
}

#[test]
fn tasks_elsewhere_are_handed_each_record_once_and_their_commits_survive_the_owner() {
    let dir = dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    let orders = reader.topic("orders").unwrap().partition(0).unwrap();
    let (mut all, mut events) = (orders.read_from(0).unwrap(), orders.select(&Query::all(), ..).unwrap());
    let (mut next, mut seen) = (0, [0, 0, 0]);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100 {
                send(&store, "orders", "2 apples");
                if number % 10 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let mut dropped = 0;
        while seen[0] < 100 {
            let (records, more) = dropping!(billing.next());
            dropped += more;
            for record in &records.unwrap() {
                assert_eq!(record.offset(), next);
                next += 1;
                seen[0] += 1;
            }
            block_on(billing.commit_async()).unwrap();
        }
        assert!(dropped > 0);
        while seen[1] < 100 {
            seen[1] += block_on(all.next()).unwrap().unwrap().len();
        }
        while seen[2] < 100 {
            seen[2] += block_on(events.next()).unwrap().len();
        }
    });
    assert_eq!(seen, [100; 3]);
    assert_eq!(store.committed("billing")[&("orders", 0).into()].offset, 100);
}

/// A wake-up that is lost is found after a minute. One thread plays the owner, and one the tasks: no round begins a thread.
#[test]
fn no_wake_up_from_elsewhere_is_lost_and_one_thread_listens_for_all() {
    let dir = dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let rounds = std::env::var("ANNALS_WAKES").map_or(1_000, |rounds| rounds.parse().unwrap());
    let mut consumers: Vec<_> = (0..20)
        .map(|_| {
            let mut consumer = reader.consumer_builder().build().unwrap();
            consumer.assign([("orders", 0)]).unwrap();
            consumer
        })
        .collect();
    let (ask, asked) = mpsc::channel();
    thread::scope(|scope| {
        // Each is sent at about the moment at which the tasks come to their end.
        scope.spawn(|| {
            for () in asked {
                send(&store, "orders", "x");
            }
        });
        let mut slept = Vec::new();
        for round in 0..rounds {
            let alone = round % 100 > 0;
            let waiting = if alone { &mut consumers[..1] } else { &mut consumers[..] };
            if !alone {
                // What the rounds of one alone have left to the others.
                waiting.iter_mut().for_each(|one| while !poll_once(one) {});
            }
            let since = Instant::now();
            ask.send(()).unwrap();
            if round % 3 == 0 {
                thread::yield_now();
            }
            if wait_for_each(waiting) > 1 {
                slept.push(since.elapsed());
            }
        }
        drop(ask);
        slept.sort_unstable();
        println!("{} of {rounds} rounds slept, the longest for {:?}", slept.len(), slept.last());
        // Who sleeps looks each tenth of a second, rung for or not.
        let median = slept[slept.len() / 2];
        assert!(median < Duration::from_millis(50), "{median:?}: it is the next look that finds what comes");
    });
    assert!(threads("annals-listens") < 20, "one for a reader of a store");
}

/// Returns when each was handed something, for which one task waits, and how often that was polled.
fn wait_for_each(consumers: &mut [annals::Consumer]) -> u64 {
    let mut waiting: Vec<_> = consumers.iter_mut().collect();
    let mut polls = 0;
    block_on(poll_fn(|context| {
        polls += 1;
        waiting.retain_mut(|one| match one.poll_next(context) {
            Poll::Ready(records) => records.unwrap().is_empty(),
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(polls) } else { Poll::Pending }
    }))
}

/// How often the bell of the store was rung, on which all sleep who wait elsewhere.
fn rung(dir: &Path) -> u32 {
    let live = std::fs::read(dir.join("annals.live")).unwrap();
    u32::from_ne_bytes(live.get(64..68).unwrap().try_into().unwrap())
}

/// Each task that was woken rang again, for all tasks and threads of all processes: with a hundred of these, ten thousand looks for a record.
#[test]
fn tasks_that_the_owner_has_woken_do_not_wake_all_others_in_turn() {
    let dir = dir();
    let store = open(dir.path());
    let readers = [(); 2].map(|()| StoreReader::attach(dir.path()).unwrap());
    let mut consumers: Vec<_> = (0..20)
        .map(|number| {
            let mut consumer = readers[number % 2].consumer_builder().build().unwrap();
            consumer.assign([("orders", 0)]).unwrap();
            consumer
        })
        .collect();
    send(&store, "orders", "the first one");
    wait_for_each(&mut consumers);
    let before = rung(dir.path());
    for _ in 0..50 {
        assert!(consumers.iter_mut().all(poll_once), "all of them wait");
        send(&store, "orders", "x");
        wait_for_each(&mut consumers);
    }
    let rings = rung(dir.path()) - before;
    assert!((1..=100).contains(&rings), "{rings} rings for 50 records");
}

#[test]
fn a_task_elsewhere_goes_on_with_the_next_owner_and_ends_with_its_topic_and_its_reader() {
    let dir = dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut consumer = reader.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let mut next_while = |act: &mut dyn FnMut()| {
        thread::scope(|scope| {
            let waits = scope.spawn(|| block_on(consumer.next()));
            thread::sleep(Duration::from_millis(5));
            act();
            waits.join().unwrap()
        })
    };
    let mut store = Some(store);
    let found = next_while(&mut || {
        store.take().unwrap().close().unwrap();
        let next = open(dir.path());
        send(&next, "orders", "of another life");
        store = Some(next);
    });
    assert_eq!(found.unwrap().len(), 1);
    let store = store.unwrap();
    let ended = next_while(&mut || store.delete_topic("orders").unwrap());
    assert!(matches!(ended, Err(Error::UnknownTopic { .. })), "{ended:?}");
    store.create_topic("others", TopicConfig::new()).unwrap();
    let others = reader.topic("others").unwrap().partition(0).unwrap();
    let mut rest = others.read_from(0).unwrap();
    let ended = thread::scope(|scope| {
        let waits = scope.spawn(|| block_on(rest.next()));
        thread::sleep(Duration::from_millis(5));
        drop(consumer);
        drop(reader);
        waits.join().unwrap()
    });
    assert!(matches!(ended, Err(Error::StoreClosed { .. })), "{ended:?}");
}

#[test]
fn the_threads_of_a_reader_end_with_it() {
    let dir = dir();
    let store = open(dir.path());
    send(&store, "orders", "x");
    for _ in 0..100 {
        let reader = StoreReader::attach(dir.path()).unwrap();
        let mut consumer = reader.consumer_builder().build().unwrap();
        consumer.assign([("orders", 0)]).unwrap();
        block_on(consumer.next()).unwrap();
        // It waits, and is dropped.
        let (polled, _) = (poll_once(&mut consumer), drop(reader));
        assert!(polled);
    }
    store.close().unwrap();
    for _ in 0..100 {
        let reader = Store::open_read_only(dir.path()).unwrap();
        let mut consumer = reader.consumer_builder().build().unwrap();
        consumer.assign([("orders", 0)]).unwrap();
        block_on(consumer.next()).unwrap();
        assert!(poll_once(&mut consumer));
    }
    let until = Instant::now() + Duration::from_secs(30);
    let left = || threads("annals-listens") + threads("annals-wakes");
    while left() > 50 && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(left() <= 50, "{} threads are left of 200 readers", left());
}

/// Whether it waits.
fn poll_once(consumer: &mut annals::Consumer) -> bool {
    let waker = super::thread_waker();
    consumer.poll_next(&mut std::task::Context::from_waker(&waker)).is_pending()
}
