//! What processes take while they do one thing.

use std::path::Path;
use std::process::Command;

use annals::{Durability, ReadMode, Record, Store, TopicConfig};

use crate::batches::append_batches;
use crate::child;
use crate::harness::Outcome;
use crate::options::Options;
use crate::payload::{Found, Payloads, Random, Values};
use crate::peer::{AROUND, Codec, Kind, Setup, Work};
use crate::peers;
use crate::results::{Line, Memory, Results};
use crate::scratch::Scratch;

const MIB: usize = 1 << 20;

pub(crate) fn run(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    let mut results = options.results()?;
    for peer in peers::ALL.iter().filter(|peer| peer.kind != Kind::Bare && peer.does(Work::W2)) {
        if options.wants_row(peer.name) {
            let records = options.records(500_000);
            let what = format!("append {records} records of 100 B in batches of 100, read all");
            weigh(peer.name, &what, &["peer", peer.name, &records.to_string()], &scratch, &mut results)?;
        }
    }
    if !options.wants_row("annals") {
        return Ok(());
    }
    let sends = options.records(500_000).to_string();
    for level in ["Memory", "Os", "Disk"] {
        let count = if level == "Disk" { &options.records(4_000).to_string() } else { &sends };
        let what = format!("send {count} records of 100 B one by one at {level}");
        weigh("annals", &what, &["send", level, count], &scratch, &mut results)?;
    }
    let what = format!("send {sends} records of 100 B in batches of 100, zstd");
    weigh("annals", &what, &["zstd", &sends], &scratch, &mut results)?;
    weigh(
        "annals",
        "an idle store of 1,000 partitions that hold records",
        &["idle", "1000"],
        &scratch,
        &mut results,
    )?;
    for mib in [64, 1024, 4096] {
        let size = mib * MIB / options.scale;
        let dir = scratch.fresh()?;
        fill(dir.path(), size)?;
        for mode in ["Mapped", "Positional"] {
            let what = format!("read a log of {} MiB, ReadMode::{mode}", size / MIB);
            weigh_in(dir.path(), "annals", &what, &["read", mode], &mut results)?;
        }
        weigh_in(
            dir.path(),
            "annals",
            &format!("open a log of {} MiB, closed cleanly", size / MIB),
            &["open"],
            &mut results,
        )?;
        child::annals_killed(dir.path(), "append")?;
        weigh_in(
            dir.path(),
            "annals",
            &format!("open a log of {} MiB behind a SIGKILL", size / MIB),
            &["open"],
            &mut results,
        )?;
        let what = format!("10,000 reads of one record in a log of {} MiB", size / MIB);
        weigh_in(dir.path(), "annals", &what, &["points"], &mut results)?;
    }
    Ok(())
}

fn weigh(row: &str, what: &str, args: &[&str], scratch: &Scratch, results: &mut Results) -> Outcome {
    let dir = scratch.fresh()?;
    weigh_in(dir.path(), row, what, args, results)
}

