//! Writing the segments of a repaired log: what is whole stays as it is, of the others a new file takes what is sound.

use crate::error::{Error, Result};
use crate::format::{SegmentFile, SegmentSummary, segment_file_name};
use crate::io::{Directory, OpenMode};
use crate::log::check::repair::endings::Marker;
use crate::log::check::repair::inventory::Source;
use crate::log::write::append_times::AppendTimes;
use crate::segment::{NewSegment, Salvage};
use crate::types::{NO_TIMESTAMP, Offset};

/// A segment, and what is to stay of it.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) salvage: Salvage,
    /// What is put into the place of what is lost, in the order of offsets.
    pub(super) markers: Vec<Marker>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.salvage.kept.is_empty() && self.markers.is_empty()
    }

    /// Where the next offset of it would be.
    pub(super) fn reached(&self) -> Offset {
        let marker = self.markers.last().map_or(0, |marker| marker.header.next_offset());
        self.salvage.tally.next_offset.max(marker)
    }
}

/// The segments of the repaired log.
pub(super) struct Table {
    pub(super) sealed: Vec<SegmentSummary>,
    /// Bases of those that were written again, and have temporary names.
    pub(super) pending: Vec<Offset>,
    /// Somebody with an id has written.
    pub(super) has_producers: bool,
}

/// Writes those of `found` anew, under their temporary names, that are not whole. `now` is when segments that nothing tells
/// of were written.
pub(super) fn write_anew(
    directory: &Directory,
    found: &[Found],
    interval_bytes: u32,
    now: i64,
) -> Result<Table> {
    let mut table = Table { sealed: Vec::new(), pending: Vec::new(), has_producers: false };
    for one in found {
        let Found { source, salvage, markers } = one;
        let times = match &source.summary {
            Some(summary) => AppendTimes::of(summary),
            None => AppendTimes::found(salvage.tally.first_timestamp, now),
        };
        let ends_any =
            !markers.is_empty() || salvage.kept.iter().any(|kept| kept.header.attributes.is_control());
        table.has_producers |= salvage.kept.iter().any(|kept| kept.header.producer_id >= 0);
        if salvage.is_whole() {
            let summary = source.summary.unwrap_or_else(|| times.on(salvage.summary()));
            table.sealed.push(summary.aborted_unknown(ends_any));
            continue;
        }
        let name = segment_file_name(source.base, SegmentFile::Log);
        let file = match salvage.kept.is_empty() {
            true => None,
            false => Some(directory.open(&name, OpenMode::Read)?),
        };
        let of_markers: usize = markers.iter().map(|marker| marker.batch.len()).sum();
        directory.check_space(salvage.tally.bytes + of_markers as u64)?;
        let mut new = NewSegment::begin(directory, source.base, interval_bytes)?;
        let mut markers = markers.iter().peekable();
        for (kept, file) in salvage.kept.iter().zip(file.iter().cycle()) {
            let is_before = |marker: &&Marker| marker.header.base_offset < kept.header.base_offset;
            while let Some(marker) = markers.next_if(is_before) {
                new.append(&marker.header, &marker.batch)?;
            }
            let mut batch = file.read(kept.position, kept.header.total_len())?;
            if kept.is_mended {
                let written = kept.header.encode_into(&mut batch);
                written.map_err(|malformed| Error::invalid(malformed.to_string()))?;
            }
            new.append(&kept.header, &batch)?;
        }
        markers.try_for_each(|marker| new.append(&marker.header, &marker.batch))?;
        let until = source.summary.map_or(one.reached(), |summary| summary.next_offset);
        let Some(finished) = new.finish(until)? else { continue };
        let delete_horizon = source.summary.map_or(NO_TIMESTAMP, |s| s.delete_horizon);
        let summary = SegmentSummary { delete_horizon, ..times.on(finished.summary) };
        table.sealed.push(summary.aborted_unknown(ends_any));
        table.pending.push(source.base);
    }
    Ok(table)
}
