//! Control batches and batches that compaction emptied: they take offsets and hold nothing for readers.

use std::time::Duration;

use annals::{Isolation, Store};
use kafka_protocol::records::Compression;

use crate::compat::files::{self, TOPIC};
use crate::compat::foreign::{self, Kind};
use crate::compat::samples::{self, NOON, Sample};

/// The marker that ends a transaction: a commit by coordinator epoch 3. Its time is far beyond that of all data.
fn marker(offset: i64) -> Vec<u8> {
    let sample = Sample::new(2 * NOON, Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\x03"));
    let marker = foreign::batch(offset, &[sample], Compression::None, Kind::Control);
    assert_eq!((marker.len(), &marker[21..23]), (78, &[0, 0x30][..]), "as Kafka writes it");
    marker
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Data,
    Marker,
    Emptied,
}

const DATA_RECORDS: i64 = 5;
const EMPTIED_OFFSETS: i64 = 4;

/// A log of these parts behind our own first record, what readers see of it, and its end.
fn log_of(parts: &[Part]) -> (Vec<u8>, Vec<(i64, Sample)>, i64) {
    let data: Vec<_> = samples::three_hundred()[..usize::try_from(DATA_RECORDS).unwrap()].to_vec();
    let (mut bytes, mut expected, mut offset) = (Vec::new(), vec![files::first_record()], 1);
    for part in parts {
        match part {
            Part::Data => {
                bytes.extend(foreign::batch(offset, &data, Compression::Gzip, Kind::Transactional));
                expected.extend((offset..).zip(data.iter().cloned()));
                offset += DATA_RECORDS;
            }
            Part::Marker => {
                bytes.extend(marker(offset));
                offset += 1;
            }
            Part::Emptied => {
                bytes.extend(foreign::emptied(offset, i32::try_from(EMPTIED_OFFSETS - 1).unwrap()));
                offset += EMPTIED_OFFSETS;
            }
        }
    }
    (bytes, expected, offset)
}

const LOGS: [&[Part]; 8] = [
    &[Part::Data, Part::Marker],
    &[Part::Marker],
    &[Part::Emptied],
    &[Part::Marker, Part::Data],
    &[Part::Data, Part::Marker, Part::Emptied, Part::Data, Part::Marker],
    &[Part::Emptied, Part::Emptied, Part::Marker, Part::Marker],
    &[Part::Data, Part::Emptied, Part::Data],
    &[Part::Marker, Part::Emptied, Part::Data, Part::Data, Part::Emptied],
];

#[test]
fn they_are_skipped_and_keep_their_offsets() {
    for parts in LOGS {
        let (bytes, expected, end) = log_of(parts);
        let dir = files::killed_store_with(&bytes);
        files::assert_read(dir.path(), &bytes, &expected, end);
    }
}

#[test]
fn the_position_moves_on_over_them() {
    for parts in LOGS {
        let (bytes, expected, end) = log_of(parts);
        let dir = files::killed_store_with(&bytes);
        let store = Store::open(dir.path()).unwrap();
        let mut reader = files::partition(&store).read_from(0).unwrap().isolation(Isolation::ReadUncommitted);
        let mut count = 0;
        loop {
            let records = reader.fetch().unwrap();
            if records.is_empty() {
                break;
            }
            count += records.iter().count();
        }
        assert_eq!((count, reader.position()), (expected.len(), end), "{parts:?}");
        let consumer = store.consumer_builder().group("readers").isolation(Isolation::ReadUncommitted);
        let mut consumer = consumer.build().unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        let mut polled = 0;
        for _ in 0..3 {
            polled += consumer.poll(Duration::from_millis(1)).unwrap().iter().count();
        }
        assert_eq!((polled, consumer.position((TOPIC, 0)).unwrap()), (expected.len(), end), "{parts:?}");
        assert_eq!(consumer.lag().unwrap(), 0);
    }
}

#[test]
fn look_ups_find_data_only() {
    for parts in LOGS {
        let (bytes, expected, end) = log_of(parts);
        let dir = files::killed_store_with(&bytes);
        let store = Store::open(dir.path()).unwrap();
        let partition = files::partition(&store);
        for time in [0, 1, 2, NOON, NOON + 7, NOON + 21, NOON + 50, 2 * NOON, 2 * NOON + 1] {
            let scanned = expected.iter().find(|(_, sample)| sample.timestamp >= time);
            let found = partition.offset_for_time(time).unwrap();
            assert_eq!(
                found.map(|found| found.offset),
                scanned.map(|(offset, _)| *offset),
                "{time} in {parts:?}"
            );
        }
        for from in 0..end {
            let records = partition.read(from..).unwrap().isolation(Isolation::ReadUncommitted);
            let first = records.into_iter().next().map(|record| record.unwrap().offset);
            let scanned = expected.iter().find(|(offset, _)| *offset >= from);
            assert_eq!(first, scanned.map(|(offset, _)| *offset), "from {from} in {parts:?}");
        }
    }
}
