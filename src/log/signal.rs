//! Waking readers that wait for records.

mod elsewhere;

use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use crate::error::Result;
use crate::io::{Deadline, Process};
use crate::live::OwnSlot;
use crate::locks::{AtomicBool, Condvar, Mutex, OnceLock, Ordering, RwLock, fence};
use crate::log::signal::elsewhere::Elsewhere;
use crate::upkeep::Waking;

/// What one waiting reader sleeps on, be it a thread or a task. It may watch many partitions.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// A child's copy takes no lock, sleeps for nobody and wakes nobody.
    process: Process,
    state: Mutex<State>,
    changed: Condvar,
    /// What it waits for in another process.
    elsewhere: OnceLock<Elsewhere>,
}

#[derive(Debug, Default)]
struct State {
    /// How often it was raised. A waiter that reads it before it looks for records cannot miss one.
    raised: u64,
    /// The task that waits, and who calls its waker.
    task: Option<(Waker, Arc<Waking>)>,
    /// Threads that sleep on the bell of another process. More than there are where one panicked: then it is rung for nothing.
    on_bell: usize,
}

impl State {
    /// Whether nothing is to be kept: it was not raised since, and the waker that it has wakes the same task.
    fn is_known(&self, seen: u64, waker: &Waker) -> bool {
        self.raised == seen && self.task.as_ref().is_some_and(|(known, _)| known.will_wake(waker))
    }
}

impl Signal {
    /// The count to hand to [`wait`](Self::wait) or [`poll_raised`](Self::poll_raised). Read it before looking for what may be
    /// there already.
    pub(crate) fn raised(&self) -> u64 {
        if !self.process.is_current() {
            return 0;
        }
        self.state.lock().raised
    }

    /// Wakes whoever waits, or will wait with an older count.
    pub(crate) fn raise(&self) {
        if !self.process.is_current() {
            return;
        }
        self.raise_here();
        if let Some(elsewhere) = self.elsewhere.get() {
            elsewhere.guest.ring();
        }
    }

    /// The same without the bell. Whether a thread may sleep on that.
    fn raise_here(&self) -> bool {
        let mut state = self.state.lock();
        state.raised += 1;
        let (task, is_on_bell) = (state.task.take(), state.on_bell > 0);
        drop(state);
        self.changed.notify_all();
        if let Some((waker, waking)) = task {
            waking.wake(waker);
        }
        is_on_bell
    }

    /// Ready when the count is another than `seen`; else the next raise wakes the task. It replaces a task that waited before.
    pub(crate) fn poll_raised(&self, seen: u64, waker: &Waker, waking: &Arc<Waking>) -> Result<Poll<()>> {
        waking.start()?;
        if self.state.lock().is_known(seen, waker) {
            return self.poll_elsewhere();
        }
        // Under no lock: what a waker does to be copied is the executor's, and may come back to this signal.
        let own = (waker.clone(), Arc::clone(waking));
        // Compared and kept under one lock: a raise comes before both, or finds the waker.
        let mut state = self.state.lock();
        if state.raised != seen {
            drop(state);
            return Ok(Poll::Ready(()));
        }
        let left = state.task.replace(own);
        drop(state);
        // It may be the last of its task, and then drop what that has.
        drop(left);
        self.poll_elsewhere()
    }

    /// The task does not wait any more.
    pub(crate) fn forget_task(&self) {
        if !self.process.is_current() {
            return;
        }
        let left = self.state.lock().task.take();
        drop(left);
    }

    /// Sleeps until the count is another than `seen`, or the deadline passes. Returns false at the deadline.
    pub(crate) fn wait(&self, seen: u64, deadline: Deadline) -> bool {
        if let Some(elsewhere) = self.elsewhere.get() {
            return self.wait_elsewhere(elsewhere, seen, deadline);
        }
        let mut state = self.state.lock();
        while state.raised == seen {
            match deadline.instant() {
                None => self.changed.wait(&mut state),
                Some(at) => {
                    if self.changed.wait_until(&mut state, at).timed_out() {
                        return state.raised != seen;
                    }
                }
            }
        }
        true
    }
}

/// How often a task looks in one poll, when something comes during each look. Then others have their turn first.
pub(crate) const MOST_LOOKS: usize = 16;

/// Whom a partition wakes when it has something to read.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// False as long as nobody ever watched: then a write pays one load.
    any: AtomicBool,
    signals: RwLock<Vec<Weak<Signal>>>,
    /// Where other processes say that they wait.
    elsewhere: OnceLock<Arc<OwnSlot>>,
    process: Process,
}

impl Watchers {
    /// Wakes those of other processes as well, who wait at `slot`.
    pub(crate) fn show(&self, slot: &Arc<OwnSlot>) {
        drop(self.elsewhere.set(Arc::clone(slot)));
    }

    /// Whether somebody of another process has waited lately.
    #[inline]
    pub(crate) fn are_followed_elsewhere(&self) -> bool {
        self.elsewhere.get().is_some_and(|slot| slot.is_followed())
    }

