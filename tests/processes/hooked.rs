//! The system's files, with something of the test's own at an open, before a rename, a sync and a look for a lock, and after names were
//! synced.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use annals_testing::FaultyFileSystem;

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem, SharedMemory, View};

/// What becomes of a hook that was called.
pub(crate) enum Hook {
    Stays,
    IsOver,
}

type AtOpen = Box<dyn FnMut(&Path) -> io::Result<Hook> + Send>;

type Act = Box<dyn FnMut(&Path) + Send>;

type AtSync = Box<dyn FnMut(&Path) -> io::Result<()> + Send>;

type AtLook = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooked {
    at_open: Mutex<Option<AtOpen>>,
    at_rename: Mutex<Option<Act>>,
    at_sync_dir: Mutex<Option<Act>>,
    at_sync: Arc<Mutex<Option<AtSync>>>,
    at_list: Mutex<Option<AtSync>>,
    at_remove: Mutex<Option<Act>>,
    at_share: Arc<Mutex<Option<AtSync>>>,
    at_look_for_lock: Arc<OnceLock<AtLook>>,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl Hooked {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn files(self: &Arc<Self>) -> Arc<dyn FileSystem> {
        Arc::clone(self) as _
    }

    /// Calls `act` before each open until it is over. An error is that of the open.
    pub(crate) fn at_open(&self, act: impl FnMut(&Path) -> io::Result<Hook> + Send + 'static) {
        *self.at_open.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.at_open.lock().unwrap().is_none()
    }

    /// Calls `act` with the old name before each rename.
    pub(crate) fn at_rename(&self, act: impl FnMut(&Path) + Send + 'static) {
        *self.at_rename.lock().unwrap() = Some(Box::new(act));
    }

    /// Calls `act` before each sync of a file. An error is that of the sync.
    pub(crate) fn at_sync(&self, act: impl FnMut(&Path) -> io::Result<()> + Send + 'static) {
        *self.at_sync.lock().unwrap() = Some(Box::new(act));
    }

    /// Calls `act` before each list of a directory. An error is that of the list.
    pub(crate) fn at_list(&self, act: impl FnMut(&Path) -> io::Result<()> + Send + 'static) {
        *self.at_list.lock().unwrap() = Some(Box::new(act));
    }

    /// Calls `act` once, before the next file is removed whose name has `name` in it and that is no new one.
    pub(crate) fn at_remove_of(&self, name: &'static str, act: impl FnOnce() + Send + 'static) {
        let mut act = Some(act);
        *self.at_remove.lock().unwrap() = Some(Box::new(move |path| {
            if path.to_string_lossy().contains(name)
                && !path.to_string_lossy().ends_with(".new")
                && let Some(act) = act.take()
            {
                act();
            }
        }));
    }

    /// Calls `act` before each map of memory that is shared. An error is that of the map.
    pub(crate) fn at_share(&self, act: impl FnMut(&Path) -> io::Result<()> + Send + 'static) {
        *self.at_share.lock().unwrap() = Some(Box::new(act));
    }

    /// Calls `act` before each look whether a process has a lock, of files that are opened from here on.
    pub(crate) fn at_look_for_lock(&self, act: impl Fn() + Send + Sync + 'static) {
        assert!(self.at_look_for_lock.set(Box::new(act)).is_ok());
    }

    /// Calls `act` after each sync of a directory's names.
    pub(crate) fn at_sync_dir(&self, act: impl FnMut(&Path) + Send + 'static) {
        *self.at_sync_dir.lock().unwrap() = Some(Box::new(act));
    }
}

impl FileSystem for Hooked {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let act = self.at_open.lock().unwrap().take();
        if let Some(mut act) = act {
            let outcome = act(path);
            if !matches!(outcome, Ok(Hook::IsOver)) {
                *self.at_open.lock().unwrap() = Some(act);
            }
            outcome?;
        }
        let (inner, at_sync) = (OsFileSystem.open(path, mode)?, Arc::clone(&self.at_sync));
        let (at_share, at_look_for_lock) = (Arc::clone(&self.at_share), Arc::clone(&self.at_look_for_lock));
        Ok(Arc::new(HookedFile { inner, path: path.to_path_buf(), at_sync, at_share, at_look_for_lock }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.at_list.lock().unwrap().iter_mut().try_for_each(|act| act(dir))?;
        OsFileSystem.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.remove_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        // What it does may remove files itself.
        let act = self.at_remove.lock().unwrap().take();
        if let Some(mut act) = act {
            act(path);
            self.at_remove.lock().unwrap().get_or_insert(act);
        }
        OsFileSystem.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        // What it does may give names itself.
        let act = self.at_rename.lock().unwrap().take();
        if let Some(mut act) = act {
            act(from);
            self.at_rename.lock().unwrap().get_or_insert(act);
        }
        OsFileSystem.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.sync_dir(dir)?;
        self.at_sync_dir.lock().unwrap().iter_mut().for_each(|act| act(dir));
        Ok(())
    }

    fn shares_memory(&self) -> bool {
        OsFileSystem.shares_memory()
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        OsFileSystem.lock_dir(dir)
    }
}

struct HookedFile {
    inner: Arc<dyn FileHandle>,
    path: PathBuf,
    at_sync: Arc<Mutex<Option<AtSync>>>,
    at_share: Arc<Mutex<Option<AtSync>>>,
    at_look_for_lock: Arc<OnceLock<AtLook>>,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileHandle for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buf, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.at_sync.lock().unwrap().iter_mut().try_for_each(|act| act(&self.path))?;
        self.inner.sync_data()
    }

    fn map_small_writes(&self) {
        self.inner.map_small_writes();
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        self.inner.map(len)
    }

    fn map_for_points(&self, len: u64) -> io::Result<Option<View>> {
        self.inner.map_for_points(len)
    }

    fn share(&self, position: u64, len: usize) -> io::Result<Option<SharedMemory>> {
        self.at_share.lock().unwrap().iter_mut().try_for_each(|act| act(&self.path))?;
        self.inner.share(position, len)
    }

    fn try_lock_byte(&self, at: u64) -> io::Result<bool> {
        self.inner.try_lock_byte(at)
    }

    fn unlock_byte(&self, at: u64) -> io::Result<()> {
        self.inner.unlock_byte(at)
    }

    fn is_byte_locked(&self, at: u64) -> io::Result<bool> {
        self.at_look_for_lock.get().into_iter().for_each(|act| act());
        self.inner.is_byte_locked(at)
    }
}

/// The system's files, of which calls fail, and which processes share all the same.
#[derive(Debug)]
pub(crate) struct FailingShared(pub(crate) Arc<FaultyFileSystem>);

impl FileSystem for FailingShared {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        // What is shared is mapped, and a file that fails is not.
        if path.ends_with("annals.live") { OsFileSystem.open(path, mode) } else { self.0.open(path, mode) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn shares_memory(&self) -> bool {
        OsFileSystem.shares_memory()
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.0.lock_dir(dir)
    }
}
