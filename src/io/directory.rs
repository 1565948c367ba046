//! One directory and what is in it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::File;
use super::maps::MapSlot;
use super::pool::FilePool;
use super::read_only::ReadOnlyFileSystem;
use super::seam::{DirectoryLock, Entry, FileSystem, OpenMode};
use super::view::View;
use crate::error::{Error, Result};

/// What an error of a sync of names says was tried.
pub(super) const SYNC: &str = "sync directory";

/// How a file is the same as another without having been copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It is the same file.
    Hard,
    /// It has the same blocks, until one of the two is written to.
    Blocks,
}

/// A directory of a file system. Opening one touches nothing.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pool: Arc<FilePool>,
    pub(super) path: Arc<Path>,
    guard: Option<Guard>,
}

/// Says whether what a directory is taken for still holds. Asked after each file of it was opened by its name: another process may
/// have given the name to another file.
#[derive(Clone)]
pub(crate) struct Guard(Arc<dyn Fn() -> bool + Send + Sync>);

impl Guard {
    pub(crate) fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Descriptors that long-held files take together, unless told otherwise.
const POOL_LIMIT: usize = 192;

impl Directory {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self::with_pool(fs, path, POOL_LIMIT)
    }

    /// A directory whose long-held files, and those of the directories in it, take at most `limit` descriptors.
    pub(crate) fn with_pool(fs: Arc<dyn FileSystem>, path: &Path, limit: usize) -> Self {
        Self { pool: FilePool::new(fs, limit), path: path.into(), guard: None }
    }

    /// The directory that stands at its path now, and stays what this is when it gets another name. To be called before
    /// anything in it is opened. Nothing in it can be reached after its [`lock`](Self::lock) was given back.
    pub(crate) fn anchored(self) -> Result<Self> {
        let anchored = self.call("open", &self.path, |fs| fs.anchored(&self.path))?;
        let Some(fs) = anchored else { return Ok(self) };
        Ok(Self { pool: self.pool.over(fs), path: self.path, guard: self.guard })
    }

    /// The same directory, in which nothing can be changed. To be called before anything in it is opened.
    pub(crate) fn read_only(self) -> Self {
        let fs = Arc::new(ReadOnlyFileSystem::new(Arc::clone(&self.pool.fs)));
        Self { pool: self.pool.over(fs), path: self.path, guard: self.guard }
    }

    /// One whose files hold at most so many maps.
    #[cfg(test)]
    pub(crate) fn with_maps(fs: Arc<dyn FileSystem>, path: &Path, maps: usize) -> Self {
        Self { pool: FilePool::with_maps(fs, POOL_LIMIT, maps), path: path.into(), guard: None }
    }

    /// Holds the map of a file for the next one who needs it, as long as the store does not hold too many.
    pub(crate) fn hold_map(&self, slot: &Arc<MapSlot>, view: View) {
        self.pool.maps.hold(slot, view);
    }

    /// For what needs no descriptor.
    pub(super) fn fs(&self) -> &dyn FileSystem {
        &*self.pool.fs
    }

