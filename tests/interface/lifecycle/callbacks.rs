//! Whatever a callback does, nothing else of the store is touched by it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use annals::io::{Clock, SystemClock};
use annals::{
    CleanupPolicy, Durability, Error, Partitioner, Record, Store, StoreBuilder, TopicConfig, TopicPartition,
};

use crate::common::{fast_dir, files_of, now, producer, records};

const LONG: Duration = Duration::from_secs(20);

/// A store with the topic `orders`, and one at which every round of maintenance fails: a damaged segment that is to be
/// compacted.
fn troubled(dir: &Path) {
    let store = Store::builder(dir).maintain_by_hand().open().expect("a new store");
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(4096);
    store.create_topic("damaged", config).expect("a topic");
    store.create_topic("orders", TopicConfig::new()).expect("a topic");
    let producer = producer(&store, Durability::Os);
    for number in 0..100 {
        let value = [7; 200];
        producer.send(Record::to("damaged").key(&format!("{}", number % 3)).value(&value)).expect("a send");
    }
    store.close().expect("a close");
    let log = &files_of(dir, "damaged-0", ".log")[0];
    let mut bytes = std::fs::read(log).expect("a segment");
    bytes[100] ^= 1;
    std::fs::write(log, bytes).expect("a segment");
}

fn often(dir: &Path) -> StoreBuilder {
    Store::builder(dir).retention_check_interval(Duration::from_millis(10))
}

fn send(store: &Store, durability: Durability, count: usize) {
    let producer = producer(store, durability);
    for _ in 0..count {
        producer.send(Record::to("orders").value("2 apples")).expect("a send");
    }
}

fn count(store: &Store) -> usize {
    records(&store.topic("orders").expect("the topic").partition(0).expect("a partition")).len()
}

