//! Waiting, as part of a future, for transactions that something rests on.

use std::task::{Poll, Waker};

use crate::error::{Error, Result};
use crate::log::{DurableWait, RestsOn};
use crate::topic::partition::Partition;
use crate::types::Offset;

/// What some transactions rest on.
pub(super) struct Moved {
    rests_on: RestsOn,
    outcome: Result<()>,
}

impl Moved {
    pub(super) fn new(rests_on: Result<RestsOn>) -> Self {
        match rests_on {
            Ok(rests_on) => Self { rests_on, outcome: Ok(()) },
            Err(error) => Self { rests_on: RestsOn::default(), outcome: Err(error) },
        }
    }

    /// Looks what of it is over; each that is not is put down for the next sync.
    pub(super) fn poll(&mut self, waker: &Waker) {
        let polled = poll_all(&mut self.rests_on.own, waker, true);
        drop(poll_all(&mut self.rests_on.seen, waker, true));
        self.outcome = std::mem::replace(&mut self.outcome, Ok(())).and(polled);
    }

    /// Whether there is something left to wait for.
    pub(super) fn waits(&self) -> bool {
        !self.rests_on.own.is_empty() || !self.rests_on.seen.is_empty()
    }

    /// What has become of it.
    pub(super) fn outcome(self) -> Result<()> {
        self.outcome
    }
}

impl Partition {
    /// What those rest on that have put here any of what stands below an offset, and are committed.
    pub(crate) fn await_settled(&self, below: Offset) -> Result<RestsOn> {
        let rests_on = self.log().await_settled(below - 1);
        rests_on.map_err(|error| error.in_partition(self.topic_partition()))
    }
}

/// Takes out those that are over. Returns the first failure of these.
pub(super) fn poll_all(waits: &mut Vec<DurableWait>, waker: &Waker, passes_over_deleted: bool) -> Result<()> {
    let mut first = Ok(());
    waits.retain_mut(|wait| {
        let Poll::Ready(outcome) = wait.poll(waker) else { return true };
        let outcome = match outcome {
            Err(Error::UnknownTopic { was_deleted: true, .. }) if passes_over_deleted => Ok(()),
            outcome => outcome,
        };
        first = std::mem::replace(&mut first, Ok(())).and(outcome);
        false
    });
    first
}
