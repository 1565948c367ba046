//! Where a test's partition lies.

use super::*;
use crate::io::FileSystem;

/// A partition in a directory of its own, and the clock that it reads.
pub(in crate::log) struct Place {
    pub(in crate::log) dir: tempfile::TempDir,
    pub(in crate::log) clock: Arc<ManualClock>,
    pub(in crate::log) mode: ReadMode,
    pub(in crate::log) fs: Arc<dyn FileSystem>,
    /// Most maps that its files may hold.
    pub(in crate::log) maps: usize,
}

impl Place {
    pub(in crate::log) fn new(mode: ReadMode) -> Self {
        Self::over(mode, Arc::new(OsFileSystem), tempfile::tempdir().unwrap())
    }

    /// Thousands of logs that are never synced take seconds in memory, and minutes on a disk.
    pub(in crate::log) fn in_memory(mode: ReadMode, fs: Arc<dyn FileSystem>) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::over(mode, fs, dir.unwrap())
    }

    pub(in crate::log) fn new_over(fs: Arc<dyn FileSystem>) -> Self {
        Self::over(ReadMode::Mapped, fs, tempfile::tempdir().unwrap())
    }

    fn over(mode: ReadMode, fs: Arc<dyn FileSystem>, dir: tempfile::TempDir) -> Self {
        let place = Self { dir, clock: Arc::new(ManualClock::at(1_000_000)), mode, fs, maps: 1000 };
        Log::create(&place.directory(), IDENTITY, &config(500)).unwrap();
        place
    }

    pub(in crate::log) fn directory(&self) -> Directory {
        Directory::with_maps(Arc::clone(&self.fs), self.dir.path(), self.maps)
    }

    pub(in crate::log) fn open(&self) -> Arc<Log> {
        let context = context(&self.directory(), self.mode, Arc::clone(&self.clock));
        Log::open(context, config(500)).unwrap().0
    }

    pub(in crate::log) fn files(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.directory().list().unwrap().into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    }

    pub(in crate::log) fn logs(&self) -> Vec<Offset> {
        let names = self.files();
        names.iter().filter_map(|name| name.strip_suffix(".log")).map(|base| base.parse().unwrap()).collect()
    }
}
