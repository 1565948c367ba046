//! The corpus and mutations of it, replayed; and how the corpus was made.
//!
//! `ANNALS_FUZZ_MUTATIONS` is the number of mutations that the cheap targets are given.
#![expect(clippy::disallowed_methods, reason = "the corpus is read and written from outside")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::memory::Files;
use super::store_files::{file_of, samples};
use crate::format::{
    AbortedTransaction, BatchHeader, Codec, CommitKey, Compression, Compressor, DecisionEnd, EndMarker,
    Ending, KeyEntry, KeyStamp, OffsetCommitValue, ProducerEntry, TermHash, TermKind, TopicPartitions,
    TransactionState, TransactionStatus, cleaned_log_name, encode_aborted, encode_ends, encode_key_index,
    encode_producer_snapshot, encode_transaction_key,
};

/// A target, and how many of the mutations it is given: those that open stores take much longer than decoders.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    one_in: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), one_in: usize) -> Target {
    Target { name, run, one_in }
}

const TARGETS: [Target; 19] = [
    target("batch", super::batch, 1),
    target("records", super::records, 1),
    target("gzip", super::gzip, 4),
    target("snappy", super::snappy, 1),
    target("lz4", super::lz4, 1),
    target("zstd", super::zstd, 4),
    target("offset_index", super::offset_index, 1),
    target("time_index", super::time_index, 1),
    target("partition_state", super::partition_state, 1),
    target("topic_file", super::topic_file, 1),
    target("offset_commit", super::offset_commit, 1),
    target("transaction_index", super::transaction_index, 1),
    target("key_index", super::key_index, 8),
    target("producer_snapshot", super::producer_snapshot, 1),
    target("transaction_state", super::transaction_state, 1),
    target("names", super::names, 1),
    target("recovery", super::recovery, 8),
    target("directory", super::directory, 20),
    target("operations", super::operations, 20),
];

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 61];
        if self.below(2) == 0 { TELLING[self.below(8)] } else { self.0.to_le_bytes()[3] }
    }
}

fn mutated(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.byte()),
            2 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            3 => bytes.extend_from_slice(&other[random.below(other.len() + 1)..]),
            4 => bytes.extend((0..random.below(30)).map(|_| random.byte())),
            _ => bytes.iter_mut().skip(at).take(1 + random.below(3)).for_each(|byte| *byte = random.byte()),
        }
    }
    bytes
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_and_mutations_of_it() {
    if !corpus("").is_dir() {
        // The published package comes without it.
        return;
    }
    let mutations = std::env::var("ANNALS_FUZZ_MUTATIONS").map_or(20_000, |text| text.parse().unwrap());
    for target in &TARGETS {
        let (begun, mut random) = (Instant::now(), Random(0x9e37_79b9_7f4a_7c15));
        let seeds = seeds(target.name);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in &seeds {
            run(target, seed);
        }
        for number in 0..mutations / target.one_in {
            let other = &seeds[random.below(seeds.len())];
            run(target, &mutated(&seeds[number % seeds.len()], other, &mut random));
        }
        println!("{}: {} seeds, {:?}", target.name, seeds.len(), begun.elapsed());
    }
}

fn run(target: &Target, input: &[u8]) {
    if std::panic::catch_unwind(|| (target.run)(input)).is_err() {
        let path = std::env::temp_dir().join(format!("annals-fuzz-{}", target.name));
        std::fs::write(&path, input).unwrap();
        panic!("{}: the input is in {}", target.name, path.display());
    }
}

/// Makes `fuzz/corpus` from the files of a small store. Inputs that were added by hand stay.
#[test]
#[ignore = "writes the seed corpus"]
fn makes_the_seed_corpus() {
    let samples = samples();
    for (files, how) in [(&samples.killed, "killed"), (&samples.closed, "closed")] {
        put_files(files, how);
    }
    put_codecs();
    put_commits();
    let names =
        ["orders", "a.b_c-d", "..", "__consumer_offsets", "orders-7", "00000000000000000123.timeindex"];
    for (number, name) in names.into_iter().chain([cleaned_log_name(5).as_str()]).enumerate() {
        put("names", &format!("name-{number}"), name.as_bytes());
    }
    put_transactions();
    put_stories();
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(corpus(target)).unwrap();
    std::fs::write(corpus(target).join(name), bytes).unwrap();
}

fn put_files(files: &Files, how: &str) {
    // Compaction takes whole segments away: the first one there.
    let file = |partition: &str, suffix: &str| {
        let directory = file_of(partition, "");
        let found = files.iter().find(|(path, bytes)| {
            path.starts_with(&directory) && path.to_string_lossy().ends_with(suffix) && !bytes.is_empty()
        });
        found.unwrap().1.as_slice()
    };
    for (number, partition) in ["a-0", "b-0", "__consumer_offsets-0"].into_iter().enumerate() {
        put("partition_state", &format!("{how}-{number}"), file(partition, "annals.state"));
    }
    put("topic_file", how, file("", "annals.topics"));
    put("offset_index", how, file("a-0", ".index"));
    put("time_index", how, file("a-0", ".timeindex"));
    for partition in ["a-0", "b-0"] {
        let log = file(partition, ".log");
        let header = BatchHeader::decode(log).unwrap();
        let batch = &log[..header.total_len()];
        put("batch", &format!("{how}-{partition}"), batch);
        let mut records = vec![0, 1, 0, 9];
        records.extend_from_slice(&batch[BatchHeader::LEN..]);
        put("records", &format!("{how}-{partition}"), &records);
    }
}

