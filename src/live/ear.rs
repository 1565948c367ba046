//! Listening for tasks: one thread of a process sleeps on the owner's bell for all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::io::{Deadline, caught, thread};
use crate::live::guest::{Guest, OwnerState};
use crate::locks::{Condvar, Mutex};

/// Somebody whose task waits for what the owner shows next.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// The bell was rung. Whether it need not be told again: its task was woken, or waits no more.
    fn hear(&self) -> bool;

    /// The owner has died. The same.
    fn miss(&self) -> bool;
}

/// All who listen to one bell. The thread is started by the first of them, and ends with the [`Guest`].
#[derive(Debug, Default)]
pub(super) struct Ear {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By their addresses.
    listeners: BTreeMap<usize, Weak<dyn Listener>>,
    is_running: bool,
    is_stopped: bool,
}

impl Ear {
    /// Tells `listener` from the next ring on. It looks once more after this: what is shown before is not told.
    pub(super) fn listen(self: &Arc<Self>, guest: &Arc<Guest>, listener: Weak<dyn Listener>) -> Result<()> {
        let mut state = self.state.lock();
        state.listeners.insert(listener.as_ptr().addr(), listener);
        // The explorer of schedules knows no threads but its own.
        if !state.is_running && !cfg!(annals_shuttle) {
            let (ear, guest) = (Arc::clone(self), Arc::downgrade(guest));
            let name = "annals-listens";
            let started = thread(name).and_then(|thread| thread.spawn(move || ear.run(&guest)));
            started.map_err(|error| Error::io(std::path::Path::new(name), "start the thread", error))?;
            state.is_running = true;
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }

    fn run(&self, guest: &Weak<Guest>) {
        while self.wait_for_listeners() {
            let Some(guest) = guest.upgrade() else { return };
            // Before they look: a ring that they miss ends the sleep at once.
            let rung = guest.rung();
            self.tell(|listener| listener.hear());
            if self.state.lock().listeners.is_empty() {
                continue;
            }
            guest.sleep(rung, Deadline::after(std::time::Duration::MAX));
            // A file system of the program may panic: all who wait would sleep for ever. It is asked again after the next sleep.
            if guest.rung() == rung && matches!(caught(|| guest.owner()), Ok(OwnerState::Gone(_))) {
                self.tell(|listener| listener.miss());
            }
        }
    }

    /// False once it was stopped.
    fn wait_for_listeners(&self) -> bool {
        let mut state = self.state.lock();
        while state.listeners.is_empty() && !state.is_stopped {
            self.changed.wait(&mut state);
        }
        !state.is_stopped
    }

    /// Tells all; without a lock, as they raise what they wait for.
    fn tell(&self, tell: impl Fn(&dyn Listener) -> bool) {
        let told = std::mem::take(&mut self.state.lock().listeners);
        let goes_on = |listener: &Weak<dyn Listener>| listener.upgrade().is_some_and(|one| !tell(&*one));
        let left: Vec<_> = told.into_iter().filter(|(_, listener)| goes_on(listener)).collect();
        self.state.lock().listeners.extend(left);
    }
}
