//! One group: its members and what each of them reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::figures::Event;
use crate::group::assignor::{Subscriber, range};
use crate::locks::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::log::Signal;
use crate::topic::{Partition, Topics};
use crate::types::{Durability, Offset, TopicPartition};

/// A group. Assignments change atomically under its lock; members see the change at their next poll.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) name: Arc<str>,
    /// That of `members`, for a look without the lock.
    generation: AtomicU64,
    members: Mutex<Members>,
    /// In a process that does not own the store: what is known to be committed for a partition. What a look has found there may be set back.
    known: Mutex<BTreeMap<TopicPartition, KnownCommit>>,
}

/// A commit that this process has made, or has seen at or below the end of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownCommit {
    pub(super) topic_id: u128,
    pub(super) offset: Offset,
    /// A sync of this process has covered it.
    pub(super) is_synced: bool,
    /// The owner's life, as it was before that was made or seen: the open of another one may have set it back.
    pub(super) life: u64,
}

impl KnownCommit {
    /// One as it is asked for: at `Disk` it has to be synced.
    pub(super) fn asked(
        (partition, offset): (&Partition, Offset),
        durability: Durability,
        life: u64,
    ) -> Self {
        Self { topic_id: partition.topic_id(), offset, is_synced: durability == Durability::Disk, life }
    }

    fn covers(&self, asked: &Self) -> bool {
        let of = |one: &Self| (one.topic_id, one.offset, one.life);
        of(self) == of(asked) && (self.is_synced || !asked.is_synced)
    }
}

/// The members, and the number of their assignment.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Counts the assignments.
    generation: u64,
    by_id: BTreeMap<String, Member>,
    /// Each topic that one of them reads as it was when the first of these began to read it.
    at_first: BTreeMap<Arc<str>, Existing>,
    /// Where the first of them has begun that found nothing committed, and began at the end: partitions of these topics.
    begun: BTreeMap<TopicPartition, Begun>,
}

/// The end of a partition when a member first looked at it.
#[derive(Debug, Clone, Copy)]
struct Begun {
    topic_id: u128,
    /// Of the store's owner: the next one may have set the end back.
    life: u64,
    offset: Offset,
}

/// A partition that a member reads. It is the partition itself and not its name: a topic that is deleted meanwhile takes
/// nothing else along, and one that is created again is another.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) partition: Partition,
    /// The generation since which the member has had it without a break. Whoever lost a partition and has it again goes
    /// on at what was committed meanwhile, not where it stood.
    pub(crate) since: u64,
    /// It came into being after the group had begun to read its topic, and has not ceased: all of its records were sent since.
    pub(crate) is_new: bool,
}

/// What a member reads, as of one moment.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) generation: u64,
    pub(crate) partitions: Vec<Owned>,
}

#[derive(Debug)]
struct Member {
    topics: Vec<Arc<str>>,
    assignment: BTreeMap<TopicPartition, Owned>,
    /// Raised when the assignment has changed.
    signal: Arc<Signal>,
}

/// The partitions of a topic at one moment.
#[derive(Debug, Clone, Copy)]
struct Existing {
    /// `None` when there was no topic of the name.
    topic_id: Option<u128>,
    partitions: usize,
}

impl Existing {
    fn of(partitions: &[Partition]) -> Self {
        Self { topic_id: partitions.first().map(Partition::topic_id), partitions: partitions.len() }
    }

    /// Whether the partition was one of them.
    fn had(&self, partition: &Partition) -> bool {
        let number = usize::try_from(partition.number()).unwrap_or(usize::MAX);
        self.topic_id == Some(partition.topic_id()) && number < self.partitions
    }
}

