//! What a transaction has gathered and not written.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::log::Holding;
use crate::topic::{OwnedRecord, Partition};
use crate::types::{Record, Timestamp};

/// Partitions in the order in which all take their locks: by the topic's id, then the number.
pub(super) type Place = (u128, u32);

pub(super) fn place_of(partition: &Partition) -> Place {
    (partition.topic_id(), partition.number())
}

/// What goes to one partition.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) partition: Partition,
    /// Never empty.
    records: Vec<OwnedRecord>,
    /// What the clock showed meanwhile, at the earliest and at the latest.
    pub(super) given: (Timestamp, Timestamp),
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
        let kept = OwnedRecord::kept(record, partition.topic_partition(), now);
        self.bytes += bytes_of(&kept);
        let piece = self.by_place.entry(place_of(partition)).or_insert_with(|| Piece {
            partition: partition.clone(),
            records: Vec::new(),
            given: (now, now),
        });
        piece.given = (piece.given.0.min(now), piece.given.1.max(now));
        piece.records.push(kept);
    }

    /// Sees to it, without a lock, that the partitions may be appended to.
    pub(super) fn make_ready(&self) -> Result<()> {
        let mut pieces = self.by_place.values();
        pieces.try_for_each(|piece| piece.partition.log().meet_prerequisites(Holding::Nothing))
    }
}

impl Piece {
    pub(super) fn records(&self) -> Vec<Record<'_>> {
        self.records.iter().map(Record::from).collect()
    }

    /// Roughly what its records take in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(|record| bytes_of(record) as u64).sum()
    }
}

fn bytes_of(record: &OwnedRecord) -> usize {
    let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = record.headers.iter().map(|header| header.key.len() + len(&header.value)).sum();
    32 + len(&record.key) + len(&record.value) + headers
}
