//! The model as the file system of a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use annals::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode, View};

use crate::common::Random;
use crate::disk::{DirectoryNode, Disk, FileNode, NameChange, Node};
use crate::record::Recorder;
use crate::trouble::{Call, Fault, Kind, Trouble};
use crate::watcher;

/// A machine with one disk. Clones are the same machine.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    state: Mutex<State>,
    recorder: Option<Arc<Recorder>>,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    /// The process that uses it was killed: it changes nothing any more.
    killed: bool,
    /// Changed since a moment was recorded.
    changed: bool,
    trouble: Option<Trouble>,
    eviction: Option<Eviction>,
    /// Orders of calls that a power cut between them would punish.
    violations: Vec<String>,
}

/// Pages make room for others.
#[derive(Debug, Clone)]
pub(crate) struct Eviction {
    /// Reads that still see them.
    pub(crate) left: usize,
    /// Quarters of the pages that go.
    pub(crate) share: u64,
    pub(crate) random: Random,
}

impl Model {
    /// A machine that tells `recorder` of its syncs.
    pub(crate) fn new(disk: Disk, recorder: Option<Arc<Recorder>>) -> Self {
        let state = State {
            disk,
            killed: false,
            changed: true,
            trouble: None,
            eviction: None,
            violations: Vec::new(),
        };
        Self { machine: Arc::new(Machine { state: Mutex::new(state), recorder }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.machine.state.lock().unwrap()
    }

    /// Ends the process: what it calls from here on fails. The disk and what the system holds of it stay.
    pub(crate) fn kill(&self) -> Disk {
        let mut state = self.state();
        state.killed = true;
        std::mem::replace(&mut state.disk, Disk::new())
    }

    /// From the `nth` call of that kind on (0 is the next one), on a path that ends so.
    pub(crate) fn trouble(&self, kind: Kind, suffix: &'static str, nth: usize) {
        self.state().trouble = Some(Trouble { kind, suffix, left: nth, struck: 0 });
    }

    /// Every call succeeds again.
    pub(crate) fn heal(&self) {
        self.state().trouble = None;
    }

    /// So many reads after a sync has failed, pages that the kernel took for clean make room for others.
    pub(crate) fn evict(&self, eviction: Option<Eviction>) {
        self.state().eviction = eviction;
    }

    /// True when some call has failed.
    pub(crate) fn has_struck(&self) -> bool {
        self.state().trouble.as_ref().is_some_and(|trouble| trouble.struck > 0)
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Records the moment for the exploration.
    pub(crate) fn record(&self) {
        self.record_in(&mut self.state());
    }

    fn record_in(&self, state: &mut State) {
        if let Some(recorder) = &self.machine.recorder
            && (state.changed || recorder.has_tightened())
        {
            state.changed = false;
            recorder.record(state.disk.reachable());
        }
    }

    fn change<T>(
        &self,
        (call, path): (Call, &Path),
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let fault = self.begin(call, path)?.and_then(Fault::error);
        fault.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))?;
        act(&mut self.state())
    }

    /// What becomes of a call that is to change something.
    fn begin(&self, call: Call, path: &Path) -> io::Result<Option<Fault>> {
        let mut state = self.state();
        if state.killed {
            return Err(io::Error::other("killed"));
        }
        state.changed = true;
        let fault = state.trouble.as_mut().and_then(|trouble| trouble.strike(call, path));
        if fault.is_some()
            && let Some(recorder) = &self.machine.recorder
        {
            recorder.note_strike();
            // For whoever looks into a failure.
            eprintln!("{fault:?} strikes {call:?} of {}", path.display());
        }
        Ok(fault)
    }
}

impl State {
    fn read(&mut self, path: &Path) {
        if self.eviction.is_none() || !self.disk.lies() {
            return;
        }
        let Some(mut eviction) = self.eviction.take() else { return };
        match eviction.left.checked_sub(1) {
            Some(left) => self.eviction = Some(Eviction { left, ..eviction }),
            None => {
                eprintln!("pages are evicted before a read of {}", path.display());
                self.disk.evict(|| eviction.random.below(4) < eviction.share);
            }
        }
    }

