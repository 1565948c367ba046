//! A file system that counts what is asked of it and fails when it is told to. Everything else it hands on to the
//! machine's own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem, View};

use super::order::{FileOrder, Order};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Open,
    Create,
    Read,
    Map,
    Len,
    Write,
    SetLen,
    Allocate,
    Sync,
    SyncDir,
    CreateDir,
    Rename,
    Remove,
    RemoveDir,
    List,
    Lock,
}

impl Call {
    /// The calls that change what is on the disk, or say that it is there.
    pub(crate) const MUTATING: [Self; 10] = [
        Self::Create,
        Self::Write,
        Self::SetLen,
        Self::Allocate,
        Self::Sync,
        Self::SyncDir,
        Self::CreateDir,
        Self::Rename,
        Self::Remove,
        Self::RemoveDir,
    ];
}

/// One call, noted when it was over.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) call: Call,
    pub(crate) path: PathBuf,
    /// Read, write, map: bytes. Sync: the bytes of the file that were written when the sync began.
    pub(crate) bytes: u64,
    pub(crate) failed: bool,
    /// A fault struck.
    pub(crate) struck: bool,
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It fails and does nothing.
    Error(i32),
    /// A write of so many bytes happens, and is reported as that.
    Short(usize),
    /// A write of so many bytes happens, and is reported as a failure.
    Torn(usize, i32),
    /// It waits until the gate is opened, then happens.
    Hold(Arc<Gate>),
    /// It panics, as a file system of a program's own may.
    Panic,
    /// It waits until the gate is opened, then panics.
    HoldThenPanic(Arc<Gate>),
    /// It waits until the gate is opened, then fails and does nothing.
    HoldThenError(Arc<Gate>, i32),
}

/// What is said by a panic that was asked for.
pub(crate) const PLANTED: &str = "a panic in the file system, on purpose";

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    ForEver,
}

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

/// A place where calls wait.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    waiting: usize,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Returns when somebody waits here, who should be here soon.
    pub(crate) fn await_arrival(&self) {
        let state = self.state.lock().unwrap();
        let soon = std::time::Duration::from_secs(20);
        let (state, late) = self.changed.wait_timeout_while(state, soon, |state| state.waiting == 0).unwrap();
        drop(state);
        assert!(!late.timed_out(), "the call that was to be held was never made");
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        // A test that failed meanwhile opens no gate, and closes its store on the way out.
        let most = std::time::Duration::from_secs(30);
        let (mut state, _) = self.changed.wait_timeout_while(state, most, |state| !state.open).unwrap();
        state.waiting -= 1;
    }
}

/// The file system.
#[derive(Debug, Default)]
pub(crate) struct FaultyFileSystem {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    trace: Mutex<Vec<Done>>,
    rules: Mutex<Vec<Rule>>,
    /// Highest byte written so far, by path at the time of opening.
    written: Mutex<HashMap<PathBuf, u64>>,
    /// Whatever is tested: these orders are kept.
    order: Order,
}

