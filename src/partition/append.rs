//! The way in: check the records, give them offsets, and see to it that they go as far as asked for.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, NewRecord, TimestampType};
use crate::partition::accumulator::{Outcome, Placed, Placement, Which};
use crate::partition::config::{KeyRule, LogConfig};
use crate::partition::log::Log;
use crate::sync::Ordering;
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
        // One record is the usual case and costs no allocation.
        if let [record] = records {
            return self.append_new(&[new_record(record, now)], how, now);
        }
        let new: Vec<_> = records.iter().map(|record| new_record(record, now)).collect();
        self.append_new(&new, how, now)
    }

    fn append_new(
        self: &Arc<Self>,
        records: &[NewRecord<'_>],
        how: &Append,
        now: Timestamp,
    ) -> Result<Appended> {
        let Some(last) = records.last() else {
            return Err(Error::invalid("a batch needs at least one record"));
        };
        let alone_bytes = Placement::alone_bytes(records);
        let (batch_bytes, timestamp_type, size_limit) = {
            let config = self.config.read();
            records.iter().try_for_each(|record| self.check_record(record, &config, now))?;
            check_size(alone_bytes, &config)?;
            (how.batch_bytes.min(largest_batch(&config).0), config.timestamp_type, config.size_limit)
        };
        if let Some(limit) = size_limit {
            self.make_room(alone_bytes as u64, &limit)?;
        }
        let placement = Placement { records, alone_bytes, batch_bytes, durability: how.durability, now };
        let placed = self.place(&placement, how.expected_end)?;
        let timestamp = match timestamp_type {
            TimestampType::CreateTime => last.timestamp,
            TimestampType::LogAppendTime => placed.opened_at,
        };
        let open_batches = match how.durability {
            Durability::Memory => self.leave_in_memory(&placed, how.linger)?,
            Durability::Os => self.written(&placed.outcome).map(|()| None)?,
            Durability::Disk => {
                self.written(&placed.outcome)?;
                self.synced(placed.last_offset)?;
                None
            }
        };
        let Placed { first_offset, last_offset, .. } = placed;
        Ok(Appended { first_offset, last_offset, timestamp, open_batches })
    }

    fn place(&self, placement: &Placement<'_>, expected_end: Option<Offset>) -> Result<Placed> {
        let mut accumulator = self.accumulator.lock();
        if let Some(lost) = accumulator.take_lost() {
            return Err(lost);
        }
        let found = accumulator.next_offset();
        if let Some(expected) = expected_end.filter(|expected| *expected != found) {
            return Err(Error::UnexpectedEnd { partition: self.label.to_string(), expected, found });
        }
        let count = Offset::try_from(placement.records.len()).unwrap_or(Offset::MAX);
        if found.checked_add(count).is_none() {
            return Err(Error::invalid(format!("{} has no offsets left", self.label)));
        }
        Ok(accumulator.place(placement))
    }

    /// The record stays in the open batch; full ones are written by whoever filled them.
    fn leave_in_memory(self: &Arc<Self>, placed: &Placed, linger: Duration) -> Result<Option<usize>> {
        if placed.ready || linger.is_zero() {
            let which = if linger.is_zero() { Which::All } else { Which::Full };
            self.write_with(&mut self.writer.lock(), which);
            self.tell_lost()?;
        }
        if !placed.opened || linger.is_zero() {
            return Ok(None);
        }
        self.watchers.raise();
        let enlisted = self.lingers.swap(true, Ordering::AcqRel);
        Ok((!enlisted).then(|| self.agenda.add_lingering(self, linger)))
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

    /// The open batch's linger is over.
    pub(crate) fn end_linger(self: &Arc<Self>) {
        self.lingers.store(false, Ordering::Release);
        self.write_queued();
    }

    /// The loss of records accepted in memory, if there was one and nobody was told.
    pub(crate) fn tell_lost(&self) -> Result<()> {
        self.accumulator.lock().take_lost().map_or(Ok(()), Err)
    }

    fn check_record(&self, record: &NewRecord<'_>, config: &LogConfig, now: Timestamp) -> Result<()> {
        if config.key_rule == KeyRule::Required && record.key.is_none() {
            return Err(Error::KeyRequired { partition: self.label.to_string() });
        }
        if config.timestamp_type == TimestampType::LogAppendTime {
            return Ok(());
        }
        let earliest = now.saturating_sub(millis(config.timestamp_before_max)).max(0);
        let latest = now.saturating_add(millis(config.timestamp_after_max));
        if record.timestamp < earliest || record.timestamp > latest {
            return Err(Error::InvalidTimestamp { timestamp: record.timestamp, earliest, latest });
        }
        Ok(())
    }
}

fn new_record<'a>(record: &'a Record<'a>, now: Timestamp) -> NewRecord<'a> {
    NewRecord {
        timestamp: record.timestamp_millis().unwrap_or(now),
        key: record.key_bytes(),
        value: record.value_bytes(),
        headers: record.headers(),
    }
}

/// The largest batch in bytes, and the setting that says so.
fn largest_batch(config: &LogConfig) -> (usize, &'static str) {
    if config.max_message_bytes <= config.segment.max_bytes {
        (config.max_message_bytes as usize, "max.message.bytes")
    } else {
        (config.segment.max_bytes as usize, "segment.bytes")
    }
}

fn check_size(bytes: usize, config: &LogConfig) -> Result<()> {
    debug_assert!(bytes > BatchHeader::LEN, "a batch of no records has no size to check");
    let (limit, setting) = largest_batch(config);
    if bytes > limit {
        return Err(Error::RecordTooLarge { size: bytes as u64, limit: limit as u64, setting });
    }
    Ok(())
}

fn millis(duration: Duration) -> Timestamp {
    Timestamp::try_from(duration.as_millis()).unwrap_or(Timestamp::MAX)
}