fn put_codecs() {
    let text = b"{\"order\":12345,\"item\":\"apples\",\"count\":2}\n".repeat(20);
    let short = b"0123".to_vec();
    for codec in Codec::ALL.into_iter().skip(1) {
        for (name, input) in [("text", &text), ("short", &short), ("empty", &Vec::new())] {
            let mut bytes = vec![0, 60];
            Compressor::default().compress(Compression::of(codec), input, &mut bytes).unwrap();
            put(codec.name(), name, &bytes);
        }
    }
}

fn put_commits() {
    let mut key = Vec::new();
    CommitKey::OffsetCommit { group: "billing", topic: "orders", partition: 2 }.encode(&mut key).unwrap();
    for (name, topic_id) in [("version-3", None), ("topic-id", Some(11))] {
        let metadata = "m".to_owned();
        let value =
            OffsetCommitValue { offset: 7, leader_epoch: -1, metadata, commit_timestamp: 9, topic_id };
        let mut bytes = vec![u8::try_from(key.len()).unwrap()];
        bytes.extend_from_slice(&key);
        value.encode(&mut bytes).unwrap();
        put("offset_commit", name, &bytes);
    }
    let version_4 = b"\x05\0\x02\0\x01g\0\x04\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\x02m\0\0\0\0\0\0\0\x09\0";
    put("offset_commit", "version-4", version_4);
}

fn put_transactions() {
    let aborted = AbortedTransaction { producer_id: 7, first: 3, last: 9, stable: 10 };
    let later = AbortedTransaction { last: 12, ..aborted };
    let entry = |key: &[u8], relative_offset, position| KeyEntry {
        hash: TermHash::of(TermKind::Key, key),
        relative_offset,
        position,
    };
    let stamp = KeyStamp { base: 100, next_offset: 200, bytes: 4000, headers_crc: 7 };
    let entries = vec![entry(b"a", 0, 0), entry(b"a", 5, 700), entry(b"order-17", 9, 900)];
    put("key_index", "three", &encode_key_index(stamp, entries).unwrap());
    put("transaction_index", "two", &encode_aborted(&[aborted, later]));
    let producer = ProducerEntry {
        producer_id: 7,
        producer_epoch: 1,
        last_sequence: 4,
        last_offset: 9,
        offset_delta: 2,
        timestamp: 5,
        coordinator_epoch: 0,
        open_since: Some(3),
    };
    put("producer_snapshot", "none", &encode_producer_snapshot(&[]));
    put("producer_snapshot", "one", &encode_producer_snapshot(&[producer]));
    let mut bytes = vec![8];
    encode_transaction_key("shop", &mut bytes).unwrap();
    let partitions = Some(vec![TopicPartitions { topic: "orders".into(), partitions: vec![0, 2] }]);
    let state = TransactionState {
        producer_id: 7,
        producer_epoch: 1,
        timeout_millis: 60_000,
        status: TransactionStatus::PrepareCommit,
        partitions,
        last_update: 9,
        start: 8,
        client_version: 2,
    };
    state.encode(&mut bytes).unwrap();
    put("transaction_state", "decided", &bytes);
    let mut bytes = vec![0];
    bytes.extend(encode_ends(&[DecisionEnd { topic: 1, partition: 2, last: 3, is_input: false }]));
    put("transaction_state", "ends", &bytes);
    let marker = EndMarker { producer_id: 7, producer_epoch: 2, ending: Ending::Abort, coordinator_epoch: 0 };
    put("transaction_state", "marker", &marker.encode(9, 5).unwrap());
}

fn put_stories() {
    put("topic_file", "bare", b"annals.topics 1\nstore 1\ntopic a 7 1\nconfig a k v w\n");
    put("recovery", "torn", b"\0\x03\x01\0\0\0some bytes that are no batch");
    put("recovery", "cut", b"\x03\x04\x04\x01\0\x50");
    let mut forged = b"\x01\x03\x02\x02\0\0".to_vec();
    forged.extend_from_slice(&std::fs::read(corpus("batch").join("killed-a-0")).unwrap());
    put("recovery", "forged", &forged);
    for how in [0, 1, 0x1e, 0x1f] {
        put("directory", &format!("as-it-is-{how}"), &[how]);
        for kind in 0..8_u8 {
            let edits = [how, kind, 3, 0, 40, 8, 1, 2, 3, 4, 5, 6, 7, 8, kind, 9, 2, 0, 20, 4, 9, 9, 9, 9];
            put("directory", &format!("edit-{how}-{kind}"), &edits);
        }
    }
    let mut random = Random(7);
    for number in 0..8 {
        let story: Vec<_> = (0..150).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        put("operations", &format!("story-{number}"), &story);
    }
}
