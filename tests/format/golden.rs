//! Bytes that must never change: golden files of every kind, Kafka's own worked example, Kafka's hash.
//!
//! `ANNALS_BLESS=1` writes `tests/golden/store` anew; its README says when that is right.

#![expect(clippy::disallowed_methods, reason = "the files are looked at from outside")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    Codec, Durability, KeyHash, OwnedRecord, Partitioner, Record, Store, TimestampType, TopicConfig,
    TopicPartition,
};

const START: i64 = 1_700_000_000_000;
const CODECS: [(&str, Codec); 4] =
    [("gzip", Codec::Gzip), ("snappy", Codec::Snappy), ("lz4", Codec::Lz4), ("zstd", Codec::Zstd)];

fn golden_store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/store")
}

/// A record as it is written and as it must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

impl Content {
    fn new(timestamp: i64, key: Option<&str>, value: Option<&str>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self { timestamp, key: owned(key), value: owned(value), headers: Vec::new() }
    }

    fn with_headers(mut self, headers: &[(&str, Option<&str>)]) -> Self {
        let owned = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
        self.headers = headers.iter().map(owned).collect();
        self
    }

    fn record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }

    fn read(record: OwnedRecord) -> Self {
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        let headers = record.headers.into_iter().map(|header| (header.key, text(header.value))).collect();
        Self { timestamp: record.timestamp, key: text(record.key), value: text(record.value), headers }
    }
}

/// Batches of records.
type Batches = Vec<Vec<Content>>;

fn plain() -> Batches {
    let record = |number: i64, part: i64| {
        let value = format!("value {number} {part} {}", "x".repeat(usize::try_from(number % 7 * 5).unwrap()));
        Content::new(START + number * 1000 - part, Some(&format!("key {}", number % 5)), Some(&value))
    };
    (0..40).map(|number| (0..=number % 3).map(|part| record(number, part)).collect()).collect()
}

fn shapes() -> Batches {
    let empty_or_null = [None, Some(""), Some("text")];
    let all = empty_or_null.iter().flat_map(|key| empty_or_null.iter().map(move |value| (*key, *value)));
    let all = all.zip(0..).map(|((key, value), number)| Content::new(START - number, key, value));
    let headers =
        [("h", Some("1")), ("h", Some("2")), ("", Some("")), ("h", None), ("ключ", Some("значение"))];
    let headed = (0..=headers.len())
        .map(|count| Content::new(START + 7, Some("k"), Some("v")).with_headers(&headers[..count]));
    let far = [0, 1, i64::from(u32::MAX), START, 5].map(|timestamp| Content::new(timestamp, None, Some("t")));
    vec![all.collect(), headed.collect(), far.to_vec()]
}

fn stamped() -> Batches {
    vec![vec![Content::new(5, Some("k"), Some("one")), Content::new(3, None, Some("two"))]]
}

fn repetitive() -> Batches {
    let record = |number: i64| {
        Content::new(START + number, Some("key"), Some(&format!("again and again and again {number}")))
    };
    vec![(0..30).map(record).collect()]
}

fn topics() -> BTreeMap<&'static str, (TopicConfig, Batches)> {
    let codecs = CODECS
        .iter()
        .map(|(name, codec)| (*name, (TopicConfig::new().compression_type(*codec), repetitive())));
    let plain_config = TopicConfig::new().segment_bytes(1500).index_interval_bytes(200);
    let by_log = TopicConfig::new().message_timestamp_type(TimestampType::LogAppendTime);
    let rest = [
        ("plain", (plain_config, plain())),
        ("shapes", (TopicConfig::new(), shapes())),
        ("stamped", (by_log, stamped())),
    ];
    codecs.chain(rest).collect()
}

