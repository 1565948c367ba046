//! What compaction should look at: functions of values.

use std::ops::Range;

use crate::format::{OffsetIndexEntry, SegmentSummary, TimeIndexEntry};
use crate::log::compaction::{CompactionConfig, Effort};
use crate::log::retain::retention::millis;
use crate::types::{Offset, Timestamp};

/// How much of a log was not compacted yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dirt {
    /// Bytes below the point up to which it was compacted.
    pub(crate) clean_bytes: u64,
    /// Bytes that may be compacted now.
    pub(crate) dirty_bytes: u64,
    /// Compaction may go up to here: the active segment, or the first that is too young.
    pub(crate) until: Offset,
    pub(crate) is_due: bool,
}

impl Dirt {
    /// The part of the bytes that is dirty, from 0 to 1.
    pub(crate) fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.dirty_bytes;
        if all == 0 { 0.0 } else { self.dirty_bytes as f64 / all as f64 }
    }
}

/// A log as the decision sees it: its sealed segments, the time from which each one's age counts, and how far it was
/// compacted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed<'a> {
    pub(super) segments: &'a [SegmentSummary],
    pub(super) times: &'a [Timestamp],
    pub(super) cleaned_until: Offset,
    /// Nothing from there on may be compacted: transactions without an end, and what others need.
    pub(super) limit: Offset,
}

/// Measures the dirt and says whether it is time to clean.
pub(super) fn measure(log: &Sealed<'_>, config: &CompactionConfig) -> Dirt {
    let is_clean = |segment: &&SegmentSummary| segment.next_offset <= log.cleaned_until;
    let min_lag = millis(config.min_lag);
    let too_young = |time: &Timestamp| min_lag > 0 && config.now.saturating_sub(*time) < min_lag;
    let dirty = log.segments.iter().zip(log.times).skip_while(|(segment, _)| is_clean(segment));
    let dirty = dirty.take_while(|(segment, time)| !too_young(time) && segment.next_offset <= log.limit);
    let dirty: Vec<_> = dirty.map(|(segment, _)| segment).collect();
    let clean = log.segments.iter().take_while(is_clean);
    let mut dirt = Dirt {
        clean_bytes: clean.map(|segment| segment.bytes).sum(),
        dirty_bytes: dirty.iter().map(|segment| segment.bytes).sum(),
        until: dirty.last().map_or(log.cleaned_until, |last| last.next_offset),
        is_due: false,
    };
    let waited_long = config.max_lag.is_some_and(|max_lag| {
        let waits = |segment: &&&SegmentSummary| {
            segment.first_append >= 0 && config.now.saturating_sub(segment.first_append) > millis(max_lag)
        };
        dirty.iter().any(|segment| waits(&segment))
    });
    let is_enough = match config.effort {
        Effort::Now => true,
        Effort::WhenDue => dirt.ratio() > config.min_dirty_ratio || waited_long,
    };
    dirt.is_due =
        dirt.dirty_bytes > 0 && is_enough || log.segments.iter().any(|segment| has_due(segment, config.now));
    dirt
}

/// True when tombstones of the segment may go.
pub(super) fn has_due(segment: &SegmentSummary, now: Timestamp) -> bool {
    (0..=now).contains(&segment.delete_horizon)
}

/// Bounds of a segment that takes the place of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunLimits {
    pub(super) max_bytes: u64,
    /// For each of the two indexes.
    pub(super) max_index_bytes: u64,
}

/// Which consecutive segments become one. Each segment is in exactly one run.
pub(super) fn runs(segments: &[SegmentSummary], limits: &RunLimits) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in 0..segments.len() {
        let joined = runs.last().map(|run| run.start..at + 1);
        match joined.filter(|joined| fits(segments.get(joined.clone()).unwrap_or_default(), limits)) {
            Some(joined) => {
                runs.pop();
                runs.push(joined);
            }
            None => runs.push(at..at + 1),
        }
    }
    runs
}

