//! Partitions for which there is no room where other processes look.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem, SharedMemory, View};
use annals::{Durability, Record, Store, StoreReader, TopicConfig};

use crate::common::{fast_dir, producer};

/// More than the first piece has slots for.
const MANY: u32 = 700;

/// The system's files, of which the shared one does not grow while the disk is full.
#[derive(Debug, Default)]
struct Crowded {
    is_full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct CrowdedFile {
    inner: Arc<dyn FileHandle>,
    is_full: Arc<AtomicBool>,
}

impl FileSystem for Crowded {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let inner = OsFileSystem.open(path, mode)?;
        if !path.ends_with("annals.live") {
            return Ok(inner);
        }
        Ok(Arc::new(CrowdedFile { inner, is_full: Arc::clone(&self.is_full) }))
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

impl FileHandle for CrowdedFile {
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
        self.inner.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        self.inner.map(len)
    }

    fn share(&self, position: u64, len: usize) -> io::Result<Option<SharedMemory>> {
        if position > 0 && self.is_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.share(position, len)
    }

    fn try_lock_byte(&self, at: u64) -> io::Result<bool> {
        self.inner.try_lock_byte(at)
    }

    fn unlock_byte(&self, at: u64) -> io::Result<()> {
        self.inner.unlock_byte(at)
    }

    fn is_byte_locked(&self, at: u64) -> io::Result<bool> {
        self.inner.is_byte_locked(at)
    }
}

#[test]
fn a_partition_that_a_full_disk_kept_from_being_shown_is_shown_by_maintenance() {
    let dir = fast_dir();
    let files = Arc::new(Crowded::default());
    let is_full = Arc::clone(&files.is_full);
    let store = Store::builder(dir.path()).file_system(files).maintain_by_hand().open().unwrap();
    is_full.store(true, Ordering::SeqCst);
    store.create_topic("many", TopicConfig::new().partitions(MANY)).unwrap();
    let last = || Record::to("many").partition(MANY - 1).value("2 apples");
    producer(&store, Durability::Disk).send(last()).unwrap();
    is_full.store(false, Ordering::SeqCst);
    store.maintain().unwrap();
    producer(&store, Durability::Os).send(last()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let partition = reader.topic("many").unwrap().partition(MANY - 1).unwrap();
    assert_eq!((partition.durable(), partition.end()), (1, 2));
    assert_eq!(partition.get(1).unwrap().unwrap().value.as_deref(), Some(&b"2 apples"[..]));
    store.delete_topic("many").unwrap();
    assert!(reader.topic("many").is_err());
}
