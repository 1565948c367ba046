//! How transactions ended that a consumer's positions were part of.

use std::collections::BTreeMap;

use crate::locks::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::topic::Partition;
use crate::types::{Offset, TopicPartition};

/// Kept until the consumer takes it in, which others cannot do for it: it belongs to one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// Transactions that took no effect.
    aborted: AtomicU64,
    is_there: AtomicBool,
    /// No more than the consumer has had partitions since it last looked.
    untaken: Mutex<BTreeMap<TopicPartition, Ending>>,
}

/// What it means for one partition.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) partition: Partition,
    /// What was read before that is done.
    pub(crate) done: Option<Offset>,
    /// What was handed out after that is to be handed out again.
    pub(crate) goes_back: bool,
}

impl Endings {
    /// How many transactions took no effect so far.
    pub(crate) fn aborted(&self) -> u64 {
        self.aborted.load(Ordering::Acquire)
    }

    /// The positions were committed.
    pub(super) fn note_applied(&self, positions: &[(Partition, Offset)]) {
        self.note(positions, |ending, offset| (ending.done, ending.goes_back) = (Some(offset), false));
    }

    /// The positions were not committed, and never will be.
    pub(super) fn note_aborted(&self, positions: &[(Partition, Offset)]) {
        self.aborted.fetch_add(1, Ordering::AcqRel);
        self.note(positions, |ending, _| ending.goes_back = true);
    }

    fn note(&self, positions: &[(Partition, Offset)], note: impl Fn(&mut Ending, Offset)) {
        let mut untaken = self.untaken.lock();
        for (partition, offset) in positions {
            let new = || Ending { partition: partition.clone(), done: None, goes_back: false };
            let ending = untaken.entry(partition.topic_partition().clone()).or_insert_with(new);
            if !ending.partition.is_same(partition) {
                *ending = new();
            }
            note(ending, *offset);
        }
        self.is_there.store(true, Ordering::Release);
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> BTreeMap<TopicPartition, Ending> {
        if !self.is_there.swap(false, Ordering::AcqRel) {
            return BTreeMap::new();
        }
        std::mem::take(&mut *self.untaken.lock())
    }
}
