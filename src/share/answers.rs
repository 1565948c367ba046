//! What workers answer, message by message.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{DeliveryState, StateBatch};
use crate::io::{in_drop, in_drop_each};
use crate::share::queue::{Place, Queue, until};
use crate::share::runs::{Lock, RunState, Span};
use crate::share::selection::is_exhausted;
use crate::share::slot::{SlotInner, push};
use crate::types::{Durability, Offset, Timestamp};
use crate::upkeep::Otherwise;

/// How much may be handed out without an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Freedom {
    available: u64,
    has_room: bool,
    suspect_is_out: bool,
}

impl Freedom {
    pub(super) fn of(inner: &SlotInner) -> Self {
        Self {
            available: inner.state.figures().available,
            has_room: inner.state.has_room(),
            suspect_is_out: inner.state.suspect_is_out(),
        }
    }

    pub(super) fn is_less_than(&self, after: &Self) -> bool {
        after.available > self.available
            || after.has_room && !self.has_room
            || self.suspect_is_out && !after.suspect_is_out
    }
}

/// Messages of a state come back: of these some may have no record any more, or be given up. Whoever waits for room is told, also where a
/// panic comes by in the middle.
pub(super) struct ComingBack<'a> {
    queue: &'a Queue,
    pub(super) inner: &'a mut SlotInner,
    before: u64,
}

impl<'a> ComingBack<'a> {
    pub(super) fn new(queue: &'a Queue, inner: &'a mut SlotInner) -> Self {
        let before = inner.state.unfinished();
        Self { queue, inner, before }
    }
}

impl Drop for ComingBack<'_> {
    fn drop(&mut self) {
        if self.inner.state.unfinished() < self.before {
            in_drop(|| self.queue.queues.room.raise());
        }
    }
}

impl Queue {
    /// Takes an answer for messages of one partition, of which each is held by the lock. The others are answered all the same
    /// where one has lost its lock.
    pub(super) fn finish(&self, place: &Place, lock: Lock, offsets: &[Offset]) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let mut batches = std::mem::take(&mut inner.batches);
        batches.clear();
        let lost = done(&inner, (lock, now), offsets, &mut batches);
        let written = self.queues.states.write(&place.slot, &mut inner, (&batches, now));
        written.map_err(|error| self.explain(place, error))?;
        let before = Freedom::of(&inner);
        inner.acknowledge(&batches, now);
        inner.keep(batches);
        let frees = before.is_less_than(&Freedom::of(&inner));
        let lost = lost.map_or(Ok(()), |offset| Err(lock_lost(place, &inner, offset)));
        drop(inner);
        self.after_answers(place, (offsets, frees))?;
        lost
    }

    /// What follows when messages are done, at these offsets: whoever waits for it is woken, it is made durable, and room is made.
    pub(super) fn after_answers(&self, place: &Place, (offsets, frees): (&[Offset], bool)) -> Result<()> {
        if frees {
            self.watchers.raise();
        }
        self.queues.room.raise();
        let mut kept = Ok(());
        if self.settings.durability == Durability::Disk {
            self.queues.states.sync_of(&place.slot).map_err(|error| self.explain(place, error))?;
            if !self.queues.is_away() {
                // Who has moved it here, from what is held for later or from the letters, would do so once more if that was taken back. And
                // where it was sent with an id, that is known as long as the record is.
                kept = place.partition.keep_at(offsets);
            }
        }
        if self.queues.is_away() {
            return kept;
        }
        self.queues.tidy_when_due();
        // The answer stands whatever becomes of this; the next round of maintenance tries again and reports.
        drop(self.queues.drop_consumed(&self.topic, place));
        kept
    }

    /// Has messages handed out again, after `delay`, or by the retry policy. Those that were handed out as often as they may be
    /// are given up.
    pub(super) fn release(
        &self,
        place: &Place,
        lock: Lock,
        released: (&[Offset], Option<Duration>),
    ) -> Result<()> {
        self.release_because(place, lock, (released, None))
    }

    /// The same, for a reason that the letters of those say which are given up.
    pub(super) fn release_because(
        &self,
        place: &Place,
        lock: Lock,
        ((offsets, delay), reason): ((&[Offset], Option<Duration>), Option<&str>),
    ) -> Result<()> {
        // Also where a panic comes by in the middle: some are handed out again by then.
        let _told = Otherwise::new(|| in_drop(|| self.tell_of_released()));
        let (mut inner, now) = self.enter(place)?;
        let coming_back = ComingBack::new(self, &mut inner);
        let mut outcome = Ok(());
        in_drop_each(offsets, |offset| {
            let inner = &mut *coming_back.inner;
            let released = self.release_one(place, inner, ((*offset, delay), reason), (lock, now));
            outcome = std::mem::replace(&mut outcome, Ok(())).and(released);
        });
        outcome
    }

    pub(super) fn tell_of_released(&self) {
        self.queues.tell_groups();
        self.watchers.raise();
    }

    pub(super) fn release_one(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        ((offset, delay), reason): ((Offset, Option<Duration>), Option<&str>),
        (lock, now): (Lock, Timestamp),
    ) -> Result<()> {
        let Some(Span { count, .. }) = inner.state.held(offset, lock.id, now) else {
            return Err(lock_lost(place, inner, offset));
        };
        inner.counters.released += 1;
        if is_exhausted(count, self.settings.delivery_limit) {
            let span = Span { first: offset, last: offset, count };
            return self.give_up(place, inner, (span, now, reason));
        }
        let delay = delay.unwrap_or_else(|| self.retry_delay(offset, count));
        let due = (!delay.is_zero()).then(|| until(now, delay));
        inner.state.release(offset, offset, due);
        Ok(())
    }

    /// How long a message waits that was handed out so often.
    pub(super) fn retry_delay(&self, offset: Offset, count: i16) -> Duration {
        self.settings.retry.delay(u16::try_from(count).unwrap_or(0), offset)
    }

    /// Keeps a message for longer.
    pub(super) fn renew(
        &self,
        place: &Place,
        lock: Lock,
        (offset, lock_timeout): (Offset, Duration),
    ) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        if inner.state.held(offset, lock.id, now).is_none() {
            return Err(lock_lost(place, &inner, offset));
        }
        let until = until(now, lock_timeout);
        let ends_earlier =
            matches!(inner.state.state_of(offset), Some(RunState::Acquired(held)) if until < held.until);
        inner.state.renew(offset, Lock { id: lock.id, until });
        drop(inner);
        if ends_earlier {
            // Whoever waits for the message waits for the end that it had.
            self.watchers.raise();
        }
        Ok(())
    }

    /// Gives a message up, at its worker's word.
    pub(super) fn reject(&self, place: &Place, lock: Lock, (offset, reason): (Offset, &str)) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let Some(Span { count, .. }) = inner.state.held(offset, lock.id, now) else {
            return Err(lock_lost(place, &inner, offset));
        };
        let span = Span { first: offset, last: offset, count };
        let buried = self.bury_span(place, &mut inner, (span, now, reason));
        drop(inner);
        self.queues.tell_groups();
        buried.and_then(|()| self.after_answers(place, (&[offset], true)))
    }
}

