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
    /// The file must exist; it is never written through this handle.
    Read,
    /// The file must exist.
    ReadWrite,
    /// The file must not exist.
    CreateNew,
}

/// What a directory holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory. Names that are not UTF-8 are left out of listings: annals uses none.
    pub name: String,
    /// The kind of the entry.
    pub kind: EntryKind,
}

/// The kind of a directory entry. Links are not followed.
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
    /// The lock is taken; it is held until the value is dropped.
    Held(Box<dyn Send + Sync>),
    /// Another process or handle holds the lock.
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
    /// Creates a directory, readable by its owner alone. Its parent exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file's name. Open handles and views of it stay readable.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Renames within one directory or between two, atomically replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens a directory whose names will change, so that [`sync_dir`](FileSystem::sync_dir) needs nothing then that may not be available.
    /// `None` where it needs nothing anyway.
    fn open_dir(&self, _dir: &Path) -> io::Result<Option<Box<dyn DirectoryHandle>>> {
        Ok(None)
    }
    /// Returns how many bytes this process may still write under `dir`, `None` where that is not known.
    fn available_space(&self, _dir: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }
    /// Gives the file `from` another name, `to`, which must be free. `Unsupported` where hard links do not exist.
    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Creates `to`, a new file that shares the blocks of `from` until one of the two is written to. `Unsupported` where that is
    /// not possible; then `to` does not exist.
    fn reflink(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Returns the one real path of what is at `path`, whatever links lead there.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::path::absolute(path)
    }
    /// Returns where the link `path` points, as stored in it. `None` if it is not a link, or this cannot be determined.
    fn read_link(&self, _path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }
    /// Returns the same files, of which those in `dir` and below are reached from the directory that is there now, whatever its
    /// name will be. [`lock_dir`](FileSystem::lock_dir) of it is called with `dir`, once; when that lock is dropped, nothing in
    /// the directory can be reached any more. `None` where every path is looked up again: then do not rename a directory
    /// whose store is open.
    fn anchored(&self, _dir: &Path) -> io::Result<Option<Arc<dyn FileSystem>>> {
        Ok(None)
    }
    /// Returns whether another directory has taken the place of the one from which an [anchored](FileSystem::anchored) file system reaches
    /// its files. A directory that was only renamed was not replaced, nor was one whose path cannot be looked up.
    fn is_replaced(&self) -> io::Result<bool> {
        Ok(false)
    }
    /// Returns whether files can be [shared](FileHandle::share), and bytes of them locked.
    fn shares_memory(&self) -> bool {
        false
    }
    /// Takes the exclusive lock of a directory, without waiting.
    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock>;
    /// Takes the shared lock of a directory, without waiting: any number may hold it at a time, but not together with the exclusive
    /// one. Nothing is written for it. `Unsupported` where there is no such lock: then nobody may write meanwhile.
    fn lock_dir_shared(&self, _dir: &Path) -> io::Result<DirectoryLock> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One open directory, opened by [`FileSystem::open_dir`].
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

/// One open regular file, usable from many threads at once.
pub trait FileHandle: fmt::Debug + Send + Sync {
    /// Returns the length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Returns true when the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at `position`; may read less than asked for, 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes at `position`; may write less than asked for.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;
    /// Truncates the file to `len` bytes or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves space so that the file has at least `len` bytes, the new ones zero, and writes below `len` need no more space.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes every byte written through this handle, and the length, survive a power cut.
    fn sync_data(&self) -> io::Result<()>;
    /// Allows small writes below an allocated length, from here on, to be stored into a map instead of being written, where that is
    /// safe: they survive what a write survives, and a sync covers them like a write. By default all are written.
    fn map_small_writes(&self) {}
    /// Maps the first `len` bytes in a view that also shows what is written into them later, or returns `None` where the file cannot
    /// be mapped; it is then read positionally.
    fn map(&self, len: u64) -> io::Result<Option<View>>;
    /// Maps the first `len` bytes for access to single places: the system need not read what is around them.
    fn map_for_points(&self, len: u64) -> io::Result<Option<View>> {
        self.map(len)
    }
    /// Returns memory that every process sees which shares these bytes of the file. They have space of their own from here on, and the file
    /// must not be truncated. Both numbers are multiples of 64 KiB. `None` where that is not possible.
    fn share(&self, _position: u64, _len: usize) -> io::Result<Option<SharedMemory>> {
        Ok(None)
    }
    /// Takes the lock of a byte, without waiting; false when another handle has it. The lock is released with the handle, or when the
    /// process dies.
    fn try_lock_byte(&self, _at: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Releases the lock of a byte.
    fn unlock_byte(&self, _at: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Returns whether another handle has the lock of a byte. Takes no lock.
    fn is_byte_locked(&self, _at: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
