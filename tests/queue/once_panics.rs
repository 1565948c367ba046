//! Records for later with ids, whose sending ends in a panic of the program's file system.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use annals::io::{FileSystem, ManualClock};
use annals::{Durability, Enqueuer, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

fn open(disk: Arc<dyn FileSystem>, clock: &Arc<ManualClock>) -> (Store, Enqueuer) {
    let store = Store::builder("/store").file_system(disk).clock(Arc::clone(clock) as _).maintain_by_hand();
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
