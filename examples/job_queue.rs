//! A work queue: workers that fail, retries with back-off, a job that kills its worker's process, dead letters, a restart.
//!
//! Three hundred jobs. One in ten fails at its first attempt and is tried again later; job 13 can never be done; the process "dies"
//! in the middle, with jobs handed out, and the next life continues. In the end, every job is done except one, which is a dead letter.
//!
//! `cargo run --release --example job_queue` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use annals::queue::RetryPolicy;
use annals::{Message, Record, Store, TopicConfig, Worker};

const JOBS: usize = 300;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How often each job was done.
type Done = Mutex<BTreeMap<String, usize>>;

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));
    let done = Done::default();

    let store = open(&dir)?;
    for number in 0..JOBS {
        store.producer().send(Record::to("jobs").value(&format!("job {number}")))?;
    }
    store.schedule().deliver_after(Record::to("jobs").value("job later"), Duration::from_millis(100))?;
    run(&store, &done, JOBS / 2)?;
    println!("Half time: {} jobs done.", count(&done)?);
    drop(store); // a killed process would leave the same state

    let store = open(&dir)?;
    run(&store, &done, usize::MAX)?;
    let mut letters = store.dead_letters("jobs", "workers")?;
    for letter in letters.take(10)? {
        let job = String::from_utf8_lossy(letter.record().value.as_deref().unwrap_or_default()).into_owned();
        println!("{job} was given up after {} attempts: {}", letter.delivery_count, letter.reason);
        letters.discard(letter)?;
    }
    store.close()?;

    let done = done.into_inner()?;
    let again = done.values().filter(|times| **times > 1).count();
    println!("{} jobs done, {again} of them more than once.", done.len());
    // All except job 13, and the one that came later.
    if done.len() == JOBS && again == 0 { Ok(()) } else { Err("a job was lost, or done twice".into()) }
}

fn open(dir: &Path) -> Outcome<Store> {
    let store = Store::open(dir)?;
    store.ensure_topic("jobs", TopicConfig::new().partitions(2))?;
    Ok(store)
}

/// Runs four workers until nothing is left or that many jobs are done.
fn run(store: &Store, done: &Done, most: usize) -> Outcome {
    let backoff = RetryPolicy::exponential(Duration::from_millis(5), Duration::from_secs(1)).jitter(50, 7);
    let builder = store.queue_builder("jobs", "workers").retry_policy(backoff);
    let workers = (0..4).map(|_| Ok(builder.clone().build()?)).collect::<Outcome<Vec<Worker>>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> =
            workers.into_iter().map(|worker| scope.spawn(move || work(worker, done, most))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })
}

fn work(mut worker: Worker, done: &Done, most: usize) -> Outcome {
    loop {
        let jobs = worker.take(8, Duration::from_millis(200))?;
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            if count(done)? >= most {
                return Ok(()); // what is handed out and not answered goes to another worker
            }
            match perform(&job, done)? {
                Ok(()) => job.ack()?,
                Err(Failure::TryAgain) => job.retry()?,
                Err(Failure::Never(why)) => job.reject(why)?,
            }
        }
    }
}

enum Failure {
    TryAgain,
    Never(&'static str),
}

fn perform(job: &Message, done: &Done) -> Outcome<Result<(), Failure>> {
    let name = String::from_utf8_lossy(job.value.as_deref().unwrap_or_default()).into_owned();
    if name == "job 13" {
        return Ok(Err(Failure::Never("nobody can do job 13")));
    }
    if name.ends_with('7') && job.delivery_count() == 1 {
        return Ok(Err(Failure::TryAgain));
    }
    *done.lock().map_err(|_| "another worker failed")?.entry(name).or_default() += 1;
    Ok(Ok(()))
}

fn count(done: &Done) -> Outcome<usize> {
    Ok(done.lock().map_err(|_| "another worker failed")?.len())
}
