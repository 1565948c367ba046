//! The machine's own file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::allocate::{Allocated, allocate};
use super::process::Process;
use super::seam::{DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode};
use super::space::available_space;
#[cfg(target_os = "linux")]
use super::store_map::StoreMap;
use super::view::View;

/// The machine's own files, through std and memmap2. New files are readable and writable by their owner alone, links are
/// not followed, anything but a regular file is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFileSystem;

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
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(OsFile::new(file)))
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

    /// Windows journals names itself and cannot sync a directory.
    #[cfg(not(unix))]
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn available_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        available_space(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        reflink(from, to)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        // The directory itself is locked where the system can: that lock cannot be deleted. The file is for people, and
        // for systems that cannot lock a directory.
        let directory = if cfg!(unix) { Some(File::open(dir)?) } else { None };
        let lock_path = dir.join(".lock");
        if let Some(directory) = &directory
            && !try_lock(directory)?
        {
            return Ok(DirectoryLock::Busy { pid: read_pid(&lock_path) });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        restrict(&mut options);
        let mut file = options.open(&lock_path)?;
        if !try_lock(&file)? {
            return Ok(DirectoryLock::Busy { pid: read_pid(&lock_path) });
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())?;
        Ok(DirectoryLock::Held(Box::new(Held { file, directory, process: Process::current() })))
    }
}

/// The locks of a directory.
struct Held {
    file: File,
    directory: Option<File>,
    process: Process,
}

impl Drop for Held {
    /// Closing is not enough: a process that another thread is starting has copies of the descriptors until it is another
    /// program, and with them the locks.
    fn drop(&mut self) {
        if self.process.id() != std::process::id() {
            // A child's descriptors are copies, whose close leaves the locks to the parent.
            return;
        }
        for file in [&self.file].into_iter().chain(&self.directory) {
            // Then the close that follows gives it back.
            drop(file.unlock());
        }
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The pid in a lock file, for an error message only: unreadable is the same as unknown.
#[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
fn read_pid(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Makes `to` a file that shares the blocks of `from`.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
fn reflink(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let source = File::open(from)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    restrict(&mut options);
    let target = options.open(to)?;
    // SAFETY: FICLONE takes two descriptors and touches no memory of ours; both files stay open for the call.
    #[expect(unsafe_code, reason = "std has no reflinks")]
    let code = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    fs::remove_file(to)?;
    match error.raw_os_error() {
        // What a file system says that has none: which of these differs from one to the other.
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        _ => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn reflink(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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
struct OsFile {
    file: File,
    /// Only here small writes become stores.
    #[cfg(target_os = "linux")]
    stores: StoreMap,
}

impl OsFile {
    #[cfg(target_os = "linux")]
    fn new(file: File) -> Self {
        Self { file, stores: StoreMap::default() }
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
    fn store_small_writes(&self) {
        self.stores.allow();
    }

    fn map(&self, len: u64) -> io::Result<Option<View>> {
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        if len == 0 || self.file.metadata()?.len() < u64::try_from(len).unwrap_or(u64::MAX) {
            return Ok(None);
        }
        // SAFETY: the map is shared and read-only and covers only bytes that the file has. Our own code never cuts a
        // file below what its readers were told is written, and readers stay below that; a cut by another process would
        // be a SIGBUS, which is why the store can be opened with positional reads instead. Bytes beyond what readers
        // were told may change under the map; none is read.
        #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.file)? };
        Ok(Some(View::new(map)))
    }
}
