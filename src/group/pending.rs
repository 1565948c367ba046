//! Offsets that take effect with a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commit::check_range;
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::group::endings::{Claim, Endings, IsOver, Unclaimable};
use crate::group::group::{Group, Members};
use crate::group::groups::Groups;
use crate::group::taken::TakenGroup;
use crate::locks::MutexGuard;
use crate::log::{Clearing, TransactionId};
use crate::topic::{Contribution, OFFSETS, Outcome, Participant, Partition, Prepared, WrittenIn};
use crate::types::{Offset, Timestamp, TopicPartition};

/// What a group is to have committed once a transaction is.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) group: Arc<Group>,
    /// The member whose positions they are, and the generation it knows; nobody's for a consumer that assigns itself.
    pub(crate) member: Option<(String, u64)>,
    pub(crate) positions: Vec<(Partition, Offset)>,
    /// A partition that is not among them, and of which the consumer has handed out what is not done: the group has given it away since, or the
    /// consumer has let it go. With the consumer's id.
    pub(crate) owed: Option<(TopicPartition, String)>,
    /// Partitions of which nothing was handed out behind what is done, with that: there may be others that were read once more, to where they stood.
    pub(crate) untouched: BTreeMap<TopicPartition, Offset>,
    /// All others from which something was handed out: it lies from there to the position.
    pub(crate) touched: BTreeMap<TopicPartition, Offset>,
    /// Of the consumer whose positions they are.
    pub(crate) endings: Option<Arc<Endings>>,
    /// What is said besides.
    pub(crate) beyond: Option<Beyond>,
    /// Keeps the group this process's until nobody commits these any more; nothing where whoever commits them does.
    pub(crate) _taken: Option<Arc<TakenGroup>>,
}

/// What a position does not say.
#[derive(Debug, Clone)]
pub(crate) struct Beyond {
    /// Committed with each of the positions.
    pub(crate) text: String,
    /// Each partition was read up to here: what the text says rests on that.
    pub(crate) read_to: Offset,
    /// What was read was put there by these, which may be taken back by a power cut: it rests on them, too.
    pub(crate) follows: BTreeSet<TransactionId>,
}

/// All offsets that take effect with one transaction.
#[derive(Debug)]
pub(crate) struct PendingOffsets {
    groups: Arc<Groups>,
    pending: Vec<Claimed>,
    /// Whether the transaction is.
    is_over: IsOver,
}

/// Positions, and that nobody else commits them meanwhile.
#[derive(Debug)]
struct Claimed {
    pending: Pending,
    claim: Option<Claim>,
}

impl PendingOffsets {
    pub(crate) fn new(groups: &Arc<Groups>, is_over: IsOver) -> Self {
        Self { groups: Arc::clone(groups), pending: Vec::new(), is_over }
    }

    /// Whether nothing was read of the partition that follows the earlier position.
    fn leaves(&self, change: &Change) -> bool {
        let mut of_group =
            self.pending.iter().map(|one| &one.pending).filter(|one| one.group.name() == &*change.group);
        of_group.any(|one| one.beyond.is_some() || one.untouched.contains_key(&change.place))
    }

    /// Where a consumer stands; what it said before is forgotten.
    pub(crate) fn set(&mut self, pending: Pending) -> Result<()> {
        let Some(endings) = &pending.endings else {
            self.pending.push(Claimed { pending, claim: None });
            return Ok(());
        };
        let is_same = |earlier: &Claimed| earlier.claim.as_ref().is_some_and(|claim| claim.is_of(endings));
        let name = pending.group.name();
        if let Some(earlier) = self.pending.iter_mut().find(|earlier| is_same(earlier)) {
            if !earlier.claim.as_ref().is_some_and(Claim::renew) {
                return Err(Error::invalid(format!(
                    "the transaction has ended, and the offsets of this consumer of group {name:?} are no longer in it"
                )));
            }
            earlier.pending = pending;
            return Ok(());
        }
        if self.pending.iter().any(|other| other.pending.group.name() == name) {
            return Err(two_of_one_group(name));
        }
        let claim = endings.claim(&self.is_over).map_err(|why| match why {
            Unclaimable::GoesBack => goes_back(name),
            Unclaimable::IsAnothers => Error::invalid(format!(
                "another transaction holds the offsets of this consumer of group {name:?}: commit or drop it first"
            )),
        })?;
        self.pending.push(Claimed { pending, claim: Some(claim) });
        Ok(())
    }
}

/// The error for positions behind what a transaction without effect had.
pub(crate) fn goes_back(group: &str) -> Error {
    Error::invalid(format!(
        "a transaction with the offsets of this consumer of group {group:?} took no effect, and the consumer goes back: poll it before you commit its offsets"
    ))
}

fn two_of_one_group(name: &str) -> Error {
    Error::invalid(format!("two consumers of group {name:?} in one transaction"))
}

