//! Which offsets are out, until when, and for the last time or not: values only. Whatever is asked costs what is found, not what is out.

use std::collections::BTreeMap;

use crate::types::{Offset, Timestamp};

/// How offsets are out: until their lock ends, and whether it is their last attempt.
pub(super) type Until = (Timestamp, bool);

/// Offsets that are out, as few runs as there can be of those that are out alike.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    /// By the first of each its last, and how they are out. None is empty, none lies over another.
    runs: BTreeMap<Offset, (Offset, Until)>,
    /// How many of these there are of each kind; none of none.
    kinds: BTreeMap<Until, usize>,
    /// How many are out for the last time.
    lasts: usize,
    /// Runs that were looked at.
    #[cfg(test)]
    looked_at: std::cell::Cell<usize>,
}

impl Watched {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The end of the last lock.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        self.kinds.last_key_value().map(|((until, _), _)| *until)
    }

    /// Whether any are out for the last time.
    pub(super) fn has_last(&self) -> bool {
        self.lasts > 0
    }

    /// How an offset is out.
    pub(super) fn at(&self, offset: Offset) -> Option<Until> {
        let (_, (last, until)) = self.runs.range(..=offset).next_back()?;
        self.look();
        (*last >= offset).then_some(*until)
    }

    /// The parts of a range that are out, in order.
    pub(super) fn within(&self, (first, last): (Offset, Offset)) -> Vec<(Offset, Offset)> {
        let before = self.runs.range(..first).next_back().filter(|(_, (to, _))| *to >= first);
        let inside = (first <= last).then(|| self.runs.range(first..=last));
        let all = before.into_iter().chain(inside.into_iter().flatten()).inspect(|_| self.look());
        let parts = all.map(|(from, (to, _))| (first.max(*from), last.min(*to)));
        parts.filter(|(from, to)| from <= to).collect()
    }

    /// They are out so, however they were before.
    pub(super) fn insert(&mut self, (mut first, mut last): (Offset, Offset), until: Until) {
        if last < first {
            return;
        }
        self.remove((first, last));
        if let Some((from, (to, so))) = self.runs.range(..first).next_back().map(|(from, run)| (*from, *run))
            && (to.checked_add(1), so) == (Some(first), until)
        {
            self.take(from);
            first = from;
        }
        if let Some((to, so)) = last.checked_add(1).and_then(|next| self.runs.get(&next).copied())
            && so == until
        {
            self.take(last.saturating_add(1));
            last = to;
        }
        self.put(first, (last, until));
    }

    pub(super) fn remove(&mut self, (first, last): (Offset, Offset)) {
        while let Some((from, (to, until))) =
            self.runs.range(..=last).next_back().map(|(from, run)| (*from, *run))
            && to >= first
        {
            self.take(from);
            if from < first {
                self.put(from, (first - 1, until));
            }
            if to > last {
                self.put(last + 1, (to, until));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.kinds.clear();
        self.lasts = 0;
    }

    fn put(&mut self, first: Offset, (last, until): (Offset, Until)) {
        self.look();
        self.runs.insert(first, (last, until));
        *self.kinds.entry(until).or_default() += 1;
        self.lasts += usize::from(until.1);
    }

    fn take(&mut self, first: Offset) {
        self.look();
        let Some((_, until)) = self.runs.remove(&first) else { return };
        if let Some(count) = self.kinds.get_mut(&until) {
            *count -= 1;
            if *count == 0 {
                self.kinds.remove(&until);
            }
        }
        self.lasts -= usize::from(until.1);
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests count")]
    fn look(&self) {}

    #[cfg(test)]
    fn look(&self) {
        self.looked_at.set(self.looked_at.get() + 1);
    }

    /// How many runs were looked at.
    #[cfg(test)]
    pub(super) fn looked_at(&self) -> usize {
        self.looked_at.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::Random;

    #[test]
    fn what_is_out_is_what_a_plain_list_has() {
        for seed in 0..200 {
            let (mut random, mut watched, mut list) = (Random::new(seed), Watched::default(), [None; 40]);
            for _ in 0..60 {
                let first = usize::try_from(random.below(36)).unwrap();
                let last = first + usize::try_from(random.below(4)).unwrap();
                let range = (Offset::try_from(first).unwrap(), Offset::try_from(last).unwrap());
                let until = (Timestamp::try_from(random.below(3)).unwrap(), random.one_in(2));
                let until = random.one_in(2).then_some(until);
                match until {
                    Some(until) => watched.insert(range, until),
                    None => watched.remove(range),
                }
                list[first..=last].fill(until);
                let found: Vec<_> = (0..40).map(|offset| watched.at(offset)).collect();
                assert_eq!(found, list, "seed {seed}");
                let parts = watched.within(range);
                let within: Offset = parts.iter().map(|(from, to)| to - from + 1).sum();
                let there = list[first..=last].iter().flatten().count();
                assert_eq!(within, Offset::try_from(there).unwrap(), "seed {seed}");
                let out = || list.iter().flatten();
                assert_eq!(watched.last_end(), out().map(|(until, _)| *until).max(), "seed {seed}");
                assert_eq!(watched.has_last(), out().any(|(_, is_last)| *is_last), "seed {seed}");
                assert_eq!(watched.is_empty(), out().next().is_none());
                let runs = 1 + list.windows(2).filter(|pair| pair[0] != pair[1]).count();
                assert!(watched.runs.len() <= runs, "seed {seed}");
                assert_eq!(watched.kinds.values().sum::<usize>(), watched.runs.len());
            }
        }
    }
}
