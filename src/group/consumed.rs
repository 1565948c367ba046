//! How far a partition is read by all who read it: what retention may take.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::error::Result;
use crate::group::group::Group;
use crate::group::groups::Groups;
use crate::log::TransactionId;
use crate::topic::Partition;
use crate::types::Offset;

/// How much of a partition is not needed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumed {
    /// Nobody reads it.
    Nobody,
    /// Somebody reads it who has not said how far.
    Nothing,
    /// What lies below the offset.
    Below(Offset),
}

impl Consumed {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, one) | (one, Self::Nobody) => one,
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Below(one), Self::Below(other)) => Self::Below(one.min(other)),
        }
    }
}

/// How far groups have read a partition, and the transactions that their commits took effect with, and that have done the work below: found under one
/// lock. A commit that comes over one of these later is no reason why that one should be durable.
#[derive(Debug)]
struct Read {
    consumed: Consumed,
    written_in: Vec<TransactionId>,
}

/// Readers that are no consumer groups.
pub(crate) trait OtherReaders: fmt::Debug + Send + Sync {
    /// How far all of them have read.
    fn consumed(&self, partition: &Partition) -> Consumed;

    /// Returns when what they have read so far stays read after a power cut, and what they are to know of a partition's records is
    /// known without them.
    fn sync(&self, partition: &Partition) -> Result<()>;
}

impl Groups {
    /// Has what others read count like what groups have read.
    pub(crate) fn count_too(&self, others: &Arc<dyn OtherReaders>) {
        drop(self.others.set(Arc::downgrade(others)));
    }

    fn others(&self) -> Option<Arc<dyn OtherReaders>> {
        self.others.get().and_then(Weak::upgrade)
    }

    /// How far every group has read the partition: those that have committed for it, and those with a member that reads it.
    fn consumed_by_groups(&self, partition: &Partition) -> Read {
        let place = partition.topic_partition();
        let mut reading = self.register.lock().readers_of(place.topic());
        reading.retain(|group| group.reads(partition));
        let committed = self.committed.lock();
        let has_committed =
            |group: &Arc<Group>| committed.of(group.name(), place).is_some_and(|one| one.is_for(partition));
        if !reading.iter().all(has_committed) {
            return Read { consumed: Consumed::Nothing, written_in: Vec::new() };
        }
        let commits = || committed.of_partition(place).filter(|one| one.is_for(partition));
        let lowest = commits().map(|one| one.at.offset).min();
        let written_in = commits().flat_map(|one| [one.written_in, one.moved_in]).flatten().collect();
        Read { consumed: lowest.map_or(Consumed::Nobody, Consumed::Below), written_in }
    }

    /// How far groups in other processes have read it, by commits that are not folded. The lowest counts: they may be in the cache alone, and
    /// what was committed before them holds then.
    fn consumed_elsewhere(&self, partition: &Partition) -> Result<Consumed> {
        let place = partition.topic_partition();
        let Some(spooled) = self.spooled()? else { return Ok(Consumed::Nobody) };
        let lowest = spooled.read.lowest(place, partition.topic_id());
        Ok(lowest.map_or(Consumed::Nobody, Consumed::Below))
    }

    /// The offset below which every group has read the partition, the largest there is where no group reads it; `None` where one has
    /// not said how far. It is durable.
    pub(crate) fn read_by_groups(&self, partition: &Partition) -> Result<Option<Offset>> {
        if self.unreadable.is_some() {
            return Ok(None);
        }
        // First: what is folded meanwhile is found among the groups.
        let elsewhere = self.consumed_elsewhere(partition)?;
        let read = self.consumed_by_groups(partition);
        match read.consumed.and(elsewhere) {
            Consumed::Nobody => Ok(Some(Offset::MAX)),
            Consumed::Nothing => Ok(None),
            Consumed::Below(offset) => self.sync_consumed(&read.written_in).map(|()| Some(offset)),
        }
    }

    /// The offset below which every group, and every other reader, has read the partition, as long as no power cut takes back a
    /// commit.
    pub(super) fn consumed_below(&self, partition: &Partition) -> Option<Offset> {
        self.consumed_by_all(partition).map(|(consumed, _)| consumed)
    }

    fn consumed_by_all(&self, partition: &Partition) -> Option<(Offset, Vec<TransactionId>)> {
        if self.unreadable.is_some() {
            // Some group may not have read any of it.
            return None;
        }
        let by_others = self.others().map_or(Consumed::Nobody, |others| others.consumed(partition));
        // What cannot be read holds everything back.
        let elsewhere = self.consumed_elsewhere(partition).unwrap_or(Consumed::Nothing);
        let read = self.consumed_by_groups(partition);
        match read.consumed.and(by_others).and(elsewhere) {
            Consumed::Below(consumed) => Some((consumed, read.written_in)),
            Consumed::Nobody | Consumed::Nothing => None,
        }
    }

    /// Where the last segment ends that may go for it: that is durable by then, and so are transactions that have records there. Otherwise a power cut could
    /// take back a commit, or a transaction that somebody then makes once more, and not the deletion that followed from it.
    pub(crate) fn removable_below(&self, partition: &Partition) -> Result<Option<Offset>> {
        let Some((consumed, written_in)) = self.consumed_by_all(partition) else { return Ok(None) };
        // Of what is decided meanwhile nothing goes, and nothing from a transaction on that a power cut takes back.
        let Some(mut below) = partition.log().segments_below(consumed.min(partition.stable())) else {
            return Ok(None);
        };
        if let Some((first, error)) = partition.log().first_unsound(below) {
            below = partition.log().segments_below(first).ok_or(error)?;
        }
        self.sync_consumed(&written_in)?;
        self.others().map_or(Ok(()), |others| others.sync(partition))?;
        partition.settle_through(below - 1)?;
        Ok(Some(below))
    }

    /// Returns when what was committed survives a power cut: what was committed with a transaction does as soon as that does.
    pub(super) fn sync_consumed(&self, written_in: &[TransactionId]) -> Result<()> {
        if let Err(not_ended) = self.topics.write_decided() {
            // What keeps others from their ends is in nobody's way here.
            not_ended.of(written_in.iter().copied())?;
        }
        self.ledger.sync()
    }
}