impl Group {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, generation: AtomicU64::new(0), members: Mutex::default(), known: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Another number than at the last look means that the assignment may have changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes `member` a member that reads `topics`, or changes what it reads. Returns what it read before.
    pub(super) fn join(
        &self,
        member: &str,
        topics: Vec<Arc<str>>,
        signal: &Arc<Signal>,
        all: &Topics,
    ) -> Vec<Arc<str>> {
        let mut members = self.members.lock();
        let (before, assignment) = match members.by_id.remove(member) {
            Some(before) => (before.topics, before.assignment),
            None => (Vec::new(), BTreeMap::new()),
        };
        let joined = Member { topics, assignment, signal: Arc::clone(signal) };
        members.by_id.insert(member.to_owned(), joined);
        self.assign(&mut members, all);
        before
    }

    /// Returns what the member read.
    pub(super) fn leave(&self, member: &str, all: &Topics) -> Vec<Arc<str>> {
        let mut members = self.members.lock();
        let Some(left) = members.by_id.remove(member) else { return Vec::new() };
        self.assign(&mut members, all);
        left.topics
    }

    /// Assigns again, after a topic was created, grew or went.
    pub(super) fn reassign(&self, all: &Topics) {
        self.assign(&mut self.members.lock(), all);
    }

    fn assign(&self, members: &mut Members, all: &Topics) {
        // Each topic is looked up once: its number of partitions and the partitions are of one moment.
        let mut partitions: BTreeMap<Arc<str>, Vec<Partition>> = BTreeMap::new();
        for topic in members.by_id.values().flat_map(|member| &member.topics) {
            if !partitions.contains_key(topic) {
                // A list that cannot be looked at takes nothing from anybody.
                let found = all.get(topic).ok().or_else(|| all.seen(topic));
                let found = found.map(|topic| topic.partitions()).unwrap_or_default();
                partitions.insert(Arc::clone(topic), found);
            }
        }
        let subscribers: Vec<_> = members
            .by_id
            .iter()
            .map(|(member, state)| Subscriber { member, topics: &state.topics })
            .collect();
        let count =
            |topic: &str| partitions.get(topic).map_or(0, |all| u32::try_from(all.len()).unwrap_or(u32::MAX));
        let assignment = range(&subscribers, count);
        let generation = members.generation + 1;
        members.at_first.retain(|topic, _| partitions.contains_key(topic));
        members.begun.retain(|place, _| partitions.contains_key(place.topic()));
        for (topic, now) in &partitions {
            members.at_first.entry(Arc::clone(topic)).or_insert_with(|| Existing::of(now));
        }
        for (member, assigned) in assignment {
            let Some(state) = members.by_id.get_mut(&member) else { continue };
            let before = std::mem::take(&mut state.assignment);
            for place in assigned {
                let number = usize::try_from(place.partition()).unwrap_or(usize::MAX);
                let Some(partition) = partitions.get(place.topic()).and_then(|all| all.get(number)) else {
                    continue;
                };
                let kept = before.get(&place).filter(|owned| owned.partition.is_same(partition));
                let since = kept.map_or(generation, |owned| owned.since);
                let is_new = members.at_first.get(place.topic()).is_some_and(|first| !first.had(partition));
                state.assignment.insert(place, Owned { partition: partition.clone(), since, is_new });
            }
        }
        all.figures().rebalances.add(1);
        let event = || Event::Rebalanced { group: self.name.to_string(), members: members.by_id.len() };
        all.figures().events.note(event);
        members.generation = generation;
        self.generation.store(generation, Ordering::Release);
        members.by_id.values().for_each(|member| member.signal.raise());
    }

    /// What `member` reads now.
    pub(crate) fn assignment(&self, member: &str) -> Assignment {
        let members = self.members.lock();
        let state = members.by_id.get(member);
        let partitions = state.map(|state| state.assignment.values().cloned().collect()).unwrap_or_default();
        Assignment { generation: members.generation, partitions }
    }

    /// Where a member begins that finds nothing committed and would begin at `end`: where the first of them has. What was sent in between is
    /// handed out to whoever has the partition by now.
    pub(crate) fn begin_at_end(&self, partition: &Partition, life: u64, end: Offset) -> Offset {
        let begins = Begun { topic_id: partition.topic_id(), life, offset: end };
        let place = partition.topic_partition();
        let mut members = self.members.lock();
        // A member that has not noticed yet that it reads the topic no more is not the first of those who come.
        if !members.at_first.contains_key(place.topic()) {
            return end;
        }
        let begun = members.begun.entry(place.clone()).or_insert(begins);
        if (begun.topic_id, begun.life) != (begins.topic_id, begins.life) {
            *begun = begins;
        }
        begun.offset
    }

