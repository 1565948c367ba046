//! Files that are read and never changed: not a byte, not a name, not a sync.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::seam::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode};

/// The files of another file system, of which none can be changed. Whatever would have changed one fails, so that nobody above
/// has to be trusted not to try.
#[derive(Debug)]
pub(super) struct ReadOnlyFileSystem {
    inner: Arc<dyn FileSystem>,
}

impl ReadOnlyFileSystem {
    pub(super) fn new(inner: Arc<dyn FileSystem>) -> Self {
        Self { inner }
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FileSystem for ReadOnlyFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        if mode == OpenMode::Read { self.inner.open(path, mode) } else { refused() }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        refused()
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.resolve(path)
    }

    fn read_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.inner.read_link(path)
    }

    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn FileSystem>>> {
        let anchored = self.inner.anchored(dir)?;
        Ok(anchored.map(|inner| -> Arc<dyn FileSystem> { Arc::new(Self { inner }) }))
    }

    fn is_replaced(&self) -> io::Result<bool> {
        self.inner.is_replaced()
    }

    fn shares_memory(&self) -> bool {
        self.inner.shares_memory()
    }

    fn lock_dir(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        refused()
    }

    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.inner.lock_dir_shared(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::OsFileSystem;

    #[test]
    fn whatever_would_change_a_file_or_a_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a");
        drop(OsFileSystem.open(&inside, OpenMode::CreateNew).unwrap());
        let before = OsFileSystem.list(dir.path()).unwrap();
        let fs = ReadOnlyFileSystem::new(Arc::new(OsFileSystem));
        let other = dir.path().join("b");
        let refusals = [
            fs.open(&inside, OpenMode::ReadWrite).err(),
            fs.open(&other, OpenMode::CreateNew).err(),
            fs.create_dir(&other).err(),
            fs.remove_dir(dir.path()).err(),
            fs.remove_file(&inside).err(),
            fs.rename(&inside, &other).err(),
            fs.sync_dir(dir.path()).err(),
            fs.hard_link(&inside, &other).err(),
            fs.reflink(&inside, &other).err(),
            fs.lock_dir(dir.path()).err(),
        ];
        assert!(refusals.iter().all(Option::is_some), "{refusals:?}");
        assert_eq!(OsFileSystem.list(dir.path()).unwrap(), before);
        assert_eq!(fs.open(&inside, OpenMode::Read).unwrap().len().unwrap(), 0);
    }
}
