//! The machine's own file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::allocate::{Allocated, allocate};
#[cfg(target_os = "linux")]
use super::anchor::AnchoredFileSystem;
use super::blocks::share_blocks;
#[cfg(target_os = "linux")]
use super::byte_locks;
#[cfg(target_os = "linux")]
use super::mapped_writes::MappedWrites;
use super::process::Process;
use super::seam::{DirectoryHandle, DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode};
#[cfg(target_os = "linux")]
use super::shared::SharedMemory;
#[cfg(unix)]
use super::space::available_space;
use super::view::View;

/// The machine's own files, through std and memmap2. New files are readable and writable by their owner alone, links are
/// not followed, anything but a regular file is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFileSystem;

/// An open directory of the operating system.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct OsDirectory(pub(super) File);

#[cfg(unix)]
impl DirectoryHandle for OsDirectory {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
impl FileSystem for OsFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => _ = options.write(true),
            OpenMode::CreateNew => _ = options.write(true).create_new(true),
        }
        restrict(&mut options);
        OsFile::of_regular(options.open(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match (kind.is_file(), kind.is_dir()) {
                (true, _) => EntryKind::File,
                (_, true) => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, kind });
            }
        }
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    #[cfg(unix)]
    fn open_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn DirectoryHandle>>> {
        Ok(Some(Box::new(OsDirectory(File::open(dir)?))))
    }

    /// Windows journals names itself and cannot sync a directory.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(unix)]
    fn available_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        available_space(&File::open(dir)?)
    }

    #[cfg(target_os = "linux")]
    fn anchored(&self, dir: &Path) -> io::Result<Option<Arc<dyn FileSystem>>> {
        Ok(Some(Arc::new(AnchoredFileSystem::new(dir)?)))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        restrict(&mut options);
        let (source, target) = (File::open(from)?, options.open(to)?);
        share_blocks(&source, &target).inspect_err(|_| drop(fs::remove_file(to)))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn shares_memory(&self) -> bool {
        cfg!(target_os = "linux")
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        // The directory itself is locked where the system can: that lock cannot be deleted. The file is for people, and
        // for systems that cannot lock a directory.
        let directory = if cfg!(unix) { Some(File::open(dir)?) } else { None };
        let lock_path = dir.join(LockFile::NAME);
        let read_pid = || LockFile::read_pid(File::open(&lock_path));
        if let Some(directory) = &directory
            && !lock_file(directory)?
        {
            return Ok(DirectoryLock::Busy { pid: writer_of(directory, read_pid)? });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        restrict(&mut options);
        Ok(match LockFile::take(options.open(&lock_path))? {
            Some(file) => {
                DirectoryLock::Held(Box::new(Held { _file: file, directory, process: Process::current() }))
            }
            None => DirectoryLock::Busy { pid: read_pid() },
        })
    }

    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        let lock_path = dir.join(LockFile::NAME);
        // Where the system cannot lock a directory, its writer holds the file alone.
        let locked = if cfg!(unix) { File::open(dir)? } else { File::open(&lock_path)? };
        if !lock_file_shared(&locked)? {
            return Ok(DirectoryLock::Busy { pid: LockFile::read_pid(File::open(&lock_path)) });
        }
        Ok(DirectoryLock::Held(Box::new(HeldShared { locked, process: Process::current() })))
    }
}

/// The lock of a directory, beside others.
struct HeldShared {
    locked: File,
    process: Process,
}

impl Drop for HeldShared {
    /// As for [`LockFile`].
    fn drop(&mut self) {
        if self.process.may_unlock() {
            drop(self.locked.unlock());
        }
    }
}

/// The locks of a directory.
struct Held {
    /// Held for its drop.
    _file: LockFile,
    directory: Option<File>,
    process: Process,
}

impl Drop for Held {
    /// As for [`LockFile`].
    fn drop(&mut self) {
        if self.process.may_unlock() {
            self.directory.iter().for_each(|directory| drop(directory.unlock()));
        }
    }
}

/// The file that says who has a directory locked. It is locked as well.
pub(super) struct LockFile {
    /// `None` where there was no space for its name.
    file: Option<File>,
    process: Process,
}

impl LockFile {
    pub(super) const NAME: &str = ".lock";

    /// Locks the file and writes down who did; `None` when somebody else has locked it. Where the directory itself is
    /// locked, a full disk is no reason against it.
    pub(super) fn take(opened: io::Result<File>) -> io::Result<Option<Self>> {
        let process = Process::current();
        let file = match opened {
            Err(error) if cfg!(unix) && is_full(&error) => return Ok(Some(Self { file: None, process })),
            opened => opened?,
        };
        if !lock_file(&file)? {
            return Ok(None);
        }
        // For people alone: a pid that cannot be written is unknown.
        drop(write_pid(&file));
        Ok(Some(Self { file: Some(file), process }))
    }

