//! The small files: what decodes says the same after another round through encoder and decoder.

use crate::format::{
    BatchHeader, Catalog, CommitKey, ControlRecord, OffsetCommitValue, PartitionState, TransactionState,
    check_topic_name, decode_aborted, decode_ends, decode_offset_index, decode_producer_snapshot,
    decode_time_index, decode_transaction_key, encode_aborted, encode_ends, encode_offset_index,
    encode_producer_snapshot, encode_time_index, encode_transaction_key,
};
use crate::fuzzing::input::Input;
use crate::fuzzing::repair;

/// Any bytes as an `.index`.
pub fn offset_index(data: &[u8]) {
    if let Ok(entries) = decode_offset_index(data) {
        assert_eq!(encode_offset_index(&entries), data);
        assert!(
            entries.is_sorted_by(|a, b| a.relative_offset < b.relative_offset && a.position < b.position)
        );
    }
}

/// Any bytes as a `.timeindex`.
pub fn time_index(data: &[u8]) {
    if let Ok(entries) = decode_time_index(data) {
        assert_eq!(encode_time_index(&entries), data);
        assert!(
            entries.is_sorted_by(|a, b| a.timestamp < b.timestamp && a.relative_offset < b.relative_offset)
        );
    }
}

/// Any bytes as a partition's state file, as they are and with every checksum made right.
pub fn partition_state(data: &[u8]) {
    let mut repaired = data.to_vec();
    repair::partition_state(&mut repaired);
    for bytes in [data, &repaired] {
        let Ok(state) = PartitionState::decode(bytes) else { continue };
        assert_eq!(PartitionState::decode(&state.encode()), Ok(state.clone()));
        let segments = state.sealed.iter().chain(&state.closed);
        assert!(segments.is_sorted_by(|a, b| a.next_offset <= b.base));
    }
}

/// Any bytes as a topic file, as they are and with the checksum made right.
pub fn topic_file(data: &[u8]) {
    let mut repaired = data.to_vec();
    repair::topic_file(&mut repaired);
    for bytes in [data, &repaired] {
        let Ok(catalog) = Catalog::decode(bytes) else { continue };
        assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog.clone()));
        for (name, topic) in &catalog.topics {
            assert_eq!(check_topic_name(name), Ok(()), "{name:?} would be a path");
            assert!(topic.partitions > 0, "{name} cannot be sent to");
        }
    }
}

/// Any bytes as key and value of a record of committed offsets. The first says where the value begins.
pub fn offset_commit(data: &[u8]) {
    let mut input = Input::new(data);
    let len = usize::from(input.byte());
    let (key, value) = (input.take(len), input.rest());
    if let Ok(key) = CommitKey::decode(key) {
        let mut bytes = Vec::new();
        match key {
            CommitKey::Other(_) => assert!(key.encode(&mut bytes).is_err()),
            _ => {
                assert_eq!(key.encode(&mut bytes), Ok(()));
                assert_eq!(CommitKey::decode(&bytes), Ok(key));
            }
        }
    }
    if let Ok(value) = OffsetCommitValue::decode(value) {
        let mut bytes = Vec::new();
        // A later version holds longer texts than the one that is written.
        if value.encode(&mut bytes).is_ok() {
            assert_eq!(OffsetCommitValue::decode(&bytes), Ok(value));
        } else {
            assert!(value.metadata.len() > 32_767);
        }
    }
}

/// Any bytes as a `.txnindex`.
pub fn transaction_index(data: &[u8]) {
    if let Ok(entries) = decode_aborted(data) {
        assert_eq!(encode_aborted(&entries), data);
        assert!(entries.is_sorted_by(|a, b| a.last < b.last));
        assert!(entries.iter().all(|entry| entry.first <= entry.last));
    }
}

/// Any bytes as a `.snapshot`, as they are and with the checksum made right.
pub fn producer_snapshot(data: &[u8]) {
    let mut repaired = data.to_vec();
    repair::producer_snapshot(&mut repaired);
    for bytes in [data, &repaired] {
        if let Ok(entries) = decode_producer_snapshot(bytes) {
            assert_eq!(encode_producer_snapshot(&entries), bytes);
        }
    }
}

/// Any bytes as key, value and ends of a record of `__transaction_state`, and as the records of a control batch. The first
/// says where the value begins.
pub fn transaction_state(data: &[u8]) {
    let mut input = Input::new(data);
    let len = usize::from(input.byte());
    let (key, value) = (input.take(len), input.rest());
    if let Ok(Some(name)) = decode_transaction_key(key) {
        let mut bytes = Vec::new();
        assert_eq!(encode_transaction_key(name, &mut bytes), Ok(()));
        assert_eq!(decode_transaction_key(&bytes), Ok(Some(name)));
    }
    if let Ok(state) = TransactionState::decode(value) {
        let mut bytes = Vec::new();
        assert_eq!(state.encode(&mut bytes), Ok(()));
        assert_eq!(TransactionState::decode(&bytes), Ok(state));
    }
    if let Ok(ends) = decode_ends(value) {
        assert_eq!(encode_ends(&ends), value);
    }
    if let Ok(header) = BatchHeader::decode(data) {
        drop(ControlRecord::decode(&header, data.get(BatchHeader::LEN..).unwrap_or_default()));
    }
}
