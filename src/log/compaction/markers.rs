//! Which ends of transactions may go: those of which nothing else is left.
//!
//! A marker without its transaction's records says nothing to a reader. It waits for the delete horizon all the same, so that whoever
//! has read some of them sees how they ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// What a pass over the log has seen so far. It begins at the start of the log and comes to every batch in order. An end that it comes to
/// again counts again, and its transaction may lie before where it went back to: that is a gap.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// Producers with a batch of a transaction whose end was not seen yet, emptied ones among them: without its end that would be
    /// open.
    unfinished: RefCell<BTreeSet<i64>>,
    has_gaps: Cell<bool>,
    /// What it had seen when a look began.
    before_look: RefCell<BTreeSet<i64>>,
}

impl Markers {
    /// Some of the log is not looked at, or is looked at again: of what comes after nobody knows what is left.
    pub(super) fn skip(&self) {
        self.has_gaps.set(true);
    }

    /// What it comes to from here on it may come to once more.
    pub(super) fn begin_look(&self) {
        *self.before_look.borrow_mut() = self.unfinished.borrow().clone();
    }

    /// It does, and goes back to where the look began.
    pub(super) fn end_look(&self) {
        self.unfinished.swap(&self.before_look);
    }

    /// A batch of a transaction.
    pub(super) fn note_batch(&self, producer_id: i64) {
        self.unfinished.borrow_mut().insert(producer_id);
    }

    /// The end of a transaction; true if nothing of it was there when the pass came by.
    pub(super) fn is_alone(&self, producer_id: i64) -> bool {
        !self.unfinished.borrow_mut().remove(&producer_id) && !self.has_gaps.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_a_look_came_to_is_not_alone_behind_what_stands_before_the_look() {
        let markers = Markers::default();
        markers.note_batch(7);
        markers.begin_look();
        markers.note_batch(8);
        assert!(!markers.is_alone(7) && !markers.is_alone(8));
        markers.end_look();
        assert!(!markers.is_alone(7), "its transaction was there");
        assert!(markers.is_alone(7) && markers.is_alone(8), "only the look came to that");
    }
}
