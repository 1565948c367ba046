//! What ends a wait for good, and wakers that misbehave.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use annals::{Durability, Error, Record, Store, TopicConfig};

use super::{block_on, send};

fn orders(path: &std::path::Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    store
}

#[test]
fn a_close_a_deletion_and_a_wakeup_end_every_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let mut reader = store.topic("orders").unwrap().partition(0).unwrap().read(..).unwrap();
    let waker = consumer.waker();
    std::thread::scope(|scope| {
        scope.spawn(|| waker.wake());
        assert!(block_on(consumer.next()).unwrap().is_empty());
    });
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| block_on(consumer.next()).map(drop)),
            scope.spawn(|| block_on(reader.next()).map(drop)),
        ];
        std::thread::sleep(Duration::from_millis(5));
        store.delete_topic("orders").unwrap();
        for wait in waits {
            assert!(matches!(wait.join().unwrap(), Err(Error::UnknownTopic { was_deleted: true, .. })));
        }
    });
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let mut reader = store.topic("orders").unwrap().partition(0).unwrap().read(..).unwrap();
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| block_on(consumer.next()).map(drop)),
            scope.spawn(|| block_on(reader.next()).map(drop)),
        ];
        std::thread::sleep(Duration::from_millis(5));
        store.close().unwrap();
        for wait in waits {
            assert!(matches!(wait.join().unwrap(), Err(Error::StoreClosed { .. })));
        }
    });
    assert!(matches!(block_on(consumer.next()), Err(Error::StoreClosed { .. })));
}

#[test]
fn a_wait_for_the_disk_ends_with_the_close_that_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let partition = store.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..20 {
        partition.append(&[Record::new().value("x")], Durability::Memory).unwrap();
    }
    std::thread::scope(|scope| {
        let waits: Vec<_> = (0..20)
            .map(|offset| {
                let wait = partition.durable_through(offset);
                scope.spawn(move || block_on(wait))
            })
            .collect();
        store.close().unwrap();
        for wait in waits {
            wait.join().unwrap().unwrap();
        }
    });
    assert!(matches!(
        block_on(partition.durable_through(20)),
        Err(Error::OffsetOutOfRange { .. } | Error::StoreClosed { .. })
    ));
}

/// Runs something when it wakes.
struct Runs<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send + 'static> Wake for Runs<F> {
    fn wake(self: Arc<Self>) {
        let run = self.0.lock().unwrap().take();
        run.into_iter().for_each(|run| run());
    }
}

fn waker_that(run: impl FnOnce() + Send + 'static) -> Waker {
    Arc::new(Runs(Mutex::new(Some(run)))).into()
}

#[test]
fn a_waker_may_panic_call_back_and_close_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let panics = waker_that(|| panic!("on purpose"));
    assert!(consumer.poll_next(&mut Context::from_waker(&panics)).is_pending());
    send(&store, "orders", "first");
    assert_eq!(block_on(consumer.next()).unwrap().len(), 1);
    // Nobody else has noticed.
    let (tell, told) = mpsc::channel();
    let (another, done) = (store.clone(), tell.clone());
    let sends = waker_that(move || {
        send(&another, "orders", "from a waker");
        done.send(()).unwrap();
    });
    assert!(consumer.poll_next(&mut Context::from_waker(&sends)).is_pending());
    send(&store, "orders", "second");
    told.recv_timeout(Duration::from_secs(60)).expect("a waker that sends came to its end");
    let another = store.clone();
    let closes = waker_that(move || {
        another.close().unwrap();
        tell.send(()).unwrap();
    });
    while consumer.poll_next(&mut Context::from_waker(&closes)).is_ready() {}
    send(&store, "orders", "third");
    told.recv_timeout(Duration::from_secs(60)).expect("a waker that closes came to its end");
    assert!(matches!(store.topic("orders"), Err(Error::StoreClosed { .. })));
}

/// The task owns the consumer and the last handle of the store; nobody runs it any more when it is woken.
#[test]
fn a_wakeup_that_drops_the_task_and_the_store_with_it_does_not_wait_for_itself() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Task(
        #[expect(dead_code, reason = "owned")] annals::Consumer,
        #[expect(dead_code, reason = "owned")] Store,
    );
    impl Drop for Task {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = orders(dir.path());
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let owned: Arc<Mutex<Option<Task>>> = Arc::default();
    let (tell, told) = mpsc::channel();
    let drops = Arc::clone(&owned);
    let waker = waker_that(move || {
        drop(drops.lock().unwrap().take());
        tell.send(()).unwrap();
    });
    assert!(consumer.poll_next(&mut Context::from_waker(&waker)).is_pending());
    let partition = store.topic("orders").unwrap().partition(0).unwrap();
    *owned.lock().unwrap() = Some(Task(consumer, store));
    // The sender holds locks of the partition while it wakes.
    partition.append(&[Record::new().value("x")], Durability::Os).unwrap();
    told.recv_timeout(Duration::from_secs(60)).expect("the task was dropped");
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    assert!(matches!(partition.append(&[Record::new()], Durability::Os), Err(Error::StoreClosed { .. })));
    drop(Store::open(dir.path()).unwrap());
}
