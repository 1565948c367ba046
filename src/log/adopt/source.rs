//! Which files of a directory are a log. A state file of annals says so; without one their names do.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::{
    SegmentFile, SegmentSummary, cleaned_log_name, parse_segment_file_name, segment_file_name,
};
use crate::io::Directory;
use crate::log::adopt::inspect::Inspection;
use crate::log::open::recovery::{Examine, Examined, LastClose, examine};
use crate::log::open::report::TornTail;
use crate::log::producers::table::ProducerTable;
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::segment::{ReadMode, Scan};
use crate::types::{Offset, TopicPartition};

/// A log as it lies in a directory.
pub(super) struct Source {
    /// Oldest first; none is listed that holds nothing.
    pub(super) files: Vec<SourceFile>,
    /// Where its state file says that it starts.
    pub(super) start: Option<Offset>,
    /// It ends here or after.
    pub(super) end: Offset,
    /// What its state file and snapshots tell of its producers.
    pub(super) producers: Option<ProducerTable>,
    pub(super) cleaned_until: Offset,
    /// What is behind its last whole batch and was never synced.
    pub(super) torn: Option<TornTail>,
}

/// One `.log` of it.
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) base: Offset,
    /// Where the next one begins; the largest offset of all after the last.
    pub(super) until: Offset,
    /// What the state file knows of it.
    pub(super) summary: Option<SegmentSummary>,
    /// How many of its bytes count, where that is known.
    pub(super) bytes: Option<u64>,
}

impl Source {
    /// Looks into `directory` and changes nothing in it.
    pub(super) fn find(directory: &Directory, how: Inspection) -> Result<Self> {
        let names: Vec<_> = directory.list()?.into_iter().map(|entry| entry.name).collect();
        if names.is_empty() && how.is_of_annals {
            let (start, producers) = (Some(0), Some(ProducerTable::default()));
            return Ok(Self { files: Vec::new(), start, end: 0, producers, cleaned_until: 0, torn: None });
        }
        if !names.iter().any(|name| name == STATE_FILE) {
            return Self::by_names(directory, &names);
        }
        let identity = StateFile::read(directory).map_err(refused)?.state().identity;
        let index_interval_bytes = how.index_interval_bytes;
        let how = Examine { read_mode: ReadMode::Positional, index_interval_bytes };
        let place = TopicPartition::new(directory.path().to_string_lossy(), identity.partition);
        examine(directory, identity, &place, how).map(Self::by_state).map_err(refused)
    }

    fn by_names(directory: &Directory, names: &[String]) -> Result<Self> {
        if let Some(swap) = names.iter().find(|name| name.ends_with(".log.swap")) {
            let reason = "a broker was stopped while this file was to take the place of others: start the broker and stop it \
                          in order, or wait until the file is gone, and take the directory then";
            return Err(refusal(directory.join(swap), (0, None), reason.to_owned()));
        }
        let parsed = names.iter().filter_map(|name| parse_segment_file_name(name));
        let mut bases: Vec<_> =
            parsed.filter(|name| name.file == SegmentFile::Log).map(|name| name.base).collect();
        bases.sort_unstable();
        let Some(last) = bases.last().copied() else {
            let reason = "it holds no .log file: give the directory of one partition, such as `orders-0` in the log \
                          directory of a broker";
            return Err(refusal(directory.path().to_path_buf(), (0, None), reason.to_owned()));
        };
        let file = |(at, base): (usize, &Offset)| SourceFile {
            name: segment_file_name(*base, SegmentFile::Log),
            base: *base,
            until: bases.get(at + 1).copied().unwrap_or(Offset::MAX),
            summary: None,
            bytes: None,
        };
        let files = bases.iter().enumerate().map(file).collect();
        Ok(Self { files, start: None, end: last, producers: None, cleaned_until: 0, torn: None })
    }

    fn by_state(found: Examined) -> Self {
        let state = found.state.state();
        let listed = |summary: &SegmentSummary| SourceFile {
            name: match found.leftovers.pending.contains(&summary.base) {
                true => cleaned_log_name(summary.base),
                false => segment_file_name(summary.base, SegmentFile::Log),
            },
            base: summary.base,
            until: summary.next_offset,
            summary: Some(*summary),
            bytes: Some(summary.bytes),
        };
        let scanned = |scan: &Scan| SourceFile {
            name: segment_file_name(scan.tally.base, SegmentFile::Log),
            base: scan.tally.base,
            until: scan.tally.next_offset,
            summary: None,
            bytes: Some(scan.tally.bytes),
        };
        let mut files: Vec<_> = state.sealed.iter().chain(&state.closed).map(listed).collect();
        if let LastClose::Unclean(scans) = &found.last_close {
            files.extend(scans.iter().map(scanned));
        }
        files.retain(|file| file.bytes != Some(0));
        Self {
            files,
            start: Some(state.log_start),
            end: found.end,
            cleaned_until: state.cleaned_until,
            torn: found.report.torn,
            producers: Some(found.producers),
        }
    }
}

/// An error that says which byte of which file is in the way, and what to do.
pub(super) fn refusal(path: PathBuf, (position, offset): (u64, Option<Offset>), reason: String) -> Error {
    Error::CannotAdopt { path, position, offset, reason }
}

/// What damage of the source comes to. Other failures are what they are.
pub(super) fn refused(error: Error) -> Error {
    match error {
        Error::Corrupt { path, position, offset, reason, .. } => {
            let reason = format!(
                "{reason}: take a sound copy, or repair the store that it comes from and take it then"
            );
            refusal(path, (position, offset), reason)
        }
        error => error,
    }
}
