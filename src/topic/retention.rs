//! Retention as the users of topics and partitions see it.

use crate::error::Result;
use crate::log::{DeleteReport, RetentionPolicy, RetentionReport};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::types::Offset;

impl Partition {
    /// Has what is to outlive its records need them no more.
    pub(crate) fn before_removal(&self) -> Result<()> {
        self.log().before_removal().map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// The same of all below an offset, those among them that are appended meanwhile.
    pub(crate) fn before_removal_below(&self, below: Offset) -> Result<()> {
        let asked = self.log().before_removal_below(below);
        asked.map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// Removes what the policy does not keep, which is asked for when nobody can change the topic's settings.
    pub(crate) fn apply_retention(&self, ask: impl Fn() -> RetentionPolicy) -> Result<RetentionReport> {
        self.log().check_process()?;
        self.log().check_maintained()?;
        let retained = self.log().apply_retention(ask);
        self.log().after_removal();
        retained.map_err(|error| error.in_partition(self.topic_partition()))
    }

    /// Deletes every record below `before`. When the call returns they can never be read again, whatever crashes, and their bytes are
    /// removed from the disk, unless the report [says otherwise](DeleteReport::is_freed). An offset at or below the start deletes nothing. Up
    /// to [`stable`](Self::stable) it is always possible: transactions that are decided get their ends into the log first, which may take a
    /// sync, or up to a second if another thread is doing it. If those cannot be written, as on a full disk, it continues without them,
    /// except for a transaction that has records both below `before` and from there on.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange) above the end; [`InvalidArgument`](crate::Error::InvalidArgument) above the
    /// first record of a transaction that is not decided; [`Io`](crate::Error::Io), [`Held`](crate::Error::Held). Nothing is deleted then,
    /// with two exceptions. On a full disk ([`is_disk_full`](crate::Error::is_disk_full)) whole segments below `before` may be deleted, to
    /// make room for the rest. If the error says that a sync has failed, the partition is poisoned, and the next open of the store shows
    /// whether the records are deleted.
    pub fn delete_records(&self, before: Offset) -> Result<DeleteReport> {
        self.refuse_internal()?;
        // What comes later is asked for once it is there.
        self.before_removal_below(before.min(self.next_offset()))?;
        let deleted = self.log().delete_records(before);
        self.log().after_removal();
        deleted.map_err(|error| error.in_partition(self.topic_partition()))
    }
}

impl Topic {
    /// Removes from each partition what the topic's time, size and record limits do not keep, and reports what was removed. A
    /// topic without limits loses nothing. The store does the same by itself from time to time, and also what depends on
    /// groups: [`Store::apply_retention`](crate::Store::apply_retention).
    ///
    /// # Errors
    /// The first failure of any partition; the others are processed all the same.
    pub fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        let retain = |partition: Partition| {
            partition.before_removal()?;
            partition.apply_retention(|| self.settings().retention())
        };
        let outcomes: Vec<_> = self.partitions().into_iter().map(retain).collect();
        outcomes.into_iter().collect()
    }
}
