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
    /// The first failure; the other partitions are flushed all the same.
    pub fn flush(&self) -> Result<()> {
        flush(&self.current().partitions, Partition::flush)
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
        flush(&partitions, |partition| match partition.flush() {
            Err(Error::UnknownTopic { was_deleted: true, .. }) => Ok(()),
            outcome => outcome,
        })
    }
}

fn flush(partitions: &[Partition], one: impl Fn(&Partition) -> Result<()> + Sync) -> Result<()> {
    let has_to = |partition: &&Partition| partition.next_offset() > partition.durable();
    let busy = partitions.iter().filter(has_to).count();
    side_by_side("annals-flush", (partitions, busy), one)
}
