//! All groups of a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commit_log::{Change, CommitLog};
use crate::group::committed::{Committed, CommittedOffset};
use crate::group::group::Group;
use crate::io::Clock;
use crate::locks::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::log::RetentionPolicy;
use crate::topic::{Topic, Topics};
use crate::types::{Durability, Offset, TopicPartition};

/// A committed offset that lay above the end of its partition after a crash. It was set back to that end, or the records
/// sent next would have been taken for read.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let store = annals::Store::open(dir.path())?;
/// assert!(store.offsets_set_back().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetSetBack {
    /// The group.
    pub group: String,
    /// The partition.
    pub topic_partition: TopicPartition,
    /// What had been committed.
    pub committed: Offset,
    /// The end of the partition, committed now.
    pub end: Offset,
}

/// What a member wants committed.
#[derive(Debug)]
pub(crate) struct CommitRequest<'a> {
    /// The member, and the group's generation at its last look. Without one, anybody may commit: a consumer that assigns
    /// itself.
    pub(crate) member: Option<(&'a str, u64)>,
    pub(crate) offsets: Vec<(TopicPartition, Offset)>,
    pub(crate) metadata: &'a str,
    pub(crate) durability: Durability,
}

/// Kafka's `offset.metadata.max.bytes`.
const METADATA_MOST_BYTES: usize = 4096;
/// Kafka writes group names with a 16-bit length.
const GROUP_NAME_MOST_BYTES: usize = 32_767;

/// Groups and their committed offsets.
#[derive(Debug)]
pub(crate) struct Groups {
    topics: Arc<Topics>,
    clock: Arc<dyn Clock>,
    log: CommitLog,
    /// Held while a commit is written, so that memory and log agree on the order.
    committed: Mutex<Committed>,
    by_name: Mutex<BTreeMap<Arc<str>, Arc<Group>>>,
    members_made: AtomicU64,
    set_back: Vec<OffsetSetBack>,
}

impl Groups {
    /// Loads what was committed. Offsets above the end of their partition are set back to it, durably; offsets of topics
    /// that are gone go too.
    pub(crate) fn open(topics: Arc<Topics>, clock: Arc<dyn Clock>) -> Result<Self> {
        let log = CommitLog::new(Arc::clone(&topics));
        let mut committed = log.load()?;
        let mut set_back = Vec::new();
        let mut changes = Vec::new();
        for (group, place, at) in committed.iter() {
            let end = topics.get(place.topic()).and_then(|topic| topic.partition(place.partition()));
            let end = end.ok().map(|partition| partition.end());
            if end.is_some_and(|end| at.offset <= end) {
                continue;
            }
            let offset = end.map(|end| CommittedOffset { offset: end, ..at.clone() });
            changes.push(Change { group: Arc::clone(group), place: place.clone(), offset });
            set_back.extend(end.map(|end| OffsetSetBack {
                group: group.to_string(),
                topic_partition: place.clone(),
                committed: at.offset,
                end,
            }));
        }
        if !changes.is_empty() {
            log.append(&changes, Durability::Disk)?;
            apply(&mut committed, changes);
        }
        Ok(Self {
            topics,
            clock,
            log,
            committed: Mutex::new(committed),
            by_name: Mutex::default(),
            members_made: AtomicU64::new(0),
            set_back,
        })
    }

    pub(crate) fn set_back(&self) -> &[OffsetSetBack] {
        &self.set_back
    }

