//! The terms of a part of a segment in memory, as its batches are appended.

use std::ops::Range;

use crate::format::{BatchHeader, BatchTerms, KeyEntry, Malformed, RecordIter, TermHash, for_each_term};
use crate::segment::keys::hit::{Hit, NewBatch};
use crate::types::Offset;

/// No link.
const NONE: u32 = u32::MAX;
/// Slots at the beginning.
const LEAST_SLOTS: usize = 64;

/// Where a record of some hash stands.
#[derive(Debug, Clone, Copy)]
struct Link {
    relative_offset: u32,
    position: u32,
    /// The number of the one of the same hash before it.
    before: u32,
}

/// A hash and its newest record: together, so that looking one up is a look at one place in memory.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: SlotHash,
    newest: Link,
}

/// The 48 bits of a hash, and whether there are any: so that a slot has 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotHash {
    low: u32,
    high: u16,
    is_taken: bool,
}

impl Slot {
    const FREE: Self = Self {
        hash: SlotHash { low: 0, high: 0, is_taken: false },
        newest: Link { relative_offset: 0, position: 0, before: NONE },
    };
}

impl SlotHash {
    fn of(hash: TermHash) -> Self {
        let (high, low) = hash.halves();
        Self { low, high, is_taken: true }
    }

    fn term(self) -> TermHash {
        TermHash::of_halves(self.high, self.low)
    }
}

/// Where a walk over the records of a hash goes on, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Newest(TermHash),
    Older(u32),
}

/// Every term of the records of some offsets: of each hash the newest first. Takes at most 54 bytes for each hash, half of it where
/// the table is full, and 12 for each record of a hash but the newest; twice that while it grows.
#[derive(Debug)]
pub(crate) struct Growing {
    base: Offset,
    /// It knows the records from here on,
    from: Offset,
    /// up to here.
    until: Offset,
    /// All but the newest of each hash.
    older: Vec<Link>,
    /// The newest of a hash, where the hash leads or after it. A quarter of them are free at least.
    slots: Vec<Slot>,
    hashes: usize,
}

