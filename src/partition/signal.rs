//! Waking readers that wait for records.

use std::sync::{Arc, Weak};

use crate::io::Deadline;
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, RwLock};

/// What one waiting reader sleeps on. It may watch many partitions.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// How often it was raised. A waiter that reads it before it looks for records cannot miss one.
    raised: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// The count to hand to [`wait`](Self::wait). Read it before looking for what may be there already.
    pub(crate) fn raised(&self) -> u64 {
        *self.raised.lock()
    }

    /// Wakes whoever waits, or will wait with an older count.
    pub(crate) fn raise(&self) {
        *self.raised.lock() += 1;
        self.changed.notify_all();
    }

    /// Sleeps until the count is another than `seen`, or the deadline passes. Returns false at the deadline.
    pub(crate) fn wait(&self, seen: u64, deadline: Deadline) -> bool {
        let mut raised = self.raised.lock();
        while *raised == seen {
            match deadline.instant() {
                None => self.changed.wait(&mut raised),
                Some(at) => {
                    if self.changed.wait_until(&mut raised, at).timed_out() {
                        return *raised != seen;
                    }
                }
            }
        }
        true
    }
}

/// Whom a partition wakes when it has something to read.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// False as long as nobody ever watched: then a write pays one load.
    any: AtomicBool,
    signals: RwLock<Vec<Weak<Signal>>>,
}

impl Watchers {
    pub(super) fn add(&self, signal: &Arc<Signal>) {
        let mut signals = self.signals.write();
        signals
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(signal)));
        signals.push(Arc::downgrade(signal));
        self.any.store(true, Ordering::SeqCst);
    }

    pub(super) fn remove(&self, signal: &Arc<Signal>) {
        let mut signals = self.signals.write();
        signals
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(signal)));
        self.any.store(!signals.is_empty(), Ordering::SeqCst);
    }

    pub(super) fn raise(&self) {
        if self.any.load(Ordering::SeqCst) {
            self.signals.read().iter().filter_map(Weak::upgrade).for_each(|signal| signal.raise());
        }
    }
}
