//! Deciding: what is written before, what the decision is, and what follows from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{DecisionEnd, Ending, TopicPartitions};
use crate::group::{Groups, Pending, PendingRecords};
use crate::io::{Clock, Deadline};
use crate::locks::{AtomicU64, Mutex, Ordering};
use crate::log::{Part, PartPlace, Stage};
use crate::topic::{Partition, Topics};
use crate::transaction::builder::{Settings, check_name};
use crate::transaction::decisions::{Decision, DecisionLog};
use crate::transaction::finish::{Ended, Outstanding};
use crate::transaction::ids::ProducerId;
use crate::transaction::named_producer::NamedProducer;
use crate::transaction::names::{NameState, Named, OpenParts, Written};
use crate::transaction::pieces::{Pieces, Place};
use crate::transaction::round::Round;
use crate::types::{Durability, Offset, Record, Timestamp};
use crate::upkeep::Agenda;

/// All transactions of a store.
///
/// Locks are taken in this order: a name's state, groups, the writers of partitions by topic id and number; then the rest.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(super) topics: Arc<Topics>,
    groups: Arc<Groups>,
    clock: Arc<dyn Clock>,
    pub(super) agenda: Arc<Agenda>,
    pub(super) decisions: DecisionLog,
    pub(super) names: Mutex<HashMap<Arc<str>, Arc<Named>>>,
    /// Decided, and not yet in the log everywhere.
    pub(super) outstanding: Mutex<Outstanding>,
    owners: AtomicU64,
    /// Ids of named producers, once one was asked for.
    producers: Mutex<Option<BTreeMap<String, i64>>>,
}

/// Where something of a transaction was put.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) partition: Partition,
    pub(super) place: PartPlace,
}

/// What is appended to one partition.
struct Share<'a> {
    place: Place,
    partition: &'a Partition,
    records: Vec<Record<'a>>,
    base_sequence: i32,
    expected_end: Option<Offset>,
    bytes: u64,
}

/// A transaction on its way to its decision.
pub(super) struct Deciding<'a> {
    pub(super) named: &'a Arc<Named>,
    pub(super) owner: u64,
    pub(super) pieces: &'a Pieces,
    pub(super) offsets: &'a [Pending],
    pub(super) settings: &'a Settings,
}

