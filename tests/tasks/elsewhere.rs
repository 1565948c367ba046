//! Tasks that wait for what another process writes. Owner and readers are in one process here, which the two do not know.

use std::path::Path;
use std::thread;
use std::time::Duration;

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

/// A wake-up that is lost is found after a minute.
#[test]
fn no_wake_up_from_elsewhere_is_lost_and_one_thread_listens_for_all() {
    let dir = dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let rounds = std::env::var("ANNALS_WAKES").map_or(300, |rounds| rounds.parse().unwrap());
    let mut consumers: Vec<_> = (0..20)
        .map(|_| {
            let mut consumer = reader.consumer_builder().build().unwrap();
            consumer.assign([("orders", 0)]).unwrap();
            consumer
        })
        .collect();
    for round in 0..rounds {
        let alone = round % 10 > 0;
        thread::scope(|scope| {
            let waiting = consumers.iter_mut().take(if alone { 1 } else { 20 });
            let waiting: Vec<_> =
                waiting.map(|one| scope.spawn(|| block_on(one.next()).unwrap().len())).collect();
            if round % 3 == 0 {
                thread::yield_now();
            }
            send(&store, "orders", "x");
            waiting.into_iter().for_each(|one| assert!(one.join().unwrap() > 0));
        });
    }
    assert!(threads("annals-listens") < 20, "one for a reader of a store");
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
    let until = std::time::Instant::now() + Duration::from_secs(30);
    let left = || threads("annals-listens") + threads("annals-wakes");
    while left() > 50 && std::time::Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(left() <= 50, "{} threads are left of 200 readers", left());
}

/// Whether it waits.
fn poll_once(consumer: &mut annals::Consumer) -> bool {
    let waker = super::thread_waker();
    consumer.poll_next(&mut std::task::Context::from_waker(&waker)).is_pending()
}
