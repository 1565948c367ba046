//! Records for later with ids, whose sending ends in a panic of the program's file system.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::io::{FileSystem, ManualClock};
use annals::{Durability, Enqueuer, Record, Store, StoreBuilder, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

fn open(disk: Arc<dyn FileSystem>, clock: &Arc<ManualClock>) -> (Store, Enqueuer) {
    let store = Store::builder("/store").file_system(disk).clock(Arc::clone(clock) as _);
    with_jobs(store.maintain_by_hand())
}

fn with_jobs(store: StoreBuilder) -> (Store, Enqueuer) {
    let store = store.open().unwrap();
    store.ensure_topic("jobs", TopicConfig::new()).unwrap();
    let jobs = store.enqueuer_builder("jobs").unique_within(Duration::from_secs(1_000_000), 1000);
    let jobs = jobs.durability(Durability::Disk).build().unwrap();
    (store, jobs)
}

/// What is sent after the panic, in the same life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    SameId,
    OtherIds,
}

/// Whether the call panicked, and how often its record is delivered in the end.
fn delivered(call: Call, file: &str, (nth, after): (usize, After)) -> (bool, usize) {
    let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_700_000_000_000)));
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let (store, jobs) = open(Arc::clone(&faulty) as _, &clock);
    jobs.deliver_once_after("0", Record::new().value("0"), Duration::from_millis(500)).unwrap();
    faulty.fail(&[call], file, (nth, Times::ForEver), Fault::Panic);
    let later = Duration::from_secs(1);
    let sent =
        catch_unwind(AssertUnwindSafe(|| jobs.deliver_once_after("x", Record::new().value("x"), later)));
    faulty.heal();
    if after == After::SameId {
        drop(jobs.send_once("x", Record::new().value("x")));
    } else {
        ["y", "z"].iter().for_each(|id| drop(jobs.send_once(id, Record::new().value(id))));
        drop(store.producer().flush());
    }
    drop((store, jobs));
    let (store, jobs) = open(Arc::new(disk), &clock);
    drop(jobs.send_once("x", Record::new().value("x")));
    for _ in 0..12 {
        clock.advance(Duration::from_millis(700));
        store.maintain().unwrap();
    }
    let records = store.topic("jobs").unwrap().partition(0).unwrap().read(..).unwrap();
    let of_x = records.into_iter().filter(|record| record.as_ref().unwrap().value.as_deref() == Some(b"x"));
    (sent.is_err(), of_x.count())
}

#[test]
fn an_id_for_later_is_refused_after_a_panic_behind_its_decision() {
    let mut panics = 0;
    for call in [Call::Write, Call::Sync, Call::Allocate] {
        for file in ["__transaction_state", "__delayed", "__message_ids"] {
            for nth in 0..3 {
                for after in [After::SameId, After::OtherIds] {
                    let (has_panicked, count) = delivered(call, file, (nth, after));
                    panics += usize::from(has_panicked);
                    assert!(count <= 1, "{call:?} {nth} of {file}, {after:?}: {count} times");
                }
            }
        }
    }
    assert!(panics > 5, "{panics}");
}

/// In the same life, with nothing else sent.
#[test]
fn a_record_for_later_is_delivered_where_its_sender_panicked_behind_its_write() {
    let mut behind = 0;
    for nth in 0..8 {
        let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_700_000_000_000)));
        let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
        let (store, _) = open(Arc::clone(&faulty) as _, &clock);
        let schedule = store.schedule().durability(Durability::Disk);
        schedule.deliver_after(Record::to("jobs").value("first"), Duration::from_secs(1)).unwrap();
        clock.advance(Duration::from_secs(2));
        (0..20).for_each(|_| {
            clock.advance(Duration::from_millis(50));
            store.maintain().unwrap();
        });
        faulty.fail(&[Call::Write], "__delayed_messages-6", (nth, Times::Once), Fault::Panic);
        let record = Record::to("jobs").key("k").value("x");
        let wait = Duration::from_millis(1100);
        let sent = catch_unwind(AssertUnwindSafe(|| schedule.deliver_after(record, wait)));
        faulty.heal();
        let (copy, _) = open(Arc::new(MemoryFileSystem::over(&Image::new(disk.files()))), &clock);
        if sent.is_ok() || copy.schedule().cancel("jobs", "k").unwrap() == 0 {
            continue;
        }
        behind += 1;
        for _ in 0..60 {
            clock.advance(Duration::from_millis(50));
            drop(store.maintain());
        }
        let records = store.topic("jobs").unwrap().partition(0).unwrap().read(..).unwrap();
        assert_eq!(records.into_iter().count(), 2, "write {nth}");
    }
    assert!(behind > 0, "none panics behind its write");
}

