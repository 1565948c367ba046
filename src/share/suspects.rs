//! What may have ended an earlier life of the process, of all queues together: none of it is out beside a last attempt.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use crate::locks::{Mutex, MutexGuard};
use crate::log::Watchers;
use crate::share::doubts::{Permit, Share};
use crate::share::queue::{Place, Queue};
use crate::share::selection::{Selection, Wish};
use crate::share::slot::{Slot, SlotInner};
use crate::share::state_log::SlotName;
use crate::types::Timestamp;

/// What is out of all states.
///
/// What a process took with it when it ended was out in several partitions, and in several queues. A message at its last attempt that was
/// out then goes out only while no other of these is, and while it is out none of them goes out: if that one ends the process again, it is out by itself.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Held for a moment, under the lock of a state: what that has out is here before it is handed out.
    out: Mutex<Out>,
    /// All workers: one that was told to wait may be any queue's.
    pub(super) watchers: Watchers,
}

#[derive(Debug, Default)]
struct Out {
    /// A state that has none out is not among them, nor need it be one whose locks are over.
    shares: BTreeMap<SlotName, Share>,
    /// Somebody was told to wait since the watchers were raised.
    is_awaited: bool,
}

/// The lock on a state. What it has out is told to the others when the lock is let go, by whichever way.
pub(super) struct Entered<'a> {
    inner: MutexGuard<'a, SlotInner>,
    slot: &'a Slot,
    suspects: &'a Suspects,
}

impl Out {
    /// What is out of a state from now on. Says whether more may go out by that.
    fn set(&mut self, name: &SlotName, share: Option<Share>) -> bool {
        let before = match share {
            Some(share) => self.shares.insert(name.clone(), share),
            None => self.shares.remove(name),
        };
        let was_last = before.is_some_and(|before| before.is_last);
        let ends_before = |share: Share| before.is_some_and(|before| share.until < before.until);
        before.is_some() && share.is_none_or(|share| (was_last && !share.is_last) || ends_before(share))
    }

    /// What may go out beside them.
    fn permit(&self, now: Timestamp) -> Permit {
        let held = || self.shares.values().filter(|share| share.until > now);
        Permit {
            doubted: !held().any(|share| share.is_last),
            last: held().next().is_none(),
            until: held().map(|share| share.until).min().unwrap_or(Timestamp::MIN),
        }
    }
}

impl Suspects {
    fn change(&self, change: impl FnOnce(&mut Out) -> bool) {
        let mut out = self.out.lock();
        let frees = change(&mut out) && std::mem::take(&mut out.is_awaited);
        drop(out);
        if frees {
            self.watchers.raise();
        }
    }

    /// Tells of what is out of a state now.
    fn show(&self, slot: &Slot, inner: &mut SlotInner) {
        let share = inner.state.doubts.share();
        if share != inner.shown {
            inner.shown = share;
            self.change(|out| out.set(&slot.name, share));
        }
    }

    /// These states are no more: others have their names.
    pub(super) fn forget(&self, names: &[SlotName]) {
        self.change(|out| names.iter().filter(|name| out.set(name, None)).count() > 0);
    }
}

impl Queue {
    /// What may be handed out now beside what is out in the process. What is selected counts as out when this returns.
    pub(super) fn choose(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        wish: Wish,
        (now, until): (Timestamp, Timestamp),
    ) -> Selection {
        let limit = self.settings.delivery_limit;
        if !inner.state.doubts.are_any() {
            return inner.state.select((wish, limit), Permit::ALL);
        }
        let mut selection = Selection::default();
        self.queues.suspects.change(|out| {
            let frees = out.set(&place.slot.name, inner.state.doubts.share());
            selection = inner.state.select((wish, limit), out.permit(now));
            inner.shown = inner.state.doubts.share_with(&selection.spans, limit, until);
            out.set(&place.slot.name, inner.shown);
            out.is_awaited |= selection.held_back_until.is_some();
            frees
        });
        selection
    }
}

impl<'a> Entered<'a> {
    pub(super) fn new(inner: MutexGuard<'a, SlotInner>, slot: &'a Slot, suspects: &'a Suspects) -> Self {
        Self { inner, slot, suspects }
    }
}

impl Deref for Entered<'_> {
    type Target = SlotInner;

    fn deref(&self) -> &SlotInner {
        &self.inner
    }
}

impl DerefMut for Entered<'_> {
    fn deref_mut(&mut self) -> &mut SlotInner {
        &mut self.inner
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.suspects.show(self.slot, &mut self.inner);
    }
}
