//! Wake-ups that could be lost: a record comes, or a sync ends, while a task is about to wait.

use std::sync::mpsc;
use std::time::Duration;

use annals::{Durability, Record, Store, TopicConfig};

use super::block_on;

fn rounds() -> i64 {
    std::env::var("ANNALS_WAKES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000)
}

fn orders(path: &std::path::Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new().retention_bytes(1 << 20).segment_bytes(1 << 18)).unwrap();
    store
}

#[test]
fn no_record_comes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let mut reader = store.topic("orders").unwrap().partition(0).unwrap().read(..).unwrap();
    let (ask, asked) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let memory = store.producer_builder().durability(Durability::Memory).build().unwrap();
            // Each is sent at about the moment at which the task comes to its end.
            for number in asked {
                let sent = if number % 2 == 0 { store.producer() } else { memory.clone() };
                sent.send(Record::to("orders").value("x")).unwrap();
            }
        });
        for number in 0..rounds() {
            ask.send(number).unwrap();
            // Now the one is first, then the other.
            if number % 3 == 0 {
                std::thread::yield_now();
            }
            if number % 2 == 0 {
                assert_eq!(block_on(consumer.next()).unwrap().iter().next().unwrap().offset(), number);
                assert_eq!(block_on(reader.next()).unwrap().unwrap().iter().next().unwrap().offset(), number);
            } else {
                assert_eq!(block_on(reader.next()).unwrap().unwrap().iter().next().unwrap().offset(), number);
                assert_eq!(block_on(consumer.next()).unwrap().iter().next().unwrap().offset(), number);
            }
        }
        drop(ask);
    });
}

/// A future is polled with one waker after the other; only the last one is to be called, and that one is.
#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    for _ in 0..50 {
        let (first, told_first) = flag();
        let (second, told_second) = flag();
        let mut context = std::task::Context::from_waker(&first);
        assert!(consumer.poll_next(&mut context).is_pending());
        assert!(consumer.poll_next(&mut context).is_pending());
        assert!(consumer.poll_next(&mut std::task::Context::from_waker(&second)).is_pending());
        super::send(&store, "orders", "x");
        told_second.recv_timeout(Duration::from_secs(60)).expect("the waker of the last poll");
        assert!(told_first.try_recv().is_err());
        assert_eq!(block_on(consumer.next()).unwrap().len(), 1);
    }
    // A wait for the disk, handed from one task to another before its sync is over.
    let orders = store.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..50 {
        let sent = orders.append(&[Record::new().value("x")], Durability::Os).unwrap();
        let mut wait = Box::pin(orders.durable_through(sent.last_offset));
        let (first, _told) = flag();
        let _ = wait.as_mut().poll(&mut std::task::Context::from_waker(&first)).is_ready()
            || block_on(wait).is_ok();
        assert!(orders.durable() > sent.last_offset);
    }
}

/// A waker that tells by a channel.
fn flag() -> (std::task::Waker, mpsc::Receiver<()>) {
    struct Tell(mpsc::Sender<()>);
    impl std::task::Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            // Who does not listen any more has seen enough.
            _ = self.0.send(()).is_ok();
        }
    }
    let (tell, told) = mpsc::channel();
    (std::sync::Arc::new(Tell(tell)).into(), told)
}

#[test]
fn no_sync_ends_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let orders = store.topic("orders").unwrap().partition(0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds() / 10 {
                    let sent = orders.append(&[Record::new().value("x")], Durability::Os).unwrap();
                    block_on(orders.durable_through(sent.last_offset)).unwrap();
                    assert!(orders.durable() > sent.last_offset);
                }
            });
        }
    });
}
