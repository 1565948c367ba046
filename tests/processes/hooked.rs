//! The system's files, with something of the test's own at an open.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem};

/// What becomes of a hook that was called.
pub(crate) enum Hook {
    Stays,
    IsOver,
}

type AtOpen = Box<dyn FnMut(&Path) -> io::Result<Hook> + Send>;

#[derive(Default)]
pub(crate) struct Hooked(Mutex<Option<AtOpen>>);

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
        *self.0.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl FileSystem for Hooked {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let act = self.0.lock().unwrap().take();
        if let Some(mut act) = act {
            let outcome = act(path);
            if !matches!(outcome, Ok(Hook::IsOver)) {
                *self.0.lock().unwrap() = Some(act);
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
        OsFileSystem.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsFileSystem.sync_dir(dir)
    }

    fn shares_memory(&self) -> bool {
        OsFileSystem.shares_memory()
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        OsFileSystem.lock_dir(dir)
    }
}
