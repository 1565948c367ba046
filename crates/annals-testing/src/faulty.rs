//! A file system that counts what is asked of it and fails when it is asked to.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned after a test has failed")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use annals::io::{
    DirectoryHandle, DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem, View,
};

use super::call::{Call, Done};
use super::fault::{Fault, Times};
use super::order::{FileOrder, Order};

#[derive(Debug)]
struct Rule {
    calls: Vec<Call>,
    /// The path, a part of it, or nothing for all.
    path: String,
    /// Matching calls that still go through.
    before: usize,
    times: Times,
    fault: Fault,
}

/// A file system that passes everything on to another one, and fails, shortens or holds the calls it is told to. It records every
/// call, so that a test can say how many syncs something costs. It shares no memory, so nobody can attach to a store on it, and it looks up
/// each path again: do not rename the directory of an open store.
///
/// Rules are matched in the order in which they were given. A path matches when it contains the text, so `""` matches all paths.
///
/// ```
/// use annals::{Durability, Record, Store, TopicConfig};
/// use annals_testing::{Call, FaultyFileSystem, MemoryFileSystem};
/// use std::sync::Arc;
///
/// let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
/// let store = Store::builder("/store").file_system(disk.clone()).open()?;
/// let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
/// orders.append(&[Record::new().value("one")], Durability::Disk)?;
/// disk.forget();
/// orders.append(&[Record::new().value("two")], Durability::Disk)?;
/// assert_eq!(disk.count(Call::Sync, "orders-0"), 1);
///
/// disk.fail_next(Call::Sync, ".log", 5); // EIO
/// let failed = orders.append(&[Record::new().value("three")], Durability::Disk);
/// assert!(failed.is_err() && orders.append(&[Record::new()], Durability::Disk).is_err(), "poisoned until reopened");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug)]
pub struct FaultyFileSystem {
    inner: Arc<dyn FileSystem>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    trace: Mutex<Vec<Done>>,
    rules: Mutex<Vec<Rule>>,
    /// Highest byte written so far, by path at the time of opening.
    written: Mutex<HashMap<PathBuf, u64>>,
    /// Whatever is tested: these orders are kept, if the test wants to know.
    order: Option<Order>,
}

impl FaultyFileSystem {
    /// Returns one over the machine's own file system.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::over(Arc::new(OsFileSystem))
    }

    /// Returns one over `inner`.
    #[must_use]
    pub fn over(inner: Arc<dyn FileSystem>) -> Arc<Self> {
        Arc::new(Self { inner, shared: Arc::default() })
    }

    /// Returns one over the machine's own file system that panics in a call whose order a power cut between two calls would
    /// punish, by what annals knows of its files: a rename before a sync of the file, a write into a sealed segment. For
    /// tests of annals itself.
    #[must_use]
    pub fn watching_order() -> Arc<Self> {
        let shared = Arc::new(Shared { order: Some(Order::default()), ..Shared::default() });
        Arc::new(Self { inner: Arc::new(OsFileSystem), shared })
    }

    /// Makes the `nth` matching call from now on (0 is the next one) fail, once or with all after it.
    pub fn fail(&self, calls: &[Call], path: &str, (nth, times): (usize, Times), fault: Fault) {
        let rule = Rule { calls: calls.to_vec(), path: path.to_owned(), before: nth, times, fault };
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// Makes the next matching call fail with that error.
    pub fn fail_next(&self, call: Call, path: &str, errno: i32) {
        self.fail(&[call], path, (0, Times::Once), Fault::Error(errno));
    }

    /// Removes all faults, so that everything works again.
    pub fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// Checks that everything in the directory of a partition may be acknowledged as durable: panics if that is too early. It only does something
    /// with [`watching_order`](Self::watching_order).
    pub fn check_acknowledged(&self, dir: &Path) {
        if let Some(order) = &self.shared.order {
            order.acknowledged(dir);
        }
    }

    /// Returns how many rules have not struck yet, or continue to strike.
    pub fn armed(&self) -> usize {
        self.shared.rules.lock().unwrap().len()
    }

    /// Returns everything done since the start or the last [`forget`](Self::forget).
    pub fn trace(&self) -> Vec<Done> {
        self.shared.trace.lock().unwrap().clone()
    }

    /// Returns the length of the trace.
    pub fn moment(&self) -> usize {
        self.shared.trace.lock().unwrap().len()
    }

    /// Starts a new trace.
    pub fn forget(&self) {
        self.shared.trace.lock().unwrap().clear();
    }

    /// Returns how many calls of that kind there were on paths that contain that text.
    pub fn count(&self, call: Call, path: &str) -> usize {
        self.matching(call, path).count()
    }

    /// Returns the sum of their bytes.
    pub fn bytes(&self, call: Call, path: &str) -> u64 {
        self.matching(call, path).map(|done| done.bytes).sum()
    }

    fn matching(&self, call: Call, path: &str) -> impl Iterator<Item = Done> {
        self.trace().into_iter().filter(move |done| done.call == call && contains(&done.path, path))
    }
}