/// Has a child do it, and reads from its output what it took.
fn weigh_in(dir: &Path, row: &str, what: &str, args: &[&str], results: &mut Results) -> Outcome {
    let output =
        Command::new(std::env::current_exe()?).args(["child", "weigh"]).arg(dir).args(args).output()?;
    if !output.status.success() {
        return Err(format!("{row}: {what}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    // Some peers print too; ours is the last line.
    let text = String::from_utf8(output.stdout)?;
    let kib: Vec<u64> =
        text.lines().last().unwrap_or_default().split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [peak, resident, anonymous, file] = kib[..] else { return Err("not four figures".into()) };
    results.add(Line::Memory(Memory { row: row.into(), what: what.into(), peak, resident, anonymous, file }))
}

fn fill(dir: &Path, size: usize) -> Outcome {
    let store = Store::open(dir)?;
    let partition = store.create_topic("events", TopicConfig::new())?.partition(0)?;
    let payloads = Payloads::new(1024);
    while partition.bytes() < size as u64 {
        append_batches(&partition, &payloads, 1_000)?;
    }
    Ok(store.close()?)
}

/// The child: does it, then says what it has taken, before anything is closed.
pub(crate) fn child(mut args: impl Iterator<Item = String>) -> Outcome {
    let dir = args.next().ok_or("no directory")?;
    let dir = Path::new(&dir);
    let args: Vec<String> = args.collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["peer", name, records] => peer(dir, name, records.parse()?),
        ["send", level, count] => send(dir, level, count.parse()?),
        ["zstd", count] => zstd(dir, count.parse()?),
        ["idle", partitions] => idle(dir, partitions.parse()?),
        ["read", mode] => read(dir, mode),
        ["open"] => {
            let store = Store::open(dir)?;
            say(&store)
        }
        ["points"] => points(dir),
        _ => Err("a child cannot weigh that".into()),
    }
}

/// Peak, resident, anonymous and file memory of this process, KiB, while `_held` is.
fn say<T>(_held: &T) -> Outcome {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or("0").to_owned()
    };
    println!("\n{}", ["VmHWM:", "VmRSS:", "RssAnon:", "RssFile:"].map(field).join(" "));
    Ok(())
}

fn peer(dir: &Path, name: &str, records: usize) -> Outcome {
    peers::prepare(dir.parent().ok_or("a path without a parent")?);
    let peer = peers::named(name)?;
    let offer = peer.offer(crate::peer::Class::Os).unwrap_or(peer.laziest());
    let bytes = records * 100;
    let mut log = (peer.open)(
        dir,
        &Setup { class: offer.class, codec: Codec::None, bytes, records, around: AROUND, as_claimed: false },
    )?;
    let payloads = Payloads::new(100);
    log.append_run(&Values::new(&payloads, 0..records, 100))?;
    log.finish()?;
    crate::append::same(log.read_back()?, payloads.expected(0..records))?;
    say(&log)
}

fn send(dir: &Path, level: &str, count: usize) -> Outcome {
    let durability = match level {
        "Memory" => Durability::Memory,
        "Os" => Durability::Os,
        _ => Durability::Disk,
    };
    let store = Store::open(dir)?;
    store.create_topic("events", TopicConfig::new())?;
    let producer = store.producer_builder().durability(durability).build()?.bind("events")?;
    let payloads = Payloads::new(100);
    for number in 0..count {
        producer.send(Record::new().value(payloads.get(number)))?;
    }
    say(&store)
}

fn zstd(dir: &Path, count: usize) -> Outcome {
    let store = Store::open(dir)?;
    store.create_topic("events", TopicConfig::new().compression_type(annals::Codec::Zstd))?;
    let producer = store.producer().bind("events")?;
    Values::new(&Payloads::new(100), 0..count, 100).in_batches(|batch| {
        let records: Vec<_> = batch.iter().map(|value| Record::new().value(*value)).collect();
        producer.send_batch(&records).map(|_| ())
    })?;
    say(&store)
}

fn idle(dir: &Path, partitions: u32) -> Outcome {
    let store = Store::open(dir)?;
    let topic = store.create_topic("events", TopicConfig::new().partitions(partitions))?;
    for partition in topic.partitions() {
        partition.append(&[Record::new().value("one")], Durability::Os)?;
    }
    store.close()?;
    drop((topic, store));
    let store = Store::open(dir)?;
    std::thread::sleep(std::time::Duration::from_millis(1500));
    say(&store)
}

fn read(dir: &Path, mode: &str) -> Outcome {
    let mode = if mode == "Mapped" { ReadMode::Mapped } else { ReadMode::Positional };
    let store = Store::builder(dir).read_mode(mode).open()?;
    let (mut found, mut reader) = (Found::default(), store.topic("events")?.partition(0)?.read_from(0)?);
    loop {
        let records = reader.fetch()?;
        if records.is_empty() {
            break;
        }
        records.iter().for_each(|record| found.add(record.value().unwrap_or_default()));
    }
    std::hint::black_box(found);
    drop(reader);
    say(&store)
}

fn points(dir: &Path) -> Outcome {
    let store = Store::open(dir)?;
    let partition = store.topic("events")?.partition(0)?;
    let (mut random, records) = (Random::default(), usize::try_from(partition.end())?);
    for _ in 0..10_000 {
        let offset = i64::try_from(random.below(records))?;
        std::hint::black_box(partition.read(offset..=offset)?.fetch()?.len());
    }
    say(&store)
}
