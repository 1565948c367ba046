//! A work queue that loses nothing: jobs go onto the disk before the call returns, workers of one group share them, and
//! each commits after its work. A worker that dies in between has done work that no commit knows of: it is done again.
//!
//! Three hundred jobs; two workers do half of them, one of the two dies without committing its last jobs; the store is
//! closed and opened again; three workers do the rest.
//!
//! `cargo run --release --example durable_queue` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use annals::{Consumer, Durability, Record, Records, Store, TopicConfig};

const TOPIC: &str = "jobs";
const GROUP: &str = "workers";
const JOBS: usize = 300;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How often each job was done. What a real worker does must bear being done twice: charge "order 17", not "2 euros".
type Done = Mutex<BTreeMap<String, usize>>;

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));
    let done = Done::default();

    let store = open(&dir)?;
    // What an earlier run left is done too, under the same names.
    enqueue(&store, JOBS)?;
    println!("{JOBS} jobs are on the disk.");
    run(&store, &done, &[Worker::StopsAt(JOBS / 2), Worker::DiesAt(JOBS / 2)])?;
    println!("Half time: {} jobs done, {} of them committed.", count(&done)?, committed(&store));
    store.close()?;

    let store = open(&dir)?;
    println!("Reopened.");
    run(&store, &done, &[Worker::Finishes, Worker::Finishes, Worker::Finishes])?;
    store.close()?;

    let done = done.into_inner()?;
    let again = done.values().filter(|times| **times > 1).count();
    println!("{} jobs done, {again} of them more than once, none lost.", done.len());
    if done.len() == JOBS { Ok(()) } else { Err("a job was lost".into()) }
}

fn open(dir: &Path) -> Outcome<Store> {
    let store = Store::open(dir)?;
    store.ensure_topic(TOPIC, TopicConfig::new().partitions(4))?;
    Ok(store)
}

/// Many jobs at once share one sync: sent to memory, then flushed. A single job would be sent at `Durability::Disk`.
fn enqueue(store: &Store, count: usize) -> Outcome {
    let jobs = store.producer_builder().durability(Durability::Memory).build()?.bind(TOPIC)?;
    for number in 0..count {
        let name = format!("job-{number}");
        jobs.send(Record::new().key(&name).value("send the invoice"))?;
    }
    jobs.flush()?;
    Ok(())
}

/// How a worker ends.
#[derive(Clone, Copy)]
enum Worker {
    /// When nothing is left to do.
    Finishes,
    /// After its commit, once so many jobs are done.
    StopsAt(usize),
    /// Before its commit, once so many jobs are done.
    DiesAt(usize),
}

fn run(store: &Store, done: &Done, workers: &[Worker]) -> Outcome {
    // All join before any works, so that the partitions are shared out once.
    let members = workers.iter().map(|worker| Ok((*worker, join(store)?))).collect::<Outcome<Vec<_>>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> = members
            .into_iter()
            .map(|(worker, member)| scope.spawn(move || work(worker, member, done)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })
}

fn join(store: &Store) -> Outcome<Consumer> {
    let builder = store.consumer_builder().group(GROUP).max_poll_records(10);
    // A commit that a power cut takes back costs work done twice, no more: the default, `Os`, would do as well.
    let mut member = builder.commit_durability(Durability::Disk).build()?;
    member.subscribe([TOPIC])?;
    Ok(member)
}

fn work(worker: Worker, mut member: Consumer, done: &Done) -> Outcome {
    loop {
        let jobs = member.poll(Duration::from_millis(50))?;
        if jobs.is_empty() && member.lag()? == 0 {
            return Ok(());
        }
        perform(&jobs, done)?;
        let total = count(done)?;
        if matches!(worker, Worker::DiesAt(limit) if total >= limit) {
            println!("{} dies: {} jobs done and not committed.", member.member_id(), jobs.len());
            return Ok(());
        }
        match member.commit() {
            // The group gave one of the partitions to somebody else meanwhile, who will do these jobs again.
            Err(annals::Error::NotAssigned { partition, .. }) => {
                println!("{} has lost {partition}.", member.member_id());
            }
            other => other?,
        }
        if matches!(worker, Worker::StopsAt(limit) if total >= limit) {
            return Ok(());
        }
    }
}

fn perform(jobs: &Records, done: &Done) -> Outcome {
    for job in jobs {
        let name = String::from_utf8_lossy(job.key().unwrap_or_default()).into_owned();
        *done.lock().map_err(|_| "another worker failed")?.entry(name).or_default() += 1;
    }
    // The work itself.
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

fn count(done: &Done) -> Outcome<usize> {
    Ok(done.lock().map_err(|_| "another worker failed")?.len())
}

fn committed(store: &Store) -> i64 {
    store.committed(GROUP).values().map(|committed| committed.offset).sum()
}
