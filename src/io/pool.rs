//! A bound on open descriptors. Files that are held as long as their partition lives give theirs back when others need
//! one, and take one again at their next use.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::caught::caught;
use super::maps::{MAP_LIMIT, Maps};
use super::process::Process;
use super::seam::{FileHandle, FileSystem, OpenMode};
use crate::error::{Error, Result, is_out_of_descriptors};
use crate::locks::{AtomicBool, AtomicUsize, Mutex, Ordering, RwLock};

/// So many files keep their descriptor because they were used lately; looking for one that was not must not take longer than
/// closing and opening one.
const MOST_SPARED: usize = 64;

/// So many are never looked through for those that are gone.
const FEW: usize = 16;

/// The files of one store that share a number of descriptors.
#[derive(Debug)]
pub(super) struct FilePool {
    pub(super) fs: Arc<dyn FileSystem>,
    limit: usize,
    /// In which it was made: a child of it reaches the same files, and changes none.
    process: Process,
    pub(super) maps: Maps,
    /// How many have a descriptor.
    held: AtomicUsize,
    /// Those, in the order in which they are asked to give it back, and some that are gone.
    open: Mutex<VecDeque<Weak<PooledFile>>>,
}

/// A file that may be without a descriptor between two calls.
#[derive(Debug)]
pub(super) struct PooledFile {
    pool: Arc<FilePool>,
    path: Arc<Path>,
    /// Held for reading over each call, so that no call loses the descriptor it uses.
    state: RwLock<State>,
    /// Used since it was last asked to give its descriptor back.
    used: AtomicBool,
    /// Written to since its last sync. A descriptor that wrote is the one that learns of lost writes: it is closed only
    /// after a sync.
    dirty: AtomicBool,
    /// Nobody relies on what is written without a sync of its own: its descriptor is closed without one.
    holds_hints: bool,
    /// What [`FileHandle::map_small_writes`] says, for the next descriptor too.
    stores: AtomicBool,
    /// Held over each sync. The system tells of a failed write-back once, to one of those who sync at the same time, and
    /// lets the next sync succeed without the bytes: every sync after one that failed has to fail too.
    first_failure: Mutex<Option<Error>>,
}

#[derive(Debug, Default)]
struct State {
    handle: Option<Arc<dyn FileHandle>>,
    /// The sync before the descriptor was given back has failed: every later call says so.
    failed: Option<Error>,
}

/// Who is to give a descriptor back.
enum Asked {
    /// Nobody has to, or nobody is left.
    Nobody,
    /// This one keeps it, or is gone.
    Spared,
    File(Arc<PooledFile>),
}

/// A file is dirty when this is dropped: after the call that writes to it. A sync that began in between need not have covered that,
/// and has cleared the mark.
struct Written<'a>(&'a AtomicBool);

impl Drop for Written<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What a call does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Writes,
}

impl FilePool {
    pub(super) fn new(fs: Arc<dyn FileSystem>, limit: usize) -> Arc<Self> {
        Self::with_maps(fs, limit, MAP_LIMIT)
    }

    /// The same with another bound on maps.
    pub(super) fn with_maps(fs: Arc<dyn FileSystem>, limit: usize, maps: usize) -> Arc<Self> {
        let process = Process::current();
        let (limit, maps) = (limit.max(1), Maps::new(maps));
        Arc::new(Self { fs, limit, process, maps, held: AtomicUsize::new(0), open: Mutex::default() })
    }

    /// As a child of a fork has it.
    #[cfg(test)]
    pub(super) fn in_a_child(fs: Arc<dyn FileSystem>) -> Arc<Self> {
        let (process, maps) = (Process::of_a_parent(), Maps::new(MAP_LIMIT));
        Arc::new(Self { fs, limit: 8, process, maps, held: AtomicUsize::new(0), open: Mutex::default() })
    }

    /// An error in a child of a fork, before anything is changed: the last line, behind the checks of every call.
    #[inline]
    pub(super) fn check_process(&self, path: &Path) -> Result<()> {
        self.process.check(path)
    }

    /// An empty pool of the same size for the files of another file system.
    pub(super) fn over(&self, fs: Arc<dyn FileSystem>) -> Arc<Self> {
        Self::new(fs, self.limit)
    }

    /// Opens a file of the pool.
    pub(super) fn open(self: &Arc<Self>, path: &Path, mode: OpenMode) -> Result<Arc<PooledFile>> {
        self.open_as(path, mode, false)
    }

    /// Opens a file to which hints are written: the loss of any of them is nothing.
    pub(super) fn open_for_hints(self: &Arc<Self>, path: &Path) -> Result<Arc<PooledFile>> {
        self.open_as(path, OpenMode::ReadWrite, true)
    }

    fn open_as(self: &Arc<Self>, path: &Path, mode: OpenMode, holds_hints: bool) -> Result<Arc<PooledFile>> {
        let operation = if mode == OpenMode::CreateNew { "create" } else { "open" };
        let handle = self.open_handle(path, mode).map_err(|e| Error::io(path, operation, e))?;
        let file = Arc::new(PooledFile {
            pool: Arc::clone(self),
            path: path.into(),
            state: RwLock::new(State { handle: Some(handle), failed: None }),
            used: AtomicBool::new(true),
            dirty: AtomicBool::new(mode == OpenMode::CreateNew),
            holds_hints,
            stores: AtomicBool::new(false),
            first_failure: Mutex::default(),
        });
        self.note_held(&file);
        Ok(file)
    }

