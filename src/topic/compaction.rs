//! Compaction and erasure as the users of topics see them.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::log::{CompactionConfig, CompactionReport, Effort, EraseReport, TransactionId, Upkeep};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::types::Offset;

impl Partition {
    pub(crate) fn compact(&self, ask: &dyn Fn() -> Option<CompactionConfig>) -> Result<CompactionReport> {
        let report = self.log().compact(ask).map_err(|error| error.in_partition(self.topic_partition()))?;
        self.log().upkeeps.note_success(Upkeep::Compaction);
        Ok(report)
    }

    fn erase(&self, key_matches: &dyn Fn(&[u8]) -> bool) -> Result<EraseReport> {
        self.refuse_internal()?;
        let unended = self.put_by_unended(key_matches)?;
        // Whoever has moved it here would do so once more if a power cut took that back.
        let settled = self.log().settle_those(&unended);
        settled.map_err(|error| error.in_partition(self.topic_partition()))?;
        self.log().erase(key_matches).map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// Transactions that have put a record of such a key here and have no end here.
    fn put_by_unended(&self, key_matches: &dyn Fn(&[u8]) -> bool) -> Result<BTreeSet<TransactionId>> {
        let (from, mut unended) = (self.log().finished(), BTreeSet::new());
        if from >= self.end() {
            return Ok(unended);
        }
        let mut reader = self.walk(from..Offset::MAX)?.with_undecided();
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                return Ok(unended);
            }
            for record in records.iter().filter(|record| record.key().is_some_and(key_matches)) {
                unended.extend(self.log().committed_at(&[record.offset()]));
            }
        }
    }
}

impl Topic {
    /// Compacts every partition now, whatever its policy says about when: of the records of each key below the end, the last
    /// one stays, at its offset and with its timestamp; records without a key are removed. A tombstone stays for
    /// `delete.retention.ms` after the first compaction that met it, so that every reader in time sees it. Records younger
    /// than `min.compaction.lag.ms` are left alone. Others can send and read at the same time.
    ///
    /// # Errors
    /// The first failure of any partition, which is as it was before or as it should be after; the others are compacted all
    /// the same. [`InvalidArgument`](crate::Error::InvalidArgument) for a topic that is not compacted.
    pub fn compact(&self) -> Result<Vec<CompactionReport>> {
        self.compact_with(|_| ControlFlow::Continue(()))
    }

    /// Compacts every partition, and reports each one when it is done. `Break` stops it before the next one.
    ///
    /// # Errors
    /// As for [`compact`](Self::compact).
    pub fn compact_with(
        &self,
        mut progress: impl FnMut(&CompactionReport) -> ControlFlow<()>,
    ) -> Result<Vec<CompactionReport>> {
        self.check_process()?;
        if self.settings().compaction().is_none() {
            return Err(Error::invalid("the topic's cleanup.policy is delete: it is not compacted"));
        }
        let mut outcomes = Vec::new();
        for partition in self.partitions() {
            let how = || self.compaction_of(&partition, Effort::Now);
            let outcome = partition.before_removal().and_then(|()| partition.compact(&how));
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

    /// Removes every record of `key` from every partition, so that no file of the topic holds its key or value any more,
    /// whatever the cleanup policy. Overwriting the blocks that held them is up to the file system; what was copied elsewhere
    /// (backups, consumers) is not covered. Nor is what is scheduled for the topic, nor the dead letters of its queues:
    /// [`Store::erase`](crate::Store::erase) removes those, too.
    ///
    /// It reads all of the topic, and rewrites each segment that holds such a record: for many keys, use [`erase_all`](Self::erase_all).
    ///
    /// # Errors
    /// The first failure of any partition, which may then still hold some of the records: call again. The others are processed
    /// all the same.
    pub fn erase(&self, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        self.erase_where(&|other| other == key.as_ref())
    }

    /// Removes every record of many keys at once, at the cost of one: everything is read once, and each segment that holds any of them is
    /// rewritten once.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new())?;
    /// for order in ["order-1", "order-2", "order-3"] {
    ///     store.producer().send(Record::to("orders").key(order).value("by alice"))?;
    /// }
    /// let reports = orders.erase_all(["order-1", "order-3"])?;
    /// assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`erase`](Self::erase).
    pub fn erase_all<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<EraseReport>> {
        let keys: Vec<K> = keys.into_iter().collect();
        let keys: HashSet<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.erase_where(&|key| keys.contains(key))
    }

    fn erase_where(&self, key_matches: &dyn Fn(&[u8]) -> bool) -> Result<Vec<EraseReport>> {
        self.check_process()?;
        let partitions = self.partitions();
        let outcomes: Vec<_> = partitions.iter().map(|partition| partition.erase(key_matches)).collect();
        outcomes.into_iter().collect()
    }
}
