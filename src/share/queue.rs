//! One queue: a group's work on one topic, as all its workers share it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::format::{DeliveryState, StateBatch};
use crate::locks::{MutexGuard, RwLock};
use crate::log::{BelowStart, FetchLimits, Reader, Signal, Visibility, Watchers};
use crate::share::burial::{AGAIN_AFTER_MS, AT_A_TIME, Burial};
use crate::share::dead_letters::REDRIVE_HEADER;
use crate::share::letter::is_letter_of;
use crate::share::queues::Queues;
use crate::share::runs::{Lock, RunState, Span, length};
use crate::share::settings::Settings;
use crate::share::share_partition::{Fresh, Selection, is_exhausted};
use crate::share::slot::{Slot, SlotInner};
use crate::topic::{OwnedRecord, Partition, PartitionRecords, RecordRef, Records, Topic};
use crate::types::{Durability, Offset, Timestamp};

/// What one look reads at most.
const MOST_BYTES: usize = 1 << 20;
const MOST_RECORDS: u64 = 10_000;

/// What is stored of offsets that are no messages of the queue.
const PASSED_OVER: (DeliveryState, i16) = (DeliveryState::Archived, 0);

/// A group's work on one topic.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) queues: Arc<Queues>,
    pub(super) group: Arc<str>,
    /// In whose name its states are stored: the group's, but where it hands out dead letters.
    pub(super) owner: Arc<str>,
    pub(super) topic: Topic,
    pub(super) settings: Settings,
    /// Another for each opening of a queue.
    pub(super) number: u64,
    pub(super) places: RwLock<Arc<[Arc<Place>]>>,
    /// Whoever waits for a message to come back, or for room.
    pub(super) watchers: Watchers,
}

/// One partition of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) slot: Arc<Slot>,
}

/// A message that is handed out.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) record: OwnedRecord,
    pub(super) count: i16,
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

/// An answer that does not find its message under its lock.
pub(super) fn lock_lost(place: &Place, inner: &SlotInner, offset: Offset) -> Error {
    let partition = place.partition.topic_partition().clone();
    let reason = match inner.state.state_of(offset) {
        _ if offset < place.partition.start() => "its record was deleted",
        Some(RunState::Acquired(_)) => "its lock has run out, and another take was handed the message",
        Some(RunState::Delayed(Timestamp::MAX)) => {
            "an answer to it was left undecided: what became of it shows when the store is opened again"
        }
        Some(RunState::Available | RunState::Suspect | RunState::Blocked | RunState::Delayed(_)) => {
            "its lock has run out, and the message waits to be handed out again"
        }
        Some(RunState::Acknowledged | RunState::Archived) | None => {
            "its lock has run out, and the message was handed out again, and done or given up"
        }
    };
    Error::LockLost { partition, offset, reason }
}

