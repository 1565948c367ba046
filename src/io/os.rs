//! The machine's own file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::allocate::{Allocated, allocate};
#[cfg(target_os = "linux")]
use super::anchor::AnchoredFileSystem;
use super::blocks::share_blocks;
#[cfg(target_os = "linux")]
use super::byte_locks;
use super::lock_file::{Held, HeldShared, LockFile, lock_file, lock_file_shared, writer_of};
#[cfg(target_os = "linux")]
use super::mapped_writes::MappedWrites;
use super::process::Process;
use super::seam::{DirectoryHandle, DirectoryLock, Entry, EntryKind, FileHandle, FileSystem, OpenMode};
#[cfg(target_os = "linux")]
use super::shared::SharedMemory;
#[cfg(unix)]
use super::space::available_space;
use super::view::View;

/// The machine's own files, through std and memmap2. New files are readable and writable only by their owner, links are
/// not followed, and anything but a regular file is refused.
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

    fn read_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        read_link(path)
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
        let taken = LockFile::take(options.open(&lock_path));
        if !matches!(taken, Ok(Some(_)))
            && let Some(directory) = &directory
        {
            // Closing it is not enough: a process that another thread is starting has a copy of the descriptor.
            directory.unlock()?;
        }
        Ok(match taken? {
            Some(file) => {
                DirectoryLock::Held(Box::new(Held { _file: file, directory, process: Process::current() }))
            }
            None => DirectoryLock::Busy { pid: read_pid() },
        })
    }

    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        let lock_path = dir.join(LockFile::NAME);
        // Where the system cannot lock a directory, its writer holds the file alone.
        let locked = if cfg!(unix) { File::open(dir) } else { File::open(&lock_path) };
        let locked = match locked {
            // As in a copy: nobody has had that one open.
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            locked => locked?,
        };
        if !lock_file_shared(&locked)? {
            return Ok(DirectoryLock::Busy { pid: LockFile::read_pid(File::open(&lock_path)) });
        }
        Ok(DirectoryLock::Held(Box::new(HeldShared { locked, process: Process::current() })))
    }
}

pub(super) fn read_link(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(path) {
        // What is there is none.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        target => target.map(Some),
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
