//! What a queue knows of one partition: values only. Times and offsets come in, states go out; nothing is read or written.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::format::{DeliveryState, StateBatch};
use crate::share::doubts::Doubts;
use crate::share::lanes::{Fresh, Lanes, MOST_IN_LANES};
use crate::share::ranges::Ranges;
use crate::share::runs::{Figures, Lock, Run, RunState, Runs, Span, length};
use crate::share::selection::Selection;
use crate::types::{Offset, Timestamp};

/// At so many runs nothing new is handed out until some are done. A run takes about 100 bytes.
pub(super) const MOST_RUNS: usize = 65_536;
/// The records from `start` to `end`: those below are done, those above were never handed out.
///
/// Of each record between, one run says what it does. What is done at `start` moves it.
#[derive(Debug, Clone, Default)]
pub(super) struct SharePartition {
    start: Offset,
    end: Offset,
    /// What was passed over from here on is not stored.
    pub(super) noted: Offset,
    pub(super) runs: Runs,
    /// Where order is kept by key.
    lanes: Option<Lanes>,
    pub(super) doubts: Doubts,
    /// What is out, or set aside, and has no record any more.
    pub(super) gone: Ranges,
    /// What has ended for it has no record any more, and is written nowhere.
    pub(super) untold: Ranges,
    last_lock: u64,
}

impl SharePartition {
    pub(super) fn new(start: Offset) -> Self {
        Self { start, end: start, noted: start, ..Self::default() }
    }

