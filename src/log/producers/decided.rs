//! Transactions of a partition that have no end in the log, by where they stand.

use std::collections::BTreeMap;

use crate::log::producers::clearing::TransactionId;
use crate::log::producers::table::ProducerTable;
use crate::types::Offset;

/// By their first offsets: where the last record of each stands, and whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans {
    by_first: BTreeMap<Offset, (Offset, TransactionId)>,
    /// None of them goes further from its first offset to its last: so a look at one offset is a look at few.
    longest: Offset,
}

impl Spans {
    pub(super) fn insert(&mut self, (first, last): (Offset, Offset), id: TransactionId) {
        self.longest = self.longest.max(last - first);
        self.by_first.insert(first, (last, id));
    }

    pub(super) fn remove(&mut self, first: Offset) {
        self.by_first.remove(&first);
        if self.by_first.is_empty() {
            self.longest = 0;
        }
    }

    pub(super) fn contains(&self, first: Offset) -> bool {
        self.by_first.contains_key(&first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }

    /// Where the first one begins that has records at `offset` or behind it.
    pub(super) fn first_reaching(&self, offset: Offset) -> Option<Offset> {
        let mut near = self.by_first.range(offset.saturating_sub(self.longest)..);
        near.find(|(_, (last, _))| *last >= offset).map(|(first, _)| *first)
    }

    /// Whether one has records before `offset` and from there on.
    pub(super) fn is_any_across(&self, offset: Offset) -> bool {
        self.around(offset).any(|(first, _)| first < offset)
    }

    pub(super) fn first(&self) -> Option<Offset> {
        self.by_first.keys().next().copied()
    }

    /// Those that have records there, or before and behind it; by their first offsets.
    pub(super) fn around(&self, offset: Offset) -> impl Iterator<Item = (Offset, TransactionId)> {
        self.touching(offset, offset)
    }

    /// The same of all offsets from one to another.
    pub(super) fn touching(&self, from: Offset, to: Offset) -> impl Iterator<Item = (Offset, TransactionId)> {
        let begun = self.by_first.range(from.saturating_sub(self.longest)..=to.max(from));
        begun.filter(move |(_, (last, _))| *last >= from).map(|(first, (_, id))| (*first, *id))
    }
}

impl ProducerTable {
    /// First offset of the oldest transaction without a marker, of a log that starts at `start`: what is decided and was taken out whole has its
    /// marker to come, and is in nobody's way.
    pub(crate) fn unfinished_from(&self, start: Offset) -> Option<Offset> {
        self.decided.first_reaching(start).into_iter().chain(self.first_undecided(start)).min()
    }

    /// Whether a log that starts at `start` may do so at `offset` though transactions have no marker: those that begin below are decided, and
    /// have nothing from there on.
    pub(crate) fn may_start_at(&self, start: Offset, offset: Offset) -> bool {
        self.first_undecided(start).is_none_or(|first| first >= offset) && !self.decided.is_any_across(offset)
    }

    /// First offset of the oldest transaction whose end is not decided and that has records in a log which starts at `start`: those who read
    /// committed records stop there. One that was taken out whole was decided in an earlier life, and nobody writes it any more: where it
    /// is not known how it ends, nobody is to wait for that.
    pub(crate) fn first_undecided(&self, start: Offset) -> Option<Offset> {
        self.undecided.first_reaching(start)
    }

    /// First offset of the oldest transaction that such a log alone does not show to be committed or aborted: it has no marker, and
    /// was not decided to be committed. Whoever knows nothing but the log takes those below that have none for committed.
    pub(crate) fn uncommitted(&self, start: Offset) -> Option<Offset> {
        self.first_undecided(start).into_iter().chain(self.aborting.first_reaching(start)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_of_those_that_begin_before_it_and_end_behind() {
        let id = |producer_id| TransactionId { producer_id, producer_epoch: 0 };
        let mut decided = Spans::default();
        for (number, at) in [(1, (3, 3)), (2, (5, 9)), (3, (7, 7))] {
            decided.insert(at, id(number));
        }
        let around = |decided: &Spans, offset| -> Vec<_> {
            decided.around(offset).map(|(_, id)| id.producer_id).collect()
        };
        let expected: [&[i64]; 11] = [&[], &[], &[], &[1], &[], &[2], &[2], &[2, 3], &[2], &[2], &[]];
        for (offset, expected) in (0..).zip(expected) {
            assert_eq!(around(&decided, offset), expected, "{offset}");
        }
        let reaching = |offset: Offset| decided.first_reaching(offset);
        assert_eq!([0, 4, 6, 9, 10].map(reaching), [Some(3), Some(5), Some(5), Some(5), None]);
        let across = |offset: &Offset| decided.is_any_across(*offset);
        assert_eq!((0..11).filter(across).collect::<Vec<_>>(), [6, 7, 8, 9]);
        decided.remove(5);
        assert_eq!(around(&decided, 7), [3]);
        decided.remove(3);
        decided.remove(7);
        assert_eq!(decided, Spans::default());
    }
}
