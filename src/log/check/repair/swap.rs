//! Making a repaired log the one that opens: the state file that lists its segments, then their names, then removals.
//!
//! | a kill | leaves |
//! |---|---|
//! | before the state file is replaced | a partition that is damaged as before, and `.cleaned` files that the next repair takes out |
//! | after that | one that opens: the table says which files may still be called `.cleaned`, and which are obsolete |
//! | after the state file is replaced again | nothing to do |

use crate::error::Result;
use crate::format::{PartitionState, cleaned_log_name, parse_cleaned_log_name};
use crate::io::Directory;
use crate::log::table::names;
use crate::log::table::state_file::{ReplaceFailure, StateFile};
use crate::segment::{LogFile, ReadMode};
use crate::types::Offset;

/// Gives segments that a compaction had made part of the log their names.
pub(super) fn finish_swaps(directory: &Directory, pending: &[Offset]) -> Result<()> {
    let entries = directory.list()?;
    let is_there = |base: &Offset| entries.iter().any(|entry| entry.name == cleaned_log_name(*base));
    give_names(directory, &pending.iter().copied().filter(is_there).collect::<Vec<_>>())?;
    directory.sync()
}

fn give_names(directory: &Directory, bases: &[Offset]) -> Result<()> {
    let file = |base| LogFile::lazy(directory.clone(), cleaned_log_name(base), ReadMode::Positional);
    let files: Vec<_> = bases.iter().map(|base| (*base, file(*base))).collect();
    names::finish_swaps(&directory.names()?, files.iter().map(|(base, file)| (*base, file)))
}

/// Makes `new` what the partition is, its pending segments under their own names, and its obsolete ones gone.
pub(super) fn commit(directory: &Directory, new: PartitionState) -> Result<()> {
    directory.sync()?;
    let mut file = StateFile::create(directory, new.clone())?;
    give_names(directory, &new.pending)?;
    // Hints of what stood there before.
    new.pending.iter().try_for_each(|base| names::remove_derived(directory, *base))?;
    directory.sync()?;
    names::remove_segments(directory, &new.obsolete).outcome?;
    for entry in directory.list()?.iter().filter(|entry| parse_cleaned_log_name(&entry.name).is_some()) {
        directory.remove(&entry.name)?;
    }
    directory.sync()?;
    let done = PartitionState { pending: Vec::new(), obsolete: Vec::new(), ..new };
    file.replace(done).map_err(ReplaceFailure::into_error)
}