pub(super) fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Queue {
    /// All partitions, those that have come since among them.
    pub(super) fn places(&self) -> Result<Arc<[Arc<Place>]>> {
        let known = self.places.read();
        if known.len() == usize::try_from(self.topic.partition_count()).unwrap_or(usize::MAX) {
            return Ok(Arc::clone(&known));
        }
        drop(known);
        let mut known = self.places.write();
        let mut places = known.to_vec();
        for partition in self.topic.partitions().into_iter().skip(known.len()) {
            // What was sent to it was sent since the queue is there.
            let start = partition.start();
            let slot = self.queues.slot(&self.owner, &partition, start)?;
            places.push(Arc::new(Place { partition, slot }));
        }
        *known = places.into();
        Ok(Arc::clone(&known))
    }

    /// Locks a partition's state, as it is at `now`.
    pub(super) fn enter<'a>(&self, place: &'a Place) -> Result<(MutexGuard<'a, SlotInner>, Timestamp)> {
        let mut inner = place.slot.inner.lock();
        place.partition.log().check_open()?;
        if inner.prepared_for != self.number {
            self.prepare(place, &mut inner)?;
        }
        let now = self.queues.clock.now();
        // What retention has taken is nobody's to deliver.
        let gone = inner.state.skip_to(place.partition.start());
        inner.counters.lost += gone;
        let messages = inner.state.expire(now);
        if messages > 0 {
            self.queues.topics.figures().events.note(|| Event::LocksExpired {
                partition: place.partition.topic_partition().clone(),
                group: self.group.to_string(),
                messages,
            });
        }
        Ok((inner, now))
    }

    /// The first look of an opening: what was out before, and in which order.
    fn prepare(&self, place: &Place, inner: &mut SlotInner) -> Result<()> {
        (inner.reader, inner.again) = (None, None);
        inner.state.skip_to(place.partition.start());
        inner.state.forget_order();
        if self.settings.is_ordered {
            let mut records = Vec::new();
            // What is not readable now is handed out in no life before the store is opened again.
            let readable = place.partition.log().stable();
            for span in inner.state.open_spans().into_iter().map_while(|span| span.below(readable)) {
                self.each(place, &mut inner.again, (span.first, span.last), |record| {
                    if self.is_for(&record) {
                        records.push(Fresh { offset: record.offset(), key: record.key().map(hash_of) });
                    }
                })?;
            }
            inner.state.keep_order(records);
        }
        if inner.prepared_for == 0 {
            inner.state.suspect_of(self.settings.delivery_limit);
        }
        inner.prepared_for = self.number;
        Ok(())
    }

    /// Calls `look` with each record that is there of a range, all of which is readable: the others are taken for gone. The reader
    /// stays for the next range: where that is further on in the same batch, the batch is not checked once more.
    fn each(
        &self,
        place: &Place,
        reader: &mut Option<Reader>,
        (first, last): (Offset, Offset),
        mut look: impl FnMut(RecordRef<'_>),
    ) -> Result<()> {
        let log = place.partition.log();
        let first = first.max(place.partition.start());
        let reader = reader.get_or_insert_with(|| self.reader(place, first));
        reader.seek(first);
        while reader.position() <= last {
            let left = length(reader.position(), last).min(MOST_RECORDS);
            let limits = FetchLimits {
                max_records: usize::try_from(left).unwrap_or(usize::MAX),
                max_bytes: MOST_BYTES,
            };
            let slices = reader.fetch(limits).map_err(|error| log.explain(error))?;
            if slices.is_empty() && reader.position() <= last {
                return Err(log.out_of_range(reader.position()));
            }
            let place = place.partition.topic_partition().clone();
            let records = Records::new(vec![PartitionRecords::new(place, slices)]);
            // Where records are missing it reads on behind the range.
            records.iter().take_while(|record| record.offset() <= last).for_each(&mut look);
        }
        Ok(())
    }

    fn reader(&self, place: &Place, from: Offset) -> Reader {
        let log = Arc::clone(place.partition.log());
        Reader::new(log, from, Visibility::Written, self.settings.on_damage).below_start(BelowStart::GoOn)
    }

    /// Hands out up to `most` messages of a partition, for `lock_timeout`.
    pub(super) fn look(&self, place: &Place, most: usize, lock_timeout: Duration) -> Result<Look> {
        let (mut inner, now) = self.enter(place)?;
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // What an earlier life was handed out may be part of a transaction that nobody can decide in this one.
        let readable = place.partition.log().stable();
        loop {
            let selection = inner.state.select(most, self.settings.delivery_limit, readable);
            if let Some(span) = selection.exhausted {
                self.give_up(place, &mut inner, (span, now))?;
                continue;
            }
            let reading = self.read(place, &mut inner, (&selection, most))?;
            if let Err(error) = self.note(place, &mut inner, (&reading, now)) {
                inner.state.forget(&reading.fresh);
                return Err(error);
            }
            let lock = inner.state.new_lock(until(now, lock_timeout));
            let had_some = !selection.spans.is_empty();
            let (taken, passes_over) = hand_out(&mut inner, reading, lock);
            if passes_over && self.settings.is_ordered {
                // The next of its key may be another worker's.
                self.watchers.raise();
            }
            if taken.is_empty() && had_some {
                // None of them is there any more.
                continue;
            }
            inner.counters.delivered += taken.len() as u64;
            let next = inner.state.next_time();
            return Ok(Look { taken, lock: Some(lock), next, is_closed: selection.is_closed });
        }
    }

    fn read(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (selection, most): (&Selection, u64),
    ) -> Result<Reading> {
        let mut reading = Reading { next: inner.state.end(), ..Reading::default() };
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
            return Ok(reading);
        }
        let log = place.partition.log();
        let end = inner.state.end();
        let SlotInner { reader, state, .. } = inner;
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
        Ok(reading)
    }

    /// Whether a record is this queue's to deliver: it was not sent back for another, nor is it another's letter.
    fn is_for(&self, record: &RecordRef<'_>) -> bool {
        if let Some(topic) = &self.settings.letters_of {
            return is_letter_of(record, (topic, &self.group));
        }
        is_sent_to(record, &self.group)
    }

    /// Writes that these were handed out once more, before they are: a message that ends the process is counted too. What is
    /// passed over beside them is done, and is written so: it has no part in their counts, which would make a letter of it.
    fn note(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (reading, now): (&Reading, Timestamp),
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
        if is_new {
            inner.state.not_noted().for_each(|range| push(&mut batches, range, PASSED_OVER));
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
        if is_new {
            inner.state.noted(reading.next);
        }
        inner.keep(batches);
        Ok(())
    }

    /// Takes an answer for messages of one partition, of which each is held by the lock. The others are answered all the same
    /// where one has lost its lock.
    pub(super) fn finish(&self, place: &Place, lock: Lock, offsets: &[Offset]) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let mut batches = std::mem::take(&mut inner.batches);
        batches.clear();
        let lost = done(&inner, (lock, now), offsets, &mut batches);
        self.queues.states.write(&place.slot, &mut inner, (&batches, now))?;
        let before = Freedom::of(&inner);
        inner.acknowledge(&batches, now);
        inner.keep(batches);
        let frees = before.is_less_than(&Freedom::of(&inner));
        let lost = lost.map_or(Ok(()), |offset| Err(lock_lost(place, &inner, offset)));
        drop(inner);
        self.after_answers(place, frees)?;
        lost
    }

    /// What follows when messages are done: whoever waits for it is woken, it is made durable, and room is made.
    pub(super) fn after_answers(&self, place: &Place, frees: bool) -> Result<()> {
        if frees {
            self.watchers.raise();
        }
        self.queues.room.raise();
        if self.settings.durability == Durability::Disk {
            self.queues.states.sync()?;
        }
        self.queues.tidy_when_due();
        // The answer stands whatever becomes of this; the next round of maintenance tries again and reports.
        drop(self.queues.drop_consumed(&self.topic, place));
        Ok(())
    }

    /// Has messages handed out again, after `delay`, or by the retry policy. Those that were handed out as often as they may be
    /// are given up.
    pub(super) fn release(
        &self,
        place: &Place,
        lock: Lock,
        (offsets, delay): (&[Offset], Option<Duration>),
    ) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let mut outcome = Ok(());
        for offset in offsets {
            let Some(Span { count, .. }) = inner.state.held(*offset, lock.id, now) else {
                outcome = outcome.and(Err(lock_lost(place, &inner, *offset)));
                continue;
            };
            inner.counters.released += 1;
            if is_exhausted(count, self.settings.delivery_limit) {
                let span = Span { first: *offset, last: *offset, count };
                outcome = outcome.and(self.give_up(place, &mut inner, (span, now)));
                continue;
            }
            let deliveries = u16::try_from(count).unwrap_or(0);
            let delay = delay.unwrap_or_else(|| self.settings.retry.delay(deliveries, *offset));
            let due = (!delay.is_zero()).then(|| until(now, delay));
            inner.state.release(*offset, *offset, due);
        }
        drop(inner);
        self.watchers.raise();
        outcome
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
        inner.state.renew(offset, Lock { id: lock.id, until: until(now, lock_timeout) });
        Ok(())
    }

    /// Gives a message up, at its worker's word.
    pub(super) fn reject(
        &self,
        place: &Place,
        lock: Lock,
        (record, reason): (&OwnedRecord, &str),
    ) -> Result<()> {
        let (mut inner, now) = self.enter(place)?;
        let Some(Span { count, .. }) = inner.state.held(record.offset, lock.id, now) else {
            return Err(lock_lost(place, &inner, record.offset));
        };
        let span = Span { first: record.offset, last: record.offset, count };
        let records = std::slice::from_ref(record);
        self.bury(place, &mut inner, &Burial { span, records, reason, now })?;
        drop(inner);
        self.after_answers(place, true)
    }

    /// Gives up messages that were handed out as often as they may be.
    fn give_up(&self, place: &Place, inner: &mut SlotInner, (span, now): (Span, Timestamp)) -> Result<()> {
        let most = Offset::try_from(AT_A_TIME).unwrap_or(1);
        let mut span = Span { last: span.last.min(span.first.saturating_add(most - 1)), ..span };
        let mut buried = self.bury_span(place, inner, (span, now));
        if span.len() > 1 && matches!(buried, Err(Error::RecordTooLarge { .. } | Error::Full { .. })) {
            // There may be room for one where there is none for all of them.
            span.last = span.first;
            buried = self.bury_span(place, inner, (span, now));
        }
        if buried.as_ref().is_err_and(|error| !matches!(error, Error::Undecided { .. })) {
            // It is in nobody's way meanwhile.
            let again = now.saturating_add(AGAIN_AFTER_MS);
            inner.state.release(span.first, span.last, Some(again));
        }
        self.watchers.raise();
        buried
    }

    fn bury_span(&self, place: &Place, inner: &mut SlotInner, (span, now): (Span, Timestamp)) -> Result<()> {
        let mut records = Vec::new();
        let reason = format!("delivered {} times and not done", span.count);
        let range = (span.first, span.last);
        self.each(place, &mut inner.again, range, |record| {
            if self.is_for(&record) {
                records.push(record.to_owned());
            }
        })?;
        self.bury(place, inner, &Burial { span, records: &records, reason: &reason, now })
    }

    /// Wakes `signal` whenever there may be something to hand out.
    pub(super) fn watch(&self, signal: &Arc<Signal>) {
        self.watchers.add(signal);
    }

    pub(super) fn unwatch(&self, signal: &Arc<Signal>) {
        self.watchers.remove(signal);
        for place in self.places.read().iter() {
            place.partition.log().unwatch(signal);
        }
    }
}

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

