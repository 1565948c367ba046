//! After an open: what the last life has decided about transactions that have no end in the log.
//!
//! A transaction is committed if its decision is there, and with it everything that the decision rests on; else it is
//! aborted. A decision that misses something is taken back, durably and before anything is appended: what it misses may seem
//! to be there later, when others have appended in its place. Where a topic cannot be opened nobody knows, and nothing is decided.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::format::{DecisionEnd, Ending};
use crate::group::Groups;
use crate::io::Clock;
use crate::locks::Mutex;
use crate::log::{OpenTransaction, Standing};
use crate::topic::{JudgesLeft, Partition, Topic, Topics};
use crate::transaction::coordinator::{Transactions, left_by};
use crate::transaction::decisions::{Decided, DecisionLog, Decisions};
use crate::transaction::ends_needed::EndsNeeded;
use crate::transaction::finish::{Ended, Outstanding};
use crate::transaction::found::FoundUnsynced;
use crate::transaction::ids::ProducerId;
use crate::transaction::names::Written;
use crate::transaction::pieces::Place;
use crate::transaction::round::Round;
use crate::types::Offset;
use crate::upkeep::Agenda;

/// Decides in memory about every transaction that was left open, as an open for writing would: for whoever only reads.
pub(crate) fn judge_in_memory(topics: &Arc<Topics>) -> Result<()> {
    let left = left_open(topics);
    if left.is_empty() {
        return Ok(());
    }
    let found = DecisionLog::new(Arc::clone(topics)).load()?;
    for (producer, places) in left {
        let ending = match judge(topics, (producer, &found)) {
            Verdict::Committed(_) => Ending::Commit,
            Verdict::Aborted | Verdict::TakenBack(_) => Ending::Abort,
            Verdict::Unknown => continue,
        };
        places.values().for_each(|written| _ = written.partition.log().decide(producer.id, ending));
    }
    Ok(())
}

/// The same for one partition of a store whose owner has died, when somebody reads it.
#[derive(Debug, Default)]
pub(crate) struct LeftJudge {
    /// What was decided, and in which life.
    decisions: Mutex<Option<(u64, Arc<Decisions>)>>,
}

impl LeftJudge {
    fn decisions(&self, topics: &Arc<Topics>, life: u64) -> Result<Arc<Decisions>> {
        let mut known = self.decisions.lock();
        if let Some((_, found)) = known.as_ref().filter(|(of, _)| *of == life) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(DecisionLog::new(Arc::clone(topics)).load()?);
        *known = Some((life, Arc::clone(&found)));
        Ok(found)
    }
}

impl JudgesLeft for LeftJudge {
    fn judge(&self, topics: &Arc<Topics>, life: u64, open: &[OpenTransaction]) -> Result<Vec<(i64, Ending)>> {
        let found = self.decisions(topics, life)?;
        let mut judged = Vec::new();
        for one in open {
            let producer = left_by(one.producer_id, one.producer_epoch);
            let ends = decision_about(producer, &found).into_iter().flat_map(|decided| &decided.ends);
            for partition in ends.filter_map(|end| partition_of(topics, end)) {
                if let Err(error @ Error::Io { .. }) = partition.log().left_in() {
                    // It may be there at the next try, and then the transaction may be committed.
                    return Err(error);
                }
            }
            match judge(topics, (producer, &found)) {
                Verdict::Committed(_) => judged.push((producer.id, Ending::Commit)),
                Verdict::Aborted | Verdict::TakenBack(_) => judged.push((producer.id, Ending::Abort)),
                Verdict::Unknown => {}
            }
        }
        Ok(judged)
    }
}

/// Transactions without an end, by their producers; and what is written of each.
type Left = BTreeMap<ProducerId, BTreeMap<Place, Written>>;

/// What was found and decided, before anybody reads.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(super) decisions: DecisionLog,
    pub(super) outstanding: Outstanding,
    pub(super) owed: Vec<TakenBack>,
    /// What may be in the page cache alone.
    pub(super) unsynced: Round,
    pub(super) ends_needed: EndsNeeded,
}

/// A decision that misses something. Its transaction is aborted, and that has to be durable before anything is appended: what is
/// missing may seem to be there later.
#[derive(Debug)]
pub(super) struct TakenBack {
    name: String,
    producer: ProducerId,
    /// Where it would be missed if it came to be there.
    partitions: Vec<Partition>,
}

