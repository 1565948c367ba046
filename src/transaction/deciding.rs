//! How a commit comes to be one: what is known before, what it writes, what is synced for it, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{DecisionEnd, Ending, TopicPartitions};
use crate::locks::Mutex;
use crate::log::TransactionId;
use crate::topic::{Contribution, Outcome, Partition};
use crate::transaction::asked::Asked;
use crate::transaction::committing::Later;
use crate::transaction::coordinator::{Deciding, Put, Transactions};
use crate::transaction::decisions::Decision;
use crate::transaction::finish::Ended;
use crate::transaction::names::{NameState, OpenParts, Written};
use crate::transaction::pieces::place_of;
use crate::transaction::resting::Seen;
use crate::transaction::round::Round;
use crate::transaction::shares::Appended;
use crate::transaction::undertaken::{OnItsWay, OutstandingFrom, Undertaken};
use crate::types::{Durability, Offset};

impl Transactions {
    /// Appends what is left to be written, decides, and has both be as durable as was asked for. What is written of a transaction that is
    /// refused is in the hands of the name still.
    pub(super) fn decide(
        self: &Arc<Self>,
        state: &mut NameState,
        deciding: &Deciding<'_>,
        asked: &Asked<'_>,
    ) -> Result<Vec<Put>> {
        let contributions = &*asked.contributions();
        let written = state.open.as_ref().is_some_and(|open| !open.places.is_empty());
        let pieces: Vec<_> = deciding.pieces.by_place.values().collect();
        let alone = match pieces.as_slice() {
            [piece] if !written && contributions.is_empty() => {
                piece.partition.log().fits_one_segment(&piece.records()).then_some(&piece.partition)
            }
            _ => None,
        };
        let open = self.open_parts(state, deciding);
        self.check_sound((deciding, open, contributions), alone.is_some())?;
        let ends_with = alone.is_some().then_some(Ending::Commit);
        let Appended { put, seen } = match self.append(open, &deciding.gathered(contributions), ends_with) {
            // Without a place it was refused before anything of it was written.
            Err(error)
                if !open.places.is_empty()
                    && alone.is_some_and(|partition| partition.log().poisoned_by().is_some()) =>
            {
                // What could not be cut off may be all of it, its end included.
                state.open = None;
                return Err(undecided(deciding, error));
            }
            appended => appended?,
        };
        contributions.iter().for_each(|one| one.written_in.note(open.producer.transaction()));
        let is_empty = open.places.is_empty();
        if !is_empty && alone.is_none() {
            return self.decide_together(state, deciding, (asked, contributions, seen)).map(|()| put);
        }
        state.open.take().into_iter().for_each(|open| deciding.named.give_back(open.producer));
        let Some(partition) = alone.filter(|_| !is_empty) else {
            return self.take_along(deciding, seen).map(|()| put);
        };
        // All of it is in one partition, and so is its end.
        let mut rests_on = seen;
        rests_on.through.add(partition, partition.end() - 1);
        let durable = self.take_along(deciding, rests_on);
        durable.map(|()| put).map_err(|error| undecided(deciding, error))
    }

