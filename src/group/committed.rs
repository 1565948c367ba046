//! What groups have committed, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::group::commits::Change;
use crate::group::doubts::Doubts;
use crate::log::TransactionId;
use crate::topic::Partition;
use crate::types::{Offset, Timestamp, TopicPartition};

/// An offset that a group has committed for a partition.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # let mut billing = store.consumer("billing")?;
/// # billing.subscribe(["orders"])?;
/// billing.commit_offsets([(("orders", 0).into(), 0)])?;
/// let committed = store.committed("billing");
/// assert_eq!(committed[&("orders", 0).into()].offset, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedOffset {
    /// The next offset to read: that of the last record done, plus one.
    pub offset: Offset,
    /// Text that the committer has stored with it.
    pub metadata: String,
    /// When it was committed, Unix milliseconds.
    pub timestamp: Timestamp,
}

/// A committed offset and the topic it was committed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    /// The topic's id.
    pub(super) topic_id: u128,
    /// Whether the record says so. One of an earlier version does not: it belongs to the topic that has the name when the
    /// store is opened.
    pub(super) names_id: bool,
    pub(super) at: CommittedOffset,
    /// The transaction that it took effect with: a power cut may take it back as long as that one has no end in the log.
    pub(super) written_in: Option<TransactionId>,
    /// The one that has moved the offset here, that one or one before it, which others may have gone over: the work below was done in it.
    pub(super) moved_in: Option<TransactionId>,
}

impl Commit {
    /// One that takes effect with no transaction.
    pub(super) fn outside(partition: &Partition, at: CommittedOffset) -> Self {
        Self { topic_id: partition.topic_id(), names_id: true, at, written_in: None, moved_in: None }
    }

    /// The same where it replaces another one: it says of the work below that one that it is done, and has done none of that.
    pub(super) fn over(mut self, before: Option<&Self>) -> Self {
        let before = before.filter(|before| before.topic_id == self.topic_id && self.at.offset > 0);
        self.moved_in = before.and_then(|before| before.moved_in);
        self
    }
}

/// The committed offsets of all groups.
#[derive(Debug, Default)]
pub(super) struct Committed {
    groups: BTreeMap<Arc<str>, BTreeMap<TopicPartition, Commit>>,
    /// The groups that have committed for a partition, by its topic's name: what concerns one topic looks at no other.
    of_topic: BTreeMap<Arc<str>, BTreeMap<u32, BTreeSet<Arc<str>>>>,
    /// What was there where something was laid over it.
    covered: BTreeMap<(Arc<str>, TopicPartition), Option<Commit>>,
    pub(super) doubts: Doubts,
}

impl Committed {
    pub(super) fn of(&self, group: &str, place: &TopicPartition) -> Option<&Commit> {
        self.groups.get(group)?.get(place)
    }

