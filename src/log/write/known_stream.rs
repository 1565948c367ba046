//! A guard on a stream whose last event stands in the active segment: what is in memory and one batch tell which that is.
//!
//! Nearly all guards are of this kind, so this way is short. Whatever is out of the ordinary is left to `guard.rs`, which asks the
//! index of every segment.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::{TermHash, TermKind, TimestampType};
use crate::locks::MutexGuard;
use crate::log::log::Log;
use crate::log::poison::PoisoningGuard;
use crate::log::write::accumulator::Accumulator;
use crate::log::write::append::{Append, Appended};
use crate::log::write::placement::{NoteTerms, Placed, Placement, Waiting};
use crate::log::write::writer::{Open, Phase, Writer};
use crate::segment::{Hit, Newest};
use crate::types::{Durability, Expected, Record, Timestamp};

/// A stream by its key, and what the index knows that by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamKey<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) term: TermHash,
}

impl<'a> StreamKey<'a> {
    pub(crate) fn new(key: &'a [u8]) -> Self {
        Self { key, term: TermHash::of(TermKind::Key, key) }
    }
}

/// Bytes at the end of the active segment that were written so lately that they are in the page cache.
const JUST_WRITTEN: u64 = 4 << 20;

impl Log {
    /// Appends `records` as one batch if the stream is as expected and that can be seen at once. `None` where it cannot, and where the
    /// stream is not as expected: nothing was appended, and a closer look decides.
    pub(in crate::log) fn append_to_known(
        self: &Arc<Self>,
        (stream, expected): (StreamKey<'_>, Expected),
        records: &[Record<'_>],
        how: &Append,
    ) -> Result<Option<Appended>> {
        let Some(last_record) = records.last() else { return Ok(None) };
        let mut writer = self.writer.lock();
        let Some(newest) = self.newest_of(stream, self.opened(&mut writer)?) else { return Ok(None) };
        if !expected.allows(newest.hit.map(|hit| hit.offset)) {
            return Ok(None);
        }
        if let Some(hit) = newest.hit {
            match self.confirmed(writer, stream, hit)? {
                Some(held) => writer = held,
                None => return Ok(None),
            }
        }
        let accumulator = self.accumulator.lock();
        // What others have in memory may be of the stream; a full partition has rules of its own.
        let rules = &accumulator.rules;
        if !accumulator.is_empty() || rules.size_limit.is_some() || !rules.key_index {
            return Ok(None);
        }
        let timestamp_type = rules.timestamp_type;
        let terms = NoteTerms::OfOneKey(stream.term);
        let (Placed { first_offset, last_offset, .. }, now) =
            self.write_alone((&mut writer, accumulator), (records, terms), how)?;
        drop(writer);
        if how.durability == Durability::Disk {
            self.synced(last_offset)?;
        }
        let timestamp = match timestamp_type {
            TimestampType::CreateTime => last_record.timestamp_millis().unwrap_or(now),
            TimestampType::LogAppendTime => now,
        };
        Ok(Some(Appended { first_offset, last_offset, timestamp }))
    }

    /// Whether a hit is of the stream: then the writer, which was not let go of, or not written by since.
    #[inline]
    fn confirmed<'a>(
        self: &'a Arc<Self>,
        writer: PoisoningGuard<'a, Writer>,
        stream: StreamKey<'_>,
        hit: Hit,
    ) -> Result<Option<PoisoningGuard<'a, Writer>>> {
        // Open it was when the hit was found, and it was not let go of since.
        let Phase::Open(open) = &writer.phase else { return Ok(None) };
        let active = &open.active;
        if active.bytes() <= hit.position.saturating_add(JUST_WRITTEN) {
            return Ok(active.segment().has_key(hit, stream.key).then_some(writer));
        }
        // That may take a look at the disk, which keeps nobody else waiting.
        let segment = Arc::clone(active.segment());
        drop(writer);
        if !segment.has_key(hit, stream.key) {
            return Ok(None);
        }
        let mut writer = self.writer.lock();
        let open = self.opened(&mut writer)?;
        let is_last = Arc::ptr_eq(open.active.segment(), &segment)
            && self.newest_of(stream, open).is_some_and(|newest| newest.hit == Some(hit));
        Ok(is_last.then_some(writer))
    }

    /// The newest record of a stream's hash, where the terms of the active segment tell, up to the end: that there is none by terms of
    /// the whole log.
    fn newest_of(&self, stream: StreamKey<'_>, open: &Open) -> Option<Newest> {
        let newest = open.active.segment().keys().newest(stream.term)?;
        let is_of_the_log = match newest.hit {
            Some(hit) => hit.offset >= self.start(),
            None => open.state.state().sealed.is_empty(),
        };
        (is_of_the_log && newest.until == self.end()).then_some(newest)
    }

    /// Places records in a batch of their own and writes it. Nothing is in memory before.
    #[inline]
    pub(in crate::log) fn write_alone(
        self: &Arc<Self>,
        (writer, mut accumulator): (&mut Writer, MutexGuard<'_, Accumulator>),
        (records, terms): (&[Record<'_>], NoteTerms),
        how: &Append,
    ) -> Result<(Placed, Timestamp)> {
        let now = self.clock.now();
        let most_bytes = Placement::most_bytes(records);
        self.admit(&mut accumulator, (records, most_bytes), how, now)?;
        let (waiting, linger) = (Waiting::WritesItself, Duration::ZERO);
        let placement = Placement { records, most_bytes, batch_bytes: 1, waiting, linger, now, terms };
        // A batch that was left half encoded must not be written.
        let half_placed = self.poison.by_a_panic();
        let placed = self.place_and_write(writer, accumulator, &placement, half_placed)?;
        Ok((placed, now))
    }
}
