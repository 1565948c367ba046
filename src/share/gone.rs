//! Messages that have no record any more, for that was erased or compacted away: nobody waits for them.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::DeliveryState;
use crate::log::{AtEnd, BelowStart, FetchLimits, Isolation, OnDamage, Reader, Visibility};
use crate::share::queues::Queues;
use crate::share::runs::{Run, RunState};
use crate::share::share_partition::SharePartition;
use crate::share::slot::SlotInner;
use crate::topic::{Partition, PartitionRecords, Records};
use crate::types::{Offset, Timestamp};

const LIMITS: FetchLimits = FetchLimits { max_records: 10_000, max_bytes: 1 << 20 };

/// How far back it is known that the records of a state are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Known {
    /// What was stored of it was never compared with the log.
    #[default]
    Nothing,
    /// The same; where the log was rewritten since it was this often, it was.
    Since(u64),
    /// All of it, as the log was when it was rewritten for the time of this number.
    All(u64),
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What was taken out in this life. What was before shows when it is to be handed out.
    TakenOut,
    /// All that is not there.
    Everything,
}

impl Known {
    /// Where to look, and what is known after it, in a log that was rewritten so often.
    fn next(self, partition: &Partition, wanted: Wanted) -> (Option<Range<Offset>>, Self) {
        let log = partition.log();
        // Before the look: what is rewritten during it is looked at once more.
        let number = log.thinnings();
        match (self, wanted) {
            (Self::All(known), _) => (log.thinned_since(known), Self::All(number)),
            (_, Wanted::Everything) => (Some(0..Offset::MAX), Self::All(number)),
            (Self::Since(known), Wanted::TakenOut) => (log.thinned_since(known), Self::Since(number)),
            (Self::Nothing, Wanted::TakenOut) => (None, Self::Since(number)),
        }
    }

    /// What another process has done came to it, so that some of it may have been rewritten before it was known here.
    pub(super) fn after_fold(self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Since(_) | Self::All(_) => Self::Since(0),
        }
    }

    /// Whether a record that was there may be gone, as the place could not be read since.
    fn is_unread(self, partition: &Partition, offset: Offset) -> bool {
        match self {
            Self::Nothing => false,
            Self::Since(known) | Self::All(known) => {
                partition.log().thinned_since(known).is_some_and(|place| place.contains(&offset))
            }
        }
    }
}

impl Queues {
    /// Ends what waits of a state and is not in the log any more, and lets go of what is over by now. What is out ends when it comes back. What cannot be read is taken for
    /// there until the next call, which looks again. Whoever waits for room is told.
    pub(super) fn end_gone(
        &self,
        inner: &mut SlotInner,
        (partition, group): (&Partition, &str),
        (wanted, now): (Wanted, Timestamp),
    ) {
        let before = inner.state.unfinished();
        let (place, known) = inner.known.next(partition, wanted);
        let ranges = place.map(|place| inner.state.remembered_in(&place)).unwrap_or_default();
        let (gone, read) = missing(partition, ranges);
        gone.into_iter().for_each(|(first, last)| inner.state.note_gone(first, last));
        if read.is_ok() {
            inner.known = known;
        }
        self.expire(inner, (partition, group), now);
        if inner.state.unfinished() < before {
            self.room.raise();
        }
    }
}

impl SlotInner {
    /// Whether a message that is out has no record any more; an error where that may be so, and the place cannot be read.
    pub(super) fn is_gone(&mut self, partition: &Partition, offset: Offset) -> Result<bool> {
        if self.known.is_unread(partition, offset) {
            let (gone, read) = missing(partition, vec![(offset, offset)]);
            gone.into_iter().for_each(|(first, last)| self.state.note_gone(first, last));
            read?;
        }
        Ok(self.state.gone.has(offset))
    }
}

/// What of these ranges, which are in order, has no record, and the first failure: the others are looked at all the same.
fn missing(partition: &Partition, ranges: Vec<(Offset, Offset)>) -> (Vec<(Offset, Offset)>, Result<()>) {
    let (mut gone, mut read) = (Vec::new(), Ok(()));
    let Some((first, _)) = ranges.first() else { return (gone, read) };
    let reader = Reader::new(Arc::clone(partition.log()), *first, Visibility::Written, OnDamage::Fail);
    // What is not decided is there.
    let mut reader = reader
        .below_start(BelowStart::GoOn)
        .isolation(Isolation::ReadUncommitted)
        .at_end(AtEnd::WaitsForNobody);
    for (first, last) in ranges {
        match missing_in(&mut reader, partition, (first, last)) {
            Ok(found) => gone.extend(found),
            Err(error) => read = read.and(Err(error)),
        }
    }
    (gone, read)
}

fn missing_in(
    reader: &mut Reader,
    partition: &Partition,
    (first, last): (Offset, Offset),
) -> Result<Vec<(Offset, Offset)>> {
    let (mut next, mut gone) = (first, Vec::new());
    reader.seek(first);
    while reader.position() <= last {
        let slices = reader.fetch(LIMITS)?;
        if slices.is_empty() && reader.position() <= last {
            return Err(partition.log().out_of_range(reader.position()));
        }
        let records = Records::new(vec![PartitionRecords::new(partition.topic_partition().clone(), slices)]);
        for offset in records.iter().map(|record| record.offset()).take_while(|offset| *offset <= last) {
            if next < offset {
                gone.push((next, offset - 1));
            }
            next = offset + 1;
        }
    }
    if next <= last {
        gone.push((next, last));
    }
    Ok(gone)
}

impl SharePartition {
    /// How many offsets from the start on are not done.
    pub(super) fn unfinished(&self) -> u64 {
        let all = self.end() - self.start();
        u64::try_from(all).unwrap_or(0).saturating_sub(self.figures().done)
    }

    /// What of a range is not done, in order.
    fn remembered_in(&self, place: &Range<Offset>) -> Vec<(Offset, Offset)> {
        let runs = self.runs.from(place.start).take_while(|(first, _)| *first < place.end);
        let open = runs.filter(|(_, run)| !run.state.is_final() && run.state != RunState::Owed);
        let parts = open.map(|(first, run)| (first.max(place.start), run.last.min(place.end - 1)));
        let mut ranges: Vec<(Offset, Offset)> = Vec::new();
        for (first, last) in parts {
            match ranges.last_mut() {
                Some((_, before)) if *before + 1 == first => *before = last,
                _ => ranges.push((first, last)),
            }
        }
        ranges
    }

    /// These have no record: what waits is done, what is out is when it comes back. What was set aside stays so: nobody knows what was written of it.
    fn note_gone(&mut self, first: Offset, last: Offset) {
        let parts: Vec<(Offset, Run)> = self.runs.from(first).take_while(|(from, _)| *from <= last).collect();
        for (from, run) in parts {
            let (from, to) = (from.max(first), run.last.min(last));
            match run.state {
                RunState::Acquired(_) | RunState::Delayed(Timestamp::MAX) => self.gone.insert((from, to)),
                state if state.is_final() || state == RunState::Owed => {}
                _ => self.end_as_gone(from, to),
            }
        }
    }

    fn end_as_gone(&mut self, first: Offset, last: Offset) {
        self.finish(first, last, DeliveryState::Archived);
        self.untold.insert((first, last));
    }

    /// What of these has come back and has no record any more is done.
    pub(super) fn end_gone(&mut self, first: Offset, last: Offset) {
        for (from, to) in self.gone.within((first, last)) {
            self.end_as_gone(from, to);
        }
    }
}
