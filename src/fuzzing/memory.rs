//! The files of a store in memory, as the fuzz targets edit them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::doubles::{Image, MemoryFileSystem};
use crate::io::FileSystem;

/// What no file may grow beyond: the input decides how much is asked for.
const MOST_BYTES: u64 = 64 << 20;

/// The content of every file, by path.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Files and directories. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    disk: MemoryFileSystem,
}

impl Memory {
    /// A disk with these files, all of them durable.
    pub(super) fn with(files: Files) -> Self {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let files = files.into_iter().map(|(path, bytes)| (text(path), bytes.into())).collect();
        let disk = MemoryFileSystem::over(&Image::new(files));
        disk.limit_files(MOST_BYTES);
        Self { disk }
    }

    /// What a store is put on.
    pub(super) fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.disk.clone())
    }

    /// What is there now, and what a killed process leaves.
    pub(super) fn files(&self) -> Files {
        owned(self.disk.files())
    }

    /// What a power cut leaves when everything that was not synced is lost.
    pub(super) fn durable_files(&self) -> Files {
        owned(self.disk.durable_files())
    }
}

fn owned(files: BTreeMap<String, Arc<[u8]>>) -> Files {
    files.into_iter().map(|(path, bytes)| (path.into(), bytes.to_vec())).collect()
}
