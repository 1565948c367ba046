//! Appending what belongs together: a producer's batches, the parts of a transaction, the markers that end one.
//!
//! A stage holds the writer of its partition. Whoever needs several takes them all, in an order that all keep, then checks
//! everything that has to hold, then places, then writes: nobody else's records come in between, and what is refused has
//! changed nothing.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, EndMarker, ProducerStamp, TimestampType};
use crate::locks::MutexGuard;
use crate::log::log::Log;
use crate::log::poison::PoisoningGuard;
use crate::log::producers::table::ProducerTable;
use crate::log::producers::table::{Refusal, Remembered, Sender, Verdict};
use crate::log::write::accumulator::{Accumulator, Take};
use crate::log::write::open_batch::{OpenBatch, Position};
use crate::log::write::placement::{self, Placement};
use crate::log::write::writer::{Phase, Writer};
use crate::types::{NO_TIMESTAMP, Offset, Record, Timestamp};

/// A marker's bytes, and more than enough for the header of another batch.
const MARKER_BYTES: usize = 78;

/// What is to be appended to one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// In their order; never empty.
    pub(crate) records: &'a [Record<'a>],
    pub(crate) stamp: ProducerStamp,
    /// Ends the transaction there and then: nothing of it stands anywhere else.
    pub(crate) ends_with: Option<EndMarker>,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartPlace {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Of its last record.
    pub(crate) timestamp: Timestamp,
}

/// How a transaction stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no end there, and was written up to this offset.
    Open { last: Offset },
    /// It has its end there: a marker carries the next epoch.
    Ended,
    /// None of it is known: it was never written there, or so long ago that its producer is forgotten.
    Unknown,
}

impl Standing {
    pub(in crate::log) fn of(producers: &ProducerTable, (producer_id, epoch): (i64, i16)) -> Self {
        match producers.open_of(producer_id) {
            Some(open) if open.producer_epoch == epoch => Self::Open { last: open.last },
            _ if producers.epoch(producer_id).is_some_and(|known| known > epoch) => Self::Ended,
            _ => Self::Unknown,
        }
    }
}

/// A partition whose writer is held.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    log: &'a Arc<Log>,
    writer: PoisoningGuard<'a, Writer>,
    /// Held from the check to the placing.
    accumulator: Option<MutexGuard<'a, Accumulator>>,
    /// The first offset that was placed and is not written.
    placed: Option<Offset>,
    /// Something was written that readers were not told of.
    owes_news: bool,
    /// Read while the accumulator was held, so that the times that the log gives run as its offsets do.
    now: Timestamp,
    /// What the clock showed while the records were given, at the earliest and at the latest, where that was before.
    given: Option<(Timestamp, Timestamp)>,
}

