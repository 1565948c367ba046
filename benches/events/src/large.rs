//! Ten million events of a million streams: what an append costs beside one without an index, what reading one stream costs where all of
//! it is in memory and where nothing is, and what the index takes on the disk, in memory, and of time when it is made again.

mod cold;
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::{Durability, Expected, Offset, Partition, Record, Store, Topic, TopicConfig};

use crate::harness::Outcome;
use crate::payload::Payloads;
use crate::watch::timed;
use crate::works::stream;
use process::Held;

/// Events of a stream.
const EACH: usize = 10;
const LEN: usize = 100;

/// How an event is appended.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    is_indexed: bool,
    append: fn(&Partition, &Topic, &str, Option<Offset>, &Record<'_>) -> annals::Result<Offset>,
}

const WAYS: [Way; 3] = [
    Way {
        name: "Partition::append, without a key index",
        is_indexed: false,
        append: |partition, _, key, _, event| {
            let event = event.clone().key(key);
            partition.append(std::slice::from_ref(&event), Durability::Os).map(|done| done.last_offset)
        },
    },
    Way {
        name: "the same with a key index",
        is_indexed: true,
        append: |partition, _, key, _, event| {
            let event = event.clone().key(key);
            partition.append(std::slice::from_ref(&event), Durability::Os).map(|done| done.last_offset)
        },
    },
    Way {
        name: "Topic::append_to, Expected::Version",
        is_indexed: true,
        append: |_, topic, key, version, event| {
            let expected = version.map_or(Expected::NoStream, Expected::Version);
            topic.append_to(key, expected, std::slice::from_ref(event)).map(|done| done.last_offset)
        },
    },
];

/// A store that one of the ways fills.
struct Filling {
    way: Way,
    dir: PathBuf,
    store: Store,
    topic: Topic,
    versions: Vec<Option<Offset>>,
    /// Of each round.
    times: Vec<Duration>,
}

impl Filling {
    fn new(root: &Path, number: usize, way: Way, streams: usize) -> Outcome<Self> {
        let dir = root.join(number.to_string());
        let store = Store::open(&dir)?;
        let topic = store.create_topic("events", TopicConfig::new().key_index(way.is_indexed))?;
        Ok(Self { way, dir, store, topic, versions: vec![None; streams], times: Vec::new() })
    }

    /// One event for each stream, in an order of its own.
    fn round(&mut self, payloads: &Payloads, number: usize) -> Outcome {
        let partition = self.topic.partition(0)?;
        let streams = self.versions.len();
        let ((), elapsed) = timed(|| {
            for at in 0..streams {
                let at = (at * 7919 + number * 104_729) % streams;
                let event = Record::new().value(payloads.get(at));
                let version = self.versions[at];
                let appended = (self.way.append)(&partition, &self.topic, &stream(at), version, &event)?;
                self.versions[at] = Some(appended);
            }
            Ok(())
        })?;
        self.times.push(elapsed);
        Ok(())
    }
}

pub(crate) fn run(events: usize, dir: Option<&Path>) -> Outcome {
    let root = match dir {
        Some(dir) => tempfile::TempDir::with_prefix_in("annals-large-", dir)?,
        None => tempfile::TempDir::with_prefix("annals-large-")?,
    };
    // A number that 7919 does not divide, so that each round meets each stream.
    let streams = (events / EACH).max(100);
    println!(
        "{} events of {LEN} B, {streams} streams of {EACH}, in {}\n",
        streams * EACH,
        root.path().display()
    );
    let payloads = Payloads::new(LEN);
    let mut stores = WAYS
        .into_iter()
        .enumerate()
        .map(|(number, way)| Filling::new(root.path(), number, way, streams))
        .collect::<Outcome<Vec<_>>>()?;
    // The versions are the sender's.
    let (mut most, before) = (0, process::anonymous()?);
    for number in 0..EACH {
        for filling in &mut stores {
            filling.round(&payloads, number)?;
            most = most.max(process::anonymous()?.saturating_sub(before));
        }
    }
    appends(&stores, streams);
    println!("memory of the three stores while they are filled: {most} KiB at most");
    let dir = stores.last().map(|last| last.dir.clone()).ok_or("no store")?;
    let mut kept = None;
    for filling in stores {
        filling.store.close()?;
        if filling.dir == dir {
            kept = Some(filling.versions)
        } else {
            std::fs::remove_dir_all(&filling.dir)?
        }
    }
    let versions = kept.ok_or("no versions")?;
    sizes(&dir, streams * EACH)?;
    warm(&dir, &versions, &payloads)?;
    cold::run(&dir, &versions)?;
    made_again(&dir, streams * EACH)
}

