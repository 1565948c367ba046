//! What can still be read of a damaged segment: the batches that are sound, and what lies between them.

use std::ops::Range;

use crate::error::Result;
use crate::format::{BatchHeader, Malformed};
use crate::segment::epochs::mend_epochs;
use crate::segment::log_file::Walk;
use crate::segment::summary::{Tally, summarize};
use crate::segment::{LogFile, SparseIndex};
use crate::types::Offset;

/// A batch that is sound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
    /// What its checksum does not cover was wrong, and is known: the header has it right.
    pub(crate) is_mended: bool,
}

/// A stretch that holds no batch.
#[derive(Debug, Clone)]
pub(crate) struct Dropped {
    pub(crate) range: Range<u64>,
    /// What may have stood there.
    pub(crate) offsets: Range<Offset>,
    pub(crate) reason: String,
}

/// What a search through a whole `.log` found.
#[derive(Debug)]
pub(crate) struct Salvage {
    pub(crate) kept: Vec<Kept>,
    pub(crate) dropped: Vec<Dropped>,
    /// Length of the file.
    pub(crate) len: u64,
    pub(crate) tally: Tally,
    pub(crate) index: SparseIndex,
    /// No offset is missing from the base on.
    pub(crate) is_gapless: bool,
    /// The file begins with a batch whose checksum fits, and which does not belong there.
    pub(crate) begins_elsewhere: bool,
}

/// What is known of the segment beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) base: Offset,
    /// The offset after its last; the largest of all when nobody knows.
    pub(crate) until: Offset,
    /// No offset was missing.
    pub(crate) was_gapless: bool,
    /// Bytes of its batches, where that is known.
    pub(crate) sealed_bytes: Option<u64>,
    /// The checksum over its batch headers, where that is known.
    pub(crate) headers_crc: Option<u32>,
    pub(crate) interval_bytes: u32,
}

/// What a layer above holds against a batch whose checksum fits.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(&BatchHeader, &[u8]) -> std::result::Result<(), Malformed>;

impl Salvage {
    /// That of a file in which nothing is sound, and which is not looked through.
    pub(crate) fn of_nothing(known: Known, offsets: Range<Offset>) -> Self {
        let dropped = Dropped { range: 0..0, offsets, reason: String::new() };
        Self { dropped: vec![dropped], is_gapless: false, ..Self::new(known, 0) }
    }

    fn new(known: Known, len: u64) -> Self {
        Self {
            kept: Vec::new(),
            dropped: Vec::new(),
            len,
            tally: Tally::new(known.base),
            index: SparseIndex::new(known.base, known.interval_bytes),
            is_gapless: true,
            begins_elsewhere: false,
        }
    }

    /// True when the file is what it should be, down to its length.
    pub(crate) fn is_whole(&self) -> bool {
        self.dropped.is_empty()
            && self.len == self.tally.bytes
            && !self.kept.iter().any(|kept| kept.is_mended)
    }

    /// The summary of the file as it is.
    pub(crate) fn summary(&self) -> crate::format::SegmentSummary {
        let mut index = self.index.clone();
        index.note_time();
        let summary = summarize(&self.tally, &index);
        crate::format::SegmentSummary { is_sparse: !self.is_gapless, ..summary }
    }
}

