//! What a transaction has gathered and not written.

use std::collections::BTreeMap;

use crate::topic::Partition;
use crate::types::{Offset, Record, Timestamp};

/// Partitions in the order in which all take their locks: by the topic's id, then the number.
pub(super) type Place = (u128, u32);

/// A record that is kept until the commit.
#[derive(Debug)]
struct Kept {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Timestamp,
}

/// What goes to one partition.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) partition: Partition,
    records: Vec<Kept>,
    /// Where the log must end for any of it to be appended.
    pub(super) expected_end: Option<Offset>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) by_place: BTreeMap<Place, Piece>,
    /// Roughly what is kept.
    pub(super) bytes: usize,
}

impl Pieces {
    pub(super) fn add(&mut self, partition: &Partition, record: &Record<'_>, now: Timestamp) {
        let piece = self.piece(partition);
        let kept = Kept {
            key: record.key_bytes().map(<[u8]>::to_vec),
            value: record.value_bytes().map(<[u8]>::to_vec),
            headers: record
                .headers()
                .iter()
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
            timestamp: record.timestamp_millis().unwrap_or(now),
        };
        let bytes = kept.bytes();
        piece.records.push(kept);
        self.bytes += bytes;
    }

    pub(super) fn expect_end(&mut self, partition: &Partition, end: Offset) {
        self.piece(partition).expected_end = Some(end);
    }

    fn piece(&mut self, partition: &Partition) -> &mut Piece {
        self.by_place.entry((partition.topic_id(), partition.number())).or_insert_with(|| Piece {
            partition: partition.clone(),
            records: Vec::new(),
            expected_end: None,
        })
    }
}

impl Piece {
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        self.records.iter().map(Kept::record).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Roughly what its records take in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(|record| record.bytes() as u64).sum()
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + len(value)).sum();
        32 + len(&self.key) + len(&self.value) + headers
    }

    fn record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }
}
