//! The life of an open store: who may use it, who closes it, and when its directory is given back.
//!
//! The directory's lock is held by everybody who may still touch a file in it: by the store until its partitions are closed, by the
//! maintenance thread until it ends, by a caller for as long as its call works on the list of topics or on all partitions. The last
//! of them gives it back. So no other process can own the directory while anything of this store is at work in it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::ThreadId;

use crate::error::{Error, Result};
use crate::io::{DirectoryLock, Process, caught, in_drop_each};
use crate::locks::{Condvar, Mutex};

/// Where a store is in its life.
#[derive(Debug)]
pub(super) struct Life {
    path: PathBuf,
    process: Process,
    stage: Mutex<Stage>,
    /// The stage is another one.
    changed: Condvar,
    released: Arc<Released>,
}

#[derive(Debug)]
enum Stage {
    Open(Arc<Lease>),
    /// That thread closes the partitions.
    Closing(ThreadId),
    /// They are closed. What becomes of the lock is up to those who hold it.
    Closed(Result<()>),
}

/// The right to work in the directory. Its lock is given back with the last one.
#[derive(Debug)]
pub(super) struct Lease {
    lock: Option<DirectoryLock>,
    process: Process,
    released: Arc<Released>,
}

/// Whether the lock was given back.
#[derive(Debug, Default)]
struct Released {
    is_released: Mutex<bool>,
    changed: Condvar,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let parts: [fn(&mut Self); 2] = [|lease| drop(lease.lock.take()), Self::tell];
        // Who waits for the second is not to wait for ever where the first panics.
        in_drop_each(parts, |part| part(self));
    }
}

impl Lease {
    /// The lock is given back, or nobody can do that any more.
    fn tell(&mut self) {
        if !self.process.may_unlock() {
            // Nobody waits in a child, and the lock may be held by a thread that it does not have.
            return;
        }
        *self.released.is_released.lock() = true;
        self.released.changed.notify_all();
    }
}

thread_local! {
    /// The stores in which this thread is at work, by the places of what tells that they were given back.
    static AT_WORK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A thread at work in the store. It holds the directory for as long as that lasts.
#[derive(Debug)]
pub(super) struct Work {
    /// Held for its drop.
    _lease: Arc<Lease>,
    store: usize,
}

impl Work {
    /// This thread works in the store from here on.
    pub(super) fn begin(lease: Arc<Lease>) -> Self {
        let store = place_of(&lease.released);
        at_work(|stores| stores.push(store));
        Self { _lease: lease, store }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        at_work(|stores| {
            if let Some(at) = stores.iter().rposition(|store| *store == self.store) {
                stores.swap_remove(at);
            }
        });
    }
}

/// A thread that ends drops its locals, and a store among them may find this list gone: then it is at work in none.
fn at_work<T: Default>(act: impl FnOnce(&mut Vec<usize>) -> T) -> T {
    AT_WORK.try_with(|stores| act(&mut stores.borrow_mut())).unwrap_or_default()
}

fn place_of(released: &Arc<Released>) -> usize {
    Arc::as_ptr(released).addr()
}

impl Life {
    /// A store is open: `lock` is that of its directory.
    pub(super) fn new(path: &Path, lock: DirectoryLock) -> Self {
        let released = Arc::new(Released::default());
        let process = Process::current();
        let lease = Lease { lock: Some(lock), process, released: Arc::clone(&released) };
        Self {
            path: path.to_path_buf(),
            process,
            stage: Mutex::new(Stage::Open(Arc::new(lease))),
            changed: Condvar::new(),
            released,
        }
    }

    /// An error when the store is closed, or is being closed.
    pub(super) fn check(&self) -> Result<()> {
        self.lease().map(drop)
    }

    /// The same, and the store's directory stays its own until what is returned is dropped.
    pub(super) fn work(&self) -> Result<Work> {
        self.lease().map(Work::begin)
    }

    pub(super) fn lease(&self) -> Result<Arc<Lease>> {
        self.check_process()?;
        match &*self.stage.lock() {
            Stage::Open(lease) => Ok(Arc::clone(lease)),
            Stage::Closing(_) | Stage::Closed(_) => Err(self.closed()),
        }
    }

    fn check_process(&self) -> Result<()> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(Error::Forked { path: self.path.clone(), pid: self.process.id() })
    }

    /// False in a child that was forked since the open. The child has no maintenance thread, and locks that other threads
    /// held stay locked in it for good.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process.is_current() && self.process.may_unlock()
    }

    fn closed(&self) -> Error {
        Error::StoreClosed { path: self.path.clone() }
    }

    /// Closes the store with `close`, once, and returns when that is done and the directory was given back. Who comes
    /// second waits for the first, and has its result. A thread that is at work in the store itself, as one that calls from a
    /// callback is, does not wait for its own end: the directory is given back with it.
    pub(super) fn close(&self, close: impl FnOnce() -> Result<()>) -> Result<()> {
        self.check_process()?;
        let lease = {
            let mut stage = self.stage.lock();
            loop {
                match &*stage {
                    Stage::Open(_) => {}
                    Stage::Closing(thread) if *thread == std::thread::current().id() => {
                        return Err(Error::invalid("the store is closed by this call's own caller"));
                    }
                    Stage::Closing(_) => {
                        self.changed.wait(&mut stage);
                        continue;
                    }
                    Stage::Closed(outcome) => {
                        let outcome = outcome.clone();
                        drop(stage);
                        self.wait_for_release();
                        return outcome;
                    }
                }
                let closing = Stage::Closing(std::thread::current().id());
                match std::mem::replace(&mut *stage, closing) {
                    Stage::Open(lease) => break lease,
                    // Looked at above, under the same lock.
                    other => *stage = other,
                }
            }
        };
        // Whoever waits for it is not to wait for ever.
        let outcome = caught(close);
        *self.stage.lock() = Stage::Closed(outcome.clone());
        self.changed.notify_all();
        drop(lease);
        self.wait_for_release();
        outcome
    }

    fn wait_for_release(&self) {
        let this = place_of(&self.released);
        if at_work(|stores| stores.contains(&this)) {
            return;
        }
        let mut is_released = self.released.is_released.lock();
        while !*is_released {
            self.released.changed.wait(&mut is_released);
        }
    }
}

#[cfg(all(test, not(annals_shuttle)))]
#[expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what panics is what is tested, on a thread that may wait for ever"
)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    struct PanicsInItsDrop;

    impl Drop for PanicsInItsDrop {
        fn drop(&mut self) {
            panic!("the lock of the program's own file system");
        }
    }

    #[test]
    fn a_close_after_one_in_which_the_directory_s_lock_panicked_waited_for_ever() {
        let lock = DirectoryLock::Held(Box::new(PanicsInItsDrop));
        let life = Arc::new(Life::new(Path::new("/store"), lock));
        let first = catch_unwind(AssertUnwindSafe(|| life.close(|| Ok(()))));
        assert!(first.is_err(), "whose thread it is has the panic");
        let (sender, over) = mpsc::channel();
        std::thread::spawn(move || sender.send(life.close(|| Ok(()))));
        let second = over.recv_timeout(Duration::from_secs(20));
        assert!(matches!(second, Ok(Ok(()))), "{second:?}");
    }
}
