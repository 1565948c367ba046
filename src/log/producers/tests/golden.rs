//! What a broker wrote beside its logs, made again from the logs alone.
#![expect(clippy::disallowed_methods, reason = "the files are read from outside")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::aborted::AbortedRange;
use super::super::table::ProducerTable;
use crate::format::{
    AbortedTransaction, BatchHeader, RecordIter, TransactionState, decode_aborted, decode_producer_snapshot,
    decode_transaction_key, encode_aborted, encode_producer_snapshot, encode_transaction_key,
};
use crate::types::Offset;

/// A day before the broker wrote the first of these files.
const BROKER_BEGAN: i64 = 1_795_826_000_000;

fn kafka(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kafka").join(path)
}

/// The files of that suffix in a partition's directory, by the offset in their names.
fn files(partition: &str, suffix: &str) -> BTreeMap<Offset, Vec<u8>> {
    let entries = std::fs::read_dir(kafka("logs").join(partition)).unwrap();
    let mut found = BTreeMap::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(digits) = name.strip_suffix(suffix) {
            found.insert(digits.parse().unwrap(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Every batch of a partition: the base of its segment, header, body.
fn batches(partition: &str) -> Vec<(Offset, BatchHeader, Vec<u8>)> {
    let mut batches = Vec::new();
    for (base, log) in files(partition, ".log") {
        let mut rest = log.as_slice();
        while let Ok(header) = BatchHeader::decode(rest) {
            let (batch, behind) = rest.split_at(header.total_len());
            BatchHeader::verify_crc(batch).unwrap();
            batches.push((base, header, batch[BatchHeader::LEN..].to_vec()));
            rest = behind;
        }
    }
    batches
}

/// The offsets that one of Kafka's consumers read.
fn consumed(partition: &str, isolation: &str) -> Vec<Offset> {
    let path = kafka("expected").join(format!("{partition}.{isolation}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    let offset = |line: &str| line.split_once("\"offset\":")?.1.split(',').next()?.parse().ok();
    text.lines().map(|line| offset(line).unwrap()).collect()
}

#[test]
fn transaction_indexes_and_snapshots_are_what_the_broker_wrote() {
    for partition in ["tx-0", "tx-1", "__consumer_offsets-0"] {
        let (snapshots, expected) = (files(partition, ".snapshot"), files(partition, ".txnindex"));
        let (mut table, mut indexes) = (ProducerTable::default(), BTreeMap::<_, Vec<_>>::new());
        let mut compared = 0;
        let mut compare = |table: &ProducerTable, offset: Offset| {
            let Some(bytes) = snapshots.get(&offset) else { return };
            let mut theirs = decode_producer_snapshot(bytes).unwrap();
            assert_eq!(&encode_producer_snapshot(&theirs), bytes);
            theirs.sort_by_key(|entry| entry.producer_id);
            // The broker forgets by its own clock, years later than the times of these records.
            let mut ours = table.to_snapshot();
            ours.retain(|entry| {
                let is_theirs = theirs.iter().any(|other| other.producer_id == entry.producer_id);
                is_theirs || entry.open_since.is_some() || entry.timestamp > BROKER_BEGAN
            });
            assert_eq!(ours, theirs, "{partition} at {offset}");
            compared += 1;
        };
        for (base, header, body) in batches(partition) {
            compare(&table, header.base_offset);
            if let Some(aborted) = table.replay(&header, &body) {
                indexes.entry(base).or_default().push(aborted);
            }
            compare(&table, header.next_offset());
        }
        assert!(compared > 1, "{partition}: {compared}");
        assert!(!expected.is_empty() && indexes.len() == expected.len(), "{partition}");
        for (base, entries) in indexes {
            assert_eq!(decode_aborted(&expected[&base]).as_ref(), Ok(&entries), "{partition} {base}");
            assert_eq!(encode_aborted(&entries), expected[&base], "{partition} {base}");
        }
    }
}

#[test]
fn committed_records_are_those_that_kafkas_consumer_read() {
    for partition in ["tx-0", "tx-1", "tx-compacted-0", "__consumer_offsets-0"] {
        let (mut table, mut end) = (ProducerTable::default(), 0);
        let mut aborted: Vec<AbortedTransaction> = Vec::new();
        let batches = batches(partition);
        for (_, header, body) in &batches {
            aborted.extend(table.replay(header, body));
            end = header.next_offset();
        }
        let stable = table.first_undecided(0).unwrap_or(end);
        let range = AbortedRange::gather(0, stable, [Ok::<_, ()>(&aborted)].into_iter()).unwrap();
        let (mut committed, mut uncommitted) = (Vec::<Offset>::new(), Vec::<Offset>::new());
        for (_, header, body) in batches.iter().filter(|(_, header, _)| !header.attributes.is_control()) {
            let offsets = RecordIter::new(header, body).map(|record| record.unwrap().offset);
            let offsets: Vec<_> = offsets.collect();
            let is_aborted =
                header.attributes.is_transactional() && range.holds(header.producer_id, header.base_offset);
            if header.base_offset < stable && !is_aborted {
                committed.extend(&offsets);
            }
            uncommitted.extend(offsets);
        }
        assert_eq!(committed, consumed(partition, "committed"), "{partition}");
        assert_eq!(uncommitted, consumed(partition, "uncommitted"), "{partition}");
    }
}

#[test]
fn what_the_coordinator_wrote_is_understood() {
    let path = kafka("expected/transactions.jsonl");
    let expected = std::fs::read_to_string(path).unwrap();
    let mut last = BTreeMap::new();
    for (_, header, body) in batches("__transaction_state-0") {
        for record in RecordIter::new(&header, &body) {
            let record = record.unwrap();
            let name = decode_transaction_key(record.key.unwrap()).unwrap().unwrap();
            let mut key = Vec::new();
            encode_transaction_key(name, &mut key).unwrap();
            assert_eq!(record.key, Some(key.as_slice()));
            let state = record.value.map(|value| TransactionState::decode(value).unwrap());
            last.insert(name.to_owned(), state);
        }
    }
    assert_eq!(expected.lines().count(), last.len());
    for line in expected.lines() {
        let name = line.split('"').nth(3).unwrap();
        let state = last[name].as_ref().unwrap();
        let said = format!(
            "\"producer\":{},\"epoch\":{},\"state\":\"{}\",\"timeout\":{}",
            state.producer_id,
            state.producer_epoch,
            state.status.name(),
            state.timeout_millis
        );
        assert!(line.contains(&said), "{line}: {said}");
    }
}
