//! What a signal waits for in another process: logs that one writes, and the bell that it rings.

use std::sync::{Arc, Weak};
use std::task::Poll;

use super::Signal;
use crate::error::Result;
use crate::io::Deadline;
use crate::live::{Guest, Listener, OwnerState};
use crate::locks::Mutex;
use crate::log::follow::follow::News;
use crate::log::log::Log;

/// Logs that another process writes, and where that one rings.
#[derive(Debug)]
pub(super) struct Elsewhere {
    pub(super) guest: Arc<Guest>,
    /// Whose it is.
    signal: Weak<Signal>,
    logs: Mutex<Vec<Followed>>,
}

/// One of them, and what was shown of it at the last look.
#[derive(Debug)]
struct Followed {
    log: Weak<Log>,
    noticed: News,
}

impl Elsewhere {
    /// Whether something is shown that was not noticed before. Says before that it looks that somebody waits.
    fn notice(&self) -> bool {
        let mut is_any = false;
        for followed in self.logs.lock().iter_mut() {
            let Some(log) = followed.log.upgrade() else { continue };
            log.want();
            let news = log.news();
            is_any |= std::mem::replace(&mut followed.noticed, news) != news;
        }
        is_any
    }

    /// Whether the owner has died since the last look.
    fn misses_owner(&self) -> bool {
        matches!(self.guest.owner(), Ok(OwnerState::Gone(_))) && self.leave_owner()
    }

    /// The owner has died: whether there may be more in the files than it came to show.
    fn leave_owner(&self) -> bool {
        let logs = self.logs.lock();
        let left = logs.iter().filter_map(|followed| followed.log.upgrade()).filter(|log| log.leave_owner());
        left.count() > 0
    }
}

impl Signal {
    /// It waits for a log that another process writes, too.
    pub(crate) fn follow(self: &Arc<Self>, log: &Arc<Log>, guest: &Arc<Guest>) {
        let signal = Arc::downgrade(self);
        let new = || Elsewhere { guest: Arc::clone(guest), signal, logs: Mutex::default() };
        let followed = Followed { log: Arc::downgrade(log), noticed: News::default() };
        self.elsewhere.get_or_init(new).logs.lock().push(followed);
    }

    pub(crate) fn unfollow(&self, log: &Log) {
        if !self.process.is_current() {
            return;
        }
        if let Some(elsewhere) = self.elsewhere.get() {
            elsewhere
                .logs
                .lock()
                .retain(|one| !std::ptr::eq(one.log.as_ptr(), log) && one.log.strong_count() > 0);
        }
    }

    /// The same as a wait at home, on the bell that the other process rings. Looks for that process now and then.
    pub(super) fn wait_elsewhere(&self, elsewhere: &Elsewhere, seen: u64, deadline: Deadline) -> bool {
        // Before it looks at the count: who raises it from here on rings.
        self.state.lock().on_bell += 1;
        let is_raised = self.sleep_elsewhere(elsewhere, seen, deadline);
        self.state.lock().on_bell -= 1;
        is_raised
    }

    fn sleep_elsewhere(&self, elsewhere: &Elsewhere, seen: u64, deadline: Deadline) -> bool {
        loop {
            let rung = elsewhere.guest.rung();
            if elsewhere.notice() || self.raised() != seen {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            elsewhere.guest.sleep(rung, deadline);
            if elsewhere.guest.rung() == rung && elsewhere.misses_owner() {
                return true;
            }
        }
    }

    /// The rest of it, once the waker is kept.
    pub(super) fn poll_elsewhere(&self) -> Result<Poll<()>> {
        if let Some(elsewhere) = self.elsewhere.get() {
            // In this order: what is shown before the look is found there, and what comes after it rings the bell.
            elsewhere.guest.listen(Weak::<Self>::clone(&elsewhere.signal))?;
            if elsewhere.notice() {
                return Ok(Poll::Ready(()));
            }
        }
        Ok(Poll::Pending)
    }
}

impl Listener for Signal {
    fn hear(&self) -> bool {
        self.is_over(Elsewhere::notice)
    }

    fn miss(&self) -> bool {
        self.is_over(Elsewhere::leave_owner)
    }
}

impl Signal {
    /// Whether its task waits no more: it is woken where `is_news`.
    fn is_over(&self, is_news: impl FnOnce(&Elsewhere) -> bool) -> bool {
        let Some(elsewhere) = self.elsewhere.get().filter(|_| self.state.lock().task.is_some()) else {
            return true;
        };
        let is_news = is_news(elsewhere);
        // All who sleep on the bell, in every process, would look again, and those with tasks ring in turn.
        if is_news && self.raise_here() {
            elsewhere.guest.ring();
        }
        is_news
    }
}
