//! How transactions ended that a consumer's positions were part of.

use std::collections::{BTreeMap, BTreeSet};
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
    /// That one. Locked alone, or under `untaken`.
    claimed: Mutex<Option<Arc<Claimed>>>,
    is_there: AtomicBool,
    untaken: Mutex<Ending>,
    /// Partitions in which the consumer was set to another place since a transaction was given its positions. Locked last.
    moved: Mutex<BTreeSet<TopicPartition>>,
}

/// What the end of a transaction means for the consumer.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// What was committed: what lies below is done. No more than the partitions that the consumer has had since it last looked.
    pub(crate) done: BTreeMap<TopicPartition, Done>,
    /// What was handed out, and is not done, is to be handed out again.
    pub(crate) goes_back: bool,
}

/// What a transaction has committed of a partition.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
    /// What the consumer has handed out below it is done: not where it was set to another place since it gave its position.
    pub(crate) is_of_all: bool,
}

/// Whether a transaction can take effect no more, as it was fenced or aborted by another than its holder, who may never let go of it. Set once, and
/// not while it is being committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct IsOver(Arc<AtomicBool>);

impl IsOver {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The positions of a consumer are a transaction's, until this is dropped, or that is known to be over.
#[derive(Debug)]
pub(super) struct Claim {
    endings: Arc<Endings>,
    claimed: Arc<Claimed>,
}

/// Why the positions of a consumer are not a transaction's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclaimable {
    IsAnothers,
    /// The consumer has to go back first.
    GoesBack,
}

/// What is known of the transaction.
#[derive(Debug)]
struct Claimed {
    /// Nobody can say how it ends.
    is_open_ended: AtomicBool,
    has_applied: AtomicBool,
    is_over: IsOver,
}

impl Endings {
    /// Not while another transaction has them, nor when one has let go of them without effect since they were gathered: they stand behind
    /// what that one never did.
    pub(super) fn claim(self: &Arc<Self>, is_over: &IsOver) -> Result<Claim, Unclaimable> {
        let (untaken, mut known) = (self.untaken.lock(), self.claimed.lock());
        if untaken.goes_back {
            return Err(Unclaimable::GoesBack);
        }
        if self.is_claimed.swap(true, Ordering::AcqRel) {
            return Err(Unclaimable::IsAnothers);
        }
        self.moved.lock().clear();
        let (is_open_ended, has_applied) = (AtomicBool::new(false), AtomicBool::new(false));
        let claimed = Arc::new(Claimed { is_open_ended, has_applied, is_over: is_over.clone() });
        *known = Some(Arc::clone(&claimed));
        Ok(Claim { endings: Arc::clone(self), claimed })
    }

    /// Whether a transaction has the positions. One that is over has them no more.
    pub(crate) fn is_claimed(&self) -> bool {
        if !self.is_claimed.load(Ordering::Acquire) {
            return false;
        }
        let claimed = self.claimed.lock().clone();
        match claimed {
            Some(claimed) if claimed.is_over.get() => {
                self.let_go(&claimed);
                false
            }
            claimed => claimed.is_some(),
        }
    }

    /// The positions are that transaction's no more: the first of those who say so is heard.
    fn let_go(&self, by: &Arc<Claimed>) {
        let (mut untaken, mut claimed) = (self.untaken.lock(), self.claimed.lock());
        if !claimed.as_ref().is_some_and(|claimed| Arc::ptr_eq(claimed, by)) {
            return;
        }
        *claimed = None;
        if !by.has_applied.load(Ordering::Acquire) && !by.is_open_ended.load(Ordering::Acquire) {
            untaken.goes_back = true;
        }
        self.is_there.store(true, Ordering::Release);
        self.is_claimed.store(false, Ordering::Release);
    }

    /// Whether the consumer has still to go back.
    pub(crate) fn goes_back(&self) -> bool {
        self.is_there.load(Ordering::Acquire) && self.untaken.lock().goes_back
    }

    /// Up to where a partition is done, by what came since the last [`take`](Self::take).
    pub(crate) fn done(&self, partition: &Partition) -> Option<Done> {
        let untaken = self.untaken.lock();
        untaken
            .done
            .get(partition.topic_partition())
            .filter(|done| done.partition.is_same(partition))
            .cloned()
    }

    /// Whether the transaction that has the positions may make done what the consumer has handed out there so far: it was set to no other place since.
    pub(crate) fn may_make_done(&self, place: &TopicPartition) -> bool {
        self.is_claimed() && !self.moved.lock().contains(place)
    }

    /// The consumer was set to another place there.
    pub(crate) fn note_moved(&self, place: &TopicPartition) {
        // Under one lock with what notes an ending.
        let mut untaken = self.untaken.lock();
        if let Some(done) = untaken.done.get_mut(place) {
            done.is_of_all = false;
        }
        if self.is_claimed.load(Ordering::Acquire) {
            self.moved.lock().insert(place.clone());
        }
    }

    /// What came since the last call.
    pub(crate) fn take(&self) -> Option<Ending> {
        // One that is over says so here.
        self.is_claimed();
        self.is_there.swap(false, Ordering::AcqRel).then(|| std::mem::take(&mut *self.untaken.lock()))
    }
}

impl Claim {
    /// Whether it is of that consumer.
    pub(super) fn is_of(&self, endings: &Arc<Endings>) -> bool {
        Arc::ptr_eq(&self.endings, endings)
    }

    /// The transaction is given the positions as they are now. False where it has them no more: then what is remembered is another's.
    pub(super) fn renew(&self) -> bool {
        let (_untaken, claimed) = (self.endings.untaken.lock(), self.endings.claimed.lock());
        let is_current = claimed.as_ref().is_some_and(|claimed| Arc::ptr_eq(claimed, &self.claimed));
        if is_current {
            self.endings.moved.lock().clear();
        }
        is_current
    }

    /// The positions were committed.
    pub(super) fn note_applied<'p>(&self, positions: impl Iterator<Item = &'p (Partition, Offset)>) {
        let (mut untaken, moved) = (self.endings.untaken.lock(), self.endings.moved.lock());
        for (partition, offset) in positions {
            let place = partition.topic_partition();
            let is_of_all = !moved.contains(place);
            untaken
                .done
                .insert(place.clone(), Done { partition: partition.clone(), offset: *offset, is_of_all });
        }
        self.claimed.has_applied.store(true, Ordering::Release);
    }

    /// Whether they were shows when the store is opened again.
    pub(super) fn note_unknown(&self) {
        self.claimed.is_open_ended.store(true, Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.endings.process.is_current() {
            return;
        }
        self.endings.let_go(&self.claimed);
    }
}
