//! When a segment was appended to, by the log's clock.

use crate::format::SegmentSummary;
use crate::types::{NO_TIMESTAMP, Timestamp};

/// First and last append, -1 where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) struct AppendTimes {
    pub(in crate::log) first: Timestamp,
    pub(in crate::log) last: Timestamp,
}

impl AppendTimes {
    /// Of a segment that is empty.
    pub(in crate::log) const NONE: Self = Self { first: NO_TIMESTAMP, last: NO_TIMESTAMP };

    /// Of a segment that was closed or sealed.
    pub(in crate::log) fn of(summary: &SegmentSummary) -> Self {
        Self { first: summary.first_append, last: summary.last_append }
    }

    /// Of a segment found after a crash, which nobody noted: it was not appended to later than `now`, nor, if its
    /// records tell the time, begun later than its first record.
    pub(in crate::log) fn found(first_timestamp: Timestamp, now: Timestamp) -> Self {
        Self { first: if first_timestamp < 0 { now } else { first_timestamp.min(now) }, last: now }
    }

    /// A batch was appended.
    pub(in crate::log) fn note(&mut self, now: Timestamp) {
        if self.first < 0 {
            self.first = now;
        }
        self.last = now;
    }

    /// The summary with these times.
    pub(in crate::log) fn on(self, summary: SegmentSummary) -> SegmentSummary {
        SegmentSummary { first_append: self.first, last_append: self.last, ..summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_began_no_later_than_its_first_record_and_than_now() {
        let found = |first_timestamp| {
            let AppendTimes { first, last } = AppendTimes::found(first_timestamp, 50);
            assert_eq!(last, 50);
            first
        };
        assert_eq!([-1, 0, 20, 50, 70].map(found), [50, 0, 20, 50, 50]);
    }

    #[test]
    fn the_first_append_stays_even_at_the_beginning_of_time() {
        let mut times = AppendTimes::NONE;
        for (now, first) in [(0, 0), (5, 0), (3, 0)] {
            times.note(now);
            assert_eq!((times.first, times.last), (first, now));
        }
    }
}