    /// Whether somebody of another process waits.
    #[inline]
    pub(crate) fn is_wanted_elsewhere(&self) -> bool {
        self.elsewhere.get().is_some_and(|slot| slot.is_wanted())
    }

    pub(crate) fn add(&self, signal: &Arc<Signal>) {
        if !self.process.is_current() {
            return;
        }
        let mut signals = self.signals.write();
        signals
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(signal)));
        signals.push(Arc::downgrade(signal));
        self.any.store(true, Ordering::SeqCst);
        // With the one in `raise`: either that sees this watcher, or this watcher, looking next, sees what was published.
        fence(Ordering::SeqCst);
    }

    /// In a child of a fork it changes nothing: another thread may have held the lock when the child was made.
    pub(crate) fn remove(&self, signal: &Arc<Signal>) {
        if !self.process.is_current() {
            return;
        }
        let mut signals = self.signals.write();
        signals
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(signal)));
        self.any.store(!signals.is_empty(), Ordering::SeqCst);
    }

    /// Wakes those that watch. What they are to see was published before.
    #[inline]
    pub(crate) fn raise(&self) {
        // Without it a processor may load the flag before others see what was published: whoever began to watch in between
        // would find nothing, and sleep.
        fence(Ordering::SeqCst);
        if self.any.load(Ordering::SeqCst) {
            self.raise_each();
        }
        if let Some(slot) = self.elsewhere.get() {
            slot.ring_if_wanted();
        }
    }

    fn raise_each(&self) {
        self.signals.read().iter().filter_map(Weak::upgrade).for_each(|signal| signal.raise());
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::locks::AtomicI64;

    /// The end moves and watchers are raised, while another thread begins to watch and looks at the end: one of the two
    /// must have noticed the other. It is a matter of nanoseconds who does what first, so they meet often.
    #[test]
    fn who_begins_to_watch_during_a_raise_sees_the_end_or_is_woken() {
        const TIMES: usize = 20_000;
        let meetings: Vec<_> = (0..TIMES).map(|_| (Watchers::default(), AtomicI64::new(0))).collect();
        let (ready, gone) = (AtomicI64::new(0), AtomicI64::new(0));
        let meet = |own: &AtomicI64, other: &AtomicI64, at: i64| {
            own.store(at, Ordering::SeqCst);
            while other.load(Ordering::SeqCst) < at {
                std::hint::spin_loop();
            }
        };
        let signals = std::thread::scope(|scope| {
            scope.spawn(|| {
                for (at, (watchers, end)) in (1..).zip(&meetings) {
                    meet(&ready, &gone, at);
                    end.store(1, Ordering::Release);
                    watchers.raise();
                }
            });
            let mut seen = Vec::new();
            for (at, (watchers, end)) in (1..).zip(&meetings) {
                let signal = Arc::new(Signal::default());
                meet(&gone, &ready, at);
                watchers.add(&signal);
                seen.push((end.load(Ordering::Acquire) == 1, signal));
            }
            seen
        });
        let missed = signals.iter().filter(|(saw, signal)| !saw && signal.raised() == 0).count();
        assert_eq!(missed, 0, "of {TIMES}");
    }

    #[test]
    fn a_raise_between_the_look_and_the_wait_is_seen_and_the_last_waker_is_called() {
        struct Count(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let [first, second] = std::array::from_fn(|_| Arc::new(Count(0.into())));
        let wakers = [&first, &second].map(|count| Waker::from(Arc::clone(count)));
        let (signal, waking) = (Signal::default(), Arc::new(Waking::default()));
        let poll = |seen, waker| signal.poll_raised(seen, waker, &waking).unwrap();
        let seen = signal.raised();
        signal.raise();
        assert!(poll(seen, &wakers[0]).is_ready());
        let seen = signal.raised();
        wakers.iter().for_each(|waker| assert!(poll(seen, waker).is_pending()));
        signal.raise();
        while second.0.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert!(poll(seen, &wakers[0]).is_ready());
    }

    #[test]
    fn only_those_that_still_watch_are_woken_and_nothing_is_kept_of_the_others() {
        let watchers = Watchers::default();
        let [first, second, third] = std::array::from_fn(|_| Arc::new(Signal::default()));
        let known = || watchers.signals.read().len();
        [&first, &second, &first].into_iter().for_each(|signal| watchers.add(signal));
        watchers.raise();
        assert_eq!((known(), first.raised(), second.raised()), (2, 1, 1));
        watchers.remove(&first);
        watchers.raise();
        assert_eq!((known(), first.raised(), second.raised()), (1, 1, 2));
        drop(second);
        watchers.add(&third);
        assert_eq!(known(), 1);
        watchers.add(&first);
        drop(first);
        watchers.remove(&third);
        assert_eq!(known(), 0);
        assert!(!watchers.any.load(Ordering::SeqCst));
        watchers.raise();
        assert_eq!(third.raised(), 0);
    }
}
