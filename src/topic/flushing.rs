//! Flushing many partitions: their syncs are waited for side by side.

use crate::error::{Error, Result};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::topic::topics::Topics;
use crate::upkeep::side_by_side;

impl Topic {
    /// Returns when everything sent so far to any of its partitions survives a power cut.
    ///
    /// # Errors
    /// The first failure; the other partitions are flushed all the same. [`Lost`](Error::Lost) names one of them: of others that have lost
    /// records the next flush tells, one at a time.
    pub fn flush(&self) -> Result<()> {
        let partitions = &self.current().partitions;
        let flushed = flush(partitions, Partition::flush_untold);
        tell_one_loss(partitions).and(flushed)
    }

    /// Returns when what was appended so far survives a power cut, whatever transactions owe other topics.
    pub(super) fn make_durable(&self) -> Result<()> {
        flush(&self.current().partitions, |partition| partition.make_durable(partition.end() - 1))
    }
}

impl Topics {
    /// The same of all topics. One that was deleted since the list was made has nothing to flush.
    pub(crate) fn flush(&self) -> Result<()> {
        let partitions: Vec<_> = self.all().iter().flat_map(Topic::partitions).collect();
        let flushed = flush(&partitions, |partition| match partition.flush_untold() {
            Err(Error::UnknownTopic { was_deleted: true, .. }) => Ok(()),
            outcome => outcome,
        });
        tell_one_loss(&partitions).and(flushed)
    }
}

/// The loss of the first partition that has one to tell. An error names one partition: those of others are told next.
fn tell_one_loss(partitions: &[Partition]) -> Result<()> {
    let told = |partition: &Partition| {
        partition.log().tell_lost().map_err(|error| error.in_partition(partition.topic_partition()))
    };
    partitions.iter().try_for_each(told)
}

fn flush(partitions: &[Partition], one: impl Fn(&Partition) -> Result<()> + Sync) -> Result<()> {
    let has_to = |partition: &&Partition| partition.next_offset() > partition.durable();
    let busy = partitions.iter().filter(has_to).count();
    side_by_side("annals-flush", (partitions, busy), one)
}