fn contains(path: &Path, part: &str) -> bool {
    path.to_string_lossy().contains(part)
}

impl Shared {
    /// The fault for this call, if there is one. The first rule that strikes decides.
    fn fault(&self, call: Call, path: &Path) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let mut struck = None;
        for (at, rule) in rules.iter_mut().enumerate() {
            if !rule.calls.contains(&call) || !contains(path, &rule.path) {
                continue;
            }
            match rule.before.checked_sub(1) {
                Some(left) => rule.before = left,
                None if struck.is_none() => struck = Some((at, rule.fault.clone(), rule.times)),
                None => {}
            }
        }
        let (at, fault, times) = struck?;
        if times == Times::Once {
            rules.remove(at);
        }
        Some(fault)
    }

    /// Runs a call that can only fail or wait.
    fn run<T>(&self, call: Call, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let written = self.written.lock().unwrap().get(path).copied().unwrap_or(0);
        let fault = self.fault(call, path);
        let struck = fault.is_some();
        let result = fault.map_or(Ok(()), |fault| fault.strike()).and_then(|()| act());
        self.note(call, path, if call == Call::Sync { written } else { 0 }, (result.is_err(), struck));
        result
    }

    fn note(&self, call: Call, path: &Path, bytes: u64, (failed, struck): (bool, bool)) {
        self.trace.lock().unwrap().push(Done { call, path: path.to_path_buf(), bytes, failed, struck });
    }
}

/// A directory whose sync needs no descriptor any more.
#[derive(Debug)]
struct FaultyDirectory {
    files: FaultyFileSystem,
    inner: Option<Box<dyn DirectoryHandle>>,
    path: PathBuf,
}

impl DirectoryHandle for FaultyDirectory {
    fn sync(&self) -> io::Result<()> {
        let FaultyFileSystem { inner, shared } = &self.files;
        let sync = || self.inner.as_ref().map_or_else(|| inner.sync_dir(&self.path), |inner| inner.sync());
        shared.run(Call::SyncDir, &self.path, sync)?;
        shared.order.iter().for_each(|order| order.synced_dir(&self.path));
        Ok(())
    }
}

