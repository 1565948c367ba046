//! How many letters of a queue there are: counted for its figures, each record read once, and once more where the log was rewritten.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::log::{AtEnd, BelowStart, FetchLimits, OnDamage, Reader, Visibility};
use crate::share::letter::is_letter_of;
use crate::share::runs::length;
use crate::topic::{Partition, PartitionRecords, Records};
use crate::types::Offset;

/// So many runs of letters are known of a partition. Behind them each offset counts as a letter.
const MOST_RUNS: usize = 65_536;
const LIMITS: FetchLimits = FetchLimits { max_records: 10_000, max_bytes: 1 << 20 };

/// Where the letters of a queue are in one partition: ends of transactions, and letters of others, stand between them.
#[derive(Debug)]
pub(super) struct LetterCount {
    reader: Reader,
    /// First and last of each run.
    letters: VecDeque<(Offset, Offset)>,
    /// How often the log was rewritten by then.
    thinnings: u64,
}

/// What of them, or of other messages, is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenMessages {
    pub(super) count: u64,
    pub(super) first: Option<Offset>,
}

impl LetterCount {
    pub(super) fn new(partition: &Partition) -> Self {
        let (log, thinnings) = (Arc::clone(partition.log()), partition.log().thinnings());
        let reader = Reader::new(log, partition.start(), Visibility::Written, OnDamage::Fail);
        Self {
            reader: reader.below_start(BelowStart::GoOn).at_end(AtEnd::WaitsForNobody),
            letters: VecDeque::new(),
            thinnings,
        }
    }

    /// How many letters there are from `start` on to the `end` of the partition that are not done. What was not read counts as letters.
    pub(super) fn open(
        &mut self,
        end: Offset,
        (start, done): (Offset, &[RangeInclusive<Offset>]),
    ) -> OpenMessages {
        while self.letters.front().is_some_and(|(_, last)| *last < start) {
            self.letters.pop_front();
        }
        let unread = (self.reader.position(), end - 1);
        let runs = self.letters.iter().copied().chain((unread.0 <= unread.1).then_some(unread));
        open_of(runs.map(|(first, last)| (first.max(start), last)), done)
    }

    /// Reads what has come since, of that topic's and group's queue.
    pub(super) fn read_on(&mut self, partition: &Partition, of: (&str, &str)) {
        let thinned = partition.log().thinned_since(self.thinnings);
        if thinned.is_some_and(|place| place.start < self.reader.position()) {
            // Some of them may have been erased.
            *self = Self::new(partition);
        }
        while self.letters.len() < MOST_RUNS {
            let Ok(slices) = self.reader.fetch(LIMITS) else { return };
            if slices.is_empty() {
                return;
            }
            let place = partition.topic_partition().clone();
            let records = Records::new(vec![PartitionRecords::new(place, slices)]);
            for record in records.iter().filter(|record| is_letter_of(record, of)) {
                let offset = record.offset();
                match self.letters.back_mut() {
                    Some((_, last)) if *last + 1 == offset => *last = offset,
                    _ => self.letters.push_back((offset, offset)),
                }
            }
        }
    }
}

/// What of some runs lies in no range of `done`; both are in order.
fn open_of(runs: impl Iterator<Item = (Offset, Offset)>, done: &[RangeInclusive<Offset>]) -> OpenMessages {
    let mut open = OpenMessages { count: 0, first: None };
    let mut add = |first: Offset, last: Offset| {
        if first <= last {
            open.count += length(first, last);
            open.first = open.first.or(Some(first));
        }
    };
    let mut done = done.iter().peekable();
    for (first, last) in runs {
        let mut next = first;
        while next <= last {
            let Some(range) = done.next_if(|range| *range.end() < next).or_else(|| done.peek().copied())
            else {
                add(next, last);
                break;
            };
            if *range.end() < next {
                continue;
            }
            add(next, last.min(range.start() - 1));
            next = if *range.start() > last { last + 1 } else { range.end() + 1 };
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_not_open() {
        let open = |runs: &[(Offset, Offset)], done: &[RangeInclusive<Offset>]| {
            let OpenMessages { count, first } = open_of(runs.iter().copied(), done);
            (count, first)
        };
        assert_eq!(open(&[], &[]), (0, None));
        assert_eq!(open(&[(0, 0), (2, 2), (4, 9)], &[]), (8, Some(0)));
        assert_eq!(open(&[(0, 0), (2, 2), (4, 9)], &[0..=0, 2..=5]), (4, Some(6)));
        assert_eq!(open(&[(0, 9)], &[0..=1, 3..=3, 5..=6, 9..=20]), (4, Some(2)));
        assert_eq!(open(&[(3, 4), (30, 30)], &[0..=1, 9..=20, 25..=29]), (3, Some(3)));
        assert_eq!(open(&[(3, 4), (12, 13)], &[0..=20]), (0, None));
    }
}
