//! An open file that knows its name, so that every error says where it happened.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::caught::caught;
use super::pool::{Effect, FilePool, PooledFile};
use super::process::Process;
use super::seam::{FileHandle, OpenMode};
use super::shared::SharedMemory;
use super::view::View;
use crate::error::{Error, Result};

/// An open file and its path.
#[derive(Debug, Clone)]
pub(crate) struct File {
    source: Source,
}

/// Why bytes were not written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    /// The file was not to be had, for want of a descriptor perhaps: it is as it was.
    Before(Error),
    /// Any part of them may be in the file.
    Partly(Error),
}

/// Where a file's descriptor is.
#[derive(Debug, Clone)]
enum Source {
    /// Its own, as long as the file is held.
    Own { path: Arc<Path>, handle: Arc<dyn FileHandle>, process: Process },
    /// Shared with others, one at a time.
    Pooled(Arc<PooledFile>),
}

impl File {
    pub(super) fn open(pool: &FilePool, path: &Path, mode: OpenMode) -> Result<Self> {
        let operation = if mode == OpenMode::CreateNew { "create" } else { "open" };
        let opened = pool.with_descriptors(|| pool.fs.open(path, mode));
        let handle = opened.map_err(|e| Error::io(path, operation, e))?;
        Ok(Self { source: Source::Own { path: path.into(), handle, process: Process::current() } })
    }

    pub(super) fn pooled(file: Arc<PooledFile>) -> Self {
        Self { source: Source::Pooled(file) }
    }

    pub(crate) fn path(&self) -> &Path {
        match &self.source {
            Source::Own { path, .. } => path,
            Source::Pooled(file) => file.path(),
        }
    }

    #[inline(always)]
    fn with<T>(
        &self,
        operation: &'static str,
        effect: Effect,
        call: impl FnOnce(&dyn FileHandle) -> io::Result<T>,
    ) -> Result<T> {
        let call = |handle: &dyn FileHandle| call(handle).map_err(|e| Error::io(self.path(), operation, e));
        match &self.source {
            Source::Own { path, handle, process } => {
                if effect == Effect::Writes {
                    process.check(path)?;
                }
                call(&**handle)
            }
            Source::Pooled(file) => file.with(effect, call),
        }
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.with("read the length of", Effect::Reads, |handle| handle.len())
    }

    /// Fills `buf` from `position` on; returns how many bytes there were when the file ends before.
    pub(crate) fn read_up_to(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        self.with("read", Effect::Reads, |handle| {
            let mut filled = 0;
            while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match handle.read_at(rest, position.saturating_add(filled as u64)) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(filled)
        })
    }

    /// Up to `len` bytes from `position` on, fewer when the file ends before.
    pub(crate) fn read(&self, position: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let filled = self.read_up_to(&mut bytes, position)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes all of `bytes` at `position`. On an error any part of them may be in the file.
    pub(crate) fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        self.write(bytes, position).map_err(|unwritten| match unwritten {
            Unwritten::Before(error) | Unwritten::Partly(error) => error,
        })
    }

    /// The same, and an error says whether the file has changed.
    #[inline]
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> Result<(), Unwritten> {
        let mut is_begun = false;
        let outcome = self.with("write", Effect::Writes, |handle| {
            is_begun = true;
            let mut written = 0;
            while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                match handle.write_at(rest, position.saturating_add(written as u64)) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(n) => written += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        });
        outcome.map_err(|error| self.unwritten(is_begun, error))
    }

    #[cold]
    fn unwritten(&self, is_begun: bool, error: Error) -> Unwritten {
        // After a failed sync nobody knows what the file holds, whether it is written to or not.
        if is_begun || self.has_failed() { Unwritten::Partly(error) } else { Unwritten::Before(error) }
    }

    fn has_failed(&self) -> bool {
        match &self.source {
            Source::Own { .. } => false,
            Source::Pooled(file) => file.has_failed(),
        }
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        self.with("cut", Effect::Writes, |handle| handle.set_len(len))
    }

    pub(crate) fn allocate(&self, len: u64) -> Result<()> {
        self.with("allocate space for", Effect::Writes, |handle| handle.allocate(len))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        match &self.source {
            Source::Own { path, handle, process } => {
                process.check(path)?;
                handle.sync_data().map_err(|e| Error::io(path, "sync", e))
            }
            Source::Pooled(file) => file.sync(),
        }
    }

    /// Small writes may be stored into a map: see [`FileHandle::map_small_writes`].
    pub(crate) fn map_small_writes(&self) {
        match &self.source {
            Source::Own { handle, .. } => handle.map_small_writes(),
            Source::Pooled(file) => file.map_small_writes(),
        }
    }

    /// See [`FileHandle::share`].
    pub(crate) fn share(&self, position: u64, len: usize) -> Result<Option<SharedMemory>> {
        self.with("share", Effect::Writes, |handle| handle.share(position, len))
    }

    /// See [`FileHandle::try_lock_byte`].
    pub(crate) fn try_lock_byte(&self, at: u64) -> Result<bool> {
        self.with("lock a byte of", Effect::Reads, |handle| handle.try_lock_byte(at))
    }

    /// See [`FileHandle::unlock_byte`]. Called where things are dropped, perhaps by a panic already.
    pub(crate) fn unlock_byte(&self, at: u64) -> Result<()> {
        caught(|| self.with("unlock a byte of", Effect::Reads, |handle| handle.unlock_byte(at)))
    }

    /// See [`FileHandle::is_byte_locked`].
    pub(crate) fn is_byte_locked(&self, at: u64) -> Result<bool> {
        self.with("look for locks of", Effect::Reads, |handle| handle.is_byte_locked(at))
    }

    pub(crate) fn map(&self, len: u64) -> Result<Option<View>> {
        self.with("map", Effect::Reads, |handle| handle.map(len))
    }

    /// The same for who looks at single places.
    pub(crate) fn map_for_points(&self, len: u64) -> Result<Option<View>> {
        self.with("map", Effect::Reads, |handle| handle.map_for_points(len))
    }
}