fn write_store(dir: &Path) {
    let clock = Arc::new(ManualClock::at(START));
    let store = Store::builder(dir).clock(clock.clone()).maintain_by_hand().open().unwrap();
    for (name, (config, batches)) in topics() {
        let partition = store.create_topic(name, config).unwrap().partition(0).unwrap();
        for batch in &batches {
            let records: Vec<_> = batch.iter().map(Content::record).collect();
            partition.append(&records, Durability::Os).unwrap();
        }
    }
    for (group, offset, metadata) in [("readers", 3, ""), ("others", 1, "by hand"), ("readers", 7, "")] {
        clock.advance(Duration::from_millis(1));
        let mut consumer = store.consumer_builder().group(group).build().unwrap();
        consumer.assign([("plain", 0)]).unwrap();
        consumer.commit_with_metadata([(TopicPartition::new("plain", 0), offset)], metadata).unwrap();
    }
    store.close().unwrap();
}

/// Every file below `dir` by its relative name, but for what is no part of the store: the lock, and the page for readers elsewhere.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if ![".lock", "annals.live"].iter().any(|name| path.file_name().unwrap() == *name) {
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().replace('\\', "/");
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn write_files(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// What two stores with the same content have in common.
fn without_ids(name: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    if name.ends_with("annals.state") {
        // The ids of store and topic are 16 bytes each, behind three blocks and a length; the CRC comes last.
        let len = bytes.len();
        bytes[1540..1572].fill(0);
        bytes[len - 4..].fill(0);
    } else if name == "annals.topics" {
        let text = String::from_utf8(bytes).unwrap();
        // Ids have 32 hexadecimal digits; the checksum is in the last line.
        let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = text.split_inclusive([' ', '\n']).filter(|word| !is_id(&word.trim_end()));
        bytes = words.collect::<String>().into_bytes();
        bytes.truncate(bytes.len() - 9);
    }
    bytes
}

fn is_compressed(name: &str) -> bool {
    CODECS.iter().any(|(topic, _)| name.starts_with(topic))
}

#[test]
fn what_is_written_now_is_what_was_written_then() {
    let dir = tempfile::tempdir().unwrap();
    write_store(dir.path());
    let written = files(dir.path());
    if std::env::var_os("ANNALS_BLESS").is_some() {
        if golden_store().exists() {
            fs::remove_dir_all(golden_store()).unwrap();
        }
        write_files(&golden_store(), &written);
    }
    let golden = files(&golden_store());
    assert_eq!(written.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    for (name, golden) in golden {
        if is_compressed(&name) && !name.ends_with("index") {
            continue;
        }
        // Commits carry their topic's random id now. What they were then is read by the test below.
        if name.starts_with("__consumer_offsets-0") {
            continue;
        }
        let written = without_ids(&name, written[&name].clone());
        assert_eq!(
            written.escape_ascii().to_string(),
            without_ids(&name, golden).escape_ascii().to_string(),
            "{name}"
        );
    }
}

#[test]
fn every_kind_of_file_has_a_golden_one() {
    let golden = files(&golden_store());
    let not_empty =
        |ending: &str| golden.iter().any(|(name, bytes)| name.ends_with(ending) && !bytes.is_empty());
    for ending in [".log", ".index", ".timeindex", "annals.state", "annals.topics"] {
        assert!(not_empty(ending), "{ending}");
    }
    assert!(not_empty("__consumer_offsets-0/00000000000000000000.log"));
    assert!(golden.keys().filter(|name| name.starts_with("plain") && name.ends_with(".log")).count() > 2);
}

#[test]
fn a_store_written_then_reads_back_now() {
    let dir = tempfile::tempdir().unwrap();
    let golden = files(&golden_store());
    write_files(dir.path(), &golden);
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    assert!(store.recovery().iter().all(|report| report.clean && report.torn.is_none()));
    for (name, (_, batches)) in topics() {
        let mut expected: Vec<_> = batches.into_iter().flatten().collect();
        if name == "stamped" {
            expected.iter_mut().for_each(|content| content.timestamp = START);
        }
        let partition = store.topic(name).unwrap().partition(0).unwrap();
        let read: Vec<_> = partition.read(..).unwrap().into_iter().map(|record| record.unwrap()).collect();
        assert!(read.iter().zip(0..).all(|(record, offset)| record.offset == offset));
        assert_eq!(read.into_iter().map(Content::read).collect::<Vec<_>>(), expected, "{name}");
    }
    let committed = |group: &str| {
        let committed = store.committed(group);
        let one = &committed[&TopicPartition::new("plain", 0)];
        (one.offset, one.metadata.clone(), one.timestamp)
    };
    assert_eq!(committed("readers"), (7, String::new(), START + 3));
    assert_eq!(committed("others"), (1, "by hand".to_owned(), START + 2));
    store.close().unwrap();
    assert_eq!(files(dir.path()), golden, "reading changes no byte");
}

#[test]
fn a_store_written_then_is_appended_to_now() {
    let dir = tempfile::tempdir().unwrap();
    write_files(dir.path(), &files(&golden_store()));
    for (name, (_, batches)) in topics() {
        let store = Store::open(dir.path()).unwrap();
        let partition = store.topic(name).unwrap().partition(0).unwrap();
        let end = i64::try_from(batches.iter().map(Vec::len).sum::<usize>()).unwrap();
        let appended =
            partition.append(&[Record::new().value("more").timestamp(START)], Durability::Disk).unwrap();
        assert_eq!(appended.first_offset, end, "{name}");
        store.close().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let read = store.topic(name).unwrap().partition(0).unwrap().read(..).unwrap();
        let count = read.into_iter().collect::<Result<Vec<_>, _>>().unwrap().len();
        assert_eq!(count, batches.iter().map(Vec::len).sum::<usize>() + 1, "{name}");
    }
}

/// Two records written by Kafka's own builder, leader epoch -1.
const KAFKA_BATCH: &str = "0000000000000000 00000055 ffffffff 02 e58cf1ff 0000 00000001 \
     00000000000454c3 00000000000454c3 ffffffffffffffff ffff ffffffff 00000002 \
     20 00 00 00 08 6b657931 0c 76616c756531 00 \
     24 00 e1bf22 02 08 6b657932 0c 76616c756532 00";

#[test]
fn kafkas_worked_example_comes_out_of_an_append() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic("example", TopicConfig::new()).unwrap().partition(0).unwrap();
    let records = [
        Record::new().key("key1").value("value1").timestamp(283_843),
        Record::new().key("key2").value("value2").timestamp(1234),
    ];
    partition.append(&records, Durability::Os).unwrap();
    store.close().unwrap();
    let digits: Vec<_> = KAFKA_BATCH.split_whitespace().collect::<String>().into_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let mut expected: Vec<_> = digits.chunks(2).map(byte).collect();
    assert_eq!(expected.len(), 97);
    // Kafka's builder leaves the leader epoch to the broker; ours is 0. The CRC does not cover it.
    expected[12..16].fill(0);
    let written = fs::read(dir.path().join("example-0/00000000000000000000.log")).unwrap();
    assert_eq!(written.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn keys_go_where_kafka_sends_them() {
    let vectors = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (key, hash) in vectors {
        // So many partitions tell every bit of the hash but the sign.
        for partitions in [1, 2, 3, 10, 50, 1 << 30, i32::MAX.unsigned_abs(), 1 << 31] {
            let expected = (i64::from(hash) & 0x7fff_ffff) % i64::from(partitions);
            let found = KeyHash.partition(&Record::new().key(key), partitions);
            assert_eq!(found.map(i64::from), Some(expected), "{key:?} of {partitions}");
        }
    }
    // An empty key is a key; a null one is not.
    assert_eq!(KeyHash.partition(&Record::new().key(""), 1 << 31), Some(275_646_681));
    assert_eq!(KeyHash.partition(&Record::new().header("key", "abc"), 3), None);
}
