//! A file system that dies.

use std::io;
use std::path::Path;

use super::*;
use crate::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, View};
use crate::locks::{AtomicI64, Ordering};

/// The machine's files, up to a certain change: that one and all that follow fail, as they do for a process that was
/// killed. A write that fails so is half done. Nothing is synced, so that thousands of tests take seconds.
#[derive(Debug, Clone)]
pub(super) struct Faulty {
    /// Changes that still succeed.
    left: Arc<AtomicI64>,
}

impl Faulty {
    pub(super) fn after(changes: i64) -> Self {
        Self { left: Arc::new(AtomicI64::new(changes)) }
    }

    pub(super) fn never() -> Self {
        Self::after(i64::MAX)
    }

    /// From now on, so many changes succeed.
    pub(super) fn set(&self, changes: i64) {
        self.left.store(changes, Ordering::SeqCst);
    }

    pub(super) fn left(&self) -> i64 {
        self.left.load(Ordering::SeqCst)
    }

    fn change(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(io::Error::other("killed")) }
    }
}

impl FileSystem for Faulty {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        if mode == OpenMode::CreateNew {
            self.change()?;
        }
        let file = OsFileSystem.open(path, mode)?;
        Ok(Arc::new(FaultyFile { file, fs: self.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        OsFileSystem.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| OsFileSystem.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change().and_then(|()| OsFileSystem.remove_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change().and_then(|()| OsFileSystem.remove_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change().and_then(|()| OsFileSystem.rename(from, to))
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.change()
    }

    /// There is room as long as changes succeed.
    fn available_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok((self.left() <= 0).then_some(0))
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        OsFileSystem.lock_dir(dir)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn FileHandle>,
    fs: Faulty,
}

impl FileHandle for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buf, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        if let Err(error) = self.fs.change() {
            if self.fs.left() == -1 {
                self.file.write_at(&bytes[..bytes.len() / 2], position)?;
            }
            return Err(error);
        }
        self.file.write_at(bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.change().and_then(|()| self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fs.change().and_then(|()| self.file.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fs.change()
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        self.file.map(len)
    }
}
