//! One group: its members and what each of them reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::group::assignor::{Subscriber, range};
use crate::locks::{AtomicU64, Mutex, Ordering};
use crate::log::Signal;
use crate::topic::Topics;
use crate::types::TopicPartition;

/// A group. Assignments change atomically under its lock; members see the change at their next poll.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) name: Arc<str>,
    /// Counts the assignments. Changed under `members`, read without.
    generation: AtomicU64,
    members: Mutex<BTreeMap<String, Member>>,
}

/// A partition that a member reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) place: TopicPartition,
    /// The generation since which the member has had it without a break. Whoever lost a partition and has it again goes
    /// on at what was committed meanwhile, not where it stood.
    pub(crate) since: u64,
}

#[derive(Debug)]
struct Member {
    topics: Vec<Arc<str>>,
    assignment: Vec<Owned>,
    /// Raised when the assignment has changed.
    signal: Arc<Signal>,
}

impl Group {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, generation: AtomicU64::new(0), members: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Another number than at the last look means that the assignment may have changed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes `member` a member that reads `topics`, or changes what it reads.
    pub(crate) fn join(&self, member: &str, topics: Vec<Arc<str>>, signal: &Arc<Signal>, all: &Topics) {
        let mut members = self.members.lock();
        let before = members.remove(member).map(|before| before.assignment).unwrap_or_default();
        let joined = Member { topics, assignment: before, signal: Arc::clone(signal) };
        members.insert(member.to_owned(), joined);
        self.assign(&mut members, all);
    }

    pub(crate) fn leave(&self, member: &str, all: &Topics) {
        let mut members = self.members.lock();
        if members.remove(member).is_some() {
            self.assign(&mut members, all);
        }
    }

    /// Assigns anew, after a topic was created, grew or went.
    pub(super) fn reassign(&self, all: &Topics) {
        self.assign(&mut self.members.lock(), all);
    }

    fn assign(&self, members: &mut BTreeMap<String, Member>, all: &Topics) {
        let subscribers: Vec<_> =
            members.iter().map(|(member, state)| Subscriber { member, topics: &state.topics }).collect();
        let assignment =
            range(&subscribers, |topic| all.get(topic).map_or(0, |topic| topic.partition_count()));
        let generation = self.generation() + 1;
        for (member, assigned) in assignment {
            if let Some(state) = members.get_mut(&member) {
                let before = std::mem::take(&mut state.assignment);
                let since = |place: &TopicPartition| before.iter().find(|owned| owned.place == *place);
                let owned = assigned.into_iter().map(|place| {
                    let since = since(&place).map_or(generation, |owned| owned.since);
                    Owned { place, since }
                });
                state.assignment = owned.collect();
            }
        }
        self.generation.store(generation, Ordering::Release);
        members.values().for_each(|member| member.signal.raise());
    }

    /// What `member` reads now.
    pub(crate) fn assignment(&self, member: &str) -> Vec<Owned> {
        self.members.lock().get(member).map(|state| state.assignment.clone()).unwrap_or_default()
    }

    /// Runs `act` while nobody's assignment can change, if the member has owned all of `places` since the generation it
    /// knows; else returns the first it has not. A partition that it lost and regained behind its back is as foreign as one
    /// it lost: what it wants to commit there may lie below what another member has committed.
    pub(super) fn while_owned<'a, T>(
        &self,
        (member, known): (&str, u64),
        mut places: impl Iterator<Item = &'a TopicPartition>,
        act: impl FnOnce() -> T,
    ) -> Result<T, &'a TopicPartition> {
        let members = self.members.lock();
        let owned = members.get(member).map(|state| state.assignment.as_slice()).unwrap_or_default();
        let is_owned =
            |place: &TopicPartition| owned.iter().any(|one| one.place == *place && one.since <= known);
        match places.find(|place| !is_owned(place)) {
            Some(foreign) => Err(foreign),
            None => Ok(act()),
        }
    }

    /// True when one of the members reads the partition.
    pub(super) fn reads(&self, place: &TopicPartition) -> bool {
        self.members.lock().values().any(|member| member.assignment.iter().any(|owned| owned.place == *place))
    }

    /// The members' ids.
    pub(crate) fn members(&self) -> Vec<String> {
        self.members.lock().keys().cloned().collect()
    }
}
