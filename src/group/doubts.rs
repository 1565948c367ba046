//! Offsets of which nobody knows before the store is opened again whether they were committed.
//!
//! Whatever was committed over one of these would be wrong in one of the two cases: records that the undecided transaction has worked on would be
//! passed over if it took no effect, or worked on twice if it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::group::Group;
use crate::group::groups::Groups;
use crate::topic::Partition;
use crate::types::TopicPartition;

/// By group, topic id and number of the partition. None is ever taken out.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<Arc<str>, BTreeMap<(u128, u32), TopicPartition>>);

impl Doubts {
    pub(super) fn add(&mut self, group: &Arc<str>, place: &TopicPartition, topic_id: u128) {
        let of_group = self.0.entry(Arc::clone(group)).or_default();
        of_group.insert((topic_id, place.partition()), place.clone());
    }

    /// An error where it is not known what the group has committed there.
    pub(super) fn check(&self, group: &str, place: &TopicPartition, topic_id: u128) -> Result<()> {
        let of_group = self.0.get(group);
        if of_group.is_some_and(|places| places.contains_key(&(topic_id, place.partition()))) {
            return Err(Error::OffsetUndecided { group: group.to_owned(), partition: place.clone() });
        }
        Ok(())
    }

    /// Where a group may have committed.
    pub(super) fn of(&self, group: &str) -> impl Iterator<Item = &TopicPartition> {
        self.0.get(group).into_iter().flat_map(BTreeMap::values)
    }
}

impl Groups {
    /// A transaction of which nobody knows how it ends was to commit offsets of the group for these.
    pub(super) fn doubt(&self, group: &Group, partitions: &[Partition]) {
        let mut committed = self.committed.lock();
        for partition in partitions {
            committed.doubts.add(&group.name, partition.topic_partition(), partition.topic_id());
        }
    }

    /// An error where nothing can be committed for one of these before the store is opened again.
    pub(crate) fn check_decided<'p>(
        &self,
        group: &Group,
        mut partitions: impl Iterator<Item = &'p Partition>,
    ) -> Result<()> {
        let committed = self.committed.lock();
        partitions
            .try_for_each(|one| committed.doubts.check(group.name(), one.topic_partition(), one.topic_id()))
    }

    /// Whether the group stays this process's though it has no consumer here: others would commit over what is not decided. Its lock is held:
    /// it was when the doubt came up, by the [transaction](super::TakenGroup) that is not decided, and is not given back since.
    pub(super) fn is_in_doubt(&self, group: &str) -> bool {
        self.committed.lock().doubts.of(group).next().is_some()
    }
}
