//! A file system that stops at each call, so that something else can happen there.

use std::fmt;
use std::io;
use std::path::Path;

use super::*;
use crate::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, View};
use crate::locks::{AtomicBool, AtomicI64, Mutex, Ordering};

/// Which calls it stops at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stops {
    /// Before and after each one that changes a file or a name, but for those of hints: no answer depends on them.
    Changes,
    /// Before each read.
    Reads,
}

type Visit = Box<dyn FnMut() + Send>;

/// The machine's files. Syncs are left out, so that many tests take little time.
#[derive(Clone)]
pub(super) struct Gated {
    /// Bytes that still fit on the disk.
    room: Arc<AtomicI64>,
    /// Whether key indexes cannot be opened.
    is_hiding: Arc<AtomicBool>,
    /// Away while it runs: what the visitor does is not stopped at.
    visit: Arc<Mutex<Option<(Stops, Visit)>>>,
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gated")
    }
}

impl Default for Gated {
    fn default() -> Self {
        let room = Arc::new(AtomicI64::new(i64::MAX / 2));
        Self { room, is_hiding: Arc::default(), visit: Arc::default() }
    }
}

impl Gated {
    /// From here on nothing more fits, until something is removed.
    pub(super) fn fill_up(&self) {
        self.room.store(0, Ordering::SeqCst);
    }

    /// From here on no key index can be opened to read it.
    pub(super) fn hide_key_indexes(&self) {
        self.is_hiding.store(true, Ordering::SeqCst);
    }

    fn give_back(&self, path: &Path) {
        let len = OsFileSystem.open(path, OpenMode::Read).and_then(|file| file.len()).unwrap_or(0);
        // By blocks, as the system gives them.
        self.room.fetch_add(i64::try_from(len.next_multiple_of(4096)).unwrap(), Ordering::SeqCst);
    }

    /// Runs `work`, and `visit` at each of its stops.
    pub(super) fn stopping<T>(
        &self,
        stops: Stops,
        visit: impl FnMut() + Send + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        *self.visit.lock() = Some((stops, Box::new(visit)));
        let done = work();
        *self.visit.lock() = None;
        done
    }

    fn stop(&self, at: Stops) {
        let taken = self.visit.lock().take();
        let Some((stops, mut visit)) = taken else { return };
        if stops == at {
            visit();
        }
        *self.visit.lock() = Some((stops, visit));
    }

    fn change<T>(&self, path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let is_hint = path.extension().is_some_and(|suffix| suffix == "index" || suffix == "timeindex");
        if is_hint {
            return change();
        }
        self.stop(Stops::Changes);
        let changed = change();
        self.stop(Stops::Changes);
        changed
    }
}

impl FileSystem for Gated {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let is_index = mode == OpenMode::Read && path.extension().is_some_and(|suffix| suffix == "keyindex");
        if is_index && self.is_hiding.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let open = || OsFileSystem.open(path, mode);
        let file = if mode == OpenMode::CreateNew { self.change(path, open)? } else { open()? };
        Ok(Arc::new(GatedFile { file, path: path.into(), fs: self.clone() }))
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
        self.give_back(path);
        self.change(path, || OsFileSystem.remove_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.give_back(to);
        self.change(from, || OsFileSystem.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(dir, || Ok(()))
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        OsFileSystem.lock_dir(dir)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn FileHandle>,
    path: Arc<Path>,
    fs: Gated,
}

impl FileHandle for GatedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.fs.stop(Stops::Reads);
        self.file.read_at(buf, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let len = i64::try_from(bytes.len()).unwrap();
        if self.fs.room.fetch_sub(len, Ordering::SeqCst) < len {
            self.fs.room.fetch_add(len, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.fs.change(&self.path, || self.file.write_at(bytes, position))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.change(&self.path, || self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fs.change(&self.path, || self.file.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.change(&self.path, || Ok(()))
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        self.file.map(len)
    }
}
