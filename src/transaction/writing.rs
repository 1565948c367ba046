//! A transaction whose records are being written: what becomes of it when a panic comes by.

use std::thread::panicking;

use crate::format::Ending;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::names::OpenParts;

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
    /// Nothing of it takes effect: readers know at once. The log is left alone, for a panic passes by: who looks after what is outstanding
    /// writes the ends. The producer does not go back to its name.
    pub(super) fn give_up_later(&self, open: &mut OpenParts) {
        let (producer, mut places) = (open.producer, std::mem::take(&mut open.places));
        places.retain(|_, written| written.partition.log().decide(producer.id, Ending::Abort));
        if places.is_empty() {
            return;
        }
        self.outstanding.lock().ended.push(Ended::found(producer, Ending::Abort, places));
        if let Some(this) = self.this.upgrade() {
            this.remind();
        }
    }
}
