//! The list of what is to be done later, and for whom.

use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::Result;
use crate::io::{Deadline, Process};
use crate::locks::{AtomicUsize, Condvar, Mutex, Ordering};
use crate::upkeep::line::{Line, Ticket};
use crate::upkeep::tasks::{Syncing, Waiting, Waking};

/// Somebody who has put something down for later. It is called without a lock of the agenda, on the thread of the
/// maintenance or on that of a caller who needs memory. What was called is off the agenda, until it is put down again.
pub(crate) trait Chore: Debug + Send + Sync {
    /// Does what was put down.
    fn run(self: Arc<Self>, reason: Reason) -> Result<()>;
}

/// Why a chore is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its time has come.
    Due,
    /// Its time has not come, but what it keeps in memory has to go.
    Room,
    /// What it has written is to be synced, with what others have written.
    Sync,
    /// Somebody waits for all that it has taken in to be written and synced.
    Awaited,
}

/// A chore that is due, and why.
#[derive(Debug)]
pub(crate) struct Due {
    chore: Arc<dyn Chore>,
    pub(crate) reason: Reason,
}

impl Due {
    pub(crate) fn run(self) -> Result<()> {
        self.chore.run(self.reason)
    }

    /// The same for who keeps it.
    pub(crate) fn run_kept(&self) -> Result<()> {
        Arc::clone(&self.chore).run(self.reason)
    }

    /// Whether it is `chore`'s.
    #[cfg(test)]
    pub(crate) fn is_of<T>(&self, chore: &Arc<T>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.chore), Arc::as_ptr(chore))
    }
}

/// What the thread that waits for rounds is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A look at everything, which takes over what other processes have done too.
    Round,
    /// That alone.
    Fold,
}

/// The list, shared by all partitions of a store and by whoever else has a time to keep. Two threads may wait at it: one
/// for chores, which are short, and one for the look at everything, which is not.
#[derive(Debug)]
pub(crate) struct Agenda {
    pending: Mutex<Pending>,
    /// Something is due earlier than was known.
    changed: Condvar,
    /// It was stopped, or a round or a fold is due. For the thread that waits for rounds.
    stopped: Condvar,
    /// How many want nothing that is there to be taken out or put in another place.
    holds: AtomicUsize,
    sync_every: Duration,
    round_every: Duration,
    waking: Arc<Waking>,
    syncing: Arc<Syncing>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Those that hold records in memory, until these are to be written.
    lingering: Line,
    /// Any others that have a time to keep.
    timers: Line,
    /// Those with bytes that are written and not synced.
    unsynced: Vec<Weak<dyn Chore>>,
    /// When the next sync is due; `None` while nothing is unsynced.
    sync_at: Option<Deadline>,
    /// When everything is to be looked at next; `None` if nobody waits for it.
    round_at: Option<Deadline>,
    /// The next round does not wait for its time.
    is_round_due: bool,
    /// When what other processes have done is to be taken over, if not in a round before.
    fold_at: Option<Deadline>,
    is_stopped: bool,
}

/// While it lives, rounds are skipped, and so is whatever asks [`Agenda::is_held`].
#[derive(Debug)]
pub(crate) struct MaintenanceHold(Arc<Agenda>, Process);

impl Drop for MaintenanceHold {
    fn drop(&mut self) {
        if !self.1.is_current() {
            return;
        }
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            // What fell due meanwhile is not to wait for another interval.
            self.0.pending.lock().is_round_due = true;
            self.0.stopped.notify_all();
        }
    }
}

impl Agenda {
    /// An empty list; written bytes become due for a sync `sync_every` after the first of them, and a look at everything
    /// every `round_every`.
    pub(crate) fn new(sync_every: Duration, round_every: Duration) -> Self {
        let waking = Arc::default();
        Self {
            syncing: Arc::new(Syncing::new(&waking)),
            waking,
            pending: Mutex::default(),
            changed: Condvar::new(),
            stopped: Condvar::new(),
            holds: AtomicUsize::new(0),
            sync_every,
            round_every,
        }
    }

