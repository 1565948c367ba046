//! An open file that knows its name, so that every error says where it happened.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::seam::{FileHandle, FileSystem, OpenMode};
use super::view::View;
use crate::error::{Error, Result};

/// An open file and its path.
#[derive(Debug, Clone)]
pub(crate) struct File {
    path: Arc<Path>,
    handle: Arc<dyn FileHandle>,
}

impl File {
    pub(crate) fn open(fs: &dyn FileSystem, path: &Path, mode: OpenMode) -> Result<Self> {
        let operation = if mode == OpenMode::CreateNew { "create" } else { "open" };
        let handle = fs.open(path, mode).map_err(|e| Error::io(path, operation, e))?;
        Ok(Self { path: path.into(), handle })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.handle.len().map_err(|e| Error::io(&self.path, "read the length of", e))
    }

    /// Fills `buf` from `position` on; returns how many bytes there were when the file ends before.
    pub(crate) fn read_up_to(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.handle.read_at(rest, position.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.path, "read", e)),
            }
        }
        Ok(filled)
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
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.handle.write_at(rest, position.saturating_add(written as u64)) {
                Ok(0) => return Err(Error::io(&self.path, "write", ErrorKind::WriteZero.into())),
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.path, "write", e)),
            }
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        self.handle.set_len(len).map_err(|e| Error::io(&self.path, "cut", e))
    }

    pub(crate) fn allocate(&self, len: u64) -> Result<()> {
        self.handle.allocate(len).map_err(|e| Error::io(&self.path, "allocate space for", e))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.handle.sync_data().map_err(|e| Error::io(&self.path, "sync", e))
    }

    pub(crate) fn map(&self, len: u64) -> Result<Option<View>> {
        self.handle.map(len).map_err(|e| Error::io(&self.path, "map", e))
    }
}
