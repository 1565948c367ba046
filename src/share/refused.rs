//! Messages whose transaction has taken no effect: whether that delivery counts.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::DeliveryState;
use crate::io::{in_drop, in_drop_each};
use crate::share::answers::{ComingBack, lock_lost};
use crate::share::queue::{Place, Queue, hash_of, until};
use crate::share::runs::{Lock, Span};
use crate::share::slot::{SlotInner, push};
use crate::topic::Refusal;
use crate::types::{Offset, Timestamp};
use crate::upkeep::Otherwise;

/// Of so many messages it is known why they came back last.
const MOST_KNOWN: usize = 16_384;
/// So often in a row a message comes back uncounted for what may be its own doing after all.
const MOST_UNCOUNTED: u32 = 8;

/// Why messages came back last that may come back for the same reason for ever. In memory alone: each life begins without.
#[derive(Debug, Default)]
pub(super) struct Causes(BTreeMap<Offset, Known>);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The last of those causes that repeat themselves where nobody else is behind them.
    last: Option<u64>,
    /// How often it came back uncounted since another was behind it for sure.
    uncounted: u32,
}

impl Causes {
    /// Whether the delivery counts of a message that comes back for that reason.
    fn count(&mut self, (offset, why): (Offset, &Refusal), is_done: impl Fn(Offset) -> bool) -> bool {
        if !says_nothing(&why.cause) {
            return true;
        }
        self.make_room(offset, is_done);
        let known = self.0.entry(offset).or_default();
        let repeats = may_repeat(&why.cause);
        if repeats.is_some() && std::mem::replace(&mut known.last, repeats) == repeats {
            return true;
        }
        if why.cause.is_conflict() && !why.was_written {
            known.uncounted = 0;
            return false;
        }
        known.uncounted = known.uncounted.saturating_add(1);
        known.uncounted > MOST_UNCOUNTED
    }

    fn make_room(&mut self, offset: Offset, is_done: impl Fn(Offset) -> bool) {
        if self.0.len() < MOST_KNOWN || self.0.contains_key(&offset) {
            return;
        }
        self.0.retain(|offset, _| !is_done(*offset));
        // Not to be looked through for each message from here on.
        if self.0.len() > MOST_KNOWN / 2 {
            self.0.clear();
        }
    }
}

impl Queue {
    /// Has messages of one partition handed out again whose transaction takes no effect, for that reason if there is one. Where that says nothing of a message
    /// the delivery does not count: it comes back as after a release, with the lesser count. One append and one wake for all of them.
    pub(super) fn take_back(
        &self,
        place: &Place,
        messages: &[(Lock, Offset)],
        why: Option<&Refusal>,
    ) -> Result<()> {
        // Also where a panic comes by in the middle: some are handed out again by then.
        let _told = Otherwise::new(|| in_drop(|| self.tell_of_released()));
        let (mut inner, now) = self.enter(place)?;
        let coming_back = ComingBack::new(self, &mut inner);
        let inner = &mut *coming_back.inner;
        let (mut counted, mut uncounted, mut lost) = (Vec::new(), Vec::new(), None);
        for (lock, offset) in messages {
            let Some(Span { count, .. }) = inner.state.held(*offset, lock.id, now) else {
                lost = lost.or(Some(*offset));
                continue;
            };
            let state = &inner.state;
            let is_done = |offset| state.is_done(offset);
            if why.is_none_or(|why| inner.causes.count((*offset, why), is_done)) {
                counted.push((*lock, *offset));
            } else {
                uncounted.push((*offset, count));
            }
        }
        let lost = lost.map_or(Ok(()), |offset| Err(lock_lost(place, inner, offset)));
        let reason = why.map(|why| why.cause.to_string());
        // The uncounted ones first, and the others though that panics.
        let mut uncounted = Some(uncounted);
        in_drop_each(std::iter::once(None).chain(counted.into_iter().map(Some)), |one| match one {
            None => self.come_back(place, inner, (uncounted.take().unwrap_or_default(), now)),
            Some((lock, offset)) => {
                let released = ((offset, None), reason.as_deref());
                drop(self.release_one(place, inner, released, (lock, now)));
            }
        });
        lost
    }