/// In the same life: its transaction takes effect when it is taken up again, and by then its step was looked at, and there was nothing to be seen.
/// What panics is the sync of what an earlier life has left, with which nothing is lost; which of them is synced on the sender's own thread is up to their ids.
#[test]
fn a_record_for_later_is_delivered_where_its_sender_panicked_behind_its_decision() {
    for attempt in 0.. {
        assert!(attempt < 200, "none panics behind its decision");
        let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_700_000_000_000)));
        let (store, jobs) = open(Arc::new(disk.clone()), &clock);
        jobs.deliver_once_after("0", Record::new().value("0"), Duration::from_millis(500)).unwrap();
        let mut tx = store.transaction("t").unwrap();
        for topic in (0..20).map(|number| format!("left {number}").replace(' ', "-")) {
            store.create_topic(&topic, TopicConfig::new()).unwrap();
            tx.send(Record::to(&topic).value("t")).unwrap();
        }
        tx.commit().unwrap();
        let faulty = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&Image::new(disk.files()))));
        let (store, jobs) = open(Arc::clone(&faulty) as _, &clock);
        faulty.fail(&[Call::Sync], "left-", (0, Times::ForEver), Fault::Panic);
        let wait = Duration::from_secs(1);
        let sent =
            catch_unwind(AssertUnwindSafe(|| jobs.deliver_once_after("x", Record::new().value("x"), wait)));
        faulty.heal();
        if sent.is_ok() {
            continue;
        }
        drop(store.maintain());
        std::thread::sleep(Duration::from_millis(1100));
        for _ in 0..60 {
            drop(store.maintain());
            clock.advance(Duration::from_millis(50));
        }
        let records = store.topic("jobs").unwrap().partition(0).unwrap().read(..).unwrap();
        assert_eq!(records.into_iter().count(), 2);
        return;
    }
}

/// It stands behind one with an id that is refused in the middle, and its step was looked at before that one was.
#[test]
fn a_record_for_later_is_delivered_behind_one_that_was_refused_in_the_middle() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let faulty = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(Arc::clone(&faulty) as _);
    let (store, jobs) = with_jobs(store.clock(Arc::clone(&clock) as _));
    jobs.deliver_once_after("0", Record::new().value("0"), Duration::from_millis(20)).unwrap();
    let partition = store.topic("jobs").unwrap().partition(0).unwrap();
    let begun = Instant::now();
    while partition.end() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the first comes");
        clock.advance(Duration::from_millis(10));
        std::thread::sleep(Duration::from_millis(20));
    }
    let gate = Arc::new(Gate::default());
    let (refused, wait) = (Fault::HoldThenError(Arc::clone(&gate), 28), Duration::from_millis(20));
    faulty.fail(&[Call::Write], "__transaction_state", (0, Times::Once), refused);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| jobs.deliver_once_after("x", Record::new().value("x"), wait));
        gate.await_arrival();
        store.schedule().deliver_after(Record::to("jobs").value("y"), wait).unwrap();
        clock.advance(Duration::from_millis(40));
        std::thread::sleep(Duration::from_millis(300));
        gate.open();
        assert!(sent.join().unwrap().is_err());
    });
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(20));
        clock.advance(Duration::from_millis(50));
    }
    let records = partition.read(..).unwrap();
    let values: Vec<_> = records.into_iter().map(|record| record.unwrap().value.unwrap()).collect();
    assert_eq!(values, [b"0", b"y"]);
}
