//! What the library asks of a file system, as thin as it can be: one method for each thing the system does.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{SharedMemory, View};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// It must exist; it is never written through this handle.
    Read,
    /// It must exist.
    ReadWrite,
    /// It must not exist.
    CreateNew,
}

/// What a directory holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory. Names that are not UTF-8 are left out of listings: none of them is ours.
    pub name: String,
    /// What stands under it.
    pub kind: EntryKind,
}

/// What stands under a name. Links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a device, a pipe …
    Other,
}

/// The outcome of taking a directory's lock.
pub enum DirectoryLock {
    /// Taken; it is held until the value is dropped.
    Held(Box<dyn Send + Sync>),
    /// Another process or handle holds it.
    Busy {
        /// The holder, where the lock file says.
        pid: Option<u32>,
    },
}

impl fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(_) => f.write_str("Held"),
            Self::Busy { pid } => f.debug_struct("Busy").field("pid", pid).finish(),
        }
    }
}

/// Files and names. The production implementation is [`OsFileSystem`](super::OsFileSystem); tests put a counting, failing
/// or modelled one under the whole library with [`StoreBuilder::file_system`](crate::StoreBuilder::file_system).
///
/// A new name, a rename and a removal survive a power cut only after [`sync_dir`](FileSystem::sync_dir) of the directory
/// that holds it; bytes and lengths only after [`sync_data`](FileHandle::sync_data) of the handle that wrote them.
///
/// It is called while locks of the store are held: it must not call the store, or that call, and this one, may wait for ever.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Opens a regular file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>>;
    /// Lists a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a directory, readable by its owner alone. Its parent exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file's name. Open handles and views of it stay readable.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Renames within one directory or between two, replacing a file of the new name atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens a directory whose names will change, so that [`sync_dir`](FileSystem::sync_dir) needs nothing then that may be wanting.
    /// `None` where it needs nothing anyway.
    fn open_dir(&self, _dir: &Path) -> io::Result<Option<Box<dyn DirectoryHandle>>> {
        Ok(None)
    }
    /// Bytes that may still be written under `dir` by us, `None` where that is not known.
    fn available_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
    /// Gives the file `from` another name, `to`, which must be free. `Unsupported` where there is no such thing.
    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes `to`, a new file that shares the blocks of `from` until one of the two is written to. `Unsupported` where there is
    /// no such thing; then there is no `to`.
    fn reflink(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// The one path of what stands under `path`, whatever links lead there.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }
    /// Where the link `path` points, as it says itself. `None` where that is no link, or nobody can say.
    fn read_link(&self, _path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }
    /// The same files, of which those in `dir` and below are reached from the directory that stands there now, whatever its
    /// name will be. [`lock_dir`](FileSystem::lock_dir) of it is called with `dir`, once; when that lock is dropped, nothing in
    /// the directory can be reached any more. `None` where every path is looked up again: then do not rename a directory
    /// whose store is open.
    fn anchored(&self, _dir: &Path) -> io::Result<Option<Arc<dyn FileSystem>>> {
        Ok(None)
    }
    /// Whether another directory stands by now where the one stood from which an [anchored](FileSystem::anchored) one reaches its files. One that has
    /// another name alone was not replaced, nor one whose path cannot be looked at.
    fn is_replaced(&self) -> io::Result<bool> {
        Ok(false)
    }
    /// Whether files can be [shared](FileHandle::share), and bytes of them locked.
    fn shares_memory(&self) -> bool {
        false
    }
    /// Takes the exclusive lock of a directory, without waiting.
    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock>;
    /// Takes the lock of a directory that any number may hold at a time, but nobody beside the one who has the exclusive one,
    /// without waiting. Nothing is written for it. `Unsupported` where there is no such lock: then nobody writes meanwhile.
    fn lock_dir_shared(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One open directory. [`FileSystem::open_dir`] opens it.
///
/// ```
/// use annals::io::{FileSystem, OsFileSystem};
/// # let dir = tempfile::tempdir()?;
/// if let Some(directory) = OsFileSystem.open_dir(dir.path())? {
///     std::fs::write(dir.path().join("new"), "a name that is to last")?;
///     directory.sync()?;
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait DirectoryHandle: fmt::Debug + Send + Sync {
    /// Makes the names in it durable.
    fn sync(&self) -> io::Result<()>;
}

/// One open regular file, used from many threads at once.
pub trait FileHandle: fmt::Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True when the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at `position`; may read less than asked for, 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at `position`; may write less than asked for.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Cuts the file to `len` bytes or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves space so that the file has at least `len` bytes, the new ones zero, and writes below `len` need no more.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes every byte written through this handle, and the length, survive a power cut.
    fn sync_data(&self) -> io::Result<()>;
    /// From here on, small writes below an allocated length may be stored into a map instead of being written, where that is
    /// safe: they survive what a write survives, and a sync covers them like a write. By default all are written.
    fn map_small_writes(&self) {}
    /// A view of the first `len` bytes that also shows what is written into them later, or `None` where the file cannot
    /// be mapped; it is then read positionally.
    fn map(&self, len: u64) -> io::Result<Option<View>>;
    /// The same for who looks at single places: the system need not read what is around them.
    fn map_for_points(&self, len: u64) -> io::Result<Option<View>> {
        self.map(len)
    }
    /// Memory that every process sees which shares these bytes of the file. They have space of their own from here on, and the file
    /// must not be cut. Both numbers are multiples of 64 KiB. `None` where there is no such thing.
    fn share(&self, _position: u64, _len: usize) -> io::Result<Option<SharedMemory>> {
        Ok(None)
    }
    /// Takes the lock of a byte, without waiting; false when another handle has it. It is given back with the handle, or when the
    /// process dies.
    fn try_lock_byte(&self, _at: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Gives it back.
    fn unlock_byte(&self, _at: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Whether another handle has the lock of a byte. Takes nothing.
    fn is_byte_locked(&self, _at: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
