//! Work for several workers, in the verbs of a client: retries, dead letters, and a process that dies in the middle.
//!
//! Three hundred jobs. One in ten fails at its first attempt and is sent to the topic again; job 13 can never be done. What a job comes to
//! and that it is taken are one transaction, so each is done once. A cluster's share groups, and the queues of annals, hand out single
//! records; these verbs have neither: here a worker answers for what it has polled as a whole.
//!
//! `cargo run -p annals-port --example job_queue` uses a temporary directory; `-- DIR` puts the store in DIR. This very file runs on a
//! cluster too: `cargo run --example ported -- job_queue 127.0.0.1:9092` in `crates/annals-mirror`.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Record, TopicConfig, TopicPartition};
use annals_port::{Backend, Consume, Embedded, ErrorKind, Produce, Received, Result};

const JOBS: usize = 300;
const WORKERS: usize = 2;
/// Polls of half a second without a record before it is given up.
const IDLE: u32 = 240;

type Outcome<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("store"), PathBuf::from);
    run(|| Embedded::open(&dir))
}

/// Both lives of the program. It knows nothing of what stands behind it.
pub(crate) fn run<B: Backend + Sync>(open: impl Fn() -> Result<B>) -> Outcome {
    let finished = AtomicUsize::new(0);
    {
        let kafka = open()?;
        for (topic, partitions) in [("jobs", 4), ("done", 1), ("dead-letters", 1)] {
            kafka.create_topic(topic, TopicConfig::new().partitions(partitions))?;
        }
        send(&kafka, 0..JOBS / 2)?;
        work_together(&kafka, &finished, JOBS / 2)?;
        println!("Half time: {} jobs finished.", finished.load(Ordering::SeqCst));
        send(&kafka, JOBS / 2..JOBS)?;
        println!("A worker dies with {} jobs in hand.", die(&kafka)?);
    }
    let kafka = open()?;
    work_together(&kafka, &finished, JOBS)?;

    let (done, dead) = (read(&kafka, "done", JOBS - 1)?, read(&kafka, "dead-letters", 1)?);
    for job in dead.keys() {
        println!("{job} was given up.");
    }
    let again = done.values().filter(|times| **times > 1).count();
    println!("{} jobs done, {again} of them more than once.", done.len());
    let is_right = done.len() == JOBS - 1 && again == 0 && dead.keys().eq(["job 13"]);
    if is_right { Ok(()) } else { Err("a job was lost, or done twice".into()) }
}

fn send(kafka: &impl Backend, numbers: Range<usize>) -> Outcome {
    let mut producer = kafka.producer()?;
    for number in numbers {
        let job = format!("job {number}");
        producer.send(Record::to("jobs").key(&job).value(&job))?;
    }
    Ok(producer.flush()?)
}

/// Workers, until so many jobs are finished.
fn work_together<B: Backend + Sync>(kafka: &B, finished: &AtomicUsize, until: usize) -> Outcome {
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|number| scope.spawn(move || work(kafka, number, finished, until))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked")?)
    })
}

fn consumer<B: Backend>(kafka: &B) -> Result<B::Consumer> {
    let mut jobs = kafka.consumer("workers")?;
    jobs.subscribe(&["jobs"])?;
    Ok(jobs)
}

fn work<B: Backend>(kafka: &B, number: usize, finished: &AtomicUsize, until: usize) -> Outcome {
    // Ends what an earlier life of this worker has left open.
    let mut results = kafka.transactional_producer(&format!("worker-{number}"))?;
    let mut jobs = consumer(kafka)?;
    let mut idle = 0;
    while finished.load(Ordering::SeqCst) < until {
        let taken = jobs.poll(Duration::from_millis(500))?;
        idle = if taken.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE {
            return Err("the jobs do not come to an end".into());
        }
        if taken.is_empty() {
            continue;
        }
        results.begin_transaction()?;
        let mut count = 0;
        for job in &taken {
            count += usize::from(perform(job, &mut results)?);
        }
        match results.send_offsets(&mut jobs).and_then(|()| results.commit_transaction()) {
            Ok(()) => _ = finished.fetch_add(count, Ordering::SeqCst),
            // The group has given partitions to another worker meanwhile, who does these jobs.
            Err(error) if matches!(error.kind(), ErrorKind::NotAssigned | ErrorKind::Retriable) => {
                results = kafka.transactional_producer(&format!("worker-{number}"))?;
                // Goes on where the group has committed.
                jobs = consumer(kafka)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(jobs.close()?)
}

/// A worker that is killed when it has done something and not said so. Returns how many jobs it had.
fn die<B: Backend>(kafka: &B) -> Outcome<usize> {
    let mut results = kafka.transactional_producer("worker-0")?;
    let mut jobs = consumer(kafka)?;
    for _ in 0..IDLE {
        let taken = jobs.poll(Duration::from_millis(500))?;
        if !taken.is_empty() {
            results.begin_transaction()?;
            taken.iter().try_for_each(|job| perform(job, &mut results).map(drop))?;
            return Ok(taken.len());
        }
    }
    Err("no job comes".into())
}

/// Whether the job is finished, done or given up.
fn perform(job: &Received, results: &mut impl Produce) -> Result<bool> {
    let name = String::from_utf8_lossy(job.value.as_deref().unwrap_or_default()).into_owned();
    let is_again = job.headers.iter().any(|(key, _)| key == "again");
    if name == "job 13" {
        results.send(Record::to("dead-letters").value(&name).header("reason", "nobody can do job 13"))?;
    } else if name.ends_with('7') && !is_again {
        results.send(Record::to("jobs").key(&name).value(&name).header("again", "1"))?;
        return Ok(false);
    } else {
        results.send(Record::to("done").value(&name))?;
    }
    Ok(true)
}

/// How often each value is in a topic that has so many records.
fn read(kafka: &impl Backend, topic: &str, count: usize) -> Outcome<BTreeMap<String, usize>> {
    let mut consumer = kafka.consumer("report")?;
    let partitions = kafka.partition_count(topic)?;
    let all: Vec<_> = (0..partitions).map(|number| TopicPartition::new(topic, number)).collect();
    consumer.assign(&all)?;
    let (mut found, mut read, mut idle) = (BTreeMap::new(), 0, 0);
    // A last poll of a second finds what is too much.
    while read < count || idle == 0 {
        let records = consumer.poll(Duration::from_secs(1))?;
        idle = if records.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE {
            return Err(format!("{topic} has {read} records, not {count}").into());
        }
        for record in records {
            let value = String::from_utf8(record.value.unwrap_or_default())?;
            *found.entry(value).or_default() += 1;
            read += 1;
        }
    }
    Ok(found)
}
