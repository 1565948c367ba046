//! What opening a store costs, counted at the seam: nothing that grows with the log.
//!
//! `ANNALS_OPEN_MIB` is the size of the large log, 1024 by default; it is written to `/dev/shm` where there is one.
#![expect(
    clippy::expect_used,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

use std::path::Path;

use annals::{Durability, Record, Store, TopicConfig};

use crate::common::{
    TOPIC, by_hand, count_from_env, fast_dir, files_of, kill_and_copy, now, on_faulty, producer, value_of,
};
use annals_testing::{Call, FaultyFileSystem};

const MIB: usize = 1 << 20;

fn fill(dir: &Path, mib: usize) -> Store {
    let store = by_hand(dir).open().expect("a new store");
    store.create_topic(TOPIC, TopicConfig::new().segment_bytes(64 << 20)).expect("a new topic");
    let memory = producer(&store, Durability::Memory);
    let value = vec![7; MIB - 100];
    for _ in 0..mib {
        memory.send(Record::to(TOPIC).value(&value)).expect("a send");
    }
    store
}

/// Opens a store and tells how many calls that took.
fn open_counted(dir: &Path) -> (usize, Store) {
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir, &files).open().expect("a store that opens");
    for call in [Call::Read, Call::Map, Call::Write] {
        assert_eq!(files.count(call, ".log"), 0, "{call:?} of a .log while opening after a clean close");
    }
    assert_eq!(files.count(Call::Map, ""), 0);
    (files.moment(), store)
}

#[test]
fn opening_after_a_clean_close_reads_no_records_and_costs_the_same_at_any_size() {
    let mut calls = Vec::new();
    for mib in [1, count_from_env("ANNALS_OPEN_MIB", 1024)] {
        let dir = fast_dir();
        let written = now();
        fill(dir.path(), mib).close().unwrap();
        let opened = now();
        let (count, store) = open_counted(dir.path());
        println!(
            "{mib} MiB: written in {:?}, opened in {:?}, {count} calls",
            opened - written,
            opened.elapsed()
        );
        calls.push(count);
        let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
        assert_eq!(partition.end(), mib as i64);
        let last = partition.read_from(mib as i64 - 1).unwrap().fetch().unwrap();
        assert_eq!(last.iter().next().unwrap().value().map(<[u8]>::len), Some(MIB - 100));
    }
    assert_eq!(calls[0], calls[1], "the number of calls grows with the log");
}

/// Small batches: each of them is looked at, none of them twice.
#[test]
fn opening_after_a_kill_reads_the_active_segment_once() {
    for (records, segment_bytes) in [(3_000, 128 << 20), (20_000, 1 << 20)] {
        let (dir, copy) = (fast_dir(), fast_dir());
        let store = by_hand(dir.path()).open().unwrap();
        store.create_topic(TOPIC, TopicConfig::new().segment_bytes(segment_bytes)).unwrap();
        let os = producer(&store, Durability::Os);
        (0..records).for_each(|number| _ = os.send(Record::to(TOPIC).value(&value_of(number))).unwrap());
        kill_and_copy(store, dir.path(), copy.path());
        let logs = files_of(copy.path(), "orders-0", ".log");
        let active = std::fs::metadata(logs.last().unwrap()).unwrap().len();
        let files = FaultyFileSystem::watching_order();
        let started = now();
        let store = on_faulty(copy.path(), &files).open().unwrap();
        let (read, took) = (files.bytes(Call::Read, ".log"), started.elapsed());
        println!("{} segments, active one of {active} bytes: {read} bytes read in {took:?}", logs.len());
        assert!(read > 0 && files.count(Call::Map, ".log") == 0);
        // A batch that lies across two reads is read again with the second.
        let twice = active / 50 + (256 << 10);
        assert!(read <= active + twice, "{read} bytes read of an active segment of {active}");
        assert!(store.recovery()[0].scanned_bytes <= active);
        assert_eq!(store.topic(TOPIC).unwrap().partition(0).unwrap().end(), records);
    }
}

/// An index that has to be built anew costs one walk over the headers.
#[test]
fn rebuilding_an_index_reads_a_segment_once() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let os = producer(&store, Durability::Os);
    (0..5_000).for_each(|number| _ = os.send(Record::to(TOPIC).value(&value_of(number))).unwrap());
    store.close().unwrap();
    std::fs::remove_file(&files_of(dir.path(), "orders-0", ".index")[0]).unwrap();
    let size = std::fs::metadata(&files_of(dir.path(), "orders-0", ".log")[0]).unwrap().len();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).read_mode(annals::ReadMode::Positional).open().unwrap();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!(partition.read_from(4_999).unwrap().fetch().unwrap().len(), 1);
    let read = files.bytes(Call::Read, ".log");
    assert!(read <= size + size / 50 + (256 << 10), "{read} bytes read of a segment of {size}");
}

#[test]
fn a_thousand_partitions_open_with_a_bounded_number_of_calls_each() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(1000)).unwrap();
    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
    store.close().unwrap();
    let started = now();
    let (calls, _store) = open_counted(dir.path());
    println!("1000 partitions: {calls} calls in {:?}", started.elapsed());
    assert!(calls < 12_000, "{calls} calls");
}
