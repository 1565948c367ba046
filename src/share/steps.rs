//! Where each step of what is delivered later is.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::Group;
use crate::log::{BelowStart, FetchLimits, OnDamage, Reader, Visibility};
use crate::share::moved::Moved;
use crate::topic::{OwnedRecord, Partition, PartitionRecords, Records};
use crate::types::Offset;

/// What one transaction moves at most.
pub(super) const MOST_RECORDS: usize = 500;
const MOST_BYTES: usize = 1 << 20;

/// All steps, after the first look.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Whose offsets are the positions of steps, by their numbers; none before the first look.
    pub(super) groups: Vec<Arc<Group>>,
    pub(super) all: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) partition: Partition,
    /// All that has moved on: what any of its positions says.
    pub(super) moved: Moved,
    /// As they are committed.
    positions: Vec<Moved>,
    /// Looked at up to here: what waits in front of it was passed over.
    pub(super) next: Offset,
    /// Some of these wait for their ids to be durable.
    pub(super) holds_ids: bool,
    /// Why others of these do not move before the store is opened again.
    pub(super) stuck: Option<Error>,
    /// From where on records are looked for that a clock which was ahead has put there.
    pub(super) ahead: Option<Offset>,
}

/// Records of a step that wait, in their order.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) records: Vec<OwnedRecord>,
    /// Where they were looked for, and up to where.
    pub(super) looked_at: Range<Offset>,
}

/// A record, and what moves on with it: the offsets behind it that hold none are its.
#[derive(Debug, Clone)]
pub(super) struct Leaving<'a> {
    pub(super) record: &'a OwnedRecord,
    pub(super) range: Range<Offset>,
}

impl Step {
    pub(super) fn new(partition: Partition, positions: Vec<Moved>) -> Self {
        let moved = positions.iter().fold(Moved::default(), |moved, one| moved.and(one));
        let next = moved.first();
        Self { partition, moved, positions, next, holds_ids: false, stuck: None, ahead: None }
    }

    /// What a position says.
    pub(super) fn said_by(&self, number: usize) -> Moved {
        self.positions.get(number).cloned().unwrap_or_default()
    }

    /// A position says so from now on.
    pub(super) fn say(&mut self, number: usize, said: Moved) {
        self.moved = self.moved.and(&said);
        self.positions.get_mut(number).into_iter().for_each(|one| *one = said.clone());
    }

    /// The first of them says all.
    pub(super) fn are_joined(&mut self) {
        self.positions.fill(Moved::default());
        self.positions.first_mut().into_iter().for_each(|first| *first = self.moved.clone());
    }

    /// Whether a position says of one of these that it has moved.
    pub(super) fn says_any(&self, number: usize, offsets: &[Offset]) -> bool {
        self.positions.get(number).is_some_and(|said| offsets.iter().any(|offset| said.has(*offset)))
    }

    /// Looks once more at those that were passed over.
    pub(super) fn begin_again(&mut self) {
        self.next = self.moved.first();
        (self.holds_ids, self.stuck) = (false, None);
    }

    /// Whether some that wait were passed over.
    pub(super) fn has_passed(&self) -> bool {
        self.next > self.moved.first()
    }

    /// Whether none of its records is of a transaction that is not decided, or stands behind such a one: a look sees all of them.
    pub(super) fn shows_all(&self) -> bool {
        self.partition.stable() >= self.partition.end()
    }

    /// The first of those that wait from an offset on.
    pub(super) fn read(&self, from: Offset) -> Result<Waiting> {
        let log = self.partition.log();
        let from = self.moved.waits_from(from.max(self.partition.start()));
        let mut at = from;
        loop {
            let mut reader = Reader::new(Arc::clone(log), at, Visibility::Written, OnDamage::Fail)
                .below_start(BelowStart::GoOn);
            let limits = FetchLimits { max_records: MOST_RECORDS, max_bytes: MOST_BYTES };
            let slices = reader.fetch(limits).map_err(|error| log.explain(error))?;
            let end = reader.position();
            let place = self.partition.topic_partition().clone();
            let fetched = Records::new(vec![PartitionRecords::new(place, slices)]);
            let waits = fetched.iter().filter(|record| !self.moved.has(record.offset()));
            let records: Vec<_> = waits.map(|record| record.to_owned()).collect();
            if !records.is_empty() || end <= at {
                return Ok(Waiting { records, looked_at: from..end.max(from) });
            }
            at = self.moved.waits_from(end);
        }
    }
}

impl Waiting {
    /// The first `count` of them.
    pub(super) fn leaving(&self, count: usize) -> impl Iterator<Item = Leaving<'_>> {
        let starts = self.records.iter().skip(1).map(|record| record.offset);
        let ends = starts.chain([self.looked_at.end]);
        let begins = [self.looked_at.start].into_iter().chain(ends.clone());
        let ranges = begins.zip(ends).map(|(start, end)| start..end);
        let leaving = self.records.iter().zip(ranges).take(count);
        leaving.map(|(record, range)| Leaving { record, range })
    }
}
