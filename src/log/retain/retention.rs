//! What retention may take out of a log: a function of values.
//!
//! Segments go from the oldest on, and each rule stops at the first that does not qualify, so that the log never gets a
//! hole. The rules are Kafka's, in Kafka's order; about time they are stricter, because a deletion cannot be undone:
//!
//! - A segment is as old as its latest record, but no younger than the last append to it: a record from the future keeps
//!   its segment no longer than one from the day it was written.
//! - Where the clock itself was ahead when a segment was written, the first later append with a lower time shows it, and
//!   that one counts.
//! - A clock that goes back makes everything younger, so nothing goes. One that leaps ahead by more than a year beyond
//!   the maximum age is believed only when the next look finds it still there.

use std::time::Duration;

use crate::types::{Offset, Timestamp};

/// How far the clock may advance between two looks and be believed at once, beyond the maximum age.
const BELIEVABLE_STEP_MS: Timestamp = 365 * 24 * 60 * 60 * 1000;

/// What is to be kept. Without any limit everything is, but what lies below the log's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RetentionPolicy {
    /// A segment whose age is above this goes.
    pub(crate) max_age: Option<Duration>,
    /// Segments go as long as the rest has this many bytes or more.
    pub(crate) max_bytes: Option<u64>,
    /// Segments go as long as the rest has this many records or more.
    pub(crate) max_records: Option<u64>,
    /// Nobody wants what lies below: segments wholly below it go. What lies above is not protected by it.
    pub(crate) keep_from: Option<Offset>,
    /// Nothing goes where a segment that is to go cannot: one who is refused then has taken nothing out.
    pub(crate) is_all_or_nothing: bool,
}

/// Why a segment was removed.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let store = annals::Store::open(dir.path())?;
/// let expired = |segment: &&annals::report::RemovedSegment| segment.reason == annals::report::RemovalReason::Age;
/// let reports = store.apply_retention()?;
/// let expired = reports.iter().flat_map(|report| &report.removed).filter(expired).count();
/// assert_eq!(expired, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalReason {
    /// All of it is below the partition's start.
    BelowStart,
    /// Every group has read it.
    Consumed,
    /// The partition was larger than its limit.
    Size,
    /// The partition had more records than its limit.
    Records,
    /// All of its records were older than the limit.
    Age,
}

/// What the rules look at in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct SegmentFacts {
    pub(in crate::log) base: Offset,
    pub(in crate::log) next_offset: Offset,
    pub(in crate::log) bytes: u64,
    pub(in crate::log) records: u64,
    /// Largest of its first batch that has one, -1 when none has.
    pub(in crate::log) first_timestamp: Timestamp,
    /// -1 when no record has a timestamp.
    pub(in crate::log) max_timestamp: Timestamp,
    /// By the log's clock; -1 when that is not known.
    pub(in crate::log) last_append: Timestamp,
}

/// When and of which log the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct Moment {
    /// First offset that may be read.
    pub(in crate::log) start: Offset,
    pub(in crate::log) now: Timestamp,
    /// What the clock showed at the last look, -1 if there was none.
    pub(in crate::log) seen: Timestamp,
}

impl Moment {
    /// False when the clock has leapt ahead so far that nothing should be deleted on its word.
    pub(in crate::log) fn is_believable(&self, policy: &RetentionPolicy) -> bool {
        let max_age = policy.max_age.map_or(0, millis);
        self.seen < 0 || self.now.saturating_sub(self.seen) <= max_age.saturating_add(BELIEVABLE_STEP_MS)
    }
}

/// How many segments may go, from the oldest on, and why each. `segments` are all of the log, the last one active. When
/// all may go, the caller rolls an empty one first; an empty last segment never goes.
pub(in crate::log) fn removable(
    segments: &[SegmentFacts],
    policy: &RetentionPolicy,
    at: &Moment,
) -> Vec<RemovalReason> {
    let candidates = match segments.split_last() {
        Some((last, before)) if last.bytes == 0 => before,
        _ => segments,
    };
    let times = effective_times(segments, at.now);
    let max_age = policy.max_age.filter(|_| at.is_believable(policy));
    let rules = [
        RemovalReason::BelowStart,
        RemovalReason::Consumed,
        RemovalReason::Size,
        RemovalReason::Records,
        RemovalReason::Age,
    ];
    let mut reasons = Vec::new();
    for rule in rules {
        let rest = candidates.get(reasons.len()..).unwrap_or_default();
        let times = times.get(reasons.len()..candidates.len()).unwrap_or_default();
        let count = match rule {
            RemovalReason::BelowStart => below(rest, at.start),
            RemovalReason::Consumed => policy.keep_from.map_or(0, |offset| below(rest, offset)),
            RemovalReason::Size => {
                policy.max_bytes.map_or(0, |max| beyond(rest, max, |segment| segment.bytes))
            }
            RemovalReason::Records => {
                policy.max_records.map_or(0, |max| beyond(rest, max, |segment| segment.records))
            }
            RemovalReason::Age => max_age.map_or(0, |max_age| older(times, millis(max_age), at.now)),
        };
        reasons.extend(std::iter::repeat_n(rule, count));
    }
    reasons
}