/// Waits for what comes by itself.
fn until(mut there: impl FnMut() -> bool) {
    let started = now();
    while !there() {
        assert!(started.elapsed() < LONG, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The store of a directory that another one gives back soon.
fn opened_when_free(dir: &Path) -> Store {
    loop {
        match Store::open(dir) {
            Err(Error::StoreLocked { .. }) => std::thread::yield_now(),
            other => return other.expect("the store opens"),
        }
    }
}

fn assert_closed_cleanly(store: &Store) {
    let unclean: Vec<_> = store.recovery().iter().filter(|report| !report.clean).collect();
    assert!(unclean.is_empty(), "{unclean:?}");
}

#[test]
fn a_close_inside_on_maintenance_failure_closes_every_partition_before_the_directory_is_given_back() {
    let dir = fast_dir();
    troubled(dir.path());
    let shared: Arc<Mutex<Option<Store>>> = Arc::default();
    let (told, closed) = mpsc::channel();
    let in_callback = Arc::clone(&shared);
    let builder = often(dir.path()).on_maintenance_failure(move |_, _| {
        if let Some(store) = in_callback.lock().expect("no panic").take() {
            told.send(store.close()).expect("the test waits");
        }
    });
    let store = builder.open().expect("the store opens");
    send(&store, Durability::Disk, 20);
    *shared.lock().expect("no panic") = Some(store.clone());
    closed.recv_timeout(LONG).expect("a round came").expect("the close in the callback");
    assert!(matches!(store.create_topic("late", TopicConfig::new()), Err(Error::StoreClosed { .. })));
    store.close().expect("the close after it");
    let store = Store::open(dir.path()).expect("the directory is free");
    assert_closed_cleanly(&store);
    send(&store, Durability::Disk, 20);
    assert_eq!(count(&store), 40);
}

#[test]
fn dropping_the_last_clone_inside_on_maintenance_failure_closes_the_store() {
    let dir = fast_dir();
    troubled(dir.path());
    let shared: Arc<Mutex<Option<Store>>> = Arc::default();
    let (told, dropped) = mpsc::channel();
    let in_callback = Arc::clone(&shared);
    let builder = often(dir.path()).on_maintenance_failure(move |_, _| {
        if let Some(store) = in_callback.lock().expect("no panic").take() {
            drop(store);
            told.send(()).expect("the test waits");
        }
    });
    let store = builder.open().expect("the store opens");
    send(&store, Durability::Memory, 20);
    let orders = store.topic("orders").expect("the topic").partition(0).expect("a partition");
    *shared.lock().expect("no panic") = Some(store);
    dropped.recv_timeout(LONG).expect("a round came");
    assert!(matches!(orders.append(&[Record::new()], Durability::Os), Err(Error::StoreClosed { .. })));
    let store = opened_when_free(dir.path());
    assert_closed_cleanly(&store);
    assert_eq!(count(&store), 20);
}

#[test]
fn a_close_on_two_threads_one_of_them_in_a_callback_ends_on_both() {
    let dir = fast_dir();
    for _ in 0..20 {
        troubled_again(dir.path());
        let shared: Arc<Mutex<Option<Store>>> = Arc::default();
        let (told, closed) = mpsc::channel();
        let in_callback = Arc::clone(&shared);
        let builder = often(dir.path()).on_maintenance_failure(move |_, _| {
            if let Some(store) = in_callback.lock().expect("no panic").take() {
                told.send(()).expect("the test waits");
                store.close().expect("the close in the callback");
            }
        });
        let store = builder.open().expect("the store opens");
        *shared.lock().expect("no panic") = Some(store.clone());
        closed.recv_timeout(LONG).expect("a round came");
        store.close().expect("the close beside it");
        Store::open(dir.path()).expect("the directory is free").close().expect("a close");
    }
}

/// [`troubled`], in a directory that may have been that already.
fn troubled_again(dir: &Path) {
    if !dir.join("damaged-0").exists() {
        troubled(dir);
    }
}

#[test]
fn a_panic_in_on_maintenance_failure_ends_nothing_and_is_counted() {
    let dir = fast_dir();
    troubled(dir.path());
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let builder = often(dir.path()).on_maintenance_failure(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("the alarm is broken");
    });
    let store = builder.open().expect("the store opens");
    until(|| store.stats().expect("figures").callback_panics > 0);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let stats = store.stats().expect("figures");
    assert!(stats.last_panic.expect("the panic").to_string().contains("the alarm is broken"));
    assert_eq!(stats.maintenance_failures.len(), 1);
    // Whoever lingers is still written, and synced.
    send(&store, Durability::Memory, 1);
    let orders = store.topic("orders").expect("the topic").partition(0).expect("a partition");
    until(|| (orders.end(), orders.durable()) == (1, 1));
    store.close().expect("a close");
}

#[test]
fn on_maintenance_failure_may_call_all_of_the_store() {
    let dir = fast_dir();
    troubled(dir.path());
    let shared: Arc<Mutex<Option<Store>>> = Arc::default();
    let (told, called) = mpsc::channel();
    let in_callback = Arc::clone(&shared);
    let call_all = |store: &Store, failed: &TopicPartition| -> annals::Result<()> {
        store.create_topic("alarms", TopicConfig::new())?;
        producer(store, Durability::Disk).send(Record::to("alarms").value(&failed.to_string()))?;
        store.add_partitions("alarms", 2)?;
        store.alter_topic("alarms", TopicConfig::new().retention_bytes(1 << 20))?;
        store.apply_retention()?;
        let mut consumer = store.consumer("watch")?;
        consumer.subscribe(["alarms"])?;
        assert_eq!(consumer.poll(LONG)?.iter().count(), 1);
        consumer.commit()?;
        consumer.close()?;
        assert_eq!(store.stats()?.maintenance_failures.len(), 1);
        store.delete_topic(failed.topic())?;
        store.delete_group("watch")
    };
    let builder = often(dir.path()).on_maintenance_failure(move |failed, _| {
        if let Some(store) = in_callback.lock().expect("no panic").take() {
            told.send(call_all(&store, failed)).expect("the test waits");
        }
    });
    let store = builder.open().expect("the store opens");
    *shared.lock().expect("no panic") = Some(store.clone());
    called.recv_timeout(LONG).expect("a round came").expect("every call");
    assert_eq!(store.topic("alarms").expect("the topic").partition_count(), 2);
    store.close().expect("a close");
}

/// A clock that panics when it is told to.
#[derive(Debug, Default)]
struct Broken(AtomicBool);

impl Clock for Broken {
    fn now(&self) -> i64 {
        assert!(!self.0.load(Ordering::SeqCst), "the clock is broken");
        SystemClock.now()
    }
}

#[test]
fn a_clock_that_panics_in_a_round_does_not_end_maintenance() {
    let dir = fast_dir();
    let clock = Arc::new(Broken::default());
    let store = often(dir.path()).clock(Arc::clone(&clock) as Arc<dyn Clock>).open().expect("a new store");
    store.create_topic("orders", TopicConfig::new().retention(LONG)).expect("a topic");
    clock.0.store(true, Ordering::SeqCst);
    until(|| !store.stats().expect("figures").maintenance_failures.is_empty());
    let failure = &store.stats().expect("figures").maintenance_failures[0];
    assert!(matches!(failure.error, Error::Panicked { .. }), "{failure:?}");
    clock.0.store(false, Ordering::SeqCst);
    send(&store, Durability::Memory, 1);
    until(|| store.topic("orders").expect("the topic").partition(0).expect("a partition").durable() == 1);
    until(|| store.stats().expect("figures").maintenance_failures.is_empty());
    store.close().expect("a close");
}

/// Calls back, and panics when the key says so.
#[derive(Debug)]
struct Moody(Arc<Mutex<Option<Store>>>);

impl Partitioner for Moody {
    fn partition(&self, record: &Record<'_>, partitions: u32) -> Option<u32> {
        let store = self.0.lock().expect("not poisoned").clone().expect("a store");
        match record.key_bytes() {
            Some(b"panic") => panic!("no choice"),
            Some(b"grow") => drop(store.add_partitions("orders", partitions + 1).expect("room for more")),
            Some(b"close") => store.close().expect("a close"),
            _ => {}
        }
        Some(0)
    }
}

#[test]
fn a_partitioner_may_panic_call_back_and_close() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    store.create_topic("orders", TopicConfig::new().partitions(2)).expect("a topic");
    let shared = Arc::new(Mutex::new(Some(store.clone())));
    let producer =
        store.producer_builder().partitioner(Moody(Arc::clone(&shared))).build().expect("a producer");
    let send = |key: &str| producer.send(Record::to("orders").key(key).value("2 apples"));
    assert_eq!(send("usual").expect("a send").offset, 0);
    // The panic is the caller's own, on its own thread.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(send("panic")))).is_err());
    assert_eq!(send("usual").expect("a send").offset, 1);
    send("grow").expect("a send");
    assert_eq!(store.topic("orders").expect("the topic").partition_count(), 3);
    assert!(matches!(send("close"), Err(Error::StoreClosed { .. })));
    *shared.lock().expect("not poisoned") = None;
    let store = Store::open(dir.path()).expect("the directory is free");
    assert_closed_cleanly(&store);
    assert_eq!(count(&store), 3);
}

#[test]
fn a_panic_while_a_store_is_verified_gives_the_directory_back() {
    let dir = fast_dir();
    troubled(dir.path());
    let verify = || Store::builder(dir.path()).verify(|_| panic!("no more patience"));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(verify()))).is_err());
    let found = Store::builder(dir.path()).verify(|_| ControlFlow::Continue(())).expect("not locked");
    assert_eq!(found.findings.len(), 1);
    // It may look at other stores meanwhile, and at this one only that it is taken.
    let found = Store::builder(dir.path()).verify(|_| {
        assert!(matches!(Store::open(dir.path()), Err(Error::StoreLocked { .. })));
        ControlFlow::Break(())
    });
    found.expect("a verification");
}
