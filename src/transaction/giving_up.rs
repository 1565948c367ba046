//! Transactions of which nothing takes effect: aborted, refused in the middle of a write, or left by a panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::Ending;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::ids::ProducerId;
use crate::transaction::names::{NameState, Named, OpenParts, Written};
use crate::transaction::pieces::Place;

/// What is written and not decided, in the hands of whoever writes more of it. A panic in the file system or the clock of the program
/// ends it, also in the middle of another panic: nobody could give up what is written once the stack is gone, and readers would wait for it.
pub(super) struct Writing<'a> {
    of: &'a Transactions,
    pub(super) open: &'a mut OpenParts,
    /// Its end is among what is written: nobody knows whether it came to be there.
    may_be_whole: bool,
    is_over: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(of: &'a Transactions, open: &'a mut OpenParts, ends_with: Option<Ending>) -> Self {
        Self { of, open, may_be_whole: ends_with.is_some(), is_over: false }
    }

    /// Whatever is written is in the hands of whoever has asked for it.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.may_be_whole {
            // Whoever finds it open is not to abort it.
            self.open.let_go();
        } else {
            self.of.give_up_later(&mut *self.open);
        }
    }
}

impl Transactions {
    /// Whether `owner` still goes by the name, and in time. What is written of a transaction whose time is over is aborted there and then:
    /// who looks after them all comes by later.
    pub(super) fn check_in_time(
        self: &Arc<Self>,
        (named, owner): (&Arc<Named>, u64),
        state: &mut NameState,
    ) -> Result<()> {
        state.check(owner, &named.name)?;
        if let Some(open) = state.expire(&named.name) {
            self.give_up(named, open);
        }
        state.check(owner, &named.name)
    }

    /// The same for who writes nothing now. Where somebody has the name busy it is left to the next call.
    pub(super) fn check_written(self: &Arc<Self>, named: &Arc<Named>, owner: u64) -> Result<()> {
        let Some(mut state) = named.state.try_lock() else { return Ok(()) };
        self.check_in_time((named, owner), &mut state)
    }

    /// The look at the time of a commit: from here on what is written of it waits for that.
    pub(super) fn begin_commit(self: &Arc<Self>, named: &Arc<Named>, owner: u64) -> Result<()> {
        let mut state = named.state.lock();
        self.check_in_time((named, owner), &mut state)?;
        if let Some(open) = &mut state.open {
            open.commits = true;
        }
        Ok(())
    }

    /// Aborts what is written.
    pub(super) fn abort(self: &Arc<Self>, named: &Arc<Named>, owner: u64) -> Result<()> {
        let mut state = named.state.lock();
        state.check(owner, &named.name)?;
        let open = state.open.take();
        drop(state);
        if let Some(open) = open {
            self.give_up(named, open);
        }
        Ok(())
    }

    /// The same where a panic has come by in the middle of a commit.
    pub(super) fn abandon(&self, named: &Named, owner: u64) {
        let mut state = named.state.lock();
        let is_its = state.check(owner, &named.name).is_ok();
        let open = if is_its { state.open.take() } else { None };
        if is_its {
            named.leave_open();
        }
        drop(state);
        if let Some(mut open) = open {
            self.give_up_later(&mut open);
        }
    }

    /// Nothing of what somebody who goes by the name has written takes effect.
    pub(super) fn give_up_open(self: &Arc<Self>, named: &Arc<Named>, state: &mut NameState) {
        if let Some(open) = state.open.take() {
            self.give_up(named, open);
        }
    }

    /// Nothing of it takes effect: readers know at once, the log as soon as it can be written to. Its producer goes back to the name
    /// once the end is in every partition that has something of it.
    pub(super) fn give_up(self: &Arc<Self>, named: &Arc<Named>, open: OpenParts) {
        self.give_up_ended(Ended::aborted(named, open));
    }

    pub(super) fn give_up_ended(self: &Arc<Self>, mut ended: Ended) {
        tell_readers(ended.producer, &mut ended.places);
        self.follow(ended);
    }

    /// Nothing of it takes effect: readers know at once. The log is left alone, for a panic passes by: who looks after what is outstanding
    /// writes the ends. The producer does not go back to its name.
    pub(super) fn give_up_later(&self, open: &mut OpenParts) {
        let OpenParts { producer, mut places, .. } = open.let_go();
        tell_readers(producer, &mut places);
        if places.is_empty() {
            return;
        }
        self.outstanding.lock().ended.push(Ended::found(producer, Ending::Abort, places));
        self.remind_if_there();
    }
}

impl OpenParts {
    /// Leaves nothing written, by a producer that nobody else has: the one that has written goes back to nobody.
    fn let_go(&mut self) -> Self {
        let nothing = Self { producer: ProducerId::fresh(), places: BTreeMap::new(), ..*self };
        std::mem::replace(self, nothing)
    }
}

/// Readers pass over what is written. Where nothing of it came to be written there is nothing to end.
fn tell_readers(producer: ProducerId, places: &mut BTreeMap<Place, Written>) {
    places.retain(|_, written| written.partition.log().decide(producer.id, Ending::Abort));
}
