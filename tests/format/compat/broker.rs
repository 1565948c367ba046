//! Directories that a broker of Kafka wrote, looked at as they are, and made stores of.

use std::fs;
use std::path::{Path, PathBuf};

use annals::dump::{BatchDump, SegmentDump, Stretch};
use annals::{Durability, Isolation, OwnedRecord, Partition, Record, Store};
use tempfile::TempDir;

use crate::compat::kafka_golden::{self, Expected};

fn batches(segments: &[SegmentDump]) -> Vec<BatchDump> {
    let stretches = segments.iter().flat_map(SegmentDump::stretches);
    let batch = |stretch: annals::Result<Stretch>| match stretch.unwrap() {
        Stretch::Batch(batch) => *batch,
        other => panic!("{other:?}"),
    };
    stretches.map(batch).collect()
}

fn records(batch: &BatchDump) -> impl Iterator<Item = Expected> {
    assert!(batch.crc_fits);
    let leader_epoch = batch.leader_epoch;
    batch.records().unwrap().into_iter().map(move |record| Expected {
        offset: record.offset,
        timestamp: record.timestamp,
        leader_epoch,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|header| (header.key, header.value)).collect(),
    })
}

fn name(partition: &Path) -> &str {
    partition.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_record_of_a_broker_is_what_its_consumer_reads() {
    let partitions = kafka_golden::partitions();
    assert_eq!(partitions.len(), 19);
    let mut count = 0;
    for partition in &partitions {
        let start = kafka_golden::offset(name(partition), "start");
        let batches = batches(&SegmentDump::in_directory(partition).unwrap());
        let data = batches.iter().filter(|batch| !batch.is_control);
        let read: Vec<_> = data.flat_map(records).filter(|record| record.offset >= start).collect();
        assert_eq!(read, kafka_golden::expected(name(partition), false), "{}", partition.display());
        count += read.len();
    }
    assert!(count > 1300, "{count}");
    // What a transaction aborted, or has not ended, is in the file and not in what is committed.
    assert!(kafka_golden::expected("tx-0", true).len() < kafka_golden::expected("tx-0", false).len());
}

#[test]
fn every_index_of_a_broker_fits_its_log() {
    let mut count = 0;
    for partition in kafka_golden::partitions() {
        for segment in SegmentDump::in_directory(&partition).unwrap() {
            let (offsets, times) = (segment.offset_index().unwrap(), segment.time_index().unwrap());
            let misfits =
                offsets.iter().flat_map(|index| &index.entries).filter_map(|entry| entry.misfit.clone());
            let misfits: Vec<_> = misfits
                .chain(times.iter().flat_map(|index| &index.entries).filter_map(|entry| entry.misfit.clone()))
                .collect();
            assert_eq!(misfits, Vec::<String>::new(), "{}", partition.display());
            count +=
                offsets.map_or(0, |index| index.entries.len()) + times.map_or(0, |index| index.entries.len());
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn a_broker_that_was_restarted_left_several_leader_epochs() {
    let partition = kafka_golden::partitions().into_iter().find(|path| name(path) == "epochs-0").unwrap();
    let batches = batches(&SegmentDump::in_directory(&partition).unwrap());
    let mut epochs: Vec<_> = batches.iter().map(|batch| batch.leader_epoch).collect();
    epochs.dedup();
    assert_eq!(epochs.len(), 3, "{epochs:?}");
}

/// A store of the files of one partition alone, put together by a repair: the catalog and the state file are what it lacks.
fn taken_over(partition: &Path) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let (store, copies) = (dir.path().join("store"), dir.path().join("copies"));
    let here = store.join(name(partition));
    fs::create_dir_all(&here).unwrap();
    for entry in fs::read_dir(partition).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), here.join(entry.file_name())).unwrap();
    }
    Store::builder(&store).maintain_by_hand().repair(&copies).unwrap();
    let store = Store::builder(&store).maintain_by_hand().open().unwrap();
    (dir, store)
}

fn partition(store: &Store, partition: &Path) -> Partition {
    let (topic, number) = name(partition).rsplit_once('-').unwrap();
    store.topic(topic).unwrap().partition(number.parse().unwrap()).unwrap()
}

fn read(partition: &Partition) -> Vec<OwnedRecord> {
    partition.read(..).unwrap().into_iter().collect::<annals::Result<_>>().unwrap()
}

/// Without the offsets' topic, which has a place of its own in a store.
fn data() -> Vec<PathBuf> {
    kafka_golden::partitions().into_iter().filter(|path| !name(path).starts_with("__")).collect()
}

#[test]
fn a_repair_makes_a_store_of_what_a_broker_wrote() {
    for path in data() {
        let (_dir, store) = taken_over(&path);
        let partition = partition(&store, &path);
        assert_eq!(partition.end(), kafka_golden::offset(name(&path), "end"), "{}", path.display());
        // A repair does not know the broker's checkpoint: what stands before the start is read again.
        let start = kafka_golden::offset(name(&path), "start");
        // The open ends the transaction that the broker left open: committed records go on behind it.
        let records = partition.read(..).unwrap().isolation(Isolation::ReadUncommitted).into_iter();
        let records: Vec<_> = records
            .map(|record| record.unwrap())
            .filter(|record| record.offset >= start)
            .map(|record| {
                let headers = record.headers.into_iter().map(|header| (header.key, header.value)).collect();
                (record.offset, record.timestamp, record.key, record.value, headers)
            })
            .collect();
        let expected: Vec<_> = kafka_golden::expected(name(&path), false)
            .into_iter()
            .map(|record| (record.offset, record.timestamp, record.key, record.value, record.headers))
            .collect();
        assert_eq!(records, expected, "{}", path.display());
    }
}

#[test]
fn what_a_broker_wrote_is_appended_to() {
    for path in data() {
        let (dir, store) = taken_over(&path);
        let end = kafka_golden::offset(name(&path), "end");
        let before = read(&partition(&store, &path)).len();
        let more = [Record::new().key("k").value("more")];
        assert_eq!(partition(&store, &path).append(&more, Durability::Os).unwrap().first_offset, end);
        store.close().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        assert_eq!(read(&partition(&store, &path)).len(), before + 1, "{}", path.display());
    }
}

#[test]
fn times_are_found_where_the_broker_finds_them() {
    let mut count = 0;
    // Kafka finds markers of transactions too; they are no records.
    for path in data().into_iter().filter(|path| !name(path).starts_with("tx-") || name(path) == "tx-input-0")
    {
        let (_dir, store) = taken_over(&path);
        let partition = partition(&store, &path);
        let start = kafka_golden::offset(name(&path), "start");
        partition.delete_records(start).unwrap();
        for (time, offset) in kafka_golden::times(name(&path)) {
            let found = partition.offset_for_time(time).unwrap().map(|found| found.offset);
            if name(&path) == "compacted-0" && time == 1_700_000_059_000 {
                // Kafka looks into one segment only, here into one that compaction left empty.
                assert_eq!((found, offset), (Some(295), None));
                continue;
            }
            assert_eq!(found, offset, "{} at {time}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 119);
}
