//! What lies after the end of a queue and is no message: counted by whoever has to know how many messages wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::log::{AtEnd, BelowStart, FetchLimits, OnDamage, Reader, Visibility};
use crate::share::runs::length;
use crate::share::sent_back::is_sent_to;
use crate::topic::{Partition, PartitionRecords, Records};
use crate::types::Offset;

/// So many runs of such offsets are known of a partition. Behind them each offset counts as a message.
const MOST_RUNS: usize = 65_536;
const LIMITS: FetchLimits = FetchLimits { max_records: 10_000, max_bytes: 1 << 20 };

/// The backlogs of queues, by group and partition. Each record is read once, and once more where the log was rewritten.
#[derive(Debug, Default)]
pub(super) struct Backlogs(BTreeMap<(Arc<str>, u32), Backlog>);

#[derive(Debug)]
struct Backlog {
    reader: Reader,
    /// Offsets without a message, first and last of each run: ends of transactions, records of aborted ones, what compaction has
    /// taken, and what was sent back for another queue.
    gaps: VecDeque<(Offset, Offset)>,
    /// Where what is known of them begins.
    from: Offset,
    /// How many offsets these are.
    count: u64,
    /// How often the log was rewritten by then.
    thinnings: u64,
}

impl Backlogs {
    /// How many offsets from `end` on, the queue's, are no message of it. What no reader of committed records sees yet counts as
    /// messages, and so does all that cannot be read.
    pub(super) fn gaps(&mut self, partition: &Partition, (group, end): (&Arc<str>, Offset)) -> u64 {
        let new = || {
            let log = Arc::clone(partition.log());
            let reader = Reader::new(log, end, Visibility::Written, OnDamage::Fail);
            Backlog {
                reader: reader.below_start(BelowStart::GoOn).at_end(AtEnd::WaitsForNobody),
                gaps: VecDeque::new(),
                from: end,
                count: 0,
                thinnings: partition.log().thinnings(),
            }
        };
        let backlog = self.0.entry((Arc::clone(group), partition.number())).or_insert_with(new);
        backlog.forget_thinned(partition);
        backlog.pass(end);
        backlog.read_on(partition, group);
        backlog.count
    }
}

impl Backlog {
    /// What was counted may have been taken out since.
    fn forget_thinned(&mut self, partition: &Partition) {
        let log = partition.log();
        let (number, place) = (log.thinnings(), log.thinned_since(self.thinnings));
        if place.is_some_and(|place| place.start < self.reader.position() && self.from < place.end) {
            self.reader.seek(self.from);
            (self.count, self.gaps) = (0, VecDeque::new());
        }
        self.thinnings = number;
    }

    /// The queue has looked at everything below `end`.
    fn pass(&mut self, end: Offset) {
        if !(self.from..=self.reader.position()).contains(&end) {
            self.reader.seek(end);
            (self.count, self.gaps) = (0, VecDeque::new());
        }
        self.from = end;
        while let Some((first, last)) = self.gaps.pop_front() {
            if last >= end {
                let left = first.max(end);
                self.count -= length(first, left - 1);
                self.gaps.push_front((left, last));
                break;
            }
            self.count -= length(first, last);
        }
    }

    fn read_on(&mut self, partition: &Partition, group: &str) {
        while self.gaps.len() < MOST_RUNS {
            let mut next = self.reader.position();
            let Ok(slices) = self.reader.fetch(LIMITS) else { return };
            let is_end = slices.is_empty();
            let records =
                Records::new(vec![PartitionRecords::new(partition.topic_partition().clone(), slices)]);
            let of = (partition.topic_id(), group);
            for record in records.iter().filter(|record| is_sent_to(record, of)) {
                self.add(next, record.offset() - 1);
                next = record.offset() + 1;
            }
            self.add(next, self.reader.position() - 1);
            if is_end {
                return;
            }
        }
    }

    fn add(&mut self, first: Offset, last: Offset) {
        if last < first {
            return;
        }
        self.count += length(first, last);
        match self.gaps.back_mut() {
            Some((_, before)) if *before == first - 1 => *before = last,
            _ => self.gaps.push_back((first, last)),
        }
    }
}
