//! The consumer: polling, and what belongs to its membership.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::consumer::assigned::{Assigned, LookedUp};
use crate::consumer::auto_commit::AutoCommit;
use crate::consumer::builder::{ConsumerBuilder, Settings};
use crate::consumer::commit::told;
use crate::consumer::owed::Owed;
use crate::consumer::rebalance::Unreported;
use crate::consumer::waker::ConsumerWaker;
use crate::error::{Error, Result};
use crate::group::{Endings, Group, Groups, Owned};
use crate::io::{Process, in_drop_each};
use crate::log::Signal;
use crate::topic::{Topics, refuse_group};
use crate::types::TopicPartition;

/// Reads records, as a member of a group ([`subscribe`](Self::subscribe)) or from partitions it chooses itself
/// ([`assign`](Self::assign)). It belongs to one thread at a time; dropping it leaves the group.
///
/// The members of a group share the partitions of the topics they subscribe to: each partition has one reader. When
/// members join or leave, the partitions are assigned again at once; a member sees it at its next poll, and a commit for a
/// partition it has lost is refused. The member that gets the partition begins at what was committed.
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
pub struct Consumer {
    /// Which built it.
    pub(super) process: Process,
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) settings: Settings,
    /// Raised when a partition has more to read, the group has shared out its partitions again, or the store closes.
    pub(super) signal: Arc<Signal>,
    pub(super) waker: ConsumerWaker,
    pub(super) group: Option<Arc<Group>>,
    pub(super) member: String,
    pub(super) role: Role,
    pub(super) assigned: BTreeMap<TopicPartition, Assigned>,
    /// The partition at which the next poll begins, so that one that is busy, or fails, does not starve the others.
    pub(super) next: Option<TopicPartition>,
    /// The partition whose look has panicked last, until one does not. A poll that has something to hand out does not look at it.
    pub(super) panicked: Option<TopicPartition>,
    pub(super) auto_commit: AutoCommit,
    /// What it has handed out of partitions that it reads no more.
    pub(super) owed: Owed,
    /// Topics it read as a member that were deleted, and that no poll has reported yet.
    pub(super) deleted: BTreeSet<Arc<str>>,
    pub(super) unreported: Unreported,
    /// How transactions ended that its positions were part of.
    pub(super) endings: Arc<Endings>,
}

/// How the consumer came by its partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    Idle,
    /// The group gave them; this is the generation of the assignment it knows.
    Member(u64),
    /// It chose them itself.
    SelfAssigned,
}

impl Consumer {
    pub(super) fn new(builder: ConsumerBuilder) -> Result<Self> {
        let ConsumerBuilder { topics, groups, settings } = builder;
        topics.check_open()?;
        settings.group.as_deref().map_or(Ok(()), refuse_group)?;
        let group = settings.group.as_deref().map(|name| groups.take(name)).transpose()?;
        let member = groups.new_member(&settings.client_id);
        let auto_commit = AutoCommit::new(settings.auto_commit);
        let signal: Arc<Signal> = Arc::default();
        topics.watch_close(&signal);
        Ok(Self {
            process: Process::current(),
            topics,
            groups,
            settings,
            waker: ConsumerWaker::new(&signal),
            signal,
            group,
            member,
            role: Role::Idle,
            assigned: BTreeMap::new(),
            next: None,
            panicked: None,
            auto_commit,
            owed: Owed::default(),
            deleted: BTreeSet::new(),
            unreported: Unreported::default(),
            endings: Arc::default(),
        })
    }

    /// Returns its id in the group.
    pub fn member_id(&self) -> &str {
        &self.member
    }

