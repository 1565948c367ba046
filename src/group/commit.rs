//! Committing: what a consumer asks for, and whether it may.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::commits::Change;
use crate::group::committed::{Commit, CommittedOffset};
use crate::group::group::{Group, KnownCommit, Members};
use crate::group::groups::Groups;
use crate::log::{RetentionPolicy, TransactionId};
use crate::topic::Partition;
use crate::types::{Durability, Offset};

/// Kafka's `offset.metadata.max.bytes`.
const METADATA_MOST_BYTES: usize = 4096;

/// What a consumer wants committed.
#[derive(Debug)]
pub(crate) struct CommitRequest<'a> {
    /// The member, and the group's generation at its last look. Without one, anybody may commit: a consumer that assigns
    /// itself.
    pub(crate) member: Option<(&'a str, u64)>,
    pub(crate) positions: Vec<(Partition, Offset)>,
    pub(crate) metadata: &'a str,
    pub(crate) durability: Durability,
    pub(crate) kind: CommitKind,
    /// Those of them that are left out, as they go over what a power cut may take back, or where it cannot be seen how far their partition goes, unless
    /// nothing is committed for another cause.
    pub(crate) unsettled: Vec<Unsettled>,
}

/// A position over work that does not come to survive a power cut, or in a partition that cannot be seen, and why not.
pub(crate) type Unsettled = (Partition, Error);

/// What a commit is to do with positions that are not to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitKind {
    /// The offsets were given: each must be in range and of a partition that the member owns, or nothing is committed.
    Given,
    /// They are where the consumer stands: those of deleted topics are left out, those beyond an end, those that cannot be committed before the
    /// store is opened again, and those that are committed already.
    Positions,
    /// The same without being asked: partitions that the group has given away are the new owner's to commit.
    Automatic,
}

/// What became of a commit.
struct CommittedFor {
    /// What was written.
    positions: Vec<(Partition, Offset)>,
    /// Of what the caller is told that it survives a power cut, where that was asked for: what was known before, too.
    told: Vec<(Partition, Offset)>,
}

/// What a commit has left out that stands otherwise.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// These are not committed.
    pub(crate) partitions: Vec<Partition>,
    /// Why, or why some of the rest may be taken back by a power cut; nothing where nobody is to be told.
    pub(crate) why: Option<Error>,
}

impl LeftOut {
    fn add(&mut self, partition: &Partition, why: Option<Error>) {
        self.partitions.push(partition.clone());
        self.tell(why);
    }

    /// What may pass goes before what stays so as long as the store is open: it is to be tried again.
    fn tell(&mut self, why: Option<Error>) {
        if self.why.as_ref().is_none_or(is_for_good) {
            self.why = why.or_else(|| self.why.take());
        }
    }

    /// That what was committed may be taken back goes before why others were left out; but what an automatic commit is to try again goes
    /// before what stays so.
    fn tell_of_committed(&mut self, why: Option<Error>) {
        match why {
            // A poll that decides where it goes on has it tried again.
            Some(_) if matches!(self.why, Some(Error::OffsetOutOfRange { .. })) => self.why = why,
            Some(why) if !is_for_good(&why) => self.why = Some(why),
            why => self.tell(why),
        }
    }
}

/// Whether what was left out for this stays so until the store is opened again.
pub(crate) fn is_for_good(why: &Error) -> bool {
    match why {
        Error::OffsetNotCommitted { cause, .. } => is_for_good(cause),
        Error::OffsetUndecided { .. } | Error::Poisoned { .. } => true,
        _ => false,
    }
}

