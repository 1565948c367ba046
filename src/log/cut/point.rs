//! One moment of many logs.
//!
//! The moment is one at which nobody is giving out offsets in any of them: the accumulators of all are locked. What was given out
//! before is in the cut, what comes later is not. So an effect is never in it without its cause: whoever sends because a `send`
//! has returned gets his offset later than that one, and the parts of a transaction get theirs while all accumulators of its
//! partitions are held.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::PartitionState;
use crate::io::Stopwatch;
use crate::locks::MutexGuard;
use crate::log::cut::hold::Hold;
use crate::log::log::Log;
use crate::log::open::Holding;
use crate::log::open::recovery::LastClose;
use crate::log::write::accumulator::Accumulator;
use crate::log::write::writer::{Phase, Writer};
use crate::types::{Offset, TopicPartition};

/// How often all locks are let go of because one is not free, before it is waited for.
const ATTEMPTS: usize = 100;

/// A log whose files are held, and its table as it was then.
#[derive(Debug)]
pub(crate) struct HeldLog {
    pub(super) hold: Hold,
    pub(super) table: PartitionState,
}

/// Where a cut goes through a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutPoint {
    /// First offset that may be read.
    pub(crate) start: Offset,
    /// Next offset to be given out. A batch ends there, once it is written.
    pub(crate) end: Offset,
    /// How often offsets had been given out again.
    pub(super) failures: u64,
}

/// Where a cut goes through each of some logs.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) points: Vec<CutPoint>,
    /// How long appends were stopped.
    pub(crate) stopped: Duration,
}

impl Log {
    /// Holds its files for a copy. What an earlier life left in disorder is set right first.
    pub(crate) fn hold_for_copy(self: &Arc<Self>) -> Result<HeldLog> {
        self.check_poison()?;
        if !self.is_in_order(&self.writer.lock(), |_| true) {
            self.meet_prerequisites(Holding::Nothing)?;
        }
        let mut writer = self.writer.lock();
        self.set_in_order(&mut writer, |_| true)?;
        let table = writer.phase.state().cloned().ok_or_else(|| self.closed())?;
        Ok(HeldLog { hold: self.hold(), table })
    }

    /// Has done what the first append would do to files that others are about to look at: those of segments are cut, get other names, or go. A
    /// partition that is poisoned takes no append, nor does one for which something is needed first that cannot be read.
    pub(crate) fn settle_before_hold(&self) -> Result<()> {
        let has_no_more: fn(&PartitionState) -> bool = |state| state.obsolete.is_empty();
        if self.check_poison().is_err() || self.is_in_order(&self.writer.lock(), has_no_more) {
            return Ok(());
        }
        match self.meet_prerequisites(Holding::Nothing) {
            Err(Error::Corrupt { .. }) => return Ok(()),
            met => met?,
        }
        self.set_in_order(&mut self.writer.lock(), has_no_more)
    }

    fn set_in_order(&self, writer: &mut Writer, has_no_more: fn(&PartitionState) -> bool) -> Result<()> {
        if self.is_in_order(writer, has_no_more) { Ok(()) } else { self.opened(writer).map(drop) }
    }

    fn is_in_order(&self, writer: &Writer, has_no_more: fn(&PartitionState) -> bool) -> bool {
        let Phase::Untouched(found) = &writer.phase else { return true };
        let (state, is_clean) = (found.state.state(), matches!(found.last_close, LastClose::Clean(_)));
        is_clean && state.pending.is_empty() && has_no_more(state)
    }

    /// Cuts through all of them, which are in the order in which transactions lock partitions.
    pub(crate) fn cut_through(logs: &[&HeldLog]) -> Cut {
        for _ in 0..ATTEMPTS {
            let stopped = Stopwatch::start();
            let held: Option<Vec<_>> = logs.iter().map(|one| one.log().accumulator.try_lock()).collect();
            if let Some(held) = held {
                return Cut::through(logs, held, stopped);
            }
            std::thread::yield_now();
        }
        let stopped = Stopwatch::start();
        Cut::through(logs, logs.iter().map(|one| one.log().accumulator.lock()).collect(), stopped)
    }
}

impl Cut {
    fn through(logs: &[&HeldLog], held: Vec<MutexGuard<'_, Accumulator>>, stopped: Stopwatch) -> Self {
        let mut points = Vec::with_capacity(logs.len());
        for (one, mut accumulator) in logs.iter().zip(held) {
            accumulator.end_batch();
            let (end, failures) = (accumulator.next_offset(), accumulator.failures());
            points.push((one.log().start(), end, failures, accumulator));
        }
        // All of them were held up to here.
        let points = points.into_iter().map(|(start, end, failures, _)| CutPoint { start, end, failures });
        let points = points.collect();
        Self { points, stopped: stopped.elapsed() }
    }
}

impl HeldLog {
    pub(super) fn log(&self) -> &Arc<Log> {
        self.hold.log()
    }

    /// Whose files they are.
    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.log().topic_partition
    }

    /// The partition's topic.
    pub(crate) fn topic_id(&self) -> u128 {
        self.table.identity.topic
    }
}
