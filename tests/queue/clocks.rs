//! Clocks of a program's own that hold a call, so that others come in between.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use annals::Timestamp;
use annals::io::{Clock, ManualClock};

/// How long it is waited for what comes in between: it may have to wait for the call that is held.
const IN_BETWEEN: Duration = Duration::from_millis(100);

/// Holds one call of one thread.
#[derive(Debug)]
pub(crate) struct HoldingClock {
    clock: Arc<ManualClock>,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    /// Whose call, and how many of its calls come before.
    of: Option<(ThreadId, usize)>,
    has_come: bool,
    may_go: bool,
    is_over: bool,
}

impl HoldingClock {
    pub(crate) fn over(clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(clock), held: Mutex::default(), changed: Condvar::new() })
    }

    /// Runs `one`, holds its call of the clock after so many others, and runs `other` meanwhile, as far as it comes. False where there was
    /// no such call. Neither may take longer than a moment once the call goes on.
    pub(crate) fn between(
        self: &Arc<Self>,
        after: usize,
        one: impl FnOnce() + Send + 'static,
        other: impl FnOnce() + Send + 'static,
    ) -> bool {
        let clock = Arc::clone(self);
        let ones = begun(move || {
            clock.held.lock().unwrap().of = Some((thread::current().id(), after));
            one();
            clock.held.lock().unwrap().is_over = true;
            clock.changed.notify_all();
        });
        let (held, is_late) = self
            .changed
            .wait_timeout_while(self.held.lock().unwrap(), MOST, |held| !held.has_come && !held.is_over)
            .unwrap();
        assert!(!is_late.timed_out(), "call {after} does not come");
        let has_come = held.has_come;
        drop(held);
        let others = begun(other);
        let is_over = others.recv_timeout(if has_come { IN_BETWEEN } else { MOST }).is_ok();
        let mut held = self.held.lock().unwrap();
        held.may_go = true;
        drop(held);
        self.changed.notify_all();
        ones.recv_timeout(MOST).unwrap_or_else(|error| panic!("what was held after {after} calls: {error}"));
        if !is_over {
            others
                .recv_timeout(MOST)
                .unwrap_or_else(|error| panic!("what came after {after} calls: {error}"));
        }
        *self.held.lock().unwrap() = Held::default();
        has_come
    }
}

/// Tells of each call of one thread, and waits a moment for what is done then.
#[derive(Debug)]
pub(crate) struct AskingClock {
    clock: Arc<ManualClock>,
    of: Mutex<Option<ThreadId>>,
    calls: Mutex<Option<mpsc::Sender<mpsc::Sender<()>>>>,
}

impl AskingClock {
    /// And where it tells of them.
    pub(crate) fn over(clock: &Arc<ManualClock>) -> (Arc<Self>, mpsc::Receiver<mpsc::Sender<()>>) {
        let (calls, told) = mpsc::channel();
        let (clock, calls) = (Arc::clone(clock), Mutex::new(Some(calls)));
        (Arc::new(Self { clock, of: Mutex::default(), calls }), told)
    }

    /// Tells of the calls that `work` makes on this thread.
    pub(crate) fn ask(&self, work: impl FnOnce()) {
        *self.of.lock().unwrap() = Some(thread::current().id());
        work();
        *self.calls.lock().unwrap() = None;
    }
}

impl Clock for AskingClock {
    fn now(&self) -> Timestamp {
        if *self.of.lock().unwrap() == Some(thread::current().id()) {
            let (reply, replied) = mpsc::channel();
            self.calls.lock().unwrap().iter().for_each(|calls| _ = calls.send(reply.clone()));
            _ = replied.recv_timeout(IN_BETWEEN);
        }
        self.clock.now()
    }
}

/// Long enough for anything but what never comes to an end.
const MOST: Duration = Duration::from_secs(10);

/// Runs what may never come to an end: also when it unwinds, and waits for a lock then.
pub(crate) fn within_a_moment(what: &str, work: impl FnOnce() + Send + 'static) {
    begun(work).recv_timeout(MOST * 4).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// A thread that is left behind where it does not come back.
fn begun(work: impl FnOnce() + Send + 'static) -> mpsc::Receiver<()> {
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        work();
        _ = over.send(());
    });
    is_over
}

impl Clock for HoldingClock {
    fn now(&self) -> Timestamp {
        let mut held = self.held.lock().unwrap();
        if let Some((of, left)) = &mut held.of
            && *of == thread::current().id()
        {
            if *left > 0 {
                *left -= 1;
            } else if !held.has_come {
                held.has_come = true;
                self.changed.notify_all();
                held = self.changed.wait_while(held, |held| !held.may_go).unwrap();
            }
        }
        drop(held);
        self.clock.now()
    }
}
