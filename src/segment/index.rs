//! The sparse offset index and time index of one segment, in memory.
//!
//! An offset entry holds the **last** offset of the batch at its position; a time entry the largest timestamp so far and
//! the last offset of the first batch that reached it. One decision is taken per batch, as Kafka does since KAFKA-806.

use crate::format::{BatchHeader, OffsetIndexEntry, SegmentSummary, TimeIndexEntry};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// Both indexes of a segment and what is needed to go on with them.
#[derive(Debug, Clone)]
pub(crate) struct SparseIndex {
    base: Offset,
    interval_bytes: u32,
    /// Strictly growing in both fields.
    offsets: Vec<OffsetIndexEntry>,
    /// Strictly growing in both fields.
    times: Vec<TimeIndexEntry>,
    bytes_since_entry: u64,
    largest: Largest,
}

/// The entries around an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Around {
    /// The last entry whose batch ends at or before the offset.
    pub(crate) floor: Option<OffsetIndexEntry>,
    /// The first entry whose batch ends at or after the offset, when that batch is more likely to hold it than not. Going
    /// there first leaves what lies between the two entries untouched.
    pub(crate) likely: Option<OffsetIndexEntry>,
}

/// The largest timestamp of a segment, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Largest {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: Offset,
}

impl SparseIndex {
    pub(crate) fn new(base: Offset, interval_bytes: u32) -> Self {
        let largest = Largest { timestamp: NO_TIMESTAMP, offset: base };
        Self { base, interval_bytes, offsets: Vec::new(), times: Vec::new(), bytes_since_entry: 0, largest }
    }

    /// The indexes of a finished segment, from entries that were checked.
    pub(crate) fn finished(
        summary: &SegmentSummary,
        offsets: Vec<OffsetIndexEntry>,
        times: Vec<TimeIndexEntry>,
    ) -> Self {
        let largest = Largest { timestamp: summary.max_timestamp, offset: summary.offset_of_max_timestamp };
        Self { offsets, times, largest, ..Self::new(summary.base, summary.index_interval_bytes) }
    }

    /// The indexes of a segment that grows again after a clean close. What the close added is taken back, so that the files
    /// come out the same as if the log had never been closed. A segment keeps the interval it began with: otherwise nobody
    /// could rebuild the files from the `.log`.
    pub(crate) fn resumed(self, summary: &SegmentSummary) -> Self {
        let mut times = self.times;
        let last = self.offsets.last();
        if times
            .last()
            .is_some_and(|time| last.is_none_or(|entry| time.relative_offset > entry.relative_offset))
        {
            times.pop();
        }
        let indexed = last.map_or(0, |entry| u64::from(entry.position));
        Self {
            base: self.base,
            interval_bytes: self.interval_bytes,
            bytes_since_entry: summary.bytes.saturating_sub(indexed),
            largest: self.largest,
            offsets: self.offsets,
            times,
        }
    }

    /// Takes note of the batch just written at `position`.
    #[inline]
    pub(crate) fn note(&mut self, header: &BatchHeader, position: u64) {
        if header.max_timestamp > self.largest.timestamp && header.record_count > 0 {
            self.largest = Largest { timestamp: header.max_timestamp, offset: header.last_offset() };
        }
        if self.bytes_since_entry > u64::from(self.interval_bytes) {
            self.note_entry(header, position);
        }
        self.bytes_since_entry += header.total_len() as u64;
    }

    /// One batch of many.
    #[inline(never)]
    fn note_entry(&mut self, header: &BatchHeader, position: u64) {
        if let (Some(relative_offset), Ok(position)) =
            (self.relative(header.last_offset()), u32::try_from(position))
        {
            self.offsets.push(OffsetIndexEntry { relative_offset, position });
        }
        self.note_time();
        self.bytes_since_entry = 0;
    }

    /// Adds the last time entry, when the segment ends here for now.
    pub(crate) fn note_time(&mut self) {
        if self.largest.timestamp <= self.times.last().map_or(NO_TIMESTAMP, |last| last.timestamp) {
            return;
        }
        if let Some(relative_offset) = self.relative(self.largest.offset) {
            self.times.push(TimeIndexEntry { timestamp: self.largest.timestamp, relative_offset });
        }
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        offset.checked_sub(self.base).and_then(|relative| u32::try_from(relative).ok())
    }

