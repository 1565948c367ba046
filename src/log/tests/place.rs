//! Where a test's partition lies.

use super::*;
use crate::io::FileSystem;

/// A partition in a directory of its own, and the clock that it reads.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) mode: ReadMode,
    pub(super) fs: Arc<dyn FileSystem>,
}

impl Place {
    pub(super) fn new(mode: ReadMode) -> Self {
        Self::over(mode, Arc::new(OsFileSystem), tempfile::tempdir().unwrap())
    }

    /// Thousands of logs that are never synced take seconds in memory, and minutes on a disk.
    pub(super) fn in_memory(mode: ReadMode, fs: Arc<dyn FileSystem>) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::over(mode, fs, dir.unwrap())
    }

    fn over(mode: ReadMode, fs: Arc<dyn FileSystem>, dir: tempfile::TempDir) -> Self {
        let place = Self { dir, clock: Arc::new(ManualClock::at(1_000_000)), mode, fs };
        Log::create(&place.directory(), IDENTITY, &config(500)).unwrap();
        place
    }

    pub(super) fn directory(&self) -> Directory {
        Directory::new(Arc::clone(&self.fs), self.dir.path())
    }

    pub(super) fn open(&self) -> Arc<Log> {
        let context = context(&self.directory(), self.mode, Arc::clone(&self.clock));
        Log::open(context, config(500)).unwrap().0
    }

    pub(super) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.directory().list().unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    }

    pub(super) fn logs(&self) -> Vec<Offset> {
        let names = self.files();
        names.iter().filter_map(|name| name.strip_suffix(".log")).map(|base| base.parse().unwrap()).collect()
    }
}
