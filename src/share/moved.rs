//! Which records of a step have moved on: values only.

use std::ops::Range;

use crate::types::Offset;

/// What the text says of ranges is no longer than that: as long as Kafka lets commits of users be.
const MOST_BYTES: usize = 4096;

/// Everything below the first that waits has moved on, and ranges behind it: others had to be passed over.
///
/// It is committed as the offset of the first that waits, with a text for the ranges. Whoever knows the offset alone keeps all that is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moved {
    first: Offset,
    /// In order, none is empty, none touches another, and the first that waits is in front of all of them.
    behind: Vec<Range<Offset>>,
}

impl Moved {
    /// What was committed. Of a text that is not understood nothing is known: what it says would come again.
    pub(super) fn of(first: Offset, text: &str) -> Self {
        Self { first, behind: ranges_of(first, text).unwrap_or_default() }
    }

    /// The first that waits.
    pub(super) fn first(&self) -> Offset {
        self.first
    }

    /// Behind the last that has moved.
    pub(super) fn end(&self) -> Offset {
        self.behind.last().map_or(self.first, |last| last.end)
    }

    pub(super) fn has(&self, offset: Offset) -> bool {
        self.waits_from(offset) != offset
    }

    /// The first from `offset` on that waits.
    pub(super) fn waits_from(&self, offset: Offset) -> Offset {
        let offset = offset.max(self.first);
        let at = self.behind.partition_point(|range| range.end <= offset);
        self.behind.get(at).filter(|range| range.start <= offset).map_or(offset, |range| range.end)
    }

    /// The same, and these have moved on.
    pub(super) fn with(&self, ranges: &[Range<Offset>]) -> Self {
        let mut all = self.behind.clone();
        all.extend(ranges.iter().filter(|range| !range.is_empty()).cloned());
        all.sort_unstable_by_key(|range| range.start);
        let (mut first, mut behind) = (self.first, Vec::<Range<Offset>>::new());
        for range in all {
            if range.start <= first {
                first = first.max(range.end);
                continue;
            }
            match behind.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => behind.push(range),
            }
        }
        Self { first, behind }
    }

    /// The same, and what another one says.
    pub(super) fn and(&self, other: &Self) -> Self {
        let below = 0..other.first;
        self.with(&[std::slice::from_ref(&below), &other.behind].concat())
    }

    /// What it does not say of some ranges, in order where these are: no part of it is empty.
    pub(super) fn lacks(&self, ranges: &[Range<Offset>]) -> Vec<Range<Offset>> {
        let mut lacking = Vec::new();
        for range in ranges {
            let mut at = self.waits_from(range.start);
            while at < range.end {
                let next = self.behind.get(self.behind.partition_point(|moved| moved.start <= at));
                let end = next.map_or(range.end, |next| next.start.min(range.end));
                lacking.push(at..end);
                at = self.waits_from(end);
            }
        }
        lacking
    }

    /// What it says of offsets below `end`.
    pub(super) fn below(&self, end: Offset) -> Self {
        let cut = self.behind.iter().map(|range| range.start..range.end.min(end));
        Self { first: self.first.min(end), behind: cut.filter(|range| !range.is_empty()).collect() }
    }

    /// The text for the ranges, each as what lies between it and the one before, and its length; `None` where it would be too long.
    pub(super) fn text(&self) -> Option<String> {
        let mut from = self.first;
        let mut parts = Vec::new();
        for range in &self.behind {
            parts.push(format!("{}+{}", range.start - from, range.end - range.start));
            from = range.end;
        }
        Some(parts.join(",")).filter(|text| text.len() <= MOST_BYTES)
    }
}

fn ranges_of(first: Offset, text: &str) -> Option<Vec<Range<Offset>>> {
    let (mut from, mut ranges) = (first, Vec::new());
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (gap, length) = part.split_once('+')?;
        let (gap, length) = (gap.parse::<Offset>().ok()?, length.parse::<Offset>().ok()?);
        let start = from.checked_add(gap).filter(|_| gap > 0 && length > 0)?;
        from = start.checked_add(length)?;
        ranges.push(start..from);
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_what_was_never_moved_and_its_text_says_so() {
        let mut moved = Moved::of(10, "");
        for (range, first, end, text) in [
            (15..20, 10, 20, "5+5"),
            (30..31, 10, 31, "5+5,10+1"),
            (20..22, 10, 31, "5+7,8+1"),
            (12..12, 10, 31, "5+7,8+1"),
            (10..11, 11, 31, "4+7,8+1"),
            (21..31, 11, 31, "4+16"),
            (11..15, 31, 31, ""),
            (40..50, 31, 50, "9+10"),
            (5..60, 60, 60, ""),
        ] {
            moved = moved.with(std::slice::from_ref(&range));
            assert_eq!((moved.first(), moved.end()), (first, end), "{range:?}");
            assert_eq!(moved.text().as_deref(), Some(text), "{range:?}");
            assert_eq!(Moved::of(moved.first(), text), moved, "{range:?}");
        }
        let moved = Moved::of(10, "5+5,10+1");
        let waits: Vec<_> = (0..35).filter(|offset| !moved.has(*offset) && *offset >= 10).collect();
        assert_eq!(waits, (10..15).chain(20..30).chain(31..35).collect::<Vec<_>>());
        assert_eq!(
            [3, 10, 15, 19, 20, 30, 40].map(|from| moved.waits_from(from)),
            [10, 10, 20, 20, 20, 31, 40]
        );
    }

    #[test]
    fn what_any_of_several_says_has_moved() {
        let (one, other) = (Moved::of(10, "5+5"), Moved::of(12, "1+2,7+3"));
        for both in [one.and(&other), other.and(&one)] {
            assert_eq!((both.first(), both.text().as_deref()), (12, Some("1+7,2+3")));
        }
        assert_eq!(one.and(&Moved::default()), one);
        assert_eq!(Moved::default().and(&one), one);
    }

    #[test]
    fn what_it_does_not_say_of_ranges_is_all_in_them_that_waits() {
        let moved = Moved::of(10, "5+5,10+1");
        assert_eq!(moved.lacks(&[5..40, 3..3]), [10..15, 20..30, 31..40]);
        assert_eq!(
            moved.lacks(&[0..10, 12..18, 15..20, 19..21, 29..31, 33..34]),
            [12..15, 20..21, 29..30, 33..34]
        );
        assert!(moved.lacks(&[3..3, 12..12, 30..31]).is_empty());
    }

    #[test]
    fn nothing_is_said_of_offsets_from_an_end_on() {
        let moved = Moved::of(10, "5+5,10+1");
        let below = [31, 30, 25, 17, 15, 12, 10, 7].map(|end| moved.below(end));
        let expected = ["5+5,10+1", "5+5", "5+5", "5+2", "", "", "", ""];
        assert_eq!(below.each_ref().map(|one| one.text().unwrap()), expected);
        assert_eq!(below.map(|one| one.first()), [10, 10, 10, 10, 10, 10, 10, 7]);
    }

    #[test]
    fn ranges_are_bounded_and_a_text_of_something_else_is_none() {
        let ranges: Vec<_> = (0..2000).map(|number| number * 2 + 1..number * 2 + 2).collect();
        assert_eq!(Moved::default().with(&ranges).text(), None);
        assert!(Moved::default().with(&ranges[..1000]).text().is_some());
        for text in ["a", "5", "5+", "0+1", "1+0", "-1+5", "1+9223372036854775807,1+1"] {
            assert_eq!(Moved::of(7, text), Moved::of(7, ""), "{text}");
        }
    }
}
