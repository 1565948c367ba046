//! What goes out together: values only.

use crate::share::runs::Span;
use crate::types::{Offset, Timestamp};

/// What may be handed out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The oldest first, each with how often it was handed out before.
    pub(super) spans: Vec<Span>,
    /// Handed out as often as it may be: to be given up before anything is selected.
    pub(super) exhausted: Option<Span>,
    /// Nothing else is to go with it.
    pub(super) is_closed: bool,
    /// There is more that what is out in the process keeps, until then if nobody says so before.
    pub(super) held_back_until: Option<Timestamp>,
}

/// What a look asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// At most so many.
    pub(super) most: u64,
    /// None from here on.
    pub(super) readable: Offset,
    pub(super) exhausted: Exhausted,
}

/// What becomes of messages that were handed out as often as they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// They are given up before anything is selected that stands behind them.
    GivenUp,
    /// Some could not be just now: they stay, and are in the way of nothing.
    Stay,
}

/// As a limit of deliveries: none. Counts end there.
pub(super) const NO_LIMIT: i16 = i16::MAX;

/// Whether a record was handed out as often as it may be.
pub(super) fn is_exhausted(count: i16, limit: i16) -> bool {
    count >= limit && limit != NO_LIMIT
}

/// Whether what was handed out so often is at its last attempt when it is handed out next.
pub(super) fn is_last(count: i16, limit: i16) -> bool {
    is_exhausted(count.saturating_add(1), limit)
}

/// Whether a record that was out when an earlier life ended, after as many deliveries, is to be tried by itself.
pub(super) fn is_doubtful(count: i16, limit: i16) -> bool {
    limit != NO_LIMIT && count < limit && count.saturating_add(1) >= first_doubtful(limit)
}

/// From this attempt on, a record is tried in ever smaller company.
fn first_doubtful(limit: i16) -> i16 {
    (limit / 2).saturating_add(limit % 2).max(2)
}

impl Selection {
    /// What is wished for of those that are available, the oldest first. A suspect goes out alone.
    pub(super) fn of(
        (suspect, available): (Option<Span>, impl Iterator<Item = Span>),
        (Wish { most, readable, exhausted }, limit): (Wish, i16),
    ) -> Self {
        let mut selection = Selection::default();
        if let Some(span) = suspect.filter(|span| span.first < readable) {
            selection.spans.push(Span { last: span.first, ..span });
            selection.is_closed = true;
            return selection;
        }
        let mut room = most;
        for span in available.map_while(|span| span.below(readable)) {
            if room == 0 {
                break;
            }
            if is_exhausted(span.count, limit) {
                if exhausted == Exhausted::Stay {
                    continue;
                }
                if selection.spans.is_empty() {
                    selection.exhausted = Some(span);
                }
                break;
            }
            let company = company(span.count, limit, most);
            if company < most {
                if selection.spans.is_empty() {
                    room = company;
                    selection.is_closed = true;
                } else {
                    selection.is_closed = true;
                    break;
                }
            }
            let taken = span.len().min(room);
            let last = span.first.saturating_add(Offset::try_from(taken).unwrap_or(Offset::MAX) - 1);
            selection.spans.push(Span { last, ..span });
            room -= taken;
            if selection.is_closed {
                break;
            }
        }
        selection
    }
}

/// With how many others a record goes out that was handed out `count` times, of `most`.
fn company(count: i16, limit: i16, most: u64) -> u64 {
    let (attempt, doubtful) = (count.saturating_add(1), first_doubtful(limit));
    if attempt < doubtful || limit == NO_LIMIT {
        return most;
    }
    if attempt == limit {
        return 1;
    }
    let halvings = u32::from(attempt.abs_diff(doubtful)).saturating_add(1);
    most.checked_shr(halvings).unwrap_or(0).max(1)
}
