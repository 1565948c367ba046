//! The directory of a partition: made, asked whose it is, removed.

use crate::error::{Error, Result};
use crate::format::{
    Identity, Mark, PartitionState, SegmentFile, parse_segment_file_name, parse_snapshot_file_name,
};
use crate::io::{Directory, EntryKind, OpenMode};
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::segment::{ActiveSegment, ReadMode, WriteFailure};
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
        let mark = Mark { segment: start, offset: start, position: 0 };
        let state = PartitionState {
            identity,
            log_start: start,
            sealed: Vec::new(),
            closed: Some(closed),
            cleaned_until: 0,
            pending: Vec::new(),
            obsolete: Vec::new(),
            producers_at: None,
            mark,
            sequence: 0,
        };
        StateFile::create(directory, state)
    }

    /// Whose partition a directory holds; `None` when it holds none that can be read.
    pub(crate) fn identity_in(directory: &Directory) -> Result<Option<Identity>> {
        match StateFile::read(directory) {
            Ok(file) => Ok(Some(file.state().identity)),
            Err(Error::Io { path, operation, source }) => Err(Error::Io { path, operation, source }),
            Err(_) => Ok(None),
        }
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

    /// True for a directory in which a crash cut off the making of a partition, or the end of a removal: it says of no
    /// partition, and holds no byte of a log.
    pub(crate) fn is_unfinished(directory: &Directory) -> Result<bool> {
        for entry in directory.list()? {
            let segment_file = parse_segment_file_name(&entry.name);
            let is_snapshot = parse_snapshot_file_name(&entry.name).is_some();
            let is_known = segment_file.is_some() || is_snapshot || entry.name == format!("{STATE_FILE}.new");
            if entry.kind != EntryKind::File || !is_known {
                return Ok(false);
            }
        }
        Self::is_empty(directory)
    }

    /// Removes a partition's directory. The file that says whose it is goes last: a removal that a crash cuts off is known
    /// for what it is, and ended later.
    pub(crate) fn remove_directory(directory: &Directory) -> Result<()> {
        for entry in directory.list()?.iter().filter(|entry| entry.name != STATE_FILE) {
            // A removal of segments that was under way may have been faster.
            directory.remove_if_there(&entry.name)?;
        }
        directory.sync()?;
        directory.remove_all()
    }
}
