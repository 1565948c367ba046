//! Commits that say of more than there is, after a crash or a repair: they are set right before anything is appended in the place of what is gone.

use std::sync::Arc;

use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::groups::Groups;
use crate::locks::Ordering;
use crate::topic::Partition;

impl Groups {
    /// Has a group have noted something else beside the offset that it has committed for a partition, from the open on: durably before the partition
    /// takes anything.
    pub(crate) fn note_instead(self: &Arc<Self>, group: &str, partition: &Partition, metadata: String) {
        // What takes its place rests on no transaction.
        let kept = self.keep_committed_of(group, partition);
        let place = partition.topic_partition();
        let mut committed = self.committed.lock();
        let Some(before) = committed.of(group, place).cloned() else { return };
        let at = CommittedOffset { metadata, ..before.at.clone() };
        match kept {
            Ok(()) => {
                let commit = Some(Commit::outside(partition, at));
                committed.set(group, place, commit.clone());
                self.owed.lock().push(Change { group: group.into(), place: place.clone(), commit });
                drop(committed);
                self.hold_back(partition);
            }
            Err(error) => {
                committed.set(group, place, Some(Commit { at, ..before }));
                drop(committed);
                partition.log().require(move |_| Err(error.clone()));
            }
        }
    }

    /// Records sent to it would be taken for read by the next life, before what is owed is written.
    pub(super) fn hold_back(self: &Arc<Self>, partition: &Partition) {
        let owing = Arc::downgrade(self);
        let write = move |_| owing.upgrade().map_or(Ok(()), |groups| groups.write_owed());
        if !partition.log().require(write) {
            self.cannot_wait.store(true, Ordering::Release);
        }
    }
}
