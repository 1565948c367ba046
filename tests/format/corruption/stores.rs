//! The two stores that are damaged, one closed and one left by a kill, and what they looked like earlier.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    CleanupPolicy, Codec, CommittedOffset, Durability, Offset, OffsetAndTimestamp, OwnedRecord, Partition,
    ReadMode, Record, Result, Store, StoreBuilder, TopicConfig, TopicPartition,
};

use annals_testing::{Files, Image, MemoryFileSystem};

/// Where the store is.
pub(crate) const ROOT: &str = "/store";
pub(crate) const GROUP: &str = "readers";
/// What the clock shows at first.
const NOW: i64 = 1_700_000_000_000;

/// A store as it was left, and what it holds.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) image: Arc<Image>,
    /// Earlier contents of files that changed since.
    pub(crate) earlier: Vec<(String, Arc<[u8]>)>,
    pub(crate) content: Content,
}

/// All that can be asked of a store.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) topics: Vec<TopicContent>,
    pub(crate) committed: BTreeMap<TopicPartition, CommittedOffset>,
}

#[derive(Debug)]
pub(crate) struct TopicContent {
    pub(crate) name: String,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) partitions: Vec<PartitionContent>,
    /// Of a compacted topic.
    pub(crate) latest: Option<Vec<OwnedRecord>>,
}

#[derive(Debug)]
pub(crate) struct PartitionContent {
    /// The directory of its files.
    pub(crate) directory: String,
    pub(crate) start: Offset,
    pub(crate) durable: Offset,
    pub(crate) end: Offset,
    pub(crate) records: Vec<OwnedRecord>,
    /// What is found for some times.
    pub(crate) times: Vec<(i64, Option<OffsetAndTimestamp>)>,
}

pub(crate) fn builder(files: &MemoryFileSystem, mode: ReadMode) -> StoreBuilder {
    Store::builder(ROOT)
        .file_system(Arc::new(files.clone()))
        .clock(Arc::new(ManualClock::at(NOW + 100_000)))
        .read_mode(mode)
        .max_expanded_bytes(1 << 20)
        .compaction_memory_bytes(1 << 16)
        .maintain_by_hand()
}

/// Made once: 64 KiB together.
pub(crate) fn samples() -> &'static [Sample; 2] {
    static SAMPLES: OnceLock<[Sample; 2]> = OnceLock::new();
    SAMPLES.get_or_init(|| [sample("closed", true), sample("killed", false)])
}

fn sample(name: &'static str, is_closed: bool) -> Sample {
    let memory = MemoryFileSystem::over(&Image::new(Files::new()));
    let mut moments = Vec::new();
    let store = builder(&memory, ReadMode::Mapped).open().unwrap();
    fill(&store, &mut || moments.push(memory.files()));
    if is_closed {
        store.close().unwrap();
    }
    let mut files = memory.files();
    memory.freeze();
    drop(store);
    if !is_closed {
        // Space that was allocated ahead of the writes.
        let active = files.iter_mut().rfind(|(path, _)| path.contains("plain-0") && path.ends_with(".log"));
        let (_, bytes) = active.unwrap();
        *bytes = [&**bytes, &[0; 300]].concat().into();
    }
    let mut earlier = Vec::new();
    for (path, bytes) in &files {
        let before = moments.iter().filter_map(|moment| moment.get(path)).filter(|before| *before != bytes);
        let mut before: Vec<_> = before.cloned().collect();
        before.dedup();
        earlier.extend(before.into_iter().map(|bytes| (path.clone(), bytes)));
    }
    let image = Image::new(files);
    let files = MemoryFileSystem::over(&image);
    let store = builder(&files, ReadMode::Mapped).open().unwrap();
    let content = content(&store).unwrap();
    files.freeze();
    drop(store);
    assert!(files.touched().is_empty(), "{:?}", files.touched());
    Sample { name, image, earlier, content }
}

/// Segments of so many bytes, with an index entry for every second batch or so.
fn small_segments(bytes: u32) -> TopicConfig {
    TopicConfig::new().segment_bytes(bytes).index_interval_bytes(300)
}

