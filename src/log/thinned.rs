//! Where records were taken out from between others, or from the end: whoever remembers some that were there looks again. Values, and their lock.

use std::collections::VecDeque;
use std::ops::Range;

use crate::locks::{AtomicU64, Mutex, Ordering};
use crate::types::Offset;

/// So many places are known singly; of what was further back it is known that it may be anywhere.
const MOST_PLACES: usize = 32;

/// The places at which a log was rewritten since it was opened.
#[derive(Debug, Default)]
pub(super) struct Thinned {
    /// How many there were; raised when readers meet what stands there now.
    number: AtomicU64,
    /// The last ones, up to the one of that number.
    places: Mutex<VecDeque<Range<Offset>>>,
}

impl Thinned {
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(super) fn note(&self, place: Range<Offset>) {
        let mut places = self.places.lock();
        if places.len() == MOST_PLACES {
            places.pop_front();
        }
        places.push_back(place);
        self.number.fetch_add(1, Ordering::AcqRel);
    }

    /// All that lies between the first and the last of the places since that number; `None` where there is none.
    pub(super) fn since(&self, number: u64) -> Option<Range<Offset>> {
        if self.number() == number {
            return None;
        }
        let places = self.places.lock();
        let since = usize::try_from(self.number().saturating_sub(number)).unwrap_or(usize::MAX);
        if since > places.len() {
            return Some(0..Offset::MAX);
        }
        let hull =
            |one: Range<Offset>, other: Range<Offset>| one.start.min(other.start)..one.end.max(other.end);
        places.iter().rev().take(since).cloned().reduce(hull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_thinned_since_is_known_or_taken_for_all_of_it() {
        let thinned = Thinned::default();
        assert_eq!(thinned.since(0), None);
        thinned.note(5..9);
        thinned.note(1..3);
        assert_eq!((thinned.number(), thinned.since(0), thinned.since(1)), (2, Some(1..9), Some(1..3)));
        assert_eq!(thinned.since(2), None);
        (0..MOST_PLACES).for_each(|_| thinned.note(7..8));
        assert_eq!((thinned.since(2), thinned.since(1)), (Some(7..8), Some(0..Offset::MAX)));
    }
}
