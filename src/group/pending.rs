//! Offsets that take effect with a transaction.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commit_log::{Change, Encoded};
use crate::group::group::Group;
use crate::group::groups::{CommitRequest, Groups, apply};
use crate::topic::Partition;
use crate::types::{Durability, Offset, Record, TopicPartition};

/// What a group is to have committed once a transaction is.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) group: Arc<Group>,
    /// The member whose offsets they are, and the generation it knows; nobody's for a consumer that assigns itself.
    pub(crate) member: Option<(String, u64)>,
    pub(crate) offsets: Vec<(TopicPartition, Offset)>,
}

impl Pending {
    /// Whether the other takes the place of this one.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        self.group.name() == other.group.name() && self.member == other.member
    }

    fn request(&self) -> CommitRequest<'_> {
        let member = self.member.as_ref().map(|(member, generation)| (member.as_str(), *generation));
        CommitRequest { member, offsets: self.offsets.clone(), metadata: "", durability: Durability::Os }
    }
}

/// The records that say so, and where they go.
#[derive(Debug)]
pub(crate) struct PendingRecords<'a> {
    encoded: &'a [Encoded],
    /// The topic's id.
    pub(crate) topic: u128,
    pub(crate) partition: Partition,
    /// The partitions that were read, by their topics' ids, and the last offset that was.
    pub(crate) inputs: Vec<(u128, Partition, Offset)>,
}

impl PendingRecords<'_> {
    pub(crate) fn records(&self) -> Vec<Record<'_>> {
        self.encoded.iter().map(Encoded::record).collect()
    }
}

impl Groups {
    /// Has `act` write and decide, and takes over what it has decided. Meanwhile nobody loses a partition whose offset is among
    /// these, and no other commit comes between.
    pub(crate) fn commit_within<T>(
        &self,
        pending: &[Pending],
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let mut pending: Vec<_> = pending.iter().filter(|one| !one.offsets.is_empty()).collect();
        if pending.is_empty() {
            return act(None);
        }
        // The same order for all, so that no two wait for each other.
        pending.sort_by(|one, other| one.group.name().cmp(other.group.name()));
        self.within(&pending, &pending, act)
    }

    /// Holds the groups that are left to hold, one after the other.
    fn within<T>(
        &self,
        left: &[&Pending],
        all: &[&Pending],
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let Some((first, rest)) = left.split_first() else { return self.decide(all, act) };
        let Some((member, generation)) = &first.member else { return self.within(rest, all, act) };
        if all
            .iter()
            .take_while(|one| !std::ptr::eq(**one, *first))
            .any(|one| one.group.name() == first.group.name())
        {
            return Err(Error::invalid(format!(
                "two members of group {:?} in one transaction",
                first.group.name()
            )));
        }
        let places = first.offsets.iter().map(|(place, _)| place);
        match first.group.while_owned((member, *generation), places, || self.within(rest, all, act)) {
            Ok(outcome) => outcome,
            Err(foreign) => Err(Error::NotAssigned {
                partition: foreign.to_string(),
                group: first.group.name().to_owned(),
                member: member.clone(),
            }),
        }
    }

    fn decide<T>(
        &self,
        pending: &[&Pending],
        act: impl FnOnce(Option<&PendingRecords<'_>>) -> Result<T>,
    ) -> Result<T> {
        let mut changes: Vec<Change> = Vec::new();
        let mut inputs = Vec::new();
        for one in pending {
            changes.extend(self.changes(&one.group, &one.request())?);
            for (place, offset) in one.offsets.iter().filter(|(_, offset)| *offset > 0) {
                let topic = self.topic(place.topic())?;
                inputs.push((topic.id(), topic.partition(place.partition())?, offset - 1));
            }
        }
        let mut committed = self.lock_committed();
        let (topic, partition) = self.log().place()?;
        let encoded = changes.iter().map(Encoded::of).collect::<Result<Vec<_>>>()?;
        let records = PendingRecords { encoded: &encoded, topic, partition, inputs };
        let outcome = act(Some(&records))?;
        apply(&mut committed, changes);
        Ok(outcome)
    }
}
