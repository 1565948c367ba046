//! Writing what stays of some segments into a new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    BatchHeader, BatchRewriter, Codec, Decompressor, Malformed, Outcome, RawRecord, SegmentSummary,
};
use crate::log::compaction::room::{Lack, Reached, left_free_beside};
use crate::log::compaction::sieve::{BatchFate, Sieve};
use crate::log::log::Log;
use crate::segment::{self, FinishedSegment, NewSegment, Segment, StoredBatch};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// Of a segment that takes the place of others. Unit tests get beyond it.
const MOST_BYTES: u64 = if cfg!(test) { 4 << 20 } else { segment::MOST_BYTES };

/// A sealed segment to read from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) summary: SegmentSummary,
    pub(super) segment: Arc<Segment>,
}

impl Source {
    /// Compares the sum over all its batch headers with the one taken when it was sealed: where a batch belongs is in no
    /// CRC of Kafka's.
    pub(super) fn check_headers(&self, headers: crc32fast::Hasher) -> Result<()> {
        if headers.finalize() == self.summary.headers_crc {
            return Ok(());
        }
        Err(self.segment.log().broken(0, self.summary.base, "batch headers differ from those sealed"))
    }
}

/// What is left of some segments.
#[derive(Debug)]
pub(super) struct Replacement {
    /// `None` when nothing is left.
    pub(super) new: Option<FinishedSegment>,
    pub(super) removed_records: u64,
}

/// What came of a run of segments.
#[derive(Debug)]
pub(super) enum Rewrite {
    /// All of it stays as it is. Its tombstones may go at that time, -1 if it has none.
    Unchanged {
        delete_horizon: Timestamp,
    },
    Changed(Box<Replacement>),
    /// What stays is more than a segment can hold: batches can grow. All is as it was.
    TooLarge,
    /// What stays does not fit the disk. All is as it was.
    NoRoom(Lack),
}

/// Reads batches, expanded, and checks them.
#[derive(Debug, Default)]
pub(super) struct Expander {
    decompressor: Decompressor,
    buffer: Vec<u8>,
}

impl Expander {
    /// The batch's records; at most `limit` bytes when it is compressed.
    pub(super) fn records<'a>(
        &'a mut self,
        batch: &'a StoredBatch,
        limit: usize,
    ) -> Result<&'a [u8], Malformed> {
        BatchHeader::verify_crc(batch.bytes())?;
        if batch.header().codec() == Codec::None {
            return Ok(batch.body());
        }
        self.buffer.clear();
        self.decompressor.decompress(batch.header().codec(), batch.body(), limit, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// Rewrites runs of segments, and keeps its buffers from one to the next.
pub(super) struct Rewriter<'a> {
    log: &'a Log,
    sieve: &'a dyn Sieve,
    expander: Expander,
    batches: BatchRewriter,
    /// Something was written in vain: nothing more is.
    in_vain: Option<Error>,
}

impl Drop for Rewriter<'_> {
    fn drop(&mut self) {
        // Whatever had begun is a file that nobody gives its name, and that nobody has thrown away.
        if std::thread::panicking() {
            self.log.upkeeps.note_unfinished();
        }
    }
}

/// A run half done.
struct Progress {
    /// Begun with the first change: a run that does not change is not written.
    new: Option<NewSegment>,
    removed_records: u64,
    /// Ends of transactions that went: whose, and where they stood.
    removed_ends: BTreeSet<(i64, Offset)>,
    delete_horizon: Timestamp,
    is_too_large: bool,
    /// Nothing is written: this says what would be.
    look: Option<Stays>,
}

/// What would stay of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Stays {
    bytes: u64,
    is_changed: bool,
}

impl Progress {
    const NONE: Self = Self {
        new: None,
        removed_records: 0,
        removed_ends: BTreeSet::new(),
        delete_horizon: NO_TIMESTAMP,
        is_too_large: false,
        look: None,
    };

    fn note_horizon(&mut self, horizon: Timestamp) {
        if horizon >= 0 && (self.delete_horizon < 0 || horizon < self.delete_horizon) {
            self.delete_horizon = horizon;
        }
    }
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(log: &'a Log, sieve: &'a dyn Sieve) -> Self {
        Self {
            log,
            sieve,
            expander: Expander::default(),
            batches: BatchRewriter::for_readers_of(log.options.max_expanded_bytes),
            in_vain: None,
        }
    }

