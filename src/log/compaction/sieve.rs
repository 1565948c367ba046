//! Which records stay.

use std::cell::Cell;
use std::ops::RangeInclusive;

use crate::format::{BatchHeader, RawRecord, RecordFate, RewriteRules};
use crate::log::compaction::markers::Markers;
use crate::log::compaction::offset_map::OffsetMap;
use crate::log::producers::aborted::AbortedRange;
use crate::log::producers::table::ProducerTable;
use crate::types::{Offset, Timestamp};

/// What becomes of a batch, as far as its header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BatchFate {
    /// It stays as it is; nobody looks at its records.
    Stays,
    Goes,
    /// Its records decide.
    Open,
}

/// Decides what stays of the segments that are rewritten.
pub(super) trait Sieve {
    fn batch(&self, header: &BatchHeader) -> BatchFate;

    fn record(&self, header: &BatchHeader, record: &RawRecord<'_>) -> RecordFate;

    /// `is_last` tells the last batch of its segment.
    fn rules(&self, header: &BatchHeader, is_last: bool) -> RewriteRules;

    /// What is asked from here on may be asked once more.
    fn begin_look(&self) {}

    /// It is: what was asked meanwhile leaves nothing behind.
    fn end_look(&self) {}
}

/// Keeps the last record of each key, and tombstones for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastOfKey<'a> {
    pub(super) map: &'a OffsetMap,
    /// The map knows everything from the last cleaning up to here.
    pub(super) covered: Offset,
    /// No batch that ends at this offset vanishes: something has to show that the offsets below it were given out.
    pub(super) until: Offset,
    /// Transactions that were aborted: their records go.
    pub(super) aborted: &'a AbortedRange,
    /// The last batch of each producer stays, emptied perhaps: by it a batch that comes again is known.
    pub(super) producers: &'a ProducerTable,
    pub(super) markers: &'a Markers,
    /// Something before stays as it was. No tombstone goes: what it says of an older record would be forgotten, and that one be there.
    pub(super) is_behind_uncleaned: &'a Cell<bool>,
    /// First offset that may be read.
    pub(super) start: Offset,
    pub(super) now: Timestamp,
    /// For batches with tombstones that are cleaned for the first time.
    pub(super) horizon: Timestamp,
}

impl Sieve for LastOfKey<'_> {
    fn batch(&self, header: &BatchHeader) -> BatchFate {
        let attributes = header.attributes;
        if attributes.is_transactional() && !attributes.is_control() {
            self.markers.note_batch(header.producer_id);
        }
        match header {
            _ if header.next_offset() <= self.start && header.next_offset() != self.until => BatchFate::Goes,
            _ if attributes.is_control() => self.control(header),
            _ => BatchFate::Open,
        }
    }

    fn record(&self, header: &BatchHeader, record: &RawRecord<'_>) -> RecordFate {
        if record.offset >= self.covered {
            return RecordFate::Stays;
        }
        if header.attributes.is_control() {
            return RecordFate::StaysForNow;
        }
        if header.attributes.is_transactional() && self.aborted.holds(header.producer_id, header.base_offset)
        {
            return RecordFate::Goes;
        }
        let Some(key) = record.key else { return RecordFate::Goes };
        if self.map.get(key).is_some_and(|last| last > record.offset) {
            return RecordFate::Goes;
        }
        let has_horizon = header.attributes.has_delete_horizon();
        match record.value {
            Some(_) => RecordFate::Stays,
            None if has_horizon && header.base_timestamp <= self.now && !self.is_behind_uncleaned.get() => {
                RecordFate::Goes
            }
            None => RecordFate::StaysForNow,
        }
    }

    fn rules(&self, header: &BatchHeader, _is_last: bool) -> RewriteRules {
        let is_last_of_producer =
            header.producer_id >= 0 && self.producers.is_last_of(header.producer_id, header.last_offset());
        let keeps_header = header.next_offset() == self.until || is_last_of_producer;
        RewriteRules { horizon: Some(self.horizon), keeps_header }
    }

    fn begin_look(&self) {
        self.markers.begin_look();
    }

    fn end_look(&self) {
        self.markers.end_look();
    }
}

impl LastOfKey<'_> {
    /// A control batch. The end of a transaction of which nothing is left gets its delete horizon, and goes when that is over.
    fn control(&self, header: &BatchHeader) -> BatchFate {
        if header.producer_id < 0 {
            return BatchFate::Stays;
        }
        let is_alone = self.markers.is_alone(header.producer_id);
        // It tells in which epoch its producer is, who is known: by that a transaction is known to have ended here.
        let is_last_of_producer = self.producers.epoch(header.producer_id) == Some(header.producer_epoch);
        if header.next_offset() == self.until || header.next_offset() > self.covered || is_last_of_producer {
            return BatchFate::Stays;
        }
        match header.attributes.has_delete_horizon() {
            true if header.base_timestamp <= self.now => BatchFate::Goes,
            true => BatchFate::Stays,
            false if is_alone => BatchFate::Open,
            false => BatchFate::Stays,
        }
    }
}

