//! The disk as a file system.
#![expect(clippy::unwrap_used, reason = "a lock is poisoned after a test has failed")]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use annals::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode, View};

use super::super::{Fault, Random};
use super::cut::{cut, drawn_fates, points};
use super::disk::{DirectoryNode, Disk, FileNode, NameChange, Node};

/// A machine with one disk. Clones are the same machine.
///
/// [`cut_power`](Self::cut_power) and [`restart`](Self::restart) leave the machine as it is and return another one, which finds
/// the disk as the cut, or the end of the process, left it.
///
/// ```
/// use annals::{Record, Store, TopicConfig};
/// use annals_testing::PowerCutFileSystem;
///
/// let machine = PowerCutFileSystem::new();
/// let store = Store::builder("/store").file_system(machine.shared()).open()?;
/// store.create_topic("orders", TopicConfig::new())?;
/// store.producer().send(Record::to("orders").value("written, not synced"))?;
///
/// let killed = machine.restart(); // the process dies, the machine continues
/// let store = Store::builder("/store").file_system(killed.shared()).open()?;
/// assert_eq!(store.topic("orders")?.partition(0)?.end(), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone)]
pub struct PowerCutFileSystem {
    machine: Arc<Machine>,
}

struct Machine {
    state: Mutex<State>,
    observer: Option<Arc<dyn Observer>>,
}

struct State {
    disk: Disk,
    /// The process that uses it was killed: it changes nothing any more.
    killed: bool,
    /// Syncs that succeed before one fails.
    syncs_left: Option<usize>,
}

