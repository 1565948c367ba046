//! A segment as its records are found by what they hold, not by where they stand.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    BatchHeader, Codec, Decompressor, KeyEntry, KeyStamp, Malformed, RecordIter, SegmentSummary, TermHash,
    first_key, for_each_term, record_at,
};
use crate::io::{prefetch, will_need};
use crate::segment::active::MOST_TERMS;
use crate::segment::keys::{Growing, Hit, HitRange, Keys, NewBatch, Walk};
use crate::segment::{Segment, StoredBatch};
use crate::types::Offset;

/// Bytes of a hit's batch that are asked for at once.
const NEAR: usize = 4 << 10;
/// Batches that are brought into the cache together, and how many bytes of each: the header and a short record.
const MOST_PREFETCHED: usize = 32;
const BEGINNING: usize = 192;

/// Finds out the terms of a segment from its batches.
struct FromBatches<'a> {
    segment: &'a Arc<Segment>,
    /// Most bytes that a batch may expand to.
    limit: usize,
}

/// Checks batches and expands them, one after the other.
struct Expanding {
    limit: usize,
    decompressor: Decompressor,
    expanded: Vec<u8>,
}

impl Expanding {
    fn to(limit: usize) -> Self {
        Self { limit, decompressor: Decompressor::default(), expanded: Vec::new() }
    }

    fn records<'a>(&'a mut self, batch: &'a StoredBatch) -> Result<&'a [u8], Malformed> {
        BatchHeader::verify_crc(batch.bytes())?;
        match batch.header().codec() {
            Codec::None => Ok(batch.body()),
            codec => {
                self.expanded.clear();
                self.decompressor.decompress(codec, batch.body(), self.limit, &mut self.expanded)?;
                Ok(&self.expanded)
            }
        }
    }
}

impl FromBatches<'_> {
    /// Hands out every batch that begins below `until`, with its uncompressed records and its position, until one is too many.
    fn batches(&self, until: Offset, found: &mut Found<'_>) -> Result<Took> {
        let mut expanding = Expanding::to(self.limit);
        let mut cursor = self.segment.walk()?;
        while let Some(header) = cursor.peek()?.filter(|header| header.base_offset < until) {
            let position = cursor.position();
            let damaged = |malformed| self.segment.log().damaged(position, header.base_offset, malformed);
            let batch = cursor.take_batch(header)?;
            let records = expanding.records(&batch).map_err(damaged)?;
            if found(&header, records, position).map_err(damaged)? == Took::TooMuch {
                return Ok(Took::TooMuch);
            }
        }
        Ok(Took::It)
    }
}

/// Takes a batch: its header, its uncompressed records, its position.
type Found<'a> = dyn FnMut(&BatchHeader, &[u8], u64) -> Result<Took, Malformed> + 'a;

/// Whether another batch is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Took {
    It,
    TooMuch,
}

impl Walk for FromBatches<'_> {
    fn most_terms(&self) -> usize {
        MOST_TERMS
    }

    fn walk(&self, until: Offset) -> Result<Option<Growing>> {
        let base = self.segment.base();
        let mut terms = Growing::new(base, base);
        let took = self.batches(until, &mut |header, records, position| {
            terms.add(header, records, position)?;
            // A segment ends with the batch that brings it to as many.
            Ok(if terms.len() > 2 * MOST_TERMS { Took::TooMuch } else { Took::It })
        })?;
        // Offsets behind the last batch may be missing.
        terms.end_at(until);
        Ok((took == Took::It).then_some(terms))
    }

    fn each(&self, until: Offset, found: &mut dyn FnMut(KeyEntry) -> Result<()>) -> Result<()> {
        let base = self.segment.base();
        let mut outcome = Ok(());
        self.batches(until, &mut |header, records, position| {
            if header.attributes.is_control() {
                return Ok(Took::It);
            }
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let mut walk = RecordIter::new(header, records);
            while let Some(record) = walk.next_record() {
                let record = record?;
                let relative_offset = u32::try_from(record.offset - base).unwrap_or(u32::MAX);
                for_each_term(&record, |hash| {
                    if outcome.is_ok() {
                        outcome = found(KeyEntry { hash, relative_offset, position });
                    }
                });
            }
            Ok(if outcome.is_ok() { Took::It } else { Took::TooMuch })
        })?;
        outcome
    }

    fn unless_left(&self, write: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let path = self.segment.log().directory().path().to_path_buf();
        let mut outcome = Err(Error::StoreClosed { path });
        self.segment.log().unless_left(|| outcome = write());
        outcome
    }
}

/// The `.log` that a key index has to be of.
pub(crate) fn key_stamp(summary: &SegmentSummary) -> KeyStamp {
    let SegmentSummary { base, next_offset, bytes, headers_crc, .. } = *summary;
    KeyStamp { base, next_offset, bytes, headers_crc }
}

impl Segment {
    /// Where the terms of its records are.
    pub(crate) fn keys(&self) -> &Keys {
        self.key_terms()
    }

    /// The hits of a term. What is not known of the segment is found out first; batches may expand to `limit` bytes for that.
    pub(crate) fn hits(self: &Arc<Self>, term: TermHash, range: HitRange, limit: usize) -> Result<Vec<Hit>> {
        let walk = FromBatches { segment: self, limit };
        self.keys().hits(term, range, (self.log().directory(), self.log().mode(), &walk))
    }