    /// The pid in a lock file, for an error message only: unreadable is the same as unknown.
    pub(super) fn read_pid(opened: io::Result<File>) -> Option<u32> {
        let mut text = String::new();
        opened.ok()?.take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for LockFile {
    /// Closing is not enough: a process that another thread is starting has copies of the descriptors until it is another
    /// program, and with them the locks.
    fn drop(&mut self) {
        if self.process.may_unlock() {
            // Then the close that follows gives it back.
            self.file.iter().for_each(|file| drop(file.unlock()));
        }
    }
}

fn write_pid(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Locks an open file or directory; false when somebody else has it locked.
pub(super) fn lock_file(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who has an open directory locked, by its lock file. That one tells of writers alone: where the lock can be shared it is
/// readers who hold it.
pub(super) fn writer_of(directory: &File, read_pid: impl FnOnce() -> Option<u32>) -> io::Result<Option<u32>> {
    if lock_file_shared(directory)? {
        directory.unlock()?;
        return Ok(None);
    }
    Ok(read_pid())
}

/// The same, beside others who do so.
pub(super) fn lock_file_shared(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Owner-only permissions, no links followed, no waiting for the other end of a pipe that stands where a file should.
fn restrict(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    #[cfg(not(unix))]
    let _: &mut OpenOptions = options;
}

#[derive(Debug)]
pub(super) struct OsFile {
    file: File,
    /// Only here small writes become stores.
    #[cfg(target_os = "linux")]
    stores: MappedWrites,
}

impl OsFile {
    /// An error for anything but a regular file.
    pub(super) fn of_regular(file: File) -> io::Result<Arc<dyn FileHandle>> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(Self::new(file)))
    }

    #[cfg(target_os = "linux")]
    fn new(file: File) -> Self {
        Self { file, stores: MappedWrites::default() }
    }

    #[cfg(not(target_os = "linux"))]
    fn new(file: File) -> Self {
        Self { file }
    }
}

impl FileHandle for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.file, buf, position)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.file, buf, position)
    }

    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if self.stores.store(&self.file, bytes, position) {
            return Ok(bytes.len());
        }
        std::os::unix::fs::FileExt::write_at(&self.file, bytes, position)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.file, bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        self.stores.forget();
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match allocate(&self.file, len)? {
            #[cfg(target_os = "linux")]
            Allocated::Reserved => self.stores.reserved(len),
            _ => {}
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        self.stores.sync_begins();
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn map_small_writes(&self) {
        self.stores.allow();
    }

    #[cfg(target_os = "linux")]
    fn share(&self, position: u64, len: usize) -> io::Result<Option<SharedMemory>> {
        SharedMemory::new(&self.file, position, len)
    }

    #[cfg(target_os = "linux")]
    fn try_lock_byte(&self, at: u64) -> io::Result<bool> {
        byte_locks::try_lock(&self.file, at)
    }

    #[cfg(target_os = "linux")]
    fn unlock_byte(&self, at: u64) -> io::Result<()> {
        byte_locks::unlock(&self.file, at)
    }

    #[cfg(target_os = "linux")]
    fn is_byte_locked(&self, at: u64) -> io::Result<bool> {
        byte_locks::is_locked(&self.file, at)
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        Ok(self.mapped(len)?.map(View::new))
    }

    fn map_for_points(&self, len: u64) -> io::Result<Option<View>> {
        let map = self.mapped(len)?;
        if let Some(map) = &map {
            // It is advice.
            #[cfg(unix)]
            drop(map.advise(memmap2::Advice::Random));
        }
        Ok(map.map(View::new))
    }
}

impl OsFile {
    fn mapped(&self, len: u64) -> io::Result<Option<memmap2::Mmap>> {
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        if len == 0 || self.file.metadata()?.len() < u64::try_from(len).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        // SAFETY: the map is shared and read-only and covers only bytes that the file has. Our own code never cuts a
        // file below what its readers were told is written, and readers stay below that; a cut by another process would
        // be a SIGBUS, which is why the store can be opened with positional reads instead. Bytes beyond what readers
        // were told may change under the map; none is read.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.file) };
        // Too many maps, no memory for one, a file system without: what is wrong with the file itself, a read will tell.
        Ok(map.ok())
    }
}