impl Participant for PendingOffsets {
    fn topic(&self) -> &'static str {
        OFFSETS.name
    }

    fn doubt(&self) -> Option<Box<dyn FnOnce() + Send + Sync>> {
        let (groups, pending) = (Arc::clone(&self.groups), self.pending.iter());
        let of_groups: Vec<_> = pending.map(|Claimed { pending, .. }| pending.clone()).collect();
        Some(Box::new(move || {
            for Pending { group, positions, .. } in of_groups {
                let partitions: Vec<_> = positions.into_iter().map(|(partition, _)| partition).collect();
                groups.doubt(&group, &partitions);
            }
        }))
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let pending = self.pending.iter().map(|one| &one.pending);
        pending.clone().try_for_each(Pending::check_owes_nothing)?;
        let mut pending: Vec<_> = pending.filter(|one| !one.positions.is_empty()).collect();
        // The same order for all, so that no two wait for each other.
        pending.sort_by(|one, other| one.group.name().cmp(other.group.name()));
        if let Some([one, _]) = pending
            .windows(2)
            .find(|pair| matches!(pair, [one, other] if one.group.name() == other.group.name()))
        {
            return Err(two_of_one_group(one.group.name()));
        }
        if pending.is_empty() {
            return Ok(None);
        }
        let now = self.groups.clock.now();
        let held = pending.iter().map(|one| one.member.as_ref().map(|_| one.group.hold_members()));
        let held: Vec<_> = held.collect();
        let mut wanted = Wanted::default();
        // From here on nobody commits for another topic that gets the name of one of theirs: none of these is laid over that.
        let committed = self.groups.committed.lock();
        for (one, members) in pending.iter().zip(&held) {
            let with = (members.as_deref(), &*committed, self.groups.topics.clearing());
            one.add_to(&mut wanted, with, now)?;
        }
        let Wanted { changes, inputs, behind, follows } = wanted;
        for Change { group, place, commit } in &changes {
            let topic_id = commit.as_ref().map_or(0, |commit| commit.topic_id);
            committed.doubts.check(group, place, topic_id)?;
        }
        // Before the transaction holds the partitions it writes to, that of the commits among them.
        self.groups.write_owed()?;
        let partition = self.groups.ledger.partition()?;
        let entries = changes.iter().map(Change::entry).collect::<Result<Vec<_>>>()?;
        let mut laid_over = laid_over_by(&committed, &changes);
        laid_over.extend(follows);
        let (laid_over, written_in) = (laid_over.into_iter().collect(), WrittenIn::default());
        // A position follows from the earlier one of its group and partition.
        let owners = entries.iter().map(|entry| entry.key.clone()).collect();
        let contribution = Contribution { partition, entries, inputs, behind, owners, laid_over, written_in };
        Ok(Some(Box::new(Held { offsets: self, _members: held, committed, changes, contribution })))
    }
}

/// What is to be written of positions, and what they rest on.
#[derive(Debug, Default)]
struct Wanted {
    changes: Vec<Change>,
    /// What was read.
    inputs: Vec<(Partition, Offset)>,
    /// What lies below positions that were not committed before.
    behind: Vec<(Partition, Offset)>,
    /// Who has put there what was read.
    follows: BTreeSet<TransactionId>,
}

/// The transactions in which the work was done that these positions stand behind.
fn laid_over_by(committed: &Committed, changes: &[Change]) -> BTreeSet<TransactionId> {
    let replaced = changes.iter().filter_map(|change| change.before(committed)?.moved_in);
    replaced.collect()
}

impl Change {
    /// What it replaces that is of the same topic.
    fn before<'c>(&self, committed: &'c Committed) -> Option<&'c Commit> {
        let topic_id = self.commit.as_ref().map(|commit| commit.topic_id);
        committed.of(&self.group, &self.place).filter(|before| Some(before.topic_id) == topic_id)
    }

    /// The transaction that has moved the position to where it is: one that leaves it where it was has done no work there.
    fn moved_in(
        &self,
        committed: &Committed,
        (own, is_untouched): (Option<TransactionId>, bool),
    ) -> Option<TransactionId> {
        let said = |commit: &Commit| (commit.at.offset, commit.at.metadata.clone());
        let before = self.before(committed);
        let stays = self.commit.as_ref().map(said) == Some(before.map_or_else(Default::default, said));
        if stays && is_untouched { before.and_then(|before| before.moved_in) } else { own }
    }
}

/// Nobody loses a partition whose position is among these, and no other commit comes between.
struct Held<'a> {
    offsets: &'a PendingOffsets,
    committed: MutexGuard<'a, Committed>,
    _members: Vec<Option<MutexGuard<'a, Members>>>,
    changes: Vec<Change>,
    contribution: Contribution,
}

