//! Files reached from an open directory. Its name may become another one, and another directory take its place: what is under
//! the old name then belongs to somebody else.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::share_blocks;
use super::listing::list;
use super::lock_file::{LockFile, lock_file, lock_file_shared, writer_of};
use super::os::{OsDirectory, OsFile, OsFileSystem, read_link};
use super::process::Process;
use super::seam::{DirectoryHandle, DirectoryLock, Entry, FileHandle, FileSystem, OpenMode};
use super::space::available_space;
use crate::locks::RwLock;

/// The machine's files, of which those below `root` are reached from the directory that stood there when this was made. Once
/// the lock of that directory was given back, none below it is reached any more: it may be somebody else's.
#[derive(Debug)]
pub(super) struct AnchoredFileSystem {
    anchor: Arc<Anchor>,
}

#[derive(Debug)]
struct Anchor {
    root: PathBuf,
    /// Held for reading over each call; `None` after its lock was given back.
    directory: RwLock<Option<File>>,
}

/// A name as the system takes it: from a directory on.
#[derive(Debug)]
struct Name {
    from: RawFd,
    name: CString,
}

impl AnchoredFileSystem {
    #[expect(clippy::disallowed_methods, reason = "this is the seam behind which std::fs stands")]
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let directory = RwLock::new(Some(File::open(root)?));
        Ok(Self { anchor: Arc::new(Anchor { root: root.to_path_buf(), directory }) })
    }
}

impl Anchor {
    /// Runs `call` on the directory, which stays open meanwhile.
    fn with<T>(&self, call: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match &*self.directory.read() {
            Some(directory) => call(directory),
            None => Err(io::Error::other("the store has given its directory back")),
        }
    }

    /// What is below `root` is named from its directory, anything else as it is.
    fn name(&self, directory: &File, path: &Path) -> io::Result<Name> {
        let (from, name) = match path.strip_prefix(&self.root) {
            Ok(below) if below.as_os_str().is_empty() => (directory.as_raw_fd(), Path::new(".")),
            Ok(below) => (directory.as_raw_fd(), below),
            Err(_) => (libc::AT_FDCWD, path),
        };
        Ok(Name { from, name: CString::new(name.as_os_str().as_bytes())? })
    }

