//! How far a group is, for those who look at it from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::group::group::Group;
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

/// Who commits faster than others look is not waited for.
const MOST_ROUNDS: usize = 10;

/// What was committed, by group and partition.
type Offsets = BTreeMap<(Arc<str>, TopicPartition), CommittedOffset>;

fn of(committed: &Committed, group: &str, partition: &Partition) -> Option<CommittedOffset> {
    let commit = committed.of(group, partition.topic_partition())?;
    commit.is_for(partition).then(|| commit.at.clone())
}

fn at_most(at: CommittedOffset, end: Offset) -> CommittedOffset {
    CommittedOffset { offset: at.offset.min(end), ..at }
}

impl Groups {
    /// All groups that have members or have committed.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.topics.check_process().is_err() {
            return Vec::new();
        }
        // What cannot be seen now is as it was seen last.
        drop(self.look());
        self.names_with(self.not_folded())
    }

    fn names_with(&self, not_folded: Vec<Change>) -> Vec<String> {
        let mut names: Vec<_> = not_folded.into_iter().map(|change| change.group.to_string()).collect();
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

    /// What a group of this process has committed for a partition, for who goes on there: an error where it cannot be seen.
    ///
    /// Elsewhere it is read before the end and after it: an owner sets a commit back before it appends anything in the place of what was lost, so one that
    /// is above the end still, or again, was not set back when that was the end. One that was read before alone could be let pass by the records sent since.
    pub(crate) fn look_up(&self, group: &Group, partition: &Partition) -> Result<Option<CommittedOffset>> {
        let life = self.topics.owners_life();
        self.look()?;
        let mut seen = self.seen_for(group.name(), partition);
        if self.replayed.is_none() {
            return Ok(seen.map(|at| at_most(at, partition.end())));
        }
        while let Some(before) = seen.take() {
            let end = match Self::end_by_now(partition) {
                // Nobody reads on there.
                Err(Error::UnknownTopic { .. }) => return Ok(Some(before)),
                end => end?,
            };
            self.look()?;
            let committed = self.committed.lock();
            let Some(at) = of(&committed, group.name(), partition) else { break };
            if at.offset <= end || at == before {
                let at = at_most(at, end);
                // Before another member can commit.
                group.note_seen(partition, at.offset, life);
                return Ok(Some(at));
            }
            seen = Some(at);
        }
        Ok(None)
    }

    /// The same of any group, and as it was seen last where it cannot be seen now; nothing when it was for an earlier topic of the name.
    pub(crate) fn committed(&self, group: &str, partition: &Partition) -> Option<CommittedOffset> {
        self.topics.check_process().ok()?;
        drop(self.look());
        let key = (Arc::from(group), partition.topic_partition().clone());
        let read = || self.seen_for(group, partition).map(|at| (key.clone(), at)).into_iter().collect();
        self.within_ends(read, |_| Self::end_by_now(partition).ok()).remove(&key)
    }

    /// Where a group of this process is to go on, for who can look at nothing any more. Nothing where another owner has come since that was known.
    pub(crate) fn last_committed(&self, group: &Group, partition: &Partition) -> Option<Offset> {
        if self.replayed.is_some() {
            return group.last_committed(partition, self.topics.owners_life());
        }
        self.committed(group.name(), partition).map(|committed| committed.offset)
    }

    fn seen_for(&self, group: &str, partition: &Partition) -> Option<CommittedOffset> {
        of(&self.committed.lock(), group, partition)
    }

    /// All that a group has committed for the topics there are, those that could not be opened among them.
    pub(crate) fn committed_of(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        if self.topics.check_process().is_err() {
            return BTreeMap::new();
        }
        drop(self.look());
        let seen = self.seen_within_ends(Some(group));
        seen.into_iter().map(|((_, place), at)| (place, at)).collect()
    }

    /// What was committed by that group, or all of them, as the last look has found it and another one after the ends of partitions were seen.
    fn seen_within_ends(&self, group: Option<&str>) -> Offsets {
        let end = |place: &TopicPartition| {
            let topic = self.topics.get(place.topic()).ok()?;
            Self::end_by_now(&topic.partition(place.partition()).ok()?).ok()
        };
        self.within_ends(|| self.seen_of(group), end)
    }

    fn seen_of(&self, group: Option<&str>) -> Offsets {
        let not_folded = self.not_folded();
        let committed = self.committed.lock();
        let holds = |place: &TopicPartition, commit: &Commit| match self.topics.get(place.topic()) {
            Ok(topic) => commit.topic_id == topic.id(),
            Err(Error::UnknownTopic { .. }) => false,
            // The topic is there and could not be opened: what was committed for it holds.
            Err(_) => true,
        };
        let mut seen = Offsets::new();
        for group in committed.groups_named(group) {
            let of_group = committed.of_group(group).filter(|(place, commit)| holds(place, commit));
            seen.extend(
                of_group.map(|(place, commit)| ((Arc::clone(group), place.clone()), commit.at.clone())),
            );
        }
        drop(committed);
        // The later one counts.
        let is_asked_for = |change: &Change| group.is_none_or(|group| *group == *change.group);
        seen.extend(not_folded.into_iter().filter(is_asked_for).filter_map(
            |Change { group, place, commit }| {
                commit.filter(|commit| holds(&place, commit)).map(|commit| ((group, place), commit.at))
            },
        ));
        seen
    }

    /// For figures: read before the ends and after them, as in [`look_up`](Self::look_up), and as they are where an end cannot be seen.
    fn within_ends(
        &self,
        read: impl Fn() -> Offsets,
        end: impl Fn(&TopicPartition) -> Option<Offset>,
    ) -> Offsets {
        let mut seen = read();
        let mut rounds = 0;
        loop {
            let mut ends = BTreeMap::new();
            for (_, place) in seen.keys() {
                ends.entry(place.clone()).or_insert_with(|| end(place));
            }
            rounds += 1;
            let mut again = match &self.replayed {
                Some(_) => {
                    drop(self.look());
                    read()
                }
                None => seen.clone(),
            };
            let is_settled = |(key, at): (&(Arc<str>, TopicPartition), &CommittedOffset)| {
                let is_within = |end: &Option<Offset>| end.is_none_or(|end| at.offset <= end);
                ends.get(&key.1).is_some_and(|end| is_within(end) || seen.get(key) == Some(at))
            };
            if rounds == MOST_ROUNDS || again.iter().all(is_settled) {
                for ((_, place), at) in &mut again {
                    if let Some(Some(end)) = ends.get(place) {
                        at.offset = at.offset.min(*end);
                    }
                }
                return again;
            }
            seen = again;
        }
    }

    /// A topic that is gone is in no group's way: it is left out.
    pub(crate) fn progress(&self, name: &str) -> GroupProgress {
        if self.topics.check_process().is_err() {
            return GroupProgress::default();
        }
        self.progress_by(name, self.committed_of(name))
    }

    /// That of all groups, in the order of their names. However many there are, what was committed is looked at no more often than for one.
    pub(crate) fn progress_of_all(&self) -> Vec<(String, GroupProgress)> {
        if self.topics.check_process().is_err() {
            return Vec::new();
        }
        drop(self.look());
        let names = self.names_with(self.not_folded());
        let mut by_group: BTreeMap<Arc<str>, BTreeMap<_, _>> = BTreeMap::new();
        for ((group, place), at) in self.seen_within_ends(None) {
            by_group.entry(group).or_default().insert(place, at);
        }
        let progress = |name: String| {
            let committed = by_group.remove(name.as_str()).unwrap_or_default();
            let progress = self.progress_by(&name, committed);
            (name, progress)
        };
        names.into_iter().map(progress).collect()
    }

    fn progress_by(&self, name: &str, committed: BTreeMap<TopicPartition, CommittedOffset>) -> GroupProgress {
        let mut progress = GroupProgress::default();
        for (member, partitions) in self.find(name).map(|group| group.readers()).unwrap_or_default() {
            for partition in partitions.into_iter().filter(|partition| !partition.is_gone()) {
                let place = partition.topic_partition().clone();
                let member = Some(member.clone());
                progress.partitions.insert(place, Progress { partition, committed: None, member });
            }
            progress.members.push(member);
        }
        for (place, at) in committed {
            let found = self.topics.get(place.topic()).and_then(|topic| topic.partition(place.partition()));
            let Ok(partition) = found else { continue };
            let here = progress.partitions.entry(place);
            let here = here.or_insert_with(|| Progress { partition, committed: None, member: None });
            here.committed = Some(at.offset);
        }
        progress
    }
}
