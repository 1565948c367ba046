//! What a partition's write side knows, whichever phase it is in.

use crate::format::{PartitionState, SegmentSummary};
use crate::live::Shown;
use crate::log::open::recovery::{Examined, LastClose};
use crate::log::retain::retention::SegmentFacts;
use crate::log::write::append_times::AppendTimes;
use crate::log::write::writer::{Open, Phase};
use crate::segment::Scan;
use crate::types::{NO_TIMESTAMP, Timestamp};

impl Open {
    /// What the state file says.
    pub(in crate::log) fn table(&self) -> &PartitionState {
        self.state.state()
    }
}

impl Phase {
    /// What the state file says; nothing once it is closed.
    pub(in crate::log) fn state(&self) -> Option<&PartitionState> {
        match self {
            Self::Untouched(found) => Some(found.state.state()),
            Self::Open(open) => Some(open.state.state()),
            Self::Followed(table) => Some(&table.state),
            Self::Closed => None,
        }
    }

    /// How many segments the state file lists as sealed: those behind them may not be on the disk yet.
    pub(in crate::log) fn sealed(&self) -> usize {
        self.state().map_or(0, |state| state.sealed.len())
    }

    /// What is known of each segment, the active one last; nothing once it is closed.
    pub(in crate::log) fn facts(&self) -> Option<Vec<SegmentFacts>> {
        let sealed = self.state()?.sealed.iter().map(sealed_facts);
        let rest = match self {
            Self::Untouched(found) => found_facts(found),
            Self::Open(open) => vec![active_facts(open)],
            Self::Followed(table) => vec![shown_facts(&table.shown)],
            Self::Closed => return None,
        };
        Some(sealed.chain(rest).collect())
    }

    /// When the last segment was appended to; nothing once it is closed.
    pub(in crate::log) fn appended(&self, now: Timestamp) -> Option<AppendTimes> {
        match self {
            Self::Untouched(found) => Some(found.appended(now)),
            Self::Open(open) => Some(open.appended),
            Self::Followed(_) | Self::Closed => None,
        }
    }
}

fn active_facts(open: &Open) -> SegmentFacts {
    let active = &open.active;
    SegmentFacts {
        base: active.base(),
        next_offset: active.next_offset(),
        bytes: active.bytes(),
        records: active.record_count(),
        first_timestamp: active.first_timestamp().unwrap_or(NO_TIMESTAMP),
        max_timestamp: active.segment().max_timestamp(),
        last_append: open.appended.last,
    }
}

fn shown_facts(shown: &Shown) -> SegmentFacts {
    SegmentFacts {
        base: shown.base,
        next_offset: shown.growth.end,
        bytes: shown.growth.bytes,
        records: shown.growth.records,
        first_timestamp: shown.growth.first_timestamp,
        max_timestamp: shown.growth.max_timestamp,
        last_append: NO_TIMESTAMP,
    }
}

fn found_facts(found: &Examined) -> Vec<SegmentFacts> {
    match &found.last_close {
        LastClose::Clean(closed) => vec![sealed_facts(closed)],
        LastClose::Unclean(scans) => scans.iter().map(scan_facts).collect(),
    }
}

fn sealed_facts(summary: &SegmentSummary) -> SegmentFacts {
    SegmentFacts {
        base: summary.base,
        next_offset: summary.next_offset,
        bytes: summary.bytes,
        records: summary.record_count,
        first_timestamp: summary.first_timestamp,
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
        first_timestamp: scan.tally.first_timestamp,
        max_timestamp: scan.index.largest().timestamp,
        last_append: NO_TIMESTAMP,
    }
}