/// How a transaction ends that has no end in the log.
enum Verdict<'a> {
    Committed(&'a Decided),
    Aborted,
    /// Its decision misses something.
    TakenBack(&'a Decided),
    /// Something that its decision rests on cannot be looked at.
    Unknown,
}

/// What there is in one partition of what a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The records, or a later start, or no such topic any more.
    There,
    /// The end of the transaction: a commit, as its decision was not taken back.
    Ended,
    Missing,
    /// The topic cannot be opened.
    Unknown,
}

impl Transactions {
    /// Decides about every transaction that was left open: readers go by it from then on, the log follows. Changes no byte. One of
    /// which nobody can tell before a topic can be opened stays open until then, and readers wait.
    pub(crate) fn recover(topics: &Arc<Topics>) -> Result<Recovered> {
        let decisions = DecisionLog::new(Arc::clone(topics));
        let (mut outstanding, mut owed) = (Outstanding::default(), Vec::new());
        let left = left_open(topics);
        outstanding.found = FoundUnsynced::beside(unsynced(topics));
        if topics.recovery().iter().any(|partition| partition.failure.is_some()) {
            // What it has of markers shows when it can be opened.
            decisions.keep_all();
        } else if let Some(from) = outstanding.found.keeps_from() {
            decisions.keep_at_least_from(from);
        }
        if !left.is_empty() {
            let found = decisions.load()?;
            for (producer, places) in left {
                let ended = match judge(topics, (producer, &found)) {
                    Verdict::Committed(decided) => {
                        let rests_on = (decided.offset, inputs(topics, decided));
                        Ended::found_committed(producer, places, rests_on)
                    }
                    Verdict::Aborted => Ended::found(producer, Ending::Abort, places),
                    Verdict::TakenBack(decided) => {
                        owed.push(TakenBack::new(topics, producer, decided));
                        Ended::found(producer, Ending::Abort, places)
                    }
                    Verdict::Unknown => continue,
                };
                for written in ended.places.values() {
                    written.partition.log().decide(producer.id, ended.ending);
                }
                outstanding.ended.push(ended);
            }
        }
        // What they rest on is needed once more where this life ends before their markers are durable.
        if let Some(oldest) = outstanding.ended.iter().filter_map(|one| one.decision).min() {
            decisions.keep_at_least_from(oldest);
        }
        let ends_needed = EndsNeeded::default();
        if !outstanding.ended.is_empty() {
            ends_needed.keep_through(decisions.end() - 1);
        }
        if topics.recovery().iter().any(|partition| partition.failure.is_some()) {
            // What it has no end of shows when it can be opened.
            ends_needed.keep_through(Offset::MAX);
        }
        Ok(Recovered { decisions, outstanding, owed, unsynced: unsynced(topics), ends_needed })
    }

    /// All transactions of a store, once its groups are known.
    pub(crate) fn open(
        recovered: Recovered,
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        clock: &Arc<dyn Clock>,
        agenda: &Arc<Agenda>,
    ) -> Arc<Self> {
        let is_any = !recovered.outstanding.ended.is_empty();
        let with = (Arc::clone(clock), Arc::clone(agenda));
        let opened =
            Arc::new_cyclic(|this| Self::new(Arc::clone(topics), Arc::clone(groups), with, recovered, this));
        let weak: Weak<Self> = Arc::downgrade(&opened);
        topics.set_clearing(weak);
        for partition in opened.owed.lock().iter().flat_map(|owed| &owed.partitions) {
            let owing = Arc::downgrade(&opened);
            let write = move |_| owing.upgrade().map_or(Ok(()), |opened| opened.write_owed());
            partition.log().require(write);
        }
        if is_any {
            opened.remind();
        }
        opened
    }

    /// Takes back, durably, the decisions that were found to miss something. What fails, as on a full disk, is tried again before
    /// anything is appended where something is missing, and before any marker is written.
    pub(crate) fn write_owed(&self) -> Result<()> {
        let mut owed = self.owed.lock();
        while let Some(TakenBack { name, producer, .. }) = owed.last() {
            self.decisions.take_back(name, *producer, self.now())?;
            owed.pop();
        }
        Ok(())
    }
}

