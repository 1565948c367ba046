//! Making a repaired log the one that opens: the state file that lists its segments, then their names, then removals.
//!
//! | a kill | leaves |
//! |---|---|
//! | before the state file is replaced | a partition that is damaged as before, and `.cleaned` files that the next repair takes out |
//! | after that | one that opens: the table says which files may still be called `.cleaned`, and which are obsolete |
//! | after the state file is replaced again | nothing to do |

use crate::error::Result;
use crate::format::{
    PartitionState, SegmentFile, cleaned_log_name, parse_cleaned_log_name, segment_file_name,
};
use crate::io::Directory;
use crate::log::table::state_file::StateFile;
use crate::types::Offset;

/// Gives segments that a compaction had made part of the log their names.
pub(super) fn finish_swaps(directory: &Directory, pending: &[Offset]) -> Result<()> {
    let entries = directory.list()?;
    for base in pending {
        let name = cleaned_log_name(*base);
        if entries.iter().any(|entry| entry.name == name) {
            directory.rename(&name, &segment_file_name(*base, SegmentFile::Log))?;
        }
    }
    directory.sync()
}

/// Makes `new` what the partition is, its pending segments under their own names, and its obsolete ones gone.
pub(super) fn commit(directory: &Directory, new: PartitionState) -> Result<()> {
    directory.sync()?;
    let mut file = StateFile::create(directory, new.clone())?;
    for base in &new.pending {
        directory.rename(&cleaned_log_name(*base), &segment_file_name(*base, SegmentFile::Log))?;
        // Hints of what stood there before.
        for hint in [SegmentFile::Index, SegmentFile::TimeIndex] {
            directory.remove_if_there(&segment_file_name(*base, hint))?;
        }
    }
    directory.sync()?;
    for name in
        new.obsolete.iter().flat_map(|base| SegmentFile::ALL.map(|file| segment_file_name(*base, file)))
    {
        directory.remove_if_there(&name)?;
    }
    for entry in directory.list()?.iter().filter(|entry| parse_cleaned_log_name(&entry.name).is_some()) {
        directory.remove(&entry.name)?;
    }
    directory.sync()?;
    Ok(file.replace(PartitionState { pending: Vec::new(), obsolete: Vec::new(), ..new })?)
}
