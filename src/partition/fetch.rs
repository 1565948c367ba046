//! Records on their way out: checked, expanded if need be, not copied otherwise.

use std::sync::Arc;

use crate::format::{BatchHeader, RawRecord, RecordIter};
use crate::segment::StoredBatch;
use crate::types::Offset;

/// Some consecutive records of one batch. They were decoded once when the slice was made, so walking them cannot fail.
#[derive(Debug, Clone)]
pub(crate) struct RecordSlice {
    header: BatchHeader,
    bytes: RecordBytes,
    /// Byte position of the first record among the batch's records.
    position: usize,
    /// Records of the batch from that position on.
    remaining: i32,
    /// Records of this slice.
    count: usize,
    /// The offset behind the last record of this slice; behind the whole batch if it is the batch's last slice.
    next_offset: Offset,
}

/// Where the bytes of the records are.
#[derive(Debug, Clone)]
pub(super) enum RecordBytes {
    /// As they were stored.
    Stored(StoredBatch),
    /// Expanded from what was stored.
    Expanded(Arc<Vec<u8>>),
}

impl RecordBytes {
    pub(super) fn get(&self) -> &[u8] {
        match self {
            Self::Stored(batch) => batch.body(),
            Self::Expanded(bytes) => bytes,
        }
    }
}

/// A part of a batch, as the reader cut it.
pub(super) struct Cut {
    pub(super) position: usize,
    pub(super) remaining: i32,
    pub(super) count: usize,
    pub(super) next_offset: Offset,
}

impl RecordSlice {
    pub(super) fn new(header: BatchHeader, bytes: RecordBytes, cut: Cut) -> Self {
        let Cut { position, remaining, count, next_offset } = cut;
        Self { header, bytes, position, remaining, count, next_offset }
    }

    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of its batch as stored; 0 for all but the first slice of a batch.
    pub(crate) fn stored_bytes(&self) -> usize {
        if self.position == 0 { self.header.total_len() } else { 0 }
    }

    /// Where reading goes on behind it.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The records in order.
    pub(crate) fn iter(&self) -> RecordSliceIter<'_> {
        let records = RecordIter::resume(&self.header, self.bytes.get(), self.position, self.remaining);
        RecordSliceIter { records, left: self.count }
    }
}

/// Walks a [`RecordSlice`].
#[derive(Debug, Clone)]
pub(crate) struct RecordSliceIter<'a> {
    records: RecordIter<'a>,
    left: usize,
}

impl<'a> Iterator for RecordSliceIter<'a> {
    type Item = RawRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawRecord<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The same bytes were decoded when the slice was made.
        self.records.next_record()?.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
