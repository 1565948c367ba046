//! Logs of others become topics: those that a broker wrote, and segments of the other implementation.

use std::fs;
use std::path::Path;

use annals::{Durability, Isolation, LogSource, Partition, Record, Store, TopicConfig};
use kafka_protocol::records::Compression;

use crate::compat::files::{self, TOPIC};
use crate::compat::foreign::{self, CODECS, Kind};
use crate::compat::kafka_golden::{self, Expected};
use crate::compat::samples::{self, Sample};

fn name(partition: &Path) -> &str {
    partition.file_name().unwrap().to_str().unwrap()
}

fn read(partition: &Partition, isolation: Isolation) -> Vec<Expected> {
    let reader = partition.read(..).unwrap().isolation(isolation);
    let records = reader.into_iter().map(|record| record.unwrap());
    let read = |record: annals::OwnedRecord| Expected {
        offset: record.offset,
        timestamp: record.timestamp,
        leader_epoch: 0,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|header| (header.key, header.value)).collect(),
    };
    records.map(read).collect()
}

fn expected(partition: &str, committed: bool) -> Vec<Expected> {
    let expected = kafka_golden::expected(partition, committed).into_iter();
    expected.map(|record| Expected { leader_epoch: 0, ..record }).collect()
}

fn assert_reads_like_kafka(partition: &Partition, (of, aborted): (&str, i64)) {
    assert_eq!(read(partition, Isolation::ReadUncommitted), expected(of, false), "{of}");
    let committed = read(partition, Isolation::ReadCommitted);
    // A broker shows nothing behind a transaction that is open; the adoption has aborted it.
    let shown = expected(of, true);
    assert_eq!(committed[..shown.len()], shown, "{of}");
    assert!(committed.len() == shown.len() || aborted > 0, "{of}");
    let records = expected(of, false);
    // Not what the broker answers: of `compacted-0` it finds no record at the time of the last five.
    for (time, _) in kafka_golden::times(of) {
        let first = records.iter().find(|record| record.timestamp >= time).map(|record| record.offset);
        let found = partition.offset_for_time(time).unwrap().map(|found| found.offset);
        assert_eq!(found, first, "{of} at {time}");
    }
}

/// The bytes of all `.log` files that hold any.
fn logs(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let mut found: Vec<_> = logs.map(|path| (name(&path).to_owned(), fs::read(&path).unwrap())).collect();
    found.retain(|(_, bytes)| !bytes.is_empty());
    found.sort();
    found
}

#[test]
fn every_partition_of_a_broker_is_a_topic_that_reads_as_its_consumer_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partitions = kafka_golden::partitions();
    assert_eq!(partitions.len(), 19);
    let mut ends = Vec::new();
    for source in &partitions {
        let of = name(source);
        let start = kafka_golden::offset(of, "start");
        let topic = format!("adopted-{of}");
        let adopted =
            store.adopt_topic(&topic, TopicConfig::new(), [LogSource::from(source).start(start)]).unwrap();
        let told = &adopted.partitions[0];
        let (stable, end) = (kafka_golden::offset(of, "stable"), kafka_golden::offset(of, "end"));
        // Each that has no end in the files gets one.
        let aborted = i64::try_from(told.aborted).unwrap();
        assert_eq!(aborted > 0, stable < end, "{of}");
        let end = end + aborted;
        assert_eq!((told.start, told.end, &told.torn), (start, end, &None), "{of}");
        let partition = adopted.topic.partition(0).unwrap();
        assert_eq!((partition.start(), partition.stable(), partition.end()), (start, end, end), "{of}");
        assert_reads_like_kafka(&partition, (of, aborted));
        let (mut taken, files) = (logs(&dir.path().join(format!("{topic}-0"))), logs(source));
        assert_eq!(taken.len(), files.len() + usize::from(aborted > 0), "{of}");
        taken.truncate(files.len());
        assert_eq!(taken, files, "{of}");
        ends.push(end);
    }
    assert!(
        ends.iter().sum::<i64>() > partitions.iter().map(|of| kafka_golden::offset(name(of), "end")).sum()
    );
    store.close().unwrap();
    let found = Store::verify(dir.path()).unwrap();
    assert!(found.is_sound() && found.stale_indexes.is_empty(), "{found:?}");

    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    for (source, end_there) in partitions.iter().zip(ends) {
        let of = name(source);
        let partition = store.topic(&format!("adopted-{of}")).unwrap().partition(0).unwrap();
        assert_eq!((partition.stable(), partition.end()), (end_there, end_there), "{of}");
        let end = partition.end();
        assert_eq!(read(&partition, Isolation::ReadUncommitted), expected(of, false), "{of}");
        let appended = partition.append(&[Record::new().key("k").value("behind")], Durability::Disk).unwrap();
        assert_eq!(appended.last_offset, end, "{of}");
        let last = read(&partition, Isolation::ReadCommitted).pop().unwrap();
        assert_eq!((last.offset, last.value.unwrap()), (end, b"behind".to_vec()), "{of}");
    }
    store.close().unwrap();
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}