impl Groups {
    /// Commits all positions or none, where they fit into one batch of the topic that stores them (16 MiB); automatically, those that it can.
    /// What a consumer has of one partition alone that cannot be committed is left out of either.
    pub(crate) fn commit(&self, group: &Group, mut request: CommitRequest<'_>) -> Result<LeftOut> {
        if request.metadata.len() > METADATA_MOST_BYTES {
            return Err(Error::invalid(format!(
                "commit metadata is longer than {METADATA_MOST_BYTES} bytes"
            )));
        }
        let (durability, kind) = (request.durability, request.kind);
        let mut left_out = LeftOut::default();
        if durability == Durability::Disk && !self.topics.is_read_only() {
            // The work of a transaction that is taken back would be nobody's.
            let keep = |transactions: &BTreeSet<_>| self.topics.clearing().keep(transactions);
            match kind {
                CommitKind::Given => keep(&self.laid_over(group, &request.positions))?,
                CommitKind::Positions | CommitKind::Automatic => {
                    request.unsettled = self.unsettled(group, &request.positions, keep);
                }
            }
        }
        // Before any end is looked at: what an owner sets back that comes from here on is of an earlier life.
        let life = self.topics.owners_life();
        request.unsettled.extend(unseen(&request.positions, kind)?);
        let CommittedFor { positions, told } = match request.member {
            None => self.commit_for(group, request, (None, life, &mut left_out))?,
            Some(_) => group.with_members(|members| {
                self.commit_for(group, request, (Some(members), life, &mut left_out))
            })?,
        };
        if self.topics.is_read_only() {
            // The owner takes it in from the spool, and drops what is consumed.
            return Ok(left_out);
        }
        if durability == Durability::Disk {
            // After all locks: a sync takes long, and other groups go on meanwhile.
            self.ledger.sync()?;
            // Who has moved some of that there would do so once more if it was taken back, and it would be read again.
            let settled = told.iter().map(|(partition, offset)| partition.settle_through(offset - 1));
            // One is in no other's way.
            left_out.tell_of_committed(settled.fold(Ok(()), Result::and).err());
        }
        // The commit stands whatever becomes of this; the next round of maintenance tries again and reports.
        positions.iter().for_each(|(partition, _)| drop(self.drop_consumed(partition)));
        Ok(left_out)
    }

    /// Those of the positions that are laid over transactions for which `settle` fails, or were committed with them. One is in no other's way.
    pub(crate) fn unsettled(
        &self,
        group: &Group,
        positions: &[(Partition, Offset)],
        settle: impl Fn(&BTreeSet<TransactionId>) -> Result<()>,
    ) -> Vec<Unsettled> {
        if settle(&self.laid_over(group, positions)).is_ok() {
            return Vec::new();
        }
        let unsettled = positions.iter().filter_map(|one| {
            let cause = settle(&self.laid_over(group, std::slice::from_ref(one))).err()?;
            let (group, partition) = (group.name().to_owned(), one.0.topic_partition().clone());
            let why = Error::OffsetNotCommitted { group, partition, cause: Arc::new(cause) };
            Some((one.0.clone(), why))
        });
        unsettled.collect()
    }

    /// The transactions in which positions were moved to where they are committed, and in which those were committed that stand there still.
    pub(crate) fn laid_over(
        &self,
        group: &Group,
        positions: &[(Partition, Offset)],
    ) -> BTreeSet<TransactionId> {
        let committed = self.committed.lock();
        let commits = positions.iter().filter_map(|(partition, offset)| {
            let commit = committed.of(group.name(), partition.topic_partition());
            commit.filter(|one| one.is_for(partition)).map(|one| (one, one.at.offset == *offset))
        });
        // What has moved on is written anew.
        commits.flat_map(|(one, stays)| [one.written_in.filter(|_| stays), one.moved_in]).flatten().collect()
    }

