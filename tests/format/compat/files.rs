//! The files of a store, from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{Durability, Isolation, Partition, Store, TopicConfig};
use tempfile::TempDir;

use crate::compat::samples::Sample;

pub(crate) const TOPIC: &str = "compat";

/// Room for the largest samples.
pub(crate) fn config() -> TopicConfig {
    TopicConfig::new().max_message_bytes(4 << 20).index_interval_bytes(200)
}

pub(crate) fn partition_dir(store: &Path) -> PathBuf {
    store.join(format!("{TOPIC}-0"))
}

pub(crate) fn partition(store: &Store) -> Partition {
    store.topic(TOPIC).unwrap().partition(0).unwrap()
}

pub(crate) fn append(partition: &Partition, samples: &[Sample]) {
    let records: Vec<_> = samples.iter().map(Sample::record).collect();
    partition.append(&records, Durability::Os).unwrap();
}

/// Offset and content of every record, those of transactions that have no end among them.
pub(crate) fn read(partition: &Partition) -> Vec<(i64, Sample)> {
    let records = partition.read(..).unwrap().isolation(Isolation::ReadUncommitted).into_iter();
    let records = records.map(|record| record.unwrap());
    records.map(|record| (record.offset, Sample::read(record))).collect()
}

/// The `.log` files by base offset, as they are.
pub(crate) fn logs(store: &Path) -> BTreeMap<i64, Vec<u8>> {
    let mut logs = BTreeMap::new();
    for entry in fs::read_dir(partition_dir(store)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(stem.len(), 20);
            logs.insert(stem.parse().unwrap(), fs::read(&path).unwrap());
        }
    }
    logs
}

/// Bytes up to the end of the last batch: what follows was allocated ahead.
fn written_len(log: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) =
        log.get(at + 8..at + 12).map(|field| u32::from_be_bytes(field.try_into().unwrap()))
        && length > 0
    {
        at += length as usize + 12;
    }
    at
}

/// The first record of every store that foreign batches are put into.
pub(crate) fn first_record() -> (i64, Sample) {
    (0, Sample::new(1, None, Some(b"ours")))
}

/// A store as a killed process leaves it, one record in it, and these bytes behind that record.
pub(crate) fn killed_store_with(foreign: &[u8]) -> TempDir {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(live.path()).unwrap();
    let partition = store.create_topic(TOPIC, config()).unwrap().partition(0).unwrap();
    append(&partition, &[first_record().1]);
    copy(live.path(), dir.path());
    drop((partition, store));
    put_at_end(dir.path(), foreign);
    dir
}

/// Puts bytes behind the last batch of the last segment.
pub(crate) fn put_at_end(store: &Path, foreign: &[u8]) {
    let (base, log) = logs(store).pop_last().unwrap();
    let bytes = [&log[..written_len(&log)], foreign].concat();
    fs::write(partition_dir(store).join(format!("{base:020}.log")), bytes).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens a store with foreign batches in it and checks what it holds: as found, after an append behind them, and after a
/// clean close. The bytes of the batches must stay.
pub(crate) fn assert_read(dir: &Path, foreign: &[u8], expected: &[(i64, Sample)], end: i64) {
    let store = Store::open(dir).unwrap();
    let report = store.recovery()[0].clone();
    assert_eq!((report.clean, report.torn, report.end), (false, None, end));
    assert_eq!(read(&partition(&store)), expected);
    append(&partition(&store), &[Sample::new(2, None, Some(b"more"))]);
    let more = (end, Sample::new(2, None, Some(b"more")));
    let with_more = [expected, &[more]].concat();
    assert_eq!(read(&partition(&store)), with_more);
    store.close().unwrap();
    let store = Store::open(dir).unwrap();
    assert!(store.recovery()[0].clean);
    assert_eq!(read(&partition(&store)), with_more);
    for (offset, sample) in with_more.iter().step_by(23) {
        let one = partition(&store).read(*offset..=*offset).unwrap().isolation(Isolation::ReadUncommitted);
        let one = one.into_iter().next().unwrap().unwrap();
        assert_eq!((one.offset, &Sample::read(one)), (*offset, sample));
    }
    store.close().unwrap();
    let whole: Vec<_> = logs(dir).into_values().flatten().collect();
    let found = whole.windows(foreign.len().max(1)).any(|window| window == foreign);
    assert!(found || foreign.is_empty(), "the bytes of the foreign batches changed");
}
