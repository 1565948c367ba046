//! The way from offsets of the source to those of the target.

use std::collections::BTreeMap;

use annals::Offset;

/// Runs that a partition keeps at most.
const MOST_RUNS: usize = 4096;
/// Runs that a step adds at most.
const MOST_RUNS_A_STEP: usize = 64;

/// A range of the source and where it went. It begins and ends with a record on both sides, except for a coarse one, which may be all that is known
/// of a range.
///
/// ```
/// use annals_mirror::Run;
/// let run = Run { source: 100, source_next: 110, target: 7, target_next: 17, is_coarse: false };
/// assert_eq!(run.target + (105 - run.source), 12); // where 105 is
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The offset of its first record in the source.
    pub source: Offset,
    /// The offset after its last record there.
    pub source_next: Offset,
    /// The offset of its first record in the target.
    pub target: Offset,
    /// The offset after its last record there.
    pub target_next: Offset,
    /// Whether it has gaps, on either side, so that only its ends are known.
    pub is_coarse: bool,
}

impl Run {
    pub(crate) fn of_one(source: Offset, target: Offset) -> Self {
        Self { source, source_next: source + 1, target, target_next: target + 1, is_coarse: false }
    }

    /// Takes `next` in if it goes on where this one ends, on both sides.
    fn takes(&mut self, next: &Self) -> bool {
        let goes_on = self.source_next == next.source && self.target_next == next.target;
        if goes_on && !self.is_coarse && !next.is_coarse {
            *self = Self { is_coarse: false, ..self.and(next) };
            return true;
        }
        false
    }

    fn and(&self, next: &Self) -> Self {
        // Equal lengths would prove nothing: a gap on one side may stand against one elsewhere on the other.
        Self { source_next: next.source_next, target_next: next.target_next, is_coarse: true, ..*self }
    }
}

/// Runs as they come, in order, the least number of them.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    pub(crate) fn push(&mut self, source: Offset, target: Offset) {
        let next = Run::of_one(source, target);
        let is_full = self.0.len() >= MOST_RUNS_A_STEP;
        match self.0.last_mut() {
            Some(last) => {
                if !last.takes(&next) {
                    if is_full {
                        *last = last.and(&next);
                    } else {
                        self.0.push(next);
                    }
                }
            }
            None => self.0.push(next),
        }
    }
}

/// The place of an offset of the source in the target.
///
/// ```
/// use annals_mirror::{OffsetMap, Translated};
/// assert_eq!(OffsetMap::default().translate(5, 0), Translated::NotYet);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translated {
    /// At this offset: what comes next in the source comes next in the target.
    Exactly(Offset),
    /// Not before this offset: some records before it come again.
    Before(Offset),
    /// What comes before it is not mirrored yet.
    NotYet,
}

/// The mapping of one partition's offsets, piecewise linear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetMap {
    /// By the first source offset.
    runs: BTreeMap<Offset, Run>,
}

/// What is to be written after runs were added.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    pub(crate) set: BTreeMap<Offset, Run>,
    pub(crate) removed: Vec<Offset>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

impl OffsetMap {
    /// Returns the offset after the last record that is mirrored.
    pub fn position(&self) -> Option<Offset> {
        self.runs.last_key_value().map(|(_, last)| last.source_next)
    }

    pub(crate) fn last(&self) -> Option<&Run> {
        self.runs.last_key_value().map(|(_, last)| last)
    }

