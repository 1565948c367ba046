//! Waiting, as part of a future, for what transactions have put into a partition.

use std::task::{Poll, Waker};

use crate::error::{Error, Result};
use crate::log::{DurableWait, RestsOn};
use crate::topic::partition::Partition;
use crate::types::Offset;

/// What those rest on that have put into a partition any of what stands up to an offset.
pub(super) struct Moved {
    partition: Partition,
    last: Offset,
    rests_on: RestsOn,
    outcome: Result<()>,
}

impl Moved {
    pub(super) fn new(partition: Partition, last: Offset) -> Self {
        let (rests_on, outcome) = match partition.log().await_settled(last) {
            Ok(rests_on) => (rests_on, Ok(())),
            Err(error) => (RestsOn::default(), Err(error.in_partition(partition.topic_partition()))),
        };
        Self { partition, last, rests_on, outcome }
    }

    /// Looks what of it is over; each that is not is put down for the next sync.
    pub(super) fn poll(&mut self, waker: &Waker) {
        let polled = poll_all(&mut self.rests_on.waits, waker, true);
        drop(poll_all(&mut self.rests_on.left, waker, true));
        self.outcome = std::mem::replace(&mut self.outcome, Ok(())).and(polled);
    }

    /// Whether there is something left to wait for.
    pub(super) fn waits(&self) -> bool {
        !self.rests_on.waits.is_empty() || !self.rests_on.left.is_empty()
    }

    /// What has become of it. Where all have their ends here it does not matter what else they have seen.
    pub(super) fn outcome(self) -> Result<()> {
        if self.partition.log().finished() > self.last { Ok(()) } else { self.outcome }
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
