//! Many messages that wait, and many that are to be delivered later: what is held in memory, how long an open takes after a kill, and
//! whether a take is as fast as with few.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig, Worker};

use crate::harness::Outcome;
use crate::payload::Payloads;

const LEN: usize = 100;
const PARTITIONS: u32 = 4;
/// Messages that are taken to measure a rate.
const TAKEN: usize = 100_000;
/// Takes of a hundred of which every tenth message is kept.
const WITH_HOLES: usize = 100;

/// Sizes, and where the store is.
pub(crate) struct Sizes {
    pub(crate) waiting: usize,
    pub(crate) delayed: usize,
}

impl Sizes {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut next = |most: usize| words.next().map_or(Ok(most), |word| word.parse());
        Ok(Self { waiting: next(10_000_000)?, delayed: next(1_000_000)? })
    }
}

/// Makes all of it in a process that then kills itself, and opens what is left.
pub(crate) fn run(dir: &Path, sizes: &Sizes) -> Outcome {
    std::fs::create_dir_all(dir)?;
    let dir = tempfile::TempDir::with_prefix_in("annals-scale-", dir)?;
    let few = Sizes { waiting: TAKEN * 3, delayed: 1000 };
    for (name, sizes) in [("few", &few), ("many", sizes)] {
        let store = dir.path().join(name);
        println!("\n{} waiting, {} delayed", sizes.waiting, sizes.delayed);
        let status = Command::new(std::env::current_exe()?)
            .arg("scale-child")
            .arg(&store)
            .args([sizes.waiting.to_string(), sizes.delayed.to_string()])
            .status()?;
        if status.success() {
            return Err("the child lives".into());
        }
        reopen(&store)?;
    }
    Ok(())
}

/// Fills a store, works in it, and dies.
pub(crate) fn child(dir: &Path, sizes: &Sizes) -> Outcome {
    let (payloads, store) = (Payloads::new(LEN), Store::open(dir)?);
    store.create_topic("jobs", TopicConfig::new().partitions(PARTITIONS))?;
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind("jobs")?;
    let began = Instant::now();
    for number in 0..sizes.waiting {
        producer.send(Record::new().key(&number.to_be_bytes()).value(payloads.get(number)))?;
    }
    producer.flush()?;
    println!("  sent in {:.1?}", began.elapsed());
    let schedule = store.schedule();
    let began = Instant::now();
    for number in 0..sizes.delayed {
        // From an hour to a month.
        let delay = Duration::from_secs(3600 + (number as u64).wrapping_mul(2_654_435_761) % 2_592_000);
        schedule.deliver_after(Record::to("jobs").value(payloads.get(number)), delay)?;
    }
    let each = began.elapsed() / u32::try_from(sizes.delayed.max(1))?;
    println!("  scheduled in {:.1?}, {each:.1?} each", began.elapsed());
    let before = anonymous()?;
    let mut worker = store.queue("jobs", "workers")?;
    rate("taken by 100 and acknowledged", &mut worker)?;
    for _ in 0..WITH_HOLES {
        for message in worker.take(100, Duration::ZERO)? {
            if message.offset % 10 == 0 { std::mem::forget(message) } else { message.ack()? }
        }
    }
    println!(
        "  memory: {} KiB, of which the queue {} KiB",
        anonymous()?,
        anonymous()?.saturating_sub(before)
    );
    std::process::abort()
}

fn reopen(dir: &Path) -> Outcome {
    let before = anonymous()?;
    let began = Instant::now();
    let store = Store::open(dir)?;
    let opened = began.elapsed();
    let mut worker = store.queue("jobs", "workers")?;
    let first = worker.take(100, Duration::ZERO)?;
    println!(
        "  after a kill: opened in {opened:.1?}, first {} messages after {:.1?}",
        first.len(),
        began.elapsed()
    );
    first.ack()?;
    rate("taken after it", &mut worker)?;
    println!("  memory: {} KiB more", anonymous()?.saturating_sub(before));
    let began = Instant::now();
    store.close()?;
    let closed = began.elapsed();
    let began = Instant::now();
    let store = Store::open(dir)?;
    println!("  closed in {closed:.1?}, opened again in {:.1?}", began.elapsed());
    let waiting: u64 = store.stats()?.queues.iter().map(|queue| queue.waiting).sum();
    println!("  {waiting} left");
    Ok(store.close()?)
}

fn rate(what: &str, worker: &mut Worker) -> Outcome {
    let began = Instant::now();
    let mut taken = 0;
    while taken < TAKEN {
        let messages = worker.take(100, Duration::ZERO)?;
        if messages.is_empty() {
            return Err("nothing is left".into());
        }
        taken += messages.len();
        messages.ack()?;
    }
    println!("  {what}: {:.0} a second", taken as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// What the process holds, in KiB, files that are mapped left out.
fn anonymous() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no RssAnon")?.parse()?)
}
