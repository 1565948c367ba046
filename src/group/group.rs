//! One group: its members and what each of them reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::group::assignor::{Subscriber, range};
use crate::partition::Signal;
use crate::sync::{AtomicU64, Mutex, Ordering};
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

#[derive(Debug)]
struct Member {
    topics: Vec<Arc<str>>,
    assignment: Vec<TopicPartition>,
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
        let joined = Member { topics, assignment: Vec::new(), signal: Arc::clone(signal) };
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
        for (member, assigned) in assignment {
            if let Some(state) = members.get_mut(&member) {
                state.assignment = assigned;
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        members.values().for_each(|member| member.signal.raise());
    }

    /// What `member` reads now.
    pub(crate) fn assignment(&self, member: &str) -> Vec<TopicPartition> {
        self.members.lock().get(member).map(|state| state.assignment.clone()).unwrap_or_default()
    }

    /// Runs `act` while nobody's assignment can change, if `member` owns all of `places`; else returns the first it does
    /// not own.
    pub(super) fn while_owned<T>(
        &self,
        member: &str,
        mut places: impl Iterator<Item = TopicPartition>,
        act: impl FnOnce() -> T,
    ) -> Result<T, TopicPartition> {
        let members = self.members.lock();
        let owned = members.get(member).map(|state| &state.assignment);
        match places.find(|place| !owned.is_some_and(|owned| owned.contains(place))) {
            Some(foreign) => Err(foreign),
            None => Ok(act()),
        }
    }

    /// The members' ids.
    pub(super) fn members(&self) -> Vec<String> {
        self.members.lock().keys().cloned().collect()
    }
}
