//! Which record of a partition is in which state: runs of equal ones, found by offset, by readiness and by time.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Offset, Timestamp};

/// Who holds a record, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) id: u64,
    pub(super) until: Timestamp,
}

/// What a record of a queue is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// To be delivered at once.
    Available,
    /// To be delivered, and nothing else like it meanwhile: it was out when the process died, perhaps for the same reason as
    /// the times before.
    Suspect,
    /// To be delivered when it is the oldest of its key that is not done.
    Blocked,
    /// The same, and to be tried by itself then.
    BlockedSuspect,
    /// To be delivered from then on.
    Delayed(Timestamp),
    Acquired(Lock),
    Acknowledged,
    /// Given up, or not there.
    Archived,
    /// Given up in another process than the owner's, which cannot write its letter: to be handed out to nobody, and not done before the
    /// owner has.
    Owed,
}

impl RunState {
    /// The same where an older record of its key is not done: what is out, or waits for a time, becomes so when that is over.
    pub(super) fn blocked(self) -> Self {
        match self {
            Self::Available => Self::Blocked,
            Self::Suspect => Self::BlockedSuspect,
            other => other,
        }
    }

    /// The same where none is.
    pub(super) fn next_of_its_key(self) -> Self {
        match self {
            Self::Blocked => Self::Available,
            Self::BlockedSuspect => Self::Suspect,
            other => other,
        }
    }

    /// Whether nothing more becomes of it.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }
}

/// Records one after the other that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) last: Offset,
    pub(super) state: RunState,
    /// How often they were handed out.
    pub(super) count: i16,
}

/// The same with its first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Offset,
    pub(super) last: Offset,
    pub(super) count: i16,
}

impl Span {
    pub(super) fn len(&self) -> u64 {
        length(self.first, self.last)
    }

    /// What of it lies below an offset.
    pub(super) fn below(self, end: Offset) -> Option<Self> {
        (self.first < end).then_some(Self { last: self.last.min(end - 1), ..self })
    }
}

pub(super) fn length(first: Offset, last: Offset) -> u64 {
    u64::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0)
}

/// How many records are doing what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Figures {
    pub(super) available: u64,
    pub(super) blocked: u64,
    pub(super) delayed: u64,
    pub(super) acquired: u64,
    pub(super) done: u64,
    pub(super) owed: u64,
}

