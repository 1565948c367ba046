//! The records of one batch, one after the other.

use super::record::{Cursor, Fault, RawRecord, RecordOrigin};
use super::{BatchHeader, Malformed, TimestampType};

/// Walks a batch's uncompressed record bytes without copying, and checks them against the header: as many records as
/// it counts, no byte more, offsets rising and within its range. Ends after the first error.
///
/// Errors name the position of the record they are in. None is ever `Truncated`: the batch is whole, so bytes that are
/// missing inside it are damage.
#[derive(Debug, Clone)]
pub(crate) struct RecordIter<'a> {
    origin: RecordOrigin,
    records: &'a [u8],
    /// Position in `records` of the next record.
    at: usize,
    /// Records still to come; none once the iteration failed.
    remaining: i32,
    /// The offset delta of the record before, -1 in front of the first.
    previous_delta: i32,
    last_offset_delta: i32,
    failed: bool,
}

impl<'a> RecordIter<'a> {
    /// The records of the batch with this header; `records` are its bytes behind the header, decompressed.
    pub(crate) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self::resume(header, records, 0, header.record_count)
    }

    /// Goes on where an iteration over the same batch said `position` and `remaining`.
    pub(crate) fn resume(header: &BatchHeader, records: &'a [u8], position: usize, remaining: i32) -> Self {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            origin: RecordOrigin {
                base_offset: header.base_offset,
                base_timestamp: header.base_timestamp,
                append_time,
            },
            records,
            at: position,
            remaining,
            previous_delta: -1,
            last_offset_delta: header.last_offset_delta,
            failed: false,
        }
    }

    /// Position of the next record in the record bytes.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many records are still to come.
    pub(crate) fn remaining(&self) -> i32 {
        self.remaining
    }

    /// The next record, or `None` behind the last. Out of line it would have to put the whole record into memory, and
    /// whoever only checks a batch needs none of it.
    #[inline(always)]
    pub(crate) fn next_record(&mut self) -> Option<Result<RawRecord<'a>, Malformed>> {
        if self.remaining <= 0 {
            return self.end();
        }
        let mut cursor = Cursor::new(self.records, self.at);
        match self.advance(&mut cursor) {
            Some(record) => Some(Ok(record)),
            None => Some(Err(self.fail(cursor.fault))),
        }
    }

    /// The record at the cursor, or `None` and why in the cursor.
    #[inline(always)]
    fn advance(&mut self, cursor: &mut Cursor<'a>) -> Option<RawRecord<'a>> {
        let len = usize::try_from(cursor.take_varint()?).ok();
        let end = len.and_then(|len| cursor.at.checked_add(len));
        let bytes = end.and_then(|end| self.records.get(..end));
        cursor.bytes = cursor.or_fault(bytes, Fault::RecordLength)?;
        let decoded = self.origin.decode(cursor)?;
        if decoded.offset_delta <= self.previous_delta || decoded.offset_delta > self.last_offset_delta {
            cursor.fault = Fault::Order;
            return None;
        }
        self.previous_delta = decoded.offset_delta;
        self.at = cursor.at;
        self.remaining -= 1;
        Some(decoded.record)
    }

    #[cold]
    fn end(&mut self) -> Option<Result<RawRecord<'a>, Malformed>> {
        if self.failed || self.at == self.records.len() {
            return None;
        }
        self.failed = true;
        Some(Err(Malformed::invalid(self.at, "bytes left behind the batch's last record")))
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> Malformed {
        self.failed = true;
        let missing = std::mem::take(&mut self.remaining);
        if self.at >= self.records.len() {
            return Malformed::invalid(self.at, format!("{missing} records fewer than the header counts"));
        }
        Malformed::invalid(self.at, fault.why())
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RawRecord<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}
