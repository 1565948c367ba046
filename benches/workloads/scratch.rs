//! Files of the bare rows, and where all files are.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::rc::Rc;

use memmap2::{Mmap, MmapMut};
use tempfile::TempDir;

use crate::harness::Outcome;

/// A directory that goes with its last holder.
#[derive(Clone)]
pub(crate) struct Scratch {
    dir: Rc<TempDir>,
}

impl Scratch {
    pub(crate) fn new(parent: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(parent)?;
        Ok(Self { dir: Rc::new(TempDir::with_prefix_in("annals-bench-", parent)?) })
    }

    /// A directory for one run.
    pub(crate) fn fresh(&self) -> Outcome<TempDir> {
        Ok(TempDir::new_in(self.dir.path())?)
    }

    /// A new empty file whose name is gone already: its pages go when it is closed.
    pub(crate) fn file(&self) -> Outcome<File> {
        let path = self.dir.path().join("bare");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    }

    /// A file of `len` bytes, allocated and not written.
    pub(crate) fn allocated(&self, len: usize) -> Outcome<File> {
        let file = self.file()?;
        let len = libc::off_t::try_from(len)?;
        // SAFETY: fallocate touches no memory, and `file` keeps the descriptor open.
        #[expect(unsafe_code, reason = "std has no fallocate")]
        let code = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) };
        if code == 0 { Ok(file) } else { Err(std::io::Error::last_os_error().into()) }
    }

    /// A file of `len` zeros, written and synced: a sync of what is written over them has no metadata to write.
    pub(crate) fn zeros(&self, len: usize) -> Outcome<File> {
        use std::os::unix::fs::FileExt;
        let file = self.file()?;
        file.write_all_at(&vec![0; len], 0)?;
        file.sync_all()?;
        Ok(file)
    }
}

pub(crate) fn map(file: &File) -> Outcome<Mmap> {
    // SAFETY: the file has no name, so nobody cuts it.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    let map = unsafe { Mmap::map(file)? };
    Ok(map)
}

pub(crate) fn map_mut(file: &File) -> Outcome<MmapMut> {
    // SAFETY: as for `map`.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    let map = unsafe { MmapMut::map_mut(file)? };
    Ok(map)
}
