//! Stores in memory, small enough to be made again for every input.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::Result;
use crate::format::Codec;
use crate::fuzzing::memory::{Files, Memory};
use crate::fuzzing::reference::Plain;
use crate::io::ManualClock;
use crate::segment::ReadMode;
use crate::store::Store;
use crate::topic::{CleanupPolicy, OwnedRecord, Partition, TopicConfig};
use crate::types::{Durability, Offset, Record};

/// Where the store is.
pub(super) const ROOT: &str = "/store";
/// What the clock shows at first.
pub(super) const NOW: i64 = 1_000_000;
/// A reader that comes this far has seen enough.
const MOST_RECORDS: usize = 5_000;

pub(super) fn open(memory: &Memory, clock: &Arc<ManualClock>) -> Result<Store> {
    Store::builder(ROOT)
        .file_system(memory.file_system())
        .clock(Arc::clone(clock) as Arc<dyn crate::io::Clock>)
        .read_mode(ReadMode::Positional)
        .max_expanded_bytes(1 << 20)
        .compaction_memory_bytes(1 << 16)
        .maintain_by_hand()
        .open()
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

/// The path of a file of a partition.
pub(super) fn file_of(partition: &str, name: &str) -> PathBuf {
    Path::new(ROOT).join(partition).join(name)
}

/// Segments of so many bytes, with an index entry for every second batch.
pub(super) fn small_segments(bytes: u32) -> TopicConfig {
    TopicConfig::new().segment_bytes(bytes).index_interval_bytes(100)
}

/// The records from `from` on, up to the first that cannot be read.
pub(super) fn read_from(partition: &Partition, from: Offset) -> Result<Vec<Plain>> {
    let records = partition.read_from(from)?.into_iter().take(MOST_RECORDS);
    records.map(|record| record.map(plain)).collect()
}

fn plain(record: OwnedRecord) -> Plain {
    let headers = record.headers.into_iter().map(|header| (header.key, header.value));
    Plain {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers: headers.collect(),
    }
}

/// What a store of a few topics leaves behind.
#[derive(Debug)]
pub(super) struct Samples {
    pub(super) killed: Files,
    pub(super) closed: Files,
}

/// Made once: two topics of several segments each, one of them compacted, and what a group has committed.
pub(super) fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let memory = Memory::with(Files::new());
        let killed = fill(&memory);
        assert!(killed.is_ok(), "{killed:?}");
        Samples { killed: killed.unwrap_or_default(), closed: memory.files() }
    })
}

/// Returns the files as they are before the close.
fn fill(memory: &Memory) -> Result<Files> {
    let clock = clock();
    let store = open(memory, &clock)?;
    let plain = store.create_topic("a", small_segments(600).partitions(2))?;
    let compacted = small_segments(600).cleanup_policy(CleanupPolicy::Compact).compression_type(Codec::Lz4);
    let compacted = store.create_topic("b", compacted)?;
    for number in 0..24_i64 {
        let (key, value) = (format!("key {}", number % 5), format!("value {number}"));
        let record = Record::new().key(&key).value(&value).header("h", "x").timestamp(NOW + number);
        plain.partition(u32::from(number % 3 == 0))?.append(std::slice::from_ref(&record), Durability::Os)?;
        compacted.partition(0)?.append(&[record.clone(), record], Durability::Os)?;
        if number == 12 {
            compacted.compact()?;
            plain.partition(0)?.flush()?;
        }
    }
    let mut consumer = store.consumer("g")?;
    consumer.assign([("a", 0), ("b", 0)])?;
    consumer.poll(Duration::ZERO)?;
    consumer.commit()?;
    let killed = memory.files();
    store.close()?;
    Ok(killed)
}
