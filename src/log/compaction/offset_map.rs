//! The last offset of each key, in memory of a size that is set once.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::types::Offset;

/// No offset: the slot is free.
const FREE: Offset = -1;
/// A map smaller than this makes no progress worth a pass over the log.
const LEAST_SLOTS: usize = 16;

/// An open-addressing table from the hashes of keys to offsets. Keys are not kept: two that agree in all 128 bits would
/// count as one. The hash is keyed again for each map, so nobody can prepare such keys.
#[derive(Debug)]
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    used: usize,
    hashers: [RandomState; 2],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    offset: Offset,
}

/// The map has no room for another key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl OffsetMap {
    /// A map of `memory_bytes`, but room for a few keys at the least; no larger than `most_keys` need.
    pub(super) fn new(memory_bytes: usize, most_keys: u64) -> Self {
        let wanted = usize::try_from(most_keys.saturating_mul(10) / 9 + 10).unwrap_or(usize::MAX);
        let slots = (memory_bytes / size_of::<Slot>()).min(wanted).max(LEAST_SLOTS);
        let free = Slot { hash: [0; 2], offset: FREE };
        Self { slots: vec![free; slots], used: 0, hashers: [RandomState::new(), RandomState::new()] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Notes that `key` stands at `offset`, which is above every offset noted before.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), Full> {
        let hash = self.hash(key);
        let at = self.find(hash);
        // A tenth stays free: a fuller table is a slow one.
        let limit = self.slots.len() - self.slots.len() / 10;
        match self.slots.get_mut(at) {
            Some(slot) if slot.offset != FREE => slot.offset = offset,
            Some(slot) if self.used < limit => {
                *slot = Slot { hash, offset };
                self.used += 1;
            }
            _ => return Err(Full),
        }
        Ok(())
    }

    /// The last offset noted for `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        if self.is_empty() {
            return None;
        }
        let slot = self.slots.get(self.find(self.hash(key)))?;
        (slot.offset != FREE).then_some(slot.offset)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot of that hash, or the free one where it belongs. There always is a free one.
    fn find(&self, hash: [u64; 2]) -> usize {
        let [first, _] = hash;
        let len = self.slots.len();
        let start = usize::try_from(first % len as u64).unwrap_or(0);
        let (before, behind) = self.slots.split_at(start.min(len));
        let is_it = |slot: &Slot| slot.offset == FREE || slot.hash == hash;
        let distance = behind.iter().chain(before).position(is_it).unwrap_or(0);
        (start + distance) % len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_counts() {
        let mut map = OffsetMap::new(1 << 16, 1000);
        assert!(map.is_empty());
        for offset in 0..1000 {
            map.put(format!("key {}", offset % 100).as_bytes(), offset).unwrap();
        }
        for n in 0..100 {
            assert_eq!(map.get(format!("key {n}").as_bytes()), Some(900 + n));
        }
        assert_eq!(map.get(b"key 100"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn memory_is_bounded_and_a_full_map_says_so() {
        let mut map = OffsetMap::new(24 * 100, u64::MAX);
        assert_eq!(map.slots.len(), 100);
        for offset in 0..90 {
            map.put(&offset.to_string().into_bytes(), offset).unwrap();
        }
        assert_eq!(map.put(b"another", 90), Err(Full));
        assert_eq!(map.put(b"7", 91), Ok(()), "a known key needs no room");
        assert_eq!(map.get(b"another"), None);
        assert_eq!(map.get(b"7"), Some(91));
        assert_eq!(map.get(b"89"), Some(89));
    }

    #[test]
    fn a_small_log_needs_a_small_map() {
        assert!(OffsetMap::new(1 << 30, 9).slots.len() < 32);
        let mut least = OffsetMap::new(0, 0);
        for offset in 0..9 {
            least.put(&[u8::try_from(offset).unwrap()], offset).unwrap();
        }
    }
}
