//! What goes to each partition, and how it gets there: all of it, or nothing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::Ending;
use crate::log::{Holding, Part, PartPlace, Stage};
use crate::topic::{Contribution, Partition};
use crate::transaction::condition::{Condition, Held};
use crate::transaction::coordinator::{Put, Transactions};
use crate::transaction::giving_up::Writing;
use crate::transaction::names::{OpenParts, Written};
use crate::transaction::pieces::{Pieces, Place, place_of};
use crate::transaction::round::Round;
use crate::types::Record;

/// What is to be appended, and what has to hold for it.
pub(super) struct Gathered<'a> {
    pub(super) pieces: &'a Pieces,
    pub(super) contributions: &'a [&'a Contribution],
    pub(super) conditions: &'a [Box<dyn Condition>],
    /// What of the transaction was written before.
    pub(super) put: &'a [Put],
    pub(super) waits_for_room: bool,
}

impl Gathered<'_> {
    /// Returns when there is room for its records.
    pub(super) fn wait_for_room(&self) -> Result<()> {
        let mut pieces = self.pieces.by_place.values();
        pieces.try_for_each(|piece| check_room(&piece.partition, piece.bytes(), self.waits_for_room))
    }
}

fn check_room(partition: &Partition, bytes: u64, waits_for_room: bool) -> Result<()> {
    let log = partition.log();
    if waits_for_room { log.check_room(bytes) } else { log.check_room_now(bytes) }
}

/// What was appended.
pub(super) struct Appended {
    pub(super) put: Vec<Put>,
    /// What stood before it in its partitions, and in those that its conditions looked at.
    pub(super) seen: Round,
}

/// What goes to one partition: nothing where a condition looks at it alone.
struct Share<'a> {
    place: Place,
    partition: Partition,
    records: Vec<Record<'a>>,
    base_sequence: i32,
    bytes: u64,
    /// A condition is about it.
    is_looked_at: bool,
}

impl Share<'_> {
    fn empty(partition: &Partition) -> Self {
        Self {
            place: place_of(partition),
            partition: partition.clone(),
            records: Vec::new(),
            base_sequence: 0,
            bytes: 0,
            is_looked_at: false,
        }
    }
}

impl Transactions {
    /// Appends everything, or leaves what was appended to be given up: a part of several batches may be there up to one of them.
    pub(super) fn append(
        &self,
        open: &mut OpenParts,
        gathered: &Gathered<'_>,
        ends_with: Option<Ending>,
    ) -> Result<Appended> {
        // Dropped after the stages, which hold what it needs.
        let writing = Writing::new(self, open, ends_with);
        let open = &mut *writing.open;
        for partition in gathered.conditions.iter().flat_map(|condition| condition.partitions()) {
            self.check_known(&partition)?;
        }
        let shares = shares(open, gathered);
        // With the writer of one of them nothing is written to another.
        shares.iter().try_for_each(|share| share.partition.log().meet_prerequisites(Holding::Locks))?;
        make_room(&shares, gathered)?;
        let mut stages = checked(&shares, gathered)?;
        let producer = open.producer;
        stages.iter().try_for_each(|stage| stage.log().check_producers(producer.id))?;
        let seen = seen(&stages, &shares);
        let mut put = Vec::new();
        for (stage, share) in stages.iter_mut().zip(&shares).filter(|(_, share)| !share.records.is_empty()) {
            let stamp = producer.stamp(share.base_sequence);
            let ends_with = ends_with.map(|ending| producer.marker(ending));
            let place = stage.place(&Part { records: &share.records, stamp, ends_with })?;
            put.push((share, place));
        }
        if ends_with.is_some() && !gathered.conditions.is_empty() {
            // It is decided with its write.
            self.resting.note(put.iter().map(|(share, _)| share.place), seen.clone());
        }
        // Before they are written: of a part that fails the first batches stay. Where nothing is there is nothing to give up.
        put.iter().for_each(|(share, place)| open.note(share, place));
        // Those behind one that fails are let go of unwritten.
        stages.iter_mut().try_for_each(Stage::write)?;
        drop(stages);
        let put = put.into_iter().map(|(share, place)| Put { partition: share.partition.clone(), place });
        Ok(Appended { put: put.collect(), seen })
    }
}

