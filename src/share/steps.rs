//! Where each step of what is delivered later is.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
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
    pub(super) group: Option<Arc<Group>>,
    pub(super) all: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) partition: Partition,
    /// As it is committed.
    pub(super) moved: Moved,
    /// Looked at up to here: what waits in front of it was passed over.
    pub(super) next: Offset,
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
    pub(super) fn new(partition: Partition, moved: Moved) -> Self {
        let next = moved.first();
        Self { partition, moved, next, ahead: None }
    }

    /// Whether some that wait were passed over.
    pub(super) fn has_passed(&self) -> bool {
        self.next > self.moved.first()
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