    /// Opens a name, again when a signal interrupts.
    fn open(&self, path: &Path, flags: i32) -> io::Result<File> {
        self.with(|directory| {
            let at = self.name(directory, path)?;
            let flags = flags | libc::O_CLOEXEC;
            loop {
                // SAFETY: the name ends with a zero byte and lives through the call, as does the directory's descriptor.
                #[expect(unsafe_code, reason = "std opens by whole paths alone")]
                let opened = unsafe { libc::openat(at.from, at.name.as_ptr(), flags, 0o600) };
                if opened >= 0 {
                    // SAFETY: the system has just made this descriptor, and nobody else has it.
                    #[expect(unsafe_code, reason = "std opens by whole paths alone")]
                    return Ok(File::from(unsafe { OwnedFd::from_raw_fd(opened) }));
                }
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        })
    }

    fn open_directory(&self, path: &Path) -> io::Result<File> {
        self.open(path, libc::O_RDONLY | libc::O_DIRECTORY)
    }

    /// Runs a call that takes a name and returns 0 or sets the error.
    fn change(&self, path: &Path, call: impl FnOnce(&Name) -> i32) -> io::Result<()> {
        self.with(|directory| outcome(call(&self.name(directory, path)?)))
    }
}

fn outcome(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl FileSystem for AnchoredFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let flags = match mode {
            OpenMode::Read => libc::O_RDONLY,
            OpenMode::ReadWrite => libc::O_RDWR,
            OpenMode::CreateNew => libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
        };
        let file = self.anchor.open(path, flags | libc::O_NOFOLLOW | libc::O_NONBLOCK)?;
        OsFile::of_regular(file)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        list(self.anchor.open_directory(dir)?)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        // SAFETY: the name ends with a zero byte and lives through the call, as does the directory's descriptor.
        #[expect(unsafe_code, reason = "std makes directories by whole paths alone")]
        self.anchor.change(dir, |at| unsafe { libc::mkdirat(at.from, at.name.as_ptr(), 0o700) })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        // SAFETY: as for `create_dir`.
        #[expect(unsafe_code, reason = "std removes by whole paths alone")]
        self.anchor.change(dir, |at| unsafe { libc::unlinkat(at.from, at.name.as_ptr(), libc::AT_REMOVEDIR) })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        // SAFETY: as for `create_dir`.
        #[expect(unsafe_code, reason = "std removes by whole paths alone")]
        self.anchor.change(path, |at| unsafe { libc::unlinkat(at.from, at.name.as_ptr(), 0) })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.anchor.with(|directory| {
            let (from, to) = (self.anchor.name(directory, from)?, self.anchor.name(directory, to)?);
            // SAFETY: as for `create_dir`, for both names.
            #[expect(unsafe_code, reason = "std renames by whole paths alone")]
            outcome(unsafe { libc::renameat(from.from, from.name.as_ptr(), to.from, to.name.as_ptr()) })
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.anchor.open_directory(dir)?.sync_all()
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn DirectoryHandle>>> {
        Ok(Some(Box::new(OsDirectory(self.anchor.open_directory(dir)?))))
    }

    fn available_space(&self, dir: &Path) -> io::Result<Option<u64>> {
        available_space(&self.anchor.open_directory(dir)?)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.anchor.with(|directory| {
            let (from, to) = (self.anchor.name(directory, from)?, self.anchor.name(directory, to)?);
            // SAFETY: as for `create_dir`, for both names.
            #[expect(unsafe_code, reason = "std links by whole paths alone")]
            outcome(unsafe { libc::linkat(from.from, from.name.as_ptr(), to.from, to.name.as_ptr(), 0) })
        })
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.anchor.open(from, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK)?;
        let target = self.anchor.open(to, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)?;
        share_blocks(&source, &target).inspect_err(|_| drop(self.remove_file(to)))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let Ok(below) = path.strip_prefix(&self.anchor.root) else { return std::fs::canonicalize(path) };
        // Whatever its name is now.
        self.anchor.with(|directory| {
            let open = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
            // Without `/proc` by its name: it has most likely kept it.
            std::fs::canonicalize(open.join(below)).or_else(|_| std::fs::canonicalize(path))
        })
    }

    fn read_link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        read_link(path)
    }

    fn is_replaced(&self) -> io::Result<bool> {
        self.anchor.with(|directory| {
            let place = |found: &std::fs::Metadata| (found.dev(), found.ino());
            match std::fs::metadata(&self.anchor.root) {
                Ok(there) => Ok(place(&there) != place(&directory.metadata()?)),
                // What cannot be looked at is not known to be another one.
                Err(_) => Ok(false),
            }
        })
    }

    fn shares_memory(&self) -> bool {
        cfg!(target_os = "linux")
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        if dir != self.anchor.root {
            return OsFileSystem.lock_dir(dir);
        }
        let path = dir.join(LockFile::NAME);
        let open = |flags| self.anchor.open(&path, flags | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let read_pid = || LockFile::read_pid(open(libc::O_RDONLY));
        if !self.anchor.with(lock_file)? {
            let pid = read_pid();
            return self
                .anchor
                .with(|directory| writer_of(directory, || pid))
                .map(|pid| DirectoryLock::Busy { pid });
        }
        // It was opened before it was locked: from here on it may be renamed, and stays what is locked.
        let is_there = self.anchor.with(|directory| is_at(directory, dir));
        match is_there.and_then(|()| LockFile::take(open(libc::O_RDWR | libc::O_CREAT))) {
            Ok(Some(file)) => Ok(DirectoryLock::Held(Box::new(Held::new(&self.anchor, Some(file))))),
            // Closing it is not enough: a process that another thread is starting has a copy of the descriptor.
            refused => {
                self.anchor.with(File::unlock)?;
                refused.map(|_| DirectoryLock::Busy { pid: read_pid() })
            }
        }
    }

    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        if dir != self.anchor.root {
            return OsFileSystem.lock_dir_shared(dir);
        }
        if !self.anchor.with(lock_file_shared)? {
            let path = dir.join(LockFile::NAME);
            let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
            return Ok(DirectoryLock::Busy { pid: LockFile::read_pid(self.anchor.open(&path, flags)) });
        }
        self.anchor.with(|directory| is_at(directory, dir))?;
        Ok(DirectoryLock::Held(Box::new(Held::new(&self.anchor, None))))
    }
}

/// An error when another directory than the one that is open stands at `path`, or none.
fn is_at(directory: &File, path: &Path) -> io::Result<()> {
    let (open, there) = (directory.metadata()?, std::fs::metadata(path)?);
    if (open.dev(), open.ino()) == (there.dev(), there.ino()) {
        return Ok(());
    }
    Err(io::Error::other("the directory got another name while it was opened"))
}

/// The lock of the directory, and the right to reach what is in it.
struct Held {
    anchor: Arc<Anchor>,
    /// Held for its drop. A lock that is shared has none.
    _file: Option<LockFile>,
    process: Process,
}

impl Held {
    fn new(anchor: &Arc<Anchor>, file: Option<LockFile>) -> Self {
        Self { anchor: Arc::clone(anchor), _file: file, process: Process::current() }
    }
}

impl Drop for Held {
    /// Closing is not enough: see [`LockFile`].
    fn drop(&mut self) {
        if !self.process.may_unlock() {
            // The lock of the anchor may be held by a thread that a child does not have.
            return;
        }
        if let Some(directory) = self.anchor.directory.write().take() {
            // Then the close that follows gives it back.
            drop(directory.unlock());
        }
    }
}
