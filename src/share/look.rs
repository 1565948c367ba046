//! One look at a partition: what may be handed out is read, counted in the store, and taken.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::DeliveryState;
use crate::log::FetchLimits;
use crate::share::lanes::Fresh;
use crate::share::queue::{MOST_BYTES, Place, Queue, hash_of, until};
use crate::share::runs::{Lock, Span};
use crate::share::selection::{Exhausted, Selection, Wish};
use crate::share::slot::{SlotInner, push};
use crate::topic::{OwnedRecord, PartitionRecords, Records};
use crate::types::{Offset, Timestamp};

/// What is stored of offsets that are no messages of the queue.
pub(super) const PASSED_OVER: (DeliveryState, i16) = (DeliveryState::Archived, 0);

/// A message that is handed out.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) record: OwnedRecord,
    pub(super) count: i16,
}

/// Which messages a look is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Up to so many, the oldest first.
    Oldest(usize),
    /// Up to so many of these, which are in order and readable. Of a queue without order and without doubts.
    Those(&'a [Offset], usize),
}

/// What one look at a partition has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) taken: Vec<Taken>,
    pub(super) lock: Option<Lock>,
    /// When there may be more without an append or an answer.
    pub(super) next: Option<Timestamp>,
    /// Nothing else is to go with it.
    pub(super) is_closed: bool,
    /// Why some were not given up that are to be.
    pub(super) failure: Option<Error>,
}

impl Look {
    /// Nothing, for that reason.
    pub(super) fn failed(error: Error) -> Self {
        Self { failure: Some(error), ..Self::default() }
    }
}

/// Records that were read for a look.
#[derive(Debug, Default)]
struct Reading {
    again: Vec<(Span, Vec<OwnedRecord>)>,
    /// Each record after the end, and whether it is handed out.
    fresh: Vec<(Offset, bool)>,
    taken: Vec<Taken>,
    /// Where reading goes on; the end, when nothing was read.
    next: Offset,
}

/// A look before anything is handed out. Records that were read are in the lanes of their keys: where it ends before, by an error or by
/// a panic of the program's own clock or file system, they leave them again, or they would stand in their own way.
struct Looking<'a> {
    inner: &'a mut SlotInner,
    reading: Reading,
}

impl Looking<'_> {
    fn finish(mut self) -> Reading {
        std::mem::take(&mut self.reading)
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.inner.state.forget(&self.reading.fresh);
    }
}

impl Queue {
    /// Hands out messages of a partition, for `lock_timeout`.
    pub(super) fn look(&self, place: &Place, wanted: Wanted<'_>, lock_timeout: Duration) -> Result<Look> {
        let looked = self.look_at(place, wanted, lock_timeout).map_err(|error| self.explain(place, error));
        self.queues.tell_groups();
        looked
    }

    fn look_at(&self, place: &Place, wanted: Wanted<'_>, lock_timeout: Duration) -> Result<Look> {
        self.queues.check_room(place)?;
        let (mut inner, now) = self.enter(place)?;
        let (Wanted::Oldest(most) | Wanted::Those(_, most)) = wanted;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // What an earlier life was handed out may be part of a transaction that nobody can decide in this one.
        let readable = place.partition.log().stable();
        let (mut wish, mut failure) = (Wish { most, readable, exhausted: Exhausted::GivenUp }, None);
        loop {
            let ends = until(now, lock_timeout);
            let selection = match wanted {
                Wanted::Oldest(_) => self.choose(place, &mut inner, wish, (now, ends)),
                Wanted::Those(offsets, _) => inner.state.select_those(offsets, most),
            };
            if let Some(span) = selection.exhausted {
                if let Err(error) = self.give_up(place, &mut inner, (span, now, None)) {
                    // Those behind it may be many, and each look tries some: none of them is in the way of what is to be handed out.
                    (wish.exhausted, failure) = (Exhausted::Stay, Some(error));
                }
                continue;
            }
            let mut looking = Looking { inner: &mut inner, reading: Reading::default() };
            self.read(place, &mut looking, (&selection, most))?;
            self.note(place, &mut looking, now)?;
            let reading = looking.finish();
            let lock = inner.state.new_lock(ends);
            let had_some = !selection.spans.is_empty();
            let (taken, passes_over) = hand_out(&mut inner, reading, (lock, self.settings.delivery_limit));
            if passes_over {
                // They are done, though nobody has answered them.
                self.queues.room.raise();
                if self.settings.is_ordered {
                    // The next of its key may be another worker's.
                    self.watchers.raise();
                }
            }
            if taken.is_empty() && had_some {
                // None of them is there any more.
                continue;
            }
            inner.counters.delivered += taken.len() as u64;
            let next = inner.state.next_time().into_iter().chain(selection.held_back_until).min();
            return Ok(Look { taken, lock: Some(lock), next, is_closed: selection.is_closed, failure });
        }
    }

