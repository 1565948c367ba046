//! Transactions of which nothing takes effect: aborted, refused in the middle of a write, or left by a panic.

use std::sync::Arc;
use std::thread::panicking;

use crate::error::Result;
use crate::format::Ending;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::names::{Named, OpenParts};

/// What is written and not decided, in the hands of whoever writes more of it. A panic in the file system or the clock of the program
/// ends it: nobody could give up what is written once the stack is gone, and readers would wait for it.
pub(super) struct Writing<'a> {
    of: &'a Transactions,
    pub(super) open: &'a mut OpenParts,
    /// Its end is among what is written: nobody knows whether it came to be there.
    may_be_whole: bool,
    was_panicking: bool,
}

impl<'a> Writing<'a> {
    pub(super) fn new(of: &'a Transactions, open: &'a mut OpenParts, ends_with: Option<Ending>) -> Self {
        Self { of, open, may_be_whole: ends_with.is_some(), was_panicking: panicking() }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if panicking() && !self.was_panicking && !self.may_be_whole {
            self.of.give_up_later(&mut *self.open);
        }
    }
}

impl Transactions {
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
        let open = if state.check(owner, &named.name).is_ok() { state.open.take() } else { None };
        drop(state);
        if let Some(mut open) = open {
            self.give_up_later(&mut open);
        }
    }

    /// Nothing of it takes effect: readers know at once, the log as soon as it can be written to. Its producer goes back to the name
    /// once the end is in every partition that has something of it.
    pub(super) fn give_up(self: &Arc<Self>, named: &Arc<Named>, mut open: OpenParts) {
        open.tell_readers();
        self.follow(Ended::aborted(named, open));
    }

    /// Nothing of it takes effect: readers know at once. The log is left alone, for a panic passes by: who looks after what is outstanding
    /// writes the ends. The producer does not go back to its name.
    pub(super) fn give_up_later(&self, open: &mut OpenParts) {
        open.tell_readers();
        let (producer, places) = (open.producer, std::mem::take(&mut open.places));
        if places.is_empty() {
            return;
        }
        self.outstanding.lock().ended.push(Ended::found(producer, Ending::Abort, places));
        if let Some(this) = self.this.upgrade() {
            this.remind();
        }
    }
}

impl OpenParts {
    /// Readers pass over what is written. Where nothing of it came to be written there is nothing to end.
    fn tell_readers(&mut self) {
        let producer = self.producer;
        self.places.retain(|_, written| written.partition.log().decide(producer.id, Ending::Abort));
    }
}