    /// A look at this term comes soon.
    pub(crate) fn prefetch_look(&self, term: TermHash) -> bool {
        self.keys().prefetch_look(term)
    }

    /// The same, where the first places are in memory by now.
    pub(crate) fn prefetch_entries(&self, term: TermHash) {
        self.keys().prefetch_entries(term);
    }

    /// Takes in the terms of the batches from `position` on, which another process has written since; returns where the next
    /// ones begin.
    pub(crate) fn follow_keys(
        self: &Arc<Self>,
        (position, expected): (u64, Offset),
        limit: usize,
    ) -> Result<(u64, Offset)> {
        let mut expanding = Expanding::to(limit);
        let mut cursor = self.walk_on(position, expected);
        while let Some(header) = cursor.peek()? {
            let position = cursor.position();
            let batch = cursor.take_batch(header)?;
            let records = expanding.records(&batch);
            let records =
                records.map_err(|malformed| self.log().damaged(position, header.base_offset, malformed))?;
            self.keys().note(&NewBatch { header: &header, records, terms: None, position });
        }
        Ok((cursor.position(), cursor.expected()))
    }

    /// A batch was not what the index said: the index is made again, of batches that expand to `limit` bytes at most.
    ///
    /// # Errors
    /// Where not all batches can be read; the index is as it was.
    pub(crate) fn contradict_keys(self: &Arc<Self>, limit: usize) -> Result<()> {
        self.keys().contradicted(self.log().directory(), &FromBatches { segment: self, limit })
    }

    /// Its file was removed: nothing here is to keep it on the disk.
    pub(crate) fn let_go_of_key_file(&self) {
        self.keys().let_go_of_file();
    }

    /// Writes the key index of a segment that was sealed, and lets go of what is in memory.
    pub(crate) fn write_keys(self: &Arc<Self>, stamp: KeyStamp, limit: usize) -> Result<()> {
        let walk = FromBatches { segment: self, limit };
        self.keys().write(stamp, (self.log().directory(), self.log().mode(), &walk))
    }

    /// Whether [`write_keys`](Self::write_keys) has to go through no batch.
    pub(crate) fn knows_keys(&self, stamp: &KeyStamp) -> bool {
        self.keys().is_known(stamp)
    }

    /// Lets go of the terms in memory. The file of that stamp, if there is one, tells the same.
    pub(crate) fn forget_keys(&self, stamp: Option<KeyStamp>) {
        self.keys().forget(stamp);
    }

    /// Whether a record is of that key and of no transaction: of a hit that was put down when this process wrote the batch. False also
    /// where that takes a closer look. The CRC is not asked: what is damaged has another key, or is what was written.
    pub(crate) fn has_key(&self, hit: Hit, key: &[u8]) -> bool {
        let Ok(window) = self.log().near(hit.position, NEAR, self.bytes()) else { return false };
        first_key(window.from(hit.position), hit.offset) == Some(key) || self.has_key_inside(hit, key)
    }

    /// The same for a record that others stand in front of.
    fn has_key_inside(&self, hit: Hit, key: &[u8]) -> bool {
        let Ok(Some(batch)) = self.batch_of(hit) else { return false };
        let header = batch.header();
        let attributes = header.attributes;
        if header.codec() != Codec::None || attributes.is_control() || attributes.is_transactional() {
            return false;
        }
        matches!(record_at(header, batch.body(), hit.offset), Ok(Some(record)) if record.key == Some(key))
    }

    /// Has the beginnings of the first of these batches brought into the cache, all at once. Nothing but time depends on it.
    pub(crate) fn prefetch_batches<'a>(&self, hits: impl IntoIterator<Item = &'a Hit>) {
        self.expect_batches(hits, prefetch);
    }

    /// Has them read from the disk, without waiting for them.
    pub(crate) fn read_batches_ahead<'a>(&self, hits: impl IntoIterator<Item = &'a Hit>) {
        self.expect_batches(hits, will_need);
    }

    fn expect_batches<'a>(&self, hits: impl IntoIterator<Item = &'a Hit>, expect: fn(&[u8])) {
        let mut hits = hits.into_iter().take(MOST_PREFETCHED).peekable();
        let Some(first) = hits.peek() else { return };
        if let Some(window) = self.log().mapped(first.position, self.bytes()) {
            hits.for_each(|hit| expect(window.first(hit.position, BEGINNING)));
        }
    }

    /// The batch of a hit, its CRC not yet checked; `None` where there is none that could hold the record.
    pub(crate) fn batch_of(&self, hit: Hit) -> Result<Option<StoredBatch>> {
        let written = self.bytes();
        let mut window = self.log().near(hit.position, NEAR, written)?;
        let Ok(header) = BatchHeader::decode(window.from(hit.position)) else { return Ok(None) };
        let is_of_it = (header.base_offset..header.next_offset()).contains(&hit.offset);
        if !is_of_it || hit.position + header.total_len() as u64 > written {
            return Ok(None);
        }
        if !window.has(hit.position, header.total_len()) {
            window = self.log().near(hit.position, header.total_len(), written)?;
        }
        Ok(window.batch(header, hit.position))
    }
}