/// Runs that touch each other and are alike are one. No two share an offset.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    by_first: BTreeMap<Offset, Run>,
    /// First offsets of those that are available, of suspects, and of those with a time, which comes first.
    available: BTreeSet<Offset>,
    suspects: BTreeSet<Offset>,
    timers: BTreeSet<(Timestamp, Offset)>,
    figures: Figures,
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.by_first.len()
    }

    pub(super) fn figures(&self) -> Figures {
        self.figures
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Offset, Run)> {
        self.by_first.iter().map(|(first, run)| (*first, *run))
    }

    /// Those that end at the offset or after it.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = (Offset, Run)> {
        let first = self.at(offset).map_or(offset, |(first, _)| first);
        self.by_first.range(first..).map(|(first, run)| (*first, *run))
    }

    /// The run that holds the offset, and its first offset.
    pub(super) fn at(&self, offset: Offset) -> Option<(Offset, Run)> {
        let (first, run) = self.by_first.range(..=offset).next_back()?;
        (run.last >= offset).then_some((*first, *run))
    }

    /// Those that may be handed out, the oldest first.
    pub(super) fn available(&self) -> impl Iterator<Item = Span> {
        self.available.iter().filter_map(|first| self.span(*first))
    }

    /// Those that are to be tried by themselves, the oldest first.
    pub(super) fn suspects(&self) -> impl Iterator<Item = Span> {
        self.suspects.iter().filter_map(|first| self.span(*first))
    }

    fn span(&self, first: Offset) -> Option<Span> {
        let run = self.by_first.get(&first)?;
        Some(Span { first, last: run.last, count: run.count })
    }

    /// When the next delay or lock ends.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The first run whose delay or lock is over.
    pub(super) fn first_due(&self, now: Timestamp) -> Option<Span> {
        let (time, first) = self.timers.first()?;
        if *time <= now { self.span(*first) } else { None }
    }

    /// Takes out the run that begins at `start`, if nothing more becomes of it. Says where it ended.
    pub(super) fn take_final_at(&mut self, start: Offset) -> Option<Offset> {
        let last = self.by_first.get(&start).filter(|run| run.state.is_final())?.last;
        self.remove(start);
        Some(last)
    }

    /// Takes out whatever lies in the range, and cuts the runs at its ends.
    pub(super) fn clear(&mut self, first: Offset, last: Offset) {
        if last < first {
            return;
        }
        if let Some((begin, run)) = self.at(first).filter(|(begin, _)| *begin < first) {
            self.remove(begin);
            self.insert(begin, Run { last: first - 1, ..run });
            if run.last >= first {
                self.insert(first, run);
            }
        }
        while let Some((begin, run)) =
            self.by_first.range(first..=last).next().map(|(begin, run)| (*begin, *run))
        {
            self.remove(begin);
            if run.last > last {
                self.insert(last + 1, run);
            }
        }
    }

    /// Makes the records from `first` to `last` what `state` and `count` say, whatever they were.
    pub(super) fn set(&mut self, first: Offset, last: Offset, (state, count): (RunState, i16)) {
        if last < first {
            return;
        }
        self.clear(first, last);
        let (mut first, mut run) = (first, Run { last, state, count });
        if let Some((begin, before)) = self.by_first.range(..first).next_back().map(|(at, run)| (*at, *run))
            && before.last == first - 1
            && let Some(count) = together(&before, &run)
        {
            self.remove(begin);
            (first, run.count) = (begin, count);
        }
        if let Some(after) = run.last.checked_add(1).and_then(|next| self.by_first.get(&next).copied())
            && let Some(count) = together(&run, &after)
        {
            self.remove(run.last + 1);
            (run.last, run.count) = (after.last, count);
        }
        self.insert(first, run);
    }

    fn insert(&mut self, first: Offset, run: Run) {
        self.by_first.insert(first, run);
        match run.state {
            RunState::Available => _ = self.available.insert(first),
            RunState::Suspect => _ = self.suspects.insert(first),
            RunState::Delayed(until) | RunState::Acquired(Lock { until, .. }) => {
                self.timers.insert((until, first));
            }
            RunState::Blocked
            | RunState::BlockedSuspect
            | RunState::Acknowledged
            | RunState::Archived
            | RunState::Owed => {}
        }
        let figure = self.figure(run.state);
        *figure += length(first, run.last);
    }

    fn remove(&mut self, first: Offset) {
        let Some(run) = self.by_first.remove(&first) else { return };
        match run.state {
            RunState::Available => _ = self.available.remove(&first),
            RunState::Suspect => _ = self.suspects.remove(&first),
            RunState::Delayed(until) | RunState::Acquired(Lock { until, .. }) => {
                self.timers.remove(&(until, first));
            }
            RunState::Blocked
            | RunState::BlockedSuspect
            | RunState::Acknowledged
            | RunState::Archived
            | RunState::Owed => {}
        }
        let figure = self.figure(run.state);
        *figure = figure.saturating_sub(length(first, run.last));
    }

    fn figure(&mut self, state: RunState) -> &mut u64 {
        match state {
            RunState::Available | RunState::Suspect => &mut self.figures.available,
            RunState::Blocked | RunState::BlockedSuspect => &mut self.figures.blocked,
            RunState::Delayed(_) => &mut self.figures.delayed,
            RunState::Acquired(_) => &mut self.figures.acquired,
            RunState::Acknowledged | RunState::Archived => &mut self.figures.done,
            RunState::Owed => &mut self.figures.owed,
        }
    }
}

/// The count of two runs that can be one. Of what is done nobody asks any more how often it was tried.
fn together(one: &Run, other: &Run) -> Option<i16> {
    let is_one = one.state == other.state && (one.count == other.count || one.state.is_final());
    is_one.then(|| one.count.max(other.count))
}
