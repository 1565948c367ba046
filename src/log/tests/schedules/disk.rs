//! Files in memory, with a page cache that forgets what a failed sync was to write, as Linux does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as PlainMutex, MutexGuard as PlainGuard};

use crate::io::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode, View};
use crate::locks::{AtomicBool, AtomicI64, Mutex, Ordering};

/// What is said by a panic that was asked for.
pub(super) const PLANTED: &str = "a panic of the disk, on purpose";

/// The disk. Clones share it. Its own locks are no points of the schedule; [`point`](Faults::point) is.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    names: Arc<PlainMutex<BTreeMap<PathBuf, Arc<DiskFile>>>>,
    /// Removed ones too.
    all: Arc<PlainMutex<Vec<Arc<DiskFile>>>>,
    pub(super) faults: Arc<Faults>,
}

/// Which calls on a `.log` fail.
#[derive(Debug)]
pub(super) struct Faults {
    /// Writes that succeed before one fails, half done.
    writes: AtomicI64,
    /// Syncs that succeed before one fails.
    syncs: AtomicI64,
    /// Calls on a `.log` that succeed before one panics.
    panics: AtomicI64,
    /// Changes of files and names so far. No point of the schedule.
    changes: std::sync::atomic::AtomicUsize,
}

impl Default for Faults {
    fn default() -> Self {
        let never = || AtomicI64::new(i64::MAX);
        Self { writes: never(), syncs: never(), panics: never(), changes: Default::default() }
    }
}

impl Faults {
    /// The write after `writes` others fails.
    pub(super) fn fail_write_after(&self, writes: i64) {
        self.writes.store(writes, Ordering::SeqCst);
    }

    /// The sync after `syncs` others fails.
    pub(super) fn fail_sync_after(&self, syncs: i64) {
        self.syncs.store(syncs, Ordering::SeqCst);
    }

    /// The write or sync after `calls` others panics.
    pub(super) fn panic_after(&self, calls: i64) {
        self.panics.store(calls, Ordering::SeqCst);
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.panics.load(Ordering::SeqCst) < 0
    }

    /// How often a file or a name was changed.
    pub(super) fn changes(&self) -> usize {
        self.changes.load(Ordering::SeqCst)
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn sync_has_failed(&self) -> bool {
        self.syncs.load(Ordering::SeqCst) < 0
    }

    /// Another thread may go on here.
    fn point(&self) {
        self.writes.load(Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct DiskFile {
    is_log: bool,
    content: PlainMutex<Content>,
    /// Held while dirty bytes are on their way: a sync waits for those that another has begun to write.
    writeback: Mutex<()>,
    /// A write-back has failed, and no sync has told of it. The first one to look does, and no other.
    has_error: AtomicBool,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// Written since the last sync began: position, bytes.
    dirty: Vec<(usize, Vec<u8>)>,
}

fn plain<T>(lock: &PlainMutex<T>) -> PlainGuard<'_, T> {
    lock.lock().unwrap()
}

fn put(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if to.len() < at + bytes.len() {
        to.resize(at + bytes.len(), 0);
    }
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Disk {
    /// Whether a power cut now would leave `bytes` somewhere in a `.log`.
    pub(super) fn keeps(&self, bytes: &[u8]) -> bool {
        let holds = |file: &Arc<DiskFile>| {
            file.is_log && plain(&file.content).durable.windows(bytes.len()).any(|window| window == bytes)
        };
        plain(&self.all).iter().any(holds)
    }

    fn get(&self, path: &Path) -> io::Result<Arc<DiskFile>> {
        plain(&self.names).get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl FileSystem for Disk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        self.faults.point();
        if mode == OpenMode::CreateNew {
            self.faults.note_change();
            let mut names = plain(&self.names);
            if names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let file = Arc::new(DiskFile {
                is_log: path.extension().is_some_and(|extension| extension == "log"),
                content: PlainMutex::default(),
                writeback: Mutex::default(),
                has_error: AtomicBool::new(false),
                faults: Arc::clone(&self.faults),
            });
            names.insert(path.to_path_buf(), Arc::clone(&file));
            plain(&self.all).push(file);
        }
        Ok(self.get(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let names = plain(&self.names);
        let inside: BTreeSet<_> = names.keys().filter(|path| path.parent() == Some(dir)).collect();
        let entry = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            Entry { name, kind: EntryKind::File }
        };
        Ok(inside.into_iter().map(entry).collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.faults.point();
        self.faults.note_change();
        plain(&self.names).remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.point();
        self.faults.note_change();
        let file = self.get(from)?;
        let mut names = plain(&self.names);
        names.remove(from);
        names.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.faults.point();
        Ok(())
    }

    fn lock_dir(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        Ok(DirectoryLock::Held(Box::new(())))
    }
}

impl DiskFile {
    fn strikes(&self, left: &AtomicI64) -> bool {
        self.is_log && left.fetch_sub(1, Ordering::SeqCst) == 0
    }

    fn panic_in_its_turn(&self) {
        assert!(!self.strikes(&self.faults.panics), "{PLANTED}");
    }

    /// Writes back what is dirty.
    fn write_back(&self) {
        let _one_at_a_time = self.writeback.lock();
        let dirty = std::mem::take(&mut plain(&self.content).dirty);
        if self.strikes(&self.faults.syncs) {
            self.has_error.store(true, Ordering::SeqCst);
            return;
        }
        self.faults.point();
        let mut content = plain(&self.content);
        for (at, bytes) in dirty {
            put(&mut content.durable, at, &bytes);
        }
    }
}

impl FileHandle for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(plain(&self.content).bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.faults.point();
        let content = plain(&self.content);
        let there = content.bytes.get(usize::try_from(position).unwrap()..).unwrap_or_default();
        let len = there.len().min(buf.len());
        buf[..len].copy_from_slice(&there[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.panic_in_its_turn();
        self.faults.note_change();
        let fails = self.strikes(&self.faults.writes);
        let at = usize::try_from(position).unwrap();
        let done = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        let mut content = plain(&self.content);
        put(&mut content.bytes, at, done);
        content.dirty.push((at, done.to_vec()));
        drop(content);
        self.faults.point();
        if fails { Err(ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.point();
        self.faults.note_change();
        plain(&self.content).bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.panic_in_its_turn();
        self.write_back();
        if self.has_error.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("the disk has lost what was written"));
        }
        self.faults.point();
        Ok(())
    }

    fn map(&self, _len: u64) -> io::Result<Option<View>> {
        Ok(None)
    }
}
