//! The writer of a partition: batches from memory to the active segment, and the roll to the next one.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::figures::Appended;
use crate::format::{BatchHeader, Codec, Compression, Compressor, Seal, SealedBatch, TimestampType};
#[cfg(feature = "metrics")]
use crate::io::Stopwatch;
use crate::locks::MutexGuard;
use crate::log::config::LogConfig;
use crate::log::follow::table::FollowedTable;
use crate::log::log::Log;
use crate::log::open::recovery::Examined;
use crate::log::retain::retention::millis;
use crate::log::table::state_file::StateFile;
use crate::log::write::accumulator::{Accumulator, Take};
use crate::log::write::append_times::AppendTimes;
use crate::log::write::attempts::Attempts;
use crate::log::write::losses::was_tried;
use crate::log::write::open_batch::{Batches, OpenBatch, Position, Recycled};
use crate::log::write::roll::Due;
use crate::log::write::spares::SMALL_BYTES;
use crate::segment::{ActiveSegment, NewBatch, WriteFailure};
use crate::types::{Offset, Timestamp};

/// What only the thread that writes may touch.
#[derive(Debug)]
pub(in crate::log) struct Writer {
    pub(in crate::log) phase: Phase,
    /// Without working memory but while a batch is compressed.
    compressor: Compressor,
    attempts: Attempts,
    /// What of the partition's configuration a batch is written by.
    rules: WriteRules,
    /// Buffers for the accumulator, given back when it is locked anyway.
    pub(in crate::log) spent: Recycled,
    /// Bytes written since the last sync began.
    pub(in crate::log) unsynced_bytes: u64,
    /// True while the log stands on the agenda to be synced.
    pub(in crate::log) awaits_sync: bool,
    /// Where the oldest transaction begins whose end is not decided.
    pub(in crate::log) first_undecided: Option<Offset>,
    /// Where the oldest begins that the log alone does not show to be committed or aborted.
    pub(in crate::log) uncommitted: Option<Offset>,
    /// Since the log was opened.
    pub(in crate::log) appended: Appended,
}

/// How a batch is written, and when the segment before it is full of age.
#[derive(Debug, Clone, Copy)]
struct WriteRules {
    compression: Compression,
    timestamp_type: TimestampType,
    /// In milliseconds.
    segment_age: Timestamp,
    key_index: bool,
}

/// Of what comes too often to be measured each time, what is.
#[cfg(feature = "metrics")]
#[inline]
pub(in crate::log) fn is_sampled(offset: Offset) -> bool {
    offset & 15 == 0
}

impl WriteRules {
    fn new(config: &LogConfig) -> Self {
        let LogConfig { compression, timestamp_type, segment_age, key_index, .. } = *config;
        Self { compression, timestamp_type, segment_age: millis(segment_age), key_index }
    }
}

/// The life of a partition's write side.
#[derive(Debug)]
pub(in crate::log) enum Phase {
    /// Opened and not yet appended to: the files are as they were found.
    Untouched(Box<Examined>),
    /// Appending.
    Open(Box<Open>),
    /// Another process appends.
    Followed(Box<FollowedTable>),
    /// Closed, or given up after a failure that left the files in an unknown state.
    Closed,
}

/// A partition that is appended to.
#[derive(Debug)]
pub(in crate::log) struct Open {
    pub(in crate::log) active: ActiveSegment,
    /// When `active` was appended to.
    pub(in crate::log) appended: AppendTimes,
    pub(in crate::log) state: StateFile,
}

/// Batches on their way from memory to the segment. A panic in the middle of it refuses those that are not written, so
/// that nobody waits for them for ever or takes them for written.
struct InFlight<'a> {
    log: &'a Log,
    batches: Batches,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.batches.is_empty() {
            self.log.fail_by_panic(std::mem::take(&mut self.batches));
        }
    }
}

/// The same of one batch.
struct UnqueuedInFlight<'a> {
    log: &'a Log,
    batch: Option<Box<OpenBatch>>,
}

impl Drop for UnqueuedInFlight<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.log.fail_by_panic(Batches::from([batch]));
        }
    }
}

impl Writer {
    pub(in crate::log) fn new(found: Examined, config: &LogConfig) -> Self {
        let start = found.state.state().log_start;
        Self {
            first_undecided: found.producers.first_undecided(start),
            uncommitted: found.producers.uncommitted(start),
            phase: Phase::Untouched(Box::new(found)),
            compressor: Compressor::default(),
            attempts: Attempts::default(),
            rules: WriteRules::new(config),
            spent: Recycled::default(),
            unsynced_bytes: 0,
            awaits_sync: false,
            appended: Appended::default(),
        }
    }