impl Log {
    /// Takes the writer, with everything written that was in memory.
    pub(crate) fn stage(self: &Arc<Self>) -> Result<Stage<'_>> {
        self.check_poison()?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Take::All);
        self.opened(&mut writer)?;
        let (accumulator, placed, owes_news, now, given) = (None, None, false, NO_TIMESTAMP, None);
        Ok(Stage { log: self, writer, accumulator, placed, owes_news, now, given })
    }

    /// Whether records could be appended at all, their order and number apart; splits them into batches as large as may be.
    pub(crate) fn check_records(&self, records: &[Record<'_>]) -> Result<()> {
        self.check_process()?;
        let now = self.clock.now();
        let accumulator = self.accumulator.lock();
        accumulator.rules.check(records, &self.topic_partition, now)?;
        records.iter().try_for_each(|record| {
            accumulator.rules.check_size(Placement::alone_bytes(std::slice::from_ref(record), now))
        })
    }

    /// Sees to it that there is room for records of so many bytes.
    pub(crate) fn check_room(self: &Arc<Self>, bytes: u64) -> Result<()> {
        self.admitted_within_limit(bytes, |_, _| Ok(())).map(drop)
    }

    /// The same for records that are to be one batch. Nothing is taken out for those that may not be appended.
    pub(crate) fn check_room_for(self: &Arc<Self>, records: &[Record<'_>]) -> Result<()> {
        self.admitted_within_limit(self.batch_bytes(records), |accumulator, now| {
            accumulator.rules.check(records, &self.topic_partition, now)?;
            accumulator.rules.check_size(Placement::alone_bytes(records, now))
        })
        .map(drop)
    }

    /// Whether it may have so many bytes, and no more.
    pub(crate) fn is_limited(&self) -> bool {
        self.config().size_limit.is_some()
    }

    /// Bytes of a batch of these records.
    pub(crate) fn batch_bytes(&self, records: &[Record<'_>]) -> u64 {
        Placement::alone_bytes(records, self.clock.now()) as u64
    }

    /// Whether records and a marker fit into one segment, for sure.
    pub(crate) fn fits_one_segment(&self, records: &[Record<'_>]) -> bool {
        let most = Placement::most_bytes(records) + records.len() * BatchHeader::LEN + MARKER_BYTES;
        most <= self.config().segment.max_bytes as usize
    }

    /// What a producer was told of its sequences in this partition.
    pub(crate) fn last_sequence(&self, producer_id: i64, epoch: i16) -> Option<i32> {
        self.check_process().ok()?;
        self.producers.lock().last_sequence(producer_id, epoch)
    }

    /// What is known of the transaction of a producer in an epoch.
    pub(crate) fn standing(&self, producer: (i64, i16)) -> Standing {
        match &self.follow {
            None => Standing::of(&self.producers.lock(), producer),
            Some(_) => self.left_standing(producer),
        }
    }

    /// Has what an earlier life has left, and no sync reaches, be copied to where one does.
    pub(crate) fn settle_left(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        if matches!(writer.phase, Phase::Untouched(_)) { self.settle(&mut writer) } else { Ok(()) }
    }

    /// Returns when everything up to `last`, which is written, survives a power cut.
    pub(crate) fn sync_through(self: &Arc<Self>, last: Offset) -> Result<()> {
        self.check_poison()?;
        if self.durable() > last {
            return Ok(());
        }
        if matches!(self.writer.lock().phase, Phase::Untouched(_)) {
            // What an earlier life has written: it has to be brought onto the disk first.
            return self.flush_for_others();
        }
        self.synced(last)
    }
}

impl<'a> Stage<'a> {
    /// The partition.
    pub(crate) fn log(&self) -> &'a Arc<Log> {
        self.log
    }

    /// Keeps everybody else from placing records until [`write`](Self::write).
    pub(crate) fn hold(&mut self) {
        if self.accumulator.is_none() {
            self.accumulator = Some(self.log.accumulator.lock());
            self.now = self.log.clock.now();
        }
    }

    /// The same, and writes what is in memory: from then on the log holds all there is.
    pub(crate) fn hold_written(&mut self) -> Result<()> {
        self.hold();
        if let Some(accumulator) = self.accumulator.take() {
            self.owes_news |= !accumulator.is_empty();
            self.accumulator = Some(self.log.write_batches_held(&mut self.writer, accumulator)?);
        }
        Ok(())
    }

    /// The offset of the next record, while it is [held](Self::hold).
    pub(crate) fn next_offset(&self) -> Option<Offset> {
        self.accumulator.as_ref().map(|accumulator| accumulator.next_offset())
    }

    /// Whether the records may be appended as they are.
    pub(crate) fn check(&mut self, records: &[Record<'_>]) -> Result<()> {
        self.hold();
        let Some(accumulator) = &self.accumulator else { return Err(self.log.closed()) };
        accumulator.rules.check_given(records, &self.log.topic_partition, self.now, self.given())?;
        // Those of the batch, and of a marker.
        let count = i64::try_from(records.len()).unwrap_or(i64::MAX).saturating_add(1);
        if accumulator.next_offset().checked_add(count).is_none() {
            return Err(Error::invalid(format!("{} has no offsets left", self.log.topic_partition)));
        }
        let alone = |record| Placement::alone_bytes(std::slice::from_ref(record), self.now);
        records.iter().try_for_each(|record| accumulator.rules.check_size(alone(record)))
    }

    /// The records were given before, while the clock showed these times: one that is turned back since refuses none of them.
    pub(crate) fn were_given(&mut self, at: (Timestamp, Timestamp)) {
        self.given = Some(at);
    }

    /// Between which times theirs may be, with what the settings allow on both sides.
    fn given(&self) -> (Timestamp, Timestamp) {
        let (from, to) = self.given.unwrap_or((self.now, self.now));
        (from.min(self.now), to.max(self.now))
    }

    /// The same for records that are to be one batch.
    pub(crate) fn check_batch(&mut self, records: &[Record<'_>]) -> Result<()> {
        self.check(records)?;
        let Some(accumulator) = &self.accumulator else { return Err(self.log.closed()) };
        accumulator.rules.check_size(BatchHeader::LEN + Placement::most_bytes(records))
    }

    /// Whether the producer may append the part now. Where its batch is in the log already, it says where.
    pub(crate) fn check_producer(&self, part: &Part<'_>) -> Result<Option<Remembered>> {
        let ProducerStamp { producer_id, producer_epoch, base_sequence, is_transactional } = part.stamp;
        let record_count = i32::try_from(part.records.len()).unwrap_or(i32::MAX);
        let sender = Sender { producer_id, producer_epoch, base_sequence, record_count, is_transactional };
        let verdict = self.log.producers.lock().check(&sender);
        let partition = || self.log.topic_partition.clone();
        match verdict {
            Ok(Verdict::Append) => Ok(None),
            Ok(Verdict::Duplicate(batch)) => Ok(Some(batch)),
            Err(Refusal::Fenced { .. }) => Err(Error::Fenced { name: partition().to_string() }),
            Err(Refusal::OutOfSequence { expected }) => {
                Err(Error::OutOfSequence { partition: partition(), expected, found: base_sequence })
            }
            Err(Refusal::InTransaction) => {
                Err(Error::invalid(format!("the producer has a transaction open in {}", partition())))
            }
        }
    }

    /// Gives the records their offsets. What was checked before still holds.
    pub(crate) fn place(&mut self, part: &Part<'_>) -> Result<PartPlace> {
        self.hold();
        let (now, given) = (self.now, self.given());
        let Some(accumulator) = self.accumulator.as_mut() else { return Err(self.log.closed()) };
        accumulator.rules.check_given(part.records, &self.log.topic_partition, now, given)?;
        let first_offset = accumulator.next_offset();
        let max_bytes = accumulator.rules.max_bytes;
        let mut stamp = part.stamp;
        let mut batches = Vec::new();
        let mut next = first_offset;
        for records in split(part.records, max_bytes) {
            let mut batch = placed(records, next, now);
            batch.builder.stamp(stamp);
            stamp.base_sequence = batch.next_sequence(&stamp);
            next = batch.builder.next_offset();
            batches.push(batch);
        }
        if let Some(marker) = part.ends_with {
            batches.push(OpenBatch::marker(marker, next, now)?);
            keep_together(&mut batches);
        }
        let own = part.records.last().and_then(Record::timestamp_millis);
        let timestamp = match accumulator.rules.timestamp_type {
            TimestampType::CreateTime => own.unwrap_or(now),
            TimestampType::LogAppendTime => now,
        };
        batches.into_iter().for_each(|batch| accumulator.push_closed(Box::new(batch)));
        self.placed.get_or_insert(first_offset);
        Ok(PartPlace { first_offset, last_offset: next - 1, timestamp })
    }

    /// Places a marker that ends a transaction whose end is decided.
    pub(crate) fn place_marker(&mut self, marker: EndMarker) -> Result<Offset> {
        self.hold();
        let Some(accumulator) = self.accumulator.as_mut() else { return Err(self.log.closed()) };
        let offset = accumulator.next_offset();
        accumulator.push_closed(Box::new(OpenBatch::marker(marker, offset, self.now)?));
        self.placed.get_or_insert(offset);
        Ok(offset)
    }

    /// The marker that ends the producer's transaction here, if there is one to end.
    pub(crate) fn marker(&self, producer_id: i64) -> Option<EndMarker> {
        self.log.producers.lock().marker(producer_id)
    }

    /// Writes what was placed.
    pub(crate) fn write(&mut self) -> Result<()> {
        let Some(mut accumulator) = self.accumulator.take() else { return Ok(()) };
        self.placed = None;
        let batches = accumulator.take(Take::All);
        drop(accumulator);
        self.log.write_batches(&mut self.writer, batches)
    }
}

impl Drop for Stage<'_> {
    /// What was placed and not written never was: its offsets are given out again.
    fn drop(&mut self) {
        if let (Some(accumulator), Some(placed)) = (&mut self.accumulator, self.placed) {
            accumulator.take_back(placed);
        }
        if self.owes_news {
            drop(self.accumulator.take());
            self.log.watchers.raise();
        }
    }
}

/// A batch of these records and no others.
fn placed(records: &[Record<'_>], first_offset: Offset, now: Timestamp) -> OpenBatch {
    let placement = Placement {
        records,
        most_bytes: Placement::most_bytes(records),
        batch_bytes: 1,
        waiting: placement::Waiting::WritesItself,
        linger: std::time::Duration::ZERO,
        now,
        terms: placement::NoteTerms::No,
    };
    let mut batch = OpenBatch::new(&placement, first_offset);
    batch.put(&placement, first_offset);
    batch
}

/// Runs of records of which each fits into one batch.
fn split<'r>(records: &'r [Record<'r>], max_bytes: usize) -> Vec<&'r [Record<'r>]> {
    let mut runs = Vec::new();
    let (mut from, mut bytes) = (0, BatchHeader::LEN);
    for (at, record) in records.iter().enumerate() {
        let more = Placement::most_bytes(std::slice::from_ref(record));
        if at > from && bytes + more > max_bytes {
            runs.extend(records.get(from..at));
            (from, bytes) = (at, BatchHeader::LEN);
        }
        bytes += more;
    }
    runs.extend(records.get(from..).filter(|rest| !rest.is_empty()));
    runs
}

/// Records and their end are in one segment: a sync makes all of them durable, or none.
fn keep_together(batches: &mut [OpenBatch]) {
    let bytes: usize = batches.iter().map(OpenBatch::len).sum();
    for (number, batch) in batches.iter_mut().enumerate() {
        batch.position = if number == 0 { Position::Opens { bytes } } else { Position::Follows };
    }
}
