//! Which messages of a partition may be what ended an earlier life of the process, and which of them are out: values only.

use std::cell::Cell;

use crate::share::ranges::Ranges;
use crate::share::runs::{Lock, RunState, Span};
use crate::share::selection::{Selection, Wish, is_doubtful, is_exhausted, is_last};
use crate::share::share_partition::SharePartition;
use crate::share::watched::Watched;
use crate::types::{Offset, Timestamp};

/// What was handed out in an earlier life and was not done at its end.
///
/// One that ends the process whenever it is handed out is among them from its second life on, however often it was out, and never comes
/// back: so what came back is doubted no more. It may still be taken along: its last attempt is guarded until it is done.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts {
    earlier: Ranges,
    /// Those that have not come back in this life.
    doubted: Ranges,
    /// Those of the doubted that are out, and of the others those that are at their last attempt: until the ends of their locks, and whether it
    /// is their last. Where an end is past nobody has to have said so.
    out: Watched,
    /// The suspect that is out.
    pub(super) suspect: Option<Offset>,
}

/// What a state has out of those that are watched in the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// The locks end then, or before.
    pub(super) until: Timestamp,
    /// It is at its last attempt.
    pub(super) is_last: bool,
}

/// What may go out beside what is out in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permit {
    /// What may be what ended an earlier life.
    pub(super) doubted: bool,
    /// The last attempt of one that was out in an earlier life.
    pub(super) last: bool,
    /// When what forbids it is over, if nobody says so before.
    pub(super) until: Timestamp,
}

impl Permit {
    pub(super) const ALL: Self = Self { doubted: true, last: true, until: Timestamp::MIN };
}

impl Doubts {
    /// Whether there are any. Without any nothing has to be asked for.
    pub(super) fn are_any(&self) -> bool {
        !(self.earlier.is_empty() && self.out.is_empty())
    }

    /// What is out of it.
    pub(super) fn share(&self) -> Option<Share> {
        Some(Share { until: self.out.last_end()?, is_last: self.out.has_last() })
    }

    /// The same when these are out, too.
    pub(super) fn share_with(&self, spans: &[Span], limit: i16, until: Timestamp) -> Option<Share> {
        let share = self.share();
        let is_watched = |span: &&Span| !self.watched(span, limit).within((span.first, span.last)).is_empty();
        let Some(span) = spans.iter().find(is_watched) else { return share };
        let is_last = is_last(span.count, limit) || share.is_some_and(|share| share.is_last);
        Some(Share { until: share.map_or(until, |share| share.until.max(until)), is_last })
    }

    /// Which of a span are watched when they go out.
    fn watched(&self, span: &Span, limit: i16) -> &Ranges {
        if is_last(span.count, limit) { &self.earlier } else { &self.doubted }
    }

    /// What of a span may go out. Says where some may not.
    fn permitted(
        &self,
        span: Span,
        (limit, permit): (i16, Permit),
        is_held_back: &Cell<bool>,
    ) -> impl Iterator<Item = Span> + use<> {
        let is_last = is_last(span.count, limit);
        let is_free = if is_last { permit.last } else { permit.doubted };
        // What was never handed out is none of them.
        let (whole, parts) = if is_free || span.count == 0 || is_exhausted(span.count, limit) {
            (Some(span), Vec::new())
        } else {
            (None, self.watched(&span, limit).without((span.first, span.last)))
        };
        let free = parts.iter().map(|(first, last)| last - first + 1).sum::<Offset>();
        if whole.is_none() && free <= span.last - span.first {
            is_held_back.set(true);
        }
        let parts = parts.into_iter().map(move |(first, last)| Span { first, last, ..span });
        whole.into_iter().chain(parts)
    }

    fn go_out(&mut self, span: &Span, lock: Lock, limit: i16) {
        let is_last = is_last(span.count, limit);
        for part in self.watched(span, limit).within((span.first, span.last)) {
            self.out.insert(part, (lock.until, is_last));
        }
    }

    /// The lock of one ends at another time.
    pub(super) fn renew(&mut self, offset: Offset, until: Timestamp) {
        if let Some((_, is_last)) = self.out.at(offset) {
            self.out.insert((offset, offset), (until, is_last));
        }
    }

    /// They are done, given up or gone.
    pub(super) fn end(&mut self, first: Offset, last: Offset) {
        if self.are_any() {
            self.earlier.remove((first, last));
            self.doubted.remove((first, last));
        }
        self.leave(first, last);
    }

    /// They are to be handed out again: whoever had them is there still, or had them for all of a lock.
    pub(super) fn come_back(&mut self, first: Offset, last: Offset) {
        for part in self.out.within((first, last)) {
            self.doubted.remove(part);
        }
        self.leave(first, last);
    }

