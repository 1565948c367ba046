//! Participants that were asked, and hold their locks until they are told how the transaction has ended.

use std::cell::Cell;

use crate::error::{Error, Result};
use crate::topic::{Contribution, Outcome, Participant, Prepared};

/// All of them are told when this is dropped, by a panic too: then what is known by that time.
pub(super) struct Asked<'a> {
    prepared: Vec<Box<dyn Prepared + 'a>>,
    known: Cell<Outcome>,
}

impl<'a> Asked<'a> {
    /// Asks them in the same order for all, so that no two wait for each other. Those before one that refuses hold nothing any more.
    pub(super) fn ask(participants: &'a [Box<dyn Participant>]) -> Result<Self> {
        let mut participants: Vec<_> = participants.iter().collect();
        participants.sort_by_key(|one| one.topic());
        let mut asked = Self { prepared: Vec::new(), known: Cell::new(Outcome::Aborted) };
        for one in participants {
            asked.prepared.extend(one.prepare()?);
        }
        Ok(asked)
    }

    /// Whether somebody holds locks.
    pub(super) fn is_any(&self) -> bool {
        !self.prepared.is_empty()
    }

    pub(super) fn contributions(&self) -> Vec<&Contribution> {
        self.prepared.iter().map(|one| one.contribution()).collect()
    }

    /// How it ends as far as that is known by now.
    pub(super) fn know(&self, outcome: Outcome) {
        self.known.set(outcome);
    }

    /// How it has ended.
    pub(super) fn know_of<T>(&self, decided: &Result<T>) {
        self.know(match decided {
            Ok(_) => Outcome::Applied,
            Err(Error::Undecided { .. }) => Outcome::Unknown,
            Err(_) => Outcome::Aborted,
        });
    }
}

impl Drop for Asked<'_> {
    /// The last one that was prepared lets go first.
    fn drop(&mut self) {
        while let Some(one) = self.prepared.pop() {
            one.end(self.known.get());
        }
    }
}