impl Growing {
    /// Knows nothing, of the segment of that base, from an offset on.
    pub(in crate::segment) fn new(base: Offset, from: Offset) -> Self {
        Self { base, from, until: from, older: Vec::new(), slots: Vec::new(), hashes: 0 }
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
    pub(in crate::segment) fn len(&self) -> usize {
        self.older.len() + self.hashes
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

    /// Takes in a batch that begins where it ends, or after that where offsets are missing. `records` are its uncompressed bytes.
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
        if (self.hashes + 1) * 4 > self.slots.len() * 3 {
            self.enlarge();
        }
        let Ok(number) = u32::try_from(self.older.len()) else { return };
        let at = self.find(hash);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let before = if slot.hash.is_taken {
            self.older.push(slot.newest);
            number
        } else {
            self.hashes += 1;
            NONE
        };
        *slot = Slot { hash: SlotHash::of(hash), newest: Link { relative_offset, position, before } };
    }

    /// The slot of a hash, or the free one where it belongs.
    #[inline]
    fn find(&self, hash: TermHash) -> usize {
        let wanted = SlotHash::of(hash);
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = usize::try_from(hash.spread() >> 24).unwrap_or_default() & mask;
        while self.slots.get(at).is_some_and(|slot| slot.hash.is_taken && slot.hash != wanted) {
            at = (at + 1) & mask;
        }
        at
    }

    fn enlarge(&mut self) {
        let before = std::mem::take(&mut self.slots);
        self.slots = vec![Slot::FREE; (before.len() * 2).max(LEAST_SLOTS)];
        for slot in before.into_iter().filter(|slot| slot.hash.is_taken) {
            let at = self.find(slot.hash.term());
            if let Some(free) = self.slots.get_mut(at) {
                *free = slot;
            }
        }
    }

    #[inline]
    fn newest(&self, hash: TermHash) -> Option<&Link> {
        self.slots.get(self.find(hash)).filter(|slot| slot.hash.is_taken).map(|slot| &slot.newest)
    }

    fn hit(&self, link: &Link) -> Hit {
        let offset = self.base + i64::from(link.relative_offset);
        Hit { offset, position: u64::from(link.position) }
    }

    /// The newest record of a hash.
    #[inline]
    pub(super) fn newest_hit(&self, hash: TermHash) -> Option<Hit> {
        self.newest(hash).map(|link| self.hit(link))
    }

    /// Goes from a place towards older records and puts down those whose offset lies in `range`, newest first, up to `most` in `out`.
    /// Looks at so many; says where to go on, `None` where there is nothing more.
    pub(super) fn walk(
        &self,
        from: Place,
        range: &Range<Offset>,
        (most, out): (usize, &mut Vec<Hit>),
    ) -> Option<Place> {
        /// A reader is not to keep the writer waiting for long.
        const AT_A_TIME: usize = 4096;
        let mut place = from;
        for _ in 0..AT_A_TIME {
            let link = match place {
                Place::Newest(hash) => self.newest(hash),
                Place::Older(number) => self.older.get(usize::try_from(number).ok()?),
            };
            let link = link?;
            let hit = self.hit(link);
            if hit.offset < range.start || out.len() >= most {
                return None;
            }
            // A term that a record has twice.
            let is_same = out.last().is_some_and(|last| last.offset == hit.offset);
            if hit.offset < range.end && !is_same {
                out.push(hit);
            }
            place = Place::Older(link.before);
        }
        Some(place)
    }

    /// All of it, for a file.
    pub(super) fn entries(&self) -> impl Iterator<Item = KeyEntry> + '_ {
        self.slots.iter().filter(|slot| slot.hash.is_taken).flat_map(|slot| {
            let older = |link: &Link| self.older.get(usize::try_from(link.before).ok()?).copied();
            std::iter::successors(Some(slot.newest), older).map(|link| KeyEntry {
                hash: slot.hash.term(),
                relative_offset: link.relative_offset,
                position: link.position,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::TermKind;

    /// All hits of a hash in a range, newest first, as readers gather them.
    fn hits(growing: &Growing, hash: TermHash, range: Range<Offset>, most: usize) -> Vec<Hit> {
        let (mut hits, mut next) = (Vec::new(), Some(Place::Newest(hash)));
        while let Some(place) = next {
            next = growing.walk(place, &range, (most, &mut hits));
        }
        hits
    }

    #[test]
    fn of_each_hash_it_knows_every_record_newest_first() {
        let hash = |key: u32| TermHash::of(TermKind::Key, &key.to_be_bytes());
        let mut growing = Growing::new(500, 500);
        let mut all: Vec<(u32, Hit)> = Vec::new();
        // Keys that are there once, and ones that come again and again, across several enlargements; one record has its key twice.
        for number in 0..20_000_u32 {
            let key = if number % 3 == 0 { number } else { number % 7 };
            let hit = Hit { offset: 500 + Offset::from(number), position: u64::from(number) * 11 };
            growing.put(hash(key), number, number * 11);
            if number == 7000 {
                growing.put(hash(key), number, number * 11);
            }
            all.push((key, hit));
        }
        assert_eq!(growing.len(), all.len() + 1);
        for key in (0..7).chain([9, 10, 300, 19_998, 19_999]) {
            let of_key = || all.iter().rev().filter(|(other, _)| *other == key).map(|(_, hit)| *hit);
            assert_eq!(growing.newest_hit(hash(key)), of_key().next(), "key {key}");
            for (range, most) in [(0..90_000, usize::MAX), (3000..9000, usize::MAX), (0..15_000, 3)] {
                let expected: Vec<_> =
                    of_key().filter(|hit| range.contains(&hit.offset)).take(most).collect();
                assert_eq!(hits(&growing, hash(key), range.clone(), most), expected, "key {key}, {range:?}");
            }
        }
        let mut entries: Vec<_> = growing.entries().collect();
        entries.sort_unstable();
        entries.dedup();
        let mut expected: Vec<_> = all
            .iter()
            .map(|(key, hit)| KeyEntry {
                hash: hash(*key),
                relative_offset: u32::try_from(hit.offset - 500).unwrap(),
                position: u32::try_from(hit.position).unwrap(),
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_place_in_memory_has_twenty_bytes() {
        assert_eq!((size_of::<Slot>(), size_of::<Link>()), (20, 12), "docs/streams.md names them");
    }
}