    fn commit_for(
        &self,
        group: &Group,
        request: CommitRequest<'_>,
        (members, life, left_out): (Option<&Members>, u64, &mut LeftOut),
    ) -> Result<CommittedFor> {
        let CommitRequest { member, positions, metadata, kind, durability, unsettled } = request;
        let owner = member.zip(members);
        let timestamp = self.clock.now();
        let mut committed = self.committed.lock();
        let (mut changes, mut written, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (partition, offset) in positions {
            let place = partition.topic_partition();
            // Of a topic that was deleted nobody owns anything, and that is what is to be said.
            match partition.log().check_open() {
                Err(Error::UnknownTopic { .. } | Error::Poisoned { .. }) if kind != CommitKind::Given => {
                    continue;
                }
                is_open => is_open?,
            }
            if let Some((member, members)) = owner
                && !members.owns(member, &partition)
            {
                if kind == CommitKind::Automatic {
                    left_out.add(&partition, None);
                    continue;
                }
                return Err(Error::NotAssigned {
                    partition: place.clone(),
                    group: group.name().to_owned(),
                    member: member.0.to_owned(),
                });
            }
            if let Some((_, why)) = unsettled.iter().find(|(one, _)| one.is_same(&partition)) {
                left_out.add(&partition, Some(why.clone()));
                continue;
            }
            match committed.doubts.check(group.name(), place, partition.topic_id()) {
                Err(undecided) if kind != CommitKind::Given => {
                    left_out.add(&partition, Some(undecided));
                    continue;
                }
                decided => decided?,
            }
            match check_range(&partition, offset) {
                // Where a consumer was sought to, say: it is in no other's way, and passes when a poll decides where it goes on.
                Err(beyond) if kind != CommitKind::Given => {
                    left_out.add(&partition, Some(beyond));
                    continue;
                }
                in_range => in_range?,
            }
            if durability == Durability::Disk {
                told.push((partition.clone(), offset));
            }
            let is_known = |commit: &Commit| {
                let is_same = commit.at.offset == offset && commit.is_for(&partition);
                // What was seen may be in the cache alone, or above an end to which an owner sets it back. The owner has done so, and syncs it in any
                // case; elsewhere it is written once more.
                let is_home = !self.topics.is_read_only();
                let asked = KnownCommit::asked((&partition, offset), durability, life);
                is_same && (is_home || group.has_committed(place, &asked))
            };
            if kind != CommitKind::Given && committed.of(group.name(), place).is_some_and(is_known) {
                continue;
            }
            let at = CommittedOffset { offset, metadata: metadata.to_owned(), timestamp };
            let commit = Some(Commit::outside(&partition, at));
            changes.push(Change { group: Arc::clone(&group.name), place: place.clone(), commit });
            written.push((partition, offset));
        }
        if self.spool(&mut committed, (group, &changes), (durability, life))? {
            return Ok(CommittedFor { positions: written, told });
        }
        self.write(&mut committed, changes)?;
        Ok(CommittedFor { positions: written, told })
    }

    /// Makes the room of a queue: full segments that every group has read go with the commit that reads their last record. The active
    /// one is left to a round of maintenance, or each commit would begin another; not where it is much of what the partition may hold.
    pub(crate) fn drop_consumed(&self, partition: &Partition) -> Result<()> {
        let topic = self.topics.get(partition.topic())?;
        if !topic.settings().drops_consumed() {
            return Ok(());
        }
        if !self.consumed_below(partition).is_some_and(|below| partition.log().has_much_below(below)) {
            return Ok(());
        }
        let policy =
            RetentionPolicy { keep_from: self.removable_below(partition)?, ..RetentionPolicy::default() };
        let ask = || if topic.settings().drops_consumed() { policy } else { RetentionPolicy::default() };
        partition.apply_retention(ask).map(drop)
    }
}

/// Sees how far these partitions go by now where another process writes them, and returns those of which that cannot be seen: they are in no other's
/// way, unless the offsets were given. Under no lock: a look may have to wait for that process, and others of this one have less time.
fn unseen(positions: &[(Partition, Offset)], kind: CommitKind) -> Result<Vec<Unsettled>> {
    let mut unseen = Vec::new();
    for (partition, _) in positions {
        match partition.log().look() {
            Err(why) if kind != CommitKind::Given => {
                unseen.push((partition.clone(), partition.log().explain(why)));
            }
            seen => seen?,
        }
    }
    Ok(unseen)
}

/// An offset beyond the end would skip records that are not written yet.
pub(super) fn check_range(partition: &Partition, offset: Offset) -> Result<()> {
    let (start, end) = (partition.start(), partition.end());
    if (0..=end).contains(&offset) {
        return Ok(());
    }
    let partition = partition.topic_partition().clone();
    Err(Error::OffsetOutOfRange { partition, requested: offset, start, end })
}