fn below(segments: &[SegmentFacts], offset: Offset) -> usize {
    segments.iter().take_while(|segment| segment.next_offset <= offset).count()
}

/// How many go until what is left would fall below `max`.
fn beyond(segments: &[SegmentFacts], max: u64, size: impl Fn(&SegmentFacts) -> u64) -> usize {
    let total: u64 = segments.iter().map(&size).sum();
    let Some(mut excess) = total.checked_sub(max) else { return 0 };
    let goes = |segment: &&SegmentFacts| match excess.checked_sub(size(segment)) {
        Some(left) => {
            excess = left;
            true
        }
        None => false,
    };
    segments.iter().take_while(goes).count()
}

fn older(times: &[Timestamp], max_age: Timestamp, now: Timestamp) -> usize {
    times.iter().take_while(|time| now.saturating_sub(**time) > max_age).count()
}

/// The time from which each segment's age counts.
pub(in crate::log) fn effective_times(segments: &[SegmentFacts], now: Timestamp) -> Vec<Timestamp> {
    let mut later = Timestamp::MAX;
    let mut times: Vec<_> = segments
        .iter()
        .rev()
        .map(|segment| {
            let appended = if segment.last_append < 0 { now } else { segment.last_append };
            let latest =
                if segment.max_timestamp < 0 { appended } else { segment.max_timestamp.min(appended) };
            let time = if latest > now { latest.min(later) } else { latest };
            later = later.min(appended);
            time
        })
        .collect();
    times.reverse();
    times
}

