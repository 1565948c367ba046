//! The processes that open a store, say what they find, and do something until they are stopped.

use std::path::Path;
use std::thread;
use std::time::Duration;

use annals::{Durability, Store};

use crate::Outcome;
use crate::acknowledgements::{tell, tell_error, tell_found};
use crate::content::{KEPT, PLAIN, TABLE, TRIMMED, ZIPPED};
use crate::device::evict;
use crate::worker::Worker;
use annals_testing::Random;

type Role = fn(&mut Worker<'_>) -> annals::Result<()>;

/// What all threads do until an error stops them: the disk's end, in most lives.
pub(crate) fn work(dir: &Path, life: u64) -> Outcome {
    let opened = Store::builder(dir).sync_every(Duration::from_millis(5)).open();
    let store = opened.map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    Worker::new(&store, life, 9).attempt("topics", |worker| worker.ensure_topics());
    tell("WORKING\n");
    let mut random = Random::new(life);
    thread::scope(|scope| {
        let roles: [Role; 5] = [to_disk, to_disk, flushed, removing, rare];
        for (role, thread) in roles.into_iter().zip(0..) {
            // Few threads at times: others' syncs hide a missing one.
            if thread == life % 5 || random.below(3) > 0 {
                let mut worker = Worker::new(&store, life, thread);
                scope.spawn(move || worker.attempt("work", role));
            }
        }
    });
    // Closing has to come to an end on a dead disk, too.
    if let Err(error) = store.close() {
        tell_error("close", &error);
    }
    Ok(())
}

/// Records at `Disk`, one by one. Two threads of these share syncs.
fn to_disk(worker: &mut Worker<'_>) -> annals::Result<()> {
    for number in 0_u32.. {
        if worker.random.below(6) == 0 {
            worker.send(Durability::Disk, TABLE, 0)?;
        } else {
            worker.send(Durability::Disk, PLAIN, number % 2)?;
        }
    }
    Ok(())
}

/// Records at the lower levels, and a flush now and then.
fn flushed(worker: &mut Worker<'_>) -> annals::Result<()> {
    loop {
        for _ in 0..worker.random.below(24) {
            let level = if worker.random.below(3) == 0 { Durability::Memory } else { Durability::Os };
            let topic = if worker.random.below(2) == 0 { PLAIN } else { ZIPPED };
            worker.send(level, topic, 0)?;
        }
        worker.flush()?;
    }
}

/// Batches, and what takes records out again.
fn removing(worker: &mut Worker<'_>) -> annals::Result<()> {
    loop {
        for topic in [KEPT, TRIMMED, TABLE] {
            let count = 1 + worker.random.below(8);
            let level = if worker.random.below(3) == 0 { Durability::Os } else { Durability::Disk };
            worker.send_batch(level, topic, count)?;
        }
        match worker.random.below(8) {
            0 | 1 => worker.delete_records()?,
            2 => drop(worker.store.apply_retention()?),
            3 => drop(worker.store.topic(TABLE)?.compact()?),
            _ => {}
        }
    }
}

/// Topics that come and go, and commits.
fn rare(worker: &mut Worker<'_>) -> annals::Result<()> {
    let mut consumer = worker.consumer()?;
    loop {
        match worker.random.below(4) {
            0 => worker.change_topics()?,
            _ => worker.commit(&mut consumer)?,
        }
    }
}

/// A little of everything in one thread and always in the same order, whatever fails: for faults at the n-th call.
pub(crate) fn little(dir: &Path, life: u64) -> Outcome {
    let opened = Store::builder(dir).maintain_by_hand().open();
    let store = opened.map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    let mut worker = Worker::new(&store, life, 0);
    worker.attempt("topics", |worker| worker.ensure_topics());
    let mut consumer = worker.attempt("consumer", |worker| worker.consumer());
    for round in 0..2 {
        worker.attempt("send", |worker| worker.send_long(Durability::Disk, PLAIN, 0));
        for topic in [PLAIN, ZIPPED, TABLE] {
            worker.attempt("send", |worker| worker.send(Durability::Os, topic, 0));
            worker.attempt("send", |worker| worker.send_long(Durability::Memory, topic, 0));
        }
        worker.attempt("flush", |worker| worker.flush());
        for topic in [KEPT, TRIMMED, TABLE] {
            worker.attempt("batch", |worker| worker.send_batch(Durability::Disk, topic, 8 - round));
            worker.attempt("send", |worker| worker.send_long(Durability::Os, topic, 0));
        }
        if let Some(consumer) = &mut consumer {
            worker.attempt("commit", |worker| worker.commit(consumer));
        }
        worker.attempt("topic", |worker| worker.change_topics());
    }
    worker.attempt("delete", |worker| worker.delete_records());
    worker.attempt("retention", |worker| worker.store.apply_retention());
    worker.attempt("compact", |worker| worker.store.topic(TABLE)?.compact());
    worker.attempt("maintain", |worker| worker.store.maintain());
    worker.attempt("send", |worker| worker.send(Durability::Disk, PLAIN, 1));
    worker.attempt("close", |worker| worker.store.close());
    Ok(())
}

/// Says what is there and is gone: no close.
pub(crate) fn look(dir: &Path) -> Outcome {
    let store = Store::builder(dir).maintain_by_hand().open().map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    std::process::exit(0)
}

/// Says what is there, appends to each topic, closes, and checks every batch.
pub(crate) fn last(dir: &Path, life: u64) -> Outcome {
    let store = Store::builder(dir).maintain_by_hand().open().map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    let mut worker = Worker::new(&store, life, 0);
    for topic in [PLAIN, ZIPPED, KEPT, TRIMMED, TABLE] {
        if store.topic(topic).is_ok() {
            worker.send(Durability::Disk, topic, 0).map_err(|error| format!("append: {error}"))?;
        }
    }
    store.close().map_err(|error| format!("close: {error}"))?;
    let verified = Store::verify(dir).map_err(|error| format!("verify: {error}"))?;
    if verified.is_sound() { Ok(()) } else { Err(format!("verify: {verified:?}")) }
}

/// Appends ten records, then ten more if it is asked to, while the disk fails.
pub(crate) fn ten(dir: &Path, life: u64) -> Outcome {
    ten_after(dir, life, || Ok(()))
}

/// The same, when the pages that the system believes to have on the disk go between the open and the first append.
pub(crate) fn ten_after_eviction(dir: &Path, life: u64) -> Outcome {
    ten_after(dir, life, || {
        for entry in std::fs::read_dir(dir.join(format!("{PLAIN}-0"))).map_err(|error| error.to_string())? {
            evict(&entry.map_err(|error| error.to_string())?.path())?;
        }
        Ok(())
    })
}

fn ten_after(dir: &Path, life: u64, between: impl FnOnce() -> Outcome) -> Outcome {
    let store = Store::builder(dir).maintain_by_hand().open().map_err(|error| format!("open: {error}"))?;
    tell_found(&store);
    store.ensure_topic(PLAIN, annals::TopicConfig::new()).map_err(|error| format!("topic: {error}"))?;
    between()?;
    let mut worker = Worker::new(&store, life, 0);
    for _ in 0..10 {
        worker.send_long(Durability::Disk, PLAIN, 0).map_err(|error| format!("append: {error}"))?;
    }
    tell("TEN\n");
    if std::io::stdin().read_line(&mut String::new()).unwrap_or_default() == 0 {
        return Ok(());
    }
    for _ in 0..10 {
        worker.attempt("send", |worker| worker.send_long(Durability::Os, PLAIN, 0));
    }
    worker.attempt("flush", |worker| worker.flush());
    // Refused from now on, without a look at the disk.
    worker.attempt("after", |worker| worker.send_long(Durability::Disk, PLAIN, 0));
    worker.attempt("after", |worker| worker.flush());
    if life.is_multiple_of(2) {
        worker.attempt("close", |worker| worker.store.close());
    } else {
        tell("END\n");
        std::process::exit(0);
    }
    tell("END\n");
    Ok(())
}
