//! Which records stay.

use crate::format::{BatchHeader, RawRecord, RecordFate, RewriteRules};
use crate::partition::compaction::offset_map::OffsetMap;
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
}

/// Keeps the last record of each key, and tombstones for a while.
#[derive(Debug)]
pub(super) struct LastOfKey<'a> {
    pub(super) map: &'a OffsetMap,
    /// The map knows everything from the last cleaning up to here.
    pub(super) covered: Offset,
    /// No batch that ends at this offset vanishes: something has to show that the offsets below it were given out.
    pub(super) until: Offset,
    /// First offset that may be read.
    pub(super) start: Offset,
    pub(super) now: Timestamp,
    /// For batches with tombstones that are cleaned for the first time.
    pub(super) horizon: Timestamp,
}

impl Sieve for LastOfKey<'_> {
    fn batch(&self, header: &BatchHeader) -> BatchFate {
        match header {
            _ if header.next_offset() <= self.start && header.next_offset() != self.until => BatchFate::Goes,
            _ if header.attributes.is_control() => BatchFate::Stays,
            _ => BatchFate::Open,
        }
    }

    fn record(&self, header: &BatchHeader, record: &RawRecord<'_>) -> RecordFate {
        if record.offset >= self.covered {
            return RecordFate::Stays;
        }
        let Some(key) = record.key else { return RecordFate::Goes };
        if self.map.get(key).is_some_and(|last| last > record.offset) {
            return RecordFate::Goes;
        }
        let has_horizon = header.attributes.has_delete_horizon();
        match record.value {
            Some(_) => RecordFate::Stays,
            None if has_horizon && header.base_timestamp <= self.now => RecordFate::Goes,
            None => RecordFate::StaysForNow,
        }
    }

    fn rules(&self, header: &BatchHeader, _is_last: bool) -> RewriteRules {
        RewriteRules { horizon: Some(self.horizon), keeps_header: header.next_offset() == self.until }
    }
}

/// Keeps the batches that reach an offset.
#[derive(Debug)]
pub(super) struct From(pub(super) Offset);

impl Sieve for From {
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
