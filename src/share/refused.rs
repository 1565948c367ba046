//! Messages whose transaction has taken no effect: whether that delivery counts.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::share::put_back::Unwritten;
use crate::share::queue::{Place, Queue, hash_of};
use crate::share::runs::Lock;
use crate::types::Offset;

/// Of so many messages it is known why they came back last.
const MOST_KNOWN: usize = 1024;

/// Why messages came back last that may come back for the same reason for ever. In memory alone: each life begins without.
#[derive(Debug, Default)]
pub(super) struct Causes(BTreeMap<Offset, u64>);

impl Causes {
    /// Whether it came back for the same one the last time.
    fn is_again(&mut self, (offset, cause): (Offset, u64), is_done: impl Fn(Offset) -> bool) -> bool {
        let is_full =
            |known: &BTreeMap<Offset, u64>| known.len() >= MOST_KNOWN && !known.contains_key(&offset);
        if is_full(&self.0) {
            self.0.retain(|offset, _| !is_done(*offset));
        }
        if is_full(&self.0) {
            self.0.clear();
        }
        self.0.insert(offset, cause) == Some(cause)
    }
}

impl Queue {
    /// Has a message handed out again whose transaction takes no effect, for that cause if there is one. Where that says nothing of the message the
    /// delivery does not count, as if it was put back.
    pub(super) fn take_back(
        &self,
        place: &Place,
        lock: Lock,
        (offset, cause): (Offset, Option<&Error>),
    ) -> Result<()> {
        match cause {
            Some(cause) if self.is_of_others(place, (offset, cause)) => {
                self.put_back_or(place, lock, (&[offset], Unwritten::Stands))
            }
            Some(cause) => {
                let reason = cause.to_string();
                self.release_because(place, lock, ((&[offset], None), Some(&reason)))
            }
            None => self.release(place, lock, (&[offset], None)),
        }
    }

    /// Whether a cause says nothing of the message, and it will not come back for it for ever.
    fn is_of_others(&self, place: &Place, (offset, cause): (Offset, &Error)) -> bool {
        let Some(known) = may_repeat(cause) else { return says_nothing(cause) };
        let inner = &mut *place.slot.enter(&self.queues.suspects);
        let state = &inner.state;
        !inner.causes.is_again((offset, known), |offset| state.is_done(offset))
    }
}

/// What to know a cause by that may be the message's own after all, if it is the same again: a conflict in which nobody has come in between since the
/// last one, and work that outlasts the time of its transaction.
fn may_repeat(cause: &Error) -> Option<u64> {
    match cause {
        Error::TransactionExpired { .. } => Some(0),
        cause if cause.is_conflict() => Some(hash_of(cause.to_string().as_bytes())),
        _ => None,
    }
}

/// Whether a failure is that of the disk, of the store, or of what others do at the same time.
fn says_nothing(cause: &Error) -> bool {
    let is_of_others = matches!(
        cause,
        Error::Io { .. }
            | Error::Poisoned { .. }
            | Error::Fenced { .. }
            | Error::TransactionDisplaced { .. }
            | Error::TransactionAborted { .. }
            | Error::NotAssigned { .. }
            | Error::OffsetUndecided { .. }
            | Error::StoreClosed { .. }
    );
    is_of_others || cause.is_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_causes_are_known_as_may_be() {
        let mut causes = Causes::default();
        let last = Offset::try_from(MOST_KNOWN).unwrap();
        for offset in 0..last {
            assert!(!causes.is_again((offset, 1), |_| false) && causes.is_again((offset, 1), |_| false));
        }
        // Those that are done make room for others.
        assert!(!causes.is_again((last, 1), |offset| offset < 10));
        assert!(causes.is_again((10, 1), |_| false) && !causes.is_again((9, 1), |_| false));
        while causes.0.len() < MOST_KNOWN {
            let next = last + Offset::try_from(causes.0.len()).unwrap();
            causes.is_again((next, 1), |_| false);
        }
        assert!(causes.is_again((10, 1), |_| false));
        assert!(!causes.is_again((Offset::MAX, 1), |_| false) && causes.0.len() == 1);
    }
}