    /// Where its runs begin in the source.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Offset> {
        self.runs.keys().copied()
    }

    /// Returns how many runs it has.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Returns where `offset` of the source is, when all records below `mirrored` are in the target.
    pub fn translate(&self, offset: Offset, mirrored: Offset) -> Translated {
        let Some((_, first)) = self.runs.first_key_value() else { return Translated::NotYet };
        let Some((_, run)) = self.runs.range(..=offset).next_back() else {
            return Translated::Exactly(first.target);
        };
        if offset == run.source {
            return Translated::Exactly(run.target);
        }
        if offset < run.source_next {
            let here = run.target + (offset - run.source);
            return if run.is_coarse { Translated::Before(run.target) } else { Translated::Exactly(here) };
        }
        match self.runs.range(offset..).next() {
            Some((_, next)) => Translated::Exactly(next.target),
            None if offset <= mirrored.max(run.source_next) => Translated::Exactly(run.target_next),
            None => Translated::NotYet,
        }
    }

    /// What `runs` change, which follow on what is there. Nothing is changed yet.
    pub(crate) fn with(&self, runs: &Runs) -> Changes {
        let mut changes = Changes::default();
        let mut last = self.runs.last_key_value().map(|(_, last)| *last);
        for run in &runs.0 {
            let grown = last.and_then(|mut last| last.takes(run).then_some(last));
            let run = grown.unwrap_or(*run);
            changes.set.insert(run.source, run);
            last = Some(run);
        }
        if self.runs.len() + changes.set.len() > MOST_RUNS {
            self.thin(&mut changes);
        }
        changes
    }

    /// Makes one of two, in the older half.
    fn thin(&self, changes: &mut Changes) {
        let older: Vec<_> = self.runs.values().take(MOST_RUNS / 2).collect();
        for pair in older.chunks_exact(2) {
            if let [one, other] = pair {
                changes.set.entry(one.source).or_insert_with(|| one.and(other));
                changes.removed.push(other.source);
            }
        }
    }

    pub(crate) fn apply(&mut self, changes: &Changes) {
        self.runs.extend(changes.set.iter().map(|(source, run)| (*source, *run)));
        for source in &changes.removed {
            self.runs.remove(source);
        }
    }
}

/// What the topic that keeps maps has of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Noted {
    pub(crate) map: OffsetMap,
    /// Of another topic of that name, which is gone.
    pub(crate) others: OffsetMap,
}

impl Noted {
    /// Takes over a record of that topic; one without a value is a run that was removed.
    pub(crate) fn replay(&mut self, source: Offset, value: Option<&[u8]>, topic_id: u128) {
        self.map.runs.remove(&source);
        self.others.runs.remove(&source);
        if let Some((run, id)) = value.and_then(|value| parse_value(source, value)) {
            let map = if id == topic_id { &mut self.map } else { &mut self.others };
            map.runs.insert(source, run);
        }
    }
}

/// The key of a run.
pub(crate) fn key(prefix: &str, topic: &str, partition: u32, source: Offset) -> String {
    format!("{prefix}{topic}/{partition}/{source}")
}

/// The value of a run: the rest of it, and which topic of the store it is of.
pub(crate) fn value(run: &Run, topic_id: u128) -> String {
    let coarse = if run.is_coarse { " coarse" } else { "" };
    format!("{} {} {} {topic_id:032x}{coarse}", run.source_next, run.target, run.target_next)
}

/// Partition and first offset, where the key is of that topic.
pub(crate) fn parse_key(prefix: &str, topic: &str, key: &[u8]) -> Option<(u32, Offset)> {
    let text = std::str::from_utf8(key).ok()?;
    let (partition, source) =
        text.strip_prefix(prefix)?.strip_prefix(topic)?.strip_prefix('/')?.split_once('/')?;
    Some((partition.parse().ok()?, source.parse().ok()?))
}

