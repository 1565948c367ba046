//! A process that is stopped while it changes the file of a queue, and threads that wait for others that wait for it.

use std::thread;
use std::time::Duration;

use annals::{Durability, Record, Store, StoreReader, TopicConfig};

use crate::common::{fast_dir, now};
use crate::waits::stopped_in_a_step;
use crate::world::{GROUP, ORDERS, ack_all, attach, take, worked};

/// The other thread answers, and waits with the state and the file of its queue.
#[test]
fn a_take_waited_longer_than_it_may_behind_a_thread_that_waits_for_a_process_that_is_stopped() {
    let (dir, store, reader, mut worker) = worked(5);
    let mut messages = take(&mut worker, 2).into_iter();
    let (first, second) = (messages.next().unwrap(), messages.next().unwrap());
    let stopped = stopped_in_a_step(dir.path());
    thread::scope(|scope| {
        let answering = scope.spawn(|| first.ack());
        thread::sleep(Duration::from_millis(300));
        for _ in 0..3 {
            let began = now();
            assert!(worker.take(1, Duration::from_millis(5)).unwrap().is_empty());
            assert!(now() - began < Duration::from_secs(1), "{:?}", now() - began);
        }
        assert!(!answering.is_finished());
        drop(stopped);
        answering.join().unwrap().unwrap();
    });
    second.ack().unwrap();
    ack_all(take(&mut worker, 9));
    drop((worker, reader, store));
}

/// The owner takes over what is done there once a second; by itself, or beside a call that does the same.
#[test]
fn records_lingered_for_seconds_beside_a_worker_that_was_stopped_in_a_step() {
    for is_beside in [false, true] {
        let dir = fast_dir();
        let store = Store::open(dir.path()).unwrap();
        for topic in [ORDERS, "others"] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        store.producer().send(Record::to(ORDERS).value("x")).unwrap();
        let reader = attach(dir.path());
        let mut worker = reader.queue(ORDERS, GROUP).unwrap();
        ack_all(take(&mut worker, 1));
        let stopped = stopped_in_a_step(dir.path());
        let longest = thread::scope(|scope| {
            if is_beside {
                scope.spawn(|| store.stats().map(drop));
            }
            longest_linger(&store, &reader)
        });
        drop(stopped);
        assert!(longest < Duration::from_secs(2), "{longest:?}, beside: {is_beside}");
        drop((worker, reader, store));
    }
}

/// How long it takes at the most, within some seconds, until what lingers is there.
fn longest_linger(store: &Store, reader: &StoreReader) -> Duration {
    let lingering = store.producer_builder().durability(Durability::Memory);
    let lingering = lingering.linger(Duration::from_millis(10)).build().unwrap();
    let others = reader.topic("others").unwrap().partition(0).unwrap();
    let (began, mut longest) = (now(), Duration::ZERO);
    for sent in 1.. {
        lingering.send(Record::to("others").value("lingers")).unwrap();
        let at = now();
        while others.end() < sent && now() - at < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
        }
        longest = longest.max(now() - at);
        if now() - began > Duration::from_secs(3) {
            break;
        }
    }
    longest
}
