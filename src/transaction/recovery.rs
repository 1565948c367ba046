//! After an open: what the last life has decided about transactions that have no end in the log.
//!
//! A transaction is committed if its decision is there, and with it everything that the decision rests on; else it is
//! aborted. A decision that misses something is taken back, durably and first of all: what it misses may seem to be there
//! later, when others have appended in its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{DecisionEnd, Ending};
use crate::group::Groups;
use crate::io::Clock;
use crate::topic::{Partition, Topic, Topics};
use crate::transaction::coordinator::{Transactions, left_by};
use crate::transaction::decisions::{Decided, Decision, DecisionLog, Found};
use crate::transaction::finish::{Ended, Outstanding};
use crate::transaction::ids::ProducerId;
use crate::transaction::names::Written;
use crate::transaction::pieces::Place;
use crate::types::Durability;
use crate::upkeep::Agenda;

/// Decides in memory about every transaction that was left open, as an open for writing would: for whoever only reads.
pub(crate) fn judge_in_memory(topics: &Arc<Topics>) -> Result<()> {
    let left = left_open(topics);
    if left.is_empty() {
        return Ok(());
    }
    let found = DecisionLog::new(Arc::clone(topics)).load()?;
    for (producer, places) in left {
        let ending = match judge(topics, producer, &found) {
            Judged::Commit => Ending::Commit,
            Judged::Abort | Judged::Revoked { .. } => Ending::Abort,
        };
        places.values().for_each(|written| _ = written.partition.log().decide(producer.id, ending));
    }
    Ok(())
}

/// Transactions without an end, by their producers; and what is written of each.
type Left = BTreeMap<ProducerId, BTreeMap<Place, Written>>;

/// What was found and decided, before anybody reads.
#[derive(Debug)]
pub(crate) struct Recovered {
    decisions: DecisionLog,
    outstanding: Outstanding,
}

impl Transactions {
    /// Decides about every transaction that was left open. Readers go by it from then on; the log follows.
    pub(crate) fn recover(topics: &Arc<Topics>, clock: &Arc<dyn Clock>) -> Result<Recovered> {
        let decisions = DecisionLog::new(Arc::clone(topics));
        let mut outstanding = Outstanding::default();
        let left = left_open(topics);
        decisions.keep_all_unless(topics.recovery().iter().all(|partition| partition.clean));
        if !left.is_empty() {
            let found = decisions.load()?;
            for (producer, places) in left {
                let ending = match judge(topics, producer, &found) {
                    Judged::Commit => Ending::Commit,
                    Judged::Abort => Ending::Abort,
                    Judged::Revoked { name } => {
                        revoke(&decisions, producer, name, clock)?;
                        Ending::Abort
                    }
                };
                for written in places.values() {
                    written.partition.log().decide(producer.id, ending);
                }
                outstanding.ended.push(Ended::found(producer, ending, places));
            }
        }
        Ok(Recovered { decisions, outstanding })
    }

    /// All transactions of a store, once its groups are known.
    pub(crate) fn open(
        recovered: Recovered,
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        clock: &Arc<dyn Clock>,
        agenda: &Arc<Agenda>,
    ) -> Arc<Self> {
        let Recovered { decisions, outstanding } = recovered;
        let is_any = !outstanding.ended.is_empty();
        let with = (Arc::clone(clock), Arc::clone(agenda));
        let opened =
            Arc::new(Self::new(Arc::clone(topics), Arc::clone(groups), with, decisions, outstanding));
        if is_any {
            opened.remind();
        }
        opened
    }
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

/// How a transaction ends that was left open.
enum Judged<'a> {
    Commit,
    Abort,
    /// It was committed, and something is missing: the decision is to be taken back.
    Revoked {
        name: &'a str,
    },
}

fn judge<'a>(topics: &Topics, producer: ProducerId, found: &'a Found) -> Judged<'a> {
    let decided = [(producer.epoch.saturating_add(1), false), (producer.epoch, true)]
        .into_iter()
        .filter_map(|(epoch, same)| Some((found.get(&ProducerId { epoch, ..producer })?, same)))
        .find(|(decided, same)| decided.has_same_epoch == *same);
    let Some((Decided { name, ending: Ending::Commit, ends, .. }, _)) = decided else {
        return Judged::Abort;
    };
    if ends.iter().all(|end| is_there(topics, producer, end)) {
        Judged::Commit
    } else {
        Judged::Revoked { name }
    }
}

fn revoke(decisions: &DecisionLog, producer: ProducerId, name: &str, clock: &Arc<dyn Clock>) -> Result<()> {
    let decision = Decision {
        name,
        producer,
        ending: Ending::Abort,
        ends: &[],
        partitions: Vec::new(),
        timeout_millis: 0,
        began: -1,
        now: clock.now(),
    };
    decisions.append(&decision, Durability::Disk).map(drop)
}

/// Whether what a decision rests on is there in one partition, or is gone since.
fn is_there(topics: &Topics, producer: ProducerId, end: &DecisionEnd) -> bool {
    let of_id = |topic: &Topic| topic.id() == end.topic;
    let Some(topic) = topics.all().into_iter().find(of_id) else { return true };
    topic.partition(end.partition).is_ok_and(|partition| reaches(&partition, producer, end))
}

fn reaches(partition: &Partition, producer: ProducerId, end: &DecisionEnd) -> bool {
    if partition.start() > end.last {
        return true;
    }
    if end.is_input {
        return partition.end() > end.last;
    }
    // Not the log's end alone: others may have appended there since.
    partition.log().holds_transaction((producer.id, producer.epoch), end.last)
}