    /// Joins the group as a reader of these topics, instead of any it read before. The partitions are assigned at once. What
    /// [`auto_commit`](ConsumerBuilder::auto_commit) has to commit is committed first.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) without a group, [`UnknownTopic`](Error::UnknownTopic): nothing changes. In a process that does not own
    /// the store, also whatever keeps it from seeing what the group has committed: it has joined then, and the next poll looks again.
    pub fn subscribe<T: Into<Arc<str>>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        self.topics.check_process()?;
        let Some(group) = self.group.clone() else {
            return Err(Error::config(
                "group.id",
                "",
                "subscribing needs a group: without one, assign partitions",
            ));
        };
        self.topics.check_open()?;
        let topics: Vec<Arc<str>> = topics.into_iter().map(Into::into).collect();
        topics.iter().try_for_each(|topic| self.topics.get(topic).map(drop))?;
        self.commit_before_they_go();
        if self.role == Role::SelfAssigned {
            self.drop_all();
        }
        self.groups.join(&group, &self.member, topics.clone(), &self.signal);
        self.deleted.clear();
        if !matches!(self.role, Role::Member(_)) {
            // No assignment has that number.
            self.role = Role::Member(0);
        }
        let taken = self.take_assignment(&group);
        // Of one that it has turned away from it is told nothing.
        self.deleted.retain(|topic| topics.contains(topic));
        taken
    }

    /// Reads these partitions, whatever others read, instead of those it read before. It leaves the group as a reader; commits
    /// still go to the group, unchecked. What [`auto_commit`](ConsumerBuilder::auto_commit) has to commit is committed first.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition), and in a process that does not own the store
    /// whatever keeps it from seeing what the group has committed: nothing changes.
    pub fn assign<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) -> Result<()> {
        self.topics.check_open()?;
        let places: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        let mut partitions = Vec::new();
        for place in &places {
            let partition = self.topics.get(place.topic())?.partition(place.partition())?;
            partitions.push(Owned { partition, since: 0, is_new: false });
        }
        // Before it is seen where to begin: one of them may be among those that it reads now.
        self.commit_before_they_go();
        let found = self.look_up(partitions)?;
        if let Some(unseen) = found.iter().find_map(|(_, found)| found.committed.as_ref().err()) {
            return Err(unseen.clone());
        }
        self.leave_group();
        self.deleted.clear();
        self.role = Role::SelfAssigned;
        self.take(found);
        Ok(())
    }

    /// Stops reading all partitions, and leaves the group. What [`auto_commit`](ConsumerBuilder::auto_commit) has to commit is committed first:
    /// [`auto_commit_failure`](Self::auto_commit_failure) says why if it was not. A [transaction](crate::Transaction::commit_offsets) with the
    /// consumer's offsets is refused after that if polls have returned records that are not done: it would leave theirs out.
    pub fn unsubscribe(&mut self) {
        if !self.process.is_current() {
            return;
        }
        self.commit_before_they_go();
        self.leave_group();
        self.deleted.clear();
        self.role = Role::Idle;
        self.drop_all();
    }

    /// Returns the partitions it reads, as of its last poll.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assigned.keys().cloned().collect()
    }

    /// Takes over what the group has assigned since the last look.
    pub(super) fn follow_group(&mut self) -> Result<()> {
        self.topics.check_process()?;
        self.groups.follow_topics();
        let mut followed = Ok(());
        if let (Role::Member(known), Some(group)) = (&self.role, self.group.clone())
            && group.generation() != *known
        {
            followed = self.take_assignment(&group);
        }
        self.take_in_endings();
        followed
    }

    /// Goes back where a transaction with its positions took no effect: everywhere, for what was handed out since it was given them is
    /// nobody's either.
    pub(super) fn take_in_endings(&mut self) {
        let Some(ending) = self.endings.take() else { return };
        for (place, done) in ending.done {
            self.owed.settle(&done);
            if let Some(assigned) =
                self.assigned.get_mut(&place).filter(|one| one.partition.is_same(&done.partition))
            {
                assigned.note_ended(&done);
            }
        }
        if ending.goes_back {
            self.owed.clear();
            self.assigned.values_mut().for_each(Assigned::go_back);
        }
        // Also where it took effect: what was handed out after it was given the positions is not committed yet.
        self.auto_commit.note_change();
    }

    fn take_assignment(&mut self, group: &Group) -> Result<()> {
        let assignment = group.assignment(&self.member);
        let found = self.look_up(assignment.partitions)?;
        self.role = Role::Member(assignment.generation);
        self.take(found);
        Ok(())
    }

    /// What the group has committed for those of the partitions that it does not have already. One of which that cannot be seen is in no
    /// other's way: it is looked up again when it is its turn.
    fn look_up(&self, partitions: Vec<Owned>) -> Result<Vec<(Owned, LookedUp)>> {
        let life = self.topics.owners_life();
        let is_kept = |owned: &Owned| {
            self.assigned.get(owned.partition.topic_partition()).is_some_and(|kept| is_same(kept, owned))
        };
        let Some(group) = self.group.as_ref().filter(|_| !partitions.iter().all(is_kept)) else {
            let nothing = || LookedUp { committed: Ok(None), life };
            return Ok(partitions.into_iter().map(|owned| (owned, nothing())).collect());
        };
        self.groups.look()?;
        let mut unseen = None;
        let look_up = |owned: Owned| {
            let committed = match &unseen {
                _ if is_kept(&owned) => Ok(None),
                // Such a look may take long: one of them is enough for now.
                Some(why) => Err(Error::clone(why)),
                None => self.groups.look_up(group, &owned.partition).map(|found| found.map(|at| at.offset)),
            };
            unseen = unseen.take().or_else(|| committed.as_ref().err().cloned());
            (owned, LookedUp { committed, life })
        };
        Ok(partitions.into_iter().map(look_up).collect())
    }

    /// Sees to it that it is known where to begin in a partition.
    pub(super) fn settle(&mut self, place: &TopicPartition) -> Result<()> {
        let life = self.topics.owners_life();
        let unseen = self.assigned.get_mut(place).filter(|one| one.is_unseen(life));
        let Some(unseen) = unseen else { return Ok(()) };
        let Some(group) = &self.group else { return Ok(()) };
        let committed = self.groups.look_up(group, &unseen.partition).map(|found| found.map(|at| at.offset));
        unseen.note(LookedUp { committed: committed.clone(), life });
        committed.map(drop)
    }

    /// Reads `partitions` from here on. Those it has had without a break go on where they are.
    fn take(&mut self, partitions: Vec<(Owned, LookedUp)>) {
        let mut before = std::mem::take(&mut self.assigned);
        let given_by = self.group.clone().filter(|_| matches!(self.role, Role::Member(_)));
        for (owned, looked_up) in partitions {
            let place = owned.partition.topic_partition().clone();
            if self.assigned.contains_key(&place) {
                // A consumer that assigns itself has named it twice.
                continue;
            }
            let kept = match before.remove(&place) {
                Some(kept) if is_same(&kept, &owned) => kept,
                lost => {
                    lost.into_iter().for_each(|lost| self.lose(&place, &lost));
                    self.unreported.note_assigned(&place);
                    self.endings.note_moved(&place);
                    owned.partition.log().watch(&self.signal);
                    Assigned::new(owned, looked_up, given_by.clone())
                }
            };
            self.assigned.insert(place, kept);
        }
        for (place, lost) in before {
            self.lose(&place, &lost);
        }
        self.auto_commit.note_change();
    }

    /// The partition is no longer this consumer's. A member is told of a deletion, also when the topic has a successor.
    fn lose(&mut self, place: &TopicPartition, lost: &Assigned) {
        self.let_go(place, lost);
        if lost.partition.is_gone() {
            if matches!(self.role, Role::Member(_)) {
                self.deleted.insert(Arc::clone(place.shared_topic()));
            }
        } else if self.group.is_some() {
            self.owed.note(lost, &self.endings);
        }
    }

    /// Commits what was returned by polls if commits are automatic, and leaves the group. Dropping the consumer only leaves the group.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit), except for partitions that the group has given to others: those are theirs to commit. After the store
    /// was closed [`NotCommitted`](Error::NotCommitted), if there was something to commit.
    pub fn close(mut self) -> Result<()> {
        self.topics.check_process()?;
        if self.settings.auto_commit.is_none() {
            return Ok(());
        }
        match self.commit_automatically() {
            Err(Error::StoreClosed { .. }) => self.check_all_committed(),
            outcome => told(outcome?),
        }
    }

    fn leave_group(&mut self) {
        if let (Role::Member(_), Some(group)) = (&self.role, &self.group) {
            self.groups.leave(group, &self.member);
        }
    }

    fn give_group_back(&mut self) {
        self.group.iter().for_each(|group| self.groups.give_back(group));
    }

    fn drop_all(&mut self) {
        for (place, lost) in std::mem::take(&mut self.assigned) {
            self.lose(&place, &lost);
        }
    }

    pub(super) fn let_go(&mut self, place: &TopicPartition, lost: &Assigned) {
        lost.partition.log().unwatch(&self.signal);
        self.unreported.note_revoked(place);
    }
}

/// Whether a partition was the consumer's without a break.
fn is_same(kept: &Assigned, owned: &Owned) -> bool {
    kept.since == owned.since && kept.partition.is_same(&owned.partition)
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.as_ref().map(|group| group.name());
        let mut shown = f.debug_struct("Consumer");
        shown.field("group", &group).field("member", &self.member).field("partitions", &self.assigned.len());
        shown.finish_non_exhaustive()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // A child's copy is no member of anything, and another thread may have held these locks when the child was made.
            return;
        }
        // A group that is not given back stays out of reach for other processes.
        let parts: [fn(&mut Self); 4] = [
            Self::leave_group,
            Self::drop_all,
            |consumer| consumer.topics.unwatch_close(&consumer.signal),
            Self::give_group_back,
        ];
        in_drop_each(parts, |part| part(self));
    }
}
