//! Rounds of everything that is made and goes away again. Whatever a round takes, it gives back.

mod works;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::io::ManualClock;
use annals::{CleanupPolicy, Durability, Record, Result, Store, TopicConfig};

/// What the process holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    descriptors: u64,
    maps: u64,
    /// In KiB.
    pub(super) resident: u64,
    /// Of its topics' files, in KiB.
    disk: u64,
    /// Of the files of its internal topics: these are compacted once the segment that grows is full.
    internal: u64,
}

impl Held {
    pub(super) fn now(dir: &Path) -> Self {
        let lines = |path: &str| std::fs::read_to_string(path).unwrap_or_default().lines().count() as u64;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok());
        Self {
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
            maps: lines("/proc/self/maps"),
            resident: resident.unwrap_or(0),
            disk: size(dir, |name| !name.starts_with("__")) / 1024,
            internal: size(dir, |name| name.starts_with("__")) / 1024,
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            maps: self.maps.max(other.maps),
            resident: self.resident.max(other.resident),
            disk: self.disk.max(other.disk),
            internal: self.internal.max(other.internal),
        }
    }
}

/// Bytes of the files below the entries of `dir` with such names.
fn size(dir: &Path, counts: fn(&str) -> bool) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let counted = entries.filter(|entry| counts(&entry.file_name().to_string_lossy()));
    counted
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => size(&entry.path(), |_| true),
            kind => kind.map_or(0, |kind| kind.len()),
        })
        .sum()
}

fn open(dir: &Path, clock: &Arc<ManualClock>) -> Result<Store> {
    Store::builder(dir).clock(Arc::clone(clock) as Arc<dyn annals::io::Clock>).open()
}

/// A table and an event topic are made, written, read by a new group, compacted, emptied and deleted; the group too.
fn round(store: &Store, number: u64, clock: &ManualClock) -> Result<()> {
    let (events, table) = (format!("events-{number}"), format!("table-{number}"));
    let small = || TopicConfig::new().partitions(3).segment_bytes(64 << 10);
    store.create_topic(&events, small().retention(Duration::from_secs(60)))?;
    let compacted = store.create_topic(&table, small().cleanup_policy(CleanupPolicy::Compact))?;
    let producer = store.producer();
    for record in 0..2_000_u32 {
        let key = format!("key {}", record % 50);
        let value = [b'x'; 200];
        producer.send(Record::to(&events).key(&key).value(value.as_slice()))?;
        producer.send(Record::to(&table).key(&key).value(value.as_slice()))?;
    }
    producer.flush()?;
    let group = format!("group-{number}");
    let mut consumer = store.consumer(&group)?;
    consumer.subscribe([events.as_str(), table.as_str()])?;
    while consumer.lag()? > 0 {
        consumer.poll(Duration::ZERO)?;
        consumer.commit()?;
    }
    consumer.close()?;
    compacted.compact()?;
    assert_eq!(compacted.latest().count(), 50);
    clock.advance(Duration::from_secs(3600));
    store.apply_retention()?;
    for partition in store.topic(&events)?.partitions() {
        partition.append(&[Record::new().key("again").value("after retention")], Durability::Disk)?;
        partition.get(partition.end() - 1)?;
    }
    store.delete_topic(&events)?;
    store.delete_topic(&table)?;
    store.delete_group(&group)?;
    store.maintain()
}

/// Plays rounds until `is_over`, with a new store every fifth, and returns what was held after each.
fn rounds(dir: &Path, mut is_over: impl FnMut(u64) -> bool) -> Result<Vec<Held>> {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (dir, scratch) = (dir.join("store"), dir.join("copies"));
    std::fs::create_dir(&scratch).expect("a directory");
    let dir = dir.as_path();
    let mut store = open(dir, &clock)?;
    let mut held = Vec::new();
    for number in 0.. {
        if is_over(number) {
            break;
        }
        round(&store, number, &clock)?;
        works::round(&store, number, &clock, &scratch)?;
        held.push(Held::now(dir));
        if number % 100 == 99 {
            println!("round {number}: {:?}", held.last());
        }
        if number % 5 == 4 {
            store.close()?;
            store = open(dir, &clock)?;
        }
    }
    store.close()?;
    Ok(held)
}

/// Four compacted topics, each with a segment that grows and a compacted one; what waits for later. In KiB.
const MOST_INTERNAL: u64 = 4 * 2 * (128 << 10) + (64 << 10);

fn most(held: &[Held]) -> Held {
    held.iter().copied().fold(Held::default(), Held::most)
}

#[test]
fn a_round_gives_back_its_descriptors_maps_and_files() -> Result<()> {
    let _alone = super::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let held = rounds(dir.path(), |number| number == 12)?;
    let (early, late) = (most(&held[..4]), most(&held[8..]));
    println!("{early:?}\n{late:?}");
    assert!(late.descriptors <= early.descriptors, "{held:?}");
    // An allocator maps memory when it likes.
    assert!(late.maps <= early.maps + 16, "{held:?}");
    assert!(late.disk <= early.disk + 256, "{held:?}");
    Ok(())
}

/// Rounds for so many minutes. What was held in the last third is what was held in the second.
#[test]
#[ignore = "takes the minutes that ANNALS_SOAK_MINUTES says; tests/soak.sh"]
fn soak() -> Result<()> {
    let minutes = std::env::var("ANNALS_SOAK_MINUTES").map_or(10, |text| text.parse().expect("minutes"));
    let dir = tempfile::tempdir().expect("a directory");
    let began = Instant::now();
    let held = rounds(dir.path(), |_| began.elapsed() >= Duration::from_secs(60 * minutes))?;
    let third = held.len() / 3;
    let (early, late) = (most(&held[third..2 * third]), most(&held[2 * third..]));
    println!(
        "{minutes} minutes, {} rounds; most in the second third {early:?}, in the last {late:?}",
        held.len()
    );
    assert!(third > 0, "not one round in a third of the time");
    // Each is what a round happened to hold when it was looked at.
    assert!(late.descriptors <= early.descriptors + 2, "descriptors grow");
    assert!(late.maps <= early.maps + 16, "maps grow");
    assert!(late.disk <= early.disk + 512, "the disk fills");
    assert!(late.internal <= MOST_INTERNAL, "internal topics fill the disk");
    assert!(late.resident <= early.resident + early.resident / 10 + 1024, "memory grows");
    Ok(())
}
