//! Why a transaction takes no effect: told to its participants before they are dropped.

use crate::error::{Error, Result};
use crate::io::in_drop;
use crate::topic::Refusal;
use crate::transaction::pieces::Pieces;
use crate::transaction::transaction::{Phase, Transaction};

impl Transaction {
    /// Keeps what a call returns that is an error: what is dropped after it was ended by it.
    pub(crate) fn note_cause<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            self.cause = Some(error.clone());
        }
        outcome
    }

    /// Some of it may be written and some not: none of it takes effect, whatever the program does next.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Over;
        // Whoever was fenced has nothing left to abort.
        drop(self.shared.abort(&self.named, self.owner));
        let why = Refusal { cause: error.clone(), was_written: !self.put.is_empty() };
        (self.pieces, self.put) = (Pieces::default(), Vec::new());
        self.participants.drain(..).for_each(|one| one.refused(&why));
        self.conditions.clear();
        self.failed = Some(error.clone());
        error
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.shared.process.is_current() {
            // A child's copy is not the one that goes on.
            return;
        }
        if let Some(cause) = self.failed.as_ref().or(self.cause.as_ref()) {
            let was_written = !self.put.is_empty() || self.failed.is_some();
            let why = Refusal { cause: cause.clone(), was_written };
            self.participants.iter().for_each(|one| one.refused(&why));
        }
        match self.phase {
            // Whoever was fenced has nothing left to abort.
            Phase::GoesOn => in_drop(|| drop(self.shared.abort(&self.named, self.owner))),
            Phase::Commits => self.shared.abandon(&self.named, self.owner),
            Phase::Over => {}
        }
    }
}