impl TakenBack {
    fn new(topics: &Topics, producer: ProducerId, decided: &Decided) -> Self {
        let partitions = decided.ends.iter().filter_map(|end| partition_of(topics, end)).collect();
        Self { name: decided.name.clone(), producer, partitions }
    }
}

fn partition_of(topics: &Topics, end: &DecisionEnd) -> Option<Partition> {
    topics.by_id(end.topic).ok()??.partition(end.partition).ok()
}

/// What a commit's offsets were read from, where it is there still: to be on the disk before the commit has a marker.
fn inputs(topics: &Topics, decided: &Decided) -> Vec<(Partition, Offset)> {
    let inputs = decided.ends.iter().filter(|end| end.is_input);
    let there = inputs.filter_map(|end| Some((partition_of(topics, end)?, end.last)));
    there.filter(|(partition, last)| partition.end() > *last).collect()
}

fn left_open(topics: &Topics) -> Left {
    let mut left = Left::new();
    for topic in topics.all() {
        for partition in topic.partitions() {
            for open in partition.log().open_transactions() {
                let written = Written { partition: partition.clone(), last: open.last, next_sequence: -1 };
                let producer = left_by(open.producer_id, open.producer_epoch);
                left.entry(producer).or_default().insert((topic.id(), partition.number()), written);
            }
        }
    }
    left
}

/// What earlier lives have left, a store without transactions apart: what these have seen is known no more, and any of it may be seen now.
fn unsynced(topics: &Topics) -> Round {
    let partitions: Vec<_> = topics.all().iter().flat_map(Topic::partitions).collect();
    let mut unsynced = Round::default();
    if partitions.iter().any(|partition| partition.log().knows_producers()) {
        let left = partitions.iter().filter(|partition| partition.durable() < partition.end());
        left.for_each(|partition| unsynced.add(partition, partition.end() - 1));
    }
    unsynced
}

/// What was decided about a transaction that has no end in the log.
fn decision_about(producer: ProducerId, found: &Decisions) -> Option<&Decided> {
    let decided = [(producer.epoch.saturating_add(1), false), (producer.epoch, true)]
        .into_iter()
        .filter_map(|(epoch, same)| Some((found.get(&ProducerId { epoch, ..producer })?, same)))
        .find(|(decided, same)| decided.has_same_epoch == *same);
    decided.map(|(decided, _)| decided)
}

fn judge<'a>(topics: &Topics, (producer, found): (ProducerId, &'a Decisions)) -> Verdict<'a> {
    let decided = decision_about(producer, found);
    let Some(decided @ Decided { ending: Ending::Commit, ends, .. }) = decided else {
        return Verdict::Aborted;
    };
    verdict(decided, ends.iter().map(|end| look(topics, producer, end)))
}

/// What follows from what there is of everything that a commit rests on.
fn verdict<'a>(decided: &'a Decided, found: impl Iterator<Item = Found>) -> Verdict<'a> {
    let found: Vec<_> = found.collect();
    if found.contains(&Found::Missing) {
        Verdict::TakenBack(decided)
    } else if found.contains(&Found::Unknown) && !found.contains(&Found::Ended) {
        // A commit marker is written once all of it is durable: with one, the rest is known to be there.
        Verdict::Unknown
    } else {
        Verdict::Committed(decided)
    }
}

/// Whether what a decision rests on is there in one partition, or is gone since.
fn look(topics: &Topics, producer: ProducerId, end: &DecisionEnd) -> Found {
    let topic = match topics.by_id(end.topic) {
        Ok(Some(topic)) => topic,
        Ok(None) => return Found::There,
        Err(_) => return Found::Unknown,
    };
    let Ok(partition) = topic.partition(end.partition) else { return Found::Missing };
    if partition.log().left_in().is_err() {
        return Found::Unknown;
    }
    look_in(&partition, producer, end)
}

fn look_in(partition: &Partition, producer: ProducerId, end: &DecisionEnd) -> Found {
    let there = |is_there: bool| if is_there { Found::There } else { Found::Missing };
    if end.is_input {
        return there(partition.start() > end.last || partition.end() > end.last);
    }
    // Not the log's end alone: others may have appended there since.
    match partition.log().standing((producer.id, producer.epoch)) {
        Standing::Open { last } => there(last >= end.last || partition.start() > end.last),
        Standing::Ended => Found::Ended,
        Standing::Unknown => there(partition.start() > end.last),
    }
}
