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

    /// Poisons the partition if a panic of this thread passes by that did not when that was looked at last.
    #[inline]
    fn unless_panicking(&self, was_panicking: bool) {
        if panicking() {
            self.pass_by(was_panicking);
        }
    }

    #[cold]
    #[inline(never)]
    fn pass_by(&self, was_panicking: bool) {
        if !was_panicking {
            self.set_by_panic();
        }
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
        self.poison.unless_panicking(self.was_panicking);
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
struct Tells<'a, T>(&'a PoisoningLock<T>);

impl<T> Drop for Tells<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // With the one of who missed it: either that finds the lock free, or this finds that it was missed.
        fence(Ordering::SeqCst);
        if self.0.is_missed.load(Ordering::Relaxed) {
            self.0.tell();
        }
    }
}

/// The partition is poisoned before the lock is free, and those who missed it are told after that: its fields are dropped in
/// this order, once it has looked for a panic.
#[derive(Debug)]
pub(super) struct PoisoningGuard<'a, T> {
    inner: MutexGuard<'a, T>,
    tells: Tells<'a, T>,
    /// A store may be closed while its thread unwinds from something else.
    was_panicking: bool,
}

impl<T> Drop for PoisoningGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.tells.0.poison.unless_panicking(self.was_panicking);
    }
}

impl<T> PoisoningLock<T> {
    pub(super) fn new(inner: T, poison: &Arc<Poison>) -> Self {
        Self { inner: Mutex::new(inner), poison: Arc::clone(poison), is_missed: AtomicBool::new(false) }
    }

    #[inline]
    fn guard<'a>(&'a self, inner: MutexGuard<'a, T>) -> PoisoningGuard<'a, T> {
        PoisoningGuard { inner, tells: Tells(self), was_panicking: panicking() }
    }

    #[cold]
    #[inline(never)]
    fn tell(&self) {
        if self.is_missed.swap(false, Ordering::SeqCst) {
            self.poison.watchers.raise();
        }
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
