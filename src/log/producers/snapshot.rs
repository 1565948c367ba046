//! What a snapshot knows of producers, and whether it lags behind the log.

use crate::format::ProducerEntry;
use crate::log::producers::clearing::TransactionId;
use crate::log::producers::table::{Open, Producer, ProducerTable, Remembered};
use crate::types::Offset;

const NO_SEQUENCE: i32 = -1;

impl ProducerTable {
    /// What a snapshot knew.
    pub(crate) fn from_snapshot(entries: &[ProducerEntry]) -> Self {
        let mut table = Self::default();
        for entry in entries {
            let id = TransactionId { producer_id: entry.producer_id, producer_epoch: entry.producer_epoch };
            let batch = (entry.last_offset >= 0).then(|| Remembered {
                first_sequence: sequence_before(entry.last_sequence, entry.offset_delta),
                last_sequence: entry.last_sequence,
                first_offset: entry.last_offset.saturating_sub(entry.offset_delta.into()),
                last_offset: entry.last_offset,
                timestamp: entry.timestamp,
            });
            let open = |first: Offset| Open { first, last: entry.last_offset.max(first), decided: None };
            if let Some(Open { first, last, .. }) = entry.open_since.map(open) {
                table.undecided.insert((first, last), id);
            }
            let producer = Producer {
                epoch: entry.producer_epoch,
                batches: batch.into_iter().collect(),
                timestamp: entry.timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                open: entry.open_since.map(open),
            };
            table.producers.insert(entry.producer_id, producer);
        }
        table
    }

    /// What a snapshot is to know: of the batches of each producer only the last.
    pub(crate) fn to_snapshot(&self) -> Vec<ProducerEntry> {
        let entry = |(id, producer): (&i64, &Producer)| {
            let last = producer.batches.back();
            ProducerEntry {
                producer_id: *id,
                producer_epoch: producer.epoch,
                last_sequence: last.map_or(NO_SEQUENCE, |batch| batch.last_sequence),
                last_offset: last.map_or(-1, |batch| batch.last_offset),
                offset_delta: last.map_or(0, Remembered::offset_delta),
                timestamp: producer.timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                open_since: producer.open.map(|open| open.first),
            }
        };
        self.producers.iter().map(entry).collect()
    }

    /// Takes over those who are known elsewhere and not here, and have written nothing from `base` on.
    pub(crate) fn add_unknown_below(&mut self, base: Offset, others: &Self) {
        for (id, producer) in &others.producers {
            let is_below = producer.batches.back().is_some_and(|batch| batch.last_offset < base);
            if is_below && producer.open.is_none() && !self.producers.contains_key(id) {
                self.producers.insert(*id, producer.clone());
            }
        }
    }

    /// Where a snapshot would have the next life go wrong, if this is what the log tells. It need not know of everybody: who has
    /// written nothing for long is forgotten. It may know of what was compacted away since.
    pub(crate) fn contradicted_by(&self, snapshot: &Self) -> Option<String> {
        self.producers.iter().find_map(|(id, told)| {
            let known = snapshot.producers.get(id);
            let is_open_there = |open: &Open| {
                let known = known.filter(|known| known.epoch == told.epoch).and_then(|known| known.open);
                known.is_some_and(|known| known.first <= open.first)
            };
            if told.open.is_some_and(|open| !is_open_there(&open)) {
                return Some(format!("producer {id} has a transaction open there: {told:?}, not {known:?}"));
            }
            let last = |producer: &Producer| producer.batches.back().map_or(-1, |batch| batch.last_offset);
            let is_behind = known.is_some_and(|known| {
                known.epoch < told.epoch || (known.epoch == told.epoch && last(known) < last(told))
            });
            is_behind.then(|| format!("the log knows producer {id} further: {told:?}, not {known:?}"))
        })
    }
}

impl Remembered {
    fn offset_delta(&self) -> i32 {
        i32::try_from(self.last_offset - self.first_offset).unwrap_or(i32::MAX)
    }
}

/// The sequence `count` records before; the counting wraps from 0 to the greatest.
fn sequence_before(sequence: i32, count: i32) -> i32 {
    match sequence.checked_sub(count) {
        _ if sequence < 0 => NO_SEQUENCE,
        Some(before) if before >= 0 => before,
        _ => i32::MAX - (count - sequence - 1),
    }
}
