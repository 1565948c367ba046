//! The one timer of all that is delivered later, and those who set it side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use annals::io::{Clock, SystemClock};
use annals::{Record, Store, Timestamp, TopicConfig};
use annals_testing::{Image, MemoryFileSystem};

use crate::fragile_clock::FragileClock;
use crate::world::open_with;

/// Stands for a while at one call of one thread.
#[derive(Debug, Default)]
struct StandingClock {
    of: Mutex<Option<ThreadId>>,
    left: AtomicI64,
    stands: AtomicBool,
}

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        let is_its = *self.of.lock().unwrap() == Some(thread::current().id());
        if is_its && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.stands.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_secs(1));
        }
        SystemClock.now()
    }
}

/// With nothing that waits, and nothing left to be made.
fn store_with(clock: Arc<dyn Clock>) -> (MemoryFileSystem, Store) {
    let disk = MemoryFileSystem::new();
    let store = Store::builder("/store").file_system(Arc::new(disk.clone())).clock(clock).open().unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    store.schedule().deliver_after(Record::to("jobs").value("first"), Duration::from_millis(1)).unwrap();
    assert!(are_delivered(&store, 1));
    // Whoever has moved it looks once more.
    thread::sleep(Duration::from_millis(50));
    (disk, store)
}

/// So many records; beside them there are ends of transactions.
fn are_delivered(store: &Store, count: usize) -> bool {
    let (jobs, begun) = (store.topic("jobs").unwrap().partition(0).unwrap(), Instant::now());
    let are_there = || jobs.read(..).unwrap().into_iter().count() >= count;
    while !are_there() && begun.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(10));
    }
    are_there()
}

/// Whoever sends it stands at one of its calls of the clock, while another sends one for soon.
fn soon_beside_much_later(calls: i64) -> bool {
    let clock: Arc<StandingClock> = Arc::default();
    let (_disk, store) = store_with(Arc::clone(&clock) as _);
    clock.left.store(calls, Ordering::SeqCst);
    thread::scope(|scope| {
        let later = scope.spawn(|| {
            *clock.of.lock().unwrap() = Some(thread::current().id());
            let later = Record::to("jobs").value("much later");
            store.schedule().deliver_after(later, Duration::from_secs(3600)).unwrap();
        });
        while !later.is_finished() && !clock.stands.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let soon = Record::to("jobs").value("soon");
        store.schedule().deliver_after(soon, Duration::from_secs(3)).unwrap();
        later.join().unwrap();
    });
    are_delivered(&store, 2)
}

#[test]
fn a_record_for_soon_waits_for_no_timer_of_one_for_much_later() {
    let late = thread::scope(|scope| {
        let each: Vec<_> = (0..12).map(|calls| scope.spawn(move || soon_beside_much_later(calls))).collect();
        let delivered = each.into_iter().map(|one| one.join().unwrap());
        delivered.enumerate().filter(|(_, is_delivered)| !is_delivered).collect::<Vec<_>>()
    });
    assert!(late.is_empty(), "not delivered: {late:?}");
}

/// Nobody sends another, and the store stays open.
#[test]
fn a_record_for_later_is_delivered_where_the_clock_of_its_sender_panicked_behind_it() {
    let mut behind = 0;
    // Maintenance asks the same clock: a try may not be what it is to be.
    for calls in (0..48).map(|number| number % 12) {
        if behind > 0 && calls == 0 {
            break;
        }
        let clock = FragileClock::sound();
        let (disk, store) = store_with(Arc::clone(&clock) as _);
        clock.left.store(calls, Ordering::SeqCst);
        let record = Record::to("jobs").key("k").value("x");
        let sent = catch_unwind(AssertUnwindSafe(|| {
            store.schedule().deliver_after(record, Duration::from_millis(300)).unwrap();
        }));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        let copy = open_with(&MemoryFileSystem::over(&Image::new(disk.files())), Arc::new(SystemClock));
        if sent.is_err() && copy.schedule().cancel("jobs", b"k").unwrap() == 1 {
            behind += 1;
            assert!(are_delivered(&store, 2), "after {calls} calls");
        }
    }
    assert!(behind > 0, "it panics before it is sent alone");
}
