//! Q1 to Q3: jobs taken and acknowledged, one at a time and by 100, by one worker and by eight.

use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use annals::{Durability, QueueBuilder, Record, Store, TopicConfig, Worker};

use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::{Found, Payloads};
use crate::scratch::Scratch;

const LEN: usize = 100;
const PARTITIONS: u32 = 4;
const WORKERS: usize = 8;

#[derive(Clone, Copy)]
struct Way {
    workers: usize,
    at_a_time: usize,
    durability: Durability,
    /// Every so many messages have one key.
    keys: usize,
    set: fn(QueueBuilder) -> QueueBuilder,
}

const PLAIN: Way =
    Way { workers: 1, at_a_time: 1, durability: Durability::Os, keys: usize::MAX, set: |builder| builder };

/// Q1: answers are in the operating system's hands when their call returns.
pub(crate) fn to_the_os(scope: &Scope) -> Outcome<Workload> {
    let rows = [
        ("annals, 1 worker, one at a time", PLAIN),
        (
            "annals, 1 worker, one at a time, counts in memory",
            Way { set: QueueBuilder::count_in_memory, ..PLAIN },
        ),
        ("annals, 1 worker, one at a time, order by key", Way { set: QueueBuilder::ordered_by_key, ..PLAIN }),
        ("annals, 1 worker, by 100", Way { at_a_time: 100, ..PLAIN }),
        (
            "annals, 1 worker, by 100, order by key",
            Way { at_a_time: 100, set: QueueBuilder::ordered_by_key, ..PLAIN },
        ),
        ("annals, 8 workers, one at a time", Way { workers: WORKERS, ..PLAIN }),
        ("annals, 8 workers, by 100", Way { workers: WORKERS, at_a_time: 100, ..PLAIN }),
    ];
    workload(scope, "jobs of 100 B taken and acknowledged, Os", scope.records(200_000), &rows)
}

/// Q2: answers are on the disk when their call returns.
pub(crate) fn to_the_disk(scope: &Scope) -> Outcome<Workload> {
    let disk = Way { durability: Durability::Disk, ..PLAIN };
    let rows = [
        ("annals, 1 worker, one at a time", disk),
        ("annals, 1 worker, by 100", Way { at_a_time: 100, ..disk }),
        ("annals, 8 workers, one at a time", Way { workers: WORKERS, ..disk }),
        ("annals, 8 workers, by 100", Way { workers: WORKERS, at_a_time: 100, ..disk }),
    ];
    workload(scope, "jobs of 100 B taken and acknowledged, Disk", scope.records(4_000), &rows)
}

/// Q3: order by key, where few keys have all the messages: a message goes out when the one before it is done.
pub(crate) fn of_hot_keys(scope: &Scope) -> Outcome<Workload> {
    let ordered = Way { set: QueueBuilder::ordered_by_key, ..PLAIN };
    let rows = [
        ("annals, each its own key, one at a time", ordered),
        ("annals, one key, one at a time", Way { keys: 1, ..ordered }),
        ("annals, one key, by 100", Way { keys: 1, at_a_time: 100, ..ordered }),
        ("annals, 100 keys, by 100", Way { keys: 100, at_a_time: 100, ..ordered }),
        (
            "annals, 100 keys, 8 workers, by 100",
            Way { keys: 100, at_a_time: 100, workers: WORKERS, ..ordered },
        ),
    ];
    workload(scope, "jobs of 100 B in order of few keys, Os", scope.records(200_000), &rows)
}

fn workload(
    scope: &Scope,
    title: &'static str,
    jobs: usize,
    rows: &[(&'static str, Way)],
) -> Outcome<Workload> {
    let payloads = Rc::new(Payloads::new(LEN));
    let rows = rows.iter().map(|(name, way)| {
        let (scratch, payloads, way) = (scope.scratch.clone(), Rc::clone(&payloads), *way);
        Row::new(name, move || run(&scratch, &payloads, (jobs, way)))
    });
    Ok(Workload { title, expected: payloads.expected(jobs), rows: rows.collect() })
}

fn run(scratch: &Scratch, payloads: &Payloads, (jobs, way): (usize, Way)) -> Outcome<Sample> {
    let dir = scratch.fresh()?;
    let store = Store::open(dir.path())?;
    store.create_topic("jobs", TopicConfig::new().partitions(PARTITIONS))?;
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind("jobs")?;
    for number in 0..jobs {
        let key = (number % way.keys).to_be_bytes();
        producer.send(Record::new().key(&key).value(payloads.get(number)))?;
    }
    producer.flush()?;
    let builder = (way.set)(store.queue_builder("jobs", "workers").durability(way.durability));
    let workers = (0..way.workers).map(|_| builder.clone().build()).collect::<annals::Result<Vec<_>>>()?;
    let found = Mutex::new(Found::default());
    let ((), elapsed) = timed(|| {
        std::thread::scope(|scope| {
            let work = |worker| scope.spawn(|| work(worker, way.at_a_time, &found));
            let threads: Vec<_> = workers.into_iter().map(work).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
        })
    })?;
    store.close()?;
    Ok(Sample { elapsed, found: found.into_inner()? })
}

fn work(mut worker: Worker, at_a_time: usize, found: &Mutex<Found>) -> Outcome {
    loop {
        let jobs = worker.take(at_a_time, Duration::ZERO)?;
        if jobs.is_empty() {
            return Ok(());
        }
        let mut sum = found.lock().map_err(|_| "another worker failed")?;
        jobs.iter().for_each(|job| sum.add(job.value.as_deref().unwrap_or_default()));
        drop(sum);
        jobs.ack()?;
    }
}
