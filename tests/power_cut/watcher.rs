//! Orders of calls that no crash may come between: looked at in every call, whatever is explored.

use std::ffi::OsStr;
use std::path::Path;

use crate::disk::{Disk, FileNode, NameChange};

const STATE: &str = "annals.state";

fn is_log(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("log"))
}

/// What gets its name must be on the disk before: the name may be there first.
pub(crate) fn rename(disk: &Disk, from: &Path, to: &Path) -> Option<String> {
    let file = disk.file(disk.find(from).ok()?).ok()?;
    (!file.is_synced()).then(|| format!("{} got its name before a sync of its bytes", to.display()))
}

/// What stands in the place of a removed segment must have its bytes and its name: its own, or the table that does not
/// list it any more, or the catalog that does not list the topic. Of a segment whose own name was not synced nothing was
/// promised.
pub(crate) fn removal(disk: &Disk, parent: usize, path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    if !is_log(path) || !disk.directory(parent).ok()?.durable.contains_key(name) {
        return None;
    }
    let above = path.parent()?.parent().and_then(|above| disk.find(above).ok());
    let mut changes = [Some(parent), above].into_iter().flatten();
    let is_renaming = changes.any(|directory| {
        disk.directory(directory)
            .is_ok_and(|names| names.changes.iter().any(|change| matches!(change, NameChange::Rename { .. })))
    });
    is_renaming
        .then(|| format!("{} is removed before what replaces it has its name for good", path.display()))
}

/// A segment's bytes stay as they were when it was sealed.
pub(crate) fn write(file: &FileNode, at: usize, path: &Path) -> Option<String> {
    (is_log(path) && at < file.sealed)
        .then(|| format!("{} is changed at {at}, sealed up to {}", path.display(), file.sealed))
}

/// A new table seals all segments but the last.
pub(crate) fn note_sealed(disk: &mut Disk, parent: usize, to: &Path) {
    if to.file_name() != Some(OsStr::new(STATE)) {
        return;
    }
    let Ok(directory) = disk.directory(parent) else { return };
    let logs: Vec<_> = directory.current.iter().filter(|(name, _)| is_log(Path::new(name))).collect();
    let sealed: Vec<_> =
        logs.split_last().map_or(&[][..], |(_, sealed)| sealed).iter().map(|(_, node)| **node).collect();
    for node in sealed {
        if let Ok(file) = disk.file_mut(node) {
            file.sealed = file.current.len();
        }
    }
}
