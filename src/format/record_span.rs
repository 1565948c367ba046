//! Where a record's fields lie: what decoding a batch once leaves for whoever walks its records later.

use super::record::{Cursor, RawHeaders, RawRecord};
use crate::types::{Offset, Timestamp};

/// One decoded record, as positions among its batch's uncompressed bytes. Only `RecordIter` makes them, from bytes that it
/// has checked, so that looking the record up in the same bytes cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordSpan {
    pub(super) timestamp: Timestamp,
    pub(super) offset_delta: i32,
    pub(super) key: FieldSpan,
    pub(super) value: FieldSpan,
    /// Position of the header count; 0, where no record has it, when there are no headers.
    pub(super) headers_at: u32,
}

/// A key or a value: positions fit because `RecordIter` refuses batches that are longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldSpan {
    pub(super) at: u32,
    /// `NULL` for null.
    pub(super) len: u32,
}

/// No length: a field is shorter than its batch.
pub(super) const NULL: u32 = u32::MAX;

impl FieldSpan {
    #[inline(always)]
    fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.len == NULL {
            return None;
        }
        let at = index(self.at);
        bytes.get(at..at + index(self.len))
    }
}

impl RecordSpan {
    /// The record; `bytes` and `base_offset` are those of the batch it was decoded from.
    #[inline(always)]
    pub(crate) fn of<'a>(&self, bytes: &'a [u8], base_offset: Offset) -> RawRecord<'a> {
        RawRecord {
            offset: self.offset(base_offset),
            timestamp: self.timestamp,
            key: self.key.of(bytes),
            value: self.value.of(bytes),
            headers: if self.headers_at == 0 { RawHeaders::default() } else { self.headers(bytes) },
        }
    }

    /// The record's offset.
    pub(crate) fn offset(&self, base_offset: Offset) -> Offset {
        base_offset.wrapping_add(i64::from(self.offset_delta))
    }

    #[inline(never)]
    fn headers<'a>(&self, bytes: &'a [u8]) -> RawHeaders<'a> {
        RawHeaders::counted(&mut Cursor::new(bytes, index(self.headers_at)))
    }
}

/// A position as slices are indexed by it.
#[inline(always)]
pub(super) fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