impl FileSystem for FaultyFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let call = if mode == OpenMode::CreateNew { Call::Create } else { Call::Open };
        let inner = self.shared.run(call, path, || self.inner.open(path, mode))?;
        if mode == OpenMode::CreateNew {
            self.shared.written.lock().unwrap().insert(path.to_path_buf(), 0);
        }
        let (is_new, len) = (mode == OpenMode::CreateNew, inner.len().unwrap_or(0));
        let order = self.shared.order.as_ref().map(|order| order.opened(path, is_new, len));
        Ok(Arc::new(FaultyFile { inner, path: path.to_path_buf(), order, shared: Arc::clone(&self.shared) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.shared.run(Call::List, dir, || self.inner.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(Call::CreateDir, dir, || self.inner.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(Call::RemoveDir, dir, || self.inner.remove_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if let Some(order) = self.shared.order.as_ref().filter(|_| path.exists()) {
            order.remove(path);
        }
        self.shared.run(Call::Remove, path, || self.inner.remove_file(path))?;
        self.shared.order.iter().for_each(|order| order.removed(path));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.order.iter().for_each(|order| order.rename(from, to));
        self.shared.run(Call::Rename, to, || self.inner.rename(from, to))?;
        self.shared.order.iter().for_each(|order| order.renamed(from, to));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // By its path it needs a descriptor.
        self.shared.run(Call::Open, dir, || Ok(()))?;
        self.shared.run(Call::SyncDir, dir, || self.inner.sync_dir(dir))?;
        self.shared.order.iter().for_each(|order| order.synced_dir(dir));
        Ok(())
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn DirectoryHandle>>> {
        let inner = self.shared.run(Call::Open, dir, || self.inner.open_dir(dir))?;
        let files = Self { inner: Arc::clone(&self.inner), shared: Arc::clone(&self.shared) };
        Ok(Some(Box::new(FaultyDirectory { files, inner, path: dir.to_path_buf() })))
    }

    fn available_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        let fault = self.shared.fault(Call::AvailableSpace, dir);
        let most = fault.as_ref().map(|fault| fault.part(usize::MAX) as u64).filter(|most| *most < u64::MAX);
        let struck = fault.is_some();
        let found =
            fault.map_or(Ok(()), |fault| fault.strike()).and_then(|()| self.inner.available_space(dir));
        self.shared.note(Call::AvailableSpace, dir, 0, (found.is_err(), struck));
        found.map(|found| most.map_or(found, |most| Some(found.map_or(most, |found| found.min(most)))))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.run(Call::Create, to, || self.inner.hard_link(from, to))
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.run(Call::Create, to, || self.inner.reflink(from, to))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.resolve(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.inner.read_link(path)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.shared.run(Call::Lock, dir, || self.inner.lock_dir(dir))
    }

    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.shared.run(Call::Lock, dir, || self.inner.lock_dir_shared(dir))
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn FileHandle>,
    path: PathBuf,
    order: Option<Arc<FileOrder>>,
    shared: Arc<Shared>,
}

impl FileHandle for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.run(Call::Len, &self.path, || self.inner.len())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let fault = self.shared.fault(Call::Read, &self.path);
        let struck = fault.is_some();
        let part = fault.as_ref().map_or(buf.len(), |fault| fault.part(buf.len()));
        let result = fault
            .map_or(Ok(()), |fault| fault.strike())
            .and_then(|()| self.inner.read_at(buf.get_mut(..part).unwrap_or_default(), position));
        let bytes = result.as_ref().map_or(0, |n| *n as u64);
        self.shared.note(Call::Read, &self.path, bytes, (result.is_err(), struck));
        result
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.order.iter().for_each(|order| order.write(&self.path, position, bytes.len()));
        let fault = self.shared.fault(Call::Write, &self.path);
        let struck = fault.is_some();
        let part = fault.as_ref().map_or(bytes.len(), |fault| fault.part(bytes.len()));
        let act = || self.inner.write_at(bytes.get(..part).unwrap_or_default(), position);
        let result = match fault {
            Some(torn @ Fault::Torn(..)) => act().and_then(|_| torn.strike()).map(|()| 0),
            fault => fault.map_or(Ok(()), |fault| fault.strike()).and_then(|()| act()),
        };
        let written = result.as_ref().map_or(0, |n| *n as u64);
        if written > 0 {
            let mut highest = self.shared.written.lock().unwrap();
            let entry = highest.entry(self.path.clone()).or_default();
            *entry = (*entry).max(position + written);
        }
        self.shared.note(Call::Write, &self.path, written, (result.is_err(), struck));
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.order.iter().for_each(|order| order.set_len(&self.path, len));
        self.shared.run(Call::SetLen, &self.path, || self.inner.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.shared.run(Call::Allocate, &self.path, || self.inner.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.run(Call::Sync, &self.path, || self.inner.sync_data())?;
        self.order.iter().for_each(|order| order.synced());
        Ok(())
    }

    fn try_lock_byte(&self, at: u64) -> io::Result<bool> {
        self.inner.try_lock_byte(at)
    }

    fn unlock_byte(&self, at: u64) -> io::Result<()> {
        self.inner.unlock_byte(at)
    }

    fn is_byte_locked(&self, at: u64) -> io::Result<bool> {
        self.inner.is_byte_locked(at)
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        let fault = self.shared.fault(Call::Map, &self.path);
        let struck = fault.is_some();
        let view = fault.map_or(Ok(()), |fault| fault.strike()).and_then(|()| self.inner.map(len));
        self.shared.note(Call::Map, &self.path, len, (view.is_err(), struck));
        view
    }
}
