//! Order by key: which record of each key is next, and which wait behind it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::types::Offset;

/// How many records with keys are looked at ahead of the oldest that is not done.
pub(super) const MOST_IN_LANES: usize = 65_536;

/// A record that was never handed out, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fresh {
    pub(super) offset: Offset,
    /// The hash of its key, where order is kept and it has one.
    pub(super) key: Option<u64>,
}

/// The keys of records that are not done, by their hashes: two keys with one hash wait for each other, which costs time and
/// no promise. Records without a key are in no lane.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    /// The oldest first.
    by_key: HashMap<u64, VecDeque<Offset>>,
    key_of: BTreeMap<Offset, u64>,
}

impl Lanes {
    /// How many records are in lanes.
    pub(super) fn len(&self) -> usize {
        self.key_of.len()
    }

    /// Puts a record after the others of its key. True when it is the only one.
    pub(super) fn add(&mut self, offset: Offset, key: u64) -> bool {
        self.key_of.insert(offset, key);
        match self.by_key.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(VecDeque::from([offset]));
                true
            }
            Entry::Occupied(mut occupied) => {
                occupied.get_mut().push_back(offset);
                false
            }
        }
    }

    /// Those of a range that are not the oldest of their keys.
    pub(super) fn behind_others(&self, first: Offset, last: Offset) -> Vec<Offset> {
        let is_behind = |(offset, key): (&Offset, &u64)| {
            self.by_key.get(key).is_some_and(|lane| lane.front() != Some(offset)).then_some(*offset)
        };
        self.key_of.range(first..=last).filter_map(is_behind).collect()
    }

    /// Records that are done leave their lanes. Returns those that are next now.
    pub(super) fn leave(&mut self, first: Offset, last: Offset) -> Vec<Offset> {
        let mut next = Vec::new();
        while let Some((offset, key)) =
            self.key_of.range(first..=last).next().map(|(offset, key)| (*offset, *key))
        {
            self.key_of.remove(&offset);
            let Entry::Occupied(mut lane) = self.by_key.entry(key) else { continue };
            let was_first = lane.get().front() == Some(&offset);
            if was_first {
                lane.get_mut().pop_front();
            } else if let Ok(at) = lane.get().binary_search(&offset) {
                // They stand in order. A search through all of a long lane would make each answer as slow as it is long.
                lane.get_mut().remove(at);
            }
            match lane.get().front().copied() {
                None => _ = lane.remove(),
                Some(front) if was_first => next.push(front),
                Some(_) => {}
            }
        }
        // One that has left since is nobody's turn.
        next.retain(|offset| self.key_of.contains_key(offset));
        next
    }
}
