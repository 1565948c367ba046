//! The locks and atomics of `shuttle` in the shape of those that the crate is written with.
//!
//! Every operation here is a point at which another thread may go on. Atomics are sequentially consistent, whatever
//! ordering was asked for: an ordering that is too weak is not found this way.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::sync as explored;
use std::sync::TryLockError;

pub(crate) use explored::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

pub(crate) use shuttle::hint::spin_loop;

/// A mutex that a panic does not poison: the run has failed by then.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(explored::Mutex<T>);

/// Access to what a [`Mutex`] holds.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` only while its owner waits on a [`Condvar`].
    held: Option<explored::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(explored::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(whatever(self.0.lock())) }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        unless_busy(self.0.try_lock()).map(|held| MutexGuard { mutex: self, held: Some(held) })
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        whatever(self.0.get_mut())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "nobody looks through the guard of a thread that waits")]
    fn deref(&self) -> &T {
        self.held.as_ref().expect("the lock is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[expect(clippy::expect_used, reason = "nobody looks through the guard of a thread that waits")]
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("the lock is held")
    }
}

/// A condition variable. A wait with a limit ends by itself after no, one or any number of steps of other threads.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    changed: explored::Condvar,
    /// How often it was notified, for waits with a limit, which the explorer does not know.
    notified: AtomicU64,
}

/// How a wait with a limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(whatever(self.changed.wait(held)));
        }
    }

    /// The explorer has no clock: how much time is left plays no part.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _limit: Instant) -> WaitTimeoutResult {
        let seen = self.notified.load(Ordering::SeqCst);
        guard.held = None;
        let timed_out = loop {
            shuttle::thread::yield_now();
            if self.notified.load(Ordering::SeqCst) != seen {
                break false;
            }
            if shuttle::rand::thread_rng().gen_ratio(1, 3) {
                break true;
            }
        };
        guard.held = Some(whatever(guard.mutex.0.lock()));
        WaitTimeoutResult(timed_out)
    }

    pub(crate) fn notify_one(&self) {
        self.notified.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.notified.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(explored::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(explored::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> explored::RwLockReadGuard<'_, T> {
        whatever(self.0.read())
    }

    pub(crate) fn write(&self) -> explored::RwLockWriteGuard<'_, T> {
        whatever(self.0.write())
    }

    pub(crate) fn try_read(&self) -> Option<explored::RwLockReadGuard<'_, T>> {
        unless_busy(self.0.try_read())
    }

    pub(crate) fn try_write(&self) -> Option<explored::RwLockWriteGuard<'_, T>> {
        unless_busy(self.0.try_write())
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        whatever(self.0.get_mut())
    }
}

/// A value that is set once. The flag does nothing but let other threads go on first.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    touched: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        Self { touched: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.touched.load(Ordering::SeqCst);
        self.value.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.touched.store(true, Ordering::SeqCst);
        self.value.set(value)
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.touched.store(true, Ordering::SeqCst);
        self.value.get_or_init(make)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        Self { touched: AtomicBool::new(false), value: std::sync::OnceLock::from(value) }
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn whatever<T>(outcome: std::sync::LockResult<T>) -> T {
    outcome.unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn unless_busy<T>(outcome: std::sync::TryLockResult<T>) -> Option<T> {
    match outcome {
        Ok(held) => Some(held),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
