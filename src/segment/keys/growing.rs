//! The terms of a part of a segment in memory, as its batches are appended.

use std::ops::Range;

use crate::format::{BatchHeader, BatchTerms, KeyEntry, Malformed, RecordIter, TermHash, for_each_term};
use crate::segment::keys::keys::{Hit, NewBatch};
use crate::types::Offset;

/// No entry.
const NONE: u32 = u32::MAX;
/// Slots at the beginning.
const LEAST_SLOTS: usize = 64;

/// One term of one record.
#[derive(Debug, Clone, Copy)]
struct Link {
    hash: TermHash,
    relative_offset: u32,
    position: u32,
    /// The entry of the same hash before it.
    before: u32,
}

/// Every term of the records of some offsets: of each hash the newest first. Takes at most 24 bytes for each term and 8 for each
/// hash, twice that while it grows.
#[derive(Debug)]
pub(crate) struct Growing {
    base: Offset,
    /// It knows the records from here on,
    from: Offset,
    /// up to here.
    until: Offset,
    links: Vec<Link>,
    /// The newest link of a hash, where the hash leads or behind it. Half of them are free.
    slots: Vec<u32>,
    hashes: usize,
}

impl Growing {
    /// Knows nothing, of the segment of that base, from an offset on.
    pub(in crate::segment) fn new(base: Offset, from: Offset) -> Self {
        Self { base, from, until: from, links: Vec::new(), slots: Vec::new(), hashes: 0 }
    }

    pub(super) fn base(&self) -> Offset {
        self.base
    }

    pub(super) fn from(&self) -> Offset {
        self.from
    }

    pub(super) fn until(&self) -> Offset {
        self.until
    }

    /// How many terms of records it holds.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// The same as [`add`](Self::add), from the terms where they are known. Says how many it holds then.
    pub(super) fn take_in(&mut self, batch: &NewBatch<'_>) -> Result<usize, Malformed> {
        match batch.terms {
            Some(terms) => self.add_terms(batch.header, terms, batch.position),
            None => self.add(batch.header, batch.records, batch.position)?,
        }
        Ok(self.len())
    }

    fn add_terms(&mut self, header: &BatchHeader, terms: &BatchTerms, position: u64) {
        debug_assert!(header.base_offset >= self.until, "batches come in order");
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        for (hash, delta) in terms.iter() {
            let offset = header.base_offset + i64::from(delta);
            self.put(hash, u32::try_from(offset - self.base).unwrap_or(u32::MAX), position);
        }
        self.until = header.next_offset();
    }

    /// Takes in a batch that begins where it ends, or behind that where offsets are missing. `records` are its uncompressed bytes.
    pub(in crate::segment) fn add(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        position: u64,
    ) -> Result<(), Malformed> {
        debug_assert!(header.base_offset >= self.until, "batches come in order");
        if !header.attributes.is_control() {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let mut walk = RecordIter::new(header, records);
            while let Some(record) = walk.next_record() {
                let record = record?;
                let relative_offset = u32::try_from(record.offset - self.base).unwrap_or(u32::MAX);
                for_each_term(&record, |hash| self.put(hash, relative_offset, position));
            }
        }
        self.until = header.next_offset();
        Ok(())
    }

    /// No record of an offset below `until` comes any more.
    pub(in crate::segment) fn end_at(&mut self, until: Offset) {
        self.until = self.until.max(until);
    }

    fn put(&mut self, hash: TermHash, relative_offset: u32, position: u32) {
        if (self.hashes + 1) * 2 > self.slots.len() {
            self.enlarge();
        }
        let Ok(number) = u32::try_from(self.links.len()) else { return };
        let slot = self.slot(hash);
        let Some(newest) = self.slots.get_mut(slot) else { return };
        let before = std::mem::replace(newest, number);
        self.hashes += usize::from(before == NONE);
        self.links.push(Link { hash, relative_offset, position, before });
    }

    /// The slot of a hash, or the free one where it belongs.
    fn slot(&self, hash: TermHash) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = usize::try_from(hash.spread() >> 24).unwrap_or_default() & mask;
        while let Some(link) = self.slots.get(slot).and_then(|number| self.link(*number)) {
            if link.hash == hash {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn link(&self, number: u32) -> Option<&Link> {
        self.links.get(usize::try_from(number).ok()?)
    }

    fn enlarge(&mut self) {
        let before = std::mem::take(&mut self.slots);
        self.slots = vec![NONE; (before.len() * 2).max(LEAST_SLOTS)];
        for number in before.into_iter().filter(|number| *number != NONE) {
            let Some(hash) = self.link(number).map(|link| link.hash) else { continue };
            let slot = self.slot(hash);
            if let Some(free) = self.slots.get_mut(slot) {
                *free = number;
            }
        }
    }

    /// The newest link of a hash.
    pub(super) fn newest(&self, hash: TermHash) -> u32 {
        if self.slots.is_empty() { NONE } else { self.slots.get(self.slot(hash)).copied().unwrap_or(NONE) }
    }

    /// The newest record of a hash.
    pub(super) fn newest_hit(&self, hash: TermHash) -> Option<Hit> {
        let link = self.link(self.newest(hash))?;
        let offset = self.base + i64::from(link.relative_offset);
        Some(Hit { offset, position: u64::from(link.position) })
    }

    /// Goes from a link towards older ones and puts down those whose offset lies in `range`, newest first, up to `most` in `out`.
    /// Looks at so many links; says where to go on, `None` where there is nothing more.
    pub(super) fn walk(
        &self,
        from: u32,
        range: &Range<Offset>,
        (most, out): (usize, &mut Vec<Hit>),
    ) -> Option<u32> {
        /// A reader is not to keep the writer waiting for long.
        const AT_A_TIME: usize = 4096;
        let mut number = from;
        for _ in 0..AT_A_TIME {
            let link = self.link(number)?;
            let offset = self.base + i64::from(link.relative_offset);
            if offset < range.start || out.len() >= most {
                return None;
            }
            // A term that a record has twice.
            let is_same = out.last().is_some_and(|hit| hit.offset == offset);
            if offset < range.end && !is_same {
                out.push(Hit { offset, position: u64::from(link.position) });
            }
            number = link.before;
        }
        Some(number)
    }

    /// All of it, for a file.
    pub(super) fn entries(&self) -> impl Iterator<Item = KeyEntry> + '_ {
        self.links.iter().map(|link| KeyEntry {
            hash: link.hash,
            relative_offset: link.relative_offset,
            position: link.position,
        })
    }
}
