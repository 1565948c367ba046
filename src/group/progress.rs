//! How far a group is, for those who look at it from outside.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::groups::Groups;
use crate::topic::{Partition, is_internal};
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
    /// All groups that have members or have committed.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.topics.check_process().is_err() {
            return Vec::new();
        }
        // What cannot be seen now is as it was seen last.
        drop(self.look());
        let mut names: Vec<_> =
            self.not_folded().into_iter().map(|change| change.group.to_string()).collect();
        names.extend(self.committed.lock().groups().map(ToString::to_string));
        let in_use = self.register.lock().all();
        let with_members = in_use.iter().filter(|group| !group.members().is_empty());
        names.extend(with_members.map(|group| group.name().to_owned()));
        // Those that the store has for itself are nobody's to look at: their lag is no backlog.
        names.retain(|name| !is_internal(name));
        names.sort();
        names.dedup();
        names
    }

    /// What a group has committed for a partition, for who goes on there: an error where it cannot be seen.
    pub(crate) fn look_up(&self, group: &str, partition: &Partition) -> Result<Option<CommittedOffset>> {
        self.look()?;
        Ok(self.committed_as_seen(group, partition))
    }

    /// The same as it was seen last where it cannot be seen now; nothing when it was for an earlier topic of the name.
    pub(crate) fn committed(&self, group: &str, partition: &Partition) -> Option<CommittedOffset> {
        self.topics.check_process().ok()?;
        drop(self.look());
        self.committed_as_seen(group, partition)
    }

    fn committed_as_seen(&self, group: &str, partition: &Partition) -> Option<CommittedOffset> {
        let committed = self.committed.lock();
        let commit = committed.of(group, partition.topic_partition())?;
        let at = commit.is_for(partition).then(|| commit.at.clone())?;
        drop(committed);
        Some(Self::as_left(partition, at))
    }

    /// All that a group has committed for the topics there are, those that could not be opened among them.
    pub(crate) fn committed_of(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        if self.topics.check_process().is_err() {
            return BTreeMap::new();
        }
        drop(self.look());
        let not_folded = self.not_folded();
        let committed = self.committed.lock();
        let holds = |place: &TopicPartition, commit: &Commit| match self.topics.get(place.topic()) {
            Ok(topic) => commit.topic_id == topic.id(),
            Err(Error::UnknownTopic { .. }) => false,
            // The topic is there and could not be opened: what was committed for it holds.
            Err(_) => true,
        };
        let of_group = committed.of_group(group).filter(|(place, commit)| holds(place, commit));
        let mut of_group: Vec<_> =
            of_group.map(|(place, commit)| (place.clone(), commit.at.clone())).collect();
        drop(committed);
        // The later one counts.
        of_group.extend(not_folded.into_iter().filter(|change| &*change.group == group).filter_map(
            |Change { place, commit, .. }| {
                commit.filter(|commit| holds(&place, commit)).map(|commit| (place, commit.at))
            },
        ));
        self.all_as_left(of_group)
    }

    /// A topic that is gone is in no group's way: it is left out.
    pub(crate) fn progress(&self, name: &str) -> GroupProgress {
        let mut progress = GroupProgress::default();
        if self.topics.check_process().is_err() {
            return progress;
        }
        for (member, partitions) in self.find(name).map(|group| group.readers()).unwrap_or_default() {
            for partition in partitions.into_iter().filter(|partition| !partition.is_gone()) {
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
