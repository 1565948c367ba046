//! A disk in memory of so many bytes, all files together, in blocks of 4 KiB.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, View};
use annals_testing::MemoryFileSystem;

/// Clones are the same disk.
#[derive(Debug, Clone)]
pub(super) struct SmallDisk {
    files: MemoryFileSystem,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) capacity: u64,
    lens: HashMap<PathBuf, u64>,
    /// It says how much is free.
    pub(super) tells: bool,
    /// Rewrites that were begun.
    pub(super) begun: usize,
    /// Bytes that rewrites have written.
    pub(super) rewritten: u64,
    /// The least that was free when one had written.
    pub(super) least_free: u64,
}

impl State {
    pub(super) fn used(&self) -> u64 {
        self.lens.values().map(|len| in_blocks(*len)).sum()
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    fn len(&mut self, path: &Path) -> &mut u64 {
        self.lens.entry(path.to_path_buf()).or_default()
    }
}

impl SmallDisk {
    /// With all the room there is, so far.
    pub(super) fn new(tells: bool) -> Self {
        let state = State { capacity: u64::MAX, tells, least_free: u64::MAX, ..State::default() };
        Self { files: MemoryFileSystem::new(), state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn shared(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.clone())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a lock is poisoned after a test has failed")
    }

    /// So much is free from here on.
    pub(super) fn leave_free(&self, bytes: u64) {
        let mut state = self.state();
        state.capacity = state.used() + bytes;
    }
}

/// What a file of that length takes.
fn in_blocks(len: u64) -> u64 {
    len.next_multiple_of(4096)
}

fn is_rewrite(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".cleaned")
}

impl FileSystem for SmallDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let file = self.files.open(path, mode)?;
        if mode == OpenMode::CreateNew {
            let mut state = self.state();
            *state.len(path) = 0;
            state.begun += usize::from(is_rewrite(path));
        }
        Ok(Arc::new(SmallFile { file, path: path.to_path_buf(), disk: self.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.files.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.remove_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)?;
        self.state().lens.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)?;
        let mut state = self.state();
        let len = state.lens.remove(from).unwrap_or_default();
        *state.len(to) = len;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn available_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        let state = self.state();
        Ok(state.tells.then(|| state.free()))
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.files.lock_dir(dir)
    }
}

#[derive(Debug)]
struct SmallFile {
    file: Arc<dyn FileHandle>,
    path: PathBuf,
    disk: SmallDisk,
}

impl FileHandle for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buf, position)
    }

    /// As much of it as there is room for.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let (free, len) = (state.free(), *state.len(&self.path));
        let most = in_blocks(len.max(position)).saturating_add(free) - position;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let fits = bytes.get(..most.min(bytes.len())).unwrap_or_default();
        if fits.is_empty() && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.write_at(fits, position)?;
        *state.len(&self.path) = len.max(position + written as u64);
        if is_rewrite(&self.path) {
            state.rewritten += written as u64;
            state.least_free = state.least_free.min(state.free());
        }
        Ok(written)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        *self.disk.state().len(&self.path) = len;
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        self.file.map(len)
    }
}
