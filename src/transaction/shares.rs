//! What goes to each partition, and how it gets there: all of it, or nothing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::Ending;
use crate::log::{Holding, Part, PartPlace, Room, Stage};
use crate::topic::{Contribution, Partition};
use crate::transaction::condition::{Condition, Held};
use crate::transaction::coordinator::{Put, Transactions};
use crate::transaction::giving_up::Writing;
use crate::transaction::ids::ProducerId;
use crate::transaction::names::{OpenParts, Written};
use crate::transaction::pieces::{Pieces, Place, place_of};
use crate::transaction::resting::Seen;
use crate::transaction::room::RoomWaits;
use crate::types::{Record, Timestamp};

/// What is to be appended, and what has to hold for it.
pub(super) struct Gathered<'a> {
    pub(super) pieces: &'a Pieces,
    pub(super) contributions: &'a [&'a Contribution],
    pub(super) conditions: &'a [Box<dyn Condition>],
    /// What of the transaction was written before.
    pub(super) put: &'a [Put],
    /// Whether it waits for room in a partition that is full, where that says so. Whoever holds what others need to make room does not.
    pub(super) waits_for_room: bool,
}

/// What was appended.
pub(super) struct Appended {
    pub(super) put: Vec<Put>,
    /// What stood before it in its partitions, of its owners where a layer keeps its state, and in those that its conditions looked at.
    pub(super) seen: Seen,
}

/// What goes to one partition: nothing where a condition looks at it alone.
struct Share<'a> {
    place: Place,
    partition: Partition,
    records: Vec<Record<'a>>,
    base_sequence: i32,
    bytes: u64,
    /// What the clock showed while records of the program's own were given.
    given: Option<(Timestamp, Timestamp)>,
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
            given: None,
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
        let writing = Writing::new(self, open, ends_with);
        // The stages hold what a panic needs, and are gone by then.
        let appended = self.append_all(writing.open, gathered, ends_with);
        writing.end();
        appended
    }

    fn append_all(
        &self,
        open: &mut OpenParts,
        gathered: &Gathered<'_>,
        ends_with: Option<Ending>,
    ) -> Result<Appended> {
        for partition in gathered.conditions.iter().flat_map(|condition| condition.partitions()) {
            self.check_known(&partition)?;
        }
        let (shares, producer) = (shares(open, gathered), open.producer);
        // With the writer of one of them nothing is written to another.
        shares.iter().try_for_each(|share| share.partition.log().meet_prerequisites(Holding::Locks))?;
        make_room(&shares, gathered, producer)?;
        let mut stages = checked(&shares, gathered, producer)?;
        let seen = seen(&stages, &shares, gathered);
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

/// Returns when there is room for all of them. What is refused takes nothing out and waits for nobody, be it for want of room elsewhere.
fn make_room(shares: &[Share<'_>], gathered: &Gathered<'_>, producer: ProducerId) -> Result<()> {
    let mut waits = RoomWaits::default();
    loop {
        let (taking_out, waiting) = full(shares)?;
        if taking_out.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        drop(checked(shares, gathered, producer)?);
        let Some(first) = waiting.first() else {
            return taking_out.iter().try_for_each(|share| share.partition.log().check_room(share.bytes));
        };
        if !gathered.waits_for_room {
            return Err(first.partition.log().refuse_full());
        }
        // What has become of everything else meanwhile is looked at again.
        waiting.iter().try_for_each(|share| waits.wait(&share.partition, share.bytes))?;
    }
}

type Full<'s, 'a> = Vec<&'s Share<'a>>;

/// Where there is no room: those that take out what is oldest, and those in which others make it.
fn full<'s, 'a>(shares: &'s [Share<'a>]) -> Result<(Full<'s, 'a>, Full<'s, 'a>)> {
    let (mut taking_out, mut waiting) = (Vec::new(), Vec::new());
    for share in shares.iter().filter(|share| !share.records.is_empty()) {
        match share.partition.log().room_for(share.bytes)? {
            Room::Enough => {}
            Room::TakenOut => taking_out.push(share),
            Room::Awaited => waiting.push(share),
        }
    }
    Ok((taking_out, waiting))
}

/// The writers of all partitions, once everything holds that has to, and all records may be appended.
fn checked<'a>(
    shares: &'a [Share<'_>],
    gathered: &Gathered<'_>,
    producer: ProducerId,
) -> Result<Vec<Stage<'a>>> {
    let stages = shares.iter().map(|share| share.partition.log().stage());
    let mut stages = stages.collect::<Result<Vec<_>>>()?;
    for (stage, share) in stages.iter_mut().zip(shares) {
        // What a condition has seen is in the log: so it can be synced.
        if share.is_looked_at { stage.hold_written()? } else { stage.hold() }
    }
    let held = Held::new(&stages, gathered.put);
    gathered.conditions.iter().try_for_each(|condition| condition.check(&held))?;
    for (stage, share) in stages.iter_mut().zip(shares) {
        if let Some(given) = share.given {
            stage.were_given(given);
        }
        stage.check(&share.records)?;
        // Who looks at a partition is nobody whom it has to know.
        if !share.records.is_empty() {
            stage.log().check_producers(producer.id)?;
        }
    }
    Ok(stages)
}

/// What stands in these partitions; in one that a layer alone writes to, of its owners.
fn seen(stages: &[Stage<'_>], shares: &[Share<'_>], gathered: &Gathered<'_>) -> Seen {
    let mut seen = Seen::default();
    gathered.contributions.iter().for_each(|one| seen.add_owned(one));
    for (stage, share) in stages.iter().zip(shares) {
        let last = stage.next_offset().map_or(-1, |next| next - 1);
        let is_whole = share.is_looked_at || gathered.pieces.by_place.contains_key(&share.place);
        if last >= 0 {
            if is_whole { seen.add(&share.partition, last) } else { seen.through.add(&share.partition, last) }
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
        let given = Some(piece.given);
        let of_piece =
            Share { base_sequence: next_sequence, records, bytes, given, ..Share::empty(&piece.partition) };
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