/// An answer that does not find its message under its lock.
pub(super) fn lock_lost(place: &Place, inner: &SlotInner, offset: Offset) -> Error {
    let partition = place.partition.topic_partition().clone();
    let reason = match inner.state.state_of(offset) {
        _ if offset < place.partition.start() => "its record was deleted",
        _ if inner.state.gone.has(offset) => "its record was erased",
        Some(RunState::Acquired(_)) => "its lock has run out, and another take was handed the message",
        Some(RunState::Delayed(Timestamp::MAX)) => {
            "an answer to it was left undecided: what became of it shows when the store is opened again"
        }
        Some(
            RunState::Available
            | RunState::Suspect
            | RunState::Blocked
            | RunState::BlockedSuspect
            | RunState::Delayed(_),
        ) => "its lock has run out, and the message waits to be handed out again",
        Some(RunState::Acknowledged | RunState::Archived | RunState::Owed) | None => {
            "its lock has run out, and the message is done or given up"
        }
    };
    Error::LockLost { partition, offset, reason }
}

/// Adds that those of the offsets are done that the lock still holds, with as few batches as there can be. Returns the first that
/// it does not.
pub(super) fn done(
    inner: &SlotInner,
    (lock, now): (Lock, Timestamp),
    offsets: &[Offset],
    batches: &mut Vec<StateBatch>,
) -> Option<Offset> {
    let (mut lost, mut known): (_, Option<Span>) = (None, None);
    for offset in offsets {
        known = match known {
            Some(span) if (span.first..=span.last).contains(offset) => Some(span),
            _ => inner.state.held(*offset, lock.id, now),
        };
        match known {
            Some(Span { count, .. }) => {
                push(batches, (*offset, *offset), (DeliveryState::Acknowledged, count));
            }
            None => lost = lost.or(Some(*offset)),
        }
    }
    lost
}
