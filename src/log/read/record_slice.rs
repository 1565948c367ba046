//! Records on their way out: checked, expanded if need be, not copied otherwise.

use std::sync::Arc;

use crate::format::{RawRecord, RecordSpan};
use crate::segment::StoredBatch;
use crate::types::Offset;

/// Some consecutive records of one batch. They were decoded when the slice was made: walking them looks up where their
/// fields lie, and cannot fail.
#[derive(Debug, Clone)]
pub(crate) struct RecordSlice {
    base_offset: Offset,
    bytes: RecordBytes,
    /// Where in `bytes` the records lie.
    spans: Vec<RecordSpan>,
    /// The offset after the last record of this slice; after the whole batch if it is the batch's last slice.
    next_offset: Offset,
    /// Bytes of the batch as stored; 0 for all but the first slice of a batch.
    stored_bytes: usize,
}

/// Where the bytes of the records are.
#[derive(Debug, Clone)]
pub(in crate::log) enum RecordBytes {
    /// As they were stored.
    Stored(StoredBatch),
    /// Expanded from what was stored.
    Expanded(Arc<Vec<u8>>),
}

impl RecordBytes {
    pub(in crate::log) fn get(&self) -> &[u8] {
        match self {
            Self::Stored(batch) => batch.body(),
            Self::Expanded(bytes) => bytes,
        }
    }
}

/// A part of a batch, as the reader cut it.
pub(in crate::log) struct Cut {
    pub(in crate::log) spans: Vec<RecordSpan>,
    pub(in crate::log) next_offset: Offset,
    pub(in crate::log) stored_bytes: usize,
}

impl RecordSlice {
    /// Records of the batch that begins at `base_offset` and whose uncompressed records are `bytes`.
    pub(in crate::log) fn new(base_offset: Offset, bytes: RecordBytes, cut: Cut) -> Self {
        let Cut { spans, next_offset, stored_bytes } = cut;
        Self { base_offset, bytes, spans, next_offset, stored_bytes }
    }

    /// Whether its records lie in these very bytes, of the batch that begins at `base_offset`. One that was written again keeps that
    /// offset, and has others.
    pub(in crate::log) fn is_of(&self, base_offset: Offset, bytes: &RecordBytes) -> bool {
        self.base_offset == base_offset && std::ptr::eq(self.bytes.get(), bytes.get())
    }

    /// One more record of the batch, which comes after those that it has.
    pub(in crate::log) fn push(&mut self, span: RecordSpan, next_offset: Offset) {
        self.spans.push(span);
        self.next_offset = next_offset;
    }

    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes of its batch as stored; 0 for all but the first slice of a batch.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Where reading goes on after it.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The records in order.
    pub(crate) fn iter(&self) -> RecordSliceIter<'_> {
        RecordSliceIter { spans: self.spans.iter(), bytes: self.bytes.get(), base_offset: self.base_offset }
    }
}

/// Walks a [`RecordSlice`].
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordSliceIter<'a> {
    spans: std::slice::Iter<'a, RecordSpan>,
    bytes: &'a [u8],
    base_offset: Offset,
}

impl<'a> Iterator for RecordSliceIter<'a> {
    type Item = RawRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawRecord<'a>> {
        self.spans.next().map(|span| span.of(self.bytes, self.base_offset))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}
