//! The way in: check the records, give them offsets, and see to it that they go as far as asked for.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, TimestampType};
use crate::io::Deadline;
#[cfg(feature = "metrics")]
use crate::io::Stopwatch;
use crate::locks::MutexGuard;
use crate::log::log::Log;
use crate::log::open::Holding;
use crate::log::poison::{PanicGuard, PoisoningGuard};
use crate::log::write::accumulator::{Accumulator, Take};
use crate::log::write::group_sync::unanswered;
use crate::log::write::open_batch::Outcome;
use crate::log::write::placement::{NoteTerms, Placed, Placement, Waiting};
use crate::log::write::writer::Writer;
#[cfg(feature = "metrics")]
use crate::log::write::writer::is_sampled;
use crate::types::{Durability, Offset, Record, Timestamp};

/// How long a record stays in memory at most while readers of other processes follow.
const LINGER_FOR_OTHERS: Duration = Duration::from_millis(1);

/// How to append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Append {
    pub(crate) durability: Durability,
    /// Bytes at which a batch is full.
    pub(crate) batch_bytes: usize,
    /// How long a record accepted in memory may wait for others.
    pub(crate) linger: Duration,
    /// Append only if this is the next offset.
    pub(crate) expected_end: Option<Offset>,
    /// So many partitions may have an open batch that nobody waits for. Whoever opens one more writes the oldest.
    pub(crate) most_open_batches: usize,
    /// A layer above needs the records, and says so with [`need_from`](Log::need_from) and [`has_arrived`](Log::has_arrived).
    pub(crate) is_needed: bool,
}

/// Where records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Of the last record, Unix milliseconds.
    pub(crate) timestamp: Timestamp,
}

/// Records that may be placed as things are, as long as the accumulator is held.
pub(in crate::log) struct Admitted<'a> {
    pub(in crate::log) accumulator: MutexGuard<'a, Accumulator>,
    /// Read while it was held, so that the times that the log gives run as its offsets do.
    pub(in crate::log) now: Timestamp,
}