    /// The group of that name, which comes to be when it is first asked for.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Group>> {
        if name.is_empty() || name.len() > GROUP_NAME_MOST_BYTES {
            let reason = "it must have 1 to 32767 bytes";
            return Err(Error::InvalidName { kind: "group", name: name.to_owned(), reason });
        }
        let mut groups = self.by_name.lock();
        if let Some(group) = groups.get(name) {
            return Ok(Arc::clone(group));
        }
        let name: Arc<str> = name.into();
        let group = Arc::new(Group::new(Arc::clone(&name)));
        groups.insert(name, Arc::clone(&group));
        Ok(group)
    }

    /// An id no other member of this store has. Ids sort in the order they were made.
    pub(crate) fn new_member(&self, client_id: &str) -> String {
        format!("{client_id}-{:010}", self.members_made.fetch_add(1, Ordering::Relaxed))
    }

    /// All groups that have members or have committed.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.committed.lock().groups().map(ToString::to_string).collect();
        let with_members = self.by_name.lock();
        names.extend(
            with_members.values().filter(|group| !group.members().is_empty()).map(|g| g.name().to_owned()),
        );
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn committed(&self, group: &str, place: &TopicPartition) -> Option<CommittedOffset> {
        self.committed.lock().get(group, place).cloned()
    }

    pub(crate) fn committed_of(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.committed.lock().of_group(group)
    }

    /// The offset below which every group has read the partition: those that have committed for it, and those with a
    /// member that reads it. `None` while there is no such group, or one of them has committed nothing.
    pub(crate) fn consumed_by_all(&self, place: &TopicPartition) -> Option<Offset> {
        let reading: Vec<_> =
            self.by_name.lock().values().filter(|group| group.reads(place)).cloned().collect();
        let committed = self.committed.lock();
        if reading.iter().any(|group| committed.get(group.name(), place).is_none()) {
            return None;
        }
        committed.iter().filter(|(_, other, _)| *other == place).map(|(_, _, at)| at.offset).min()
    }

    /// Commits all offsets or none. Refused when the member does not own one of the partitions (any more).
    pub(crate) fn commit(&self, group: &Group, request: &CommitRequest<'_>) -> Result<()> {
        if request.metadata.len() > METADATA_MOST_BYTES {
            return Err(Error::invalid(format!(
                "commit metadata is longer than {METADATA_MOST_BYTES} bytes"
            )));
        }
        let places = || request.offsets.iter().map(|(place, _)| place);
        match request.member {
            None => self.write(group, request)?,
            Some(member) => match group.while_owned(member, places(), || self.write(group, request)) {
                Ok(written) => written?,
                Err(foreign) => {
                    return Err(Error::NotAssigned {
                        partition: foreign.to_string(),
                        group: group.name().to_owned(),
                        member: member.0.to_owned(),
                    });
                }
            },
        }
        // The commit stands whatever becomes of this; the next round of maintenance tries again and tells.
        places().for_each(|place| drop(self.drop_consumed(place)));
        Ok(())
    }

    fn write(&self, group: &Group, request: &CommitRequest<'_>) -> Result<()> {
        let changes = self.changes(group, request)?;
        if changes.is_empty() {
            return Ok(());
        }
        let mut committed = self.committed.lock();
        self.log.append(&changes, request.durability)?;
        apply(&mut committed, changes);
        Ok(())
    }

    /// What a commit changes, if it may.
    pub(super) fn changes(&self, group: &Group, request: &CommitRequest<'_>) -> Result<Vec<Change>> {
        let timestamp = self.clock.now();
        let change = |(place, offset): &(TopicPartition, Offset)| {
            self.check_range(place, *offset)?;
            let metadata = request.metadata.to_owned();
            let offset = Some(CommittedOffset { offset: *offset, metadata, timestamp });
            Ok(Change { group: Arc::clone(&group.name), place: place.clone(), offset })
        };
        request.offsets.iter().map(change).collect()
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic> {
        self.topics.get(name)
    }

    pub(super) fn log(&self) -> &CommitLog {
        &self.log
    }

    pub(super) fn lock_committed(&self) -> MutexGuard<'_, Committed> {
        self.committed.lock()
    }

    /// Makes the room of a queue: segments that every group has read go with the commit that reads their last record.
    fn drop_consumed(&self, place: &TopicPartition) -> Result<()> {
        let topic = self.topics.get(place.topic())?;
        if !topic.settings().drops_consumed() {
            return Ok(());
        }
        let keep_from = self.consumed_by_all(place);
        let policy = RetentionPolicy { keep_from, ..RetentionPolicy::default() };
        topic.partition(place.partition())?.apply_retention(&policy).map(drop)
    }

    /// An offset beyond the end would skip records that are not written yet.
    fn check_range(&self, place: &TopicPartition, offset: Offset) -> Result<()> {
        let partition = self.topics.get(place.topic())?.partition(place.partition())?;
        let (start, end) = (partition.start(), partition.end());
        if (0..=end).contains(&offset) {
            return Ok(());
        }
        Err(Error::OffsetOutOfRange { partition: place.to_string(), requested: offset, start, end })
    }

    /// Topics have come, grown or gone: who reads what is decided anew.
    pub(crate) fn topics_changed(&self) {
        let groups: Vec<_> = self.by_name.lock().values().cloned().collect();
        groups.iter().for_each(|group| group.reassign(&self.topics));
    }

    /// Takes back what any group has committed for a topic that is gone.
    pub(crate) fn forget_topic(&self, topic: &str) -> Result<()> {
        let mut committed = self.committed.lock();
        let of_topic = committed.iter().filter(|(_, place, _)| place.topic() == topic);
        let changes: Vec<_> = of_topic
            .map(|(group, place, _)| Change { group: Arc::clone(group), place: place.clone(), offset: None })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.log.append(&changes, Durability::Os)?;
        apply(&mut committed, changes);
        Ok(())
    }

    /// Takes back everything a group without members has committed.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        if let Some(group) = self.by_name.lock().get(name)
            && let Some(member) = group.members().first()
        {
            return Err(Error::invalid(format!("group {name:?} has members, {member:?} among them")));
        }
        let mut committed = self.committed.lock();
        let of_group = committed.of_group(name).into_keys();
        let changes: Vec<_> =
            of_group.map(|place| Change { group: name.into(), place, offset: None }).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.log.append(&changes, Durability::Os)?;
        apply(&mut committed, changes);
        Ok(())
    }
}

pub(super) fn apply(committed: &mut Committed, changes: Vec<Change>) {
    for Change { group, place, offset } in changes {
        committed.set(&group, place, offset);
    }
}
