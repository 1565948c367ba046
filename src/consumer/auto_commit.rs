//! When a consumer commits by itself.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::group::is_for_good;
use crate::io::Deadline;

/// After a failure the next try waits that long at least: a full disk is not asked again at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The plan of automatic commits; nothing for a consumer that has none.
#[derive(Debug)]
pub(super) struct AutoCommit {
    interval: Option<Duration>,
    next: Deadline,
    /// While a poll waits after a failure, or for a transaction.
    retry: Option<Deadline>,
    /// Whether something may have been read, or a position decided, since the last commit.
    has_changed: bool,
    failure: Option<Error>,
}

impl AutoCommit {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        let next = Deadline::after(interval.unwrap_or(Duration::MAX));
        Self { interval, next, retry: None, has_changed: false, failure: None }
    }

    /// There may be something to commit.
    pub(super) fn note_change(&mut self) {
        self.has_changed = true;
    }

    /// Whether something is to be committed, now or later.
    pub(super) fn is_wanted(&self) -> bool {
        self.interval.is_some() && self.has_changed
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_wanted() && self.next.has_passed()
    }

    /// When a poll that waits is to commit.
    pub(super) fn due(&self) -> Option<Deadline> {
        self.is_wanted().then(|| self.retry.map_or(self.next, |retry| retry.max(self.next)))
    }

    /// Nothing is to be committed now that was to be.
    pub(super) fn put_off(&mut self) {
        self.next = Deadline::after(self.interval.unwrap_or(Duration::MAX));
        self.retry = Some(Deadline::after(PAUSE_AFTER_FAILURE));
    }

    /// Takes in the outcome of a commit: where it stands, why something was left out of it.
    pub(super) fn note(&mut self, outcome: Result<Option<Error>>) {
        if let Some(interval) = self.interval {
            self.next = Deadline::after(interval);
        }
        // What stays so as long as the store is open is nothing to try again: all the rest is committed.
        let is_failed = !matches!(&outcome, Ok(why) if why.as_ref().is_none_or(is_for_good));
        self.has_changed = is_failed;
        self.retry = is_failed.then(|| Deadline::after(PAUSE_AFTER_FAILURE));
        self.failure = outcome.unwrap_or_else(Some);
    }

    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::types::TopicPartition;

    #[test]
    fn a_partition_that_is_undecided_or_goes_over_what_is_taken_back_woke_a_poll_again_and_again() {
        let mut plan = AutoCommit::new(Some(Duration::ZERO));
        let partition = TopicPartition::new("orders", 0);
        let undecided = Error::OffsetUndecided { group: "billing".to_owned(), partition: partition.clone() };
        let cause = std::sync::Arc::new(Error::invalid("a failed sync"));
        let poisoned = Error::Poisoned { partition: Some(partition), cause };
        let over = |cause: Error| {
            let (group, partition) = ("billing".to_owned(), TopicPartition::new("orders", 0));
            Error::OffsetNotCommitted { group, partition, cause: std::sync::Arc::new(cause) }
        };
        for left_out in [undecided, poisoned.clone(), over(poisoned.clone())] {
            plan.note_change();
            assert!(plan.is_due(), "something was read since");
            plan.note(Ok(Some(left_out)));
            assert!(plan.due().is_none() && plan.failure().is_some(), "there is nothing to try again");
        }
        // What passes, and what nothing was committed for.
        let full = || Error::invalid("a full disk");
        for failed in [Ok(Some(full())), Ok(Some(over(full()))), Err(poisoned)] {
            plan.note(failed);
            assert!(plan.due().is_some() && plan.failure().is_some());
        }
        plan.note(Ok(None));
        assert!(plan.due().is_none() && plan.failure().is_none());
    }
}
