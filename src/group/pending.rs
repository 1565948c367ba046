//! Offsets that take effect with a transaction.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commit::check_range;
use crate::group::commits::Change;
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::group::endings::Endings;
use crate::group::group::{Group, Members};
use crate::group::groups::Groups;
use crate::locks::{AtomicBool, MutexGuard, Ordering};
use crate::topic::{Contribution, OFFSETS, Outcome, Participant, Partition, Prepared};
use crate::types::{Offset, Timestamp};

/// What a group is to have committed once a transaction is.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) group: Arc<Group>,
    /// The member whose positions they are, and the generation it knows; nobody's for a consumer that assigns itself.
    pub(crate) member: Option<(String, u64)>,
    pub(crate) positions: Vec<(Partition, Offset)>,
    /// Of the consumer whose positions they are, and how many were aborted when it said them.
    pub(crate) endings: Option<(Arc<Endings>, u64)>,
}

/// All offsets that take effect with one transaction.
#[derive(Debug)]
pub(crate) struct PendingOffsets {
    groups: Arc<Groups>,
    pending: Vec<Pending>,
    /// It takes effect, or nobody can say.
    is_kept: AtomicBool,
}

impl PendingOffsets {
    pub(crate) fn new(groups: &Arc<Groups>) -> Self {
        Self { groups: Arc::clone(groups), pending: Vec::new(), is_kept: AtomicBool::new(false) }
    }

    /// Where a consumer stands; what it said before is forgotten.
    pub(crate) fn set(&mut self, pending: Pending) {
        self.pending.retain(|earlier| {
            earlier.member != pending.member || earlier.group.name() != pending.group.name()
        });
        self.pending.push(pending);
    }

    fn with_endings(&self) -> impl Iterator<Item = (&Pending, &(Arc<Endings>, u64))> {
        self.pending.iter().filter_map(|one| Some((one, one.endings.as_ref()?)))
    }
}

impl Participant for PendingOffsets {
    fn topic(&self) -> &'static str {
        OFFSETS.name
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let mut pending: Vec<_> = self.pending.iter().filter(|one| !one.positions.is_empty()).collect();
        // The same order for all, so that no two wait for each other.
        pending.sort_by(|one, other| one.group.name().cmp(other.group.name()));
        if let Some([one, _]) = pending
            .windows(2)
            .find(|pair| matches!(pair, [one, other] if one.group.name() == other.group.name()))
        {
            let name = one.group.name();
            return Err(Error::invalid(format!("two consumers of group {name:?} in one transaction")));
        }
        if pending.is_empty() {
            return Ok(None);
        }
        let (mut held, mut changes, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
        for one in pending {
            let members = one.member.as_ref().map(|_| one.group.hold_members());
            one.changes(members.as_deref(), self.groups.clock.now(), (&mut changes, &mut inputs))?;
            held.extend(members);
        }
        let committed = self.groups.committed.lock();
        // Before the transaction holds the partitions it writes to, that of the commits among them.
        self.groups.write_owed()?;
        let partition = self.groups.ledger.partition()?;
        let entries = changes.iter().map(Change::entry).collect::<Result<Vec<_>>>()?;
        let contribution = Contribution { partition, entries, inputs };
        Ok(Some(Box::new(Held { offsets: self, _members: held, committed, changes, contribution })))
    }
}

impl Drop for PendingOffsets {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Acquire) {
            for (one, (endings, _)) in self.with_endings() {
                endings.note_aborted(&one.positions);
            }
        }
    }
}

/// Nobody loses a partition whose position is among these, and no other commit comes between.
struct Held<'a> {
    offsets: &'a PendingOffsets,
    committed: MutexGuard<'a, Committed>,
    _members: Vec<MutexGuard<'a, Members>>,
    changes: Vec<Change>,
    contribution: Contribution,
}

impl Prepared for Held<'_> {
    fn contribution(&self) -> &Contribution {
        &self.contribution
    }

    fn end(mut self: Box<Self>, outcome: Outcome) {
        self.offsets.is_kept.store(outcome != Outcome::Aborted, Ordering::Release);
        if outcome == Outcome::Applied {
            for (one, (endings, _)) in self.offsets.with_endings() {
                endings.note_applied(&one.positions);
            }
            for Change { group, place, commit } in std::mem::take(&mut self.changes) {
                self.committed.set(&group, &place, commit);
            }
        }
    }
}

impl Pending {
    /// What is to be written of it, and what was read.
    fn changes(
        &self,
        members: Option<&Members>,
        timestamp: Timestamp,
        (changes, inputs): (&mut Vec<Change>, &mut Vec<(Partition, Offset)>),
    ) -> Result<()> {
        if let Some((endings, before)) = &self.endings
            && endings.aborted() != *before
        {
            let group = self.group.name();
            return Err(Error::invalid(format!(
                "another transaction with offsets of this consumer of group {group:?} was aborted since: the consumer goes back, poll it again"
            )));
        }
        let owner = self.member.as_ref().zip(members);
        for (partition, offset) in &self.positions {
            let (place, offset) = (partition.topic_partition(), *offset);
            partition.log().check_open()?;
            if let Some(((member, known), members)) = owner
                && !members.owns((member, *known), partition)
            {
                return Err(Error::NotAssigned {
                    partition: place.clone(),
                    group: self.group.name().to_owned(),
                    member: member.clone(),
                });
            }
            check_range(partition, offset)?;
            let at = CommittedOffset { offset, metadata: String::new(), timestamp };
            let commit = Some(Commit { topic_id: partition.topic_id(), names_id: true, at });
            changes.push(Change { group: Arc::clone(&self.group.name), place: place.clone(), commit });
            inputs.extend((offset > 0).then(|| (partition.clone(), offset - 1)));
        }
        Ok(())
    }
}