    /// Everything below is done.
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// Nothing from here on was handed out.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn figures(&self) -> Figures {
        self.runs.figures()
    }

    /// When the next delay or lock ends.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.runs.next_time()
    }

    /// Whether another record may be looked at.
    pub(super) fn has_room(&self) -> bool {
        self.runs.len() < MOST_RUNS && self.lanes.as_ref().is_none_or(|lanes| lanes.len() < MOST_IN_LANES)
    }

    // What was stored.

    /// Takes in what a snapshot or an update says.
    pub(super) fn restore(&mut self, start: Option<Offset>, batches: &[StateBatch]) {
        if let Some(start) = start {
            self.skip_to(start);
        }
        for batch in batches {
            let state = match batch.state {
                DeliveryState::Acknowledged => RunState::Acknowledged,
                DeliveryState::Archived => RunState::Archived,
                DeliveryState::Available | DeliveryState::Acquired | DeliveryState::Archiving => {
                    RunState::Available
                }
            };
            let first = batch.first.max(self.start);
            if batch.last < first {
                continue;
            }
            self.reach(batch.last + 1);
            self.runs.set(first, batch.last, (state, batch.count));
        }
        self.noted = self.end;
        self.advance();
    }

    /// What is to be stored: everything but records that were never handed out.
    pub(super) fn batches(&self) -> Vec<StateBatch> {
        let mut batches: Vec<StateBatch> = Vec::new();
        for (first, run) in self.runs.iter() {
            let state = match run.state {
                RunState::Acknowledged => DeliveryState::Acknowledged,
                RunState::Archived => DeliveryState::Archived,
                _ if run.count == 0 => continue,
                _ => DeliveryState::Available,
            };
            match batches.last_mut() {
                Some(before)
                    if before.last + 1 == first && (before.state, before.count) == (state, run.count) =>
                {
                    before.last = run.last;
                }
                _ => batches.push(StateBatch { first, last: run.last, state, count: run.count }),
            }
        }
        batches
    }

    /// Keeps no order any more.
    pub(super) fn forget_order(&mut self) {
        self.lanes = None;
        let is_blocked = |run: &Run| run.state.next_of_its_key() != run.state;
        let blocked: Vec<_> = self.runs.iter().filter(|(_, run)| is_blocked(run)).collect();
        for (first, run) in blocked {
            self.runs.set(first, run.last, (run.state.next_of_its_key(), run.count));
        }
    }

    /// Keeps order by key from here on: `records` are those between start and end that are not done, the oldest first. What has a delay, or is set
    /// aside, stays so.
    pub(super) fn keep_order(&mut self, records: impl IntoIterator<Item = Fresh>) {
        let mut lanes = Lanes::default();
        for Fresh { offset, key } in records {
            let is_next = key.is_none_or(|key| lanes.add(offset, key));
            if !is_next && let Some((_, run)) = self.runs.at(offset) {
                self.runs.set(offset, offset, (run.state.blocked(), run.count));
            }
        }
        self.lanes = Some(lanes);
    }

    // What the log says.

    /// What lies below `start` is not there any more. Returns how many offsets were lost by that, done ones not counted.
    pub(super) fn skip_to(&mut self, start: Offset) -> u64 {
        if start <= self.start {
            return 0;
        }
        let done = self.runs.figures().done;
        let all = length(self.start, start - 1);
        self.runs.clear(self.start, start - 1);
        let below_done = done - self.runs.figures().done;
        let first = std::mem::replace(&mut self.start, start);
        self.end = self.end.max(start);
        self.doubts.end(first, start - 1);
        self.gone.remove((first, start - 1));
        self.untold.remove((first, start - 1));
        self.leave_lanes(first, start - 1);
        self.advance();
        all.saturating_sub(below_done)
    }

    /// The log ends at `end`: a crash has taken what was above.
    pub(super) fn cut_to(&mut self, end: Offset) -> bool {
        if end >= self.end {
            return false;
        }
        self.runs.clear(end, self.end);
        self.doubts.end(end, Offset::MAX);
        self.gone.remove((end, Offset::MAX));
        self.untold.remove((end, Offset::MAX));
        (self.start, self.end, self.noted) = (self.start.min(end), end, self.noted.min(end));
        true
    }

    /// What lies below `end` and was never looked at is waiting.
    pub(super) fn reach(&mut self, end: Offset) {
        if end > self.end {
            self.runs.set(self.end, end - 1, (RunState::Available, 0));
            self.end = end;
        }
    }

    // Handing out.

    /// Delays and locks that are over by now. Says how many messages were not answered in time.
    pub(super) fn expire(&mut self, now: Timestamp) -> u64 {
        let before = self.runs.figures().acquired;
        while let Some(span) = self.runs.first_due(now) {
            self.let_go(span.first, span.last, span.count);
        }
        before - self.runs.figures().acquired
    }

    /// Those of these records that wait, up to `most`, and nothing else with them. What was never looked at before the last of them waits from
    /// here on, all in one run.
    pub(super) fn select_those(&mut self, offsets: &[Offset], most: u64) -> Selection {
        let mut selection = Selection { is_closed: true, ..Selection::default() };
        let spans = &mut selection.spans;
        let mut room = most;
        for offset in offsets.iter().copied() {
            if room == 0 || (offset >= self.end && !self.has_room()) {
                break;
            }
            self.reach(offset + 1);
            let Some((_, run)) = self.runs.at(offset).filter(|(_, run)| run.state == RunState::Available)
            else {
                continue;
            };
            match spans.last_mut() {
                Some(before) if before.last + 1 == offset && before.count == run.count => {
                    before.last = offset
                }
                _ => spans.push(Span { first: offset, last: offset, count: run.count }),
            }
            room -= 1;
        }
        selection
    }

    /// A lock that no other has.
    pub(super) fn new_lock(&mut self, until: Timestamp) -> Lock {
        self.last_lock += 1;
        Lock { id: self.last_lock, until }
    }

    /// Whether a record that was just read is to be handed out, and not to wait behind another of its key.
    pub(super) fn is_free(&mut self, fresh: Fresh) -> bool {
        match (&mut self.lanes, fresh.key) {
            (Some(lanes), Some(key)) => lanes.add(fresh.offset, key),
            _ => true,
        }
    }

    /// Takes in records that were read after the end: those that are handed out under `lock`, the others wait. What lies
    /// between is not there.
    pub(super) fn extend(&mut self, fresh: &[(Offset, bool)], next: Offset, lock: Lock) {
        let are_alike =
            |one: &(Offset, bool), other: &(Offset, bool)| one.0 + 1 == other.0 && one.1 == other.1;
        for run in fresh.chunk_by(are_alike) {
            let (Some((first, is_free)), Some((last, _))) = (run.first(), run.last()) else { continue };
            self.runs.set(self.end, first - 1, (RunState::Archived, 0));
            let state = if *is_free { (RunState::Acquired(lock), 1) } else { (RunState::Blocked, 0) };
            self.runs.set(*first, *last, state);
            self.end = last + 1;
        }
        self.runs.set(self.end, next - 1, (RunState::Archived, 0));
        self.end = self.end.max(next);
        self.advance();
    }

    /// What is done up to the end, first and last of each run, and perhaps not stored so. A state that says of a record that it
    /// was handed out says nothing of those before it that were not: an open would take them for messages that wait.
    pub(super) fn not_noted(&self) -> impl Iterator<Item = (Offset, Offset)> {
        let below = (self.noted < self.start).then(|| (self.noted, self.start - 1));
        let archived = self.runs.from(self.noted).filter(|(_, run)| run.state == RunState::Archived);
        below.into_iter().chain(archived.map(|(first, run)| (first.max(self.noted), run.last)))
    }

    /// All of that is stored, up to `end`.
    pub(super) fn noted(&mut self, end: Offset) {
        self.noted = self.noted.max(end);
    }

    /// Records that were read after the end are not taken in after all.
    pub(super) fn forget(&mut self, fresh: &[(Offset, bool)]) {
        if let (Some(lanes), Some((first, _)), Some((last, _))) =
            (&mut self.lanes, fresh.first(), fresh.last())
        {
            // The older ones of their keys are before them: nobody's turn changes.
            lanes.leave(*first, *last);
        }
    }

    // Answers.

    /// How often the record was handed out, if the lock still holds it; and the neighbours of which the same is true.
    pub(super) fn held(&self, offset: Offset, lock: u64, now: Timestamp) -> Option<Span> {
        let (first, run) = self.runs.at(offset)?;
        match run.state {
            RunState::Acquired(held) if held.id == lock && held.until > now => {
                Some(Span { first, last: run.last, count: run.count })
            }
            _ => None,
        }
    }

    /// What a record is doing; `None` below the start and after the end.
    pub(super) fn state_of(&self, offset: Offset) -> Option<RunState> {
        self.runs.at(offset).map(|(_, run)| run.state)
    }

    /// They are done.
    pub(super) fn finish(&mut self, first: Offset, last: Offset, state: DeliveryState) {
        if last < first {
            return;
        }
        let count = self.runs.at(first).map_or(0, |(_, run)| run.count);
        let state =
            if state == DeliveryState::Acknowledged { RunState::Acknowledged } else { RunState::Archived };
        self.doubts.end(first, last);
        self.gone.remove((first, last));
        if first <= self.start {
            // Nobody asks any more what they were.
            self.runs.clear(first, last);
            self.start = self.start.max(last + 1);
        } else {
            self.runs.set(first, last, (state, count));
        }
        self.leave_lanes(first, last);
        self.advance();
    }

    /// The lock holds for longer.
    pub(super) fn renew(&mut self, offset: Offset, lock: Lock) {
        if let Some((_, run)) = self.runs.at(offset) {
            self.runs.set(offset, offset, (RunState::Acquired(lock), run.count));
            self.doubts.renew(offset, lock.until);
        }
    }

    /// What is done after the start, in order; no two touch.
    pub(super) fn done(&self) -> Vec<RangeInclusive<Offset>> {
        let mut done: Vec<RangeInclusive<Offset>> = Vec::new();
        for (first, run) in self.runs.iter().filter(|(_, run)| run.state.is_final()) {
            match done.last_mut() {
                Some(before) if *before.end() + 1 == first => *before = *before.start()..=run.last,
                _ => done.push(first..=run.last),
            }
        }
        done
    }

    /// Everything that is not done, nor given up, in order.
    pub(super) fn open_spans(&self) -> VecDeque<Span> {
        let is_open = |run: &Run| !run.state.is_final() && run.state != RunState::Owed;
        let open = self.runs.iter().filter(|(_, run)| is_open(run));
        open.map(|(first, run)| Span { first, last: run.last, count: run.count }).collect()
    }

    /// One run says of each record between start and end what it does, and no two that touch are alike.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut next = self.start;
        let mut before = None;
        for (first, run) in self.runs.iter() {
            assert_eq!(first, next, "a gap in {self:?}");
            assert!(run.last >= first && before != Some((run.state, run.count)), "{self:?}");
            before = Some((run.state, run.count));
            next = run.last + 1;
        }
        assert_eq!(next, self.end, "{self:?}");
        let done = self.runs.iter().next().is_some_and(|(_, run)| run.state.is_final());
        assert!(!done, "what is done at the start stays: {self:?}");
    }

    pub(super) fn let_go(&mut self, first: Offset, last: Offset, count: i16) {
        self.doubts.come_back(first, last);
        self.runs.set(first, last, (RunState::Available, count));
        // One that was out, or had a delay, before order was kept may not be the oldest of its key.
        let behind = self.lanes.as_ref().map(|lanes| lanes.behind_others(first, last));
        for offset in behind.into_iter().flatten() {
            self.runs.set(offset, offset, (RunState::Blocked, count));
        }
        self.end_gone(first, last);
    }

    pub(super) fn leave_lanes(&mut self, first: Offset, last: Offset) {
        let Some(lanes) = &mut self.lanes else { return };
        for next in lanes.leave(first, last) {
            if let Some((_, run)) = self.runs.at(next) {
                self.runs.set(next, next, (run.state.next_of_its_key(), run.count));
            }
        }
    }

    /// What is done at the start moves it.
    fn advance(&mut self) {
        while let Some(last) = self.runs.take_final_at(self.start) {
            self.start = last + 1;
        }
    }
}
