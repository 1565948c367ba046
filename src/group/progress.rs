//! How far a group is, for those who look at it from outside.

use std::collections::BTreeMap;

use crate::group::groups::Groups;
use crate::topic::Partition;
use crate::types::{Offset, TopicPartition};

/// A group's members, and how far it is in each partition that it reads or has committed for.
#[derive(Debug, Default)]
pub(crate) struct GroupProgress {
    pub(crate) members: Vec<String>,
    pub(crate) partitions: BTreeMap<TopicPartition, Progress>,
}

/// How far a group is in one partition.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) partition: Partition,
    pub(crate) committed: Option<Offset>,
    /// Who reads it.
    pub(crate) member: Option<String>,
}

impl Groups {
    /// A topic that is gone is in no group's way: it is left out.
    pub(crate) fn progress(&self, name: &str) -> GroupProgress {
        let mut progress = GroupProgress::default();
        for (member, partitions) in self.find(name).map(|group| group.readers()).unwrap_or_default() {
            for partition in partitions.into_iter().filter(|partition| !partition.is_deleted()) {
                let place = partition.topic_partition().clone();
                let member = Some(member.clone());
                progress.partitions.insert(place, Progress { partition, committed: None, member });
            }
            progress.members.push(member);
        }
        for (place, at) in self.committed_of(name) {
            let found = self.topics.get(place.topic()).and_then(|topic| topic.partition(place.partition()));
            let Ok(partition) = found else { continue };
            let here = progress.partitions.entry(place);
            let here = here.or_insert_with(|| Progress { partition, committed: None, member: None });
            here.committed = Some(at.offset);
        }
        progress
    }
}