#[test]
fn a_log_starts_at_its_first_batch_unless_another_offset_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let deleted = kafka_golden::partitions().into_iter().find(|path| name(path) == "deleted-0").unwrap();
    let adopted = store.adopt_topic("all", TopicConfig::new(), [&deleted]).unwrap();
    assert_eq!(adopted.topic.partition(0).unwrap().start(), 15);
    let late = LogSource::from(&deleted).start(100);
    let adopted = store.adopt_topic("late", TopicConfig::new(), [late]).unwrap();
    let partition = adopted.topic.partition(0).unwrap();
    let offsets: Vec<_> =
        partition.read(..).unwrap().into_iter().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, (100..kafka_golden::offset("deleted-0", "end")).collect::<Vec<_>>());
    for start in [-1, kafka_golden::offset("deleted-0", "end") + 1] {
        let refused =
            store.adopt_topic("never", TopicConfig::new(), [LogSource::from(&deleted).start(start)]);
        assert!(matches!(refused, Err(annals::Error::CannotAdopt { .. })), "{refused:?}");
    }
}

/// Batches of seven samples, in segments of three batches, with a gap of five offsets before each third segment.
fn write_segments(dir: &Path, base: i64, compression: Compression) -> Vec<(i64, Sample)> {
    fs::create_dir_all(dir).unwrap();
    let mut expected = Vec::new();
    let mut next = base;
    for (at, segment) in samples::three_hundred().chunks(21).enumerate() {
        next += if at % 3 == 2 { 5 } else { 0 };
        let mut bytes = Vec::new();
        let first = next;
        for batch in segment.chunks(7) {
            bytes.extend(foreign::batch(next, batch, compression, Kind::Plain));
            expected.extend((next..).zip(batch.iter().cloned().map(Sample::with_headers_as_map)));
            next += i64::try_from(batch.len()).unwrap();
        }
        fs::write(dir.join(format!("{first:020}.log")), bytes).unwrap();
    }
    expected
}

#[test]
fn segments_of_another_implementation_keep_their_offsets_and_gaps_however_high() {
    for base in [0, 7, (1 << 32) + 3, i64::MAX - 1000] {
        for (codec, compression) in CODECS {
            let (dir, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let expected = write_segments(source.path(), base, compression);
            let store = Store::open(dir.path()).unwrap();
            let config = files::config().index_interval_bytes(500);
            let adopted = store.adopt_topic(TOPIC, config, [source.path()]).unwrap();
            let partition = adopted.topic.partition(0).unwrap();
            let end = expected.last().unwrap().0 + 1;
            assert_eq!((partition.start(), partition.end()), (base, end), "{codec:?}");
            assert_eq!(files::read(&partition), expected, "{codec:?} from {base}");
            for (offset, sample) in expected.iter().step_by(17) {
                let got = partition.get(*offset).unwrap().unwrap();
                assert_eq!((got.offset, &Sample::read(got)), (*offset, sample));
            }
            files::append(&partition, &[expected[0].1.clone()]);
            assert_eq!(partition.end(), end + 1);
            store.close().unwrap();
            assert!(Store::verify(dir.path()).unwrap().is_sound());
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(files::read(&files::partition(&store)).len(), expected.len() + 1);
        }
    }
}

/// Kafka's consumer reads such names with U+FFFD in the place of what is not UTF-8. Nothing checks them on the way in.
#[test]
fn a_header_name_that_is_not_utf8_is_no_damage_and_stays_in_the_files() {
    const NAME: &[u8] = b"na\xff\xfeme";
    let source = tempfile::tempdir().unwrap();
    let named = |key: &str| {
        let mut sample = Sample::new(samples::NOON, Some(key.as_bytes()), Some(b"value"));
        sample.headers = vec![("na--me".to_owned(), Some(b"7f".to_vec()))];
        sample
    };
    let mut batch = foreign::batch(0, &[named("a"), named("b"), named("a")], Compression::None, Kind::Plain);
    while let Some(at) = batch.windows(6).position(|bytes| bytes == b"na--me") {
        batch[at..at + 6].copy_from_slice(NAME);
    }
    foreign::restamp(&mut batch);
    fs::write(source.path().join("00000000000000000000.log"), &batch).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let config = TopicConfig::new().cleanup_policy(annals::CleanupPolicy::Compact);
    let topic = store.adopt_topic(TOPIC, config, [source.path()]).unwrap().topic;
    let names = || {
        let read = read(&topic.partition(0).unwrap(), Isolation::ReadUncommitted);
        read.into_iter().map(|record| (record.offset, record.headers[0].0.clone())).collect::<Vec<_>>()
    };
    let shown = || "na\u{fffd}\u{fffd}me".to_owned();
    assert_eq!(names(), [(0, shown()), (1, shown()), (2, shown())]);
    let one = topic.partition(0).unwrap().get(1).unwrap().unwrap();
    assert_eq!(one.header(&shown()), Some(&b"7f"[..]));
    assert_eq!(topic.compact().unwrap()[0].removed_records, 1);
    assert_eq!(names(), [(1, shown()), (2, shown())]);
    let (_, log) = logs(&dir.path().join(format!("{TOPIC}-0"))).remove(0);
    assert_eq!(log.windows(6).filter(|bytes| *bytes == NAME).count(), 2, "stored as it was");
    store.close().unwrap();
    assert!(Store::verify(dir.path()).unwrap().findings.is_empty());
}
