//! Offsets that take effect with a transaction.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commit::check_range;
use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::group::{Group, Members};
use crate::group::groups::Groups;
use crate::topic::{Entry, Partition};
use crate::types::{Offset, Record};

/// What a group is to have committed once a transaction is.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) group: Arc<Group>,
    /// The member whose positions they are, and the generation it knows; nobody's for a consumer that assigns itself.
    pub(crate) member: Option<(String, u64)>,
    pub(crate) positions: Vec<(Partition, Offset)>,
}

/// The records that say so, and where they go.
#[derive(Debug)]
pub(crate) struct PendingRecords<'a> {
    entries: &'a [Entry],
    pub(crate) partition: Partition,
    /// What was read, and the last offset that was.
    pub(crate) inputs: Vec<(Partition, Offset)>,
}

impl PendingRecords<'_> {
    pub(crate) fn records(&self) -> Vec<Record<'_>> {
        self.entries.iter().map(Entry::record).collect()
    }
}

/// Groups of which one after the other is held.
struct Held<'a> {
    pending: &'a [&'a Pending],
    changes: Vec<Change>,
    inputs: Vec<(Partition, Offset)>,
}

impl Groups {
    /// Has `act` write and decide, and takes over what it has decided. Meanwhile nobody loses a partition whose position is
    /// among these, and no other commit comes between.
    pub(crate) fn commit_within<T>(
        &self,
        pending: &[Pending],
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let mut pending: Vec<_> = pending.iter().filter(|one| !one.positions.is_empty()).collect();
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
            return act(None);
        }
        self.within(Held { pending: &pending, changes: Vec::new(), inputs: Vec::new() }, act)
    }

    /// Holds the groups that are left to hold, one after the other.
    fn within<T>(
        &self,
        held: Held<'_>,
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let Some((one, rest)) = held.pending.split_first() else { return self.decide(held, act) };
        let held = Held { pending: rest, ..held };
        match &one.member {
            None => self.within(self.with_changes(held, one, None)?, act),
            Some(_) => one
                .group
                .with_members(|members| self.within(self.with_changes(held, one, Some(members))?, act)),
        }
    }

    fn with_changes<'a>(
        &self,
        mut held: Held<'a>,
        pending: &Pending,
        members: Option<&Members>,
    ) -> Result<Held<'a>> {
        let timestamp = self.clock.now();
        let owner = pending.member.as_ref().zip(members);
        for (partition, offset) in &pending.positions {
            let (place, offset) = (partition.topic_partition(), *offset);
            partition.log().check_open()?;
            if let Some(((member, known), members)) = owner
                && !members.owns((member, *known), partition)
            {
                return Err(Error::NotAssigned {
                    partition: place.clone(),
                    group: pending.group.name().to_owned(),
                    member: member.clone(),
                });
            }
            check_range(partition, offset)?;
            let at = CommittedOffset { offset, metadata: String::new(), timestamp };
            let commit = Some(Commit { topic_id: partition.topic_id(), names_id: true, at });
            held.changes.push(Change {
                group: Arc::clone(&pending.group.name),
                place: place.clone(),
                commit,
            });
            held.inputs.extend((offset > 0).then(|| (partition.clone(), offset - 1)));
        }
        Ok(held)
    }

    fn decide<T>(
        &self,
        held: Held<'_>,
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let Held { changes, inputs, .. } = held;
        let mut committed = self.committed.lock();
        // Before the transaction holds the partitions it writes to, that of the commits among them.
        self.write_owed()?;
        let partition = self.ledger.partition()?;
        let entries = changes.iter().map(Change::entry).collect::<Result<Vec<_>>>()?;
        let records = PendingRecords { entries: &entries, partition, inputs };
        let outcome = act(Some(&records))?;
        changes.into_iter().for_each(|change| committed.set(&change.group, &change.place, change.commit));
        Ok(outcome)
    }
}