impl Transactions {
    pub(super) fn new(
        topics: Arc<Topics>,
        groups: Arc<Groups>,
        (clock, agenda): (Arc<dyn Clock>, Arc<Agenda>),
        decisions: DecisionLog,
        outstanding: Outstanding,
    ) -> Self {
        Self {
            topics,
            groups,
            clock,
            agenda,
            decisions,
            names: Mutex::default(),
            outstanding: Mutex::new(outstanding),
            owners: AtomicU64::new(1),
            producers: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whoever went by the name is fenced from here on, and what it left undecided is aborted.
    pub(super) fn take_name(self: &Arc<Self>, name: &str) -> Result<(Arc<Named>, u64)> {
        let named = {
            let mut names = self.names.lock();
            match names.get(name) {
                Some(named) => Arc::clone(named),
                None => {
                    let shared: Arc<str> = name.into();
                    let named = Arc::new(Named::new(Arc::clone(&shared)));
                    names.insert(shared, Arc::clone(&named));
                    named
                }
            }
        };
        let owner = self.owners.fetch_add(1, Ordering::Relaxed);
        let left = named.state.lock().take_over(owner);
        if let Some(open) = left {
            self.give_up(&named, open);
        }
        Ok((named, owner))
    }

    /// The producer of that name. It is durable before it is used: or the name would be another's after a power cut, and
    /// what it sends again would not be known.
    pub(crate) fn named_producer(self: &Arc<Self>, name: &str) -> Result<NamedProducer> {
        check_name("producer", name)?;
        let mut known = self.producers.lock();
        let producers = match &mut *known {
            Some(producers) => producers,
            None => known.insert(self.decisions.load_producers()?),
        };
        let id = match producers.get(name) {
            Some(id) => *id,
            None => {
                let id = ProducerId::fresh().id;
                self.decisions.register(name, id, self.now())?;
                producers.insert(name.to_owned(), id);
                id
            }
        };
        Ok(NamedProducer::new(self, name, id))
    }

    /// Whether the partition is one of this store, and is there.
    pub(super) fn check_known(&self, partition: &Partition) -> Result<()> {
        let topic = self.topics.get(partition.topic())?;
        if topic.id() == partition.topic_id() {
            return Ok(());
        }
        Err(Error::UnknownTopic { topic: partition.topic().to_owned(), was_deleted: true })
    }

    /// Writes what was gathered so far, as part of a transaction that is not decided.
    pub(super) fn write_open(self: &Arc<Self>, deciding: &Deciding<'_>) -> Result<Vec<Put>> {
        let mut state = deciding.named.state.lock();
        state.check(deciding.owner, &deciding.named.name)?;
        let mut open = self.open_parts(&mut state, deciding);
        match self.append(&mut open, deciding.pieces, None, None) {
            Ok(put) => {
                state.open = Some(open);
                Ok(put)
            }
            Err(error) => {
                drop(state);
                self.give_up(deciding.named, open);
                Err(error)
            }
        }
    }

    /// Commits: returns when the decision is as far as the settings ask for, and seen by readers.
    pub(super) fn commit(self: &Arc<Self>, deciding: &Deciding<'_>) -> Result<Vec<Put>> {
        let mut state = deciding.named.state.lock();
        state.check(deciding.owner, &deciding.named.name)?;
        self.groups.commit_within(deciding.offsets, |offsets| self.decide(&mut state, deciding, offsets))
    }

    fn open_parts(&self, state: &mut NameState, deciding: &Deciding<'_>) -> OpenParts {
        state.open.take().unwrap_or_else(|| OpenParts {
            producer: deciding.named.take_producer(),
            places: BTreeMap::new(),
            began: self.now(),
            deadline: Deadline::after(deciding.settings.timeout),
        })
    }

    fn decide(
        self: &Arc<Self>,
        state: &mut NameState,
        deciding: &Deciding<'_>,
        offsets: Option<&PendingRecords<'_>>,
    ) -> Result<Vec<Put>> {
        let written = state.open.is_some();
        let full: Vec<_> = deciding.pieces.by_place.values().filter(|piece| !piece.is_empty()).collect();
        let alone = match full.as_slice() {
            [piece] if !written && offsets.is_none() => {
                piece.partition.log().fits_one_segment(&piece.records()).then_some(&piece.partition)
            }
            _ => None,
        };
        let mut open = self.open_parts(state, deciding);
        let ends_with = alone.is_some().then_some(Ending::Commit);
        let put = match self.append(&mut open, deciding.pieces, offsets, ends_with) {
            Ok(put) => put,
            Err(error) => {
                if alone.is_some_and(|partition| partition.log().poisoned_by().is_some()) {
                    // What could not be cut off may be all of it, its end included.
                    return Err(undecided(deciding, error));
                }
                self.give_up(deciding.named, open);
                return Err(error);
            }
        };
        if open.places.is_empty() {
            deciding.named.give_back(open.producer);
            return Ok(put);
        }
        if let Some(partition) = alone {
            deciding.named.give_back(open.producer);
            return self.make_durable(deciding, partition).map(|()| put);
        }
        self.decide_together(deciding, open, offsets).map(|()| put)
    }

    /// All of it is in one partition, and so is its end.
    fn make_durable(&self, deciding: &Deciding<'_>, partition: &Partition) -> Result<()> {
        if deciding.settings.durability != Durability::Disk {
            return Ok(());
        }
        let last = partition.end() - 1;
        partition.log().sync_through(last).map_err(|error| undecided(deciding, error))
    }

    /// Writes the decision about what is written, has it and what it rests on synced if need be, and tells the readers.
    fn decide_together(
        self: &Arc<Self>,
        deciding: &Deciding<'_>,
        open: OpenParts,
        offsets: Option<&PendingRecords<'_>>,
    ) -> Result<()> {
        let inputs = offsets.map_or(&[][..], |offsets| &offsets.inputs);
        let decision = Decision {
            name: &deciding.named.name,
            producer: open.producer,
            ending: Ending::Commit,
            ends: &ends(&open, inputs),
            partitions: partitions(&open),
            timeout_millis: i32::try_from(deciding.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            began: open.began,
            now: self.now(),
        };
        let offset = match self.decisions.append(&decision, Durability::Os) {
            Ok(offset) => offset,
            Err(error) if self.decisions.is_poisoned() => return Err(undecided(deciding, error)),
            Err(error) => {
                self.give_up(deciding.named, open);
                return Err(error);
            }
        };
        let mut ended = Ended::committed(deciding.named, open, (offset, inputs));
        if deciding.settings.durability == Durability::Disk {
            let mut round = Round::default();
            self.rests_on(&ended, &mut round).map_err(|error| undecided(deciding, error))?;
            round.sync().map_err(|error| undecided(deciding, error))?;
            ended.is_synced = true;
        }
        for written in ended.places.values() {
            written.partition.log().decide(ended.producer.id, Ending::Commit);
        }
        self.follow(ended);
        Ok(())
    }

    /// Aborts what is written.
    pub(super) fn abort(self: &Arc<Self>, named: &Arc<Named>, owner: u64) -> Result<()> {
        let mut state = named.state.lock();
        state.check(owner, &named.name)?;
        let open = state.open.take();
        drop(state);
        if let Some(open) = open {
            self.give_up(named, open);
        }
        Ok(())
    }

    /// Nothing of it takes effect: readers know at once, the log as soon as it can be written to.
    pub(super) fn give_up(self: &Arc<Self>, named: &Arc<Named>, mut open: OpenParts) {
        let producer = open.producer;
        open.places.retain(|_, written| written.partition.log().decide(producer.id, Ending::Abort));
        self.follow(Ended::aborted(named, open));
    }

    /// Appends everything, or leaves what was appended to be given up.
    fn append(
        &self,
        open: &mut OpenParts,
        pieces: &Pieces,
        offsets: Option<&PendingRecords<'_>>,
        ends_with: Option<Ending>,
    ) -> Result<Vec<Put>> {
        let shares = shares(open, pieces, offsets);
        for share in &shares {
            share.partition.log().check_room(share.bytes)?;
        }
        let stages = shares.iter().map(|share| share.partition.log().stage());
        let mut stages = stages.collect::<Result<Vec<_>>>()?;
        stages.iter_mut().for_each(Stage::hold);
        let producer = open.producer;
        let part = |share: &'_ Share<'_>| {
            (producer.stamp(share.base_sequence), ends_with.map(|ending| producer.marker(ending)))
        };
        for (stage, share) in stages.iter_mut().zip(&shares) {
            if let Some(expected) = share.expected_end {
                stage.check_end(expected)?;
            }
            stage.check(&share.records)?;
        }
        let mut put = Vec::new();
        for (stage, share) in stages.iter_mut().zip(&shares).filter(|(_, share)| !share.records.is_empty()) {
            let (stamp, ends_with) = part(share);
            let place = stage.place(&Part { records: &share.records, stamp, ends_with })?;
            put.push((share, place));
        }
        for stage in &mut stages {
            // Those behind it are let go of unwritten.
            stage.write()?;
            if let Some((share, place)) =
                put.iter().find(|(share, _)| Arc::ptr_eq(share.partition.log(), stage.log()))
            {
                open.note(share, place);
            }
        }
        drop(stages);
        let put = put.into_iter().map(|(share, place)| Put { partition: share.partition.clone(), place });
        Ok(put.collect())
    }
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
fn shares<'a>(
    open: &OpenParts,
    pieces: &'a Pieces,
    offsets: Option<&'a PendingRecords<'a>>,
) -> Vec<Share<'a>> {
    let next_sequence = |place: &Place| open.places.get(place).map_or(0, |written| written.next_sequence);
    let of_pieces = pieces.by_place.iter().map(|(place, piece)| Share {
        place: *place,
        partition: &piece.partition,
        records: piece.records(),
        base_sequence: next_sequence(place),
        expected_end: piece.expected_end,
        bytes: piece.bytes(),
    });
    let of_offsets = offsets.map(|offsets| Share {
        place: (offsets.partition.topic_id(), offsets.partition.number()),
        partition: &offsets.partition,
        records: offsets.records(),
        base_sequence: -1,
        expected_end: None,
        bytes: 0,
    });
    let mut shares: Vec<_> = of_pieces.chain(of_offsets).collect();
    shares.sort_by_key(|share| share.place);
    shares
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

pub(super) fn partitions(open: &OpenParts) -> Vec<TopicPartitions> {
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

/// The producer of a transaction that another life has left.
pub(super) fn left_by(id: i64, epoch: i16) -> ProducerId {
    ProducerId { id, epoch }
}