    /// The file has a descriptor from here on. Those that are gone are left out each time the others may have doubled, so that opening one costs no
    /// walk over all.
    fn note_held(&self, file: &Arc<PooledFile>) {
        let held = self.held.fetch_add(1, Ordering::AcqRel) + 1;
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(file));
        if open.len() > 2 * held.max(FEW) {
            open.retain(|file| file.strong_count() > 0);
        }
    }

    fn open_handle(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        self.close_idle(self.limit);
        self.with_descriptors(|| self.fs.open(path, mode))
    }

    /// Makes a call that needs a descriptor of its own. When the process has none left, files of the pool give half of theirs
    /// back, and the call is made again, as long as any of them has one.
    pub(super) fn with_descriptors<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            let outcome = call();
            if !outcome.as_ref().is_err_and(is_out_of_descriptors) {
                return outcome;
            }
            let held = self.held.load(Ordering::Acquire);
            self.close_idle(held.div_ceil(2));
            if self.held.load(Ordering::Acquire) >= held {
                return outcome;
            }
        }
    }

    /// Takes descriptors back until fewer than `limit` files have one, those first that were not used for longest. Files
    /// that are in use right now keep theirs.
    fn close_idle(&self, limit: usize) {
        let most = self.open.lock().len().saturating_mul(2);
        for looked_at in 0..most {
            match self.next_to_ask(limit, looked_at) {
                Asked::Nobody => return,
                Asked::Spared => {}
                // Without the lock: the file may have to be synced first.
                Asked::File(file) if file.give_back() => {}
                Asked::File(file) => self.open.lock().push_back(Arc::downgrade(&file)),
            }
        }
    }

    fn next_to_ask(&self, limit: usize, looked_at: usize) -> Asked {
        if self.held.load(Ordering::Acquire) < limit {
            return Asked::Nobody;
        }
        let mut open = self.open.lock();
        let Some(next) = open.pop_front() else { return Asked::Nobody };
        let Some(file) = next.upgrade() else { return Asked::Spared };
        if file.used.swap(false, Ordering::AcqRel) && looked_at < MOST_SPARED {
            open.push_back(next);
            return Asked::Spared;
        }
        Asked::File(file)
    }

    /// Whether files that can do without a descriptor should.
    pub(super) fn is_crowded(&self) -> bool {
        self.held.load(Ordering::Acquire) >= self.limit / 2
    }
}

impl PooledFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `call` on the file, which is opened again first if it has to be.
    #[inline(always)]
    pub(super) fn with<T>(
        self: &Arc<Self>,
        effect: Effect,
        call: impl FnOnce(&dyn FileHandle) -> Result<T>,
    ) -> Result<T> {
        if effect == Effect::Writes {
            self.pool.check_process(&self.path)?;
        }
        loop {
            let state = self.state.read();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if let Some(handle) = &state.handle {
                self.used.store(true, Ordering::Release);
                let _written = (effect == Effect::Writes && !self.holds_hints).then(|| Written(&self.dirty));
                return call(&**handle);
            }
            drop(state);
            self.reopen()?;
        }
    }

    /// Whether a sync of it has failed when its descriptor was given back.
    pub(super) fn has_failed(&self) -> bool {
        self.state.read().failed.is_some()
    }

    /// Syncs what was written. Bytes that another thread writes meanwhile leave the file dirty. A failure is final, and so
    /// is a panic in the middle of it.
    pub(super) fn sync(self: &Arc<Self>) -> Result<()> {
        self.pool.check_process(&self.path)?;
        let mut first_failure = self.first_failure.lock();
        if let Some(error) = &*first_failure {
            return Err(error.clone());
        }
        // Held from the look on: nobody takes the descriptor back in between.
        let state = self.state.read();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        // Without a descriptor there is nothing to sync: that was done when it was closed. To open the file for it could fail.
        let Some(handle) = &state.handle else { return Ok(()) };
        self.used.store(true, Ordering::Release);
        *first_failure = Some(self.broken_off());
        self.dirty.store(false, Ordering::Release);
        match handle.sync_data() {
            Ok(()) => {
                *first_failure = None;
                Ok(())
            }
            Err(e) => {
                self.dirty.store(true, Ordering::Release);
                Err(first_failure.insert(Error::io(&self.path, "sync", e)).clone())
            }
        }
    }

    /// What stands for the outcome of a sync until it is known.
    fn broken_off(&self) -> Error {
        Error::io(&self.path, "sync", io::Error::other("a panic in the middle of it"))
    }

    pub(super) fn map_small_writes(&self) {
        self.stores.store(true, Ordering::Release);
        if let Some(handle) = &self.state.read().handle {
            handle.map_small_writes();
        }
    }

    fn reopen(self: &Arc<Self>) -> Result<()> {
        let handle = self.pool.open_handle(&self.path, OpenMode::ReadWrite);
        let handle = handle.map_err(|e| Error::io(&self.path, "open", e))?;
        if self.stores.load(Ordering::Acquire) {
            handle.map_small_writes();
        }
        let mut state = self.state.write();
        if state.handle.is_none() {
            state.handle = Some(handle);
            drop(state);
            self.pool.note_held(self);
        }
        Ok(())
    }

    /// False when the file is in use.
    fn give_back(&self) -> bool {
        let Some(mut state) = self.state.try_write() else { return false };
        let Some(handle) = state.handle.take() else { return true };
        self.pool.held.fetch_sub(1, Ordering::AcqRel);
        if self.dirty.swap(false, Ordering::AcqRel) {
            // Whoever needs the descriptor is at work on another file: a panic is a failure of this one.
            let sync = || handle.sync_data().map_err(|error| Error::io(&self.path, "sync", error));
            state.failed = caught(sync).err();
        }
        true
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        if self.state.get_mut().handle.is_some() {
            self.pool.held.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests;
