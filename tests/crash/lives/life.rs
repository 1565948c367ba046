//! The lives of one disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use annals::Store;
use annals_testing::{PowerCutFileSystem, Random};

use super::judge::{self, End, judge};
use super::ledger::{Facts, Ledger};
use super::number;
use super::watchdog::Watchdog;
use super::worker::Worker;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) lives: u64,
    pub(crate) calls: u64,
    /// Of the disk, killed or cut off while threads were at work, opened and looked at.
    pub(crate) copies: u64,
    /// That were found on them.
    pub(crate) records: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.calls += other.calls;
        self.copies += other.copies;
        self.records += other.records;
    }
}

/// Three lives.
pub(crate) fn run(seed: u64) -> Counts {
    let threads = usize::try_from(number("ANNALS_LIFE_THREADS", 4)).unwrap();
    let calls = number("ANNALS_LIFE_CALLS", 120);
    let mut random = Random::new(seed);
    let mut machine = PowerCutFileSystem::new();
    let ledger = Arc::new(Ledger::default());
    let mut counts = Counts::default();
    for life in 0..3 {
        let dog = Watchdog::start(threads);
        let store = judge::open(&machine).unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let seed = seed << 16 | life << 8 | thread as u64;
                let worker = Worker::new((thread, seed), &store, &ledger, &dog);
                let stop = Arc::clone(&stop);
                thread::spawn(move || worker.work(calls, &stop))
            })
            .collect();
        while !workers.iter().all(thread::JoinHandle::is_finished) {
            dog.note(threads, || "a copy of the disk".to_owned());
            copy(&machine, &ledger, &mut random, &mut counts).unwrap_or_else(|wrong| {
                stop.store(true, Ordering::Relaxed);
                panic!("seed {seed}, life {life}, a copy: {wrong}")
            });
        }
        let outcomes: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("a panic in a thread")).collect();
        if let Some(wrong) = outcomes.into_iter().find_map(Result::err) {
            panic!("seed {seed}, life {life}: {wrong}");
        }
        counts.calls += dog.calls();
        counts.lives += 1;
        dog.note(threads, || "the end of a life".to_owned());
        machine = end(store, &machine, &ledger, &mut random)
            .unwrap_or_else(|wrong| panic!("seed {seed}, the end of life {life}: {wrong}"));
        dog.end();
    }
    counts
}

/// The process dies, or the power fails, on a copy, while threads are at work.
fn copy(
    machine: &PowerCutFileSystem,
    ledger: &Ledger,
    random: &mut Random,
    counts: &mut Counts,
) -> Result<(), String> {
    let before = ledger.facts().clone();
    let (end, copy) = match random.below(3) {
        0 => (End::Kill, machine.restart()),
        _ => (End::PowerCut, machine.cut_power(random.below(1000))),
    };
    // What had been begun when the copy was made was in the ledger before.
    let after = ledger.facts().clone();
    let store = judge::open(&copy).map_err(|error| format!("{end:?}: it does not open: {error}"))?;
    counts.records += judge(&store, end, &before, &after).map_err(|wrong| format!("{end:?}: {wrong}"))?;
    counts.copies += 1;
    // Half of the copies live on, settle and close; the others end as they are.
    if random.one_in(2) {
        store.close().map_err(|error| format!("{end:?}: it does not close: {error}"))?;
    }
    Ok(())
}

/// Ends a life, and makes the ledger say what is left.
fn end(
    store: Store,
    machine: &PowerCutFileSystem,
    ledger: &Ledger,
    random: &mut Random,
) -> Result<PowerCutFileSystem, String> {
    let end = *random.choose(&[End::Close, End::Kill, End::PowerCut]);
    let next = match end {
        End::Close => {
            store.close().map_err(|error| format!("close: {error}"))?;
            // Whatever else is lost after a close that succeeded: nothing that it was to keep.
            machine.cut_power(random.below(1000))
        }
        End::Kill => machine.restart(),
        End::PowerCut => machine.cut_power(random.below(1000)),
    };
    let _killed = machine.kill();
    drop(store);
    let mut facts = ledger.facts();
    let store = judge::open(&next).map_err(|error| format!("{end:?}: it does not open: {error}"))?;
    judge(&store, end, &facts, &facts).map_err(|wrong| format!("{end:?}: {wrong}"))?;
    forget_what_is_gone(&store, &mut facts).map_err(|error| error.to_string())?;
    store.close().map_err(|error| format!("close after {end:?}: {error}"))?;
    Ok(next)
}

/// What a crash has taken was never promised; offsets are given out again. What is there now is there for good: the store is
/// closed next.
fn forget_what_is_gone(store: &Store, facts: &mut Facts) -> annals::Result<()> {
    let found: Vec<_> = store.topics();
    facts.topics.retain(|id, _| found.iter().any(|topic| topic.id() == *id));
    for topic in found {
        let Some(known) = facts.topics.get_mut(&topic.id()) else { continue };
        known.is_dying = false;
        known.partitions = topic.partition_count() as usize;
        for partition in topic.partitions() {
            let log = known.logs.entry(partition.number()).or_default();
            log.acknowledged.retain(|offset, _| *offset < partition.end());
            log.acknowledged.values_mut().for_each(|(_, level)| *level = annals::Durability::Disk);
            log.seen.clear();
        }
    }
    Ok(())
}