/// A duration as the log's times count.
pub(in crate::log) fn millis(duration: Duration) -> Timestamp {
    Timestamp::try_from(duration.as_millis()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::RemovalReason::{Age, BelowStart, Consumed, Records, Size};
    use super::*;

    const DAY: Timestamp = 24 * 60 * 60 * 1000;

    /// Segments of ten offsets, 100 bytes and ten records each, with these times of record and append.
    fn segments(times: &[(Timestamp, Timestamp)]) -> Vec<SegmentFacts> {
        let facts = |(base, (max_timestamp, last_append)): (Offset, &(Timestamp, Timestamp))| SegmentFacts {
            base: base * 10,
            next_offset: base * 10 + 10,
            bytes: 100,
            records: 10,
            first_timestamp: *max_timestamp,
            max_timestamp: *max_timestamp,
            last_append: *last_append,
        };
        (0..).zip(times).map(facts).collect()
    }

    fn at(now: Timestamp) -> Moment {
        Moment { start: 0, now, seen: -1 }
    }

    fn empty(base: Offset) -> SegmentFacts {
        SegmentFacts {
            base,
            next_offset: base,
            bytes: 0,
            records: 0,
            first_timestamp: -1,
            max_timestamp: -1,
            last_append: -1,
        }
    }

    fn by_age(days: u64) -> RetentionPolicy {
        RetentionPolicy { max_age: Some(Duration::from_secs(days * 86_400)), ..Default::default() }
    }

    #[test]
    fn without_limits_only_what_lies_below_the_start_goes() {
        let log = segments(&[(0, 0), (0, 0), (0, 0)]);
        let policy = RetentionPolicy::default();
        assert_eq!(removable(&log, &policy, &at(900 * DAY)), []);
        assert_eq!(removable(&log, &policy, &Moment { start: 19, ..at(0) }), [BelowStart]);
        assert_eq!(removable(&log, &policy, &Moment { start: 20, ..at(0) }), [BelowStart, BelowStart]);
        assert_eq!(removable(&log, &policy, &Moment { start: 30, ..at(0) }), [BelowStart; 3]);
    }

    #[test]
    fn what_all_have_consumed_goes() {
        let log = segments(&[(0, 0), (0, 0), (0, 0)]);
        let policy = RetentionPolicy { keep_from: Some(25), ..Default::default() };
        assert_eq!(removable(&log, &policy, &Moment { start: 12, ..at(0) }), [BelowStart, Consumed]);
    }

    #[test]
    fn size_ends_at_the_limit_or_less_than_a_segment_above() {
        let log = segments(&[(0, 0), (0, 0), (0, 0)]);
        let left = |max_bytes| {
            let policy = RetentionPolicy { max_bytes: Some(max_bytes), ..Default::default() };
            let reasons = removable(&log, &policy, &at(0));
            assert!(reasons.iter().all(|reason| *reason == Size));
            300 - 100 * reasons.len()
        };
        assert_eq!(
            [1000, 301, 300, 299, 201, 200, 199, 100, 99, 1, 0].map(left),
            [300, 300, 300, 300, 300, 200, 200, 100, 100, 100, 0]
        );
        let records = RetentionPolicy { max_records: Some(11), ..Default::default() };
        assert_eq!(removable(&log, &records, &at(0)), [Records]);
    }

    #[test]
    fn age_is_strict_and_stops_at_the_first_young_segment() {
        let log = segments(&[(DAY, DAY), (5 * DAY, 5 * DAY), (2 * DAY, 6 * DAY), (6 * DAY, 6 * DAY)]);
        assert_eq!(removable(&log, &by_age(3), &at(4 * DAY)), []);
        assert_eq!(removable(&log, &by_age(3), &at(4 * DAY + 1)), [Age]);
        assert_eq!(
            removable(&log, &by_age(3), &at(8 * DAY + 1)),
            [Age; 3],
            "the third was hidden by the second"
        );
        assert_eq!(removable(&log, &by_age(3), &at(9 * DAY + 1)), [Age; 4], "the active one too");
    }

    #[test]
    fn without_timestamps_the_append_counts() {
        let log = segments(&[(-1, DAY), (-1, 2 * DAY)]);
        assert_eq!(removable(&log, &by_age(1), &at(2 * DAY + 1)), [Age]);
        let unknown = segments(&[(-1, -1)]);
        assert_eq!(removable(&unknown, &by_age(1), &at(99 * DAY)), []);
    }

    #[test]
    fn a_record_from_the_future_counts_as_one_of_the_day_it_came() {
        let log = segments(&[(9000 * DAY, DAY), (2 * DAY, 2 * DAY)]);
        assert_eq!(removable(&log, &by_age(3), &at(4 * DAY)), []);
        assert_eq!(removable(&log, &by_age(3), &at(4 * DAY + 1)), [Age]);
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_pin_the_log() {
        let ahead = 9000 * DAY;
        let log = segments(&[(ahead, ahead), (ahead, ahead), (2 * DAY, 2 * DAY)]);
        assert_eq!(removable(&log, &by_age(3), &at(5 * DAY)), []);
        assert_eq!(removable(&log, &by_age(3), &at(5 * DAY + 1)), [Age; 3]);
    }

    #[test]
    fn a_clock_that_went_back_for_a_while_takes_nothing_with_it() {
        // The second was written while the clock showed 1970.
        let log = segments(&[(100 * DAY, 100 * DAY), (1, 1), (101 * DAY, 101 * DAY)]);
        assert_eq!(removable(&log, &by_age(3), &at(2)), [], "during");
        assert_eq!(removable(&log, &by_age(3), &at(102 * DAY)), [], "after");
        assert_eq!(removable(&log, &by_age(3), &at(103 * DAY + 1)), [Age, Age], "in its turn");
    }

    #[test]
    fn a_leap_ahead_is_believed_at_the_second_look() {
        let log = segments(&[(DAY, DAY), (2 * DAY, 2 * DAY)]);
        let leapt = 9000 * DAY;
        assert_eq!(removable(&log, &by_age(3), &Moment { seen: 2 * DAY, ..at(leapt) }), []);
        assert_eq!(removable(&log, &by_age(3), &Moment { seen: leapt, ..at(leapt) }), [Age; 2]);
        let usual = Moment { seen: 2 * DAY, ..at(300 * DAY) };
        assert_eq!(removable(&log, &by_age(3), &usual), [Age; 2], "nobody looked for a while");
        let by_size = RetentionPolicy { max_bytes: Some(0), ..by_age(3) };
        assert_eq!(removable(&log, &by_size, &Moment { seen: 2 * DAY, ..at(leapt) }), [Size; 2]);
    }

    #[test]
    fn an_empty_last_segment_stays() {
        let mut log = segments(&[(0, 0)]);
        log.push(empty(10));
        let policy = RetentionPolicy { max_bytes: Some(0), max_records: Some(0), ..by_age(0) };
        assert_eq!(removable(&log, &policy, &Moment { start: 10, ..at(DAY) }), [BelowStart]);
        assert_eq!(removable(&log, &policy, &at(DAY)), [Size]);
        assert_eq!(removable(&[empty(10)], &policy, &Moment { start: 10, ..at(DAY) }), []);
        assert_eq!(removable(&[], &policy, &at(DAY)), []);
    }

    #[test]
    fn the_rules_follow_each_other() {
        let log = segments(&[(0, 0), (0, 0), (0, 0), (0, 0), (9 * DAY, 9 * DAY)]);
        let policy =
            RetentionPolicy { keep_from: Some(20), max_bytes: Some(150), max_records: Some(10), ..by_age(1) };
        let moment = Moment { start: 10, ..at(9 * DAY) };
        assert_eq!(removable(&log, &policy, &moment), [BelowStart, Consumed, Size, Records]);
        let policy = RetentionPolicy { max_records: Some(25), ..policy };
        assert_eq!(removable(&log, &policy, &moment), [BelowStart, Consumed, Size, Age]);
    }

    #[test]
    fn the_beginning_of_time_is_a_time() {
        // A record, an append and a look at the clock at 0 are known; -1 says that they are not.
        let ages = |times: &[(Timestamp, Timestamp)]| effective_times(&segments(times), 50);
        assert_eq!(ages(&[(0, 0), (0, 9), (-1, 0), (9, 0)]), [0; 4]);
        assert_eq!(ages(&[(-1, -1), (7, -1)]), [50, 7]);
        let leapt = Moment { start: 0, now: 9000 * DAY, seen: 0 };
        assert!(!leapt.is_believable(&by_age(1)));
        assert!(Moment { seen: -1, ..leapt }.is_believable(&by_age(1)));
    }
}