    /// Nobody had begun with them: they are what they were. Returns the suspect if it is one of them.
    pub(super) fn put_back(&mut self, first: Offset, last: Offset) -> Option<Offset> {
        let suspect = self.suspect.filter(|offset| (first..=last).contains(offset));
        self.leave(first, last);
        suspect
    }

    fn leave(&mut self, first: Offset, last: Offset) {
        self.suspect = self.suspect.filter(|offset| !(first..=last).contains(offset));
        self.out.remove((first, last));
    }
}

impl SharePartition {
    pub(super) fn suspect_is_out(&self) -> bool {
        self.doubts.suspect.is_some()
    }

    /// Nobody answers for what is out.
    pub(super) fn forget_what_is_out(&mut self) {
        self.doubts.out.clear();
    }

    /// Nothing more is handed out.
    pub(super) fn forget_doubts(&mut self) {
        self.doubts = Doubts::default();
    }

    /// Finds those that were out when an earlier life ended. What was so more than once is tried by itself, so that it takes no
    /// other along if it is what ends the process.
    pub(super) fn suspect_of(&mut self, limit: i16) {
        (self.doubts.earlier, self.doubts.doubted) = <(Ranges, Ranges)>::default();
        let waits = |state: RunState| {
            matches!(
                state,
                RunState::Available
                    | RunState::Suspect
                    | RunState::Blocked
                    | RunState::BlockedSuspect
                    | RunState::Delayed(_)
            )
        };
        for (first, run) in self.runs.iter().filter(|(_, run)| run.count > 0 && waits(run.state)) {
            self.doubts.earlier.insert((first, run.last));
        }
        self.doubts.doubted = self.doubts.earlier.clone();
        let found: Vec<_> = self.runs.iter().filter(|(_, run)| is_doubtful(run.count, limit)).collect();
        for (first, run) in found {
            let state = match run.state {
                RunState::Available => RunState::Suspect,
                RunState::Blocked => RunState::BlockedSuspect,
                _ => continue,
            };
            self.runs.set(first, run.last, (state, run.count));
        }
    }

    /// Which records that were read before may be handed out, as is wished, of those that the permit lets go.
    pub(super) fn select(&self, (wish, limit): (Wish, i16), permit: Permit) -> Selection {
        let is_held_back = Cell::new(false);
        let permitted = |span: Span| self.doubts.permitted(span, (limit, permit), &is_held_back);
        // One that is tried by itself is out.
        let is_out = self.suspect_is_out();
        let suspect = self.runs.suspects().take_while(|_| !is_out).find_map(|span| permitted(span).next());
        let available = self.runs.available().flat_map(permitted);
        let mut selection = Selection::of((suspect, available), (wish, limit));
        selection.held_back_until = is_held_back.get().then_some(permit.until);
        selection
    }

    /// Hands out what was selected.
    pub(super) fn acquire(&mut self, span: &Span, lock: Lock, limit: i16) {
        if let Some((_, run)) = self.runs.at(span.first)
            && run.state == RunState::Suspect
        {
            self.doubts.suspect = Some(span.first);
        }
        self.doubts.go_out(span, lock, limit);
        let count = span.count.saturating_add(1);
        self.runs.set(span.first, span.last, (RunState::Acquired(lock), count));
    }

    #[cfg(test)]
    pub(super) fn is_suspect(&self, offset: Offset) -> bool {
        self.runs.at(offset).is_some_and(|(_, run)| run.state == RunState::Suspect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{DeliveryState, StateBatch};

    const LIMIT: i16 = 5;

    /// After a kill with so many out each of which fares by itself: what an answer, a renewal and the look behind it cost.
    fn cost_with(many: Offset) -> usize {
        let mut state = SharePartition::new(0);
        for first in 0..many {
            let count = 1 + i16::try_from(first % 2).unwrap();
            state.restore(None, &[StateBatch { first, last: first, state: DeliveryState::Available, count }]);
        }
        state.suspect_of(LIMIT);
        for (offset, until) in (0..many).zip(100..) {
            let count = 1 + i16::try_from(offset % 2).unwrap();
            state.acquire(&Span { first: offset, last: offset, count }, Lock { id: 1, until }, LIMIT);
        }
        assert_eq!(state.doubts.share(), Some(Share { until: 99 + many, is_last: false }));
        let before = state.doubts.out.looked_at();
        let answered = (0..many).filter(|offset| offset % 10 == 3);
        let count = answered.clone().count();
        for offset in answered {
            state.renew(offset, Lock { id: 1, until: 100 + offset });
            state.release(offset - 1, offset - 1, None);
            state.finish(offset, offset, DeliveryState::Acknowledged);
            assert!(state.doubts.share().is_some());
        }
        (state.doubts.out.looked_at() - before) / count
    }

    #[test]
    fn an_answer_costs_what_it_is_about_and_not_what_is_out() {
        let (few, many) = (cost_with(100), cost_with(4000));
        assert!(many <= few + 1, "{few} runs are looked at with 100 out, {many} with 4000");
    }
}
