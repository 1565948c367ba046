//! How transactions ended that a consumer's positions were part of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::io::Process;
use crate::locks::{AtomicBool, Mutex, Ordering};
use crate::topic::Partition;
use crate::types::{Offset, TopicPartition};

/// Kept until the consumer takes it in, which others cannot do for it: it belongs to one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    /// A child's copy of a transaction ends nothing.
    process: Process,
    /// A transaction holds the positions: nobody else commits them.
    is_claimed: AtomicBool,
    is_there: AtomicBool,
    untaken: Mutex<Ending>,
}

/// What the end of a transaction means for the consumer.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What was committed: what lies below is done. No more than the partitions that the consumer has had since it last looked.
    pub(crate) done: BTreeMap<TopicPartition, (Partition, Offset)>,
    /// What was handed out, and is not done, is to be handed out again.
    pub(crate) goes_back: bool,
}

/// The positions of a consumer are a transaction's, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    endings: Arc<Endings>,
    /// Nobody can say how it ends.
    is_open_ended: AtomicBool,
    has_applied: AtomicBool,
}

impl Endings {
    /// `None` while another transaction has them.
    pub(super) fn claim(self: &Arc<Self>) -> Option<Claim> {
        if self.is_claimed.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Claim {
            endings: Arc::clone(self),
            is_open_ended: AtomicBool::new(false),
            has_applied: AtomicBool::new(false),
        })
    }

    /// Whether a transaction has the positions.
    pub(crate) fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Acquire)
    }

    /// Whether the consumer has still to go back.
    pub(crate) fn goes_back(&self) -> bool {
        self.is_there.load(Ordering::Acquire) && self.untaken.lock().goes_back
    }

    /// Up to where a partition is done, by what came since the last [`take`](Self::take).
    pub(crate) fn done(&self, partition: &Partition) -> Option<Offset> {
        let untaken = self.untaken.lock();
        let (of, done) = untaken.done.get(partition.topic_partition())?;
        of.is_same(partition).then_some(*done)
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Option<Ending> {
        self.is_there.swap(false, Ordering::AcqRel).then(|| std::mem::take(&mut *self.untaken.lock()))
    }
}

impl Claim {
    /// Whether it is of that consumer.
    pub(super) fn is_of(&self, endings: &Arc<Endings>) -> bool {
        Arc::ptr_eq(&self.endings, endings)
    }

    /// The positions were committed.
    pub(super) fn note_applied(&self, positions: &[(Partition, Offset)]) {
        let mut untaken = self.endings.untaken.lock();
        for (partition, offset) in positions {
            let done = (partition.clone(), *offset);
            untaken.done.insert(partition.topic_partition().clone(), done);
        }
        self.has_applied.store(true, Ordering::Release);
    }

    /// Whether they were shows when the store is opened again.
    pub(super) fn note_unknown(&self) {
        self.is_open_ended.store(true, Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.endings.process.is_current() {
            return;
        }
        let (has_applied, is_open_ended) =
            (self.has_applied.load(Ordering::Acquire), self.is_open_ended.load(Ordering::Acquire));
        if !has_applied && !is_open_ended {
            self.endings.untaken.lock().goes_back = true;
        }
        self.endings.is_there.store(true, Ordering::Release);
        self.endings.is_claimed.store(false, Ordering::Release);
    }
}
