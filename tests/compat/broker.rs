//! Directories that a broker of Kafka wrote, looked at as they are.

use annals::dump::{BatchDump, SegmentDump, Stretch};

use crate::kafka_golden::{self, Expected};

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

fn name(partition: &std::path::Path) -> &str {
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
