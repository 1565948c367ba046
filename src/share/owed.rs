//! States that the open has cut, until they are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::locks::{AtomicBool, Mutex, Ordering};
use crate::log::Holding;
use crate::share::queues::Queues;
use crate::share::slot::Slot;
use crate::share::state_log::SlotName;
use crate::share::suspects::Entered;
use crate::topic::Partition;

/// States that the open has cut to the end of their partition, and that are not written durably yet.
#[derive(Debug)]
pub(super) struct Owed {
    /// Held for a moment alone.
    slots: Mutex<Vec<Arc<Slot>>>,
    is_any: AtomicBool,
}

impl Owed {
    pub(super) fn new(slots: Vec<Arc<Slot>>) -> Self {
        let is_any = AtomicBool::new(!slots.is_empty());
        Self { slots: Mutex::new(slots), is_any }
    }

    fn strike_out(&self, written: &[Arc<Slot>]) {
        let mut slots = self.slots.lock();
        slots.retain(|slot| !written.iter().any(|one| Arc::ptr_eq(one, slot)));
        self.is_any.store(!slots.is_empty(), Ordering::Release);
    }

    /// The files of steps of their queues.
    pub(super) fn steps(&self) -> BTreeSet<String> {
        self.slots.lock().iter().map(|slot| slot.steps.clone()).collect()
    }
}

impl Queues {
    /// Writes durably what the open has cut, each for itself: one that cannot be written yet keeps no other. Not for those who hold a state:
    /// they call it before.
    pub(crate) fn write_owed(&self) -> Result<()> {
        self.write_own(|_| true)
    }

    /// The same of those that the caller is about to hold: what others cannot write yet is nothing to it.
    pub(super) fn write_own(&self, is_own: impl Fn(&SlotName) -> bool) -> Result<()> {
        self.write_owed_of(is_own, Holding::Nothing)
    }

    /// The same of some of the states.
    pub(super) fn write_owed_of(
        &self,
        is_wanted: impl Fn(&SlotName) -> bool,
        holding: Holding,
    ) -> Result<()> {
        if !self.owed.is_any.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut owed = self.owed.slots.lock().clone();
        owed.retain(|slot| is_wanted(&slot.name));
        let mut outcome = Ok(());
        owed.retain(|slot| {
            let written = self.write_cut(slot, holding);
            let is_written = written.is_ok();
            outcome = std::mem::replace(&mut outcome, Ok(())).and(written);
            is_written
        });
        if !owed.is_empty() {
            self.states.sync()?;
            self.owed.strike_out(&owed);
        }
        outcome
    }

    /// Nothing is appended to a partition before the states on its topic are written: records sent to it would be taken for delivered.
    pub(super) fn hold_back_owed(self: &Arc<Self>, partition: &Partition) {
        let (owing, id) = (Arc::downgrade(self), partition.topic_id());
        let write = move |holding| {
            owing.upgrade().map_or(Ok(()), |queues| queues.write_owed_of(|of| of.topic == id, holding))
        };
        partition.log().require(write);
    }

    fn write_cut(&self, slot: &Slot, holding: Holding) -> Result<()> {
        // Whoever has its queue is told before: once this is written no open finds any more that there was something to cut.
        self.cut_what_is_left(|name| name == slot.steps)?;
        let mut inner = self.hold_owed(slot, holding)?;
        if inner.is_cut && !inner.is_forgotten {
            self.states.write_snapshot(slot, &mut inner, self.clock.now())?;
        }
        Ok(())
    }

    /// Whoever has it may wait for the partition under whose lock this runs. The same call may succeed a moment later.
    fn hold_owed<'a>(&'a self, slot: &'a Slot, holding: Holding) -> Result<Entered<'a>> {
        if holding == Holding::Nothing {
            return Ok(slot.enter(&self.suspects));
        }
        slot.try_enter(&self.suspects).ok_or_else(|| {
            let busy = std::io::Error::from(std::io::ErrorKind::WouldBlock);
            Error::io(self.topics.path(), "write the states of queues in", busy)
        })
    }
}