    /// The entries around `offset`.
    pub(crate) fn around(&self, offset: Offset) -> Around {
        let relative = offset.saturating_sub(self.base);
        let after = self.offsets.partition_point(|entry| i64::from(entry.relative_offset) < relative);
        let ends_at = self.offsets.get(after).copied();
        let floor = match ends_at {
            Some(entry) if i64::from(entry.relative_offset) == relative => Some(entry),
            _ => after.checked_sub(1).and_then(|at| self.offsets.get(at)).copied(),
        };
        let likely =
            ends_at.filter(|ceiling| floor.is_none_or(|floor| self.is_likely(relative, floor, *ceiling)));
        Around { floor, likely }
    }

    /// Whether the batch of `ceiling` rather holds an offset between the two entries than one in front of it: it does when
    /// batches are longer than the interval, so that each has an entry, and when the offset is nearer to it.
    fn is_likely(&self, relative: i64, floor: OffsetIndexEntry, ceiling: OffsetIndexEntry) -> bool {
        let bytes = ceiling.position.saturating_sub(floor.position);
        let distances =
            (relative - i64::from(floor.relative_offset), i64::from(ceiling.relative_offset) - relative);
        bytes / 2 > self.interval_bytes || distances.1 < distances.0
    }

    /// The first entry behind `position`.
    pub(crate) fn entry_behind(&self, position: u64) -> Option<OffsetIndexEntry> {
        let at = self.offsets.partition_point(|entry| u64::from(entry.position) <= position);
        self.offsets.get(at).copied()
    }

    /// An offset below which no record has a timestamp of `timestamp` or more.
    pub(crate) fn time_floor(&self, timestamp: Timestamp) -> Offset {
        let after = self.times.partition_point(|entry| entry.timestamp <= timestamp);
        let entry = after.checked_sub(1).and_then(|at| self.times.get(at));
        entry.map_or(self.base, |entry| self.base + i64::from(entry.relative_offset))
    }

    /// The interval that all its entries were written with.
    pub(crate) fn interval_bytes(&self) -> u32 {
        self.interval_bytes
    }

    pub(crate) fn largest(&self) -> Largest {
        self.largest
    }

    pub(crate) fn offsets(&self) -> &[OffsetIndexEntry] {
        &self.offsets
    }

    pub(crate) fn times(&self) -> &[TimeIndexEntry] {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(interval_bytes: u32, offsets: &[(u32, u32)]) -> SparseIndex {
        let entry =
            |&(relative_offset, position): &(u32, u32)| OffsetIndexEntry { relative_offset, position };
        SparseIndex { offsets: offsets.iter().map(entry).collect(), ..SparseIndex::new(100, interval_bytes) }
    }

    #[test]
    fn entries_around_an_offset() {
        let index = index(4096, &[(9, 5000), (29, 10_000), (39, 100_000)]);
        for offset in 90..160 {
            let Around { floor, likely } = index.around(offset);
            let last = |entry: OffsetIndexEntry| 100 + i64::from(entry.relative_offset);
            assert_eq!(
                floor.map(last),
                [109, 129, 139].into_iter().rfind(|last| *last <= offset),
                "{offset}"
            );
            if let Some(likely) = likely {
                assert_eq!(
                    Some(last(likely)),
                    [109, 129, 139].into_iter().find(|last| *last >= offset),
                    "{offset}"
                );
            }
        }
    }

    #[test]
    fn the_entry_behind_an_offset_is_likely_when_near_or_when_every_batch_has_one() {
        let index = index(4096, &[(9, 5000), (29, 10_000), (39, 100_000)]);
        let likely = |offset| index.around(offset).likely.map(|entry| entry.position);
        assert_eq!([112, 119].map(likely), [None; 2]);
        assert_eq!([120, 128].map(likely), [Some(10_000); 2]);
        assert_eq!([130, 138].map(likely), [Some(100_000); 2]);
        // The batch that ends at the offset is the one in front already.
        assert_eq!([129, 139, 140].map(likely), [None; 3]);
    }
}
