//! Several groups that say together how far a partition is done, each of its own transactions.

use std::sync::Arc;

use crate::error::Result;
use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::group::Group;
use crate::group::groups::Groups;
use crate::log::TransactionId;
use crate::topic::Partition;
use crate::types::Offset;

impl Groups {
    /// The transaction that has moved a group's offset to where it is, if it was one of this life or has no end in the log.
    pub(crate) fn moved_in(&self, group: &Group, partition: &Partition) -> Option<TransactionId> {
        let committed = self.committed.lock();
        let commit = committed.of(group.name(), partition.topic_partition())?;
        commit.moved_in.filter(|_| commit.is_for(partition))
    }

    /// Returns when what one group has committed for a partition survives a power cut.
    pub(crate) fn keep_committed_by(&self, group: &Group, partition: &Partition) -> Result<()> {
        self.keep_committed_of(group.name(), partition)
    }

    pub(super) fn keep_committed_of(&self, group: &str, partition: &Partition) -> Result<()> {
        let committed = self.committed.lock();
        let commit = committed.of(group, partition.topic_partition());
        let written_in: Vec<_> = commit.into_iter().flat_map(|one| [one.written_in, one.moved_in]).collect();
        drop(committed);
        self.sync_consumed(&written_in.into_iter().flatten().collect::<Vec<_>>())
    }

    /// Has the first group say all that it and the others do, and the others nothing: at once, after all of that is durable. An error leaves it as it was.
    /// Nobody commits for one of them meanwhile.
    pub(crate) fn merge(
        &self,
        (first, others): (&Group, &[Arc<Group>]),
        partition: &Partition,
        (offset, metadata): (Offset, String),
    ) -> Result<()> {
        // Of the groups that are asked alone: another that reads there and has committed nothing forgives no move that cannot be kept.
        self.keep_committed_by(first, partition)?;
        others.iter().try_for_each(|one| self.keep_committed_by(one, partition))?;
        let place = partition.topic_partition();
        let at = CommittedOffset { offset, metadata, timestamp: self.clock.now() };
        let mut committed = self.committed.lock();
        let all = others.iter().map(|one| &one.name).chain([&first.name]);
        all.clone().try_for_each(|name| committed.doubts.check(name, place, partition.topic_id()))?;
        let said = Change {
            group: Arc::clone(&first.name),
            place: place.clone(),
            commit: Some(Commit::outside(partition, at)),
        };
        let is_there = |name: &&Arc<str>| committed.of(name, place).is_some();
        let gone = others.iter().map(|one| &one.name).filter(is_there);
        let gone = gone.map(|name| Change { group: Arc::clone(name), place: place.clone(), commit: None });
        // One batch: a crash leaves all of it or nothing.
        let changes: Vec<_> = [said].into_iter().chain(gone).collect();
        self.write(&mut committed, changes)
    }
}
