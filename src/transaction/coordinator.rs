//! Deciding: what is written before, what the decision is, and what follows from it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::group::{Groups, IsOver};
use crate::io::{Clock, Deadline, Process};
use crate::locks::{AtomicU64, Mutex, Ordering};
use crate::log::{Holding, PartPlace};
use crate::topic::{Contribution, Participant, Partition, Topics};
use crate::transaction::asked::Asked;
use crate::transaction::builder::{Settings, check_name};
use crate::transaction::committed::CommittedBatch;
use crate::transaction::committing::Later;
use crate::transaction::condition::Condition;
use crate::transaction::decisions::DecisionLog;
use crate::transaction::ends_needed::EndsNeeded;
use crate::transaction::finish::Outstanding;
use crate::transaction::ids::ProducerId;
use crate::transaction::in_hand::Turns;
use crate::transaction::named_producer::{NamedProducer, Registered};
use crate::transaction::names::{NameState, Named, OpenParts, make_room};
use crate::transaction::own_rounds::OwnRounds;
use crate::transaction::pieces::Pieces;
use crate::transaction::recovery::{Recovered, TakenBack};
use crate::transaction::resting::Resting;
use crate::transaction::room::RoomWaits;
use crate::transaction::shares::Gathered;
use crate::types::{Durability, Offset, Timestamp};
use crate::upkeep::Agenda;

/// All transactions of a store.
///
/// Locks are taken in this order: a name's state, those of participants by the names of their topics, the writers of partitions by topic id and number; then the rest.
#[derive(Debug)]
pub(crate) struct Transactions {
    pub(super) this: Weak<Self>,
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    clock: Arc<dyn Clock>,
    pub(super) agenda: Arc<Agenda>,
    pub(super) decisions: DecisionLog,
    pub(super) names: Mutex<HashMap<Arc<str>, Arc<Named>>>,
    /// Decided, and not yet in the log everywhere.
    pub(super) outstanding: Mutex<Outstanding>,
    pub(super) finishing: Turns,
    pub(super) ends_needed: EndsNeeded,
    pub(super) resting: Resting,
    pub(super) own_rounds: OwnRounds,
    /// What the open has taken back and is not written yet.
    pub(super) owed: Mutex<Vec<TakenBack>>,
    owners: AtomicU64,
    /// Named producers, once one was asked for.
    producers: Mutex<Option<BTreeMap<String, Registered>>>,
    pub(super) process: Process,
}

/// A name, as the one has it who goes by it.
#[derive(Debug)]
pub(super) struct Owns {
    pub(super) named: Arc<Named>,
    pub(super) owner: u64,
    /// Another has ended his transaction.
    pub(super) is_over: IsOver,
}

/// Where something of a transaction was put.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) partition: Partition,
    pub(super) place: PartPlace,
}

impl Put {
    /// Whether the record of an offset is among it.
    pub(super) fn holds(&self, partition: &Partition, offset: Offset) -> bool {
        let offsets = self.place.first_offset..=self.place.last_offset;
        self.partition.is_same(partition) && offsets.contains(&offset)
    }

    pub(super) fn committed(self) -> CommittedBatch {
        CommittedBatch {
            topic_partition: self.partition.topic_partition().clone(),
            first_offset: self.place.first_offset,
            last_offset: self.place.last_offset,
            timestamp: self.place.timestamp,
        }
    }
}

/// A transaction on its way to its decision.
pub(super) struct Deciding<'a> {
    pub(super) named: &'a Arc<Named>,
    pub(super) owner: u64,
    pub(super) pieces: &'a Pieces,
    pub(super) participants: &'a [Box<dyn Participant>],
    pub(super) conditions: &'a [Box<dyn Condition>],
    /// What of it was written before.
    pub(super) put: &'a [Put],
    pub(super) settings: &'a Settings,
    /// Where there is one nothing is synced: what the decision rests on is noted there.
    pub(super) later: Option<&'a Mutex<Later>>,
}

