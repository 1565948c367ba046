//! The two index files beside a `.log`. They are hints: the segment's summary holds their checksums, and a file that does
//! not fit is rebuilt from the `.log`.

use crate::error::Result;
use crate::format::{
    OffsetIndexEntry, SegmentFile, SegmentSummary, TimeIndexEntry, decode_offset_index, decode_time_index,
    encode_offset_index, encode_time_index, segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::segment::SparseIndex;
use crate::types::Offset;

/// Writes both files of the segment at `base`, whole. Nothing is synced: after a power cut a torn one fails its checksum.
pub(crate) fn write(directory: &Directory, base: Offset, index: &SparseIndex) -> Result<()> {
    let offsets = encode_offset_index(index.offsets());
    overwrite(directory, &segment_file_name(base, SegmentFile::Index), &offsets)?;
    let times = encode_time_index(index.times());
    overwrite(directory, &segment_file_name(base, SegmentFile::TimeIndex), &times)
}

/// Reads both files and checks them against the segment's summary. `None` when one is missing or another than was written.
pub(super) fn read(directory: &Directory, summary: &SegmentSummary) -> Result<Option<SparseIndex>> {
    let offsets_len = summary.index_entries as usize * OffsetIndexEntry::LEN;
    let times_len = summary.time_entries as usize * TimeIndexEntry::LEN;
    let offsets = checked(directory, summary, SegmentFile::Index, Expected(offsets_len, summary.index_crc))?;
    let times =
        checked(directory, summary, SegmentFile::TimeIndex, Expected(times_len, summary.time_index_crc))?;
    let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
    match (decode_offset_index(&offsets), decode_time_index(&times)) {
        (Ok(offsets), Ok(times)) => Ok(Some(SparseIndex::finished(summary, offsets, times))),
        _ => Ok(None),
    }
}

/// Length in bytes and CRC-32 that an index file should have.
struct Expected(usize, u32);

fn checked(
    directory: &Directory,
    summary: &SegmentSummary,
    kind: SegmentFile,
    Expected(len, crc): Expected,
) -> Result<Option<Vec<u8>>> {
    let name = segment_file_name(summary.base, kind);
    let Ok(file) = directory.open(&name, OpenMode::Read) else { return Ok(None) };
    if file.len()? != len as u64 {
        return Ok(None);
    }
    let bytes = file.read(0, len)?;
    Ok((bytes.len() == len && crc32fast::hash(&bytes) == crc).then_some(bytes))
}

fn overwrite(directory: &Directory, name: &str, bytes: &[u8]) -> Result<()> {
    directory.remove_if_there(name)?;
    directory.open(name, OpenMode::CreateNew)?.write_at(bytes, 0)
}
