//! What commits rest on that is not durable yet. Whoever has seen one and is told that its own commit survives a power cut must not find that
//! one gone: what it rests on is synced, too.
//!
//! A commit has seen whatever stands below it in its partitions, below the ends of those that its conditions look at, and below where its offsets
//! were read to; and what the commits there have seen. The last is kept for each partition, complete: a commit adds to its partitions' what is
//! known of all that it has seen. So an entry is forgotten as soon as it is durable, whatever is known of other partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::locks::Mutex;
use crate::transaction::pieces::Place;
use crate::transaction::round::Round;

/// More than this many entries that are not durable are synced by whoever adds to them.
const MOST_ENTRIES: usize = 1 << 16;

/// For a moment alone, perhaps under the locks of partitions.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By partition: what has to be durable for all that is committed there to survive a power cut, itself apart. Those that were
    /// written to together share it.
    below: BTreeMap<Place, Arc<Round>>,
    /// What earlier lives have left in the page cache: what of it rests on what nobody knows any more.
    left: Round,
    /// Entries of `below`, at the most.
    entries: usize,
    /// How many they may be before they are counted again.
    bound: usize,
}

impl Resting {
    pub(super) fn new(left: Round) -> Self {
        Self(Mutex::new(Known { left, bound: MOST_ENTRIES, ..Known::default() }))
    }

    /// Adds to what a commit has seen, each partition up to an offset, what all of that rests on.
    pub(super) fn complete(&self, seen: &mut Round) {
        self.0.lock().complete(seen);
    }

    /// Adds what earlier lives have left, as long as it may be in the page cache alone.
    pub(super) fn add_left(&self, round: &mut Round) {
        let mut known = self.0.lock();
        known.left.forget_durable();
        round.add_sound(&known.left);
    }

    /// A commit with records in these partitions has seen that, and rests on it; before readers see it. Returns all that it rests on.
    pub(super) fn note(&self, written: impl Iterator<Item = Place>, mut seen: Round) -> Arc<Round> {
        let mut known = self.0.lock();
        known.complete(&mut seen);
        let rests_on = Arc::new(seen);
        known.entries += rests_on.len();
        for place in written {
            known.below.insert(place, Arc::clone(&rests_on));
        }
        rests_on
    }

    /// Forgets what is durable by now. Returns what is to be synced where there is too much left.
    pub(super) fn look_through(&self) -> Option<Round> {
        self.0.lock().look_through()
    }

    /// The same, where there may be too much.
    pub(super) fn look_through_when_due(&self) -> Option<Round> {
        let mut known = self.0.lock();
        if known.entries > known.bound { known.look_through() } else { None }
    }
}

impl Known {
    fn complete(&self, seen: &mut Round) {
        let below: BTreeMap<_, _> = seen
            .places()
            .filter_map(|place| self.below.get(place))
            .map(|one| (Arc::as_ptr(one), one))
            .collect();
        below.values().for_each(|one| seen.add_unsynced(one));
    }

    fn look_through(&mut self) -> Option<Round> {
        self.below.retain(|_, one| !one.is_durable());
        let mut counted = BTreeSet::new();
        let distinct = self.below.values().filter(|one| counted.insert(Arc::as_ptr(one)));
        self.entries = distinct.map(|one| one.len()).sum();
        if self.entries <= MOST_ENTRIES / 2 {
            self.bound = MOST_ENTRIES;
            return None;
        }
        let mut all = Round::default();
        self.below.values().for_each(|one| all.add_sound(one));
        // What cannot be synced stays: it is not tried again for every commit.
        self.bound = self.entries * 2;
        Some(all)
    }
}
