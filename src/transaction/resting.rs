//! Commits that readers have seen and that rest on something not synced yet. Whoever has seen one and is told that its own commit survives a
//! power cut must not find that one gone: what it rests on is synced, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::locks::Mutex;
use crate::topic::Partition;
use crate::transaction::pieces::{Place, place_of};
use crate::transaction::round::Round;
use crate::types::Offset;

/// By where their decisions stand.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<BTreeMap<Offset, Seen>>);

/// One commit.
#[derive(Debug)]
struct Seen {
    /// Where it has records.
    places: Vec<Place>,
    rests_on: Round,
}

impl Resting {
    /// Before readers see it.
    pub(super) fn begin(&self, decision: Offset, (places, rests_on): (Vec<Place>, Round)) {
        self.0.lock().insert(decision, Seen { places, rests_on });
    }

    /// What it rests on is durable.
    pub(super) fn end(&self, decision: Offset) {
        self.0.lock().remove(&decision);
    }

    /// Adds what those rest on that have records in these partitions, and those that have records in partitions of these, and so on.
    pub(super) fn add_below<'p>(&self, partitions: impl Iterator<Item = &'p Partition>, round: &mut Round) {
        let resting = self.0.lock();
        if resting.is_empty() {
            return;
        }
        let mut reached: BTreeSet<Place> = partitions.map(place_of).collect();
        let mut left: Vec<_> = resting.values().collect();
        loop {
            let before = left.len();
            left.retain(|one| {
                if !one.places.iter().any(|place| reached.contains(place)) {
                    return true;
                }
                reached.extend(&one.places);
                round.add_all(&one.rests_on);
                false
            });
            if left.len() == before {
                return;
            }
        }
    }
}