impl<'a> Deciding<'a> {
    pub(super) fn gathered<'g>(&'g self, contributions: &'g [&'g Contribution]) -> Gathered<'g> {
        let Self { pieces, conditions, put, .. } = *self;
        let waits_for_room = self.settings.waits_for_room && contributions.is_empty();
        Gathered { pieces, contributions, conditions, put, waits_for_room }
    }

    /// Sees to it, without a lock, that the partitions may be appended to, those that a condition is about among them. Whoever began it
    /// with locks that others need has seen to it before. Where something of it was written in a topic that is gone by now, no more of it is.
    pub(super) fn make_ready(&self) -> Result<()> {
        self.put.iter().try_for_each(|put| put.partition.log().check_open())?;
        if self.settings.holding == Holding::Locks {
            return Ok(());
        }
        self.pieces.make_ready()?;
        let mut looked_at = self.conditions.iter().flat_map(|condition| condition.partitions());
        looked_at.try_for_each(|partition| partition.log().meet_prerequisites(Holding::Nothing))
    }

    /// Whether its commit is to survive a power cut, at once or when a task is told so.
    pub(super) fn is_for_disk(&self) -> bool {
        self.settings.durability == Durability::Disk || self.later.is_some()
    }
}

impl Transactions {
    pub(super) fn new(
        topics: Arc<Topics>,
        groups: Arc<Groups>,
        (clock, agenda): (Arc<dyn Clock>, Arc<Agenda>),
        recovered: Recovered,
        this: &Weak<Self>,
    ) -> Self {
        let Recovered { decisions, outstanding, owed, unsynced, ends_needed } = recovered;
        // Where nothing was decided there is no such topic.
        let is_any = outstanding.ended.iter().any(|one| one.decision.is_some());
        let decided_in = is_any.then(|| decisions.partition().ok()).flatten();
        Self {
            this: Weak::clone(this),
            topics,
            groups,
            clock,
            agenda,
            decisions,
            names: Mutex::default(),
            own_rounds: OwnRounds::found(outstanding.ended.iter(), decided_in.as_ref()),
            outstanding: Mutex::new(outstanding),
            finishing: Turns::default(),
            ends_needed,
            resting: Resting::new(unsynced),
            owed: Mutex::new(owed),
            owners: AtomicU64::new(1),
            producers: Mutex::default(),
            process: Process::current(),
        }
    }

