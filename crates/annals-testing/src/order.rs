//! Orders of calls that a power cut between them would punish, seen from the calls alone: for file systems that hand on what
//! they are asked. `tests/crash/power_cut/watcher.rs` has the same rules for a disk that it knows.

#![expect(clippy::unwrap_used, reason = "a lock is poisoned after a test has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What is known of the files and names that were touched. Of others nothing is: they count as durable.
#[derive(Debug, Default)]
pub(crate) struct Order {
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<FileOrder>>,
    /// Made in a directory, and their names not synced.
    made: BTreeSet<PathBuf>,
    /// Directories in which something was renamed since their last sync.
    renaming: BTreeSet<PathBuf>,
}

/// One file, under whatever names.
#[derive(Debug)]
pub(crate) struct FileOrder {
    state: Mutex<FileState>,
}

#[derive(Debug, Default)]
struct FileState {
    len: u64,
    /// Written since its last sync.
    dirty: bool,
    /// Bytes below this belong to a sealed segment.
    sealed: u64,
}

fn is_log(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("log"))
}

/// In the call itself, so that the stack shows who made it.
#[track_caller]
fn verdict(is_wrong: bool, path: &Path, what: &str) {
    assert!(!is_wrong || std::thread::panicking(), "{}: {what}", path.display());
}

impl FileOrder {
    /// It is about to be written to.
    pub(crate) fn write(&self, path: &Path, position: u64, len: usize) {
        let mut state = self.state.lock().unwrap();
        state.dirty = true;
        state.len = state.len.max(position + len as u64);
        let is_sealed = is_log(path) && position < state.sealed;
        drop(state);
        verdict(is_sealed, path, "written to where it was sealed");
    }

    /// It is about to be cut or extended.
    pub(crate) fn set_len(&self, path: &Path, len: u64) {
        let mut state = self.state.lock().unwrap();
        state.len = len;
        let is_sealed = is_log(path) && len < state.sealed;
        drop(state);
        verdict(is_sealed, path, "cut where it was sealed");
    }

    pub(crate) fn synced(&self) {
        self.state.lock().unwrap().dirty = false;
    }

    fn is_dirty(&self) -> bool {
        self.state.lock().unwrap().dirty
    }
}

impl Order {
    /// A file was opened, or made.
    pub(crate) fn opened(&self, path: &Path, is_new: bool, len: u64) -> Arc<FileOrder> {
        let mut names = self.names.lock().unwrap();
        let new = || Arc::new(FileOrder { state: Mutex::new(FileState { len, ..FileState::default() }) });
        if is_new {
            names.made.insert(path.to_path_buf());
            names.files.insert(path.to_path_buf(), new());
        }
        Arc::clone(names.files.entry(path.to_path_buf()).or_insert_with(new))
    }

    /// A file is about to be renamed: its name may reach the disk before its bytes.
    pub(crate) fn rename(&self, from: &Path, to: &Path) {
        let names = self.names.lock().unwrap();
        let is_dirty = names.files.get(from).is_some_and(|file| file.is_dirty());
        drop(names);
        verdict(is_dirty, to, "gets its name before a sync of its bytes");
    }

    pub(crate) fn renamed(&self, from: &Path, to: &Path) {
        let mut names = self.names.lock().unwrap();
        if let Some(file) = names.files.remove(from) {
            names.files.insert(to.to_path_buf(), file);
        }
        names.made.remove(from);
        names.renaming.extend(to.parent().map(Path::to_path_buf));
        if to.file_name() == Some(OsStr::new("annals.state")) {
            names.seal_beside(to);
        }
    }

    /// A file is about to be removed: what stands for a segment must have its name for good, its own, the table's or the
    /// catalog's.
    pub(crate) fn remove(&self, path: &Path) {
        let names = self.names.lock().unwrap();
        let mut above = path.ancestors().skip(1).take(2);
        let is_early =
            is_log(path) && !names.made.contains(path) && above.any(|dir| names.renaming.contains(dir));
        drop(names);
        verdict(is_early, path, "removed before what replaces it has its name for good");
    }

    pub(crate) fn removed(&self, path: &Path) {
        let mut names = self.names.lock().unwrap();
        names.files.remove(path);
        names.made.remove(path);
    }

    pub(crate) fn synced_dir(&self, dir: &Path) {
        let mut names = self.names.lock().unwrap();
        names.made.retain(|path| path.parent() != Some(dir));
        names.renaming.remove(dir);
    }

    /// Everything in a partition was acknowledged as durable: bytes and names.
    pub(crate) fn acknowledged(&self, dir: &Path) {
        let names = self.names.lock().unwrap();
        let mut logs = names.files.iter().filter(|(path, _)| is_log(path) && path.parent() == Some(dir));
        let unsynced = logs.find(|(path, file)| file.is_dirty() || names.made.contains(*path));
        let unsynced = unsynced.map(|(path, _)| path.clone());
        drop(names);
        if let Some(path) = unsynced {
            verdict(true, &path, "acknowledged before a sync of its bytes and its name");
        }
    }
}

impl Names {
    /// A new table seals all segments but the last.
    fn seal_beside(&self, table: &Path) {
        let is_beside = |path: &&PathBuf| is_log(path) && path.parent() == table.parent();
        let logs: Vec<_> = self.files.iter().filter(|(path, _)| is_beside(path)).collect();
        for (_, file) in logs.split_last().map_or(&[][..], |(_, sealed)| sealed) {
            let mut state = file.state.lock().unwrap();
            state.sealed = state.len;
        }
    }
}