/// Looks through all of `log`. Where a batch is not sound, the one after it is looked for where its length says, and then
/// at every byte.
pub(crate) fn salvage(log: &LogFile, known: Known, judge: Judge<'_>) -> Result<Salvage> {
    let len = log.len()?;
    let mut search = Search { walk: Walk::new(log, len), len, known, judge, reached: 0 };
    let mut found = Salvage::new(known, len);
    let mut position = 0;
    while position < len {
        let expected = found.tally.next_offset;
        let is_joined = found.dropped.last().is_none_or(|dropped| dropped.range.end != position);
        match search.batch(position, expected, is_joined)? {
            Ok(kept) => {
                found.is_gapless &= kept.header.base_offset == expected;
                found.index.note(&kept.header, found.tally.bytes);
                found.tally.add(&kept.header, &kept.header.encode());
                found.kept.push(kept);
                position += kept.header.total_len() as u64;
                search.reached = position;
            }
            Err(malformed) => {
                let Some(range) = search.gap(position, expected)? else { break };
                let next = search.batch(range.end, expected, false)?;
                let until = next.map_or(known.until, |next| next.header.base_offset);
                position = range.end;
                let offsets = expected..until.max(expected);
                let reason = match known.sealed_bytes {
                    Some(bytes) if range.start >= bytes => FOLLOWS.to_owned(),
                    _ => malformed.to_string(),
                };
                found.dropped.push(Dropped { range, offsets, reason });
            }
        }
    }
    let follows = |dropped: &Dropped| known.sealed_bytes.is_some_and(|bytes| dropped.range.start >= bytes);
    if found.dropped.iter().all(follows)
        && let Some(headers_crc) = known.headers_crc
        && mend_epochs(&mut found.kept, headers_crc)
    {
        found.tally = tally_of(known.base, &found.kept);
    }
    found.begins_elsewhere =
        found.kept.first().is_none_or(|kept| kept.position > 0) && search.header_of_sound(0)?.is_some();
    let ends_early = known.sealed_bytes.is_some_and(|bytes| position < bytes)
        || known.was_gapless && known.until < Offset::MAX && found.tally.next_offset < known.until;
    let is_told = found.dropped.last().is_some_and(|dropped| dropped.range.end == len);
    let reached = found.tally.next_offset;
    if ends_early && !is_told {
        let reason = "the file ends early".to_owned();
        found.dropped.push(Dropped { range: position..len, offsets: reached..known.until, reason });
    } else if known.sealed_bytes.is_some() && position < len && !is_told {
        // Zeros: where nobody knows the length they are room that was allocated.
        let reason = FOLLOWS.to_owned();
        found.dropped.push(Dropped { range: position..len, offsets: reached..reached, reason });
    }
    Ok(found)
}

/// Why bytes after the end of a sealed segment go.
const FOLLOWS: &str = "the bytes follow those that were sealed";

fn tally_of(base: Offset, kept: &[Kept]) -> Tally {
    let mut tally = Tally::new(base);
    kept.iter().for_each(|kept| tally.add(&kept.header, &kept.header.encode()));
    tally
}

struct Search<'a, 'b> {
    walk: Walk<'a>,
    len: u64,
    known: Known,
    judge: Judge<'b>,
    /// Where the last batch that was kept ends.
    reached: u64,
}

/// More offsets than a byte that is lost can have stood for, compressed as it may have been.
const MOST_PER_BYTE: u64 = 1024;

/// Sound, or why not.
type Found = std::result::Result<Kept, Malformed>;

impl Search<'_, '_> {
    /// The batch at `position`, whose offsets are not below `expected`. `is_joined`: the batch before it was sound, so in
    /// a segment without gaps its base offset is known.
    fn batch(&mut self, position: u64, expected: Offset, is_joined: bool) -> Result<Found> {
        let found = self.as_it_is(position, expected, is_joined)?;
        if found.is_ok() || !is_joined || !self.known.was_gapless {
            return Ok(found);
        }
        Ok(self.mended(position, expected)?.map_or(found, Ok))
    }