/// A run, and which topic of the store it is of.
pub(crate) fn parse_value(source: Offset, value: &[u8]) -> Option<(Run, u128)> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let mut number = || words.next()?.parse::<Offset>().ok();
    let (source_next, target, target_next) = (number()?, number()?, number()?);
    let id = u128::from_str_radix(words.next()?, 16).ok()?;
    let is_coarse = words.next() == Some("coarse");
    Some((Run { source, source_next, target, target_next, is_coarse }, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(pairs: &[(Offset, Offset)]) -> OffsetMap {
        let mut map = OffsetMap::default();
        let mut runs = Runs::default();
        pairs.iter().for_each(|(source, target)| runs.push(*source, *target));
        map.apply(&map.with(&runs));
        map
    }

    #[test]
    fn an_offset_goes_to_the_first_record_that_follows_it() {
        // 3 and 6 are gaps in the source, 103 is one in the target.
        let map = map_of(&[(1, 100), (2, 101), (4, 102), (5, 104), (7, 105)]);
        assert_eq!(map.runs(), 4);
        let exact =
            [(0, 100), (1, 100), (2, 101), (3, 102), (4, 102), (5, 104), (6, 105), (7, 105), (8, 106)];
        for (source, target) in exact {
            assert_eq!(map.translate(source, 0), Translated::Exactly(target), "{source}");
        }
        assert_eq!(map.translate(9, 8), Translated::NotYet);
        assert_eq!(map.translate(9, 9), Translated::Exactly(106), "nothing but a mark is between");
    }

    #[test]
    fn runs_go_on_over_steps_and_keep_their_key() {
        let mut map = map_of(&[(10, 0), (11, 1)]);
        let mut runs = Runs::default();
        runs.push(12, 2);
        runs.push(13, 4);
        let changes = map.with(&runs);
        assert_eq!(changes.set.keys().copied().collect::<Vec<_>>(), [10, 13]);
        map.apply(&changes);
        assert_eq!((map.runs(), map.position()), (2, Some(14)));
    }

    /// Steps of random gaps on both sides: never more runs than allowed, never a record skipped, what is stored is what is kept.
    #[test]
    fn many_runs_become_coarse_and_never_skip_a_record() {
        let mut random = 1_u64;
        let mut gap = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::from(random >> 62 == 0)
        };
        let (mut map, mut stored) = (OffsetMap::default(), Noted::default());
        let (mut source, mut target) = (0, 0);
        let mut pairs = Vec::new();
        for _ in 0..400 {
            let mut runs = Runs::default();
            for _ in 0..100 {
                runs.push(source, target);
                pairs.push((source, target));
                source += 1 + gap();
                target += 1 + gap();
            }
            let changes = map.with(&runs);
            map.apply(&changes);
            for (source, run) in &changes.set {
                stored.replay(*source, Some(value(run, 7).as_bytes()), 7);
            }
            changes.removed.iter().for_each(|source| stored.replay(*source, None, 7));
            assert!(map.runs() <= MOST_RUNS);
        }
        assert_eq!(stored, Noted { map: map.clone(), others: OffsetMap::default() });
        let (mut exact, mut at) = (0, 0);
        for offset in 0..=pairs[pairs.len() - 1].0 {
            while pairs[at].0 < offset {
                at += 1;
            }
            match map.translate(offset, 0) {
                // What comes next there is what comes next here.
                Translated::Exactly(found) => {
                    exact += 1;
                    assert!(found <= pairs[at].1, "{offset} skips a record");
                    assert!(at == 0 || found > pairs[at - 1].1, "{offset} repeats a record");
                }
                Translated::Before(found) => assert!(found < pairs[at].1 || offset == pairs[at].0),
                Translated::NotYet => panic!("{offset}"),
            }
        }
        assert!(exact > 5_000, "{exact}");
    }

    #[test]
    fn keys_and_values_are_read_as_written() {
        let run = Run { source: 5, source_next: 9, target: 1, target_next: 5, is_coarse: false };
        let text = key("abc/", "orders", 3, run.source);
        assert_eq!(text, "abc/orders/3/5");
        assert_eq!(parse_key("abc/", "orders", text.as_bytes()), Some((3, 5)));
        assert_eq!(parse_key("abc/", "order", text.as_bytes()), None);
        assert_eq!(parse_key("", "orders", text.as_bytes()), None);
        let text = value(&run, 255);
        assert_eq!(text, "9 1 5 000000000000000000000000000000ff");
        assert_eq!(parse_value(5, text.as_bytes()), Some((run, 255)));
        let coarse = Run { is_coarse: true, ..run };
        assert_eq!(parse_value(5, value(&coarse, 255).as_bytes()), Some((coarse, 255)));
    }

    #[test]
    fn runs_of_another_topic_of_that_name_are_kept_apart() {
        let run = Run::of_one(5, 1);
        let mut noted = Noted::default();
        noted.replay(5, Some(value(&run, 1).as_bytes()), 2);
        assert_eq!((noted.map.position(), noted.others.position()), (None, Some(6)));
        noted.replay(5, Some(value(&run, 2).as_bytes()), 2);
        assert_eq!((noted.map.position(), noted.others.position()), (Some(6), None));
        noted.replay(5, None, 2);
        assert_eq!(noted, Noted::default());
    }
}