    fn read(
        &self,
        place: &Place,
        Looking { inner, reading }: &mut Looking<'_>,
        (selection, most): (&Selection, u64),
    ) -> Result<()> {
        reading.next = inner.state.end();
        let mut room = most;
        if selection.spans.is_empty() {
            // It may hold an expanded batch.
            inner.again = None;
        }
        for span in &selection.spans {
            let mut records = Vec::new();
            self.each(place, &mut inner.again, (span.first, span.last), |record| {
                if self.is_for(&record) {
                    records.push(record.to_owned());
                }
            })?;
            room = room.saturating_sub(span.len());
            reading.again.push((*span, records));
        }
        if room == 0 || selection.is_closed {
            return Ok(());
        }
        let log = place.partition.log();
        let end = inner.state.end();
        let SlotInner { reader, state, .. } = &mut **inner;
        let reader = reader.get_or_insert_with(|| self.reader(place, end));
        reader.seek(end);
        while room > 0 && state.has_room() {
            let limits = FetchLimits {
                max_records: usize::try_from(room).unwrap_or(usize::MAX),
                max_bytes: MOST_BYTES,
            };
            let slices = match reader.fetch(limits) {
                Ok(slices) => slices,
                Err(_) if !(reading.fresh.is_empty() && reading.again.is_empty()) => break,
                Err(error) => return Err(log.explain(error)),
            };
            reading.next = reader.position();
            if slices.is_empty() {
                break;
            }
            let name = place.partition.topic_partition().clone();
            let records = Records::new(vec![PartitionRecords::new(name, slices)]);
            for record in records.iter().filter(|record| self.is_for(record)) {
                let key = if self.settings.is_ordered { record.key().map(hash_of) } else { None };
                let is_free = state.is_free(Fresh { offset: record.offset(), key });
                reading.fresh.push((record.offset(), is_free));
                if is_free {
                    reading.taken.push(Taken { record: record.to_owned(), count: 1 });
                    room -= 1;
                }
            }
        }
        Ok(())
    }

    /// Writes that these were handed out once more, before they are: a message that ends the process is counted too. What is
    /// passed over beside them is done, and is written so: it has no part in their counts, which would make a letter of it.
    fn note(
        &self,
        place: &Place,
        Looking { inner, reading }: &mut Looking<'_>,
        now: Timestamp,
    ) -> Result<()> {
        if !self.settings.counts_written {
            return Ok(());
        }
        let mut batches = std::mem::take(&mut inner.batches);
        batches.clear();
        for (span, records) in &reading.again {
            let count = span.count.saturating_add(1);
            let mut next = span.first;
            for record in records {
                push(&mut batches, (next, record.offset - 1), PASSED_OVER);
                push(&mut batches, (record.offset, record.offset), (DeliveryState::Available, count));
                next = record.offset + 1;
            }
            push(&mut batches, (next, span.last), PASSED_OVER);
        }
        let is_new = reading.fresh.iter().any(|(_, is_free)| *is_free);
        // One that had to wait for its key was found before anything behind it was written.
        let end_again = reading.again.iter().map(|(span, _)| span.last.saturating_add(1)).max();
        let end_again = end_again.filter(|end| *end > inner.state.noted);
        if is_new || end_again.is_some() {
            inner.state.not_noted().for_each(|range| push(&mut batches, range, PASSED_OVER));
        }
        if is_new {
            let mut next = inner.state.end();
            for (offset, is_free) in &reading.fresh {
                push(&mut batches, (next, *offset - 1), PASSED_OVER);
                if *is_free {
                    push(&mut batches, (*offset, *offset), (DeliveryState::Available, 1));
                }
                next = *offset + 1;
            }
            push(&mut batches, (next, reading.next - 1), PASSED_OVER);
        }
        self.queues.states.write(&place.slot, inner, (&batches, now))?;
        let noted = if is_new { Some(reading.next) } else { end_again };
        noted.into_iter().for_each(|end| inner.state.noted(end));
        if batches.is_empty() {
            self.tell_passed_over(place, inner, (&reading.fresh, reading.next));
        }
        inner.keep(batches);
        Ok(())
    }
}

/// Makes true what was read and written. Says whether something was passed over that was waiting.
fn hand_out(inner: &mut SlotInner, reading: Reading, (lock, limit): (Lock, i16)) -> (Vec<Taken>, bool) {
    let Reading { again, fresh, taken: mut new, next } = reading;
    // Before the others: where one is not there any more, it may be the turn of one of these.
    inner.state.extend(&fresh, next, lock);
    let waited: u64 = again.iter().map(|(span, _)| span.len()).sum();
    let mut taken = Vec::new();
    for (span, records) in again {
        inner.state.acquire(&span, lock, limit);
        inner.reasons.forget(&span);
        let mut next = span.first;
        for record in records {
            inner.state.finish(next, record.offset - 1, DeliveryState::Archived);
            next = record.offset + 1;
            taken.push(Taken { record, count: span.count.saturating_add(1) });
        }
        // What is not there is not to be waited for.
        inner.state.finish(next, span.last, DeliveryState::Archived);
    }
    let passes_over = waited > taken.len() as u64;
    if taken.is_empty() {
        return (new, passes_over);
    }
    taken.append(&mut new);
    (taken, passes_over)
}