    /// Of a log that another process writes.
    pub(in crate::log) fn idle(config: &LogConfig) -> Self {
        Self {
            first_undecided: None,
            uncommitted: None,
            appended: Appended::default(),
            phase: Phase::Closed,
            compressor: Compressor::default(),
            attempts: Attempts::default(),
            rules: WriteRules::new(config),
            spent: Recycled::default(),
            unsynced_bytes: 0,
            awaits_sync: false,
        }
    }

    pub(in crate::log) fn set_config(&mut self, config: &LogConfig) {
        self.rules = WriteRules::new(config);
        self.attempts = Attempts::default();
        if let Phase::Open(open) = &mut self.phase {
            open.active.set_config(config.segment);
        }
    }
}

impl Log {
    /// Writes batches from memory, each in one write, and tells their waiters and the readers.
    pub(in crate::log) fn write_with(self: &Arc<Self>, writer: &mut Writer, which: Take) {
        let batches = {
            let mut accumulator = self.accumulator.lock();
            accumulator.recycle(&mut writer.spent);
            accumulator.take(which)
        };
        // Whoever waits has the outcome from its batch.
        drop(self.write_batches(writer, batches));
    }

    /// Writes batches that were taken from memory. The outcome is that of the last one: where one fails, so do those
    /// after it.
    pub(in crate::log) fn write_batches(
        self: &Arc<Self>,
        writer: &mut Writer,
        batches: Batches,
    ) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        let mut in_flight = InFlight { log: self, batches };
        let outcome = self.write_each(writer, &mut in_flight.batches);
        if let Err(error) = &outcome {
            self.fail(std::mem::take(&mut in_flight.batches), error);
        }
        // Both are empty by now; this one has the room of an earlier one.
        std::mem::swap(&mut writer.spent.queue, &mut in_flight.batches);
        self.watchers.raise();
        outcome
    }

    /// The same while nobody can place anything after them: what is in the log then is all there is. Readers are told by the
    /// caller, once it lets go.
    pub(in crate::log) fn write_batches_held<'a>(
        self: &'a Arc<Self>,
        writer: &mut Writer,
        mut accumulator: MutexGuard<'a, Accumulator>,
    ) -> Result<MutexGuard<'a, Accumulator>> {
        if accumulator.is_empty() {
            return Ok(accumulator);
        }
        let mut in_flight = InFlight { log: self, batches: accumulator.take(Take::All) };
        // Let go of before `in_flight`, which needs it where a write panics.
        let accumulator = accumulator;
        let outcome = self.write_each(writer, &mut in_flight.batches);
        std::mem::swap(&mut writer.spent.queue, &mut in_flight.batches);
        match outcome {
            Ok(()) => Ok(accumulator),
            Err(error) => {
                drop(accumulator);
                self.fail(std::mem::take(&mut writer.spent.queue), &error);
                self.watchers.raise();
                Err(error)
            }
        }
    }

    /// Writes a batch that was never queued, and that nobody waits for but its sender.
    #[inline(always)]
    pub(in crate::log) fn write_unqueued(
        self: &Arc<Self>,
        writer: &mut Writer,
        batch: Box<OpenBatch>,
    ) -> Result<()> {
        let mut in_flight = UnqueuedInFlight { log: self, batch: Some(batch) };
        if let Some(batch) = &mut in_flight.batch
            && let Err(error) = self.write_one(writer, batch)
        {
            return Err(self.not_written(in_flight, error));
        }
        if let Some(written) = in_flight.batch.take() {
            self.keep_buffers(writer, written);
        }
        self.watchers.raise();
        Ok(())
    }

    /// Of one batch that failed.
    #[cold]
    fn not_written(&self, mut in_flight: UnqueuedInFlight<'_>, error: Error) -> Error {
        in_flight.batch.take().into_iter().for_each(|refused| self.fail(Batches::from([refused]), &error));
        self.watchers.raise();
        error
    }

    #[inline(always)]
    fn write_one(self: &Arc<Self>, writer: &mut Writer, batch: &mut OpenBatch) -> Result<()> {
        self.check_poison()?;
        self.settle(writer)?;
        self.write_batch(writer, batch)
    }

    /// A batch was written: its buffers are another's.
    #[inline(always)]
    fn keep_buffers(&self, writer: &mut Writer, written: Box<OpenBatch>) {
        if written.capacity() <= SMALL_BYTES {
            writer.spent.batch = Some(written);
        } else {
            self.spares.keep_batch(written);
        }
    }

    /// Writes one batch after the other, up to the first that fails. What was written is not among `batches` any more.
    #[inline]
    fn write_each(self: &Arc<Self>, writer: &mut Writer, batches: &mut Batches) -> Result<()> {
        self.check_poison()?;
        self.settle(writer)?;
        while let Some(batch) = batches.front_mut() {
            self.write_batch(writer, batch)?;
            batch.tell(|| Ok(()));
            if let Some(written) = batches.pop_front() {
                self.keep_buffers(writer, written);
            }
        }
        Ok(())
    }

    /// The same, because of a panic in the middle of a write.
    #[cold]
    fn fail_by_panic(&self, batches: Batches) {
        let cause = self.poison.set_by_panic();
        let told = self.check_poison().err().unwrap_or(cause);
        self.fail(batches, &told);
    }

    /// Nothing of `batches`, nor of what was queued after them, is visible or ever will be.
    #[cold]
    fn fail(&self, batches: Batches, error: &Error) {
        if was_tried(error) {
            self.figures.write_failures.add(1);
        }
        let mut accumulator = self.accumulator.lock();
        accumulator.fail(batches, self.end(), &self.topic_partition, error);
        // Of a partition that was deleted no offset is given out again.
        if let Some(reason) = self.retired.get() {
            accumulator.refuse(reason.clone());
        }
    }

    fn write_batch(self: &Arc<Self>, writer: &mut Writer, batch: &mut OpenBatch) -> Result<()> {
        let WriteRules { compression, timestamp_type, segment_age, key_index } = writer.rules;
        let Phase::Open(open) = &mut writer.phase else { return Err(self.closed()) };
        let records = batch.len().saturating_sub(BatchHeader::LEN);
        // Nobody could read what expands to more than a reader may expand.
        let may_shrink = records <= self.options.max_expanded_bytes && writer.attempts.is_worth(records);
        let compression = if may_shrink { compression } else { Compression::of(Codec::None) };
        let how = Seal { compression, timestamp_type, append_time: batch.opened_at };
        let (position, opened_at) = (batch.position, batch.opened_at);
        let is_compressed = compression.codec() != Codec::None;
        if is_compressed {
            writer.compressor = self.spares.compressor();
        }
        let sealed = batch.seal(&how, &mut writer.compressor);
        if is_compressed {
            self.spares.keep_compressor(std::mem::take(&mut writer.compressor));
        }
        let SealedBatch { bytes: sealed, header } = match sealed {
            Ok(sealed) => sealed,
            Err(malformed) => {
                return Err(Error::invalid(format!("a batch cannot be encoded: {malformed}")));
            }
        };
        if is_compressed {
            writer.attempts.note(records, header.codec() != Codec::None);
        }
        let next_offset = header.next_offset();
        let due = Due { max_age: segment_age, now: opened_at, timestamp: header.max_timestamp };
        let room = match position {
            Position::Free => Some(sealed.len()),
            Position::Opens { bytes } => Some(bytes),
            Position::Follows => None,
        };
        let is_full = |room| {
            open.active.is_full_for(room, header.last_offset())
                || due.is_over(open)
                || key_index && open.active.has_many_keys()
        };
        if room.is_some_and(is_full) {
            self.roll_to(open, header.base_offset)?;
            writer.unsynced_bytes = 0;
        }
        #[cfg(feature = "metrics")]
        let watch = is_sampled(header.base_offset).then(Stopwatch::start);
        let at = open.active.bytes();
        match open.active.append(&header, sealed) {
            #[cfg(feature = "metrics")]
            Ok(()) => watch.into_iter().for_each(|watch| self.figures.write.note(watch.elapsed())),
            #[cfg(not(feature = "metrics"))]
            Ok(()) => {}
            Err(WriteFailure::Undone(error)) => return Err(error),
            Err(WriteFailure::Stuck(error)) => return Err(self.poison_with(error)),
        }
        let bytes = sealed.len() as u64;
        open.appended.note(opened_at);
        if key_index {
            let (records, terms) = (batch.builder.records(), batch.terms());
            open.active.note_keys(&NewBatch { header: &header, records, terms, position: at });
        }
        if header.producer_id >= 0 {
            let pending = self.note_producer(open, &header, batch.ends());
            (writer.first_undecided, writer.uncommitted) = (pending.undecided, pending.uncommitted);
        }
        self.offsets.move_end(next_offset);
        self.offsets.move_stable(writer.first_undecided.unwrap_or(next_offset));
        writer.appended.batches += 1;
        writer.appended.bytes += bytes;
        writer.appended.records += u64::from(header.record_count.unsigned_abs());
        self.show_batch(open, (writer.uncommitted, writer.appended.bytes), batch.ends());
        writer.unsynced_bytes += bytes;
        self.ask_for_sync(writer);
        Ok(())
    }

    #[inline]
    fn ask_for_sync(self: &Arc<Self>, writer: &mut Writer) {
        if !writer.awaits_sync {
            writer.awaits_sync = true;
            self.agenda.add_unsynced(self);
        }
        if writer.unsynced_bytes >= self.options.sync_every_bytes {
            writer.unsynced_bytes = 0;
            self.agenda.hurry_sync();
        }
    }
}