fn appends(stores: &[Filling], streams: usize) {
    println!("{:<44} {:>12} {:>8} {:>8}", "appends, medians of rounds", "ns an event", "ratio", "indexed");
    for filling in stores {
        let beside = |other: &Filling| {
            let ratios = filling.times.iter().zip(&other.times);
            median(ratios.map(|(own, other)| own.as_secs_f64() / other.as_secs_f64()))
        };
        let time = median(filling.times.iter().map(|time| time.as_secs_f64() * 1e9 / streams as f64));
        println!(
            "{:<44} {:>12.0} {:>8.2} {:>8.2}",
            filling.way.name,
            time,
            beside(&stores[0]),
            beside(&stores[1])
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes of the files whose name ends so.
fn bytes_of(dir: &Path, ends: &str) -> Outcome<(usize, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(dir.join("events-0"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ends) {
            (files, bytes) = (files + 1, bytes + entry.metadata()?.len());
        }
    }
    Ok((files, bytes))
}

fn sizes(dir: &Path, events: usize) -> Outcome {
    println!();
    for ends in [".log", ".keyindex", ".index", ".timeindex"] {
        let (files, bytes) = bytes_of(dir, ends)?;
        println!("{ends:<12} {files:>4} files {:>8.1} bytes an event", bytes as f64 / events as f64);
    }
    Ok(())
}

/// A stream that nobody has asked for lately.
fn asked(number: usize, streams: usize) -> usize {
    (number * 15_485_863 + 17) % streams
}

fn open(dir: &Path) -> Outcome<(Store, Topic)> {
    let store = Store::open(dir)?;
    let topic = store.topic("events")?;
    Ok((store, topic))
}

fn read(topic: &Topic, number: usize) -> Outcome {
    let mut reader = topic.stream(stream(number))?.read(..)?;
    let mut records = 0;
    loop {
        let events = reader.fetch()?;
        if events.is_empty() {
            break;
        }
        records += events.len();
    }
    if records >= EACH { Ok(()) } else { Err(format!("{records} events of stream {number}").into()) }
}

fn warm(dir: &Path, versions: &[Option<Offset>], payloads: &Payloads) -> Outcome {
    let (store, topic) = open(dir)?;
    let count = (versions.len() / 10).min(50_000);
    println!("\n{:<44} {:>12}", "warm: another stream each time", "µs");
    let best = |what: &str, work: &dyn Fn(usize) -> Outcome| -> Outcome {
        // Once to warm it, then the best of five.
        let mut best = Duration::MAX;
        for _ in 0..6 {
            let ((), elapsed) =
                timed(|| (0..count).try_for_each(|number| work(asked(number, versions.len()))))?;
            best = best.min(elapsed);
        }
        println!("{what:<44} {:>12.2}", best.as_secs_f64() * 1e6 / count as f64);
        Ok(())
    };
    best("its 10 events, Stream::read", &|at| read(&topic, at))?;
    best("its version, Stream::version", &|at| {
        if topic.stream(stream(at))?.version()? == versions[at] {
            Ok(())
        } else {
            Err("another version".into())
        }
    })?;
    best("its last event, Topic::get", &|at| Ok(drop(topic.get(stream(at))?.ok_or("no event")?)))?;
    best("a stream that is not there", &|at| {
        if topic.get(format!("x{}", stream(at)))?.is_none() { Ok(()) } else { Err("an event".into()) }
    })?;
    let ((), elapsed) = timed(|| {
        (0..count).try_for_each(|number| {
            let at = asked(number, versions.len());
            let expected = versions[at].map_or(Expected::NoStream, Expected::Version);
            topic.append_to(stream(at), expected, &[Record::new().value(payloads.get(at))])?;
            Ok(())
        })
    })?;
    let each = elapsed.as_secs_f64() * 1e6 / count as f64;
    println!("{:<44} {each:>12.2}", "an append with a guard, its last event anywhere");
    store.close()?;
    Ok(())
}

/// All files are gone: the first look makes them.
fn made_again(dir: &Path, events: usize) -> Outcome {
    for entry in std::fs::read_dir(dir.join("events-0"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "keyindex") {
            std::fs::remove_file(path)?;
        }
    }
    let (store, topic) = open(dir)?;
    let held = Held::begin()?;
    let (found, elapsed) = timed(|| Ok(topic.get("nobody")?))?;
    if found.is_some() {
        return Err("an event of nobody".into());
    }
    println!(
        "\nthe index made again: {:.2} s, {:.0} ns an event, {} KiB of memory at most",
        elapsed.as_secs_f64(),
        elapsed.as_secs_f64() * 1e9 / events as f64,
        held.most()?
    );
    store.close()?;
    Ok(())
}
