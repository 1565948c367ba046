//! The segments of a partition in order, and where it starts: what a reader holds while it reads.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::segment::Segment;
use crate::types::Offset;

/// An immutable run of segments, oldest first, and the first offset that may be read of them. The last one may still grow.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentList {
    start: Offset,
    segments: Vec<Arc<Segment>>,
}

impl SegmentList {
    pub(super) fn new(start: Offset, segments: Vec<Arc<Segment>>) -> Self {
        debug_assert!(segments.is_sorted_by(|one, next| one.base() < next.base()), "segments in order");
        Self { start, segments }
    }

    /// The first offset that may be read.
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// The segment that may hold `offset`: the last whose base is not above it.
    pub(super) fn floor(&self, offset: Offset) -> Option<&Arc<Segment>> {
        let after = self.segments.partition_point(|segment| segment.base() <= offset);
        self.segments.get(after.saturating_sub(1))
    }

    /// The segment after the one of that base.
    pub(super) fn after(&self, base: Offset) -> Option<&Arc<Segment>> {
        self.segments.get(self.segments.partition_point(|segment| segment.base() <= base))
    }

    /// The segment that may hold `offset`, and those after it.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = &Arc<Segment>> + Clone {
        let after = self.segments.partition_point(|segment| segment.base() <= offset);
        self.segments.get(after.saturating_sub(1)..).unwrap_or_default().iter()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + Clone {
        self.segments.iter()
    }

    /// The list with `new` in place of the segments whose bases lie in `gone`.
    pub(super) fn replaced(&self, gone: RangeInclusive<Offset>, new: Option<Arc<Segment>>) -> Self {
        let before = self.iter().filter(|segment| segment.base() < *gone.start());
        let behind = self.iter().filter(|segment| segment.base() > *gone.end());
        Self::new(self.start, before.chain(&new).chain(behind).map(Arc::clone).collect())
    }

    /// The list with one more segment at its end.
    pub(super) fn with(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.segments.clone();
        segments.push(segment);
        Self::new(self.start, segments)
    }

    /// The list without the segments that `first` comes after, starting at `start`.
    pub(super) fn starting(&self, start: Offset, first: Offset) -> Self {
        let left = self.iter().filter(|segment| segment.base() >= first);
        Self::new(start, left.map(Arc::clone).collect())
    }

    /// Whether `next`, which takes its place, lacks something of it. What was only added to it is in nobody's way.
    pub(super) fn has_lost(&self, next: &Self) -> bool {
        self.missing_in(next).next().is_some() || self.start < next.start
    }

    /// The segments of this list that `next`, which takes its place, does not have.
    pub(super) fn missing_in<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a Arc<Segment>> {
        let stays = |segment: &Arc<Segment>| {
            next.floor(segment.base()).is_some_and(|other| Arc::ptr_eq(other, segment))
        };
        self.iter().filter(move |segment| !stays(segment))
    }

    /// Where `next`, which takes its place, has other segments than this one, or none, and does not start behind them: from the first to behind the last.
    pub(super) fn thinned_in(&self, next: &Self) -> Option<Range<Offset>> {
        let end = |base| self.after(base).map_or(Offset::MAX, |after| after.base());
        let places = self.missing_in(next).map(|segment| segment.base()..end(segment.base()));
        places.filter(|place| place.end > next.start).reduce(|first, last| first.start..last.end)
    }
}
