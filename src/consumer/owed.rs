//! What a consumer has handed out of partitions that it reads no more.

use std::collections::BTreeMap;

use crate::consumer::assigned::Assigned;
use crate::group::{Done, Endings};
use crate::topic::Partition;
use crate::types::{Offset, TopicPartition};

/// Partitions that its group has taken from it, or that it has let go itself, behind records that it has handed out and that nothing has made
/// done: a transaction with its positions would leave theirs out.
#[derive(Debug, Default)]
pub(super) struct Owed(BTreeMap<TopicPartition, Owes>);

#[derive(Debug)]
struct Owes {
    partition: Partition,
    /// Where these records end, if the transaction that had the positions then may make them done.
    until: Option<Offset>,
}

impl Owes {
    fn is_settled_by(&self, done: &Done) -> bool {
        self.partition.is_same(&done.partition) && self.until.is_some_and(|until| until <= done.offset)
    }
}

impl Owed {
    /// The consumer reads that one no more.
    pub(super) fn note(&mut self, lost: &Assigned, endings: &Endings) {
        let (partition, place) = (&lost.partition, lost.partition.topic_partition());
        // In this order: what a transaction makes done in between is found to be done.
        let may_be_settled = endings.may_make_done(place);
        let Some(until) = lost.touched_until(endings.done(partition).as_ref()) else { return };
        let mut until = may_be_settled.then_some(until);
        if let Some(earlier) = self.0.get(place).filter(|earlier| earlier.partition.is_same(partition)) {
            until = until.zip(earlier.until).map(|(one, other)| one.max(other));
        }
        self.0.retain(|_, owes| !owes.partition.is_gone());
        self.0.insert(place.clone(), Owes { partition: partition.clone(), until });
    }

    /// A transaction has committed that.
    pub(super) fn settle(&mut self, done: &Done) {
        self.0.retain(|_, owes| !owes.is_settled_by(done));
    }

    /// All of it is done, or comes again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// One of them that is there, after what transactions have made done.
    pub(super) fn first(&self, endings: &Endings) -> Option<&TopicPartition> {
        let is_owed = |owes: &Owes| {
            let done = endings.done(&owes.partition);
            !owes.partition.is_gone() && !done.is_some_and(|done| owes.is_settled_by(&done))
        };
        self.0.iter().find(|(_, owes)| is_owed(owes)).map(|(place, _)| place)
    }
}