/// A change of a disk, about to be made or already made.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Change<'a> {
    /// A file is created.
    Create(&'a Path),
    /// A directory is created.
    CreateDir(&'a Path),
    /// A file's name is removed.
    Remove(&'a Path),
    /// An empty directory is removed.
    RemoveDir(&'a Path),
    /// A file gets another name.
    Rename {
        /// The old one.
        from: &'a Path,
        /// The new one.
        to: &'a Path,
    },
    /// Bytes are written.
    Write {
        /// The name under which the file was opened.
        path: &'a Path,
        /// The file's number on the [`Disk`].
        node: usize,
        /// Where.
        at: usize,
        /// How many.
        len: usize,
    },
    /// A file is truncated or extended.
    SetLen {
        /// The name under which the file was opened.
        path: &'a Path,
        /// The file's number on the [`Disk`].
        node: usize,
        /// Its new length.
        len: usize,
    },
    /// Space is reserved.
    Allocate(&'a Path),
    /// A file's bytes are made durable.
    Sync(&'a Path),
    /// The names in a directory are made durable.
    SyncDir(&'a Path),
}

impl<'a> Change<'a> {
    /// Returns the path that it concerns; for a rename, the new name.
    #[must_use]
    pub fn path(&self) -> &'a Path {
        match self {
            Self::Create(path)
            | Self::CreateDir(path)
            | Self::Remove(path)
            | Self::RemoveDir(path)
            | Self::Rename { to: path, .. }
            | Self::Write { path, .. }
            | Self::SetLen { path, .. }
            | Self::Allocate(path)
            | Self::Sync(path)
            | Self::SyncDir(path) => path,
        }
    }
}

/// Sees every change of a disk, and decides whether it succeeds. It is called once at a time, with the disk as it
/// is; it must not use the file system.
pub trait Observer: Send + Sync {
    /// Called before a change. The returned fault happens to it: [`Fault::Error`], [`Fault::Short`] or [`Fault::Torn`]; a sync that
    /// fails loses what it should have written.
    fn before(&self, disk: &mut Disk, change: &Change<'_>) -> Option<Fault> {
        let _nothing = (disk, change);
        None
    }

    /// Called after a change that succeeded.
    fn after(&self, disk: &mut Disk, change: &Change<'_>) {
        let _nothing = (disk, change);
    }

    /// Called before a read.
    fn read(&self, disk: &mut Disk, path: &Path) {
        let _nothing = (disk, path);
    }
}

impl fmt::Debug for PowerCutFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerCutFileSystem").finish_non_exhaustive()
    }
}

impl Default for PowerCutFileSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl PowerCutFileSystem {
    /// Returns a machine with an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Disk::new(), None)
    }

    /// Returns a machine with that disk, and an observer of what is done to it.
    #[must_use]
    pub fn on(disk: Disk, observer: Option<Arc<dyn Observer>>) -> Self {
        let state = Mutex::new(State { disk, killed: false, syncs_left: None });
        Self { machine: Arc::new(Machine { state, observer }) }
    }

    /// Returns the machine as [`StoreBuilder::file_system`](annals::StoreBuilder::file_system) takes it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.clone())
    }

    /// Returns a machine that finds the disk after a power cut now. The seed decides which of the changes that were not synced are there:
    /// 0 loses all of them, 1 keeps all, others lose, keep and damage at random.
    #[must_use]
    pub fn cut_power(&self, seed: u64) -> Self {
        let disk = self.disk();
        let points = points(&disk);
        let number = usize::try_from(seed).unwrap_or(usize::MAX);
        Self::on(cut(&disk, &drawn_fates(&points, number, &mut Random::new(seed))), None)
    }

    /// Returns the machine after its process was killed now: what was written is there, synced or not.
    #[must_use]
    pub fn restart(&self) -> Self {
        Self::on(self.disk(), None)
    }

    /// Ends the process: every change that it asks for from here on fails. Returns the disk, and what the system holds of it.
    #[must_use]
    pub fn kill(&self) -> Disk {
        let mut state = self.state();
        state.killed = true;
        std::mem::take(&mut state.disk)
    }

    /// Makes the sync after so many others fail, and lose what it should have written.
    pub fn fail_sync_after(&self, syncs: usize) {
        self.state().syncs_left = Some(syncs);
    }

    /// Returns the disk as it is now.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.state().disk.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.machine.state.lock().unwrap()
    }

    /// Does `act`, unless the observer has something against it.
    fn change<T>(
        &self,
        change: &Change<'_>,
        act: impl FnOnce(&mut Disk, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.killed {
            return Err(io::Error::other("killed"));
        }
        let observer = self.machine.observer.as_ref();
        let mut fault = observer.and_then(|observer| observer.before(&mut state.disk, change));
        if let (Change::Sync(_), Some(left)) = (change, state.syncs_left) {
            state.syncs_left = left.checked_sub(1);
            fault = if left == 0 { Some(Fault::Error(EIO)) } else { fault };
        }
        let whole = matches!(change, Change::Sync(_) | Change::Write { .. });
        if let Some(fault) = fault.as_ref().filter(|_| !whole) {
            fault.strike()?;
        }
        let done = act(&mut state.disk, fault)?;
        if let Some(observer) = observer {
            observer.after(&mut state.disk, change);
        }
        Ok(done)
    }
}

const EIO: i32 = 5;

impl FileSystem for PowerCutFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let node = match mode {
            OpenMode::CreateNew => self.change(&Change::Create(path), |disk, _| {
                let place = disk.place(path)?;
                disk.create(place, Node::File(FileNode::default()))
            })?,
            _ => self.state().disk.find(path)?,
        };
        self.state().disk.file(node)?;
        Ok(Arc::new(File { machine: self.clone(), node, path: path.to_path_buf() }))
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
        self.change(&Change::CreateDir(dir), |disk, _| {
            let place = disk.place(dir)?;
            disk.create(place, Node::Directory(DirectoryNode::default())).map(drop)
        })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(&Change::RemoveDir(dir), |disk, _| {
            if !disk.directory(disk.find(dir)?)?.current.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            let (parent, name) = disk.place(dir)?;
            disk.change_names(parent, NameChange::Unlink { name })
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(&Change::Remove(path), |disk, _| {
            let (parent, name) = disk.place(path)?;
            disk.change_names(parent, NameChange::Unlink { name })
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(&Change::Rename { from, to }, |disk, _| {
            let ((parent, from), (target, to)) = (disk.place(from)?, disk.place(to)?);
            if parent != target {
                return Err(io::ErrorKind::Unsupported.into());
            }
            disk.change_names(parent, NameChange::Rename { from, to })
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(&Change::Create(to), |disk, _| {
            let (node, (parent, name)) = (disk.find(from)?, disk.place(to)?);
            disk.file(node)?;
            if disk.directory(parent)?.current.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.change_names(parent, NameChange::Link { name, node })
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(&Change::SyncDir(dir), |disk, _| {
            let node = disk.find(dir)?;
            disk.sync_names(node)
        })
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.state().disk.find(dir)?;
        Ok(DirectoryLock::Held(Box::new(())))
    }
}

#[derive(Debug)]
struct File {
    machine: PowerCutFileSystem,
    node: usize,
    path: PathBuf,
}

impl FileHandle for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.machine.state().disk.file(self.node)?.current.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.machine.state();
        if let Some(observer) = &self.machine.machine.observer {
            observer.read(&mut state.disk, &self.path);
        }
        let bytes = &state.disk.file(self.node)?.current;
        let rest = bytes.get(place(position)?..).unwrap_or_default();
        let pairs = buf.iter_mut().zip(rest);
        let count = pairs.len();
        pairs.for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let at = place(position)?;
        let change = Change::Write { path: &self.path, node: self.node, at, len: bytes.len() };
        self.machine.change(&change, |disk, fault| {
            let part = fault.as_ref().map_or(bytes.len(), |fault| fault.part_of_write(bytes.len()));
            let bytes = bytes.get(..part).unwrap_or_default();
            disk.file_mut(self.node)?.write(bytes, at);
            fault.map_or(Ok(()), |fault| fault.strike())?;
            Ok(part)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = place(len)?;
        self.machine.change(&Change::SetLen { path: &self.path, node: self.node, len }, |disk, _| {
            disk.file_mut(self.node)?.set_len(len);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = place(len)?;
        self.machine.change(&Change::Allocate(&self.path), |disk, _| {
            let file = disk.file_mut(self.node)?;
            file.set_len(len.max(file.current.len()));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.machine.change(&Change::Sync(&self.path), |disk, fault| {
            let file = disk.file_mut(self.node)?;
            if let Some(fault) = fault {
                file.fail_sync();
                return fault.strike();
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