impl FaultyFileSystem {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on the `nth` matching call (0 is the next one) fails, once or with all behind it.
    pub(crate) fn fail(&self, calls: &[Call], path: &str, (nth, times): (usize, Times), fault: Fault) {
        let rule = Rule { calls: calls.to_vec(), path: path.to_owned(), before: nth, times, fault };
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// The next matching call fails with that error.
    pub(crate) fn fail_next(&self, call: Call, path: &str, errno: i32) {
        self.fail(&[call], path, (0, Times::Once), Fault::Error(errno));
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// Everything in the directory of a partition was acknowledged as durable.
    pub(crate) fn check_acknowledged(&self, dir: &Path) {
        self.shared.order.acknowledged(dir);
    }

    /// How many rules have not struck yet, or go on striking.
    pub(crate) fn armed(&self) -> usize {
        self.shared.rules.lock().unwrap().len()
    }

    /// Everything done since the start or the last [`forget`](Self::forget).
    pub(crate) fn trace(&self) -> Vec<Done> {
        self.shared.trace.lock().unwrap().clone()
    }

    /// How long the trace is.
    pub(crate) fn moment(&self) -> usize {
        self.shared.trace.lock().unwrap().len()
    }

    pub(crate) fn forget(&self) {
        self.shared.trace.lock().unwrap().clear();
    }

    /// How many calls of that kind there were on paths with that part.
    pub(crate) fn count(&self, call: Call, path: &str) -> usize {
        self.matching(call, path).count()
    }

    /// Their bytes together.
    pub(crate) fn bytes(&self, call: Call, path: &str) -> u64 {
        self.matching(call, path).map(|done| done.bytes).sum()
    }

    fn matching(&self, call: Call, path: &str) -> impl Iterator<Item = Done> {
        self.trace().into_iter().filter(move |done| done.call == call && contains(&done.path, path))
    }
}

fn contains(path: &Path, part: &str) -> bool {
    path.to_string_lossy().contains(part)
}

impl Fault {
    /// Waits if it is that kind, and returns the error if it is one.
    fn strike(&self) -> io::Result<()> {
        match self {
            Self::Short(_) => Ok(()),
            Self::Error(errno) | Self::Torn(_, errno) => Err(io::Error::from_raw_os_error(*errno)),
            Self::Hold(gate) => {
                gate.pass();
                Ok(())
            }
            Self::Panic => panic!("{PLANTED}"),
            Self::HoldThenPanic(gate) => {
                gate.pass();
                panic!("{PLANTED}");
            }
            Self::HoldThenError(gate, errno) => {
                gate.pass();
                Err(io::Error::from_raw_os_error(*errno))
            }
        }
    }

    /// How much of `len` bytes goes through.
    fn part(&self, len: usize) -> usize {
        match self {
            Self::Short(n) | Self::Torn(n, _) => len.min(*n),
            _ => len,
        }
    }
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

impl FileSystem for FaultyFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let call = if mode == OpenMode::CreateNew { Call::Create } else { Call::Open };
        let inner = self.shared.run(call, path, || OsFileSystem.open(path, mode))?;
        if mode == OpenMode::CreateNew {
            self.shared.written.lock().unwrap().insert(path.to_path_buf(), 0);
        }
        let (is_new, len) = (mode == OpenMode::CreateNew, inner.len().unwrap_or(0));
        let order = self.shared.order.opened(path, is_new, len);
        Ok(Arc::new(FaultyFile { inner, path: path.to_path_buf(), order, shared: Arc::clone(&self.shared) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.shared.run(Call::List, dir, || OsFileSystem.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(Call::CreateDir, dir, || OsFileSystem.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(Call::RemoveDir, dir, || OsFileSystem.remove_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if path.exists() {
            self.shared.order.remove(path);
        }
        self.shared.run(Call::Remove, path, || OsFileSystem.remove_file(path))?;
        self.shared.order.removed(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.order.rename(from, to);
        self.shared.run(Call::Rename, to, || OsFileSystem.rename(from, to))?;
        self.shared.order.renamed(from, to);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.run(Call::SyncDir, dir, || OsFileSystem.sync_dir(dir))?;
        self.shared.order.synced_dir(dir);
        Ok(())
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.shared.run(Call::Lock, dir, || OsFileSystem.lock_dir(dir))
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn FileHandle>,
    path: PathBuf,
    order: Arc<FileOrder>,
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
        self.order.write(&self.path, position, bytes.len());
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
        self.order.set_len(&self.path, len);
        self.shared.run(Call::SetLen, &self.path, || self.inner.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.shared.run(Call::Allocate, &self.path, || self.inner.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.run(Call::Sync, &self.path, || self.inner.sync_data())?;
        self.order.synced();
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        let fault = self.shared.fault(Call::Map, &self.path);
        let struck = fault.is_some();
        let view = fault.map_or(Ok(()), |fault| fault.strike()).and_then(|()| self.inner.map(len));
        self.shared.note(Call::Map, &self.path, len, (view.is_err(), struck));
        view
    }
}
