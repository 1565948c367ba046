//! The locks of a directory, and the file that says who has it locked.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::process::Process;

/// The lock of a directory, beside others.
pub(super) struct HeldShared {
    pub(super) locked: File,
    pub(super) process: Process,
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
pub(super) struct Held {
    /// Held for its drop.
    pub(super) _file: LockFile,
    pub(super) directory: Option<File>,
    pub(super) process: Process,
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
