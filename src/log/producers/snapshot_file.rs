//! Snapshots of what is known of a partition's producers: `.snapshot` files. They carry their own checksum, and what one says
//! follows from the log: a missing or damaged one costs a walk over the log.

use crate::error::Result;
use crate::format::{
    decode_producer_snapshot, encode_producer_snapshot, parse_snapshot_file_name, snapshot_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::log::producers::table::ProducerTable;
use crate::types::Offset;

/// Far more than any partition has.
const MOST_BYTES: usize = 256 << 20;
/// How many are kept besides the one that the state file names.
const KEPT: usize = 2;

/// What was known at `offset`; `None` when no sound file tells.
pub(in crate::log) fn read(directory: &Directory, offset: Offset) -> Result<Option<ProducerTable>> {
    let bytes = directory.read_file(&snapshot_file_name(offset), MOST_BYTES)?;
    let entries = bytes.and_then(|bytes| decode_producer_snapshot(&bytes).ok());
    Ok(entries.map(|entries| ProducerTable::from_snapshot(&entries)))
}

/// Writes what is known at `offset`, synced; its name is durable after a sync of the directory.
pub(in crate::log) fn write(directory: &Directory, offset: Offset, table: &ProducerTable) -> Result<()> {
    let name = snapshot_file_name(offset);
    directory.remove_if_there(&name)?;
    let file = directory.open(&name, OpenMode::CreateNew)?;
    file.write_at(&encode_producer_snapshot(&table.to_snapshot()), 0)?;
    file.sync()
}

/// The offsets of all of them.
pub(in crate::log) fn list(directory: &Directory) -> Result<Vec<Offset>> {
    let entries = directory.list()?;
    Ok(entries.iter().filter_map(|entry| parse_snapshot_file_name(&entry.name)).collect())
}

/// Removes all of them: what they tell is not what the log tells any more.
pub(in crate::log) fn remove_all(directory: &Directory) -> Result<()> {
    let names = list(directory)?.into_iter().map(snapshot_file_name);
    names.into_iter().try_for_each(|name| directory.remove_if_there(&name))
}

/// Removes all but the newest ones and the one that is named.
pub(in crate::log) fn remove_old(directory: &Directory, named: Offset) -> Result<()> {
    let mut offsets = list(directory)?;
    offsets.sort_unstable();
    offsets.truncate(offsets.len().saturating_sub(KEPT));
    let old = offsets.into_iter().filter(|offset| *offset != named);
    old.map(snapshot_file_name).try_for_each(|name| directory.remove_if_there(&name))
}
