//! How a commit comes to be one: what is known before, what it writes, what is synced for it, and who is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{DecisionEnd, Ending, TopicPartitions};
use crate::locks::Mutex;
use crate::topic::{Contribution, Partition};
use crate::transaction::coordinator::{Deciding, Put, Transactions};
use crate::transaction::decisions::Decision;
use crate::transaction::finish::Ended;
use crate::transaction::names::{NameState, OpenParts};
use crate::transaction::round::Round;
use crate::transaction::shares::Appended;
use crate::types::{Durability, Offset};

impl Transactions {
    /// Appends what is left to be written, decides, and has both be as durable as was asked for.
    pub(super) fn decide(
        self: &Arc<Self>,
        state: &mut NameState,
        deciding: &Deciding<'_>,
        contributions: &[&Contribution],
    ) -> Result<Vec<Put>> {
        let written = state.open.is_some();
        let pieces: Vec<_> = deciding.pieces.by_place.values().collect();
        let alone = match pieces.as_slice() {
            [piece] if !written && contributions.is_empty() => {
                piece.partition.log().fits_one_segment(&piece.records()).then_some(&piece.partition)
            }
            _ => None,
        };
        let mut open = self.open_parts(state, deciding);
        if let Err(error) = self.check_sound((deciding, &open, contributions), alone.is_some()) {
            self.give_up(deciding.named, open);
            return Err(error);
        }
        let ends_with = alone.is_some().then_some(Ending::Commit);
        let appended = self.append(&mut open, &deciding.gathered(contributions), ends_with);
        let Appended { put, seen } = match appended {
            Ok(appended) => appended,
            Err(error) => {
                let is_poisoned = alone.is_some_and(|partition| partition.log().poisoned_by().is_some());
                // Without a place it was refused before anything of it was written.
                if is_poisoned && !open.places.is_empty() {
                    // What could not be cut off may be all of it, its end included.
                    return Err(undecided(deciding, error));
                }
                self.give_up(deciding.named, open);
                return Err(error);
            }
        };
        if open.places.is_empty() {
            deciding.named.give_back(open.producer);
            return self.take_along(deciding, seen).map(|()| put);
        }
        if let Some(partition) = alone {
            deciding.named.give_back(open.producer);
            // All of it is in one partition, and so is its end.
            let mut rests_on = seen;
            rests_on.add(partition, partition.end() - 1);
            let durable = self.take_along(deciding, rests_on);
            return durable.map(|()| put).map_err(|error| undecided(deciding, error));
        }
        self.decide_together(deciding, open, (contributions, seen)).map(|()| put)
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
            return Ok(());
        }
        let mut seen = Round::default();
        let looked_at: Vec<_> = deciding.conditions.iter().flat_map(|one| one.partitions()).collect();
        let own = pieces().chain(open.places.values().map(|written| &written.partition));
        let others = looked_at.iter().chain(contributions.iter().map(|one| &one.partition));
        own.chain(others).for_each(|partition| seen.add(partition, partition.end() - 1));
        inputs_of(contributions).for_each(|(partition, last)| seen.add(partition, *last));
        self.resting.complete(&mut seen);
        seen.check_sound()
    }

    /// Has what a commit has seen be durable with it, if it is to be.
    fn take_along(&self, deciding: &Deciding<'_>, mut seen: Round) -> Result<()> {
        self.bound_what_is_known();
        if !deciding.is_for_disk() {
            return Ok(());
        }
        self.resting.complete(&mut seen);
        match deciding.later {
            Some(later) => self.note_for_later(&seen, later),
            None => self.sync_with_what_was_left(&seen)?,
        }
        Ok(())
    }

    fn note_for_later(&self, rests_on: &Round, later: &Mutex<Round>) {
        let mut later = later.lock();
        later.add_all(rests_on);
        self.resting.add_left(&mut later);
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

    /// What rests on what is known of so many commits and no more.
    fn bound_what_is_known(&self) {
        if let Some(too_much) = self.resting.look_through_when_due() {
            // Those who are to survive a power cut are told when that is not possible.
            drop(too_much.sync());
            self.resting.look_through();
        }
    }

    /// Writes the decision about what is written, has it and what it rests on synced if need be, and tells the readers.
    fn decide_together(
        self: &Arc<Self>,
        deciding: &Deciding<'_>,
        open: OpenParts,
        (contributions, seen): (&[&Contribution], Round),
    ) -> Result<()> {
        let inputs: Vec<_> = inputs_of(contributions).cloned().collect();
        let decision = Decision {
            name: &deciding.named.name,
            producer: open.producer,
            ending: Ending::Commit,
            ends: &ends(&open, &inputs),
            partitions: partitions(&open),
            timeout_millis: i32::try_from(deciding.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            began: open.began,
            now: self.now(),
        };
        let written = self.deciding().and_then(|from| {
            let written = self.decisions.append(&decision, Durability::Os).map(|offset| (offset, from));
            if written.is_err() && !self.decisions.is_poisoned() {
                self.decided(from);
            }
            written
        });
        let (offset, from) = match written {
            Ok(written) => written,
            Err(error) if self.decisions.is_poisoned() => return Err(undecided(deciding, error)),
            Err(error) => {
                self.give_up(deciding.named, open);
                return Err(error);
            }
        };
        let mut ended = Ended::committed(deciding.named, open, (offset, inputs));
        let mut round = seen;
        self.rests_on(&ended, &mut round).map_err(|error| undecided(deciding, error))?;
        if deciding.settings.durability == Durability::Disk && deciding.later.is_none() {
            self.resting.complete(&mut round);
            self.sync_with_what_was_left(&round).map_err(|error| undecided(deciding, error))?;
            ended.is_synced = true;
        } else {
            let rests_on = self.resting.note(ended.places.keys().copied(), round);
            if let Some(later) = deciding.later {
                self.note_for_later(&rests_on, later);
            }
            self.bound_what_is_known();
        }
        for written in ended.places.values() {
            written.partition.log().decide(ended.producer.id, Ending::Commit);
        }
        self.follow(ended);
        self.decided(from);
        Ok(())
    }
}

/// What the offsets and answers of a transaction follow from.
fn inputs_of<'c>(contributions: &'c [&'c Contribution]) -> impl Iterator<Item = &'c (Partition, Offset)> {
    contributions.iter().flat_map(|one| &one.inputs)
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
