//! Decisions whose markers are written, until these are durable everywhere: a power cut may take them, and then the decision is needed again.

use std::collections::{BTreeSet, VecDeque};

use crate::topic::Partition;
use crate::transaction::ids::ProducerId;
use crate::types::{Offset, Timestamp};

/// With fewer the oldest are looked at alone.
const FEW: usize = 64;

/// All of them, the oldest decision first.
#[derive(Debug)]
pub(super) struct Settling {
    waiting: VecDeque<Settled>,
    /// Id and epoch of those that have written them.
    of_producers: BTreeSet<(i64, i16)>,
    /// With so many all are looked at: one whose markers never become durable, as its partition could not be synced, is in no other's way.
    look_at: usize,
}

/// A decision whose markers are written.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) decision: Offset,
    /// Where they stand.
    pub(super) markers: Vec<(Partition, Offset)>,
    /// When they were written.
    pub(super) since: Timestamp,
    /// Who wrote the transaction, if all of its markers are among these.
    pub(super) producer: Option<ProducerId>,
}

impl Default for Settling {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), of_producers: BTreeSet::new(), look_at: FEW }
    }
}

impl Settling {
    pub(super) fn add(&mut self, settled: Settled) {
        self.of_producers.extend(settled.producer.map(|one| (one.id, one.epoch)));
        let at = self.waiting.partition_point(|one| one.decision <= settled.decision);
        self.waiting.insert(at, settled);
    }

    /// Forgets those whose markers are durable: the oldest, and now and then all, so that there are twice as many as wait at most.
    pub(super) fn forget_durable(&mut self) {
        while self.waiting.front().is_some_and(Settled::is_durable) {
            if let Some(settled) = self.waiting.pop_front() {
                self.let_go(&settled);
            }
        }
        if self.waiting.len() >= self.look_at {
            self.look_through();
        }
    }

    /// Looks at all.
    pub(super) fn look_through(&mut self) {
        let all = std::mem::take(&mut self.waiting);
        let (waiting, settled): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|one| !one.is_durable());
        self.waiting = waiting;
        settled.iter().for_each(|one| self.let_go(one));
        self.look_at = FEW.max(self.waiting.len().saturating_mul(2));
    }

    /// Partitions need not know the producer any more, if nothing that they are ever asked about rests on its transactions. An earlier one may wait for a
    /// marker that never becomes durable in this life: who asks for that one is told by the partitions that have its end.
    fn let_go(&mut self, settled: &Settled) {
        let Some(producer) = settled.producer else { return };
        let ProducerId { id, epoch } = producer;
        self.of_producers.remove(&(id, epoch));
        if self.of_producers.range((id, i16::MIN)..(id, epoch)).next().is_some() {
            return;
        }
        let ended_in = producer.epoch.saturating_add(1);
        settled.markers.iter().for_each(|(partition, _)| partition.log().forget_ended(producer.id, ended_in));
    }

    /// Whether some marker that was written by that time is not durable.
    pub(super) fn waits_since(&self, time: Timestamp) -> bool {
        self.waiting.iter().any(|settled| settled.since <= time && !settled.is_durable())
    }

    pub(super) fn oldest(&self) -> Option<Offset> {
        self.waiting.front().map(|settled| settled.decision)
    }

    pub(super) fn markers(&self) -> impl Iterator<Item = &(Partition, Offset)> {
        self.waiting.iter().flat_map(|settled| &settled.markers)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Settled {
    fn is_durable(&self) -> bool {
        self.markers.iter().all(|(partition, marker)| partition.durable() > *marker || partition.is_deleted())
    }
}
