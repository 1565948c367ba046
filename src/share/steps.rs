//! What a queue elsewhere has done, added up: values only. What is added up says the same as the steps one after the other.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{
    DeliveryState, Malformed, OwedLetter, ShareUpdate, SpooledRecord, Step, StateBatch, encode_step,
};
use crate::share::share_partition::SharePartition;
use crate::share::state_log::SlotName;
use crate::types::Offset;

/// The steps of all states of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps(pub(super) BTreeMap<SlotName, SlotSteps>);

/// Those of one state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlotSteps {
    /// Where a state begins that is new.
    pub(super) begin: Option<Offset>,
    /// Everything below is done. No letter that is owed lies below.
    pub(super) start: Option<Offset>,
    /// What became of records from there on, by their first; no two overlap.
    by_first: BTreeMap<Offset, StateBatch>,
    /// Messages that are given up, and whose letters are not written.
    pub(super) owed: BTreeMap<Offset, OwedLetter>,
}

impl Steps {
    pub(super) fn of(steps: Vec<((String, u128, u32), Step)>) -> Self {
        let mut all = Self::default();
        for ((owner, topic, partition), step) in steps {
            all.0.entry(SlotName { topic, partition, owner: owner.into() }).or_default().take(step);
        }
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(SlotSteps::is_empty)
    }

    /// Which letters are owed.
    pub(super) fn owed(&self) -> impl Iterator<Item = (&SlotName, Offset)> {
        self.0.iter().flat_map(|(name, of)| of.owed.keys().map(move |offset| (name, *offset)))
    }

    /// The records of one frame that says all of it; none where there is nothing to say.
    pub(super) fn records(&self) -> Result<Vec<SpooledRecord>> {
        let mut records = Vec::new();
        for (name, steps) in &self.0 {
            let of = (&*name.owner, name.topic, name.partition);
            for step in steps.steps() {
                records.push(encode_step(of, &step).map_err(|malformed| unencodable(&malformed))?);
            }
        }
        Ok(records)
    }
}

pub(super) fn unencodable(malformed: &Malformed) -> Error {
    Error::invalid(format!("a step of a queue cannot be encoded: {malformed}"))
}

impl SlotSteps {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(start) => self.begin = Some(start),
            Step::Update(update) => {
                update.batches.into_iter().for_each(|batch| self.set(batch));
                self.raise_start(update.start);
            }
            Step::Owed(owed) => {
                // Until its letter is written nothing says that it is done.
                let (first, state) = (owed.offset, DeliveryState::Available);
                self.set(StateBatch { first, last: first, state, count: owed.count });
                self.owed.insert(owed.offset, owed);
            }
        }
    }

    fn raise_start(&mut self, start: Option<Offset>) {
        let Some(start) = start.filter(|start| Some(*start) > self.start) else { return };
        self.start = Some(start);
        self.clear(0, start - 1);
        self.owed.retain(|offset, _| *offset >= start);
    }

    fn set(&mut self, batch: StateBatch) {
        let first = batch.first.max(self.start.unwrap_or(0));
        if batch.last < first {
            return;
        }
        self.clear(first, batch.last);
        let mut batch = StateBatch { first, ..batch };
        let are_alike =
            |one: &StateBatch, other: &StateBatch| (one.state, one.count) == (other.state, other.count);
        if let Some(before) = self.by_first.range(..first).next_back().map(|(_, before)| *before)
            && before.last + 1 == first
            && are_alike(&before, &batch)
        {
            self.by_first.remove(&before.first);
            batch.first = before.first;
        }
        if let Some(after) = self.by_first.get(&(batch.last + 1)).copied()
            && are_alike(&after, &batch)
        {
            self.by_first.remove(&after.first);
            batch.last = after.last;
        }
        self.by_first.insert(batch.first, batch);
    }

    /// Says nothing of a range any more.
    fn clear(&mut self, first: Offset, last: Offset) {
        let overlapping: Vec<_> = self
            .by_first
            .range(..=last)
            .rev()
            .map(|(_, batch)| *batch)
            .take_while(|batch| batch.last >= first)
            .collect();
        for batch in overlapping {
            self.by_first.remove(&batch.first);
            if batch.first < first {
                self.by_first.insert(batch.first, StateBatch { last: first - 1, ..batch });
            }
            if batch.last > last {
                self.by_first.insert(last + 1, StateBatch { first: last + 1, ..batch });
            }
        }
    }

    /// What became of records, in order.
    pub(super) fn batches(&self) -> Vec<StateBatch> {
        self.by_first.values().copied().collect()
    }

    fn steps(&self) -> Vec<Step> {
        let begin = self.begin.map(Step::Begin);
        let batches = self.batches();
        let says = !batches.is_empty() || self.start.is_some();
        let update = says.then(|| Step::Update(update(self.start, batches)));
        let owed = self.owed.values().cloned().map(Step::Owed);
        begin.into_iter().chain(update).chain(owed).collect()
    }

    /// The log ends at `end`: a crash has taken what was above. Says whether there was something to take.
    pub(super) fn cut_to(&mut self, end: Offset) -> bool {
        let before = self.clone();
        self.clear(end, Offset::MAX - 1);
        self.owed.retain(|offset, _| *offset < end);
        self.start = self.start.map(|start| start.min(end));
        self.begin = self.begin.map(|begin| begin.min(end));
        *self != before
    }

    /// Whether it says nothing but which letters are owed.
    pub(super) fn is_only_owed(&self) -> bool {
        let all_owed = |batch: &StateBatch| (batch.first..=batch.last).all(|at| self.owed.contains_key(&at));
        self.begin.is_none() && self.start.is_none() && self.by_first.values().all(all_owed)
    }

    /// Takes out what it says of some of the messages whose letters are owed.
    pub(super) fn take_owed(&mut self, is_one: impl Fn(Offset) -> bool) -> BTreeMap<Offset, OwedLetter> {
        let taken: Vec<_> = self.owed.keys().copied().filter(|offset| is_one(*offset)).collect();
        let mut out = BTreeMap::new();
        for offset in taken {
            self.clear(offset, offset);
            out.extend(self.owed.remove_entry(&offset));
        }
        out
    }

    /// What is left when everything but letters that are owed is folded.
    pub(super) fn only_owed(owed: BTreeMap<Offset, OwedLetter>) -> Self {
        let mut steps = Self::default();
        owed.into_values().for_each(|letter| steps.take(Step::Owed(letter)));
        steps
    }

    /// The same without messages that are done in a state: their letters are written. Between a fold and what takes its steps out they stand
    /// in both, and a letter is written once.
    pub(super) fn without_written(&self, state: &SharePartition) -> Self {
        let mut steps = self.clone();
        drop(steps.take_owed(|offset| state.is_done(offset)));
        steps
    }

    /// What they make of a state, which stays as it is.
    pub(super) fn over(&self, state: &SharePartition) -> SharePartition {
        let mut state = state.clone();
        self.apply_to(&mut state);
        state
    }

    /// Has a state be what the steps have made of it.
    pub(super) fn apply_to(&self, state: &mut SharePartition) {
        let steps = self.without_written(state);
        state.restore(steps.start, &steps.batches());
        steps.owed.values().for_each(|owed| state.owe(owed.offset));
    }
}

/// An update of no epoch.
pub(super) fn update(start: Option<Offset>, batches: Vec<StateBatch>) -> ShareUpdate {
    ShareUpdate { epoch: 0, leader_epoch: 0, start, batches, complete_count: -1 }
}
