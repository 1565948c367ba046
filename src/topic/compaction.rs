//! Compaction and erasure as the users of topics see them.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::log::{CompactionConfig, CompactionReport, Effort, EraseReport, Upkeep};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;

impl Partition {
    pub(crate) fn compact(&self, ask: &dyn Fn() -> Option<CompactionConfig>) -> Result<CompactionReport> {
        let report = self.log().compact(ask).map_err(|error| error.in_partition(self.topic_partition()))?;
        self.log().upkeeps.note_success(Upkeep::Compaction);
        Ok(report)
    }

    fn erase(&self, key: &[u8]) -> Result<EraseReport> {
        self.refuse_internal()?;
        self.log().erase(&|other| other == key).map_err(|error| error.in_partition(self.topic_partition()))
    }
}

impl Topic {
    /// Compacts every partition now, whatever its policy says of when: of the records of each key below the end, the last
    /// one stays, at its offset and with its timestamp; records without a key go. A tombstone stays for
    /// `delete.retention.ms` after the first compaction that met it, so that every reader in time sees it. Records younger
    /// than `min.compaction.lag.ms` are left alone. Others send and read meanwhile.
    ///
    /// # Errors
    /// The first failure of any partition, which is as it was before or as it should be after; the others are compacted all
    /// the same. [`InvalidArgument`](crate::Error::InvalidArgument) for a topic that is not compacted.
    pub fn compact(&self) -> Result<Vec<CompactionReport>> {
        self.compact_with(|_| ControlFlow::Continue(()))
    }

    /// The same, with a report of each partition when it is done. `Break` ends it before the next one.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub fn compact_with(
        &self,
        mut progress: impl FnMut(&CompactionReport) -> ControlFlow<()>,
    ) -> Result<Vec<CompactionReport>> {
        if self.settings().compaction().is_none() {
            return Err(Error::invalid("the topic's cleanup.policy is delete: it is not compacted"));
        }
        let mut outcomes = Vec::new();
        for partition in self.partitions() {
            let outcome = partition.compact(&|| self.compaction_of(&partition, Effort::Now));
            let goes_on = outcome.as_ref().map_or(ControlFlow::Continue(()), &mut progress);
            outcomes.push(outcome);
            if goes_on.is_break() {
                break;
            }
        }
        outcomes.into_iter().collect()
    }

    /// How to compact one of its partitions, by the settings of this moment.
    pub(crate) fn compaction_of(&self, partition: &Partition, effort: Effort) -> Option<CompactionConfig> {
        self.settings().compaction().map(|settings| settings.config(partition, effort))
    }

    /// Takes every record of `key` out of every partition, so that no file of the topic holds its key or value any more,
    /// whatever the cleanup policy. The blocks they stood in are the file system's to overwrite; what was copied elsewhere
    /// (backups, consumers) is not reached.
    ///
    /// # Errors
    /// The first failure of any partition, which may then still hold some of the records: call again. The others are done
    /// all the same.
    pub fn erase(&self, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        let partitions = self.partitions();
        let outcomes: Vec<_> = partitions.iter().map(|partition| partition.erase(key.as_ref())).collect();
        outcomes.into_iter().collect()
    }
}
