//! What is in memory and not written, for those who read and for those who wait for it.

use std::sync::Arc;

use crate::error::Result;
use crate::locks::MutexGuard;
use crate::log::log::Log;
use crate::log::write::accumulator::{Accumulator, Take};
use crate::log::write::rules::AppendRules;
use crate::log::write::writer::Writer;
use crate::types::Offset;

impl Log {
    /// Writes what is in memory: for readers at the end, for a full batch, at the end of a linger.
    pub(crate) fn write_queued(self: &Arc<Self>) {
        if self.check_process().is_err() {
            return;
        }
        if self.follow.is_some() {
            // Another process has it in memory; the look at what is written takes its place.
            drop(self.look());
            return;
        }
        if self.accumulator.lock().is_empty() {
            return;
        }
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Take::All);
    }

    /// The same for who waits for nobody: while another thread has the writer, be it for a roll that waits for the disk, what is in
    /// memory stays there, and those who watch are raised when that thread lets go.
    pub(crate) fn write_queued_if_free(self: &Arc<Self>) {
        if self.follow.is_some() || self.check_process().is_err() {
            return self.write_queued();
        }
        // Whoever writes may hold both.
        if self.accumulator.try_lock().is_some_and(|accumulator| accumulator.is_empty()) {
            return;
        }
        if let Some(mut writer) = self.writer.lock_or_be_told() {
            self.write_with(&mut writer, Take::All);
        }
    }

    /// Whether `offset` may be asked for: it is not behind what was given out. Waits for nobody.
    pub(in crate::log) fn is_within_end(&self, offset: Offset) -> bool {
        if offset <= self.end() {
            return true;
        }
        if self.follow.is_some() {
            // Whoever asks has looked just now: what was seen then stands.
            return false;
        }
        // Not by the accumulator: whoever writes may hold it for long, and one that was taken to be within is not looked at again.
        offset <= self.given_out.get()
    }

    /// Sees to it that the log can be read from `first` on and before `until`, as far as these were given out: what lies below the end that is
    /// written needs no write, and no lock that a writer holds while it waits for the disk. Whoever begins there comes to what is in memory
    /// later.
    ///
    /// # Errors
    /// As [`write_accepted`](Self::write_accepted).
    pub(crate) fn write_for(self: &Arc<Self>, (first, until): (Offset, Offset)) -> Result<()> {
        if self.follow.is_none() && self.process.is_current() && first <= self.end() {
            if until > self.end() {
                self.write_queued_if_free();
            }
            return Ok(());
        }
        self.write_accepted()
    }

    /// Returns when everything that was accepted before is written or was refused: what is in memory, and what another
    /// thread is writing, whose records are neither in memory any more nor in the log yet.
    ///
    /// # Errors
    /// Where another process writes the log, and what it shows cannot be seen: then nothing is known of where the log ends. What
    /// becomes of records in memory is their sender's to learn.
    pub(crate) fn write_accepted(self: &Arc<Self>) -> Result<()> {
        self.check_process()?;
        if self.follow.is_some() {
            return self.look().map_err(|error| self.explain(error));
        }
        if self.next_offset() > self.end() {
            let mut writer = self.writer.lock();
            self.write_with(&mut writer, Take::All);
        }
        Ok(())
    }

    /// Nobody places anything until what is returned is dropped. Where the rules that come next give records other times, what is in memory is
    /// written by those by which it was accepted: its senders were told the times. What cannot be written is lost, as at any other write.
    pub(in crate::log) fn written_before_other_times<'a>(
        self: &'a Arc<Self>,
        writer: &mut Writer,
        next: &AppendRules,
    ) -> MutexGuard<'a, Accumulator> {
        let mut accumulator = self.accumulator.lock();
        while accumulator.rules.timestamp_type != next.timestamp_type && !accumulator.is_empty() {
            let written = self.write_batches_held(writer, accumulator);
            // After a failure somebody may have placed more.
            accumulator = written.unwrap_or_else(|_| self.accumulator.lock());
        }
        accumulator
    }
}
