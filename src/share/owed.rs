//! States that the open has cut, until they are written.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::locks::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::log::Holding;
use crate::share::queues::Queues;
use crate::share::slot::{Slot, SlotInner};

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

    /// The files of steps of their queues.
    pub(super) fn steps(&self) -> BTreeSet<String> {
        self.slots.lock().iter().map(|slot| slot.steps.clone()).collect()
    }
}

impl Queues {
    /// Writes durably what the open has cut. Not for those who hold a state: they call it before.
    pub(crate) fn write_owed(&self) -> Result<()> {
        self.write_owed_by(Holding::Nothing)
    }

    pub(super) fn write_owed_by(&self, holding: Holding) -> Result<()> {
        if !self.owed.is_any.load(Ordering::Acquire) {
            return Ok(());
        }
        // Whoever has one of the queues is told before: once this is written no open finds any more that there was something to cut.
        let steps = self.owed.steps();
        self.cut_what_is_left(|name| steps.contains(name))?;
        let owed = self.owed.slots.lock().clone();
        for slot in &owed {
            let mut inner = self.hold_owed(slot, holding)?;
            if inner.is_cut && !inner.is_forgotten {
                self.states.write_snapshot(slot, &mut inner, self.clock.now())?;
            }
        }
        self.states.sync()?;
        self.owed.slots.lock().clear();
        self.owed.is_any.store(false, Ordering::Release);
        Ok(())
    }

    /// Whoever has it may wait for the partition under whose lock this runs. The same call may succeed a moment later.
    fn hold_owed<'a>(&self, slot: &'a Slot, holding: Holding) -> Result<MutexGuard<'a, SlotInner>> {
        if holding == Holding::Nothing {
            return Ok(slot.inner.lock());
        }
        slot.inner.try_lock().ok_or_else(|| {
            let busy = std::io::Error::from(std::io::ErrorKind::WouldBlock);
            Error::io(self.topics.path(), "write the states of queues in", busy)
        })
    }
}