    /// Everything that a group has committed.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = (&TopicPartition, &Commit)> {
        self.groups.get(group).into_iter().flatten()
    }

    /// What all groups have committed for a partition.
    pub(super) fn of_partition(&self, place: &TopicPartition) -> impl Iterator<Item = &Commit> {
        let groups =
            self.of_topic.get(place.topic()).and_then(|partitions| partitions.get(&place.partition()));
        groups.into_iter().flatten().filter_map(|group| self.of(group, place))
    }

    /// What all groups have committed for a topic of that name.
    pub(super) fn of_topic(
        &self,
        topic: &str,
    ) -> impl Iterator<Item = (&Arc<str>, &TopicPartition, &Commit)> {
        let partitions = self.of_topic.get_key_value(topic);
        partitions.into_iter().flat_map(move |(topic, partitions)| {
            partitions.iter().flat_map(move |(number, groups)| {
                let place = TopicPartition::new(Arc::clone(topic), *number);
                groups.iter().filter_map(move |group| {
                    let (place, commit) = self.groups.get(group)?.get_key_value(&place)?;
                    Some((group, place, commit))
                })
            })
        })
    }

    /// Lays a commit over what is there, until [`uncover`](Self::uncover).
    pub(super) fn cover(&mut self, change: Change) {
        let before = self.of(&change.group, &change.place).cloned();
        self.covered.entry((Arc::clone(&change.group), change.place.clone())).or_insert(before);
        self.apply(change);
    }

    /// Takes away all that was laid over.
    pub(super) fn uncover(&mut self) {
        for ((group, place), before) in std::mem::take(&mut self.covered) {
            self.set(&group, &place, before);
        }
    }

    /// Takes in what takes effect with no transaction.
    pub(super) fn apply(&mut self, Change { group, place, commit }: Change) {
        let commit = commit.map(|commit| commit.over(self.of(&group, &place)));
        self.set(&group, &place, commit);
    }

    /// `None` takes it back.
    pub(super) fn set(&mut self, group: &str, place: &TopicPartition, commit: Option<Commit>) {
        match commit {
            Some(commit) => self.insert(group, place, commit),
            None => self.remove(group, place),
        }
    }

    fn insert(&mut self, group: &str, place: &TopicPartition, commit: Commit) {
        let group: Arc<str> = match self.groups.get_key_value(group) {
            Some((group, _)) => Arc::clone(group),
            None => group.into(),
        };
        let offsets = self.groups.entry(Arc::clone(&group)).or_default();
        if offsets.insert(place.clone(), commit).is_none() {
            let partitions = self.of_topic.entry(Arc::clone(place.shared_topic())).or_default();
            partitions.entry(place.partition()).or_default().insert(group);
        }
    }

    fn remove(&mut self, group: &str, place: &TopicPartition) {
        let Some(offsets) = self.groups.get_mut(group) else { return };
        if offsets.remove(place).is_none() {
            return;
        }
        if offsets.is_empty() {
            self.groups.remove(group);
        }
        let Some(partitions) = self.of_topic.get_mut(place.topic()) else { return };
        if let Some(groups) = partitions.get_mut(&place.partition()) {
            groups.remove(group);
            if groups.is_empty() {
                partitions.remove(&place.partition());
            }
        }
        if partitions.is_empty() {
            self.of_topic.remove(place.topic());
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    /// The group of that name, if it has committed, or all.
    pub(super) fn groups_named<'a>(&'a self, name: Option<&'a str>) -> impl Iterator<Item = &'a Arc<str>> {
        let one = name.and_then(|name| self.groups.get_key_value(name)).map(|(group, _)| group);
        one.into_iter().chain(self.groups.keys().filter(move |_| name.is_none()))
    }

    /// Everything: group, partition, commit.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &TopicPartition, &Commit)> {
        self.groups
            .iter()
            .flat_map(|(group, offsets)| offsets.iter().map(move |(place, commit)| (group, place, commit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_in_agree_and_nothing_is_kept_of_what_was_taken_back() {
        let mut committed = Committed::default();
        let commit = |offset| Commit {
            topic_id: 1,
            names_id: true,
            at: CommittedOffset { offset, metadata: String::new(), timestamp: 0 },
            written_in: None,
            moved_in: None,
        };
        let places = [("a", 0), ("a", 1), ("b", 0)].map(TopicPartition::from);
        for (number, place) in (0..).zip(&places) {
            committed.set("g", place, Some(commit(number)));
            committed.set("h", place, Some(commit(number + 10)));
        }
        committed.set("g", &places[0], Some(commit(5)));
        let offsets = |commits: Vec<&Commit>| commits.iter().map(|one| one.at.offset).collect::<Vec<_>>();
        assert_eq!(offsets(committed.of_partition(&places[0]).collect()), [5, 10]);
        assert_eq!(offsets(committed.of_topic("a").map(|(_, _, commit)| commit).collect()), [5, 10, 1, 11]);
        assert_eq!(committed.iter().count(), 6);
        for group in ["g", "h", "nobody"] {
            places.iter().for_each(|place| committed.set(group, place, None));
        }
        assert!(committed.groups.is_empty() && committed.of_topic.is_empty());
    }
}