    fn watch(&mut self, verdict: Option<String>) {
        self.violations.extend(verdict);
    }
}

impl FileSystem for Model {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let node = match mode {
            OpenMode::CreateNew => self.change((Call::Name, path), |state| {
                let place = state.disk.place(path)?;
                state.disk.create(place, Node::File(FileNode::default()))
            })?,
            _ => self.state().disk.find(path)?,
        };
        self.state().disk.file(node)?;
        Ok(Arc::new(ModelFile { model: self.clone(), node, path: path.to_path_buf() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let names = &state.disk.directory(state.disk.find(dir)?)?.current;
        let kind = |node: usize| match state.disk.node(node) {
            Node::File(_) => EntryKind::File,
            Node::Directory(_) => EntryKind::Directory,
        };
        Ok(names.iter().map(|(name, node)| Entry { name: name.clone(), kind: kind(*node) }).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change((Call::Name, dir), |state| {
            let place = state.disk.place(dir)?;
            state.disk.create(place, Node::Directory(DirectoryNode::default())).map(drop)
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change((Call::Name, dir), |state| {
            if !state.disk.directory(state.disk.find(dir)?)?.current.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (parent, name) = state.disk.place(dir)?;
            state.disk.change_names(parent, NameChange::Unlink { name })
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change((Call::Name, path), |state| {
            let (parent, name) = state.disk.place(path)?;
            let verdict = watcher::removal(&state.disk, parent, path);
            state.disk.change_names(parent, NameChange::Unlink { name })?;
            state.watch(verdict);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change((Call::Name, to), |state| {
            let ((parent, from_name), (target, to_name)) = (state.disk.place(from)?, state.disk.place(to)?);
            if parent != target {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let verdict = watcher::rename(&state.disk, from, to);
            state.disk.change_names(parent, NameChange::Rename { from: from_name, to: to_name })?;
            state.watch(verdict);
            watcher::note_sealed(&mut state.disk, parent, to);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.record();
        self.change((Call::SyncDir, dir), |state| {
            let node = state.disk.find(dir)?;
            state.disk.sync_names(node)
        })
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.state().disk.find(dir)?;
        Ok(DirectoryLock::Held(Box::new(())))
    }
}

#[derive(Debug)]
struct ModelFile {
    model: Model,
    node: usize,
    path: PathBuf,
}

impl FileHandle for ModelFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.model.state().disk.file(self.node)?.current.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.model.state();
        state.read(&self.path);
        let bytes = &state.disk.file(self.node)?.current;
        let rest = bytes.get(place(position)?..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let fault = self.model.begin(Call::Write, &self.path)?;
        let part = fault.map_or(bytes.len(), |fault| fault.part(bytes.len()));
        let bytes = &bytes[..part];
        let mut state = self.model.state();
        let file = state.disk.file_mut(self.node)?;
        let verdict = watcher::write(file, place(position)?, &self.path);
        file.write(bytes, place(position)?);
        state.watch(verdict);
        match fault.and_then(Fault::error) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(part),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.model.change((Call::Size, &self.path), |state| {
            let file = state.disk.file_mut(self.node)?;
            let verdict = watcher::write(file, place(len)?, &self.path);
            file.set_len(place(len)?);
            state.watch(verdict);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.model.change((Call::Size, &self.path), |state| {
            let file = state.disk.file_mut(self.node)?;
            file.set_len(place(len)?.max(file.current.len()));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.model.record();
        let fault = self.model.begin(Call::Sync, &self.path)?;
        let mut state = self.model.state();
        let file = state.disk.file_mut(self.node)?;
        if let Some(errno) = fault.and_then(Fault::error) {
            file.fail_sync();
            return Err(io::Error::from_raw_os_error(errno));
        }
        file.sync();
        Ok(())
    }

    fn map(&self, _len: u64) -> io::Result<Option<View>> {
        Ok(None)
    }
}

fn place(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(io::Error::other)
}
