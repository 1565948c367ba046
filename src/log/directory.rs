//! The directory of a partition: made, asked whose it is, removed.

use crate::error::{Error, Result};
use crate::format::{
    Identity, Mark, PartitionState, SegmentFile, SegmentSummary, parse_segment_file_name,
    parse_snapshot_file_name,
};
use crate::io::{Directory, Entry, EntryKind, OpenMode};
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::table::names;
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::segment::{ActiveSegment, ReadMode, WriteFailure, empty_segment};
use crate::types::Offset;

impl Log {
    /// Makes the files of a new, empty partition in an empty directory. Everything is durable but the directory's name.
    pub(crate) fn create(directory: &Directory, identity: Identity, config: &LogConfig) -> Result<()> {
        Self::create_at(directory, identity, config, 0).map(drop)
    }

    /// The same, of one whose first record gets the offset `start`.
    pub(super) fn create_at(
        directory: &Directory,
        identity: Identity,
        config: &LogConfig,
        start: Offset,
    ) -> Result<StateFile> {
        let mut active = ActiveSegment::create(directory, start, config.segment, ReadMode::Positional)?;
        let closed = active.seal().map_err(WriteFailure::into_error)?;
        StateFile::create(directory, new_state(identity, closed))
    }

    /// What the state file of a partition says. One that was never appended to has none: its directory holds nothing, or what a crash
    /// has left of its first append.
    pub(in crate::log) fn state_in(
        directory: &Directory,
        identity: Identity,
        index_interval_bytes: u32,
    ) -> Result<StateFile> {
        if let Some(file) = StateFile::read_if_there(directory)? {
            return Ok(file);
        }
        if directory.exists()? && Self::is_new(directory)? {
            let mut state = new_state(identity, empty_segment(0, index_interval_bytes));
            // As one that was written when the partition was made: what follows has the same bytes.
            state.sequence = state.sequence.saturating_add(1);
            return Ok(StateFile::unwritten(directory, state));
        }
        // The owner of the store may have appended between the two looks.
        StateFile::read(directory)
    }

    /// Whose partition a directory holds; `None` when it holds none that can be read.
    pub(crate) fn identity_in(directory: &Directory) -> Result<Option<Identity>> {
        match StateFile::read(directory) {
            Ok(file) => Ok(Some(file.state().identity)),
            Err(Error::Io { path, operation, source }) => Err(Error::Io { path, operation, source }),
            Err(_) => Ok(None),
        }
    }

    /// The same for a repair, also where the state file tells nothing but that.
    pub(crate) fn identity_left_in(directory: &Directory) -> Result<Option<Identity>> {
        StateFile::identity_left(directory)
    }

    /// Whether a partition was ever appended to, as far as its files tell.
    pub(crate) fn had_records(directory: &Directory) -> Result<bool> {
        let file = StateFile::read(directory)?;
        let state = file.state();
        let (mark, closed) = (state.mark.offset, state.closed.map_or(0, |closed| closed.next_offset));
        if mark.max(closed).max(state.log_start) > 0 || !state.sealed.is_empty() {
            return Ok(true);
        }
        Ok(!Self::is_empty(directory)?)
    }

    /// True when no `.log` in a directory holds a byte.
    fn is_empty(directory: &Directory) -> Result<bool> {
        for entry in directory.list()? {
            let is_log =
                parse_segment_file_name(&entry.name).is_some_and(|name| name.file == SegmentFile::Log);
            if is_log && directory.open(&entry.name, OpenMode::Read)?.len()? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True for a directory in which nothing was ever written to a log: one whose records are all gone has a segment that begins after
    /// them.
    fn is_new(directory: &Directory) -> Result<bool> {
        let is_of_the_first = |entry: &Entry| {
            let of_segment = parse_segment_file_name(&entry.name).is_some_and(|name| name.base == 0);
            entry.kind == EntryKind::File && (of_segment || is_begun(&entry.name))
        };
        Ok(directory.list()?.iter().all(is_of_the_first) && Self::is_empty(directory)?)
    }

    /// True for a directory in which a crash cut off the making of a partition, or the end of a removal: it says of no
    /// partition, and holds no byte of a log.
    pub(crate) fn is_unfinished(directory: &Directory) -> Result<bool> {
        for entry in directory.list()? {
            let segment_file = parse_segment_file_name(&entry.name);
            let is_snapshot = parse_snapshot_file_name(&entry.name).is_some();
            let is_known = segment_file.is_some() || is_snapshot || is_begun(&entry.name);
            if entry.kind != EntryKind::File || !is_known {
                return Ok(false);
            }
        }
        Self::is_empty(directory)
    }

    /// Whether a state file of annals is there.
    pub(crate) fn is_of_annals(directory: &Directory) -> Result<bool> {
        Ok(directory.list()?.iter().any(|entry| entry.name == STATE_FILE))
    }

    /// The same without a look at what else is there, where that may be much.
    pub(crate) fn has_state(directory: &Directory) -> Result<bool> {
        directory.has(STATE_FILE)
    }

    /// Removes a partition's directory. The file that says whose it is goes last: a removal that a crash cuts off is known
    /// for what it is, and ended later. Where a file cannot be removed the others are, but for that one.
    pub(crate) fn remove_directory(directory: &Directory) -> Result<()> {
        let names = directory.list()?.into_iter().map(|entry| entry.name).filter(|name| name != STATE_FILE);
        // A removal of segments that was under way may have been faster.
        names::remove_each(directory, names)?;
        directory.sync()?;
        directory.remove_all()
    }
}

/// True for a file that was begun and has no name yet: it says nothing.
fn is_begun(name: &str) -> bool {
    name.strip_suffix(".new").is_some_and(|name| {
        name == STATE_FILE
            || parse_snapshot_file_name(name).is_some()
            || parse_segment_file_name(name).is_some_and(|name| name.file == SegmentFile::KeyIndex)
    })
}

/// The state of a partition without a record, whose only segment is `closed`.
fn new_state(identity: Identity, closed: SegmentSummary) -> PartitionState {
    PartitionState {
        identity,
        log_start: closed.base,
        sealed: Vec::new(),
        closed: Some(closed),
        cleaned_until: 0,
        pending: Vec::new(),
        obsolete: Vec::new(),
        producers_at: None,
        mark: Mark { segment: closed.base, offset: closed.base, position: 0 },
        sequence: 0,
    }
}