/// The time so long after another.
pub(super) fn until(now: Timestamp, wait: Duration) -> Timestamp {
    // Rounded up: a time is never over before it is.
    let millis = wait.as_nanos().div_ceil(1_000_000);
    now.saturating_add(Timestamp::try_from(millis).unwrap_or(Timestamp::MAX))
}

fn push(
    batches: &mut Vec<StateBatch>,
    (first, last): (Offset, Offset),
    (state, count): (DeliveryState, i16),
) {
    match batches.last_mut() {
        _ if last < first => {}
        Some(before) if before.last + 1 == first && (before.state, before.count) == (state, count) => {
            before.last = last;
        }
        _ => batches.push(StateBatch { first, last, state, count }),
    }
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

/// Whether a record was not sent back for the queue of another group: what says so is its last header.
pub(super) fn is_sent_to(record: &RecordRef<'_>, group: &str) -> bool {
    let last = record.headers().last().filter(|header| header.key == REDRIVE_HEADER);
    last.is_none_or(|header| header.value == Some(group.as_bytes()))
}

/// Makes true what was read and written. Says whether something was passed over that was waiting.
fn hand_out(inner: &mut SlotInner, reading: Reading, lock: Lock) -> (Vec<Taken>, bool) {
    let Reading { again, fresh, taken: mut new, next } = reading;
    // Before the others: where one is not there any more, it may be the turn of one of these.
    inner.state.extend(&fresh, next, lock);
    let waited: u64 = again.iter().map(|(span, _)| span.len()).sum();
    let mut taken = Vec::new();
    for (span, records) in again {
        inner.state.acquire(&span, lock);
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
