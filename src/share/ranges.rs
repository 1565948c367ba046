//! Offsets, as few ranges as there can be: values only.

use std::collections::BTreeMap;

use crate::types::Offset;

/// By the first of each its last. None is empty, no two touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<Offset, Offset>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, offset: Offset) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset)
    }

    pub(super) fn insert(&mut self, (mut first, mut last): (Offset, Offset)) {
        if last < first {
            return;
        }
        while let Some((from, to)) = self.0.range(..=last.saturating_add(1)).next_back()
            && to.saturating_add(1) >= first
        {
            let (from, to) = (*from, *to);
            self.0.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.0.insert(first, last);
    }

    pub(super) fn remove(&mut self, (first, last): (Offset, Offset)) {
        while let Some((from, to)) = self.0.range(..=last).next_back()
            && *to >= first
        {
            let (from, to) = (*from, *to);
            self.0.remove(&from);
            if from < first {
                self.0.insert(from, first - 1);
            }
            if to > last {
                self.0.insert(last + 1, to);
            }
        }
    }

    /// The parts of a range that are there, in order.
    pub(super) fn within(&self, (first, last): (Offset, Offset)) -> Vec<(Offset, Offset)> {
        let before = self.0.range(..first).next_back().filter(|(_, to)| **to >= first);
        let inside = (first <= last).then(|| self.0.range(first..=last));
        let all = before.into_iter().chain(inside.into_iter().flatten());
        all.map(|(from, to)| (first.max(*from), last.min(*to))).filter(|(from, to)| from <= to).collect()
    }

    /// The parts of a range that are not there, in order.
    pub(super) fn without(&self, (first, last): (Offset, Offset)) -> Vec<(Offset, Offset)> {
        let (mut next, mut gaps) = (first, Vec::new());
        for (from, to) in self.within((first, last)) {
            gaps.push((next, from - 1));
            next = to.saturating_add(1);
        }
        gaps.push((next, last));
        gaps.retain(|(from, to)| from <= to);
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubles::Random;

    #[test]
    fn ranges_have_what_a_plain_list_has() {
        for seed in 0..200 {
            let (mut random, mut ranges, mut list) = (Random::new(seed), Ranges::default(), [false; 40]);
            for _ in 0..60 {
                let first = usize::try_from(random.below(36)).unwrap();
                let last = first + usize::try_from(random.below(4)).unwrap();
                let range = (Offset::try_from(first).unwrap(), Offset::try_from(last).unwrap());
                let is_in = random.one_in(2);
                if is_in {
                    ranges.insert(range)
                } else {
                    ranges.remove(range)
                }
                list[first..=last].fill(is_in);
                let all = |parts: &[(Offset, Offset)]| -> Vec<Offset> {
                    parts.iter().flat_map(|(from, to)| *from..=*to).collect()
                };
                let of = |is_in: bool| -> Vec<Offset> {
                    (2..=38).filter(|at| list[usize::try_from(*at).unwrap()] == is_in).collect()
                };
                assert_eq!(all(&ranges.within((2, 38))), of(true), "seed {seed}");
                assert_eq!(all(&ranges.without((2, 38))), of(false), "seed {seed}");
                assert!((0..40_i64).all(|at| ranges.has(at) == list[usize::try_from(at).unwrap()]));
                let touch =
                    ranges.0.iter().zip(ranges.0.iter().skip(1)).any(|(one, two)| one.1 + 1 >= *two.0);
                assert!(!touch, "seed {seed}: {ranges:?}");
            }
            ranges.remove((0, Offset::MAX));
            assert!(ranges.is_empty());
        }
    }
}
