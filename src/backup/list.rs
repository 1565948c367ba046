//! The list of a backup on disk, and what a later backup finds by it.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{BackupList, Identity, SegmentSummary, partition_dir_name};
use crate::io::Directory;
use crate::types::Offset;

/// Its name.
pub(super) const LIST_FILE: &str = "annals.backup";
/// What a directory has from the first moment to the last in which a backup or a store is made in it. It is what the list is called
/// before it has its name.
pub(super) const UNFINISHED: &str = "annals.backup.new";
/// That of 10 million segments.
const MOST_BYTES: usize = 1 << 30;

/// Reads the list of the backup in `root`.
pub(super) fn read(root: &Directory) -> Result<BackupList> {
    let bytes = match root.read_file(LIST_FILE, MOST_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(Error::backup(root.path(), no_list())),
        Err(error) => return Err(error),
    };
    BackupList::decode(&bytes).map_err(|malformed| malformed.in_file(&root.join(LIST_FILE)))
}

fn no_list() -> String {
    format!("this is no backup, or one that was not finished: there is no {LIST_FILE} in it")
}

/// An error when the directory of a store that is to be opened holds a backup, or what is not finished.
pub(crate) fn refuse_backup(root: &Directory) -> Result<()> {
    let why = if root.has(LIST_FILE)? {
        format!(
            "this is a backup: restore it into another directory (annals::backup::restore, `annals restore`), or remove {LIST_FILE} \
             from it to make it the store itself"
        )
    } else {
        return refuse_unfinished(root);
    };
    Err(Error::backup(root.path(), why))
}

/// An error when the directory of a store holds what is not finished. A backup that is may be read as a store.
pub(crate) fn refuse_unfinished(root: &Directory) -> Result<()> {
    if root.has(UNFINISHED)? {
        let why = "a backup or a restore was cut off here: remove the directory, and make it again";
        return Err(Error::backup(root.path(), why));
    }
    Ok(())
}

/// The backup that a later one is made beside.
#[derive(Debug)]
pub(super) struct Parent {
    root: Directory,
    pub(super) id: u128,
    store: u128,
    segments: HashMap<(u128, u32, Offset), Kept>,
}

/// A segment in it.
#[derive(Debug)]
struct Kept {
    directory: String,
    next_offset: Offset,
    bytes: u64,
    headers_crc: u32,
}

impl Parent {
    /// The backup in a directory, of the store `store`.
    pub(super) fn find(beside: &Directory, path: &Path, store: u128) -> Result<Self> {
        let root = beside.elsewhere(path)?;
        let list = read(&root)?;
        if list.store != store {
            return Err(Error::backup(
                path,
                "it is a backup of another store, and cannot be the parent of this one",
            ));
        }
        let mut segments = HashMap::new();
        for partition in list.partitions {
            let directory = partition_dir_name(&partition.topic, partition.number);
            for one in partition.segments {
                let kept = Kept {
                    directory: directory.clone(),
                    next_offset: one.next_offset,
                    bytes: one.bytes,
                    headers_crc: one.headers_crc,
                };
                segments.insert((partition.topic_id, partition.number, one.base), kept);
            }
        }
        Ok(Self { root, id: list.id, store, segments })
    }

    /// Where it has that segment, as it is.
    pub(super) fn has(&self, identity: Identity, segment: &SegmentSummary) -> Option<Directory> {
        if identity.store != self.store {
            return None;
        }
        let kept = self.segments.get(&(identity.topic, identity.partition, segment.base))?;
        let is_same = (kept.next_offset, kept.bytes, kept.headers_crc)
            == (segment.next_offset, segment.bytes, segment.headers_crc);
        is_same.then(|| self.root.child(&kept.directory))
    }
}
