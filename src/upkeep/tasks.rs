//! Threads for tasks of asynchronous programs: one calls their wakers, one syncs for all of them. Each is started by the first who
//! needs it.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::error::{Error, Result};
use crate::io::{caught, thread};
use crate::locks::{Condvar, Mutex};
use crate::upkeep::{Chore, Reason};

/// Somebody who waits for what a chore has synced.
pub(crate) trait Waiting: fmt::Debug + Send + Sync {
    /// A round is over that began after it was put down, and this is how. What is to be woken.
    fn over(&self, round: &Result<()>) -> Option<Waker>;
}

/// Calls wakers on a thread of its own: whoever has something to tell holds locks, and a waker may do anything, down to dropping
/// its task and the store with it.
#[derive(Debug, Default)]
pub(crate) struct Waking {
    queue: Mutex<Wakers>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wakers {
    pending: Vec<Waker>,
    is_running: bool,
    is_stopped: bool,
}

/// Syncs for those who wait, on a thread of its own.
#[derive(Debug, Default)]
pub(crate) struct Syncing {
    queue: Mutex<Waiters>,
    changed: Condvar,
    /// A round is over.
    over: Condvar,
    waking: Arc<Waking>,
}

#[derive(Debug, Default)]
struct Waiters {
    pending: Vec<(Arc<dyn Chore>, Arc<dyn Waiting>)>,
    is_running: bool,
    is_in_round: bool,
    is_stopped: bool,
}

impl Waking {
    /// Has the waker called before long.
    pub(crate) fn wake(self: &Arc<Self>, waker: Waker) {
        if cfg!(annals_shuttle) {
            // The explorer has no other threads than its own.
            return waker.wake();
        }
        let mut queue = self.queue.lock();
        queue.pending.push(waker);
        if queue.is_running {
            self.changed.notify_one();
            return;
        }
        drop(queue);
        if self.start().is_err() {
            // Better under somebody's locks than never.
            self.call(self.take());
        }
    }

    /// Sees to it that there is a thread: a task that cannot be woken is told so, and does not wait.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        let mut queue = self.queue.lock();
        if queue.is_running || cfg!(annals_shuttle) {
            return Ok(());
        }
        let waking = Arc::clone(self);
        start_thread("annals-wakes", move || waking.run())?;
        queue.is_running = true;
        Ok(())
    }

    fn run(&self) {
        loop {
            let mut queue = self.queue.lock();
            while queue.pending.is_empty() {
                if queue.is_stopped {
                    queue.is_running = false;
                    return;
                }
                self.changed.wait(&mut queue);
            }
            let pending = std::mem::take(&mut queue.pending);
            drop(queue);
            self.call(pending);
        }
    }

    fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut self.queue.lock().pending)
    }

    fn call(&self, wakers: Vec<Waker>) {
        for waker in wakers {
            // What it says is nothing that anybody here could make better.
            drop(caught(|| {
                waker.wake();
                Ok(())
            }));
        }
    }

    /// Ends the thread, once nobody is to be woken any more.
    pub(super) fn stop(&self) {
        self.queue.lock().is_stopped = true;
        self.changed.notify_one();
    }
}

impl Syncing {
    pub(super) fn new(waking: &Arc<Waking>) -> Self {
        Self { waking: Arc::clone(waking), ..Self::default() }
    }

    /// Has `chore` synced, and `waiting` told of it.
    pub(super) fn add(self: &Arc<Self>, chore: Arc<dyn Chore>, waiting: Arc<dyn Waiting>) -> Result<()> {
        self.waking.start()?;
        let mut queue = self.queue.lock();
        if queue.is_stopped {
            drop(queue);
            // Closed, and synced by that, or not.
            waiting.over(&Ok(())).into_iter().for_each(|waker| self.waking.wake(waker));
            return Ok(());
        }
        if !queue.is_running && !cfg!(annals_shuttle) {
            let syncing = Arc::clone(self);
            start_thread("annals-syncs", move || while syncing.round() {})?;
            queue.is_running = true;
        }
        queue.pending.push((chore, waiting));
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for somebody who waits, and syncs for all who do then. False once it was stopped.
    pub(crate) fn round(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.pending.is_empty() {
            if queue.is_stopped {
                return false;
            }
            self.changed.wait(&mut queue);
        }
        let pending = std::mem::take(&mut queue.pending);
        queue.is_in_round = true;
        drop(queue);
        self.sync_for(pending);
        self.queue.lock().is_in_round = false;
        self.over.notify_all();
        true
    }

    fn sync_for(&self, mut pending: Vec<(Arc<dyn Chore>, Arc<dyn Waiting>)>) {
        let address = |chore: &Arc<dyn Chore>| Arc::as_ptr(chore).addr();
        pending.sort_by_key(|(chore, _)| address(chore));
        for same in pending.chunk_by(|(one, _), (other, _)| address(one) == address(other)) {
            let Some((chore, _)) = same.first() else { continue };
            let round = caught(|| Arc::clone(chore).run(Reason::Awaited));
            for (_, waiting) in same {
                waiting.over(&round).into_iter().for_each(|waker| self.waking.wake(waker));
            }
        }
    }

    /// Ends the thread, and returns when it is not in the middle of a round any more. Who still waits is told.
    pub(super) fn stop(&self) {
        let mut queue = self.queue.lock();
        queue.is_stopped = true;
        self.changed.notify_all();
        while queue.is_in_round {
            self.over.wait(&mut queue);
        }
        let left = std::mem::take(&mut queue.pending);
        drop(queue);
        for (_, waiting) in left {
            waiting.over(&Ok(())).into_iter().for_each(|waker| self.waking.wake(waker));
        }
    }
}

fn start_thread(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let started = thread(name).and_then(|thread| thread.spawn(run));
    started.map(drop).map_err(|error| Error::io(std::path::Path::new(name), "start the thread", error))
}