    /// For what needs one for a moment.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        path: &Path,
        call: impl Fn(&dyn FileSystem) -> io::Result<T>,
    ) -> Result<T> {
        self.pool.with_descriptors(|| call(self.fs())).map_err(|e| Error::io(path, operation, e))
    }

    /// An error in a child of a fork of the process that took the directory: nothing in it is changed there, whoever asks.
    pub(crate) fn check_process(&self) -> Result<()> {
        self.pool.check_process(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a name in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory of that name in it.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self { pool: Arc::clone(&self.pool), path: self.join(name).into(), guard: self.guard.clone() }
    }

    /// The directory of that path, whatever is or is not there.
    pub(crate) fn at(&self, path: &Path) -> Self {
        Self { pool: Arc::clone(&self.pool), path: path.into(), guard: None }
    }

    pub(crate) fn open(&self, name: &str, mode: OpenMode) -> Result<File> {
        if mode != OpenMode::Read {
            self.check_process()?;
        }
        let file = File::open(&self.pool, &self.join(name), mode)?;
        match &self.guard {
            Some(guard) if !(guard.0)() => {
                let why = io::Error::new(ErrorKind::NotFound, "its name may be another file's by now");
                Err(Error::io(file.path(), "open", why))
            }
            _ => Ok(file),
        }
    }

    /// The same directory, whose files are opened as long as `guard` says so.
    pub(crate) fn guarded(&self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self.clone() }
    }

    /// An error once another directory stands at its path.
    pub(crate) fn check_in_place(&self) -> Result<()> {
        if !self.call("look at", &self.path, |fs| fs.is_replaced())? {
            return Ok(());
        }
        let why = "the directory at this path is no longer the one that this process is attached to: drop what is attached to that, and attach again";
        Err(Error::io(&self.path, "use", io::Error::new(io::ErrorKind::NotFound, why)))
    }

    /// Whether files of it can be shared between processes.
    pub(crate) fn shares_memory(&self) -> bool {
        self.fs().shares_memory()
    }

    /// Opens a file, not for reading alone, that is held for long. Between two calls its descriptor may be closed, after a
    /// sync if it was written to, and it is opened again by its name.
    pub(crate) fn keep_open(&self, name: &str, mode: OpenMode) -> Result<File> {
        self.pool.open(&self.join(name), mode).map(File::pooled)
    }

    /// Opens a file that is held for long and to which nothing but hints is written: its descriptor may be closed without a
    /// sync.
    pub(crate) fn keep_open_for_hints(&self, name: &str) -> Result<File> {
        self.pool.open_for_hints(&self.join(name)).map(File::pooled)
    }

    /// Whether many of the descriptors that long-held files may take are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.pool.is_crowded()
    }

    /// The whole of a file, or `None` when there is none of that name. Longer than `limit` bytes is an error: files read
    /// this way are small, and a wrong one must not fill the memory.
    pub(crate) fn read_file(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let file = match self.open(name, OpenMode::Read) {
            Ok(file) => file,
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if len > limit {
            let reason = format!("{len} bytes, more than the {limit} such a file can have");
            return Err(Error::corrupt(self.join(name), 0, None, reason));
        }
        file.read(0, len).map(Some)
    }

    pub(crate) fn list(&self) -> Result<Vec<Entry>> {
        self.call("list", &self.path, |fs| fs.list(&self.path))
    }

    /// True when the directory exists.
    pub(crate) fn exists(&self) -> Result<bool> {
        match self.list() {
            Ok(_) => Ok(true),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Makes the directory and those above it that are missing. Their names are durable after `sync_above`.
    pub(crate) fn ensure(&self) -> Result<()> {
        if self.exists()? {
            return Ok(());
        }
        if let Some(above) = self.path.parent() {
            Self { pool: Arc::clone(&self.pool), path: or_here(above).into(), guard: None }.ensure()?;
        }
        match self.create() {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                // Somebody else may have made it at the same time.
                if self.exists()? {
                    return Ok(());
                }
                Err(Error::invalid(format!("{} is a link to nothing", self.path.display())))
            }
            created => created,
        }
    }

    /// Makes every name on the way to the directory durable. One that an earlier process made and could not sync, or did
    /// not live to sync, looks like any other.
    pub(crate) fn sync_above(&self) -> Result<()> {
        for path in self.path.ancestors().skip(1).map(or_here) {
            match self.call(SYNC, path, |fs| fs.sync_dir(path)) {
                // What we may not read, or what cannot be written, we have not made, nor what is above it.
                Err(Error::Io { source, .. }) if is_of_others(&source) => break,
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Makes the directory. Its name is durable after a sync of its parent.
    pub(crate) fn create(&self) -> Result<()> {
        self.check_process()?;
        self.fs().create_dir(&self.path).map_err(|e| Error::io(&self.path, "create directory", e))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.check_process()?;
        let from = self.join(from);
        self.fs().rename(&from, &self.join(to)).map_err(|e| Error::io(&from, "rename", e))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.check_process()?;
        let path = self.join(name);
        self.fs().remove_file(&path).map_err(|e| Error::io(&path, "remove", e))
    }

    /// Removes a file; that there is none is no error.
    pub(crate) fn remove_if_there(&self, name: &str) -> Result<()> {
        match self.remove(name) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes the directory and the files in it. It holds no directories.
    pub(crate) fn remove_all(&self) -> Result<()> {
        self.check_process()?;
        for entry in self.list()? {
            self.remove_if_there(&entry.name)?;
        }
        self.fs().remove_dir(&self.path).map_err(|e| Error::io(&self.path, "remove directory", e))
    }

    /// Removes the directory, which is empty.
    pub(crate) fn remove_empty(&self) -> Result<()> {
        self.check_process()?;
        self.fs().remove_dir(&self.path).map_err(|e| Error::io(&self.path, "remove directory", e))
    }

    /// Makes the names in it durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.call(SYNC, &self.path, |fs| fs.sync_dir(&self.path))
    }

    /// A directory anywhere in the same file system, under its one path.
    pub(crate) fn elsewhere(&self, path: &Path) -> Result<Self> {
        let path = self.fs().resolve(path).map_err(|e| Error::io(path, "find", e))?;
        Ok(Self { pool: Arc::clone(&self.pool), path: path.into(), guard: None })
    }

    /// Whether a directory from [`elsewhere`](Self::elsewhere) is `other` or lies in it: by the name that it has now, or by the one
    /// under which its files are reached.
    pub(super) fn is_in(&self, other: &Self) -> Result<bool> {
        let now = self.fs().resolve(&other.path).map_err(|e| Error::io(&other.path, "find", e))?;
        Ok(self.path.starts_with(now) || self.path.starts_with(&other.path))
    }

    /// Gives the file `name` of `source` the same bytes here under the name `to`, without copying them. False where the two
    /// are not in one file system, or it has no such thing, or not for us: then there is no `to`.
    pub(crate) fn link(&self, source: &Self, name: &str, (to, link): (&str, Link)) -> Result<bool> {
        use ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
        self.check_process()?;
        let (from, to) = (source.join(name), self.join(to));
        let linked = match link {
            Link::Hard => self.fs().hard_link(&from, &to),
            Link::Blocks => self.fs().reflink(&from, &to),
        };
        match linked {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported) => {
                Ok(false)
            }
            Err(e) => Err(Error::io(&to, "link", e)),
        }
    }

    /// An error when it is known that `needed` more bytes do not fit.
    pub(crate) fn check_space(&self, needed: u64) -> Result<()> {
        match self.call("look for free space in", &self.path, |fs| fs.available_space(&self.path))? {
            Some(available) if available < needed => {
                Err(Error::io(&self.path, "write a segment in", ErrorKind::StorageFull.into()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn lock(&self) -> Result<DirectoryLock> {
        self.call("lock", &self.path, |fs| fs.lock_dir(&self.path))
    }

    /// Takes the lock that any number of readers hold at a time; `None` where there is no such lock.
    pub(crate) fn lock_shared(&self) -> Result<Option<DirectoryLock>> {
        match self.call("lock", &self.path, |fs| fs.lock_dir_shared(&self.path)) {
            Ok(lock) => Ok(Some(lock)),
            Err(Error::Io { source, .. }) if has_no_locks(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// True of a file system that has no locks, or none for us.
fn has_no_locks(error: &io::Error) -> bool {
    /// `ENOLCK` of Linux.
    const NO_LOCKS: i32 = 37;
    error.kind() == ErrorKind::Unsupported
        || cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCKS)
}

/// A relative path of one component has the working directory above it.
fn or_here(above: &Path) -> &Path {
    if above.as_os_str().is_empty() { Path::new(".") } else { above }
}

/// True of directories that nobody of our rights has changed, and of those that cannot be synced.
fn is_of_others(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{OsFileSystem, PublishFailure};

    #[test]
    fn a_child_of_a_fork_changes_nothing_in_a_directory_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let own = Directory::new(Arc::new(OsFileSystem), dir.path());
        own.replace_file("list", b"all").unwrap();
        let parents = Directory { pool: FilePool::in_a_child(Arc::new(OsFileSystem)), ..own.clone() };
        let below = parents.child("below");
        let refused = [
            parents.replace_file("list", b"old"),
            parents.begin("list").map(drop),
            parents.open("list", OpenMode::ReadWrite).map(drop),
            parents.keep_open("list", OpenMode::ReadWrite).and_then(|file| file.write_at(b"old", 0)),
            parents.rename("list", "other"),
            parents.remove("list"),
            parents.remove_durably("list").map_err(PublishFailure::into_error),
            parents.remove_all(),
            parents.remove_empty(),
            parents.link(&own, "list", ("linked", Link::Hard)).map(drop),
            below.create(),
        ];
        assert_eq!(refused.iter().position(|one| !matches!(one, Err(Error::Forked { .. }))), None);
        assert_eq!(own.read_file("list", 10).unwrap().unwrap(), b"all");
        assert_eq!(own.list().unwrap().len(), 1);
    }
}