    /// From here on nothing is written: of what needs that, it says that there is no room.
    pub(super) fn write_no_more(&mut self, why: &Error) {
        self.in_vain = Some(why.clone());
    }

    /// Writes what stays of consecutive segments to a new one under a temporary name. After an error there is none, nor where there was
    /// no room for it.
    pub(super) fn rewrite(&mut self, run: &[Source]) -> Result<Rewrite> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(Rewrite::Unchanged { delete_horizon: NO_TIMESTAMP });
        };
        if let Some(seen) = self.look_for_room(run)? {
            return Ok(seen);
        }
        let mut aborted = Vec::new();
        for source in run {
            let ended = self.log.over_segments(|list| self.log.aborted_in(list, &source.segment))?;
            aborted.extend(ended.iter().copied());
        }
        let mut progress = Progress::NONE;
        let filled = run.iter().try_for_each(|source| {
            if run.len() > 1 && progress.new.is_none() {
                progress.new = Some(begin(self.log, first.summary.base, bytes_of(run))?);
            }
            self.add(source, &mut progress)
        });
        let Progress { new, removed_records, removed_ends, delete_horizon, is_too_large, .. } = progress;
        let Some(new) = new else {
            return filled.map_or_else(refused, |()| Ok(Rewrite::Unchanged { delete_horizon }));
        };
        if let Err(error) = filled {
            self.log.throw_away(&[first.summary.base]);
            return if is_too_large { Ok(Rewrite::TooLarge) } else { refused(error) };
        }
        // Without its end there is nothing left of a transaction.
        aborted.retain(|one| !removed_ends.contains(&(one.producer_id, one.last)));
        let new = new.finish(last.summary.next_offset);
        let new = match new.inspect_err(|_| self.log.throw_away(&[first.summary.base])) {
            Ok(new) => new,
            Err(error) => return refused(error),
        };
        let mut new = new.map(|new| new.with_aborted(aborted));
        if let Some(new) = &mut new {
            let sources = || run.iter().map(|source| source.summary);
            new.summary.delete_horizon = delete_horizon;
            new.summary.first_append =
                sources().map(|summary| summary.first_append).min().unwrap_or(NO_TIMESTAMP);
            new.summary.last_append =
                sources().map(|summary| summary.last_append).max().unwrap_or(NO_TIMESTAMP);
        }
        Ok(Rewrite::Changed(Box::new(Replacement { new, removed_records })))
    }

    /// Where the disk has no room for a whole run, or something was written in vain, looks how much of it stays before anything is written. What is to come of the run, where
    /// that is clear by then.
    fn look_for_room(&mut self, run: &[Source]) -> Result<Option<Rewrite>> {
        let log = self.log;
        if log.upkeeps.has_unfinished() {
            // It may be what takes the room. Where it still cannot be removed it stays owed.
            drop(log.remove_unfinished());
        }
        let left_free = left_free_beside(bytes_of(run));
        if self.in_vain.is_none() && !log.is_scarce(bytes_of(run).saturating_add(left_free))? {
            return Ok(None);
        }
        let mut progress = Progress { look: Some(Stays::default()), ..Progress::NONE };
        self.sieve.begin_look();
        let looked = run.iter().try_for_each(|source| self.add(source, &mut progress));
        let Progress { look, delete_horizon, removed_records, .. } = progress;
        match look.filter(|_| looked.is_ok()) {
            Some(Stays { is_changed: false, .. }) if run.len() == 1 => {
                return Ok(Some(Rewrite::Unchanged { delete_horizon }));
            }
            // No file is made for it.
            Some(Stays { bytes: 0, .. }) => {
                let nothing = Replacement { new: None, removed_records };
                return Ok(Some(Rewrite::Changed(Box::new(nothing))));
            }
            _ => self.sieve.end_look(),
        }
        looked?;
        let needed = look.unwrap_or_default().bytes.saturating_add(left_free);
        if let Some(error) = self.in_vain.clone() {
            return Ok(Some(Rewrite::NoRoom(Lack { error, needed: None, reached: Reached::Look })));
        }
        match log.make_room(needed) {
            Err(error) if error.is_disk_full() => {
                Ok(Some(Rewrite::NoRoom(Lack { error, needed: Some(needed), reached: Reached::Look })))
            }
            made => made.map(|()| None),
        }
    }

    fn add(&mut self, source: &Source, progress: &mut Progress) -> Result<()> {
        let mut cursor = source.segment.walk()?;
        let mut headers = crc32fast::Hasher::new();
        while let Some(batch) = cursor.next_batch()? {
            self.log.check_going_on()?;
            headers.update(batch.bytes().get(..BatchHeader::LEN).unwrap_or_default());
            let is_last = cursor.position() >= source.summary.bytes;
            self.add_batch(source, &batch, is_last, progress)?;
        }
        source.check_headers(headers)
    }

    fn add_batch(
        &mut self,
        source: &Source,
        batch: &StoredBatch,
        is_last: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        let header = batch.header();
        let damaged =
            |malformed| source.segment.log().damaged(batch.position(), header.base_offset, malformed);
        let outcome = match self.sieve.batch(header) {
            BatchFate::Goes if header.attributes.is_control() => {
                progress.removed_ends.insert((header.producer_id, header.last_offset()));
                Outcome::Gone
            }
            BatchFate::Goes => {
                progress.removed_records += u64::from(header.record_count.unsigned_abs());
                Outcome::Gone
            }
            BatchFate::Stays => {
                // Nobody looked whether its tombstones are still there: compaction will.
                if header.attributes.has_delete_horizon() {
                    progress.note_horizon(header.base_timestamp);
                }
                Outcome::Same
            }
            BatchFate::Open => {
                let limit = self.log.options.max_expanded_bytes;
                let records = self.expander.records(batch, limit).map_err(damaged)?;
                let rules = self.sieve.rules(header, is_last);
                let mut judge = |record: &RawRecord<'_>| self.sieve.record(header, record);
                let rewritten = self.batches.rewrite(header, records, &rules, &mut judge).map_err(damaged)?;
                progress.removed_records += rewritten.removed;
                progress.note_horizon(rewritten.delete_horizon);
                rewritten.outcome
            }
        };
        let is_same = matches!(outcome, Outcome::Same);
        if is_same && progress.new.is_none() && progress.look.is_none() {
            return Ok(());
        }
        if progress.new.is_none() && progress.look.is_none() {
            progress.new = Some(copy_before(self.log, source, batch.position())?);
        }
        let (header, bytes) = match &outcome {
            Outcome::Same => (header, batch.bytes()),
            Outcome::Other(other) => (&other.header, other.bytes),
            Outcome::Gone => (header, [].as_slice()),
        };
        if let Some(stays) = &mut progress.look {
            stays.bytes += bytes.len() as u64;
            stays.is_changed |= !is_same;
        }
        let Some(new) = progress.new.as_mut().filter(|_| !bytes.is_empty()) else { return Ok(()) };
        progress.is_too_large = !new.has_room_for(bytes.len());
        new.append(header, bytes)
    }
}