    /// Has messages handed out again uncounted, at these offsets and handed out so often. Where the lesser count cannot be written, as on a full disk, it stands in
    /// memory: the next handing out writes what is right, and a life that ends before has counted this one.
    fn come_back(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (mut messages, now): (Vec<(Offset, i16)>, Timestamp),
    ) {
        messages.sort_unstable();
        let before = |count: i16| count.saturating_sub(1).max(0);
        let mut batches = Vec::new();
        for (offset, count) in &messages {
            push(&mut batches, (*offset, *offset), (DeliveryState::Available, before(*count)));
        }
        if self.settings.counts_written {
            drop(self.queues.states.write(&place.slot, inner, (&batches, now)));
        }
        for (offset, count) in messages {
            inner.counters.released += 1;
            let delay = self.retry_delay(offset, count);
            let due = (!delay.is_zero()).then(|| until(now, delay));
            // Its worker is there still: if it was doubted it is no more.
            inner.state.release_with(offset, offset, (before(count), due));
        }
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

/// Whether a failure is that of the disk, of the store, or of what others do at the same time, as far as can be told from it.
fn says_nothing(cause: &Error) -> bool {
    let is_of_others = matches!(
        cause,
        Error::Io { .. }
            | Error::Poisoned { .. }
            | Error::Fenced { .. }
            | Error::TransactionExpired { .. }
            | Error::TransactionDisplaced { .. }
            | Error::TransactionAborted { .. }
            | Error::NotAssigned { .. }
            | Error::OffsetUndecided { .. }
            | Error::StoreClosed { .. }
    );
    is_of_others || cause.is_conflict() || cause.is_retriable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicPartition;

    fn conflict(found: Offset) -> Error {
        let partition = TopicPartition::new("results", 0);
        Error::UnexpectedEnd { partition, expected: 0, found }
    }

    fn count(causes: &mut Causes, offset: Offset, (cause, was_written): (Error, bool)) -> bool {
        causes.count((offset, &Refusal { cause, was_written }), |offset| offset < MOST_DONE)
    }

    const MOST_DONE: Offset = 10_000;

    #[test]
    fn as_many_causes_are_known_as_may_be() {
        let mut causes = Causes::default();
        let last = Offset::try_from(MOST_KNOWN).unwrap();
        for offset in 0..last {
            assert!(!count(&mut causes, offset, (conflict(1), false)));
        }
        // Those that are done make room for others.
        assert!(!count(&mut causes, last, (conflict(1), false)));
        assert!(count(&mut causes, last - 1, (conflict(1), false)), "one that is held is known still");
        assert!(!count(&mut causes, MOST_DONE - 1, (conflict(1), false)));
        for offset in last.. {
            if causes.0.len() == MOST_KNOWN {
                break;
            }
            count(&mut causes, offset, (conflict(1), false));
        }
        assert!(!count(&mut causes, Offset::MAX, (conflict(1), false)) && causes.0.len() == 1);
    }

    #[test]
    fn only_a_conflict_of_what_was_never_written_comes_back_uncounted_without_a_bound() {
        let mut causes = Causes::default();
        let counted = |causes: &mut Causes, was_written| {
            (0..20).filter(|found| count(causes, 1, (conflict(*found), was_written))).count()
        };
        let most = usize::try_from(MOST_UNCOUNTED).unwrap();
        assert_eq!((counted(&mut causes, false), counted(&mut causes, true)), (0, 20 - most));
        // Others are behind it again.
        assert!(!count(&mut causes, 1, (conflict(99), false)));
        let fenced = || Error::Fenced { name: "t".to_owned() };
        let of_fenced = (0..20).filter(|_| count(&mut causes, 1, (fenced(), false))).count();
        assert_eq!(of_fenced, 20 - most);
        assert!(!count(&mut causes, 2, (fenced(), true)), "of each message by itself");
        assert!(count(&mut causes, 2, (Error::invalid("its own"), false)));
    }
}