impl Log {
    /// Appends `records` as part of one batch, all or nothing, and returns when they are as far as `how` asks for.
    #[inline]
    pub(crate) fn append(self: &Arc<Self>, records: &[Record<'_>], how: &Append) -> Result<Appended> {
        self.append_of((records, NoteTerms::Yes), how)
    }

    /// The same as [`append_now`](Self::append_now), measured where that is asked for.
    #[cfg(feature = "metrics")]
    pub(in crate::log) fn append_of(
        self: &Arc<Self>,
        records: (&[Record<'_>], NoteTerms),
        how: &Append,
    ) -> Result<Appended> {
        let is_measured = how.durability == Durability::Disk || is_sampled(self.end());
        let watch = is_measured.then(Stopwatch::start);
        let appended = self.append_now(records, how)?;
        if let Some(watch) = watch {
            let [memory, os, disk] = &self.figures.appends;
            let histogram = match how.durability {
                Durability::Memory => memory,
                Durability::Os => os,
                Durability::Disk => disk,
            };
            histogram.note(watch.elapsed());
        }
        Ok(appended)
    }

    /// The same as [`append`](Self::append), `terms` being how the terms of these records are put down.
    #[cfg(not(feature = "metrics"))]
    #[inline]
    pub(in crate::log) fn append_of(
        self: &Arc<Self>,
        records: (&[Record<'_>], NoteTerms),
        how: &Append,
    ) -> Result<Appended> {
        self.append_now(records, how)
    }

    fn append_now(
        self: &Arc<Self>,
        (records, terms): (&[Record<'_>], NoteTerms),
        how: &Append,
    ) -> Result<Appended> {
        let Some(last) = records.last() else {
            return Err(Error::invalid("a batch needs at least one record"));
        };
        let most_bytes = Placement::most_bytes(records);
        self.check_poison()?;
        self.prerequisites.meet(Holding::Nothing)?;
        let mut accumulator = self.accumulator.lock();
        let mut now = self.clock.now();
        if accumulator.rules.size_limit.is_none() {
            self.admit(&mut accumulator, (records, most_bytes), how, now)?;
        } else {
            drop(accumulator);
            Admitted { accumulator, now } = self.admitted_where_limited(records, most_bytes, how, now)?;
        }
        if how.is_needed {
            self.arrives_at(accumulator.next_offset());
        }
        let (timestamp_type, linger) = (accumulator.rules.timestamp_type, how.linger);
        let batch_bytes = how.batch_bytes.min(accumulator.rules.max_bytes);
        let waiting = Waiting::No;
        let mut placement =
            Placement { records, most_bytes, batch_bytes, waiting, linger, now, terms: NoteTerms::No };
        // A batch that was left half encoded must not be written.
        let half_placed = self.poison.by_a_panic();
        let placed = if how.durability == Durability::Memory {
            // A reader of another process that is about to wait again cannot have it written.
            if self.watchers.are_followed_elsewhere() {
                placement.linger = linger.min(LINGER_FOR_OTHERS);
            }
            let placed = accumulator.place(&placement);
            let failures = accumulator.failures();
            drop(half_placed);
            let linger_ends =
                if placed.shortens_linger { accumulator.shorten_linger(placement.linger) } else { None };
            drop(accumulator);
            self.leave_in_memory((&placed, failures), linger_ends, how)?;
            placed
        } else if let Some(mut writer) = self.idle_writer(how.durability) {
            placement.waiting = Waiting::WritesItself;
            // Others join a batch whose sender does not wait: it is read again, whatever is put down.
            if accumulator.rules.key_index {
                placement.terms = terms;
            }
            self.place_and_write(&mut writer, accumulator, &placement, half_placed)?
        } else {
            placement.waiting = Waiting::ForAnother;
            let placed = accumulator.place(&placement);
            drop(half_placed);
            let outcome = accumulator.outcome_of_last();
            drop(accumulator);
            self.see_through(outcome, placed.last_offset, how.durability)?;
            placed
        };
        let timestamp = match timestamp_type {
            TimestampType::CreateTime => last.timestamp_millis().unwrap_or(now),
            TimestampType::LogAppendTime => placed.opened_at,
        };
        let Placed { first_offset, last_offset, .. } = placed;
        Ok(Appended { first_offset, last_offset, timestamp })
    }

    /// Whoever waits for the write alone and finds nobody writing does it at once, and has the outcome of its own call.
    #[inline]
    fn idle_writer(&self, durability: Durability) -> Option<PoisoningGuard<'_, Writer>> {
        if durability == Durability::Os { self.writer.try_lock() } else { None }
    }

    /// Places records and writes them, after whatever is queued before them.
    #[inline(always)]
    pub(in crate::log) fn place_and_write(
        self: &Arc<Self>,
        writer: &mut Writer,
        mut accumulator: MutexGuard<'_, Accumulator>,
        placement: &Placement<'_>,
        half_placed: PanicGuard<'_>,
    ) -> Result<Placed> {
        if accumulator.is_empty() {
            let (placed, batch) = accumulator.place_alone(placement, &mut writer.spent.batch);
            drop(half_placed);
            drop(accumulator);
            self.write_unqueued(writer, batch)?;
            return Ok(placed);
        }
        self.place_and_write_queued(writer, accumulator, placement, half_placed)
    }

    /// The same where others are before it.
    #[inline(never)]
    fn place_and_write_queued(
        self: &Arc<Self>,
        writer: &mut Writer,
        mut accumulator: MutexGuard<'_, Accumulator>,
        placement: &Placement<'_>,
        half_placed: PanicGuard<'_>,
    ) -> Result<Placed> {
        let placed = accumulator.place(placement);
        drop(half_placed);
        accumulator.recycle(&mut writer.spent);
        let batches = accumulator.take(Take::All);
        drop(accumulator);
        self.write_batches(writer, batches)?;
        Ok(placed)
    }

    /// The same look as at any append, in a partition that has a limit: room is made for the records, and only for those
    /// that nothing else refuses.
    #[cold]
    fn admitted_where_limited(
        self: &Arc<Self>,
        records: &[Record<'_>],
        most_bytes: usize,
        how: &Append,
        now: Timestamp,
    ) -> Result<Admitted<'_>> {
        let bytes = Placement::alone_bytes(records, now) as u64;
        self.admitted_within_limit(bytes, |accumulator, now| {
            self.admit(accumulator, (records, most_bytes), how, now)
        })
    }

    /// Everything that an append may be refused for, but a limit of the partition's size.
    #[inline(always)]
    pub(in crate::log) fn admit(
        &self,
        accumulator: &mut Accumulator,
        (records, most_bytes): (&[Record<'_>], usize),
        how: &Append,
        now: Timestamp,
    ) -> Result<()> {
        accumulator.rules.check(records, &self.topic_partition, now)?;
        if BatchHeader::LEN + most_bytes > accumulator.rules.max_bytes {
            accumulator.rules.check_size(Placement::alone_bytes(records, now))?;
        }
        if accumulator.refuses()
            && let Some(refusal) = accumulator.take_refusal()
        {
            return Err(self.lost(refusal));
        }
        let found = accumulator.next_offset();
        if let Some(expected) = how.expected_end.filter(|expected| *expected != found) {
            return Err(Error::UnexpectedEnd { partition: self.topic_partition.clone(), expected, found });
        }
        let count = Offset::try_from(records.len()).unwrap_or(Offset::MAX);
        if found.checked_add(count).is_none() {
            return Err(Error::invalid(format!("{} has no offsets left", self.topic_partition)));
        }
        Ok(())
    }

    /// Returns when placed records are as far as their sender asks for, who waits for it.
    #[inline]
    fn see_through(
        self: &Arc<Self>,
        outcome: Option<Arc<Outcome>>,
        last_offset: Offset,
        durability: Durability,
    ) -> Result<()> {
        let outcome = outcome.ok_or_else(unanswered)?;
        match durability {
            Durability::Disk => self.written_and_synced(&outcome, last_offset),
            Durability::Memory | Durability::Os => self.written(&outcome),
        }
    }

    /// The record, placed after so many failures, stays in the open batch; full ones are written by whoever filled them.
    #[inline]
    fn leave_in_memory(
        self: &Arc<Self>,
        (placed, failures): (&Placed, u64),
        linger_ends: Option<Deadline>,
        how: &Append,
    ) -> Result<()> {
        if placed.ready || how.linger.is_zero() {
            let which = if how.linger.is_zero() { Take::All } else { Take::Full };
            self.write_with(&mut self.writer.lock(), which);
            self.tell_own((placed, failures))?;
        }
        // Looked at first: whoever is woken says again that it waits.
        let is_wanted_elsewhere = self.watchers.is_wanted_elsewhere();
        if placed.opened {
            self.watchers.raise();
        }
        if is_wanted_elsewhere {
            // A reader of another process cannot ask for it, as one at home does.
            self.write_queued();
        }
        if let Some(deadline) = linger_ends.filter(|_| !how.linger.is_zero())
            && let Some(open_batches) = self.linger_until(deadline)
        {
            self.make_room_in_memory(open_batches, how.most_open_batches);
        }
        Ok(())
    }

    /// Each open batch holds at most a batch's worth of bytes, so their number bounds the memory.
    fn make_room_in_memory(&self, open_batches: usize, most: usize) {
        for _ in most..open_batches {
            if let Some(oldest) = self.agenda.oldest_lingering() {
                // It has nobody to report to: a failure reaches the next sender there.
                drop(oldest.run());
            }
        }
    }

    /// Returns when the batch with that outcome is written. Whoever gets the writer writes for all.
    fn written(self: &Arc<Self>, outcome: &Outcome) -> Result<()> {
        if let Some(written) = outcome.get() {
            return written;
        }
        let mut writer = self.writer.lock();
        if let Some(written) = outcome.get() {
            return written;
        }
        self.write_with(&mut writer, Take::All);
        drop(writer);
        outcome.get().unwrap_or_else(|| Err(unanswered()))
    }

    /// The loss of records accepted in memory, if there was one and no flush has told it.
    pub(crate) fn tell_lost(&self) -> Result<()> {
        self.check_process()?;
        self.accumulator.lock().take_lost().map_or(Ok(()), Err)
    }

    /// Whether there is one.
    pub(crate) fn has_lost(&self) -> bool {
        self.accumulator.lock().losses.is_any()
    }

    /// What is said of a loss of records: of a partition that was deleted that it is gone, as by every other call.
    #[cold]
    pub(in crate::log) fn lost(&self, loss: Error) -> Error {
        match self.check_open() {
            Err(gone @ Error::UnknownTopic { .. }) => gone,
            Ok(()) | Err(_) => loss,
        }
    }

    /// The loss of records that were placed after so many failures. That of another's is told to others: these stand, or wait still.
    #[inline]
    fn tell_own(&self, (placed, failures): (&Placed, u64)) -> Result<()> {
        let mut accumulator = self.accumulator.lock();
        if accumulator.is_lost(placed.last_offset, failures) {
            let own = placed.first_offset..=placed.last_offset;
            return Err(self.lost(accumulator.take_own((own, failures), &self.topic_partition)));
        }
        Ok(())
    }
}