/// Returns when there is room for all of them. What is refused takes nothing out, be it for want of room elsewhere.
fn make_room(shares: &[Share<'_>], gathered: &Gathered<'_>) -> Result<()> {
    let with_records = shares.iter().filter(|share| !share.records.is_empty());
    let (taking_out, waiting): (Vec<_>, Vec<_>) =
        with_records.partition(|share| share.partition.log().drops_oldest());
    let room = |share: &&Share<'_>| check_room(&share.partition, share.bytes, gathered.waits_for_room);
    taking_out.iter().try_for_each(|share| share.partition.log().check_fits(share.bytes))?;
    waiting.iter().try_for_each(room)?;
    if taking_out.is_empty() {
        return Ok(());
    }
    drop(checked(shares, gathered)?);
    taking_out.iter().try_for_each(room)
}

/// The writers of all partitions, once everything holds that has to, and all records may be appended.
fn checked<'a>(shares: &'a [Share<'_>], gathered: &Gathered<'_>) -> Result<Vec<Stage<'a>>> {
    let stages = shares.iter().map(|share| share.partition.log().stage());
    let mut stages = stages.collect::<Result<Vec<_>>>()?;
    for (stage, share) in stages.iter_mut().zip(shares) {
        // What a condition has seen is in the log: so it can be synced.
        if share.is_looked_at { stage.hold_written()? } else { stage.hold() }
    }
    let held = Held::new(&stages, gathered.put);
    gathered.conditions.iter().try_for_each(|condition| condition.check(&held))?;
    for (stage, share) in stages.iter_mut().zip(shares) {
        stage.check(&share.records)?;
    }
    Ok(stages)
}

/// All that stands in these partitions.
fn seen(stages: &[Stage<'_>], shares: &[Share<'_>]) -> Round {
    let mut seen = Round::default();
    for (stage, share) in stages.iter().zip(shares) {
        let last = stage.next_offset().map_or(-1, |next| next - 1);
        if last >= 0 {
            seen.add(&share.partition, last);
        }
    }
    seen
}

impl OpenParts {
    fn note(&mut self, share: &Share<'_>, place: &PartPlace) {
        let count = i32::try_from(share.records.len()).unwrap_or(i32::MAX);
        let next_sequence = match share.base_sequence {
            -1 => -1,
            base => crate::format::sequence_after(base, count),
        };
        let written = self.places.entry(share.place).or_insert_with(|| Written {
            partition: share.partition.clone(),
            last: place.last_offset,
            next_sequence,
        });
        (written.last, written.next_sequence) = (place.last_offset, next_sequence);
    }
}

/// What goes to each partition, in the order in which they are locked.
fn shares<'a>(open: &OpenParts, gathered: &Gathered<'a>) -> Vec<Share<'a>> {
    let mut shares: BTreeMap<Place, Share<'a>> = BTreeMap::new();
    for (place, piece) in &gathered.pieces.by_place {
        let next_sequence = open.places.get(place).map_or(0, |written| written.next_sequence);
        let (records, bytes) = (piece.records(), piece.bytes());
        let of_piece =
            Share { base_sequence: next_sequence, records, bytes, ..Share::empty(&piece.partition) };
        shares.insert(*place, of_piece);
    }
    for contribution in gathered.contributions {
        let partition = &contribution.partition;
        let share = shares.entry(place_of(partition)).or_insert_with(|| Share::empty(partition));
        // What a layer keeps of its own nobody counts, as Kafka does not count committed offsets.
        share.base_sequence = -1;
        share.records.extend(contribution.records());
    }
    for condition in gathered.conditions {
        for partition in condition.partitions() {
            let share = shares.entry(place_of(&partition)).or_insert_with(|| Share::empty(&partition));
            share.is_looked_at = true;
        }
    }
    shares.into_values().collect()
}
