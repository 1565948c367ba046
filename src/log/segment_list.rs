//! The segments of a partition in order: what a reader holds while it reads.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::segment::Segment;
use crate::types::Offset;

/// An immutable run of segments, oldest first. The last one may still grow.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentList(Vec<Arc<Segment>>);

impl SegmentList {
    pub(super) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self(segments)
    }

    /// The segment that may hold `offset`: the last whose base is not above it.
    pub(super) fn floor(&self, offset: Offset) -> Option<&Arc<Segment>> {
        let after = self.0.partition_point(|segment| segment.base() <= offset);
        self.0.get(after.saturating_sub(1))
    }

    /// The segment behind the one of that base.
    pub(super) fn after(&self, base: Offset) -> Option<&Arc<Segment>> {
        self.0.get(self.0.partition_point(|segment| segment.base() <= base))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.0.iter()
    }

    /// The list with `new` in place of the segments whose bases lie in `gone`.
    pub(super) fn replaced(&self, gone: RangeInclusive<Offset>, new: Option<Arc<Segment>>) -> Self {
        let before = self.0.iter().filter(|segment| segment.base() < *gone.start());
        let behind = self.0.iter().filter(|segment| segment.base() > *gone.end());
        Self(before.chain(&new).chain(behind).map(Arc::clone).collect())
    }

    /// The list with one more segment at its end.
    pub(super) fn with(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}
