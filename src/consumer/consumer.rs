//! The consumer: polling, and what belongs to its membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::assigned::{Assigned, Flow};
use crate::consumer::builder::{ConsumerBuilder, Settings};
use crate::error::{Error, Result};
use crate::group::{CommitRequest, Group, Groups, Owned, Pending};
use crate::io::Deadline;
use crate::log::Signal;
use crate::topic::{PartitionRecords, Records, Topics};
use crate::types::{Offset, TopicPartition};

/// Reads records, as a member of a group ([`subscribe`](Self::subscribe)) or of partitions it chooses itself
/// ([`assign`](Self::assign)). Belongs to one thread at a time; dropping it leaves the group.
///
/// The members of a group share the partitions of the topics they subscribe to: each partition has one reader. When
/// members come and go, the partitions are shared out anew at once; a member sees it at its next poll, and a commit for a
/// partition it has lost is refused. Whoever gets the partition begins at what was committed.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new().partitions(3))?;
/// # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
/// let mut billing = store.consumer("billing")?;
/// billing.subscribe(["orders"])?;
/// for record in &billing.poll(Duration::from_millis(500))? {
///     println!("{}@{} {:?}", record.partition(), record.offset(), record.value());
/// }
/// billing.commit()?;
/// assert_eq!(billing.lag()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    pub(super) settings: Settings,
    /// Raised when a partition has more to read or the group has shared out its partitions anew.
    signal: Arc<Signal>,
    pub(super) group: Option<Arc<Group>>,
    member: String,
    role: Role,
    pub(super) assigned: BTreeMap<TopicPartition, Assigned>,
    /// The partition at which the next poll begins, so that a busy one does not starve the others.
    next: Option<TopicPartition>,
    next_auto_commit: Option<Deadline>,
}

/// How the consumer came by its partitions.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Idle,
    /// The group gave them; this is the generation of the assignment it knows.
    Member(u64),
    /// It chose them itself.
    SelfAssigned,
}

impl Consumer {
    pub(super) fn new(builder: ConsumerBuilder) -> Result<Self> {
        let ConsumerBuilder { topics, groups, settings } = builder;
        let group = settings.group.as_deref().map(|name| groups.get(name)).transpose()?;
        let member = groups.new_member(&settings.client_id);
        let next_auto_commit = settings.auto_commit.map(Deadline::after);
        Ok(Self {
            topics,
            groups,
            settings,
            signal: Arc::default(),
            group,
            member,
            role: Role::Idle,
            assigned: BTreeMap::new(),
            next: None,
            next_auto_commit,
        })
    }

    /// Its id in the group.
    pub fn member_id(&self) -> &str {
        &self.member
    }