fn fits(segments: &[SegmentSummary], limits: &RunLimits) -> bool {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return true };
    let sum = |size: fn(&SegmentSummary) -> u64| segments.iter().map(size).sum::<u64>();
    sum(|segment| segment.bytes) <= limits.max_bytes
        && sum(|segment| u64::from(segment.index_entries) * OffsetIndexEntry::LEN as u64)
            <= limits.max_index_bytes
        && sum(|segment| u64::from(segment.time_entries) * TimeIndexEntry::LEN as u64)
            <= limits.max_index_bytes
        && last.next_offset - first.base <= i64::from(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn segment(base: Offset, bytes: u64) -> SegmentSummary {
        SegmentSummary {
            base,
            next_offset: base + 10,
            bytes,
            record_count: 10,
            max_timestamp: base,
            offset_of_max_timestamp: base,
            headers_crc: 0,
            index_interval_bytes: 1,
            index_entries: 1,
            index_crc: 0,
            time_entries: 1,
            time_index_crc: 0,
            first_timestamp: base,
            first_append: base,
            last_append: base,
            delete_horizon: -1,
            is_sparse: false,
            aborted_entries: 0,
            aborted_crc: 0,
        }
    }

    fn config() -> CompactionConfig {
        CompactionConfig {
            effort: Effort::WhenDue,
            memory_bytes: 0,
            delete_retention: Duration::ZERO,
            min_lag: Duration::ZERO,
            max_lag: None,
            min_dirty_ratio: 0.5,
            now: 100,
        }
    }

    fn dirt(segments: &[SegmentSummary], cleaned_until: Offset, config: &CompactionConfig) -> Dirt {
        let times: Vec<_> = segments.iter().map(|segment| segment.last_append).collect();
        measure(&Sealed { segments, times: &times, cleaned_until, limit: Offset::MAX }, config)
    }

    #[test]
    fn the_ratio_decides_strictly() {
        let log = [segment(0, 50), segment(10, 50)];
        let found = dirt(&log, 10, &config());
        assert_eq!((found.clean_bytes, found.dirty_bytes, found.until, found.is_due), (50, 50, 20, false));
        assert!(dirt(&log, 10, &CompactionConfig { min_dirty_ratio: 0.49, ..config() }).is_due);
        assert!(dirt(&log, 0, &config()).is_due);
        assert!(dirt(&log, 9, &config()).is_due, "a segment that is clean in part is dirty");
        let none = dirt(&log, 20, &CompactionConfig { min_dirty_ratio: 0.0, ..config() });
        assert_eq!((none.dirty_bytes, none.until, none.is_due), (0, 20, false));
        assert!(!dirt(&[], 0, &config()).is_due);
    }

    #[test]
    fn what_is_young_waits_and_what_lies_behind_it_too() {
        let mut log = [segment(0, 50), segment(10, 50), segment(20, 50)];
        log[2].last_append = 0;
        let lag = |min_lag| CompactionConfig { min_lag: Duration::from_millis(min_lag), ..config() };
        assert_eq!(dirt(&log, 0, &lag(90)).until, 30);
        assert_eq!(dirt(&log, 0, &lag(91)).until, 10);
        assert_eq!(dirt(&log, 10, &lag(91)).until, 10);
        assert!(!dirt(&log, 10, &lag(91)).is_due);
    }

    #[test]
    fn who_has_waited_long_is_due() {
        let log = [segment(0, 1000), segment(10, 1)];
        let lag = |max_lag| CompactionConfig { max_lag: Some(Duration::from_millis(max_lag)), ..config() };
        assert!(!dirt(&log, 10, &lag(90)).is_due);
        assert!(dirt(&log, 10, &lag(89)).is_due);
        assert!(!dirt(&log, 20, &lag(0)).is_due);
    }

    #[test]
    fn tombstones_are_due_without_dirt() {
        let mut log = [segment(0, 50)];
        log[0].delete_horizon = 101;
        assert!(!dirt(&log, 10, &config()).is_due);
        log[0].delete_horizon = 100;
        assert!(dirt(&log, 10, &config()).is_due);
    }

    #[test]
    fn small_neighbours_become_one() {
        let limits = RunLimits { max_bytes: 100, max_index_bytes: 36 };
        let run = |sizes: &[u64]| {
            let log: Vec<_> = (0..).zip(sizes).map(|(n, bytes)| segment(n * 10, *bytes)).collect();
            runs(&log, &limits)
        };
        assert_eq!(run(&[]), []);
        assert_eq!(run(&[60, 40, 1]), [0..2, 2..3]);
        assert_eq!(run(&[200, 40, 60, 90]), [0..1, 1..3, 3..4]);
        assert_eq!(run(&[1, 1, 1, 1]), [0..3, 3..4], "the time index is full");
    }

    #[test]
    fn offsets_of_one_segment_fit_an_i32() {
        let limits = RunLimits { max_bytes: 100, max_index_bytes: 100 };
        let count = |base| runs(&[segment(0, 1), segment(base, 1)], &limits).len();
        assert_eq!(count(i64::from(i32::MAX) - 10), 1);
        assert_eq!(count(i64::from(i32::MAX) - 9), 2);
    }

    #[test]
    fn without_a_lag_no_record_is_too_young_whatever_its_time() {
        // The clock was set back since.
        let log = [SegmentSummary { last_append: 200, ..segment(0, 100) }];
        assert_eq!(dirt(&log, 0, &config()).dirty_bytes, 100);
        let lag = CompactionConfig { min_lag: Duration::from_millis(1), ..config() };
        assert_eq!(dirt(&log, 0, &lag).dirty_bytes, 0);
    }

    #[test]
    fn what_a_group_spans_counts_and_not_where_it_lies() {
        let limits = RunLimits { max_bytes: 1000, max_index_bytes: 1000 };
        let most = Offset::from(i32::MAX);
        let at = |span: Offset| {
            let (first, mut last) = (segment(3 * most, 100), segment(3 * most + 10, 100));
            last.next_offset = first.base + span;
            runs(&[first, last], &limits).len()
        };
        assert_eq!((at(20), at(most), at(most + 1)), (1, 1, 2));
    }
}
