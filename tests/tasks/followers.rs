//! Workers of a queue and followers of a stream as tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use annals::{Error, Expected, Record, Store, TopicConfig};

use super::{block_on, dropping, send};

#[test]
fn a_worker_whose_every_wait_is_dropped_is_given_each_message_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
    let mut worker = store.queue("jobs", "workers").unwrap();
    let mut seen = BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100_u32 {
                store.producer().send(Record::to("jobs").partition(number % 2).value("x")).unwrap();
                std::thread::yield_now();
            }
        });
        let mut dropped = 0;
        while seen.len() < 100 {
            let (messages, more) = dropping!(worker.next(3));
            dropped += more;
            for message in messages.unwrap() {
                assert!(seen.insert((message.partition, message.offset)), "it came twice");
                message.ack().unwrap();
            }
        }
        assert!(dropped > 0);
    });
}

#[test]
fn a_worker_is_woken_by_what_is_sent_released_and_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let queue =
        || store.queue_builder("jobs", "workers").lock_timeout(Duration::from_millis(200)).build().unwrap();
    let [mut worker, mut other] = [queue(), queue()];
    let mut next_while = |act: &mut dyn FnMut()| {
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| block_on(worker.next(1)));
            std::thread::sleep(Duration::from_millis(5));
            act();
            waits.join().unwrap()
        })
    };
    let first = next_while(&mut || _ = send(&store, "jobs", "x")).unwrap().into_iter().next().unwrap();
    // Nobody acknowledges it: when its lock is over it is another's.
    let again = block_on(other.next(1)).unwrap().into_iter().next().unwrap();
    assert_eq!((first.offset, again.offset), (0, 0));
    let mut again = Some(again);
    let last = next_while(&mut || again.take().unwrap().release(Duration::ZERO).unwrap()).unwrap();
    last.into_iter().next().unwrap().ack().unwrap();
    assert!(matches!(next_while(&mut || store.close().unwrap()), Err(Error::StoreClosed { .. })));
}

/// What was out in an earlier life waits for a last attempt in another queue, as a task does.
#[test]
fn a_worker_is_woken_by_the_end_of_a_last_attempt_in_another_queue() {
    let dir = tempfile::tempdir().unwrap();
    let queue = |store: &Store, topic: &str| {
        let builder = store.queue_builder(topic, "workers").delivery_limit(2);
        builder.lock_timeout(Duration::from_millis(300)).build().unwrap()
    };
    let store = Store::open(dir.path()).unwrap();
    for topic in ["jobs", "more"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        send(&store, topic, "x");
        drop(queue(&store, topic).take(1, Duration::ZERO).unwrap());
    }
    store.close().unwrap();
    for is_answered in [true, false] {
        let store = Store::open(dir.path()).unwrap();
        let first = queue(&store, "jobs").take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
        let mut other = queue(&store, "more");
        assert!(other.take(1, Duration::ZERO).unwrap().is_empty());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| block_on(other.next(1)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waits.is_finished());
            if is_answered {
                first.put_back().unwrap();
            } else {
                // Its lock runs out.
                std::mem::forget(first);
            }
            let second = waits.join().unwrap().unwrap();
            assert_eq!(second[0].delivery_count(), 2);
            second.put_back().unwrap();
        });
        store.close().unwrap();
    }
}

#[test]
fn a_follower_of_a_stream_is_woken_by_its_events_and_gets_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new().key_index(true)).unwrap();
    let mut events = orders.stream("order-7").unwrap().read(..).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..40 {
                let key = if number % 4 == 3 { "order-7" } else { "order-8" };
                orders.append_to(key, Expected::Any, &[Record::new().value("x")]).unwrap();
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let (records, _) = dropping!(events.next());
            seen.extend(records.unwrap().iter().map(|record| record.offset()));
        }
        assert_eq!(seen, (0..10).map(|number| number * 4 + 3).collect::<Vec<_>>());
        let waits = scope.spawn(|| block_on(events.next()).map(drop));
        std::thread::sleep(Duration::from_millis(5));
        store.close().unwrap();
        assert!(matches!(waits.join().unwrap(), Err(Error::StoreClosed { .. })));
    });
}
