//! Deleting what no state needs any more.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::locks::Ordering;
use crate::log::RetentionPolicy;
use crate::share::queues::Queues;
use crate::share::slot::Slot;
use crate::share::state_log::StateLog;
use crate::topic::SHARE_STATE;
use crate::types::{Offset, Timestamp};
use crate::upkeep::{Chore, Reason};

/// States whose last snapshot lies so far back are written again in a round of maintenance, so that what lies before can go.
const MOST_BEHIND: Offset = 50_000;
/// With so many segments there is much that does not have to wait for a round.
const MANY_SEGMENTS: usize = 3;
/// With so many a worker does it itself: maintenance does not.
const MOST_SEGMENTS: usize = 6;
/// So many records come to be between two looks at how many segments there are.
const BETWEEN_LOOKS: Offset = 256;

/// How much is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thoroughness {
    /// All segments but the last two.
    WholeSegments,
    ToTheRecord,
}

impl StateLog {
    /// How many segments there are, at a call now and then.
    fn segments_now_and_then(&self) -> Option<usize> {
        let partition = self.partition().ok()?;
        let (end, looked_at) = (partition.end(), self.looked_at.load(Ordering::Relaxed));
        // It has begun anew where it ends before.
        if (0..BETWEEN_LOOKS).contains(&(end - looked_at)) {
            return None;
        }
        self.looked_at.store(end, Ordering::Relaxed);
        Some(partition.log().segment_bases().len())
    }

    /// Deletes what no state needs any more, after writing again those that would keep too much.
    fn tidy(
        &self,
        (slots, end): (Vec<Arc<Slot>>, Offset),
        (how, now): (Thoroughness, Timestamp),
    ) -> Result<()> {
        let Ok(partition) = self.topics.get(SHARE_STATE.name).and_then(|topic| topic.partition(0)) else {
            return Ok(());
        };
        let (start, log) = (partition.start(), partition.log());
        let old = match how {
            Thoroughness::WholeSegments => log.segment_bases().into_iter().rev().nth(1),
            Thoroughness::ToTheRecord => Some(end - MOST_BEHIND / 2).filter(|_| end - start >= MOST_BEHIND),
        };
        let Some(old) = old.filter(|_| !self.topics.is_held()) else { return Ok(()) };
        let mut needed = end;
        for slot in &slots {
            let mut inner = slot.inner.lock();
            if !inner.accounts.is_written || inner.is_forgotten {
                continue;
            }
            if inner.accounts.snapshot_at < old && self.settle(&mut inner) {
                self.write_snapshot(slot, &mut inner, now)?;
            }
            needed = needed.min(inner.accounts.snapshot_at);
        }
        if how == Thoroughness::WholeSegments && !log.has_segment_below(needed) {
            return Ok(());
        }
        // What is deleted is gone whatever crashes: so must be there what stands for it.
        self.sync()?;
        let deleted = match how {
            Thoroughness::WholeSegments => {
                let policy = RetentionPolicy { keep_from: Some(needed), ..RetentionPolicy::default() };
                log.apply_retention(|| policy).map(drop)
            }
            Thoroughness::ToTheRecord => log.delete_records(needed).map(drop),
        };
        match deleted {
            // A backup is copying it: the next time will do.
            Err(Error::Held { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Queues {
    /// Deletes of the stored states what is not needed any more, where that is much.
    pub(crate) fn tidy(&self) -> Result<()> {
        let _tidying = self.tidying.lock();
        self.states.tidy(self.all(), (Thoroughness::ToTheRecord, self.clock.now()))
    }

    /// Has the same done by maintenance, without waiting for it; or does it, where maintenance does not.
    pub(super) fn tidy_when_due(self: &Arc<Self>) {
        match self.states.segments_now_and_then() {
            Some(MOST_SEGMENTS..) => {
                if let Some(_tidying) = self.tidying.try_lock() {
                    // The next worker, or the next round of maintenance, tries again.
                    let how = Thoroughness::WholeSegments;
                    drop(self.states.tidy(self.all(), (how, self.clock.now())));
                }
            }
            Some(MANY_SEGMENTS..) if !self.is_tidy_asked.swap(true, Ordering::AcqRel) => {
                self.topics.agenda().add_timer(self, Deadline::after(Duration::ZERO));
            }
            _ => {}
        }
    }
}

impl Chore for Queues {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.is_tidy_asked.store(false, Ordering::Release);
        let Some(_tidying) = self.tidying.try_lock() else { return Ok(()) };
        self.states.tidy(self.all(), (Thoroughness::WholeSegments, self.clock.now()))
    }
}
