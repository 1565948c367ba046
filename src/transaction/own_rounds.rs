//! What each decided transaction rests on itself, until that is durable.
//!
//! A power cut takes a transaction back where its decision is not there, or something that this one names: what it has written, and what it follows
//! from. Nothing else does. So whoever rests on one, by an answer, a position, an erasure, a flush, waits for that and fails with that, whatever
//! has become of the rest of what it has seen.
//!
//! The later position of a group says of all below it that it is done, of what an earlier transaction has done, too. Where a power cut takes that
//! one back the later one must not stay: nobody would do that work again. So it rests on what the earlier one rests on, at `Os` as well, and
//! its decision names that.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::locks::Mutex;
use crate::log::{NotEnded, RestsOn, TransactionId};
use crate::topic::Partition;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::round::Round;
use crate::types::Offset;

/// By transaction; one that is not there is durable, or rests on nothing that is not. For a moment alone, perhaps under the locks of participants.
#[derive(Debug, Default)]
pub(super) struct OwnRounds(Mutex<BTreeMap<TransactionId, Own>>);

#[derive(Debug)]
struct Own {
    /// What the decision names.
    named: Round,
    /// Where that stands, before any later one.
    decision: Option<(Partition, Offset)>,
}

impl OwnRounds {
    /// Those that an earlier life has committed, and not ended.
    pub(super) fn found<'e>(ended: impl Iterator<Item = &'e Ended>, decisions: Option<&Partition>) -> Self {
        let found = Self::default();
        ended.for_each(|one| found.note(one, decisions));
        found
    }

    /// A transaction is decided, before anybody sees it.
    fn note(&self, ended: &Ended, decisions: Option<&Partition>) {
        if ended.is_commit() {
            let mut named = Round::default();
            ended.add_own(&mut named);
            let decision = decisions.cloned().zip(ended.decision);
            self.0.lock().insert(ended.producer.transaction(), Own { named, decision });
        }
    }

    /// Adds what the decisions of these name and is not durable.
    pub(super) fn add(&self, transactions: impl Iterator<Item = TransactionId>, round: &mut Round) {
        let known = self.0.lock();
        if !known.is_empty() {
            let named = transactions.filter_map(|one| known.get(&one));
            named.for_each(|one| round.add_unsynced(&one.named));
        }
    }

    /// The same as inputs, those apart of which `is_own` says that something of the later one stands behind them.
    pub(super) fn inputs(
        &self,
        transactions: impl Iterator<Item = TransactionId>,
        is_own: impl Fn(&Partition, Offset) -> bool,
    ) -> Vec<(Partition, Offset)> {
        let mut round = Round::default();
        self.add(transactions, &mut round);
        round.iter().filter(|(partition, last)| !is_own(partition, *last)).cloned().collect()
    }

    /// All that these rest on and is not durable.
    fn of(&self, transactions: &BTreeSet<TransactionId>) -> Round {
        let (mut round, known) = (Round::default(), self.0.lock());
        for one in transactions.iter().filter_map(|one| known.get(one)) {
            let mut own = one.named.clone();
            one.decision.iter().for_each(|(partition, offset)| own.add(partition, *offset));
            round.add_unsynced(&own);
        }
        round
    }

    /// An error where one is not durable, for whoever can neither wait for that nor see to it.
    pub(super) fn check_all_durable(&self) -> Result<(), NotEnded> {
        let known = self.0.lock();
        let left: BTreeSet<_> =
            known.iter().filter(|(_, own)| !own.is_durable()).map(|(id, _)| *id).collect();
        drop(known);
        if left.is_empty() {
            return Ok(());
        }
        let why = "this call was made by the program's own file system or clock while it was asked to make transactions durable: it cannot wait for that";
        Err(NotEnded { error: Box::new(Error::invalid(why)), left })
    }

    pub(super) fn forget_durable(&self) {
        self.0.lock().retain(|_, own| !own.is_durable());
    }
}

impl Own {
    fn is_durable(&self) -> bool {
        let decision = self.decision.as_ref();
        self.named.is_durable() && decision.is_none_or(|(partition, offset)| partition.durable() > *offset)
    }
}

impl Transactions {
    /// A transaction is decided, before anybody sees it.
    pub(super) fn note_own(&self, ended: &Ended) -> Result<()> {
        self.own_rounds.note(ended, Some(&self.decisions.partition()?));
        Ok(())
    }

    /// Returns when these survive a power cut. What they have seen is synced with them, and may fail.
    pub(super) fn keep_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        let own = self.own_rounds.of(transactions);
        if own.is_durable() {
            return Ok(());
        }
        let mut all = own.clone();
        self.resting.complete_whole(&mut all);
        self.resting.add_left(&mut all);
        match all.sync() {
            // That may be of the others.
            Err(_) if !own.is_durable() => own.sync(),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// What that waits for, for a task.
    pub(super) fn await_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<RestsOn> {
        let own = self.own_rounds.of(transactions);
        if own.is_durable() {
            return Ok(RestsOn::default());
        }
        let (mut all, mut seen) = (own.clone(), Round::default());
        self.resting.complete_whole(&mut all);
        self.resting.add_left(&mut all);
        seen.add_sound(&all);
        Ok(RestsOn { own: own.waits()?, seen: seen.waits()? })
    }

    /// An error where one of these cannot become durable before the store is opened again, or only once there is room.
    pub(super) fn bring_over_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.own_rounds.of(transactions).bring_over()
    }

    /// The same, of what a failed sync keeps from it alone.
    pub(super) fn check_those(&self, transactions: &BTreeSet<TransactionId>) -> Result<()> {
        self.own_rounds.of(transactions).check_sound()
    }
}
