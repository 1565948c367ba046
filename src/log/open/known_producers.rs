//! What is known of a partition's producers when it is opened: what a snapshot tells, and what the log does from there on.

use std::sync::Arc;

use crate::error::Result;
use crate::format::{AbortedTransaction, BatchHeader, PartitionState, snapshot_file_name};
use crate::io::Directory;
use crate::log::open::report::LostSnapshot;
use crate::log::producers::snapshot_file::{self, Unreadable};
use crate::log::producers::state;
use crate::log::producers::table::ProducerTable;
use crate::segment::Segment;
use crate::types::{Offset, Timestamp};

/// What is known of the producers, and from which offset on the log has more to tell.
#[derive(Debug)]
pub(in crate::log) struct KnownProducers {
    pub(in crate::log) table: ProducerTable,
    pub(in crate::log) from: Offset,
    /// The snapshot that should have told it.
    pub(in crate::log) lost: Option<LostSnapshot>,
}

impl KnownProducers {
    pub(in crate::log) fn nobody(from: Offset) -> Self {
        Self { table: ProducerTable::default(), from, lost: None }
    }

    pub(in crate::log) fn take(&mut self, header: &BatchHeader, body: &[u8]) -> Option<AbortedTransaction> {
        if header.producer_id < 0 || header.base_offset < self.from {
            return None;
        }
        self.table.replay(header, body)
    }

    /// Takes it that those whom the log told of, and no snapshot, have written at `now`.
    pub(in crate::log) fn wrote_since_found(&mut self, now: Timestamp) {
        self.table.wrote_since(self.from, now);
    }
}

/// What sealed segments tell of the producers, where nobody had written below `from`.
pub(in crate::log) fn producers_since(
    from: Offset,
    state: &PartitionState,
    sealed: &[Arc<Segment>],
) -> Result<KnownProducers> {
    replay_sealed(KnownProducers::nobody(from), state, sealed)
}

/// What is known of the producers at the end of the segments that the state file lists.
pub(in crate::log) fn producers_behind(
    directory: &Directory,
    state: &PartitionState,
    listed: &[Arc<Segment>],
) -> Result<KnownProducers> {
    let Some(at) = state.producers_at else { return Ok(KnownProducers::nobody(0)) };
    let closed_at = state.closed.map(|closed| closed.next_offset);
    let mut lost = None;
    for offset in closed_at.into_iter().chain([at]) {
        match snapshot_file::look(directory, offset)? {
            Ok(table) => {
                return replay_sealed(KnownProducers { table, from: offset, lost: None }, state, listed);
            }
            Err(Unreadable(reason)) => {
                lost = Some(LostSnapshot { path: directory.join(&snapshot_file_name(offset)), reason });
            }
        }
    }
    // An older one knows of records that have left the log since. What it does not know the log tells, as far as it has it.
    let (from, table) = snapshot_file::newest_below(directory, at)?.unwrap_or_default();
    replay_sealed(KnownProducers { table, from, lost }, state, listed)
}

fn replay_sealed(
    mut known: KnownProducers,
    state: &PartitionState,
    listed: &[Arc<Segment>],
) -> Result<KnownProducers> {
    for (summary, segment) in state.sealed.iter().chain(&state.closed).zip(listed) {
        if summary.next_offset > known.from {
            state::replay(segment, &mut known.table, known.from)?;
        }
    }
    Ok(known)
}