    /// `chore` holds records in memory until `deadline`. Returns its place, and how many do the like.
    pub(crate) fn add_lingering<T: Chore + 'static>(
        &self,
        chore: &Arc<T>,
        deadline: Deadline,
    ) -> (Ticket, usize) {
        let mut pending = self.pending.lock();
        let before = pending.next_deadline();
        let ticket = pending.lingering.join(downgrade(chore), deadline);
        self.wake_if_earlier(before, deadline);
        (ticket, pending.lingering.len())
    }

    /// How many hold records in memory.
    #[cfg(test)]
    pub(crate) fn lingering(&self) -> usize {
        self.pending.lock().lingering.len()
    }

    /// What was put down with [`add_lingering`](Self::add_lingering) is done.
    pub(crate) fn remove_lingering(&self, ticket: Ticket) {
        self.pending.lock().lingering.leave(ticket);
    }

    /// `chore` is to be run at `deadline`.
    pub(crate) fn add_timer<T: Chore + 'static>(&self, chore: &Arc<T>, deadline: Deadline) -> Ticket {
        let mut pending = self.pending.lock();
        let before = pending.next_deadline();
        let ticket = pending.timers.join(downgrade(chore), deadline);
        self.wake_if_earlier(before, deadline);
        ticket
    }

    /// How often somebody is to be run at a time of its own.
    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        self.pending.lock().timers.len()
    }

    /// What was put down with [`add_timer`](Self::add_timer) is not wanted any more.
    pub(crate) fn remove_timer(&self, ticket: Ticket) {
        self.pending.lock().timers.leave(ticket);
    }

    fn wake_if_earlier(&self, before: Option<Deadline>, deadline: Deadline) {
        if before.is_none_or(|before| deadline < before) {
            self.changed.notify_one();
        }
    }

    /// `chore` has bytes to sync, the first since its last sync.
    pub(crate) fn add_unsynced<T: Chore + 'static>(&self, chore: &Arc<T>) {
        let mut pending = self.pending.lock();
        pending.unsynced.push(downgrade(chore));
        if pending.sync_at.is_none() {
            pending.sync_at = Some(Deadline::after(self.sync_every));
            self.changed.notify_one();
        }
    }

    /// So much is unsynced that the sync should not wait for its time.
    pub(crate) fn hurry_sync(&self) {
        let mut pending = self.pending.lock();
        if pending.sync_at.is_some() {
            pending.sync_at = Some(Deadline::after(Duration::ZERO));
            self.changed.notify_one();
        }
    }

    /// Whoever holds records in memory and was to write them first, due or not: to make room for others.
    pub(crate) fn oldest_lingering(&self) -> Option<Due> {
        self.pending.lock().lingering.pop().map(|chore| Due { chore, reason: Reason::Room })
    }

    /// Everything that is due now.
    pub(crate) fn due(&self) -> Vec<Due> {
        self.pending.lock().take_due()
    }

    /// Sleeps until something is due and returns it; `None` after [`stop`](Self::stop).
    pub(crate) fn wait(&self) -> Option<Vec<Due>> {
        let mut pending = self.pending.lock();
        loop {
            if pending.is_stopped {
                return None;
            }
            let due = pending.take_due();
            if !due.is_empty() {
                return Some(due);
            }
            match pending.next_deadline().and_then(Deadline::instant) {
                Some(at) => _ = self.changed.wait_until(&mut pending, at),
                None => self.changed.wait(&mut pending),
            }
        }
    }

    /// What calls the wakers of tasks.
    pub(crate) fn waking(&self) -> &Arc<Waking> {
        &self.waking
    }

    /// What syncs for tasks.
    #[cfg(all(test, annals_shuttle))]
    pub(crate) fn syncing(&self) -> &Arc<Syncing> {
        &self.syncing
    }

    /// Has `chore` write and sync what it has taken in, and `waiting` told when that is over: with others who wait, on a thread
    /// that is there for that.
    pub(crate) fn sync_for<T: Chore + 'static>(
        &self,
        chore: &Arc<T>,
        waiting: Arc<dyn Waiting>,
    ) -> Result<()> {
        self.syncing.add(Arc::<T>::clone(chore), waiting)
    }

    /// No task waits any more: what tasks have waited for is over. Called when everything else has stopped.
    pub(crate) fn stop_tasks(&self) {
        self.syncing.stop();
        self.waking.stop();
    }

    /// Has rounds skipped until what is returned is dropped. What is under way goes on.
    pub(crate) fn hold(self: &Arc<Self>) -> MaintenanceHold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        MaintenanceHold(Arc::clone(self), Process::current())
    }

    /// Whether somebody holds what is there as it is.
    pub(crate) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }

    /// What other processes have done is to be taken over at `deadline`, or when that was wished for before, or in a round that comes first.
    pub(crate) fn fold_at(&self, deadline: Deadline) {
        let mut pending = self.pending.lock();
        if pending.fold_at.is_none() {
            pending.fold_at = Some(deadline);
            self.stopped.notify_all();
        }
    }

    /// Sleeps until everything is to be looked at, or something to be folded; `None` after [`stop`](Self::stop).
    pub(crate) fn wait_for_round(&self) -> Option<Turn> {
        let mut pending = self.pending.lock();
        let round_at = *pending.round_at.get_or_insert_with(|| Deadline::after(self.round_every));
        loop {
            if pending.is_stopped {
                return None;
            }
            if round_at.has_passed() || pending.is_round_due {
                (pending.round_at, pending.is_round_due, pending.fold_at) = (None, false, None);
                return Some(Turn::Round);
            }
            if pending.fold_at.is_some_and(Deadline::has_passed) {
                pending.fold_at = None;
                return Some(Turn::Fold);
            }
            let next = pending.fold_at.map_or(round_at, |fold_at| fold_at.min(round_at));
            match next.instant() {
                Some(at) => _ = self.stopped.wait_until(&mut pending, at),
                None => self.stopped.wait(&mut pending),
            }
        }
    }

    /// Ends every wait, now and later.
    pub(crate) fn stop(&self) {
        self.pending.lock().is_stopped = true;
        self.changed.notify_all();
        self.stopped.notify_all();
    }
}

fn downgrade<T: Chore + 'static>(chore: &Arc<T>) -> Weak<dyn Chore> {
    let weak: Weak<T> = Arc::downgrade(chore);
    weak
}

impl Pending {
    fn next_deadline(&self) -> Option<Deadline> {
        [self.lingering.deadline(), self.timers.deadline(), self.sync_at].into_iter().flatten().min()
    }

    fn take_due(&mut self) -> Vec<Due> {
        let mut chores = self.lingering.pop_due();
        chores.append(&mut self.timers.pop_due());
        let mut due: Vec<_> = chores.into_iter().map(|chore| Due { chore, reason: Reason::Due }).collect();
        if self.sync_at.is_some_and(Deadline::has_passed) {
            self.sync_at = None;
            let unsynced = self.unsynced.drain(..).filter_map(|chore| chore.upgrade());
            due.extend(unsynced.map(|chore| Due { chore, reason: Reason::Sync }));
        }
        due
    }
}
