//! One round of syncs: everything that a decision rests on, side by side.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::io::thread;
use crate::log::DurableWait;
use crate::topic::Partition;
use crate::transaction::pieces::{Place, place_of};
use crate::types::Offset;

/// More than this many syncs at a time gain nothing on one disk.
const AT_A_TIME: usize = 8;

/// Up to which offset, that one included, each partition is to be durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Round(BTreeMap<Place, (Partition, Offset)>);

impl Round {
    pub(super) fn add(&mut self, partition: &Partition, last: Offset) {
        let through = self.0.entry(place_of(partition)).or_insert_with(|| (partition.clone(), last));
        through.1 = through.1.max(last);
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        other.0.values().for_each(|(partition, last)| self.add(partition, *last));
    }

    /// Adds what of another one is not durable yet.
    pub(super) fn add_unsynced(&mut self, other: &Self) {
        let unsynced = other.0.values().filter(|one| !is_durable(one));
        unsynced.for_each(|(partition, last)| self.add(partition, *last));
    }

    /// The same, but for partitions of which nothing becomes durable any more.
    pub(super) fn add_sound(&mut self, other: &Self) {
        let is_sound = |(partition, _): &&(Partition, Offset)| partition.log().poisoned_by().is_none();
        let unsynced = other.0.values().filter(is_sound).filter(|one| !is_durable(one));
        unsynced.for_each(|(partition, last)| self.add(partition, *last));
    }

    pub(super) fn forget_durable(&mut self) {
        self.0.retain(|_, one| !is_durable(one));
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Partition, Offset)> {
        self.0.values()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// An error where something of it cannot become durable before the store is opened again.
    pub(super) fn check_sound(&self) -> Result<()> {
        self.0
            .values()
            .filter(|one| !is_durable(one))
            .try_for_each(|(partition, _)| partition.log().check_poison())
    }

    /// The same, and has what an earlier life has left in the page cache be where a sync reaches it: that can be refused, as by a full disk. From
    /// then on it is only a failed sync that keeps it from the disk.
    pub(super) fn bring_over(&self) -> Result<()> {
        self.check_sound()?;
        let left = self.0.values().filter(|one| !is_durable(one));
        left.map(|(partition, _)| partition.log()).try_for_each(|log| match log.settle_left() {
            Err(Error::UnknownTopic { .. }) => Ok(()),
            settled => settled,
        })
    }

    /// Waits for all of it to survive a power cut. What was deleted since is not waited for.
    pub(super) fn waits(&self) -> Result<Vec<DurableWait>> {
        let waits = self.0.values().map(|(partition, last)| partition.log().await_durable(*last));
        waits.collect()
    }

    /// Whether all of it is durable, or gone.
    pub(super) fn is_durable(&self) -> bool {
        self.0.values().all(is_durable)
    }

    /// Returns when all of it survives a power cut, in as long as the slowest takes; what was deleted since is not waited for. After
    /// a failure [`is_durable`](Self::is_durable) of a part says whether that does.
    pub(super) fn sync(&self) -> Result<()> {
        let waiting: Vec<_> =
            self.0.values().filter(|(partition, last)| partition.durable() <= *last).collect();
        // One that fails keeps none of the others from it.
        waiting.chunks(AT_A_TIME).map(sync_together).fold(Ok(()), Result::and)
    }
}

fn is_durable((partition, last): &(Partition, Offset)) -> bool {
    partition.durable() > *last || partition.is_deleted()
}

fn sync_together(targets: &[&(Partition, Offset)]) -> Result<()> {
    let Some(((mine, last), others)) = targets.split_first().map(|(first, rest)| ((&first.0, first.1), rest))
    else {
        return Ok(());
    };
    let sync = |(partition, last): &(Partition, Offset)| sync_one(partition, *last);
    // The explorer of schedules knows no threads but its own.
    if others.is_empty() || cfg!(annals_shuttle) {
        return targets.iter().copied().try_for_each(sync);
    }
    std::thread::scope(|scope| {
        let mut begun = Vec::new();
        for target in others.iter().copied() {
            let started =
                thread("annals-sync").and_then(|thread| thread.spawn_scoped(scope, move || sync(target)));
            begun.push(started.map_err(|_| target));
        }
        let mut outcome = sync_one(mine, last);
        for thread in begun {
            let one = match thread {
                // A panic there is one of the file system's, and the partition knows of it.
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(Error::invalid("a sync has panicked"))),
                // No thread is to be had: one after the other takes longer, and is as good.
                Err(target) => sync(target),
            };
            outcome = outcome.and(one);
        }
        outcome
    })
}

/// What was deleted since is not waited for.
fn sync_one(partition: &Partition, last: Offset) -> Result<()> {
    match partition.log().sync_through(last) {
        Err(Error::UnknownTopic { .. }) => Ok(()),
        synced => synced,
    }
}