/// Keeps the batches that reach an offset.
#[derive(Debug)]
pub(super) struct FromOffset(pub(super) Offset);

impl Sieve for FromOffset {
    fn batch(&self, header: &BatchHeader) -> BatchFate {
        if header.next_offset() <= self.0 { BatchFate::Goes } else { BatchFate::Stays }
    }

    fn record(&self, _header: &BatchHeader, _record: &RawRecord<'_>) -> RecordFate {
        RecordFate::Stays
    }

    fn rules(&self, _header: &BatchHeader, _is_last: bool) -> RewriteRules {
        RewriteRules { horizon: None, keeps_header: false }
    }
}

/// Keeps the records whose key does not match.
pub(super) struct OtherKeys<'a>(pub(super) &'a dyn Fn(&[u8]) -> bool);

impl Sieve for OtherKeys<'_> {
    fn batch(&self, header: &BatchHeader) -> BatchFate {
        let has_keys = header.record_count > 0 && !header.attributes.is_control();
        if has_keys { BatchFate::Open } else { BatchFate::Stays }
    }

    fn record(&self, header: &BatchHeader, record: &RawRecord<'_>) -> RecordFate {
        match record.key {
            Some(key) if (self.0)(key) => RecordFate::Goes,
            _ if record.value.is_none() && header.attributes.has_delete_horizon() => RecordFate::StaysForNow,
            _ => RecordFate::Stays,
        }
    }

    /// A segment keeps its last batch, so that none becomes empty.
    fn rules(&self, _header: &BatchHeader, is_last: bool) -> RewriteRules {
        RewriteRules { horizon: None, keeps_header: is_last }
    }
}

/// Keeps the records whose offsets are in none of the ranges, which stand in order.
pub(super) struct OtherOffsets<'a>(pub(super) &'a [RangeInclusive<Offset>]);

impl OtherOffsets<'_> {
    /// The first range that ends at the offset or after it.
    fn range(&self, offset: Offset) -> Option<&RangeInclusive<Offset>> {
        self.0.get(self.0.partition_point(|range| *range.end() < offset))
    }
}