    /// Runs `act` while nobody's assignment can change.
    pub(super) fn with_members<T>(&self, act: impl FnOnce(&Members) -> T) -> T {
        act(&self.members.lock())
    }

    /// The members, while nobody's assignment can change.
    pub(super) fn hold_members(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }

    /// True when the member has had the partition since the generation it knows.
    pub(crate) fn owns(&self, member: (&str, u64), partition: &Partition) -> bool {
        self.with_members(|members| members.owns(member, partition))
    }

    /// Whether that commit is known to be the last for the partition.
    pub(super) fn has_committed(&self, place: &TopicPartition, asked: &KnownCommit) -> bool {
        self.known.lock().get(place).is_some_and(|known| known.covers(asked))
    }

    /// What is known to be committed for the partition in that life of its owner.
    pub(super) fn last_committed(&self, partition: &Partition, life: u64) -> Option<Offset> {
        let known = self.known.lock();
        let known = known.get(partition.topic_partition())?;
        ((known.topic_id, known.life) == (partition.topic_id(), life)).then_some(known.offset)
    }

    /// Something was committed for a partition; `None` where nobody knows whether it is there.
    pub(super) fn note_committed(&self, place: &TopicPartition, commit: Option<KnownCommit>) {
        let mut known = self.known.lock();
        match commit {
            Some(commit) => known.insert(place.clone(), commit),
            None => known.remove(place),
        };
    }

    /// Nothing is kept of topics that are gone.
    pub(super) fn forget_gone(&self, all: &Topics) {
        let is_gone = |place: &TopicPartition, topic_id| match all.get(place.topic()) {
            Ok(topic) => topic.id() != topic_id,
            Err(error) => matches!(error, Error::UnknownTopic { .. }),
        };
        self.known.lock().retain(|place, known| !is_gone(place, known.topic_id));
    }

    /// How many commits are known.
    #[cfg(test)]
    pub(super) fn known_commits(&self) -> usize {
        self.known.lock().len()
    }

    /// A look has found that committed, by whomever.
    pub(super) fn note_seen(&self, partition: &Partition, offset: Offset, life: u64) {
        let mut known = self.known.lock();
        let seen = KnownCommit::asked((partition, offset), Durability::Os, life);
        let known = known.entry(partition.topic_partition().clone()).or_insert(seen);
        if !known.covers(&seen) {
            *known = seen;
        }
    }

    /// True when one of the members reads the partition.
    pub(super) fn reads(&self, partition: &Partition) -> bool {
        let place = partition.topic_partition();
        let reads = |member: &Member| {
            member.assignment.get(place).is_some_and(|one| one.partition.is_same(partition))
        };
        self.members.lock().by_id.values().any(reads)
    }

    /// Each member's id, and the partitions it reads.
    pub(super) fn readers(&self) -> Vec<(String, Vec<Partition>)> {
        let members = self.members.lock();
        let partitions =
            |member: &Member| member.assignment.values().map(|owned| owned.partition.clone()).collect();
        members.by_id.iter().map(|(id, member)| (id.clone(), partitions(member))).collect()
    }

    /// The members' ids.
    pub(crate) fn members(&self) -> Vec<String> {
        self.members.lock().by_id.keys().cloned().collect()
    }
}

impl Members {
    /// True when the member has had the partition without a break since the generation it knows. One that it lost and
    /// regained without noticing is as foreign as one it lost: what it wants to commit there may lie below what another
    /// member has committed.
    pub(super) fn owns(&self, (member, known): (&str, u64), partition: &Partition) -> bool {
        let owned =
            self.by_id.get(member).and_then(|state| state.assignment.get(partition.topic_partition()));
        owned.is_some_and(|owned| owned.since <= known && owned.partition.is_same(partition))
    }
}
