//! What a queue elsewhere has done, added up: values only. What is added up says the same as the steps one after the other.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{
    DeliveryState, Malformed, OwedLetter, ShareUpdate, SpooledRecord, StateBatch, Step, encode_step,
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

    /// The same without messages that are done in a state, which stay so: their letters are written. Between a fold and what takes its steps out
    /// they stand in both, and a letter is written once; after a power cut the file may have lost the step that said they were done.
    pub(super) fn without_written(&self, state: &SharePartition) -> Self {
        let mut steps = self.clone();
        drop(steps.take_owed(|offset| state.is_done(offset)));
        let is_open = |batch: &&StateBatch| batch.state == DeliveryState::Available;
        for batch in self.by_first.values().filter(is_open) {
            state.done_among(batch.first, batch.last).for_each(|(first, last)| steps.clear(first, last));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::Random;

    fn name() -> SlotName {
        SlotName { topic: 7, partition: 1, owner: "group".into() }
    }

    fn stored(state: &SharePartition) -> (Offset, Vec<StateBatch>, Vec<Offset>) {
        let owed = (0..60).filter(|offset| state.is_owed(*offset)).collect();
        (state.start(), state.batches(), owed)
    }

    /// One step after the other, as a queue takes them: what is done stays so, and nothing is owed below the start.
    fn random_steps(random: &mut Random) -> Vec<Step> {
        let mut state = SharePartition::new(0);
        let mut steps = vec![Step::Begin(0)];
        for _ in 0..random.below(40) {
            let first = i64::try_from(random.below(50)).unwrap();
            let last = first + i64::try_from(random.below(6)).unwrap();
            if (first..=last).any(|offset| state.is_done(offset) || state.is_owed(offset)) {
                continue;
            }
            let count = i16::try_from(random.below(4)).unwrap() + 1;
            let step = match random.below(5) {
                0 => {
                    let reason = "no".to_owned();
                    Step::Owed(OwedLetter { offset: first, count, letters: None, reason })
                }
                kind => {
                    let state = match kind {
                        1 | 2 => DeliveryState::Available,
                        3 => DeliveryState::Acknowledged,
                        _ => DeliveryState::Archived,
                    };
                    Step::Update(update(None, vec![StateBatch { first, last, state, count }]))
                }
            };
            let step = match step {
                Step::Update(of) => Step::Update(ShareUpdate { start: Some(state.start()), ..of }),
                other => other,
            };
            one(&step).apply_to(&mut state);
            steps.push(step);
        }
        steps
    }

    fn one(step: &Step) -> SlotSteps {
        all(std::slice::from_ref(step))
    }

    fn all(steps: &[Step]) -> SlotSteps {
        let named = steps.iter().map(|step| (("group".to_owned(), 7, 1), step.clone())).collect();
        Steps::of(named).0.remove(&name()).unwrap_or_default()
    }

    #[test]
    fn what_is_added_up_says_what_the_steps_say_one_after_the_other_however_often() {
        for seed in 0..2000 {
            let mut random = Random::new(seed);
            let steps = random_steps(&mut random);
            let mut expected = SharePartition::new(0);
            steps.iter().for_each(|step| one(step).apply_to(&mut expected));
            let merged = all(&steps);
            let mut state = merged.beginning();
            for _ in 0..2 {
                merged.apply_to(&mut state);
                assert_eq!(stored(&state), stored(&expected), "seed {seed}: {steps:?}");
                state.check();
            }
            // Some of it is there already.
            let middle = usize::try_from(random.below(steps.len() as u64)).unwrap();
            let mut later = SharePartition::new(0);
            steps[..middle].iter().for_each(|step| one(step).apply_to(&mut later));
            merged.apply_to(&mut later);
            assert_eq!(stored(&later), stored(&expected), "seed {seed}");
            let records = Steps([(name(), merged.clone())].into()).records().unwrap();
            let frame = crate::format::encode_spooled(&records);
            let id = crate::format::StepsId { tenure: 1, version: 1 };
            let head = crate::format::StepsHead::new(id, crate::format::StepsHead::LEN);
            let read = crate::format::decode_steps(&frame, &head).unwrap();
            let again = Steps::of(read.steps).0.remove(&name());
            assert_eq!(again, Some(merged), "seed {seed}");
        }
    }

    #[test]
    fn what_lies_above_an_end_is_cut_and_letters_that_are_written_are_owed_no_more() {
        let owed = |offset| Step::Owed(OwedLetter { offset, count: 2, letters: None, reason: String::new() });
        let batch = StateBatch { first: 2, last: 9, state: DeliveryState::Acknowledged, count: 1 };
        let mut steps = all(&[Step::Begin(0), owed(1), Step::Update(update(Some(0), vec![batch])), owed(11)]);
        assert!(!steps.cut_to(12) && steps.cut_to(6));
        assert_eq!(steps.batches().last().map(|batch| batch.last), Some(5));
        assert_eq!(steps.owed.keys().copied().collect::<Vec<_>>(), [1]);
        let mut state = SharePartition::new(0);
        steps.apply_to(&mut state);
        assert!(state.is_owed(1) && !state.is_done(1) && state.start() == 0);
        state.finish(1, 1, DeliveryState::Archived);
        state.finish(0, 0, DeliveryState::Archived);
        assert_eq!(state.start(), 6);
        // Between a fold and what takes its steps out they stand in both.
        steps.apply_to(&mut state);
        assert_eq!((state.start(), state.is_owed(1)), (6, false));
    }

    #[test]
    fn what_is_done_stays_so_where_a_power_cut_has_taken_the_steps_that_said_it() {
        let waits = StateBatch { first: 0, last: 9, state: DeliveryState::Available, count: 1 };
        let steps = all(&[Step::Begin(0), Step::Update(update(Some(0), vec![waits]))]);
        let mut state = SharePartition::new(0);
        steps.apply_to(&mut state);
        [(0, 0), (2, 3), (7, 7)].iter().for_each(|(first, last)| {
            state.finish(*first, *last, DeliveryState::Archived);
        });
        let before = stored(&state);
        steps.apply_to(&mut state);
        assert_eq!(stored(&state), before);
        let left: Vec<_> = steps.without_written(&state).batches();
        assert_eq!(
            left.iter().map(|one| (one.first, one.last)).collect::<Vec<_>>(),
            [(1, 1), (4, 6), (8, 9)]
        );
    }
}
