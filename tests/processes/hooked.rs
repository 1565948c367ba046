//! The system's files, with something of the test's own at an open, before a rename, and after names were synced.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use annals_testing::FaultyFileSystem;

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem};

/// What becomes of a hook that was called.
pub(crate) enum Hook {
    Stays,
    IsOver,
}

type AtOpen = Box<dyn FnMut(&Path) -> io::Result<Hook> + Send>;

type Act = Box<dyn FnMut(&Path) + Send>;

#[derive(Default)]
pub(crate) struct Hooked {
    at_open: Mutex<Option<AtOpen>>,
    at_rename: Mutex<Option<Act>>,
    at_sync_dir: Mutex<Option<Act>>,
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
        OsFileSystem.open(path, mode)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        OsFileSystem.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.remove_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.at_rename.lock().unwrap().iter_mut().for_each(|act| act(from));
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
