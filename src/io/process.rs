//! Which process this is. A child of a fork has the memory of its parent, its descriptors and its locks, and none of its
//! threads: what it does with a store of its parent would be done to the parent.

use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// How many forks lie between the first process that asked and this one.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The process in which it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    forks: u64,
    id: u32,
}

impl Default for Process {
    fn default() -> Self {
        Self::current()
    }
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Self {
        static COUNTED: Once = Once::new();
        COUNTED.call_once(count_forks);
        Self { forks: FORKS.load(Ordering::Relaxed), id: std::process::id() }
    }

    /// One of which this process was forked.
    #[cfg(test)]
    pub(super) fn of_a_parent() -> Self {
        let this = Self::current();
        Self { forks: this.forks.wrapping_sub(1), ..this }
    }

    /// False in a child that was forked since. Cheap enough for every call.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// An error in a child that was forked since, of what is in `path`. Every call asks before it takes a lock: another thread of the
    /// parent may have held it, and no thread of the child gives it back.
    #[inline]
    pub(crate) fn check(self, path: &Path) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(self.forked(path)) }
    }

    /// What a child is told.
    #[cold]
    pub(crate) fn forked(self, path: &Path) -> Error {
        Error::Forked { path: path.to_path_buf(), pid: self.id }
    }

    /// The same as [`is_current`](Self::is_current), of what is done seldom: false also where a fork was not seen. What this process locked is its own to unlock; a
    /// child's descriptors are copies, whose close leaves the locks to the parent.
    pub(crate) fn may_unlock(self) -> bool {
        self.id == std::process::id()
    }

    /// Its id.
    pub(crate) fn id(self) -> u32 {
        self.id
    }
}

#[cfg(unix)]
fn count_forks() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler is a function without state that lives as long as the program. It runs in the child before fork
    // returns, and touches one atomic.
    #[expect(unsafe_code, reason = "std does not say when the process was forked")]
    let code = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    // It fails for want of memory alone. Then forks are not seen here; what unlocks and closes asks for the id as well.
    debug_assert_eq!(code, 0);
}

#[cfg(not(unix))]
fn count_forks() {}