impl Held<'_> {
    /// The positions of these that are among what is written: what was left out is done as far as it was.
    fn committed_of<'p>(&self, pending: &'p Pending) -> impl Iterator<Item = &'p (Partition, Offset)> {
        let of_group = self.changes.iter().filter(|change| *change.group == *pending.group.name());
        let written: BTreeSet<_> = of_group.map(|change| change.place.clone()).collect();
        pending.positions.iter().filter(move |(partition, _)| written.contains(partition.topic_partition()))
    }
}

impl Prepared for Held<'_> {
    fn contribution(&self) -> &Contribution {
        &self.contribution
    }

    fn end(mut self: Box<Self>, outcome: Outcome) {
        for Claimed { pending, claim } in &self.offsets.pending {
            match (claim, outcome) {
                (Some(claim), Outcome::Applied) => claim.note_applied(self.committed_of(pending)),
                (Some(claim), Outcome::Unknown) => claim.note_unknown(),
                (Some(_), Outcome::Aborted) | (None, _) => {}
            }
        }
        let written_in = self.contribution.written_in.transaction();
        for change in std::mem::take(&mut self.changes) {
            let is_untouched = self.offsets.leaves(&change);
            let moved_in = change.moved_in(&self.committed, (written_in, is_untouched));
            let Change { group, place, commit } = change;
            let topic_id = commit.as_ref().map_or(0, |commit| commit.topic_id);
            match outcome {
                Outcome::Applied => {
                    let commit = commit.map(|commit| Commit { written_in, moved_in, ..commit });
                    self.committed.set(&group, &place, commit);
                }
                Outcome::Unknown => self.committed.doubts.add(&group, &place, topic_id),
                Outcome::Aborted => {}
            }
        }
    }
}

impl Pending {
    fn not_assigned(&self, partition: &TopicPartition, member: &str) -> Error {
        let (partition, group) = (partition.clone(), self.group.name().to_owned());
        Error::NotAssigned { partition, group, member: member.to_owned() }
    }

    /// An error where the consumer owes a partition, also where it has no other.
    fn check_owes_nothing(&self) -> Result<()> {
        let owed = self.owed.as_ref();
        owed.map_or(Ok(()), |(place, consumer)| Err(self.not_assigned(place, consumer)))
    }

    /// Adds what is to be written of it, and what was read.
    fn add_to(
        &self,
        wanted: &mut Wanted,
        (members, committed, clearing): (Option<&Members>, &Committed, &Clearing),
        timestamp: Timestamp,
    ) -> Result<()> {
        let owner = self.member.as_ref().zip(members);
        for (partition, offset) in &self.positions {
            let (place, offset) = (partition.topic_partition(), *offset);
            partition.log().check_open()?;
            if let Some(((member, known), members)) = owner
                && !members.owns((member, *known), partition)
            {
                return Err(self.not_assigned(place, member));
            }
            check_range(partition, offset)?;
            let done = self.untouched.get(place);
            let there = done.and_then(|done| self.committed_there(committed, (partition, *done)));
            if there.is_some_and(|commit| stays(commit, partition, clearing)) {
                continue;
            }
            let metadata = self.beyond.as_ref().map_or_else(String::new, |beyond| beyond.text.clone());
            let at = CommittedOffset { offset, metadata, timestamp };
            let commit = Some(Commit::outside(partition, at));
            wanted.changes.push(Change { group: Arc::clone(&self.group.name), place: place.clone(), commit });
            let read_to = self.beyond.as_ref().map_or(offset, |beyond| beyond.read_to.max(offset));
            wanted.inputs.extend((read_to > 0).then(|| (partition.clone(), read_to - 1)));
            if there.is_none() && self.beyond.is_none() {
                wanted.behind.push((partition.clone(), offset - 1));
            }
            let read = self.touched.get(place).map(|done| partition.log().committed_in(*done, offset));
            wanted.follows.extend(read.into_iter().flatten());
        }
        wanted.follows.extend(self.beyond.iter().flat_map(|beyond| &beyond.follows));
        Ok(())
    }

    /// What is committed where a partition is done already.
    fn committed_there<'c>(
        &self,
        committed: &'c Committed,
        (partition, done): (&Partition, Offset),
    ) -> Option<&'c Commit> {
        let is_there = |commit: &&Commit| commit.is_for(partition) && commit.at.offset == done;
        committed.of(self.group.name(), partition.topic_partition()).filter(is_there)
    }
}

/// Whether what is committed already, where nothing was read since, would keep the others from being committed before the store
/// is opened again: where its partition can be synced no more, or what it was moved with, or what lies there, cannot become durable. It is left out, and
/// goes with what it was committed with where a power cut takes that back.
fn stays(commit: &Commit, partition: &Partition, clearing: &Clearing) -> bool {
    let moved_in = commit.moved_in.into_iter().collect();
    let is_unsound = clearing.check_sound(&moved_in).is_err();
    let is_behind_unsound = || clearing.check_seen(partition.topic_id(), partition.number()).is_err();
    partition.log().poisoned_by().is_some() || is_unsound || is_behind_unsound()
}