    /// An error in a child of a fork.
    pub(super) fn check_process(&self) -> Result<()> {
        self.topics.check_process()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whoever went by the name is fenced from here on, and what it left undecided is aborted.
    pub(super) fn take_name(self: &Arc<Self>, name: &str) -> Result<Owns> {
        let named = {
            let mut names = self.names.lock();
            match names.get(name) {
                Some(named) => Arc::clone(named),
                None => {
                    make_room(&mut names);
                    let shared: Arc<str> = name.into();
                    let named = Arc::new(Named::new(Arc::clone(&shared)));
                    names.insert(shared, Arc::clone(&named));
                    named
                }
            }
        };
        let owner = self.owners.fetch_add(1, Ordering::Relaxed);
        let is_over = IsOver::default();
        let left = named.state.lock().take_over(owner, &is_over);
        if let Some(open) = left {
            self.give_up(&named, open);
        }
        Ok(Owns { named, owner, is_over })
    }

    /// The producer of that name. It is durable before it is used: or the name would be another's after a power cut, and
    /// what it sends again would not be known.
    pub(crate) fn named_producer(self: &Arc<Self>, name: &str) -> Result<NamedProducer> {
        self.check_process()?;
        check_name("producer", name)?;
        let mut known = self.producers.lock();
        let producers = match &mut *known {
            Some(producers) => producers,
            None => known.insert(self.decisions.load_producers()?),
        };
        let registered = match producers.get(name) {
            Some(registered) => *registered,
            None => {
                let registered = Registered { producer_id: ProducerId::fresh().id, at: self.now() };
                self.decisions.register(name, registered)?;
                producers.insert(name.to_owned(), registered);
                registered
            }
        };
        Ok(NamedProducer::new(self, name, registered))
    }

    /// Whether the partition is one of this store, and is there.
    pub(super) fn check_known(&self, partition: &Partition) -> Result<()> {
        let found = self.topics.get(partition.topic()).and_then(|topic| topic.partition(partition.number()));
        match found {
            Ok(own) if Arc::ptr_eq(own.log(), partition.log()) => Ok(()),
            _ if partition.is_deleted() => {
                Err(Error::UnknownTopic { topic: partition.topic().to_owned(), was_deleted: true })
            }
            // Stores that were made of one backup have the same names and ids.
            Ok(_) | Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => {
                let (place, path) = (partition.topic_partition(), self.topics.path().display());
                Err(Error::invalid(format!(
                    "{place} is of another store than that in {path}, or was opened before it"
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what was gathered so far, as part of a transaction that is not decided.
    pub(super) fn write_open(self: &Arc<Self>, deciding: &Deciding<'_>) -> Result<Vec<Put>> {
        let mut state = deciding.named.state.lock();
        self.check_in_time((deciding.named, deciding.owner), &mut state)?;
        let gathered = deciding.gathered(&[]);
        let appended = self.append(self.open_parts(&mut state, deciding), &gathered, None);
        if appended.is_err() {
            self.give_up_open(deciding.named, &mut state);
        }
        appended.map(|appended| appended.put)
    }

    /// Commits: returns when the decision is as far as the settings ask for, and seen by readers.
    pub(super) fn commit(self: &Arc<Self>, deciding: &Deciding<'_>) -> Result<Vec<Put>> {
        let mut state = deciding.named.state.lock();
        self.check_in_time((deciding.named, deciding.owner), &mut state)?;
        let mut waits = RoomWaits::default();
        loop {
            let outcome = match self.try_to_commit(&mut state, deciding) {
                Attempt::Over(outcome) => outcome,
                Attempt::IsFull(full) => match waits.wait_where_full(deciding.pieces, full) {
                    Ok(()) => continue,
                    Err(full) => Err(full),
                },
            };
            if outcome.is_err() {
                self.give_up_open(deciding.named, &mut state);
            }
            if matches!(outcome, Err(Error::Undecided { .. })) {
                deciding.named.leave_open();
            }
            return outcome;
        }
    }

    /// Asks the participants, and decides. What is refused is in the hands of the name still.
    fn try_to_commit(self: &Arc<Self>, state: &mut NameState, deciding: &Deciding<'_>) -> Attempt {
        let asked = match Asked::ask(deciding.participants) {
            Ok(asked) => asked,
            Err(refused) => return Attempt::Over(Err(refused)),
        };
        let decided = self.decide(state, deciding, &asked);
        asked.know_of(&decided);
        match decided {
            // Others may need what the participants hold to make room: who waits for it asks them again afterwards.
            Err(full @ Error::Full { .. }) if asked.is_any() && deciding.settings.waits_for_room => {
                Attempt::IsFull(full)
            }
            decided => {
                if decided.is_err() {
                    // Before the participants let go: nothing of theirs stands between what is written and its end.
                    self.give_up_open(deciding.named, state);
                }
                Attempt::Over(decided)
            }
        }
    }

    /// What is written of the transaction that goes by the name, nothing at first.
    pub(super) fn open_parts<'s>(
        &self,
        state: &'s mut NameState,
        deciding: &Deciding<'_>,
    ) -> &'s mut OpenParts {
        state.open.get_or_insert_with(|| {
            let (began, producer) = (self.now(), deciding.named.take_producer());
            deciding.named.begin(producer, began);
            let deadline = Deadline::after(deciding.settings.timeout);
            OpenParts { began, producer, places: BTreeMap::new(), deadline, commits: false }
        })
    }
}

/// How an attempt to commit has ended.
enum Attempt {
    Over(Result<Vec<Put>>),
    /// A partition was full, and nothing was written.
    IsFull(Error),
}

/// The producer of a transaction that another life has left.
pub(super) fn left_by(id: i64, epoch: i16) -> ProducerId {
    ProducerId { id, epoch }
}
