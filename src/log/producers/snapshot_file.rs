//! Snapshots of what is known of a partition's producers: `.snapshot` files, each with its own checksum.
//!
//! What one says follows from the log as long as the log has all of its records. Once some have left it, the snapshot that the state
//! file names is all that knows who has written them. So it is never removed, nor written over, before another one is there: a new
//! one is prepared under a temporary name, and named by the state file after its own name is durable.

use crate::error::{Error, Result};
use crate::format::{
    decode_producer_snapshot, encode_producer_snapshot, parse_snapshot_file_name, snapshot_file_name,
};
use crate::io::Directory;
use crate::log::producers::table::ProducerTable;
use crate::log::table::names::remove_each;
use crate::types::Offset;

/// The most that is read of one. Nobody writes more: no partition knows more than [`MOST_PRODUCERS`].
const MOST_BYTES: usize = 256 << 20;
/// How many producers a snapshot can tell of, each in 46 bytes behind a head of 10.
pub(in crate::log) const MOST_PRODUCERS: usize = if cfg!(test) { 1000 } else { (MOST_BYTES - 10) / 46 };
/// How many are kept besides the one that the state file names.
const KEPT: usize = 2;

/// Why a snapshot tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::log) struct Unreadable(pub(in crate::log) String);

/// What was known at `offset`, or why no sound file tells.
pub(in crate::log) fn look(
    directory: &Directory,
    offset: Offset,
) -> Result<std::result::Result<ProducerTable, Unreadable>> {
    let bytes = match directory.read_file(&snapshot_file_name(offset), MOST_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err(Unreadable("the file is missing".to_owned()))),
        Err(Error::Corrupt { reason, .. }) => return Ok(Err(Unreadable(reason))),
        Err(error) => return Err(error),
    };
    let entries = decode_producer_snapshot(&bytes);
    Ok(entries
        .map(|entries| ProducerTable::from_snapshot(&entries))
        .map_err(|malformed| Unreadable(malformed.to_string())))
}

/// The same; `None` when no sound file tells.
pub(in crate::log) fn read(directory: &Directory, offset: Offset) -> Result<Option<ProducerTable>> {
    look(directory, offset).map(std::result::Result::ok)
}

/// The newest sound one below `offset`, and of which offset it is.
pub(in crate::log) fn newest_below(
    directory: &Directory,
    offset: Offset,
) -> Result<Option<(Offset, ProducerTable)>> {
    let mut offsets = list(directory)?;
    offsets.retain(|one| *one < offset);
    offsets.sort_unstable();
    while let Some(one) = offsets.pop() {
        if let Some(table) = read(directory, one)? {
            return Ok(Some((one, table)));
        }
    }
    Ok(None)
}

/// Writes what is known at `offset`, synced, in the place of what stands there: that stays if it fails. Its name is durable after a
/// sync of the directory, and no state file may name it before.
pub(in crate::log) fn write(directory: &Directory, offset: Offset, table: &ProducerTable) -> Result<()> {
    let name = snapshot_file_name(offset);
    directory.prepare(&name, &encode_producer_snapshot(&table.to_snapshot()))?;
    directory.give_name(&name)
}

/// The offsets of all of them.
pub(in crate::log) fn list(directory: &Directory) -> Result<Vec<Offset>> {
    let entries = directory.list()?;
    Ok(entries.iter().filter_map(|entry| parse_snapshot_file_name(&entry.name)).collect())
}

/// Removes all of them but those of `kept`.
pub(in crate::log) fn remove_all_but(directory: &Directory, kept: &[Option<Offset>]) -> Result<()> {
    let names = list(directory)?.into_iter().filter(|offset| !kept.contains(&Some(*offset)));
    remove_each(directory, names.map(snapshot_file_name))
}

/// Removes all but the newest ones and the one that is named.
pub(in crate::log) fn remove_old(directory: &Directory, named: Offset) -> Result<()> {
    let mut offsets = list(directory)?;
    offsets.sort_unstable();
    offsets.truncate(offsets.len().saturating_sub(KEPT));
    let old = offsets.into_iter().filter(|offset| *offset != named);
    remove_each(directory, old.map(snapshot_file_name))
}
