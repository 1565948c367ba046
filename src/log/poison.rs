//! What ends a partition's life before its time: a failure, or a panic, after which nobody knows what its files hold.

use std::sync::Arc;
use std::thread::panicking;

use crate::error::Error;
use crate::figures::{Event, Figures};
use crate::locks::{AtomicBool, Mutex, MutexGuard, OnceLock, Ordering, fence};
use crate::log::signal::Watchers;
use crate::types::TopicPartition;

/// Set once; the first cause stands. Whoever waits for something of the partition is woken to see it.
#[derive(Debug)]
pub(super) struct Poison {
    cause: OnceLock<Arc<Error>>,
    place: TopicPartition,
    watchers: Arc<Watchers>,
    figures: Arc<Figures>,
}

impl Poison {
    pub(super) fn new(place: TopicPartition, watchers: Arc<Watchers>, figures: Arc<Figures>) -> Arc<Self> {
        Arc::new(Self { cause: OnceLock::new(), place, watchers, figures })
    }

    #[inline]
    pub(super) fn get(&self) -> Option<&Arc<Error>> {
        self.cause.get()
    }

    /// Nothing is acknowledged from here on.
    pub(super) fn set(&self, cause: &Error) {
        let mut is_first = false;
        self.cause.get_or_init(|| {
            is_first = true;
            Arc::new(cause.clone())
        });
        if is_first {
            self.figures.poisonings.add(1);
            let event = || Event::Poisoned { partition: self.place.clone(), error: cause.clone() };
            self.figures.events.note(event);
        }
        self.watchers.raise();
    }

    /// Poisons the partition if a panic of this thread, in the file system or the clock that the program gave or in this
    /// crate, passes by before the guard is dropped.
    #[inline]
    pub(super) fn by_a_panic(&self) -> PanicGuard<'_> {
        PanicGuard { poison: self, was_panicking: panicking() }
    }

    /// A panic came by. What those are told who wait.
    pub(super) fn set_by_panic(&self) -> Error {
        let cause =
            Error::Panicked { message: "in the middle of a change of the partition's files".to_owned() };
        self.set(&cause);
        cause
    }
}

/// From [`Poison::by_a_panic`].
#[derive(Debug)]
pub(super) struct PanicGuard<'a> {
    poison: &'a Poison,
    /// A store may be closed while its thread unwinds from something else.
    was_panicking: bool,
}

impl Drop for PanicGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if panicking() && !self.was_panicking {
            self.poison.set_by_panic();
        }
    }
}

/// A lock that poisons its partition when a panic comes by while it is held: what it guards may be half changed.
#[derive(Debug)]
pub(super) struct PoisoningLock<T> {
    inner: Mutex<T>,
    poison: Arc<Poison>,
    /// Somebody who waits for nobody found it taken, and is to be told when it is free.
    is_missed: AtomicBool,
}

/// Tells those who missed a lock. Dropped when that is free.
#[derive(Debug)]
struct Tells<'a> {
    is_missed: &'a AtomicBool,
    watchers: &'a Watchers,
}

impl Drop for Tells<'_> {
    #[inline]
    fn drop(&mut self) {
        // With the one of who missed it: either that finds the lock free, or this finds that it was missed.
        fence(Ordering::SeqCst);
        if self.is_missed.load(Ordering::Relaxed) {
            self.tell();
        }
    }
}

impl Tells<'_> {
    #[cold]
    fn tell(&self) {
        if self.is_missed.swap(false, Ordering::SeqCst) {
            self.watchers.raise();
        }
    }
}

/// The partition is poisoned before the lock is free.
#[derive(Debug)]
pub(super) struct PoisoningGuard<'a, T> {
    _on_panic: PanicGuard<'a>,
    inner: MutexGuard<'a, T>,
    _tells: Tells<'a>,
}

impl<T> PoisoningLock<T> {
    pub(super) fn new(inner: T, poison: &Arc<Poison>) -> Self {
        Self { inner: Mutex::new(inner), poison: Arc::clone(poison), is_missed: AtomicBool::new(false) }
    }

    #[inline]
    fn guard<'a>(&'a self, inner: MutexGuard<'a, T>) -> PoisoningGuard<'a, T> {
        let tells = Tells { is_missed: &self.is_missed, watchers: &self.poison.watchers };
        PoisoningGuard { _on_panic: self.poison.by_a_panic(), inner, _tells: tells }
    }

    #[inline]
    pub(super) fn lock(&self) -> PoisoningGuard<'_, T> {
        self.guard(self.inner.lock())
    }

    #[inline]
    pub(super) fn try_lock(&self) -> Option<PoisoningGuard<'_, T>> {
        self.inner.try_lock().map(|inner| self.guard(inner))
    }

    /// The same; where another has it those who watch the log are raised once that one lets go.
    pub(super) fn lock_or_be_told(&self) -> Option<PoisoningGuard<'_, T>> {
        if let Some(guard) = self.try_lock() {
            return Some(guard);
        }
        self.is_missed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Let go of before that was said?
        self.try_lock()
    }
}

impl<T> std::ops::Deref for PoisoningGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> std::ops::DerefMut for PoisoningGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
