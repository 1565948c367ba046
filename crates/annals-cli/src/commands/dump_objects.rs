//! What `dump` prints, as objects.

use std::path::Path;

use annals::dump::{
    AbortedEntry, BatchDump, OffsetEntry, ProducerDump, RecordDump, SegmentDump, SnapshotDump, TimeEntry,
};

use crate::show::{List, Object};

pub(super) fn segment(segment: &SegmentDump) -> Object {
    Object::new("segment")
        .text("path", &segment.path().to_string_lossy())
        .number("base_offset", segment.base_offset())
        .number("bytes", segment.bytes())
}

pub(super) fn zeros(position: u64, bytes: u64) -> Object {
    Object::new("zeros").number("position", position).number("bytes", bytes)
}

pub(super) fn unreadable(path: &Path, position: Option<u64>, bytes: Option<u64>, reason: &str) -> Object {
    Object::new("unreadable")
        .text("path", &path.to_string_lossy())
        .maybe_number("position", position)
        .maybe_number("bytes", bytes)
        .text("reason", reason)
}

pub(super) fn batch(batch: &BatchDump) -> Object {
    Object::new("batch")
        .number("position", batch.position)
        .number("bytes", batch.bytes)
        .number("base_offset", batch.base_offset)
        .number("last_offset", batch.last_offset)
        .number("records", batch.record_count)
        .text("codec", &format!("{:?}", batch.codec).to_lowercase())
        .text("timestamp_type", &format!("{:?}", batch.timestamp_type))
        .number("base_timestamp", batch.base_timestamp)
        .number("max_timestamp", batch.max_timestamp)
        .number("leader_epoch", batch.leader_epoch)
        .number("producer_id", batch.producer_id)
        .number("producer_epoch", batch.producer_epoch)
        .number("base_sequence", batch.base_sequence)
        .truth("transactional", batch.is_transactional)
        .truth("control", batch.is_control)
        .truth("delete_horizon", batch.has_delete_horizon)
        .text("crc", &format!("{:08x}", batch.crc))
        .truth("crc_fits", batch.crc_fits)
}

/// Topic and partition are not in the file.
pub(super) fn record(record: &RecordDump) -> Object {
    let headers = List::of(&record.headers, |header| {
        Object::inner().text("key", &header.key).bytes("value", header.value.as_deref())
    });
    let object = Object::new("record")
        .raw("topic", "null")
        .raw("partition", "null")
        .number("offset", record.offset)
        .number("timestamp", record.timestamp)
        .bytes("key", record.key.as_deref())
        .bytes("value", record.value.as_deref())
        .list("headers", headers);
    match &record.words {
        Some(words) => object.text("words", words),
        None => object,
    }
}

pub(super) fn offset_entry(entry: &OffsetEntry) -> Object {
    Object::new("index")
        .number("offset", entry.offset)
        .number("position", entry.position)
        .maybe_text("misfit", entry.misfit.as_deref())
}

pub(super) fn time_entry(entry: &TimeEntry) -> Object {
    Object::new("time_index")
        .number("timestamp", entry.timestamp)
        .number("offset", entry.offset)
        .maybe_text("misfit", entry.misfit.as_deref())
}

pub(super) fn aborted_entry(entry: &AbortedEntry) -> Object {
    Object::new("transaction_index")
        .number("producer_id", entry.producer_id)
        .number("first_offset", entry.first_offset)
        .number("last_offset", entry.last_offset)
        .number("last_stable_offset", entry.last_stable_offset)
}

pub(super) fn snapshot(snapshot: &SnapshotDump) -> Object {
    Object::new("snapshot").text("path", &snapshot.path.to_string_lossy()).number("offset", snapshot.offset)
}

pub(super) fn producer(producer: &ProducerDump) -> Object {
    Object::new("producer")
        .number("producer_id", producer.producer_id)
        .number("producer_epoch", producer.producer_epoch)
        .number("last_sequence", producer.last_sequence)
        .number("last_offset", producer.last_offset)
        .number("timestamp", producer.timestamp)
        .maybe_number("open_since", producer.open_since)
}
