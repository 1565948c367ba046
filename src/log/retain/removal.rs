//! Taking the oldest segments out of a log.
//!
//! The state file says so first, durably; then readers are told, and only then do files go. A crash in between leaves
//! files that the next life removes.

use std::sync::Arc;

use crate::error::Result;
use crate::format::SegmentSummary;
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::open::recovery::{Left, Recovered};
use crate::log::retain::retention::{Moment, RemovalReason, RetentionPolicy, SegmentFacts, removable};
use crate::log::table::state_file::ReplaceFailure;
use crate::log::write::writer::{Open, Phase, Writer};
use crate::segment::Scan;
use crate::types::{NO_TIMESTAMP, Offset};

/// What one run of retention took out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RetentionReport {
    /// First offset that may be read now.
    pub(crate) start: Offset,
    /// Oldest first.
    pub(crate) removed: Vec<RemovedSegment>,
    /// The clock had leapt so far ahead that nothing was removed for its age; the next run will believe it.
    pub(crate) clock_leapt: bool,
}

/// A segment that retention took out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemovedSegment {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) reason: RemovalReason,
}

impl Log {
    /// Removes what `policy` does not keep, whole segments from the oldest on. A log that loses nothing is not touched.
    pub(crate) fn apply_retention(self: &Arc<Self>, policy: &RetentionPolicy) -> Result<RetentionReport> {
        self.check_poison()?;
        let mut writer = self.writer.lock();
        let now = self.clock.now();
        // Only a look at ages is a look at the clock: others must not make the next one believe a leap.
        let seen = match policy.max_age {
            Some(_) => self.clock_seen.swap(now, Ordering::AcqRel),
            None => self.clock_seen.load(Ordering::Acquire),
        };
        let moment = Moment { start: self.start(), now, seen };
        let clock_leapt = policy.max_age.is_some() && !moment.is_believable(policy);
        let facts = self.facts(&writer)?;
        let reasons = removable(&facts, policy, &moment);
        let mut removed = Vec::new();
        if !reasons.is_empty() {
            let open = self.opened(&mut writer)?;
            // A crash may have left more segments than were looked at when the log was opened.
            let facts = open_facts(open);
            let reasons = removable(&facts, policy, &moment);
            if reasons.len() == facts.len() {
                self.roll_to(open, open.active.next_offset())?;
            }
            self.take_out(open, reasons.len(), self.start())?;
            removed
                .extend(facts.iter().zip(reasons).map(|(facts, reason)| RemovedSegment::new(facts, reason)));
        }
        drop(writer);
        self.note_reclaimed(removed.iter().map(|segment: &RemovedSegment| segment.bytes).sum());
        self.remove_obsolete();
        Ok(RetentionReport { start: self.start(), removed, clock_leapt })
    }

    /// Whether all of a segment lies below `offset`, so that a run which keeps nothing below it would take it out.
    pub(crate) fn has_segment_below(&self, offset: Offset) -> bool {
        let list = self.segment_list();
        let mut segments = list.iter();
        let first = segments.next();
        match segments.next() {
            Some(second) => second.base() <= offset,
            None => first.is_some_and(|first| first.base() < self.end()) && self.end() <= offset,
        }
    }

    /// What is known of each segment, the active one last. Changes nothing.
    pub(in crate::log) fn facts(&self, writer: &Writer) -> Result<Vec<SegmentFacts>> {
        match &writer.phase {
            Phase::Open(open) => Ok(open_facts(open)),
            Phase::Found(found) => Ok(found_facts(found)),
            Phase::Closed => Err(self.closed()),
        }
    }

    /// Takes the `count` oldest sealed segments out of the log, which then starts at `start` or at its first segment,
    /// whichever is behind the other. Their files stay until [`remove_obsolete`](Self::remove_obsolete).
    pub(in crate::log) fn take_out(&self, open: &mut Open, count: usize, start: Offset) -> Result<()> {
        let mut state = open.state.state().clone();
        let gone: Vec<_> =
            state.sealed.drain(..count.min(state.sealed.len())).map(|segment| segment.base).collect();
        let first = state.sealed.first().map_or(open.active.base(), |segment| segment.base);
        let start = if gone.is_empty() { start } else { start.max(first) };
        state.log_start = state.log_start.max(start);
        state.cleaned_until = state.cleaned_until.max(state.log_start);
        state.obsolete.extend(&gone);
        let start = state.log_start;
        match open.state.replace(state) {
            Ok(()) => {}
            Err(ReplaceFailure::Before(error)) => return Err(error),
            Err(ReplaceFailure::Unknown(error)) => return Err(self.poison_with(error)),
        }
        // In this order: who sees the shorter list sees the start that goes with it.
        self.start.store(start, Ordering::Release);
        let list = match (gone.first(), gone.last()) {
            (Some(first), Some(last)) => self.segment_list().replaced(*first..=*last, None),
            _ => self.segment_list().as_ref().clone(),
        };
        self.replace_list(list);
        self.watchers.raise();
        Ok(())
    }

    /// Removes the files of segments that are no longer part of the log, without the writer's lock. What cannot be
    /// removed now stays listed in the state file, and is tried again.
    pub(in crate::log) fn remove_obsolete(&self) {
        let obsolete = match &self.writer.lock().phase {
            Phase::Open(open) => open.state.state().obsolete.clone(),
            Phase::Found(_) | Phase::Closed => return,
        };
        if !obsolete.is_empty()
            && self.remove_segments(&obsolete).is_ok()
            && let Phase::Open(open) = &mut self.writer.lock().phase
        {
            open.state.forget_obsolete(&obsolete);
        }
    }
}

impl RemovedSegment {
    fn new(facts: &SegmentFacts, reason: RemovalReason) -> Self {
        let SegmentFacts { base, next_offset, bytes, records, .. } = *facts;
        Self { base, next_offset, bytes, records, reason }
    }
}

fn open_facts(open: &Open) -> Vec<SegmentFacts> {
    let active = &open.active;
    let active = SegmentFacts {
        base: active.base(),
        next_offset: active.next_offset(),
        bytes: active.bytes(),
        records: active.record_count(),
        max_timestamp: active.segment().max_timestamp(),
        last_append: open.appended.last,
    };
    open.state.state().sealed.iter().map(sealed_facts).chain([active]).collect()
}

fn found_facts(found: &Recovered) -> Vec<SegmentFacts> {
    let sealed = found.state.state().sealed.iter().map(sealed_facts);
    match &found.left {
        Left::Clean(closed) => sealed.chain([sealed_facts(closed)]).collect(),
        Left::Unclean(scans) => sealed.chain(scans.iter().map(scan_facts)).collect(),
    }
}

fn sealed_facts(summary: &SegmentSummary) -> SegmentFacts {
    SegmentFacts {
        base: summary.base,
        next_offset: summary.next_offset,
        bytes: summary.bytes,
        records: summary.record_count,
        max_timestamp: summary.max_timestamp,
        last_append: summary.last_append,
    }
}

fn scan_facts(scan: &Scan) -> SegmentFacts {
    SegmentFacts {
        base: scan.tally.base,
        next_offset: scan.tally.next_offset,
        bytes: scan.tally.bytes,
        records: scan.tally.record_count,
        max_timestamp: scan.index.largest().timestamp,
        last_append: NO_TIMESTAMP,
    }
}
