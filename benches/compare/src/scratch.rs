//! Directories and files of the runs.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use memmap2::{Mmap, MmapMut};
use tempfile::TempDir;

use crate::harness::Outcome;

/// A directory that goes with its last holder.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(parent)?;
        Ok(Self { dir: TempDir::with_prefix_in("annals-compare-", parent)? })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A directory for one run.
    pub(crate) fn fresh(&self) -> Outcome<TempDir> {
        Ok(TempDir::new_in(self.dir.path())?)
    }
}

/// A file for reading and writing, made if there is none.
pub(crate) fn file(dir: &Path) -> Outcome<File> {
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("bare"))?)
}

/// Allocates blocks that are not written.
pub(crate) fn allocate(file: &File, len: usize) -> Outcome {
    let len = libc::off_t::try_from(len)?;
    // SAFETY: fallocate touches no memory, and `file` keeps the descriptor open.
    let code = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// Writes and syncs zeros: a sync of what is written over them has no metadata to write.
pub(crate) fn zero(file: &File, len: usize) -> Outcome {
    file.write_all_at(&vec![0; len], 0)?;
    Ok(file.sync_all()?)
}

pub(crate) fn map(file: &File) -> Outcome<Mmap> {
    // SAFETY: the file lies in a directory of this run; nobody cuts it.
    Ok(unsafe { Mmap::map(file)? })
}

pub(crate) fn map_mut(file: &File) -> Outcome<MmapMut> {
    // SAFETY: as for `map`.
    Ok(unsafe { MmapMut::map_mut(file)? })
}

/// Bytes that a directory's files take on the disk: allocated blocks, not lengths.
pub(crate) fn disk_bytes(dir: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { disk_bytes(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(sum)
}