    /// An error where it is known that the commit cannot become durable in this life: then it is none, and not one of which nobody knows.
    fn check_sound(
        &self,
        (deciding, open, contributions): (&Deciding<'_>, &OpenParts, &[&Contribution]),
        is_alone: bool,
    ) -> Result<()> {
        let pieces = || deciding.pieces.by_place.values().map(|piece| &piece.partition);
        pieces().try_for_each(|partition| partition.log().check_poison())?;
        if !is_alone && self.decisions.is_poisoned() {
            self.decisions.partition()?.log().check_poison()?;
        }
        if !deciding.is_for_disk() {
            // Its ends would never come, nor those of any that do the same after it.
            let mut own = Round::default();
            open.places.values().for_each(|written| own.add(&written.partition, written.last));
            inputs_of(contributions).for_each(|(partition, last)| own.add(partition, *last));
            self.own_rounds.add(laid_over_by(contributions), &mut own);
            return own.check_sound();
        }
        let mut seen = Seen::default();
        let looked_at: Vec<_> = deciding.conditions.iter().flat_map(|one| one.partitions()).collect();
        pieces().chain(&looked_at).for_each(|partition| seen.add(partition, partition.end() - 1));
        let written = open.places.values().map(|written| &written.partition);
        written.for_each(|partition| seen.add(partition, partition.end() - 1));
        for one in contributions {
            seen.through.add(&one.partition, one.partition.end() - 1);
            seen.add_owned(one);
        }
        inputs_of(contributions).for_each(|(partition, last)| seen.add(partition, *last));
        self.own_rounds.add(laid_over_by(contributions), &mut seen.through);
        self.add_behind(contributions, &mut seen.through);
        self.resting.complete(&mut seen);
        seen.through.bring_over()
    }

    /// Adds what transactions rest on behind which positions are to stand.
    fn add_behind(&self, contributions: &[&Contribution], round: &mut Round) {
        let behind = contributions.iter().flat_map(|one| &one.behind);
        let transactions = behind.flat_map(|(partition, last)| partition.log().committed_through(*last));
        self.own_rounds.add(transactions, round);
    }

    /// Has what a commit has seen be durable with it, if it is to be.
    fn take_along(&self, deciding: &Deciding<'_>, mut seen: Seen) -> Result<()> {
        self.bound_what_is_known(deciding.later);
        if !deciding.is_for_disk() {
            return Ok(());
        }
        self.resting.complete(&mut seen);
        match deciding.later {
            Some(later) => self.note_for_later(&seen.through, later),
            None => self.sync_with_what_was_left(&seen.through)?,
        }
        Ok(())
    }

    fn note_for_later(&self, rests_on: &Round, later: &Mutex<Later>) {
        let mut later = later.lock();
        later.rests_on.add_all(rests_on);
        self.resting.add_left(&mut later.left);
    }

    /// Returns when all that a commit rests on is durable, and has tried the same with what earlier lives have left, which may be part of that.
    fn sync_with_what_was_left(&self, rests_on: &Round) -> Result<()> {
        let mut all = rests_on.clone();
        self.resting.add_left(&mut all);
        match all.sync() {
            Err(error) if !rests_on.is_durable() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What rests on what is known of so many commits and no more. A task leaves the sync to the others, and to the one in the background.
    fn bound_what_is_known(&self, later: Option<&Mutex<Later>>) {
        if let Some(too_much) = self.resting.look_through_when_due().filter(|_| later.is_none()) {
            // Those who are to survive a power cut are told when that is not possible.
            drop(too_much.sync());
            self.resting.look_through();
        }
    }

    /// Writes the decision about what is written, has it and what it rests on synced if need be, and tells the readers.
    fn decide_together(
        self: &Arc<Self>,
        state: &mut NameState,
        deciding: &Deciding<'_>,
        (asked, contributions, mut seen): (&Asked<'_>, &[&Contribution], Seen),
    ) -> Result<()> {
        let now = self.now();
        let mut inputs: Vec<_> = inputs_of(contributions).cloned().collect();
        inputs.iter().for_each(|(partition, last)| seen.add(partition, *last));
        let is_own = |partition: &Partition, last: Offset| {
            let written = state.open.as_ref().and_then(|open| open.places.get(&place_of(partition)));
            written.is_some_and(|written| written.last >= last)
        };
        inputs.extend(self.own_rounds.inputs(laid_over_by(contributions), is_own));
        state.open.as_ref().map_or(Ok(()), OpenParts::check_there)?;
        let from = self.deciding()?;
        let Some(open) = state.open.take() else { return Ok(()) };
        // What was written before as well; what a layer has there apart.
        let is_kept = |written: &&Written| {
            contributions.iter().any(|one| place_of(&one.partition) == place_of(&written.partition))
        };
        let written = open.places.values().filter(|written| !is_kept(written));
        written.for_each(|written| seen.add(&written.partition, written.last));
        if deciding.is_for_disk() {
            self.add_behind(contributions, &mut seen.through);
        }
        let decision = Decision {
            name: &deciding.named.name,
            producer: open.producer,
            ending: Ending::Commit,
            ends: &ends(&open, &inputs),
            partitions: partitions(&open),
            timeout_millis: i32::try_from(deciding.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            began: open.began,
            now,
        };
        let is_for_disk = deciding.settings.durability == Durability::Disk && deciding.later.is_none();
        let ended = Ended::undertaken(deciding.named, open, inputs);
        let mut undertaken = self.undertake(Undertaken { ended, seen, from, is_for_disk });
        asked.know(Outcome::Unknown);
        let written = self.decisions.append(&decision, Durability::Os);
        match written {
            Ok(offset) => self
                .take_effect(undertaken, (offset, deciding.later), || asked.know(Outcome::Applied))
                .map_err(|error| undecided(deciding, error)),
            Err(error) if self.decisions.is_poisoned() => {
                drop(undertaken.take());
                Err(undecided(deciding, error))
            }
            Err(error) => {
                self.take_no_effect(undertaken);
                Err(error)
            }
        }
    }

    /// A decision is written: has it and what it rests on synced if need be, and tells the readers.
    pub(super) fn take_effect(
        self: &Arc<Self>,
        mut undertaken: OnItsWay<'_>,
        (offset, later): (Offset, Option<&Mutex<Later>>),
        is_applied: impl FnOnce(),
    ) -> Result<()> {
        let Some(one) = undertaken.one() else { return Ok(()) };
        if let Err(error) = self.have_it_stand(one, (offset, later)) {
            // Readers wait until the store is opened again.
            drop(undertaken.take());
            return Err(error);
        }
        let places = &one.ended.places;
        places
            .values()
            .for_each(|written| _ = written.partition.log().decide(one.ended.producer.id, Ending::Commit));
        is_applied();
        let Some(Undertaken { ended, from, .. }) = undertaken.take() else { return Ok(()) };
        let _outstanding = OutstandingFrom { of: self, from };
        if later.is_some() {
            self.follow_later(ended)
        } else {
            self.follow(ended)
        }
        Ok(())
    }

    /// Has it and what it rests on synced, or notes what that is.
    fn have_it_stand(
        &self,
        undertaken: &mut Undertaken,
        (offset, later): (Offset, Option<&Mutex<Later>>),
    ) -> Result<()> {
        let Undertaken { ended, seen, is_for_disk, .. } = undertaken;
        ended.decision = Some(offset);
        let mut all = seen.clone();
        self.rests_on(ended, &mut all.through)?;
        if *is_for_disk {
            self.resting.complete(&mut all);
            self.sync_with_what_was_left(&all.through)?;
            ended.is_synced = true;
        } else {
            self.note_own(ended)?;
            let rests_on = self.resting.note(ended.places.keys().copied(), all);
            if let Some(later) = later {
                self.note_for_later(&rests_on, later);
            }
            self.bound_what_is_known(later);
        }
        Ok(())
    }
}

/// What the offsets and answers of a transaction follow from.
fn inputs_of<'c>(contributions: &'c [&'c Contribution]) -> impl Iterator<Item = &'c (Partition, Offset)> {
    contributions.iter().flat_map(|one| &one.inputs)
}

/// What is replaced with a transaction took effect with these.
fn laid_over_by(contributions: &[&Contribution]) -> impl Iterator<Item = TransactionId> {
    contributions.iter().flat_map(|one| &one.laid_over).copied()
}

fn ends(open: &OpenParts, inputs: &[(Partition, Offset)]) -> Vec<DecisionEnd> {
    let written = open.places.iter().map(|((topic, partition), written)| DecisionEnd {
        topic: *topic,
        partition: *partition,
        last: written.last,
        is_input: false,
    });
    let inputs = inputs.iter().map(|(partition, last)| DecisionEnd {
        topic: partition.topic_id(),
        partition: partition.number(),
        last: *last,
        is_input: true,
    });
    written.chain(inputs).collect()
}

fn partitions(open: &OpenParts) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for written in open.places.values() {
        let number = i32::try_from(written.partition.number()).unwrap_or(i32::MAX);
        topics.entry(written.partition.topic()).or_default().push(number);
    }
    let of_topic =
        |(topic, partitions): (&str, Vec<i32>)| TopicPartitions { topic: topic.to_owned(), partitions };
    topics.into_iter().map(of_topic).collect()
}

fn undecided(deciding: &Deciding<'_>, cause: Error) -> Error {
    Error::Undecided { name: deciding.named.name.to_string(), cause: Arc::new(cause) }
}
