//! The way in: check the records, give them offsets, and see to it that they go as far as asked for.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, TimestampType};
use crate::log::log::Log;
use crate::log::write::accumulator::{Accumulator, Which};
use crate::log::write::open_batch::Outcome;
use crate::log::write::placement::{Placed, Placement, Sender};
use crate::types::{Durability, Offset, Record, Timestamp};

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
}

/// Where records were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Of the last record, Unix milliseconds.
    pub(crate) timestamp: Timestamp,
    /// How many partitions now have an open batch, when this append opened one that nobody waits for.
    pub(crate) open_batches: Option<usize>,
}

impl Log {
    /// Appends `records` as part of one batch, all or nothing, and returns when they are as far as `how` asks for.
    pub(crate) fn append(self: &Arc<Self>, records: &[Record<'_>], how: &Append) -> Result<Appended> {
        self.check_poison()?;
        let now = self.clock.now();
        let Some(last) = records.last() else {
            return Err(Error::invalid("a batch needs at least one record"));
        };
        let most_bytes = Placement::most_bytes(records);
        // Whoever waits for the write alone and finds nobody writing does it at once, and is told of it by its own call.
        let mut writer = if how.durability == Durability::Os { self.writer.try_lock() } else { None };
        let mut accumulator = self.accumulator.lock();
        if let Some(limit) = accumulator.rules.size_limit {
            drop(accumulator);
            writer = None;
            self.make_room(Placement::alone_bytes(records, now) as u64, &limit)?;
            accumulator = self.accumulator.lock();
        }
        accumulator.rules.check(records, &self.label, now)?;
        if BatchHeader::LEN + most_bytes > accumulator.rules.max_bytes {
            accumulator.rules.check_size(Placement::alone_bytes(records, now))?;
        }
        self.check_place(&mut accumulator, records.len(), how.expected_end)?;
        let timestamp_type = accumulator.rules.timestamp_type;
        let batch_bytes = how.batch_bytes.min(accumulator.rules.max_bytes);
        let sender = match (how.durability, &writer) {
            (Durability::Memory, _) => Sender::GoesOn,
            (Durability::Os | Durability::Disk, None) => Sender::Waits,
            (Durability::Os | Durability::Disk, Some(_)) => Sender::Writes,
        };
        let placed = accumulator.place(&Placement {
            records,
            most_bytes,
            batch_bytes,
            sender,
            linger: how.linger,
            now,
        });
        let mut open_batches = None;
        if let Some(mut writer) = writer {
            accumulator.recycle(&mut writer.spent);
            let batches = accumulator.take(Which::All);
            drop(accumulator);
            self.write_batches(&mut writer, batches)?;
        } else {
            drop(accumulator);
            match &placed.outcome {
                None => open_batches = self.leave_in_memory(&placed, how.linger)?,
                Some(outcome) if how.durability == Durability::Disk => {
                    self.written_and_synced(outcome, placed.last_offset)?;
                }
                Some(outcome) => self.written(outcome)?,
            }
        }
        let timestamp = match timestamp_type {
            TimestampType::CreateTime => last.timestamp_millis().unwrap_or(now),
            TimestampType::LogAppendTime => placed.opened_at,
        };
        let Placed { first_offset, last_offset, .. } = placed;
        Ok(Appended { first_offset, last_offset, timestamp, open_batches })
    }

    /// Whether `count` records may be placed now, and whether the caller has first to be told of others that were lost.
    #[inline]
    fn check_place(
        &self,
        accumulator: &mut Accumulator,
        count: usize,
        expected_end: Option<Offset>,
    ) -> Result<()> {
        if let Some(lost) = accumulator.take_lost() {
            return Err(lost);
        }
        let found = accumulator.next_offset();
        if let Some(expected) = expected_end.filter(|expected| *expected != found) {
            return Err(Error::UnexpectedEnd { partition: self.label.to_string(), expected, found });
        }
        let count = Offset::try_from(count).unwrap_or(Offset::MAX);
        if found.checked_add(count).is_none() {
            return Err(Error::invalid(format!("{} has no offsets left", self.label)));
        }
        Ok(())
    }

    /// The record stays in the open batch; full ones are written by whoever filled them.
    #[inline]
    fn leave_in_memory(self: &Arc<Self>, placed: &Placed, linger: Duration) -> Result<Option<usize>> {
        if placed.ready || linger.is_zero() {
            let which = if linger.is_zero() { Which::All } else { Which::Full };
            self.write_with(&mut self.writer.lock(), which);
            self.tell_lost()?;
        }
        if placed.opened {
            self.watchers.raise();
        }
        match placed.linger_ends {
            Some(deadline) if !linger.is_zero() => Ok(self.linger_until(deadline)),
            _ => Ok(None),
        }
    }

    /// Returns when the batch with that outcome is written. Whoever waits longest writes for all.
    fn written(self: &Arc<Self>, outcome: &Outcome) -> Result<()> {
        if let Some(written) = outcome.get() {
            return written;
        }
        let mut writer = self.writer.lock();
        if let Some(written) = outcome.get() {
            return written;
        }
        self.write_with(&mut writer, Which::All);
        drop(writer);
        // A batch leaves memory only with its outcome set, and this one was in memory or being written a moment ago.
        outcome.get().unwrap_or_else(|| Err(Error::invalid("a batch was neither written nor refused")))
    }

    /// Writes what is in memory: for readers at the end, for a full batch, at the end of a linger.
    pub(crate) fn write_queued(self: &Arc<Self>) {
        if self.accumulator.lock().is_empty() {
            return;
        }
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Which::All);
    }

    /// Whether `offset` may be asked for: it is not behind what was given out. Waits for a write that is under way, whose
    /// records are neither in memory any more nor in the log yet.
    pub(in crate::log) fn is_within_end(self: &Arc<Self>, offset: Offset) -> bool {
        if offset > self.end() {
            self.write_accepted();
        }
        offset <= self.end()
    }

    /// Returns when everything that was accepted before is written or was refused: what is in memory, and what another
    /// thread is writing, whose records are neither in memory any more nor in the log yet.
    pub(crate) fn write_accepted(self: &Arc<Self>) {
        if self.next_offset() > self.end() {
            let mut writer = self.writer.lock();
            self.write_with(&mut writer, Which::All);
        }
    }

    /// The loss of records accepted in memory, if there was one and nobody was told.
    pub(crate) fn tell_lost(&self) -> Result<()> {
        self.accumulator.lock().take_lost().map_or(Ok(()), Err)
    }
}
