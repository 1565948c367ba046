//! What a state goes through that does not stay in one process.

use crate::share::doubts::Doubts;
use crate::share::runs::RunState;
use crate::share::share_partition::SharePartition;
use crate::types::{Offset, Timestamp};

impl SharePartition {
    /// Whether nothing more becomes of a record.
    pub(super) fn is_done(&self, offset: Offset) -> bool {
        offset < self.start() || self.state_of(offset).is_some_and(RunState::is_final)
    }

    /// Those of the records from `first` to `last` of which nothing more becomes, as ranges.
    pub(super) fn done_among(&self, first: Offset, last: Offset) -> impl Iterator<Item = (Offset, Offset)> {
        let below = (first < self.start()).then(|| (first, last.min(self.start() - 1)));
        let runs = self.runs.from(first).take_while(move |(at, _)| *at <= last);
        let done = runs.filter(|(_, run)| run.state.is_final());
        below.into_iter().chain(done.map(move |(at, run)| (at.max(first), run.last.min(last))))
    }

    /// Whether nobody knows what was written of a record, as long as the store is open.
    pub(super) fn is_set_aside(&self, offset: Offset) -> bool {
        self.state_of(offset) == Some(RunState::Delayed(Timestamp::MAX))
    }

    #[cfg(test)]
    pub(super) fn is_owed(&self, offset: Offset) -> bool {
        self.state_of(offset) == Some(RunState::Owed)
    }

    /// A message is given up, and its letter is the owner's to write: it goes to nobody, and keeps no other of its key waiting.
    pub(super) fn owe(&mut self, offset: Offset) {
        if self.is_done(offset) {
            return;
        }
        self.reach(offset + 1);
        self.doubts.end(offset, offset);
        let count = self.runs.at(offset).map_or(0, |(_, run)| run.count);
        self.runs.set(offset, offset, (RunState::Owed, count));
        self.leave_lanes(offset, offset);
    }

    /// Another process has had the queue since: what this one remembers of delays and turns is over.
    pub(super) fn restart(&mut self) {
        self.forget_order();
        let waits = |state: RunState| match state {
            RunState::Delayed(until) => until != Timestamp::MAX,
            RunState::Suspect | RunState::Acquired(_) => true,
            _ => false,
        };
        let waiting: Vec<_> = self.runs.iter().filter(|(_, run)| waits(run.state)).collect();
        for (first, run) in waiting {
            self.let_go(first, run.last, run.count);
        }
        self.doubts = Doubts::default();
    }

    /// What was found out of the log's end and is written nowhere is forgotten: the log may have another by now.
    pub(super) fn forget_what_is_not_noted(&mut self) {
        let written = self.runs.iter().filter(|(_, run)| run.count > 0).last();
        self.cut_to(written.map_or(0, |(_, run)| run.last + 1).max(self.noted));
    }
}