fn fill(store: &Store, moment: &mut dyn FnMut()) {
    let plain = store.create_topic("plain", small_segments(2500).partitions(2)).unwrap();
    let zipped = store.create_topic("zipped", small_segments(2000)).unwrap();
    let table = small_segments(1800).cleanup_policy(CleanupPolicy::Compact);
    let table = store.create_topic("table", table).unwrap();
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    for round in 0..11_i64 {
        let codec = codecs[usize::try_from(round).unwrap() % codecs.len()];
        store.alter_topic("zipped", TopicConfig::new().compression_type(codec)).unwrap();
        for number in 0..3 {
            let number = round * 3 + number;
            append(&plain.partition(0).unwrap(), number, 1);
            append(&plain.partition(1).unwrap(), number + 1000, 1);
            append(&zipped.partition(0).unwrap(), number, 3);
            append(&table.partition(0).unwrap(), number, 2);
        }
        match round {
            2 => moment(),
            3 => store.create_topic("late", small_segments(1000)).map(drop).unwrap(),
            5 => {
                table.compact().unwrap();
                plain.partition(1).unwrap().delete_records(7).unwrap();
                commit(store);
                moment();
            }
            9 => {
                append(&store.topic("late").unwrap().partition(0).unwrap(), 5, 4);
                store.topics().iter().for_each(|topic| topic.flush().unwrap());
                commit(store);
                moment();
            }
            _ => {}
        }
    }
    append(&store.topic("late").unwrap().partition(0).unwrap(), 6, 2);
}

/// One batch of `records`; some have no key, no value, or headers.
fn append(partition: &Partition, number: i64, records: i64) {
    let texts: Vec<_> = (0..records)
        .map(|record| {
            let number = number * 7 + record;
            let value = format!("{number} ").repeat(usize::try_from(6 + number % 29).unwrap());
            (format!("key {}", number % 11), value, number)
        })
        .collect();
    let batch: Vec<_> = texts
        .iter()
        .map(|(key, value, number)| {
            let record = Record::new().key(key).timestamp(NOW + number * 10 - (number % 4) * 25);
            let record = if number % 13 == 5 { record } else { record.value(value) };
            if number % 5 == 0 { record.header("trace", "x").null_header("none") } else { record }
        })
        .collect();
    partition.append(&batch, Durability::Os).unwrap();
}

fn commit(store: &Store) {
    let mut consumer = store.consumer(GROUP).unwrap();
    consumer.assign([("plain", 0), ("plain", 1), ("zipped", 0), ("table", 0)]).unwrap();
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit_with_metadata([(TopicPartition::new("plain", 0), 9)], "noted").unwrap();
    consumer.commit().unwrap();
}

pub(crate) fn content(store: &Store) -> Result<Content> {
    let mut topics = Vec::new();
    for topic in store.topics() {
        let partitions = topic.partitions().iter().map(partition_content).collect::<Result<_>>()?;
        let is_table = topic.cleanup_policy() == CleanupPolicy::Compact;
        let latest = is_table.then(|| topic.latest().collect::<Result<_>>()).transpose()?;
        let config = topic.config().values().clone();
        topics.push(TopicContent { name: topic.name().to_owned(), config, partitions, latest });
    }
    Ok(Content { topics, committed: store.committed(GROUP) })
}

fn partition_content(partition: &Partition) -> Result<PartitionContent> {
    let records = partition.read(..)?.into_iter().collect::<Result<Vec<OwnedRecord>>>()?;
    let last = records.iter().map(|record| record.timestamp).max().unwrap_or(NOW);
    let probes = [0, NOW + 100, NOW + 1000, NOW + 2000, last - 20, last, last + 1];
    let find = |time: i64| partition.offset_for_time(time).map(|found| (time, found));
    let times = probes.into_iter().map(find).collect::<Result<_>>()?;
    Ok(PartitionContent {
        directory: format!("{ROOT}/{}-{}", partition.topic(), partition.number()),
        start: partition.start(),
        durable: partition.durable(),
        end: partition.end(),
        records,
        times,
    })
}
