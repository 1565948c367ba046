//! A message that is given up while the file system of the program panics: it is a message, or a dead letter, in this life and in the next one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Store, TopicConfig, Worker};
use annals_testing::{Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

use crate::durability::panics::keep_quiet;
use crate::durability::space::{CHANGES, Space};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// At its worker's word.
    Rejected,
    /// It was handed out as often as it may be.
    Exhausted,
}

fn open(files: &Arc<FaultyFileSystem>, clock: &Arc<ManualClock>) -> Store {
    let store = Store::builder("/s").file_system(files.clone()).clock(clock.clone());
    store.sync_every(Duration::from_secs(3600)).maintain_by_hand().open().unwrap()
}

fn worker(store: &Store, (way, durability): (Way, Durability)) -> annals::Result<Worker> {
    let limit = if way == Way::Rejected { 9 } else { 1 };
    store.queue_builder("jobs", "workers").delivery_limit(limit).durability(durability).build()
}

/// How often the second message is there: handed out, or as a letter.
fn times(store: &Store, how: (Way, Durability)) -> usize {
    // What is refused is for want of a partition that can be written to.
    let taken = worker(store, how).and_then(|mut worker| worker.take(9, Duration::ZERO));
    taken.map_or(0, |messages| messages.len()) + letters(store)
}

/// The letters that are there, but for the first one.
fn letters(store: &Store) -> usize {
    let letters = store.topic("jobs.workers.dead").unwrap().partition(0).unwrap();
    letters.read(..).unwrap().into_iter().map(Result::unwrap).skip(1).count()
}

/// Has the `nth` call panic while a message is given up; whether there was one, and whether its letter was seen all the same.
fn try_out((way, durability): (Way, Durability), space: Space, nth: usize) -> (bool, bool) {
    let memory = space.disk();
    let files = FaultyFileSystem::over(Arc::new(memory.clone()));
    let clock = Arc::new(ManualClock::at(1_000_000));
    let store = open(&files, &clock);
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let how = (way, durability);
    let mut taker = worker(&store, how).unwrap();
    let mut take = |value: &str| {
        store.producer().send(annals::Record::to("jobs").value(value)).unwrap();
        taker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap()
    };
    take("first").reject("bad").unwrap();
    store.maintain().unwrap();
    let job = take("job");
    files.fail(&CHANGES, "", (nth, Times::Once), Fault::Panic);
    let told = catch_unwind(AssertUnwindSafe(|| match way {
        Way::Rejected => job.reject("bad"),
        Way::Exhausted => job.retry(),
    }));
    let has_struck = files.armed() == 0;
    files.heal();
    let what = format!("{way:?} at {durability:?}, space ahead {space:?}, call {nth}, {told:?}");
    // Whatever lock was left is over.
    clock.advance(Duration::from_secs(3600));
    let at_once = letters(&store);
    assert!(times(&store, how) <= 1, "{what}: a letter, and the message once more");
    drop(store.maintain());
    assert!(times(&store, how) <= 1, "{what}: after maintenance");
    let left = memory.files();
    std::mem::forget((taker, store));
    let next = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&Image::new(left))));
    let next = open(&next, &clock);
    let there = times(&next, how);
    assert_eq!(there, 1, "{what}: the next life");
    assert!(at_once <= letters(&next), "{what}: a letter that was seen is gone");
    (has_struck, told.is_err() && at_once == 1)
}

#[test]
fn a_panic_behind_the_decision_about_a_dead_letter_had_its_message_handed_out_again() {
    keep_quiet();
    for (way, space) in Space::each_with([Way::Rejected, Way::Exhausted]) {
        // Whose end is written first differs from store to store: more than once.
        for durability in [Durability::Os, Durability::Disk, Durability::Disk, Durability::Disk] {
            let (mut nth, mut seen) = (0, 0);
            loop {
                let (has_struck, is_seen) = try_out((way, durability), space, nth);
                seen += usize::from(is_seen);
                if !has_struck {
                    break;
                }
                nth += 1;
                assert!(nth < 1_000, "it does not end");
            }
            let least = if durability == Durability::Os { 3 } else { 10 };
            assert!(nth >= least, "{nth} calls: {way:?} at {durability:?}, space ahead {space:?}");
            assert!(seen > 0 || durability == Durability::Os, "no call is behind the decision");
        }
    }
}
