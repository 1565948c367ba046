//! What groups have committed, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// What the committer noted beside it.
    pub metadata: String,
    /// When it was committed, Unix milliseconds.
    pub timestamp: Timestamp,
}

/// The committed offsets of all groups.
#[derive(Debug, Default)]
pub(super) struct Committed {
    groups: BTreeMap<Arc<str>, BTreeMap<TopicPartition, CommittedOffset>>,
}

impl Committed {
    pub(super) fn get(&self, group: &str, place: &TopicPartition) -> Option<&CommittedOffset> {
        self.groups.get(group)?.get(place)
    }

    pub(super) fn of_group(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.groups.get(group).cloned().unwrap_or_default()
    }

    /// `None` takes it back.
    pub(super) fn set(&mut self, group: &str, place: TopicPartition, offset: Option<CommittedOffset>) {
        let offsets = match self.groups.get_mut(group) {
            Some(offsets) => offsets,
            None => self.groups.entry(group.into()).or_default(),
        };
        match offset {
            Some(offset) => _ = offsets.insert(place, offset),
            None => _ = offsets.remove(&place),
        }
        if offsets.is_empty() {
            self.groups.remove(group);
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    /// Everything: group, partition, offset.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &TopicPartition, &CommittedOffset)> {
        self.groups
            .iter()
            .flat_map(|(group, offsets)| offsets.iter().map(move |(place, at)| (group, place, at)))
    }
}
