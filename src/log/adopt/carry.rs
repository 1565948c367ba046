//! Bringing the files of a log over into the directory of a new partition.
//!
//! The directory says from its first file on whose it is, so whatever a crash leaves of it is known for what it is. The state file
//! that lists the segments comes last; until the partition's topic is listed, nothing of it exists for anybody.

use crate::error::Result;
use crate::format::{Identity, PartitionState, SegmentFile, segment_file_name};
use crate::io::{Directory, Link, OpenMode};
use crate::log::adopt::inspect::{Adoptee, Inspected};
use crate::log::adopt::source::refusal;
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::producers::snapshot_file;
use crate::log::table::state_file::ReplaceFailure;
use crate::segment::{with_aborted, write_indexes};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

impl Log {
    /// Makes a partition of a log that was looked through, in an empty directory. Everything is durable but the directory's
    /// name. Returns how many bytes were copied.
    pub(crate) fn adopt(
        directory: &Directory,
        identity: Identity,
        config: &LogConfig,
        (log, link): (&Adoptee, Option<Link>),
    ) -> Result<u64> {
        let mut file = Self::create_at(directory, identity, config, log.end)?;
        let mut copied = 0;
        let mut sealed = Vec::new();
        for one in &log.files {
            copied += bring(directory, one, (&log.directory, link))?;
            // Indexes are hints; without them the next reader walks the batch headers.
            drop(write_indexes(directory, one.summary.base, &one.index));
            sealed.push(with_aborted(directory, one.summary, &one.aborted));
        }
        let producers_at = (!log.producers.is_empty()).then_some(log.end);
        if producers_at.is_some() {
            snapshot_file::write(directory, log.end, &log.producers)?;
        }
        let state = PartitionState {
            log_start: log.start,
            sealed,
            cleaned_until: log.cleaned_until,
            producers_at,
            ..file.state().clone()
        };
        file.replace(state).map_err(ReplaceFailure::into_error)?;
        Ok(copied)
    }
}

/// Brings one file over, synced. Returns how many bytes were copied.
fn bring(directory: &Directory, one: &Inspected, (from, link): (&Directory, Option<Link>)) -> Result<u64> {
    let name = segment_file_name(one.summary.base, SegmentFile::Log);
    let changed = |position| {
        let reason = "it has changed since it was looked through: take it when nobody writes to it";
        Err(refusal(from.join(&one.name), (position, None), reason.to_owned()))
    };
    // What is behind the last batch cannot be cut off a file that is somebody else's too.
    if let Some(link) = link.filter(|_| !one.has_tail)
        && directory.link(from, &one.name, (&name, link))?
    {
        let file = directory.open(&name, OpenMode::Read)?;
        let len = file.len()?;
        if len != one.summary.bytes {
            return changed(len.min(one.summary.bytes));
        }
        return file.sync().map(|()| 0);
    }
    let source = from.open(&one.name, OpenMode::Read)?;
    let target = directory.open(&name, OpenMode::CreateNew)?;
    let mut content = crc32fast::Hasher::new();
    let mut position = 0;
    while position < one.summary.bytes {
        let want = usize::try_from(one.summary.bytes - position).unwrap_or(CHUNK).min(CHUNK);
        let bytes = source.read(position, want)?;
        if bytes.is_empty() {
            return changed(position);
        }
        content.update(&bytes);
        target.write_at(&bytes, position)?;
        position += bytes.len() as u64;
    }
    if content.finalize() != one.content {
        return changed(0);
    }
    target.sync()?;
    Ok(position)
}
