//! What is known of each transaction, and what of it has to be found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use annals::{Durability, Isolation, Store};

use crate::power_cut::promise::Outcome;
use crate::power_cut::transactions::machine::{COMMITS, DONE, GROUP, INPUT, JOBS, PLACES, new_worker};

/// What is known of a transaction, by what each of its records says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionPromise {
    /// The topics that it has records in, and how many.
    pub(super) places: BTreeMap<&'static str, usize>,
    /// Where it has moved the group to, if it has.
    pub(super) offset: Option<i64>,
    /// The job that is done with it.
    pub(super) job: Option<usize>,
    /// What it has asked about.
    pub(super) seen: BTreeSet<&'static str>,
    pub(super) durability: Durability,
    pub(super) must_be_there: bool,
    pub(super) may_be_there: bool,
}

/// The last one was acknowledged at `Disk`: it survives a power cut, and so do those that it has seen, and those that these have: whatever
/// they have written behind, asked about, or read. Says how many of these were seen by a transaction between only, and not by records before
/// its own.
pub(super) fn acknowledge(promises: &mut [TransactionPromise]) -> usize {
    let (mut reached, mut behind) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
    let mut by_others = 0;
    for (ago, promise) in promises.iter_mut().rev().enumerate().filter(|(_, promise)| promise.may_be_there) {
        let writes = || {
            promise.places.keys().chain(promise.job.map(|_| &DONE)).chain(promise.offset.map(|_| &COMMITS))
        };
        if ago == 0 || writes().any(|place| reached.contains(place)) {
            let is_behind = ago == 0 || writes().any(|place| behind.contains(place));
            by_others += usize::from(!is_behind && !promise.must_be_there);
            promise.must_be_there = true;
            reached.extend(writes().chain(&promise.seen).chain(promise.offset.map(|_| &INPUT)));
            if is_behind {
                behind.extend(writes().copied());
            }
            if ago == 0 {
                behind.extend(promise.seen.iter().chain(promise.offset.map(|_| &INPUT)));
            }
        }
    }
    by_others
}

/// Which transactions are there, and which jobs wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) transactions: BTreeSet<usize>,
    pub(super) jobs: BTreeSet<usize>,
}

/// What a store that was opened after a crash holds, or how that breaks a promise.
pub(super) fn found(store: &Store, promises: &[TransactionPromise]) -> Outcome<Found> {
    let there = transactions(store, promises)?;
    let is_there = |(number, _): &(usize, &TransactionPromise)| there.contains(number);
    look_at_offsets(store, promises, &there)?;
    let done: BTreeSet<_> =
        promises.iter().enumerate().filter(is_there).filter_map(|(_, promise)| promise.job).collect();
    Ok(Found { jobs: look_at_jobs(store, &done)?, transactions: there })
}

/// All of each, or nothing.
fn transactions(store: &Store, promises: &[TransactionPromise]) -> Outcome<BTreeSet<usize>> {
    let mut counts: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new(); promises.len()];
    for topic in PLACES {
        let Ok(found) = store.topic(topic) else { continue };
        let partition = found.partition(0).map_err(|error| error.to_string())?;
        if partition.stable() != partition.end() {
            return Err(format!("{topic}: a transaction is left open"));
        }
        let reader =
            partition.read(..).map_err(|error| error.to_string())?.isolation(Isolation::ReadCommitted);
        for record in reader {
            let value = record.map_err(|error| error.to_string())?.value.unwrap();
            if value == b"plain" || value == b"in" {
                continue;
            }
            let number: usize = String::from_utf8(value).unwrap().parse().unwrap();
            *counts[number].entry(topic).or_insert(0) += 1;
        }
    }
    let mut there = BTreeSet::new();
    for (number, (promise, counts)) in promises.iter().zip(counts).enumerate() {
        let is_there = !counts.is_empty();
        if is_there && counts != promise.places {
            return Err(format!("transaction {number} is there in part: {counts:?} of {:?}", promise.places));
        }
        if is_there && !promise.may_be_there {
            return Err(format!("transaction {number} was aborted, and is there"));
        }
        if !is_there && promise.must_be_there {
            return Err(format!("transaction {number} has to be there, and is gone"));
        }
        if is_there {
            there.insert(number);
        }
    }
    Ok(there)
}

fn look_at_offsets(store: &Store, promises: &[TransactionPromise], there: &BTreeSet<usize>) -> Outcome<()> {
    let committed = there.iter().filter_map(|number| promises[*number].offset).next_back();
    let found = store.committed(GROUP).get(&(INPUT, 0).into()).map(|committed| committed.offset);
    if found != committed {
        return Err(format!(
            "the group stands at {found:?}, the transactions that are there say {committed:?}"
        ));
    }
    let end = store.topic(INPUT).and_then(|topic| topic.partition(0)).map_or(0, |input| input.end());
    if committed.is_some_and(|offset| offset > end) {
        return Err(format!("the group stands at {committed:?}, and what it has read ends at {end}"));
    }
    Ok(())
}

/// A job waits, or it is done with a transaction that is there.
fn look_at_jobs(store: &Store, done: &BTreeSet<usize>) -> Outcome<BTreeSet<usize>> {
    let Ok(topic) = store.topic(JOBS) else {
        return if done.is_empty() { Ok(BTreeSet::new()) } else { Err(format!("{done:?} are no jobs")) };
    };
    let partition = topic.partition(0).map_err(|error| error.to_string())?;
    let number = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap().parse().unwrap();
    let mut all = BTreeSet::new();
    for record in partition.read(..).map_err(|error| error.to_string())? {
        all.insert(number(record.map_err(|error| error.to_string())?.value));
    }
    let waiting = waiting(store).map_err(|error| format!("jobs: {error}"))?;
    let waiting: BTreeSet<usize> = waiting.into_iter().map(|value| number(Some(value))).collect();
    let expected: BTreeSet<usize> = all.difference(done).copied().collect();
    if let Some(job) = done.difference(&all).next() {
        return Err(format!("job {job} is done, and is not there"));
    }
    if waiting != expected {
        return Err(format!("jobs {waiting:?} wait; {done:?} of {all:?} are done"));
    }
    Ok(waiting)
}

/// Every job that is handed out. They come back when this returns.
fn waiting(store: &Store) -> annals::Result<Vec<Vec<u8>>> {
    let (mut worker, mut held) = (new_worker(store)?, Vec::new());
    loop {
        let messages = worker.take(1000, Duration::ZERO)?;
        if messages.is_empty() {
            return Ok(held.iter().filter_map(|message: &annals::Message| message.value.clone()).collect());
        }
        held.extend(messages);
    }
}

/// All that was written, for whoever looks into a failure.
pub(super) fn history(store: &Store) -> String {
    let mut text = String::new();
    for topic in PLACES {
        let Ok(partition) = store.topic(topic).and_then(|topic| topic.partition(0)) else { continue };
        let records = partition.read(..).map(|reader| reader.isolation(Isolation::ReadUncommitted));
        let all: Vec<_> = records
            .into_iter()
            .flatten()
            .map(|record| record.map(|r| (r.offset, String::from_utf8(r.value.unwrap()).unwrap())))
            .collect();
        text.push_str(&format!("{topic}: end {} {all:?}\n", partition.end()));
    }
    text
}