    fn as_it_is(&mut self, position: u64, expected: Offset, is_joined: bool) -> Result<Found> {
        let header = match BatchHeader::decode(self.walk.bytes(position, BatchHeader::LEN)?) {
            Ok(header) => header,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let invalid = |why: String| Ok(Err(Malformed::Invalid { at: 0, why: why.into() }));
        let (base, next) = (header.base_offset, header.next_offset());
        if base < expected
            || next > self.known.until
            || is_joined && self.known.was_gapless && base != expected
        {
            return invalid(format!("base offset {base} instead of {expected}"));
        }
        // No checksum covers it: one that claims more offsets than can be lost is no base offset.
        let leap = base.abs_diff(expected);
        let too_far = self.known.was_gapless && leap / MOST_PER_BYTE > position.abs_diff(self.reached);
        if too_far || base.abs_diff(self.known.base) > i32::MAX.unsigned_abs().into() {
            return invalid(format!("base offset {base} is too far from {expected}"));
        }
        if let Err(malformed) = self.check(position, &header, None)? {
            return Ok(Err(malformed));
        }
        // No checksum covers the base offset: one that leaps over what follows is wrong.
        let end = position + header.total_len() as u64;
        if base > expected
            && let Some(behind) = self.header_of_sound(end)?
            && (expected..next).contains(&behind.base_offset)
        {
            return invalid(format!("base offset {base} is behind {}", behind.base_offset));
        }
        Ok(Ok(Kept { position, header, is_mended: false }))
    }

    /// The batch at `position` with what no checksum covers put right, if that makes it fit between its neighbours.
    fn mended(&mut self, position: u64, expected: Offset) -> Result<Option<Kept>> {
        let mut bytes = self.walk.bytes(position, BatchHeader::LEN)?.to_vec();
        bytes.truncate(BatchHeader::LEN);
        let Some((unchecked, _)) = bytes.split_first_chunk_mut::<{ BatchHeader::UNCHECKED }>() else {
            return Ok(None);
        };
        let [offset @ .., _, _, _, _, _, _, _, _, magic] = unchecked;
        offset.copy_from_slice(&expected.to_be_bytes());
        *magic = 2;
        let Ok(header) = BatchHeader::decode(&bytes) else { return Ok(None) };
        let end = position + header.total_len() as u64;
        let fits = match self.header_of_sound(end)? {
            Some(behind) => behind.base_offset == header.next_offset(),
            None => {
                end == self.known.sealed_bytes.unwrap_or(self.len) && header.next_offset() == self.known.until
            }
        };
        let is_sound = fits && self.check(position, &header, Some(&bytes))?.is_ok();
        Ok(is_sound.then_some(Kept { position, header, is_mended: true }))
    }

    /// Checks length, checksum and records of a batch; `header_bytes` stand for those in the file.
    fn check(
        &mut self,
        position: u64,
        header: &BatchHeader,
        header_bytes: Option<&[u8]>,
    ) -> Result<std::result::Result<(), Malformed>> {
        let needed = header.total_len();
        let bytes = self.walk.bytes(position, needed)?;
        let Some(batch) = bytes.get(..needed) else {
            return Ok(Err(Malformed::Truncated { needed, available: bytes.len() }));
        };
        if let Err(malformed) = BatchHeader::verify_crc(batch) {
            return Ok(Err(malformed));
        }
        let patched;
        let batch = match header_bytes {
            Some(header_bytes) => {
                patched = [header_bytes, batch.get(BatchHeader::LEN..).unwrap_or_default()].concat();
                &patched
            }
            None => batch,
        };
        match (self.judge)(header, batch) {
            // A limit of whoever looks is no fault of the batch: nothing is decided about it.
            Err(malformed @ Malformed::TooLarge { .. }) => {
                Err(self.walk.log().damaged(position, header.base_offset, malformed))
            }
            judged => Ok(judged),
        }
    }

    /// The header at `position`, if the checksum of its batch fits.
    fn header_of_sound(&mut self, position: u64) -> Result<Option<BatchHeader>> {
        let Ok(header) = BatchHeader::decode(self.walk.bytes(position, BatchHeader::LEN)?) else {
            return Ok(None);
        };
        let needed = header.total_len();
        let batch = self.walk.bytes(position, needed)?.get(..needed).unwrap_or_default();
        Ok(BatchHeader::verify_crc(batch).is_ok().then_some(header))
    }

    /// The stretch from `position` to the next sound batch, or to the end. `None`: nothing but zeros is left.
    fn gap(&mut self, position: u64, expected: Offset) -> Result<Option<Range<u64>>> {
        let header = BatchHeader::decode(self.walk.bytes(position, BatchHeader::LEN)?);
        let end = header.map_or(self.len, |header| position + header.total_len() as u64);
        // Where its length leads to a batch, that is believed: the bytes in between may hold batches that are values.
        if end < self.len && self.as_it_is(end, expected, false)?.is_ok() {
            return Ok(Some(position..end));
        }
        let mut is_zero = true;
        for at in position..self.len {
            let byte = self.walk.bytes(at, 1)?.first().copied().unwrap_or(0);
            is_zero &= byte == 0;
            if at > position && self.as_it_is(at, expected, false)?.is_ok() {
                return Ok(Some(position..at));
            }
        }
        Ok((!is_zero).then_some(position..self.len))
    }
}
