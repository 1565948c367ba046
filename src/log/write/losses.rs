//! What could not be written, for those who have to be told.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::Error;
use crate::types::{Offset, TopicPartition};

/// So many places are remembered from which offsets were given out again.
const REMEMBERED: usize = 64;

/// The failures after which offsets were given out again: what is told of a record by its offset, and by how many there had been when
/// it got that.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u64,
    /// The number of a failure, and from which offset on it gave them out again, oldest first. That is where the log ended, so it
    /// never goes back: of those of one place the first stands for all.
    places: VecDeque<(u64, Offset)>,
    /// Why the last of them were, oldest first.
    causes: VecDeque<Arc<Error>>,
}

impl Failures {
    /// How many there were.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Everything from `from` on that was not written is gone.
    pub(super) fn note(&mut self, from: Offset, error: &Error) {
        self.count += 1;
        self.causes.push_back(Arc::new(error.clone()));
        if self.causes.len() > REMEMBERED {
            self.causes.pop_front();
        }
        if self.places.back().is_none_or(|(_, last)| *last != from) {
            self.places.push_back((self.count, from));
        }
        if self.places.len() > REMEMBERED {
            self.places.pop_front();
        }
    }

    /// Whether the first failure after the first `failures` of them has reached the record of that offset. The later ones give out
    /// what lies behind it, or is another's by then. Of one so long ago that it is forgotten nobody can say that it has not.
    pub(super) fn reached(&self, offset: Offset, failures: u64) -> bool {
        let next = failures + 1;
        let place = self.places.iter().rev().find(|(number, _)| *number <= next);
        place.is_none_or(|(_, from)| *from <= offset)
    }

    /// The loss of these records by the failure of that number, told with why it was.
    pub(super) fn of(
        &self,
        (records, by): (RangeInclusive<Offset>, u64),
        partition: &TopicPartition,
    ) -> Error {
        let unknown = || Arc::new(Error::invalid("the write of a batch failed"));
        let cause = self.cause(by).cloned().unwrap_or_else(unknown);
        Error::Lost { partition: partition.clone(), first: *records.start(), last: *records.end(), cause }
    }

    fn cause(&self, by: u64) -> Option<&Arc<Error>> {
        let since = usize::try_from(self.count.checked_sub(by)?).ok()?;
        self.causes.get(self.causes.len().checked_sub(since + 1)?)
    }
}

/// What one failure has lost of what was accepted in memory. Its offsets alone do not tell it from another: they are given out again.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) error: Error,
    /// The number of the failure.
    pub(super) by: u64,
}

/// Losses of records that were accepted in memory and of which no flush has told: of several the first offset, the last, and why the
/// last one failed.
#[derive(Debug, Default)]
pub(super) struct Losses {
    sum: Option<Error>,
    /// The failure that has lost all of it, where it was one.
    by: Option<u64>,
}

impl Losses {
    pub(super) fn add(&mut self, new: &Loss) {
        let mut sum = new.error.clone();
        if let (Some(Error::Lost { first, last, .. }), Error::Lost { first: least, last: most, .. }) =
            (&self.sum, &mut sum)
        {
            (*least, *most) = ((*first).min(*least), (*last).max(*most));
        }
        self.by = self.sum.is_none().then_some(new.by);
        self.sum = Some(sum);
    }

    /// Whose records these are, which that failure has lost, was told: where nothing else was lost, nobody else has to be.
    pub(super) fn forget(&mut self, records: &RangeInclusive<Offset>, by: u64) {
        let is_all = |lost: &mut Error| matches!(lost, Error::Lost { first, last, .. } if (*first..=*last) == *records);
        if self.by == Some(by) {
            drop(self.sum.take_if(is_all));
        }
    }

    pub(super) fn take(&mut self) -> Option<Error> {
        self.sum.take()
    }

    pub(super) fn is_any(&self) -> bool {
        self.sum.is_some()
    }
}

/// Whether a write has failed, and not only come too late: what was deleted, closed or poisoned by then refuses all that is queued.
pub(super) const fn was_tried(error: &Error) -> bool {
    !matches!(
        error,
        Error::UnknownTopic { .. }
            | Error::StoreClosed { .. }
            | Error::Poisoned { .. }
            | Error::Forked { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_with_the_failure_that_it_was_lost_by() {
        let mut failures = Failures::default();
        for number in 0..200 {
            failures.note(5, &Error::invalid(format!("failure {}", number + 1)));
        }
        let cause = |by| match failures.of((5..=5, by), &("orders", 0).into()) {
            Error::Lost { cause, .. } => cause.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(cause(200).ends_with("failure 200") && cause(137).ends_with("failure 137"));
        assert!(
            cause(136).ends_with("a batch failed") && cause(201).ends_with("a batch failed"),
            "not known"
        );
    }

    #[test]
    fn a_failure_reaches_what_was_given_out_before_it_and_not_written() {
        let (mut failures, disk) = (Failures::default(), Error::invalid("disk"));
        failures.note(5, &disk);
        failures.note(5, &disk);
        failures.note(9, &disk);
        let reached = |before, offsets: [Offset; 4]| offsets.map(|offset| failures.reached(offset, before));
        assert_eq!(reached(0, [4, 5, 8, 9]), [false, true, true, true]);
        assert_eq!(reached(1, [4, 5, 8, 9]), [false, true, true, true]);
        assert_eq!(reached(2, [4, 5, 8, 9]), [false, false, false, true]);
        for from in 10..200 {
            failures.note(from, &disk);
        }
        assert_eq!(failures.places.len(), REMEMBERED);
        assert!(failures.reached(4, 0), "nobody knows any more");
        assert!(!failures.reached(198, failures.count() - 1) && failures.reached(199, failures.count() - 1));
    }
}