    /// Joins the group as a reader of these topics, instead of any it read before. The partitions are shared out at once.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) without a group, [`UnknownTopic`](Error::UnknownTopic): nothing changes.
    pub fn subscribe<T: Into<Arc<str>>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        let Some(group) = self.group.clone() else {
            return Err(Error::config(
                "group.id",
                "",
                "subscribing needs a group: without one, assign partitions",
            ));
        };
        let topics: Vec<Arc<str>> = topics.into_iter().map(Into::into).collect();
        topics.iter().try_for_each(|topic| self.topics.get(topic).map(drop))?;
        if self.role == Role::SelfAssigned {
            self.drop_all();
        }
        group.join(&self.member, topics, &self.signal, &self.topics);
        self.role = Role::Member(group.generation().wrapping_sub(1));
        self.follow_group()
    }

    /// Reads these partitions, whoever else does, instead of any it read before. Leaves the group as a reader; commits
    /// still go to it, unchecked.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition): nothing changes.
    pub fn assign<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) -> Result<()> {
        let places: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        for place in &places {
            self.topics.get(place.topic())?.partition(place.partition())?;
        }
        self.leave_group();
        self.role = Role::SelfAssigned;
        self.take(places.into_iter().map(|place| Owned { place, since: 0 }).collect())
    }

    /// Reads nothing any more, and leaves the group.
    pub fn unsubscribe(&mut self) {
        self.leave_group();
        self.role = Role::Idle;
        self.drop_all();
    }

    /// The partitions it reads, as of its last poll.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned.keys().cloned().collect()
    }

    /// Records, as soon as there are some; none after `timeout`. Sleeps meanwhile and uses no processor.
    ///
    /// Records of one partition come in the order of their offsets. What was handed out counts as read: the next poll goes
    /// on behind it, and [`commit`](Self::commit) commits it.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) for a damaged batch: again at every poll, until it is skipped by a
    /// [`seek`](Self::seek). [`OffsetOutOfRange`](Error::OffsetOutOfRange) and
    /// [`NoCommittedOffset`](Error::NoCommittedOffset) with [`StartFrom::Error`](crate::StartFrom::Error).
    /// [`StoreClosed`](Error::StoreClosed), [`UnknownTopic`](Error::UnknownTopic) when it was deleted, [`Io`](Error::Io).
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        let deadline = Deadline::after(timeout);
        loop {
            // Read before looking: whatever comes after this look ends the wait below.
            let seen = self.signal.raised();
            self.auto_commit()?;
            self.follow_group()?;
            let records = self.fetch()?;
            if !records.is_empty() || !self.signal.wait(seen, deadline) {
                return Ok(records);
            }
        }
    }

    fn fetch(&mut self) -> Result<Records> {
        let first = self.next.take();
        let ahead = self.assigned.keys().filter(|place| first.as_ref().is_none_or(|first| *place >= first));
        let behind = self.assigned.keys().filter(|place| first.as_ref().is_some_and(|first| *place < first));
        let order: Vec<_> = ahead.chain(behind).cloned().collect();
        let mut fetched = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        for place in order {
            let limits = self.settings.limits(records, bytes);
            if limits.max_records == 0 || limits.max_bytes == 0 {
                self.next = Some(place);
                break;
            }
            let Some(assigned) = self.assigned.get_mut(&place).filter(|one| one.flow == Flow::Running) else {
                continue;
            };
            match assigned.fetch(limits, &self.settings) {
                Ok(slices) if slices.is_empty() => {}
                Ok(slices) => {
                    bytes += slices.iter().map(crate::log::RecordSlice::stored_bytes).sum::<usize>();
                    let part = PartitionRecords::new(place, slices);
                    records += part.len();
                    fetched.push(part);
                }
                Err(error) if fetched.is_empty() => return Err(error),
                // What other partitions gave is handed out first; the next poll begins with this one and tells.
                Err(_) => {
                    self.next = Some(place);
                    break;
                }
            }
        }
        Ok(Records::new(fetched))
    }

    /// Takes over what the group has assigned since the last look.
    pub(super) fn follow_group(&mut self) -> Result<()> {
        let (Role::Member(known), Some(group)) = (&self.role, &self.group) else { return Ok(()) };
        // The number is read before the assignment: one that changes in between is looked at again.
        let generation = group.generation();
        if generation == *known {
            return Ok(());
        }
        let assignment = group.assignment(&self.member);
        self.take(assignment)?;
        self.role = Role::Member(generation);
        Ok(())
    }

    /// Reads `partitions` from here on. Those it has had without a break go on where they are.
    fn take(&mut self, partitions: Vec<Owned>) -> Result<()> {
        let mut before = std::mem::take(&mut self.assigned);
        for Owned { place, since } in partitions {
            let kept = match before.remove(&place) {
                Some(kept) if kept.since == since => kept,
                _ => {
                    let partition = self.topics.get(place.topic())?.partition(place.partition())?;
                    let committed = self.group.as_ref().and_then(|group| {
                        self.groups.committed(group.name(), &place).map(|committed| committed.offset)
                    });
                    partition.log().watch(&self.signal);
                    Assigned::new(partition, since, committed)
                }
            };
            self.assigned.insert(place, kept);
        }
        before.values().for_each(|lost| lost.partition.log().unwatch(&self.signal));
        Ok(())
    }

    /// What polls have handed out and the group has not committed, for a transaction to commit.
    pub(crate) fn handed_out(&self) -> Result<Pending> {
        let Some(group) = self.group.clone() else {
            return Err(Error::config("group.id", "", "offsets are committed for a group"));
        };
        let member = match self.role {
            Role::Member(generation) => Some((self.member.clone(), generation)),
            Role::Idle | Role::SelfAssigned => None,
        };
        let moved = self.assigned.iter().filter(|(_, one)| one.handed_out != one.committed);
        let offsets = moved.filter_map(|(place, one)| Some((place.clone(), one.handed_out?))).collect();
        Ok(Pending { group, member, offsets })
    }

    /// Commits, for the group, what polls have handed out: the next reader of each partition begins behind it.
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned) when the group has given one of the partitions to another member: nothing is
    /// committed. [`InvalidConfig`](Error::InvalidConfig) without a group, [`Io`](Error::Io).
    pub fn commit(&mut self) -> Result<()> {
        let moved = self.assigned.iter().filter(|(_, one)| one.handed_out != one.committed);
        let offsets: Vec<_> =
            moved.filter_map(|(place, one)| Some((place.clone(), one.handed_out?))).collect();
        self.commit_with(offsets, "")
    }

    /// Commits given offsets: those of the last records done, plus one.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); [`OffsetOutOfRange`](Error::OffsetOutOfRange) beyond the end of a partition.
    pub fn commit_offsets(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<()> {
        self.commit_with(offsets.into_iter().collect(), "")
    }

    /// Commits given offsets with a note for whoever asks for them, at most 4096 bytes.
    ///
    /// # Errors
    /// As [`commit_offsets`](Self::commit_offsets).
    pub fn commit_with_metadata(
        &mut self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
        metadata: &str,
    ) -> Result<()> {
        self.commit_with(offsets.into_iter().collect(), metadata)
    }

    fn commit_with(&mut self, offsets: Vec<(TopicPartition, Offset)>, metadata: &str) -> Result<()> {
        let Some(group) = &self.group else {
            return Err(Error::config("group.id", "", "committing needs a group"));
        };
        let member = match self.role {
            Role::SelfAssigned => None,
            Role::Member(known) => Some((self.member.as_str(), known)),
            Role::Idle => Some((self.member.as_str(), 0)),
        };
        let durability = self.settings.commit_durability;
        let request = CommitRequest { member, offsets: offsets.clone(), metadata, durability };
        self.groups.commit(group, &request)?;
        for (place, offset) in offsets {
            if let Some(assigned) = self.assigned.get_mut(&place) {
                assigned.committed = Some(offset);
            }
        }
        Ok(())
    }

    fn auto_commit(&mut self) -> Result<()> {
        if !self.next_auto_commit.is_some_and(Deadline::has_passed) {
            return Ok(());
        }
        self.next_auto_commit = self.settings.auto_commit.map(Deadline::after);
        self.commit_what_is_owned()
    }

    /// Partitions that the group has given away meanwhile are the new owner's to commit.
    fn commit_what_is_owned(&mut self) -> Result<()> {
        match self.commit() {
            Err(Error::NotAssigned { .. }) => {
                self.follow_group()?;
                self.commit()
            }
            other => other,
        }
    }

    /// What the group has committed for a partition.
    pub fn committed(&self, partition: impl Into<TopicPartition>) -> Option<Offset> {
        let group = self.group.as_ref()?;
        self.groups.committed(group.name(), &partition.into()).map(|committed| committed.offset)
    }

    /// Commits what was handed out if that is automatic, and leaves the group. Dropping the consumer only leaves.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn close(mut self) -> Result<()> {
        if self.settings.auto_commit.is_some() {
            self.commit_what_is_owned()?;
        }
        Ok(())
    }

    fn leave_group(&mut self) {
        if let (Role::Member(_), Some(group)) = (&self.role, &self.group) {
            group.leave(&self.member, &self.topics);
        }
    }

    fn drop_all(&mut self) {
        for assigned in std::mem::take(&mut self.assigned).into_values() {
            assigned.partition.log().unwatch(&self.signal);
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}
