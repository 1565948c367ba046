//! What of a topic no queue needs any more, message by message.

use std::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::log::EraseReport;
use crate::share::queues::Queues;
use crate::share::slot::Slot;
use crate::share::suspects::Suspects;
use crate::topic::{Partition, Topic, unless_deleted};
use crate::types::Offset;

/// Offsets from first to last, in order; no two touch.
type Ranges = Vec<RangeInclusive<Offset>>;

impl Queues {
    /// Takes out of a topic what all queues on it have done and all groups have read. A queue that has begun nowhere needs nothing
    /// of it; with neither queue nor group nothing goes.
    pub(crate) fn drop_done(&self, topic: &str) -> Result<Vec<EraseReport>> {
        let topic = self.topics.get(topic)?;
        if !topic.settings().drops_consumed() {
            let why = "its annals.retention.consumed is false: others may read what its queues have done";
            return Err(Error::invalid(format!("topic {:?}: {why}", topic.name())));
        }
        // What cannot be taken over is not done yet.
        drop(self.fold());
        let partitions = topic.partitions();
        let dropped = partitions.iter().map(|partition| self.drop_done_of(&topic, partition));
        // The others are done all the same where one fails.
        let outcomes: Vec<_> = dropped.collect();
        outcomes.into_iter().filter_map(unless_deleted).collect()
    }

    fn drop_done_of(&self, topic: &Topic, partition: &Partition) -> Result<EraseReport> {
        let log = partition.log();
        // Taken before they are looked at: nothing goes by what others have replaced since.
        let settings = log.config();
        if !topic.settings().drops_consumed() {
            return log.remove_offsets(&[], None);
        }
        let slots: Vec<_> = self.of_partition(partition).into_values().collect();
        let ranges = slots
            .iter()
            .map(|slot| slot.as_ref().map_or_else(Ranges::new, |slot| done(slot, &self.suspects)));
        let Some(done) = ranges.reduce(|all, one| common(&all, &one)) else {
            return log.remove_offsets(&[], None);
        };
        // After that look: the id of what is done by then was sent before.
        partition.before_removal_below(done.last().map_or(0, |last| *last.end() + 1))?;
        // What is deleted is gone whatever crashes: so must be there what it is deleted for.
        self.keep(slots.iter().flatten())?;
        let Some(read) = self.groups.read_by_groups(partition)? else {
            return log.remove_offsets(&[], None);
        };
        let ranges: Ranges = if read > 0 { common(&done, &vec![0..=read - 1]) } else { Vec::new() };
        let removed = log.remove_offsets(&ranges, Some(&settings));
        removed.map_err(|error| error.in_partition(partition.topic_partition()))
    }
}

/// What is done of one state.
fn done(slot: &Slot, suspects: &Suspects) -> Ranges {
    let inner = slot.enter(suspects);
    let mut ranges = inner.state.done();
    if inner.state.start() > 0 {
        ranges.insert(0, 0..=inner.state.start() - 1);
    }
    ranges
}

/// What lies in both.
fn common(one: &Ranges, other: &Ranges) -> Ranges {
    let (mut ones, mut others) = (one.iter().peekable(), other.iter().peekable());
    let mut both = Vec::new();
    while let (Some(one), Some(other)) = (ones.peek(), others.peek()) {
        let (first, last) = (*one.start().max(other.start()), *one.end().min(other.end()));
        if first <= last {
            both.push(first..=last);
        }
        if one.end() < other.end() {
            ones.next()
        } else {
            others.next()
        };
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_lies_in_both() {
        let one = vec![0..=4, 7..=9, 12..=20];
        assert_eq!(common(&one, &vec![0..=30]), one);
        assert_eq!(common(&one, &vec![3..=7, 9..=13, 20..=20]), [3..=4, 7..=7, 9..=9, 12..=13, 20..=20]);
        assert_eq!(common(&one, &Vec::new()), []);
    }
}
