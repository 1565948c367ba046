//! The files of a damaged partition: which of them are part of the log, which are missing, which belong to nothing.

use crate::error::Result;
use crate::format::{
    Mark, PartitionState, SegmentFile, SegmentSummary, parse_cleaned_log_name, parse_segment_file_name,
    segment_file_name,
};
use crate::io::{Directory, OpenMode};
use crate::types::Offset;

/// A `.log` that is looked through.
pub(super) struct Source {
    pub(super) base: Offset,
    pub(super) summary: Option<SegmentSummary>,
    pub(super) until: Offset,
    /// Nothing is missing in it, as far as the state file can be believed.
    pub(super) was_gapless: bool,
    /// Where the batch of an offset must begin, of a segment without a summary.
    pub(super) mark: Option<Mark>,
    /// Whether it is part of the log only if it joins the one before.
    pub(super) must_join: bool,
}

impl Source {
    /// A segment of the table that has no file.
    pub(super) fn of_missing(summary: SegmentSummary) -> Self {
        let (base, until, was_gapless) = (summary.base, summary.next_offset, !summary.is_sparse);
        Self { base, summary: Some(summary), until, was_gapless, mark: None, must_join: false }
    }

    /// The segment of which a part is known to be on the disk, and that has no file, where another one follows it: a crash has cut off an
    /// open that had put the rest of it there.
    pub(super) fn of_missing_mark(state: &PartitionState, sources: &[Self]) -> Option<Self> {
        let Mark { segment: base, offset, .. } = state.mark;
        let is_there = sources.iter().any(|source| source.base == base);
        let is_missing = state.closed.is_none() && base < offset && !is_there;
        let next = sources.iter().map(|source| source.base).find(|next| is_missing && *next > base)?;
        let (until, was_gapless, must_join) = (offset.min(next), true, false);
        Some(Self { base, summary: None, until, was_gapless, mark: None, must_join })
    }

    /// A segment of the table. The last one of a clean close cannot grow: if it did, the state file is an earlier one.
    fn listed(
        directory: &Directory,
        summary: SegmentSummary,
        closed: Option<SegmentSummary>,
    ) -> Result<Self> {
        let name = segment_file_name(summary.base, SegmentFile::Log);
        let len = directory.open(&name, OpenMode::Read)?.len()?;
        let (base, until, was_gapless) = (summary.base, summary.next_offset, !summary.is_sparse);
        if closed != Some(summary) || len <= summary.bytes {
            let summary = Some(summary);
            return Ok(Self { base, summary, until, was_gapless, mark: None, must_join: false });
        }
        let mark = Some(Mark { segment: base, offset: until, position: summary.bytes });
        Ok(Self { base, summary: None, until: Offset::MAX, was_gapless, mark, must_join: false })
    }
}

/// What a repair has to do with.
pub(super) struct Inventory {
    /// The files to look through, in order.
    pub(super) sources: Vec<Source>,
    /// Segments of the table that have no file.
    pub(super) missing: Vec<SegmentSummary>,
    /// Names of files that belong to nothing.
    pub(super) strangers: Vec<String>,
}

impl Inventory {
    /// What is there, as far as the state file tells what it should be.
    pub(super) fn of(directory: &Directory, state: Option<&PartitionState>) -> Result<Self> {
        let entries = directory.list()?;
        let mut bases: Vec<Offset> = entries
            .iter()
            .filter_map(|entry| parse_segment_file_name(&entry.name))
            .filter(|name| name.file == SegmentFile::Log)
            .map(|name| name.base)
            .collect();
        bases.sort_unstable();
        let cleaned = entries.iter().filter(|entry| parse_cleaned_log_name(&entry.name).is_some());
        let mut strangers: Vec<_> = cleaned.map(|entry| entry.name.clone()).collect();
        let (mut sources, mut missing) = (Vec::new(), Vec::new());
        let known: Vec<_> = state.iter().flat_map(|state| state.sealed.iter().chain(&state.closed)).collect();
        for summary in &known {
            if bases.contains(&summary.base) {
                let closed = state.and_then(|state| state.closed);
                sources.push(Source::listed(directory, **summary, closed)?);
            } else {
                missing.push(**summary);
            }
        }
        let from = known.last().map(|last| last.next_offset).or(state.map(|state| state.mark.segment));
        let is_closed = state.is_some_and(|state| state.closed.is_some());
        for (at, base) in bases.iter().copied().enumerate() {
            let is_known = known.iter().any(|summary| summary.base == base);
            if is_known || state.is_some_and(|state| state.obsolete.contains(&base)) {
                continue;
            }
            // What lies before the first is what retention took out.
            let first = known.first().map_or(0, |first| first.base);
            if base < first.min(state.map_or(0, |state| state.log_start)) {
                continue;
            }
            if from.is_some_and(|from| base < from) {
                strangers.push(segment_file_name(base, SegmentFile::Log));
            } else {
                let until = bases.get(at + 1).copied().unwrap_or(Offset::MAX);
                let mark = state.map(|state| state.mark).filter(|mark| mark.segment == base && !is_closed);
                let (summary, was_gapless) = (None, state.is_some());
                sources.push(Source { base, summary, until, was_gapless, mark, must_join: is_closed });
            }
        }
        Ok(Self { sources, missing, strangers })
    }
}
