//! The names of the files that travel with a segment. What renames or removes a segment does it here, so that one more file
//! per segment is one more [`SegmentFile`].

use crate::error::Result;
use crate::format::{
    SegmentFile, cleaned_log_name, parse_cleaned_log_name, parse_segment_file_name, parse_snapshot_file_name,
    segment_file_name, snapshot_file_name,
};
use crate::io::{Directory, NEW, Names};
use crate::log::log::Log;
use crate::segment::LogFile;
use crate::types::Offset;

impl Log {
    /// Makes the names of the directory durable. The want of a descriptor to begin with changes nothing, a failure of the sync does.
    pub(in crate::log) fn sync_names(&self) -> Result<()> {
        self.directory.names()?.sync().map_err(|error| self.poison_with(error))
    }

    /// Removes every file that is part of nothing. Called by who keeps others from rewriting.
    pub(in crate::log) fn remove_unfinished(&self) -> Result<()> {
        // Whoever has it may be writing what is known of producers.
        let _writer = self.writer.lock();
        // After a failure of which nobody knows what it left, a segment of the log may have its temporary name.
        self.check_poison()?;
        remove_unfinished(&self.directory)?;
        self.upkeeps.note_finished();
        Ok(())
    }

    /// Removes what was written of a segment that does not become part of the log. What cannot be removed now is owed.
    pub(in crate::log) fn throw_away(&self, bases: &[Offset]) {
        if remove_cleaned(&self.directory, bases).is_err() {
            self.upkeeps.note_unfinished();
        }
    }
}

/// Gives rewritten segments, which the state file lists already, their own names, durably. The files are held open
/// meanwhile: nobody who reads one looks for it under a name that it no longer has.
pub(in crate::log) fn finish_swaps<'a>(
    names: &Names<'_>,
    unnamed: impl IntoIterator<Item = (Offset, &'a LogFile)>,
) -> Result<()> {
    let mut is_any = false;
    for (base, file) in unnamed {
        // What was derived from the file that had the name tells of records that are gone. Where it stays, readers find that it is
        // not of this file.
        drop(names.directory().remove_if_there(&segment_file_name(base, SegmentFile::KeyIndex)));
        file.rename(&segment_file_name(base, SegmentFile::Log))?;
        is_any = true;
    }
    if is_any { names.sync() } else { Ok(()) }
}

/// What became of files that were to go.
pub(in crate::log) struct Removed {
    /// Segments of which no file is left.
    pub(in crate::log) gone: Vec<Offset>,
    /// The first failure.
    pub(in crate::log) outcome: Result<()>,
}

/// Removes all files of segments that are no longer part of the log, and what was being written of them when something failed. One that
/// cannot be removed keeps no other.
pub(in crate::log) fn remove_segments(directory: &Directory, bases: &[Offset]) -> Removed {
    let mut removed = Removed { gone: Vec::new(), outcome: Ok(()) };
    for base in bases {
        match remove_each(directory, files_of(*base)) {
            Ok(()) => removed.gone.push(*base),
            failed => removed.outcome = removed.outcome.and(failed),
        }
    }
    removed
}

/// The names that files of a segment may have.
fn files_of(base: Offset) -> impl Iterator<Item = String> {
    let whole = SegmentFile::ALL.map(|file| segment_file_name(base, file));
    let [log, keys] = [SegmentFile::Log, SegmentFile::KeyIndex].map(|file| segment_file_name(base, file));
    whole.into_iter().chain([log, keys, snapshot_file_name(base)].map(|name| name + NEW))
}

/// Removes as many of these files as can be removed. The first failure is returned.
pub(in crate::log) fn remove_each(
    directory: &Directory,
    names: impl IntoIterator<Item = String>,
) -> Result<()> {
    let mut outcome = Ok(());
    for name in names {
        outcome = outcome.and(directory.remove_if_there(&name));
    }
    outcome
}

/// The names of what is derived from a `.log`, be it there or not.
pub(in crate::log) fn derived(base: Offset) -> impl Iterator<Item = String> {
    let derived = SegmentFile::ALL.into_iter().filter(|file| *file != SegmentFile::Log);
    derived.map(move |file| segment_file_name(base, file))
}

/// Removes what was derived from a `.log` that another has taken the place of: as much as can be removed.
pub(in crate::log) fn remove_derived(directory: &Directory, base: Offset) -> Result<()> {
    remove_each(directory, derived(base))
}

/// Removes every file that was being written when something failed, and is part of nothing. Whoever calls it makes sure that
/// none is being written.
fn remove_unfinished(directory: &Directory) -> Result<()> {
    let names = directory.list()?.into_iter().map(|entry| entry.name);
    let is_unfinished = |name: &String| is_half_written(name) || parse_cleaned_log_name(name).is_some();
    remove_each(directory, names.filter(is_unfinished))
}

/// Whether it is the temporary name of a file of a segment, or of a snapshot, that gets its own when all of it is there.
pub(in crate::log) fn is_half_written(name: &str) -> bool {
    let is_ours = |name| parse_segment_file_name(name).is_some() || parse_snapshot_file_name(name).is_some();
    name.strip_suffix(NEW).is_some_and(is_ours)
}

/// Removes rewritten segments that did not become part of the log.
pub(in crate::log) fn remove_cleaned(directory: &Directory, bases: &[Offset]) -> Result<()> {
    remove_each(directory, bases.iter().map(|base| cleaned_log_name(*base)))
}
