//! The model as the file system of a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use annals::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode, View};

use crate::disk::{DirectoryNode, Disk, FileNode, NameChange, Node};
use crate::record::Recorder;
use crate::watcher;

const EIO: i32 = 5;

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
    /// Files whose names end so, and how many syncs of them still succeed before one fails.
    failing: Option<(&'static str, usize)>,
    /// Orders of calls that a power cut between them would punish.
    violations: Vec<String>,
}

impl Model {
    /// A machine that tells `recorder` of its syncs.
    pub(crate) fn new(disk: Disk, recorder: Option<Arc<Recorder>>) -> Self {
        let state = State { disk, killed: false, changed: true, failing: None, violations: Vec::new() };
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

    /// The `nth` sync from here on (0 is the next one) of a file whose name ends so fails, and the bytes it should have
    /// written are lost.
    pub(crate) fn fail_sync(&self, suffix: &'static str, nth: usize) {
        self.state().failing = Some((suffix, nth));
    }

    /// Every sync succeeds again.
    pub(crate) fn heal(&self) {
        self.state().failing = None;
    }

    /// True when the sync that was to fail has not come.
    pub(crate) fn is_armed(&self) -> bool {
        self.state().failing.is_some()
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

    fn change<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if state.killed {
            return Err(io::Error::other("killed"));
        }
        state.changed = true;
        call(&mut state)
    }
}

impl State {
    fn fails(&mut self, path: &Path) -> bool {
        match &mut self.failing {
            Some((suffix, left)) if path.to_string_lossy().ends_with(*suffix) => {
                let fails = *left == 0;
                *left = left.saturating_sub(1);
                self.failing = self.failing.filter(|_| !fails);
                fails
            }
            _ => false,
        }
    }

    fn watch(&mut self, verdict: Option<String>) {
        self.violations.extend(verdict);
    }
}

impl FileSystem for Model {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let node = match mode {
            OpenMode::CreateNew => self.change(|state| {
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
        self.change(|state| {
            let place = state.disk.place(dir)?;
            state.disk.create(place, Node::Directory(DirectoryNode::default())).map(drop)
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(|state| {
            if !state.disk.directory(state.disk.find(dir)?)?.current.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (parent, name) = state.disk.place(dir)?;
            state.disk.change_names(parent, NameChange::Unlink { name })
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            let (parent, name) = state.disk.place(path)?;
            let verdict = watcher::removal(&state.disk, parent, path);
            state.disk.change_names(parent, NameChange::Unlink { name })?;
            state.watch(verdict);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
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
        self.change(|state| {
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
        let state = self.model.state();
        let bytes = &state.disk.file(self.node)?.current;
        let rest = bytes.get(place(position)?..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.model.change(|state| {
            let file = state.disk.file_mut(self.node)?;
            let verdict = watcher::write(file, place(position)?, &self.path);
            file.write(bytes, place(position)?);
            state.watch(verdict);
            Ok(bytes.len())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.model.change(|state| {
            let file = state.disk.file_mut(self.node)?;
            let verdict = watcher::write(file, place(len)?, &self.path);
            file.set_len(place(len)?);
            state.watch(verdict);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.model.change(|state| {
            let file = state.disk.file_mut(self.node)?;
            file.set_len(place(len)?.max(file.current.len()));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.model.record();
        self.model.change(|state| {
            let fails = state.fails(&self.path);
            let file = state.disk.file_mut(self.node)?;
            if fails {
                file.fail_sync();
                return Err(io::Error::from_raw_os_error(EIO));
            }
            file.sync();
            Ok(())
        })
    }

    fn map(&self, _len: u64) -> io::Result<Option<View>> {
        Ok(None)
    }
}

fn place(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(io::Error::other)
}
