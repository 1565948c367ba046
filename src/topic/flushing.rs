//! Flushing: one partition, or many, whose syncs are waited for side by side.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Log;
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::topic::topics::Topics;
use crate::types::Offset;
use crate::upkeep::side_by_side;

impl Partition {
    /// Returns when everything appended so far survives a power cut; for a committed transaction this includes what it has in other
    /// partitions.
    ///
    /// # Errors
    /// [`Lost`](Error::Lost) for records that no flush has reported, though a send may have; [`Io`](Error::Io),
    /// [`Poisoned`](Error::Poisoned).
    pub fn flush(&self) -> Result<()> {
        self.flush_by(Log::flush)
    }

    /// The same, but what is lost is left for somebody to tell.
    pub(crate) fn flush_untold(&self) -> Result<()> {
        self.flush_by(Log::flush_for_others)
    }

    fn flush_by(&self, flush: fn(&Arc<Log>) -> Result<()>) -> Result<()> {
        let ended = self.log().write_decided();
        // Those of which readers here were told just now, and nobody else yet.
        let settled = self.log().settle_through(self.end() - 1);
        flush(self.log()).and(ended).and(settled).map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// Returns when what stands here up to `last` survives a power cut. What transactions owe other partitions, and what others have lost from
    /// memory, is no failure of a call that waits for its own.
    pub(crate) fn make_durable(&self, last: Offset) -> Result<()> {
        self.log().sync_through(last).map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// The same of what stands at these offsets, with what transactions that have put any of that here have elsewhere.
    pub(crate) fn keep_at(&self, offsets: &[Offset]) -> Result<()> {
        let Some(last) = offsets.iter().copied().max() else { return Ok(()) };
        self.log().settle_at(offsets).map_err(|error| error.in_partition(self.topic_partition()))?;
        // What is on the disk is, whatever has become of the partition since.
        if self.durable() > last { Ok(()) } else { self.make_durable(last) }
    }

    /// Has no transaction that has put here any of what stands up to `last`, and is decided, be taken back by a power cut.
    pub(crate) fn settle_through(&self, last: Offset) -> Result<()> {
        self.log().settle_through(last).map_err(|error| error.in_partition(self.topic_partition()))
    }
}

impl Topic {
    /// Returns when everything sent so far to any partition of the topic survives a power cut.
    ///
    /// # Errors
    /// The first failure; the other partitions are flushed all the same. [`Lost`](Error::Lost) names one of them: if others have lost
    /// records too, the next flush reports them, one at a time.
    pub fn flush(&self) -> Result<()> {
        self.check_process()?;
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
        self.check_process()?;
        let partitions: Vec<_> = self.all().iter().flat_map(Topic::partitions).collect();
        let flushed = flush(&partitions, |partition| match partition.flush_untold() {
            Err(Error::UnknownTopic { was_deleted: true, .. }) => Ok(()),
            outcome => outcome,
        });
        tell_one_loss(&partitions).and(flushed)
    }
}

/// The loss of the first partition that has one to tell. An error names one partition: those of others are told next. One that is poisoned
/// or gone says so, as where it is flushed alone, and nothing of a loss; also where it was poisoned since it was flushed.
pub(super) fn tell_one_loss(partitions: &[Partition]) -> Result<()> {
    let told = |partition: &Partition| {
        partition.log().tell_lost().map_err(|error| error.in_partition(partition.topic_partition()))
    };
    partitions.iter().filter(|partition| partition.log().check_poison().is_ok()).try_for_each(told)?;
    let lost = partitions.iter().filter(|partition| partition.log().has_lost());
    lost.map(|partition| partition.log().check_poison()).try_for_each(|outcome| match outcome {
        Err(Error::UnknownTopic { .. }) => Ok(()),
        outcome => outcome,
    })
}

fn flush(partitions: &[Partition], one: impl Fn(&Partition) -> Result<()> + Sync) -> Result<()> {
    let has_to = |partition: &&Partition| partition.next_offset() > partition.durable();
    let busy = partitions.iter().filter(has_to).count();
    side_by_side("annals-flush", (partitions, busy), one)
}