impl Sieve for OtherOffsets<'_> {
    fn batch(&self, header: &BatchHeader) -> BatchFate {
        let has_records = header.record_count > 0 && !header.attributes.is_control();
        let touches =
            self.range(header.base_offset).is_some_and(|range| *range.start() < header.next_offset());
        if has_records && touches { BatchFate::Open } else { BatchFate::Stays }
    }

    fn record(&self, header: &BatchHeader, record: &RawRecord<'_>) -> RecordFate {
        match self.range(record.offset) {
            Some(range) if range.contains(&record.offset) => RecordFate::Goes,
            _ if record.value.is_none() && header.attributes.has_delete_horizon() => RecordFate::StaysForNow,
            _ => RecordFate::Stays,
        }
    }

    /// As above.
    fn rules(&self, _header: &BatchHeader, is_last: bool) -> RewriteRules {
        RewriteRules { horizon: None, keeps_header: is_last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Attributes;

    fn header(base_timestamp: Timestamp) -> BatchHeader {
        let plain = Attributes::default();
        BatchHeader {
            base_offset: 10,
            batch_length: 100,
            leader_epoch: 0,
            crc: 0,
            attributes: if base_timestamp < 0 { plain } else { plain.with_delete_horizon() },
            last_offset_delta: 9,
            base_timestamp,
            max_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 10,
        }
    }

    fn fate(horizon: Timestamp, offset: Offset, key: Option<&[u8]>, value: Option<&[u8]>) -> RecordFate {
        fate_behind(false, horizon, (offset, key, value))
    }

    /// The same, where something before stays as it was or not.
    fn fate_behind(
        is_behind_uncleaned: bool,
        horizon: Timestamp,
        (offset, key, value): (Offset, Option<&[u8]>, Option<&[u8]>),
    ) -> RecordFate {
        let mut map = OffsetMap::new(1 << 10, 10);
        map.put(b"a", 15).unwrap();
        let sieve = LastOfKey {
            map: &map,
            covered: 18,
            until: 30,
            aborted: &AbortedRange::default(),
            producers: &ProducerTable::default(),
            markers: &Markers::default(),
            is_behind_uncleaned: &Cell::new(is_behind_uncleaned),
            start: 0,
            now: 1000,
            horizon: 2000,
        };
        let record = RawRecord { offset, timestamp: 0, key, value, headers: Default::default() };
        sieve.record(&header(horizon), &record)
    }

    #[test]
    fn the_last_of_its_key_stays() {
        let (key, value) = (Some(&b"a"[..]), Some(&b"1"[..]));
        assert_eq!(fate(-1, 14, key, value), RecordFate::Goes);
        assert_eq!(fate(-1, 15, key, value), RecordFate::Stays);
        assert_eq!(fate(-1, 10, Some(b"b"), value), RecordFate::Stays, "not seen since the last cleaning");
        assert_eq!(fate(-1, 10, None, value), RecordFate::Goes);
    }

    #[test]
    fn a_tombstone_waits_for_its_horizon() {
        let key = Some(&b"a"[..]);
        assert_eq!(fate(-1, 14, key, None), RecordFate::Goes);
        assert_eq!(fate(-1, 15, key, None), RecordFate::StaysForNow);
        assert_eq!(fate(1001, 15, key, None), RecordFate::StaysForNow);
        assert_eq!(fate(1000, 15, key, None), RecordFate::Goes);
        assert_eq!(
            fate_behind(true, 1000, (15, key, None)),
            RecordFate::StaysForNow,
            "older ones may be there"
        );
        assert_eq!(fate_behind(true, 1000, (14, key, None)), RecordFate::Goes, "a newer one is there");
    }

    #[test]
    fn what_the_map_does_not_know_yet_stays() {
        assert_eq!(fate(1000, 17, None, None), RecordFate::Goes);
        assert_eq!(fate(1000, 18, None, None), RecordFate::Stays);
        assert_eq!(
            fate(1000, 18, Some(b"a"), None),
            RecordFate::Stays,
            "older values of its key may be left"
        );
    }

    #[test]
    fn a_marker_goes_when_nothing_of_its_transaction_is_left_and_its_horizon_is_over() {
        let (map, aborted) = (OffsetMap::new(0, 0), AbortedRange::default());
        let (producers, markers) = (ProducerTable::default(), Markers::default());
        let sieve = LastOfKey {
            map: &map,
            covered: 100,
            until: 200,
            aborted: &aborted,
            producers: &producers,
            markers: &markers,
            is_behind_uncleaned: &Cell::new(false),
            start: 0,
            now: 1000,
            horizon: 2000,
        };
        let of = |attributes: Attributes, producer_id: i64, horizon: Timestamp| BatchHeader {
            attributes: if horizon < 0 { attributes } else { attributes.with_delete_horizon() },
            producer_id,
            producer_epoch: 1,
            ..header(horizon)
        };
        let batch = Attributes::default().with_transactional();
        let marker = batch.with_control();
        assert_eq!(sieve.batch(&of(batch, 7, -1)), BatchFate::Open);
        assert_eq!(sieve.batch(&of(marker, 7, -1)), BatchFate::Stays, "its transaction was there");
        assert_eq!(sieve.batch(&of(marker, 7, -1)), BatchFate::Open, "nothing is left of the next one");
        let alone =
            RawRecord { offset: 10, timestamp: 0, key: None, value: None, headers: Default::default() };
        assert_eq!(sieve.record(&of(marker, 7, -1), &alone), RecordFate::StaysForNow);
        assert_eq!(sieve.batch(&of(marker, 7, 1001)), BatchFate::Stays);
        assert_eq!(sieve.batch(&of(marker, 7, 1000)), BatchFate::Goes);
        assert_eq!(LastOfKey { until: 20, ..sieve }.batch(&of(marker, 7, 1000)), BatchFate::Stays);
        assert_eq!(LastOfKey { covered: 19, ..sieve }.batch(&of(marker, 7, 1000)), BatchFate::Stays);
        assert_eq!(sieve.batch(&of(marker, -1, 1000)), BatchFate::Stays, "another kind");
        let mut known = ProducerTable::default();
        known.note(&of(batch, 7, -1));
        let knows = LastOfKey { producers: &known, ..sieve };
        assert_eq!(knows.batch(&of(marker, 7, 1000)), BatchFate::Stays, "it tells the producer's epoch");
        markers.skip();
        assert_eq!(sieve.batch(&of(marker, 8, -1)), BatchFate::Stays, "its batches may stand in between");
    }

    #[test]
    fn headers_decide_what_they_can() {
        let map = OffsetMap::new(0, 0);
        let (aborted, producers) = (AbortedRange::default(), ProducerTable::default());
        let (aborted, producers) = (&aborted, &producers);
        let sieve = LastOfKey {
            map: &map,
            covered: 18,
            until: 30,
            aborted,
            producers,
            markers: &Markers::default(),
            is_behind_uncleaned: &Cell::new(false),
            start: 20,
            now: 0,
            horizon: 0,
        };
        assert_eq!(sieve.batch(&header(-1)), BatchFate::Goes, "all of it lies below the start");
        assert_eq!(LastOfKey { start: 19, ..sieve }.batch(&header(-1)), BatchFate::Open);
        let last = LastOfKey { until: 20, ..sieve };
        assert_eq!(last.batch(&header(-1)), BatchFate::Open);
        assert!(last.rules(&header(-1), false).keeps_header);
        let control = BatchHeader { attributes: Attributes::default().with_control(), ..header(-1) };
        assert_eq!(LastOfKey { start: 0, ..last }.batch(&control), BatchFate::Stays);
        assert_eq!(OtherKeys(&|_| true).batch(&control), BatchFate::Stays);
        assert_eq!(FromOffset(20).batch(&header(-1)), BatchFate::Goes);
        assert_eq!(FromOffset(19).batch(&header(-1)), BatchFate::Stays);
    }
}
