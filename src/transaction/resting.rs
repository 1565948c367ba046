//! What commits rest on that is not durable yet. Whoever has seen one and is told that its own commit survives a power cut must not find that
//! one gone: what it rests on is synced, too.
//!
//! A commit has seen whatever stands below it in its partitions, below the ends of those that its conditions look at, and below where its offsets
//! were read to; and what the commits there have seen. The last is kept for each partition, complete: a commit adds to its partitions' what is
//! known of all that it has seen. So an entry is forgotten as soon as it is durable, whatever is known of other partitions.
//!
//! A partition in which a layer keeps its state is shared by all, and what it says of one owner, as a group's position in a partition, follows from
//! nothing that it says of another. There it is kept for each owner, and a commit has seen that of those of which it says something itself: else one
//! topic that cannot be synced, on which one of them rests, would stop all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::locks::Mutex;
use crate::topic::{Contribution, Partition};
use crate::transaction::pieces::{Place, place_of};
use crate::transaction::round::Round;
use crate::types::Offset;

/// More than this many entries that are not durable are synced by whoever adds to them.
const MOST_ENTRIES: usize = 1 << 16;

/// What a commit has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Up to where partitions are to be durable with it.
    pub(super) through: Round,
    /// Of these, those in which it has seen all that is committed.
    whole: BTreeSet<Place>,
    /// Those in which it has seen what is said of one owner.
    owned: BTreeSet<Seat>,
}

/// Where something is seen: all of a partition, for nobody in particular; or of one in which a layer keeps its state what is said of one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seat {
    place: Place,
    owner: Option<Vec<u8>>,
}

impl Seen {
    /// All that stands there up to an offset.
    pub(super) fn add(&mut self, partition: &Partition, last: Offset) {
        self.through.add(partition, last);
        self.whole.insert(place_of(partition));
    }

    /// What a layer has said before of those of whom it says something now. What it has said of others has to be there, and is nothing to it.
    pub(super) fn add_owned(&mut self, contribution: &Contribution) {
        let place = place_of(&contribution.partition);
        let owners = contribution.owners.iter().cloned().map(Some);
        self.owned.extend(owners.map(|owner| Seat { place, owner }));
    }

    /// Where something that is written to a partition is seen.
    fn seats(&self, place: Place) -> Vec<Seat> {
        let owned: Vec<_> = self.owned.iter().filter(|seat| seat.place == place).cloned().collect();
        if owned.is_empty() { vec![Seat { place, owner: None }] } else { owned }
    }
}

/// For a moment alone, perhaps under the locks of partitions.
#[derive(Debug, Default)]
pub(super) struct Resting(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What has to be durable for all that is committed there to survive a power cut, itself apart. Those that were written to together
    /// share it.
    below: BTreeMap<Seat, Arc<Round>>,
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
    pub(super) fn complete(&self, seen: &mut Seen) {
        self.0.lock().complete(seen);
    }

    /// The same of all that is committed in these partitions, whosever it is.
    pub(super) fn complete_whole(&self, round: &mut Round) {
        let whole = round.places().copied().collect();
        let mut seen = Seen { through: std::mem::take(round), whole, owned: BTreeSet::new() };
        self.complete(&mut seen);
        *round = seen.through;
    }

    /// An error where something that has been seen by who sees all that is committed in a partition cannot become durable before the store is opened again.
    pub(super) fn check_sound(&self, place: Place) -> Result<()> {
        self.0.lock().all_of(place).try_for_each(|one| one.check_sound())
    }

    /// Adds what earlier lives have left, as long as it may be in the page cache alone.
    pub(super) fn add_left(&self, round: &mut Round) {
        let mut known = self.0.lock();
        known.left.forget_durable();
        round.add_sound(&known.left);
    }

    /// A commit with records in these partitions has seen that, and rests on it; before readers see it. Returns all that it rests on.
    pub(super) fn note(&self, written: impl Iterator<Item = Place>, mut seen: Seen) -> Arc<Round> {
        let mut known = self.0.lock();
        known.complete(&mut seen);
        let seats: Vec<_> = written.flat_map(|place| seen.seats(place)).collect();
        let rests_on = Arc::new(seen.through);
        known.entries += rests_on.len();
        for seat in seats {
            known.below.insert(seat, Arc::clone(&rests_on));
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
    fn complete(&self, seen: &mut Seen) {
        let whole = seen.whole.iter().flat_map(|place| self.all_of(*place));
        let owned = seen.owned.iter().filter_map(|seat| self.below.get(seat));
        let below: BTreeMap<_, _> = whole.chain(owned).map(|one| (Arc::as_ptr(one), one)).collect();
        below.values().for_each(|one| seen.through.add_unsynced(one));
    }

    /// What is known of a partition, whosever it is.
    fn all_of(&self, place: Place) -> impl Iterator<Item = &Arc<Round>> {
        let all = self.below.range(Seat { place, owner: None }..);
        all.take_while(move |(seat, _)| seat.place == place).map(|(_, one)| one)
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
