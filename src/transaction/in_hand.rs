//! Decisions whose markers are being written: whose turn it is, and what he has in his hands.

use std::thread::ThreadId;

use crate::locks::{Condvar, Mutex};
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::{Ended, Outstanding};

/// Whose turn it is to write the markers of all.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken_by: Mutex<Option<ThreadId>>,
    free: Condvar,
}

/// A turn. It ends when it is dropped, by a panic too.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn; `None` for a thread that has it already.
    pub(super) fn take(&self) -> Option<Turn<'_>> {
        let this = std::thread::current().id();
        let mut taken_by = self.taken_by.lock();
        while let Some(other) = *taken_by {
            if other == this {
                return None;
            }
            self.free.wait(&mut taken_by);
        }
        *taken_by = Some(this);
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken_by.lock() = None;
        self.0.free.notify_one();
    }
}

/// Decided transactions in the hands of somebody who writes their markers. Compaction keeps their decisions, and what is left of them
/// when it is dropped, by a panic too, is outstanding again, and the store comes back to it.
pub(super) struct InHand<'a> {
    of: &'a Transactions,
    /// Among the lists in hand, if there is a decision in it.
    number: Option<u64>,
    pub(super) ended: Vec<Ended>,
}

impl<'a> InHand<'a> {
    pub(super) fn new(of: &'a Transactions, take: impl FnOnce(&mut Outstanding) -> Vec<Ended>) -> Self {
        let mut outstanding = of.outstanding.lock();
        let ended = take(&mut outstanding);
        let number = ended.iter().filter_map(|one| one.decision).min().map(|oldest| {
            let number = outstanding.in_hand.last_key_value().map_or(0, |(last, _)| last + 1);
            outstanding.in_hand.insert(number, oldest);
            number
        });
        drop(outstanding);
        Self { of, number, ended }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut outstanding = self.of.outstanding.lock();
        if let Some(number) = self.number {
            outstanding.in_hand.remove(&number);
        }
        let is_any_left = !self.ended.is_empty();
        outstanding.ended.append(&mut self.ended);
        drop(outstanding);
        if is_any_left {
            self.of.remind_if_there();
        }
    }
}
