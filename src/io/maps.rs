//! A bound on maps. The system gives a process so many of them (65,530 on Linux, unless told otherwise) and fails whatever
//! needs one more, memory of the program itself included.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::view::View;
use crate::locks::{AtomicBool, Mutex, Ordering, RwLock};

/// Maps that the files of one store hold at most; those that are handed out with records come on top. A quarter of what the
/// system gives: a process may have several stores.
pub(super) const MAP_LIMIT: usize = 16_384;

/// So many maps stay because they were used lately, each time one has to go.
const MOST_SPARED: usize = 64;

/// The maps of one store.
#[derive(Debug)]
pub(super) struct Maps {
    limit: usize,
    /// Those that are held, in the order in which they are asked to go.
    held: Mutex<VecDeque<Weak<MapSlot>>>,
}

/// The map of one file, as long as there is room for it. Whoever has taken it keeps it; the slot holds it for the next one.
#[derive(Debug, Default)]
pub(crate) struct MapSlot {
    view: RwLock<Option<View>>,
    /// Since it was last asked to go.
    used: AtomicBool,
}

impl Maps {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), held: Mutex::default() }
    }

    /// Holds a map in its slot, and lets others go that were not used for longest where there are too many.
    pub(super) fn hold(&self, slot: &Arc<MapSlot>, view: View) {
        let before = slot.view.write().replace(view);
        slot.used.store(true, Ordering::Relaxed);
        if before.is_some() {
            return;
        }
        let mut gone = Vec::new();
        let mut held = self.held.lock();
        held.push_back(Arc::downgrade(slot));
        for looked_at in 0.. {
            if held.len() <= self.limit {
                break;
            }
            let Some(next) = held.pop_front() else { break };
            let Some(slot) = next.upgrade() else { continue };
            if slot.used.swap(false, Ordering::Relaxed) && looked_at < MOST_SPARED {
                held.push_back(next);
            } else {
                gone.push(slot.take());
            }
        }
        // Unmapping can take a while.
        drop(held);
        drop(gone);
    }
}

impl MapSlot {
    /// The map, if it is held and has at least `len` bytes.
    #[inline]
    pub(crate) fn get(&self, len: u64) -> Option<View> {
        let view = self.view.read();
        let view = view.as_ref().filter(|view| view.len() as u64 >= len)?;
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        Some(view.clone())
    }

    /// Lets go of the map.
    pub(crate) fn take(&self) -> Option<View> {
        self.view.write().take()
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let maps = Maps::new(3);
        let slots: Vec<_> = (0..5).map(|_| Arc::new(MapSlot::default())).collect();
        let held = || slots.iter().map(|slot| slot.view.read().is_some()).collect::<Vec<_>>();
        slots.iter().take(3).for_each(|slot| maps.hold(slot, View::new(vec![1])));
        maps.hold(&slots[3], View::new(vec![1]));
        assert_eq!(held(), [false, true, true, true, false], "all were used: the oldest");
        assert!(slots[1].get(1).is_some());
        maps.hold(&slots[4], View::new(vec![1]));
        assert_eq!(held().iter().filter(|held| **held).count(), 3);
        assert!(held()[1], "it was used since");
        assert!(slots[4].get(1).is_some() && slots[4].get(2).is_none());
    }
}
