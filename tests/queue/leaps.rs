//! A clock that leaps forward, as after a correction or where the machine has slept: what is over by it is there within moments.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use annals::io::ManualClock;
use annals::{Record, Store, TopicConfig, Worker};
use annals_testing::MemoryFileSystem;

const WAIT: Duration = Duration::from_secs(3600);
/// A second by the contract, and what a loaded machine adds.
const MOST: Duration = Duration::from_secs(8);

struct Leaping {
    clock: Arc<ManualClock>,
    store: Store,
    _disk: MemoryFileSystem,
}

impl Leaping {
    fn new() -> Self {
        let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_700_000_000_000)));
        // What is synced in the background wakes them as well: nothing is.
        let builder = Store::builder("/store").file_system(Arc::new(disk.clone())).sync_every(WAIT);
        let store = builder.clock(Arc::clone(&clock) as _).open().unwrap();
        store.create_topic("jobs", TopicConfig::new()).unwrap();
        Self { clock, store, _disk: disk }
    }

    fn worker(&self) -> Worker {
        self.store.queue("jobs", "workers").unwrap()
    }

    /// Somebody waits, and the clock leaps meanwhile. How long it is then.
    fn leap_under<T>(&self, wait: impl FnOnce() -> T) -> (T, Duration) {
        thread::scope(|scope| {
            let leapt = scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                self.clock.advance(WAIT);
                Instant::now()
            });
            let waited = wait();
            (waited, leapt.join().unwrap().elapsed())
        })
    }
}

#[test]
fn a_scheduled_record_is_there_soon_after_the_clock_has_leapt_to_its_time() {
    let leaping = Leaping::new();
    let jobs = leaping.store.enqueuer_builder("jobs").unique_within(2 * WAIT, 10).build().unwrap();
    leaping.store.schedule().deliver_after(Record::to("jobs").value("a"), WAIT).unwrap();
    jobs.deliver_once_after("b", Record::new().value("b"), WAIT).unwrap();
    let mut worker = leaping.worker();
    let (count, late) = leaping.leap_under(|| {
        let mut messages = Vec::new();
        while messages.len() < 2 {
            let taken = worker.take(2, 2 * MOST).unwrap();
            if taken.is_empty() {
                break;
            }
            messages.extend(taken);
        }
        messages.len()
    });
    assert_eq!(count, 2, "after {late:?}");
    assert!(late < MOST, "{late:?}");
}

#[test]
fn a_worker_that_waits_for_a_delay_is_handed_the_message_soon_after_the_clock_has_leapt() {
    let leaping = Leaping::new();
    leaping.store.producer().send(Record::to("jobs").value("a")).unwrap();
    let mut worker = leaping.worker();
    for message in worker.take(1, Duration::ZERO).unwrap() {
        message.release(WAIT).unwrap();
    }
    let (messages, late) = leaping.leap_under(|| worker.take(1, 2 * MOST).unwrap());
    assert_eq!(messages.len(), 1);
    assert!(late < MOST, "{late:?}");
}

#[test]
fn a_worker_that_waits_for_a_lock_is_handed_the_message_soon_after_the_clock_has_leapt() {
    let leaping = Leaping::new();
    leaping.store.producer().send(Record::to("jobs").value("a")).unwrap();
    let builder = || leaping.store.queue_builder("jobs", "workers").lock_timeout(WAIT);
    let mut slow = builder().build().unwrap();
    let _out = slow.take(1, Duration::ZERO).unwrap();
    let mut other = builder().build().unwrap();
    let (messages, late) = leaping.leap_under(|| other.take(1, 2 * MOST).unwrap());
    assert_eq!(messages.len(), 1);
    assert!(late < MOST, "{late:?}");
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_task_that_waits_for_a_delay_is_handed_the_message_soon_after_the_clock_has_leapt() {
    let leaping = Leaping::new();
    leaping.store.producer().send(Record::to("jobs").value("a")).unwrap();
    let mut worker = leaping.worker();
    for message in worker.take(1, Duration::ZERO).unwrap() {
        message.release(WAIT).unwrap();
    }
    let (count, late) = leaping.leap_under(|| {
        let (begun, waker) = (Instant::now(), Waker::from(Arc::new(Unpark(thread::current()))));
        let mut next = pin!(worker.next(1));
        while begun.elapsed() < 2 * MOST {
            if let Poll::Ready(messages) = next.as_mut().poll(&mut Context::from_waker(&waker)) {
                return messages.unwrap().len();
            }
            thread::park_timeout(2 * MOST);
        }
        0
    });
    assert_eq!(count, 1);
    assert!(late < MOST, "{late:?}");
}
