//! What a pass over a log knows of its keys.

use std::slice;

use crate::error::Result;
use crate::format::{BatchHeader, Malformed, RecordIter};
use crate::log::compaction::CompactionConfig;
use crate::log::compaction::compact::Snapshot;
use crate::log::compaction::offset_map::{Full, OffsetMap};
use crate::log::compaction::rewrite::{Expander, Source};
use crate::log::log::Log;
use crate::types::Offset;

/// One pass over a log.
pub(super) struct Round {
    pub(super) map: OffsetMap,
    /// The map knows everything that is dirty below here.
    pub(super) covered: Offset,
}

impl Round {
    /// Learns the keys of a batch, up to the first for which there is no room.
    fn note(&mut self, header: &BatchHeader, records: &[u8]) -> Result<Result<(), Full>, Malformed> {
        for record in RecordIter::new(header, records) {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= self.covered)
                && let Err(full) = self.map.put(key, record.offset)
            {
                self.covered = record.offset;
                return Ok(Err(full));
            }
        }
        self.covered = self.covered.max(header.next_offset());
        Ok(Ok(()))
    }
}

impl Log {
    /// Learns the last offset of as many keys as the memory holds, from where the pass before ended.
    pub(super) fn learn(&self, at: &Snapshot, config: &CompactionConfig) -> Result<Round> {
        let dirty = at.sources.iter().filter(|source| {
            source.summary.next_offset > at.cleaned_until && source.summary.base < at.dirt.until
        });
        let records = dirty.clone().map(|source| source.summary.record_count).sum();
        let mut round =
            Round { map: OffsetMap::new(config.memory_bytes, records), covered: at.cleaned_until };
        let mut expander = Expander::default();
        for source in dirty {
            match self.learn_from(source, at, (&mut expander, &mut round)) {
                Ok(Err(Full)) => break,
                // It has left the log, and all before it: its keys are of no account.
                Err(_) if self.has_left(slice::from_ref(source)) => {}
                learned => drop(learned?),
            }
            round.covered = round.covered.max(source.summary.next_offset);
        }
        Ok(round)
    }

    /// Learns the keys of one segment, as far as there is room for them.
    fn learn_from(
        &self,
        source: &Source,
        at: &Snapshot,
        (expander, round): (&mut Expander, &mut Round),
    ) -> Result<Result<(), Full>> {
        let mut cursor = source.segment.walk()?;
        let mut headers = crc32fast::Hasher::new();
        while let Some(batch) = cursor.next_batch()? {
            self.check_going_on()?;
            headers.update(batch.bytes().get(..BatchHeader::LEN).unwrap_or_default());
            let header = batch.header();
            let is_aborted = header.attributes.is_transactional()
                && at.aborted.holds(header.producer_id, header.base_offset);
            if header.next_offset() <= at.cleaned_until || header.attributes.is_control() || is_aborted {
                continue;
            }
            let limit = self.options.max_expanded_bytes;
            let noted =
                expander.records(&batch, limit).and_then(|records| round.note(batch.header(), records));
            let damaged = |malformed| {
                source.segment.log().damaged(batch.position(), batch.header().base_offset, malformed)
            };
            if noted.map_err(damaged)? == Err(Full) {
                return Ok(Err(Full));
            }
        }
        source.check_headers(headers).map(Ok)
    }
}
