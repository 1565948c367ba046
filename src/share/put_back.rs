//! Giving messages back that nobody has begun to work on.

use crate::error::Result;
use crate::format::{DeliveryState, StateBatch};
use crate::share::answers::{ComingBack, lock_lost};
use crate::share::queue::{Place, Queue};
use crate::share::runs::{Lock, RunState, Span, length};
use crate::share::share_partition::SharePartition;
use crate::share::slot::push;
use crate::types::{Durability, Offset, Timestamp};

impl Queue {
    /// Has messages handed out again: this delivery does not count, and is written so before anybody else is handed them. At
    /// `Disk` it survives a power cut.
    pub(super) fn put_back(&self, place: &Place, lock: Lock, offsets: &[Offset]) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let (mut batches, mut lost) = (Vec::new(), None);
        for offset in offsets {
            match inner.state.held(*offset, lock.id, now) {
                Some(Span { count, .. }) => {
                    let before = count.saturating_sub(1).max(0);
                    push(&mut batches, (*offset, *offset), (DeliveryState::Available, before));
                }
                None => lost = lost.or(Some(*offset)),
            }
        }
        if self.settings.counts_written {
            let written = self.queues.states.write(&place.slot, &mut inner, (&batches, now));
            written.map_err(|error| self.explain(place, error))?;
        }
        let coming_back = ComingBack::new(self, &mut inner);
        for batch in &batches {
            coming_back.inner.counters.released += length(batch.first, batch.last);
            coming_back.inner.state.put_back(batch);
        }
        drop(coming_back);
        let lost = lost.map_or(Ok(()), |offset| Err(lock_lost(place, &inner, offset)));
        drop(inner);
        self.watchers.raise();
        if self.settings.counts_written && self.settings.durability == Durability::Disk {
            self.queues.states.sync_of(&place.slot).map_err(|error| self.explain(place, error))?;
        }
        lost
    }
}

impl SharePartition {
    /// They are to be handed out again, from `until` on.
    pub(super) fn release(&mut self, first: Offset, last: Offset, until: Option<Timestamp>) {
        let count = self.runs.at(first).map_or(0, |(_, run)| run.count);
        self.release_with(first, last, (count, until));
    }

    /// The same, after so many deliveries.
    pub(super) fn release_with(
        &mut self,
        first: Offset,
        last: Offset,
        (count, until): (i16, Option<Timestamp>),
    ) {
        match until {
            None => self.let_go(first, last, count),
            Some(until) => {
                self.delay(first, last, (until, count));
                self.end_gone(first, last);
            }
        }
    }

    /// Nobody knows what was written of them: they go to nobody until the store is opened again.
    pub(super) fn set_aside(&mut self, first: Offset, last: Offset) {
        let count = self.runs.at(first).map_or(0, |(_, run)| run.count);
        self.delay(first, last, (Timestamp::MAX, count));
    }

    fn delay(&mut self, first: Offset, last: Offset, (until, count): (Timestamp, i16)) {
        self.doubts.come_back(first, last);
        self.runs.set(first, last, (RunState::Delayed(until), count));
    }

    /// The same of those of a batch that are not done.
    pub(super) fn set_aside_open(&mut self, batch: &StateBatch) {
        self.reach(batch.last + 1);
        for span in self.open_spans() {
            let (first, last) = (span.first.max(batch.first), span.last.min(batch.last));
            if first <= last {
                self.set_aside(first, last);
            }
        }
    }

    /// They are to be handed out again, after so many deliveries. One that is doubted stays so.
    fn put_back(&mut self, batch: &StateBatch) {
        let suspect = self.doubts.put_back(batch.first, batch.last);
        self.let_go(batch.first, batch.last, batch.count);
        if let Some(offset) = suspect.filter(|offset| !self.is_done(*offset)) {
            self.runs.set(offset, offset, (RunState::Suspect, batch.count));
        }
    }
}
