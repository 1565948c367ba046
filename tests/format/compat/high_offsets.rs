//! Offsets beyond 32 bits. No call makes a partition begin there: `common/high_start.rs` writes its state file.

use std::fs;
use std::path::Path;

use annals::{Durability, Record, Store};
use kafka_protocol::records::Compression;
use tempfile::TempDir;

use crate::compat::files::{self, TOPIC};
use crate::compat::foreign::{self, CODECS, Kind};
use crate::compat::high_start::begin_at;
use crate::compat::samples::{self, NOON, Sample};

const BASES: [i64; 4] = [(1 << 31) - 2, (1 << 32) + 7, 1 << 53, i64::MAX - 1000];

fn store_at(base: i64, config: annals::TopicConfig) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic(TOPIC, config).unwrap();
    topic.partition(0).unwrap().append(&[Record::new()], Durability::Os).unwrap();
    store.close().unwrap();
    begin_at(&files::partition_dir(dir.path()), base);
    dir
}

#[test]
fn ours_are_read_by_kafka_protocol() {
    for base in BASES {
        for (codec, _) in CODECS {
            let dir = store_at(base, files::config().compression_type(codec).segment_bytes(3000));
            let store = Store::open(dir.path()).unwrap();
            let partition = files::partition(&store);
            assert_eq!((partition.start(), partition.end()), (base, base));
            let batches: Vec<_> = samples::three_hundred().chunks(9).map(<[Sample]>::to_vec).collect();
            batches.iter().for_each(|batch| files::append(&partition, batch));
            store.close().unwrap();
            let mut records = Vec::new();
            for (segment, log) in files::logs(dir.path()) {
                let decoded: Vec<_> =
                    foreign::decoded(&log).into_iter().flat_map(|set| set.records).collect();
                assert_eq!(decoded[0].offset, segment);
                assert_indexes_point_inside(dir.path(), segment, &log);
                records.extend(decoded.iter().map(|record| (record.offset, foreign::sample(record))));
            }
            let expected: Vec<_> = (base..).zip(samples::three_hundred()).collect();
            assert_eq!(records, expected, "{codec:?} from {base}");
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(files::read(&files::partition(&store)), expected);
            look_up(&store, &expected);
        }
    }
}

/// Entries hold offsets from the segment's base on: 32 bits, however high the base.
fn assert_indexes_point_inside(store: &Path, base: i64, log: &[u8]) {
    let entries = |extension: &str| {
        let path = files::partition_dir(store).join(format!("{base:020}.{extension}"));
        fs::read(path).unwrap()
    };
    let last_offset = |position: usize| {
        let base = i64::from_be_bytes(log[position..position + 8].try_into().unwrap());
        base + i64::from(i32::from_be_bytes(log[position + 23..position + 27].try_into().unwrap()))
    };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let (offsets, times) = (entries("index"), entries("timeindex"));
    assert!(!times.is_empty());
    assert!(!offsets.is_empty() || log.len() < 1000, "segment {base} of {} bytes", log.len());
    for entry in offsets.chunks(8) {
        assert_eq!(base + i64::from(number(&entry[..4])), last_offset(number(&entry[4..]) as usize));
    }
    assert!(times.chunks(12).all(|entry| number(&entry[8..]) < 300));
}

/// Every offset and some times, through the indexes.
fn look_up(store: &Store, expected: &[(i64, Sample)]) {
    let partition = files::partition(store);
    for (offset, sample) in expected {
        let one = partition.read(*offset..=*offset).unwrap().into_iter().next().unwrap().unwrap();
        assert_eq!((one.offset, one.timestamp), (*offset, sample.timestamp));
    }
    for time in (NOON - 1)..(NOON + 101) {
        let scanned = expected.iter().find(|(_, sample)| sample.timestamp >= time);
        let found = partition.offset_for_time(time).unwrap().map(|found| found.offset);
        assert_eq!(found, scanned.map(|(offset, _)| *offset), "{time}");
    }
}

#[test]
fn theirs_are_read_by_annals() {
    for base in BASES {
        for (_, compression) in [CODECS[0], CODECS[4]] {
            let dir = store_at(base, files::config());
            let mut bytes = Vec::new();
            let samples = samples::three_hundred();
            for (number, batch) in (0..).zip(samples.chunks(9)) {
                bytes.extend(foreign::batch(base + 9 * number, batch, compression, Kind::Plain));
            }
            files::put_at_end(dir.path(), &bytes);
            let expected: Vec<_> = (base..).zip(samples).collect();
            files::assert_read(dir.path(), &bytes, &expected, base + 300);
        }
    }
}

#[test]
fn control_batches_at_high_offsets() {
    let base = BASES[1];
    let dir = store_at(base, files::config());
    let data = samples::three_hundred();
    let mut bytes = foreign::emptied(base, i32::MAX - 10);
    let next = base + i64::from(i32::MAX) - 9;
    bytes.extend(foreign::batch(next, &data[..3], Compression::Snappy, Kind::Plain));
    files::put_at_end(dir.path(), &bytes);
    let expected: Vec<_> = (next..).zip(data[..3].to_vec()).collect();
    files::assert_read(dir.path(), &bytes, &expected, next + 3);
}
