//! Decisions that are being written, and are not told to the readers.
//!
//! A panic in the file system or the clock of the program leaves one of which nobody knows whether it is there: whoever looks after what is
//! outstanding finds out.

use std::sync::Arc;

use crate::error::Result;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::resting::Seen;
use crate::types::Offset;

/// A decision that is being written, or is written.
#[derive(Debug)]
pub(super) struct Undertaken {
    pub(super) ended: Ended,
    /// What the transaction has seen.
    pub(super) seen: Seen,
    /// The decision does not stand before that.
    pub(super) from: Offset,
    /// Readers are told once it survives a power cut.
    pub(super) is_for_disk: bool,
}

/// The same in the hands of somebody, whom a panic may take it from, also one in the middle of another: whoever leaves it to nobody takes it first.
pub(super) struct OnItsWay<'a> {
    of: &'a Transactions,
    /// Until the readers are told.
    undertaken: Option<Undertaken>,
}

impl OnItsWay<'_> {
    pub(super) fn one(&mut self) -> Option<&mut Undertaken> {
        self.undertaken.as_mut()
    }

    pub(super) fn take(&mut self) -> Option<Undertaken> {
        self.undertaken.take()
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some(undertaken) = self.undertaken.take() {
            self.of.outstanding.lock().undertaken.push(undertaken);
            self.of.remind_if_there();
        }
    }
}

/// Has compaction keep a decision no more for its being written, when this is dropped: it is outstanding by then, after a panic too.
pub(super) struct OutstandingFrom<'a> {
    pub(super) of: &'a Transactions,
    pub(super) from: Offset,
}

impl Drop for OutstandingFrom<'_> {
    fn drop(&mut self) {
        self.of.decided(self.from);
    }
}

impl Transactions {
    pub(super) fn undertake(&self, undertaken: Undertaken) -> OnItsWay<'_> {
        OnItsWay { of: self, undertaken: Some(undertaken) }
    }

    /// The decision was not written, and will not be: nothing of the transaction takes effect.
    pub(super) fn take_no_effect(self: &Arc<Self>, mut undertaken: OnItsWay<'_>) {
        if let Some(Undertaken { ended, from, .. }) = undertaken.take() {
            self.decided(from);
            self.give_up_ended(ended.without_effect());
        }
    }

    /// Finds out what has become of those in the middle of which a panic has come by: a decision that is there takes effect. Where nobody
    /// can tell before the store is opened again, for its topic or a sync has failed, readers wait.
    pub(super) fn take_up_again(self: &Arc<Self>) -> Result<()> {
        let mut first = Ok(());
        let left = std::mem::take(&mut self.outstanding.lock().undertaken);
        // Each is in somebody's hands meanwhile: a panic comes again where it came before.
        let left: Vec<_> = left.into_iter().map(|one| self.undertake(one)).collect();
        for mut one in left {
            let Some(Undertaken { ended, from, .. }) = one.one().filter(|_| !self.decisions.is_poisoned())
            else {
                drop(one.take());
                continue;
            };
            match self.decisions.find(ended.producer, *from) {
                Ok(Some(offset)) => first = first.and(self.take_effect(one, (offset, None), || {})),
                Ok(None) => self.take_no_effect(one),
                Err(error) => {
                    self.outstanding.lock().undertaken.extend(one.take());
                    first = first.and(Err(error));
                }
            }
        }
        first
    }
}