/// Begins a new segment with what stands before `position` in the first one it replaces: all of that stays.
fn copy_before(log: &Log, source: &Source, position: u64) -> Result<NewSegment> {
    let mut new = begin(log, source.summary.base, source.summary.bytes)?;
    let mut copy = || {
        let mut cursor = source.segment.walk()?;
        while cursor.position() < position {
            log.check_going_on()?;
            let Some(batch) = cursor.next_batch()? else { break };
            new.append(batch.header(), batch.bytes())?;
        }
        Ok(())
    };
    match copy() {
        Ok(()) => Ok(new),
        Err(error) => {
            log.throw_away(&[source.summary.base]);
            Err(error)
        }
    }
}

/// Begins a new segment in the place of so many bytes. What comes from others meanwhile has the room first.
fn begin(log: &Log, base: Offset, bytes: u64) -> Result<NewSegment> {
    let new = NewSegment::begin(&log.directory, base, log.config().segment.index_interval_bytes)?;
    Ok(new.of_at_most(MOST_BYTES).leaving_free(left_free_beside(bytes)))
}

fn bytes_of(run: &[Source]) -> u64 {
    run.iter().map(|source| source.summary.bytes).sum()
}

/// What came of a run that was begun, and could not be written.
fn refused(error: Error) -> Result<Rewrite> {
    if error.is_disk_full() { Ok(Rewrite::NoRoom(Lack::in_vain(error))) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NO_TIMESTAMP;

    #[test]
    fn the_earliest_delete_horizon_is_that_of_the_segment() {
        let mut progress = Progress::NONE;
        for (noted, expected) in
            [(NO_TIMESTAMP, NO_TIMESTAMP), (50, 50), (70, 50), (30, 30), (NO_TIMESTAMP, 30), (0, 0)]
        {
            progress.note_horizon(noted);
            assert_eq!(progress.delete_horizon, expected);
        }
    }
}
