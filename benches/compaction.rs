//! Compaction of two gibibytes with a million keys: how fast, in how much memory, and what a producer notices.
//!
//! `cargo bench --bench compaction`; `-- --keys N` for another number of keys, `-- --quick` for few, `-- --dir DIR` for
//! another place. Segments are read positionally, so that the peak of resident memory counts no mapped files.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and cleans up after itself")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Durability, ReadMode, Record, Store, Topic, TopicConfig};

const VALUE_BYTES: usize = 1000;
const MEMORY_BYTES: usize = 32 << 20;
const TOPIC: &str = "accounts";

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

struct Options {
    keys: u64,
    dir: Option<PathBuf>,
}

fn main() -> Outcome {
    let Some(options) = options()? else { return Ok(()) };
    let temporary = tempfile::tempdir()?;
    let dir = options.dir.unwrap_or_else(|| temporary.path().join("store"));
    println!("{} keys, two records of {VALUE_BYTES} bytes each, in {}", options.keys, dir.display());
    let alone = run(&dir.join("alone"), options.keys, Sender::None)?;
    println!(
        "compaction alone: {:.0} MB/s (a log of {} MB in {:.2} s, {} rounds), peak memory {} MiB",
        alone.bytes as f64 / 1e6 / alone.elapsed.as_secs_f64(),
        alone.bytes / 1_000_000,
        alone.elapsed.as_secs_f64(),
        alone.rounds,
        alone.peak_kib / 1024,
    );
    let beside = run(&dir.join("beside"), options.keys, Sender::Paced)?;
    let (idle, busy) = (percentile(&beside.idle), percentile(&beside.busy));
    println!(
        "send at Os, 1 kB, 2000 a second: p99 {:.1} us idle, {:.1} us during compaction, ratio {:.2} ({} and {} sends)",
        idle.as_secs_f64() * 1e6,
        busy.as_secs_f64() * 1e6,
        busy.as_secs_f64() / idle.as_secs_f64(),
        beside.idle.len(),
        beside.busy.len(),
    );
    Ok(())
}

/// `None` when the arguments ask for other benchmarks: cargo hands them to all.
fn options() -> Outcome<Option<Options>> {
    let mut options = Options { keys: 1_000_000, dir: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--keys" => options.keys = arguments.next().ok_or("--keys needs a number")?.parse()?,
            "--dir" => options.dir = Some(arguments.next().ok_or("--dir needs a directory")?.into()),
            "--quick" => options.keys = 50_000,
            option if option.starts_with("--") => {}
            filter if "compaction".contains(filter) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(options))
}

#[derive(PartialEq, Eq)]
enum Sender {
    None,
    Paced,
}

struct Measured {
    bytes: u64,
    elapsed: Duration,
    rounds: u32,
    peak_kib: u64,
    idle: Vec<Duration>,
    busy: Vec<Duration>,
}

fn run(dir: &Path, keys: u64, sender: Sender) -> Outcome<Measured> {
    let builder = Store::builder(dir).read_mode(ReadMode::Positional).compaction_memory_bytes(MEMORY_BYTES);
    let store = builder.maintain_by_hand().open()?;
    let topic = store.create_topic(TOPIC, TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
    fill(&store, keys)?;
    store.producer().flush()?;
    let idle =
        if sender == Sender::Paced { send_until(&store, &after(Duration::from_secs(3)))? } else { vec![] };
    let bytes = topic.stats()?.bytes();
    reset_peak()?;
    let is_over = AtomicBool::new(false);
    let (report, elapsed, busy) = thread::scope(|scope| {
        let busy = scope.spawn(|| match sender {
            Sender::Paced => send_until(&store, &|| is_over.load(Ordering::Relaxed)),
            Sender::None => Ok(vec![]),
        });
        let begun = Instant::now();
        let report = compact(&topic);
        let elapsed = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (report, elapsed, busy.join())
    });
    let peak_kib = peak_kib()?;
    let (report, busy) = (report?, busy.map_err(|_| "the sender panicked")??);
    if report.removed_records < keys {
        return Err(format!("{} records went, {keys} were superseded", report.removed_records).into());
    }
    store.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(Measured { bytes, elapsed, rounds: report.rounds, peak_kib, idle, busy })
}

fn compact(topic: &Topic) -> Outcome<annals::report::CompactionReport> {
    topic.compact()?.pop().ok_or_else(|| "the topic has no partition".into())
}

/// Every key twice, in two orders that are woven together: of every stretch of the log about half stays.
fn fill(store: &Store, keys: u64) -> Outcome {
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind(TOPIC)?;
    let mut value = vec![b'.'; VALUE_BYTES];
    // A prime that divides no round number of keys makes the second order a permutation too.
    for number in (0..keys).flat_map(|number| [number, (number * 7919 + 13) % keys]) {
        let text = number.to_string();
        value.splice(..text.len(), text.bytes());
        producer.send(Record::new().key(&text).value(&value))?;
    }
    Ok(())
}

fn after(wait: Duration) -> impl Fn() -> bool {
    let begun = Instant::now();
    move || begun.elapsed() > wait
}

/// Sends at a steady pace, far below what the log can take, and times each send.
fn send_until(store: &Store, is_over: &dyn Fn() -> bool) -> Outcome<Vec<Duration>> {
    let producer = store.producer().bind(TOPIC)?;
    let (value, pace) = (vec![b'x'; VALUE_BYTES], Duration::from_micros(500));
    let mut times = Vec::new();
    let mut next = Instant::now();
    while !is_over() {
        let begun = Instant::now();
        producer.send(Record::new().key("one that is sent again and again").value(&value))?;
        times.push(begun.elapsed());
        next += pace;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(times)
}

fn percentile(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

/// Linux only: elsewhere the peak is told as 0.
fn reset_peak() -> Outcome {
    if cfg!(target_os = "linux") {
        std::fs::write("/proc/self/clear_refs", "5")?;
    }
    Ok(())
}

fn peak_kib() -> Outcome<u64> {
    if cfg!(not(target_os = "linux")) {
        return Ok(0);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
}
