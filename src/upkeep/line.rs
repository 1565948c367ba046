//! Chores in the order in which they are due.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::io::Deadline;
use crate::upkeep::Chore;

/// A place in the line: when it is due, and a number that no other place has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    deadline: Deadline,
    number: u64,
}

impl Ticket {
    /// When the chore is due.
    pub(crate) fn deadline(self) -> Deadline {
        self.deadline
    }
}

/// The line. It keeps nobody alive.
#[derive(Debug, Default)]
pub(super) struct Line {
    places: BTreeMap<Ticket, Weak<dyn Chore>>,
    next_number: u64,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn join(&mut self, chore: Weak<dyn Chore>, deadline: Deadline) -> Ticket {
        let ticket = Ticket { deadline, number: self.next_number };
        self.next_number += 1;
        self.places.insert(ticket, chore);
        ticket
    }

    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.places.remove(&ticket);
    }

    /// When the first is due.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.places.first_key_value().map(|(ticket, _)| ticket.deadline)
    }

    /// Takes the first out, due or not.
    pub(super) fn pop(&mut self) -> Option<Arc<dyn Chore>> {
        loop {
            let (_, chore) = self.places.pop_first()?;
            if let Some(chore) = chore.upgrade() {
                return Some(chore);
            }
        }
    }

    /// Takes out what is due.
    pub(super) fn pop_due(&mut self) -> Vec<Arc<dyn Chore>> {
        let mut due = Vec::new();
        while self.deadline().is_some_and(Deadline::has_passed) {
            due.extend(self.places.pop_first().and_then(|(_, chore)| chore.upgrade()));
        }
        due
    }
}
