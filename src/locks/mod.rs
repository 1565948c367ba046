//! The locks and atomics of the crate, from one place, so that a schedule explorer can be put under all of them.
//!
//! Built with `--cfg annals_shuttle`, for the tests in `log/tests/schedules/` and nothing else, they are those of
//! the crate `shuttle`: it runs one thread at a time and chooses at every lock and atomic which one goes on.

#[cfg(annals_shuttle)]
mod explored;

#[cfg(annals_shuttle)]
pub(crate) use explored::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, OnceLock, Ordering,
    RwLock, fence, spin_loop,
};
#[cfg(not(annals_shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(annals_shuttle))]
pub(crate) use std::hint::spin_loop;
#[cfg(not(annals_shuttle))]
pub(crate) use std::sync::OnceLock;
#[cfg(not(annals_shuttle))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
