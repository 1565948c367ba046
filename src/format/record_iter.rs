//! The records of one batch, one after the other.

use super::record::{Cursor, Fault, RawHeaders, RawRecord, RecordOrigin};
use super::record_span::{FieldSpan, NULL, RecordSpan, index};
use super::short_varint::ShortVarints;
use super::{BatchHeader, Malformed, TimestampType};
use crate::types::Offset;

/// Walks a batch's uncompressed record bytes without copying, and checks them against the header: as many records as
/// it counts, no byte more, offsets rising and within its range. Ends after the first error.
///
/// Errors name the position of the record they are in. None is ever `Truncated`: the batch is whole, so bytes that are
/// missing inside it are damage.
///
/// Two decoders do the same: `quick` takes records as nearly all are and knows no errors, `careful` takes the rest and says
/// what is wrong with them.
#[derive(Debug, Clone)]
pub(crate) struct RecordIter<'a> {
    origin: RecordOrigin,
    records: &'a [u8],
    /// Position in `records` of the next record. Half a word, so that adding to it needs no check.
    at: u32,
    /// Records still to come; none once the iteration failed.
    remaining: i32,
    /// The offset delta of the record before, -1 in front of the first.
    previous_delta: i32,
    last_offset_delta: i32,
    failed: bool,
}

/// A record up to the length of its key.
struct Head {
    timestamp_delta: i64,
    offset_delta: i32,
    /// The length of the key, as it is encoded.
    key_len: u64,
    key_at: usize,
    /// Position behind the record.
    end: usize,
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
            at: u32::try_from(position).unwrap_or(u32::MAX),
            remaining,
            previous_delta: -1,
            last_offset_delta: header.last_offset_delta,
            failed: false,
        }
    }

    /// Position of the next record in the record bytes.
    pub(crate) fn position(&self) -> usize {
        index(self.at)
    }

    /// How many records are still to come.
    pub(crate) fn remaining(&self) -> i32 {
        self.remaining
    }

    /// The next record, or `None` behind the last.
    #[inline]
    pub(crate) fn next_record(&mut self) -> Option<Result<RawRecord<'a>, Malformed>> {
        let (records, base_offset) = (self.records, self.origin.base_offset);
        self.next_span().map(|span| span.map(|span| span.of(records, base_offset)))
    }

    /// The next record's place, or `None` behind the last.
    #[inline(always)]
    fn next_span(&mut self) -> Option<Result<RecordSpan, Malformed>> {
        if self.remaining <= 0 {
            return self.end().map(Err);
        }
        match self.quick() {
            Some(span) => Some(Ok(span)),
            None => Some(self.careful()),
        }
    }

    /// Goes on until `spans` are `most`, or the next record's offset is `until` or above, or none is left. Behind the last
    /// record it checks that no byte follows.
    pub(crate) fn take_spans(
        &mut self,
        most: usize,
        until: Offset,
        spans: &mut Vec<RecordSpan>,
    ) -> Result<(), Malformed> {
        let until = until.saturating_sub(self.origin.base_offset);
        // A copy, so that all of it can stay in registers.
        let mut own = self.clone();
        while spans.len() < most && own.remaining > 0 && i64::from(own.previous_delta) + 1 < until {
            let before = (own.at, own.remaining, own.previous_delta);
            let span = match own.quick() {
                Some(span) => span,
                None => match self.careful_at(&mut own) {
                    Ok(span) => span,
                    Err(malformed) => return Err(malformed),
                },
            };
            if i64::from(span.offset_delta) >= until {
                (own.at, own.remaining, own.previous_delta) = before;
                break;
            }
            spans.push(span);
        }
        *self = own;
        match self.remaining {
            0 => self.end().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// Passes over the records below `offset`. Their fields are not looked at: nobody is given them.
    pub(crate) fn skip_below(&mut self, offset: Offset) -> Result<(), Malformed> {
        let wanted = offset.saturating_sub(self.origin.base_offset);
        let mut own = self.clone();
        while own.remaining > 0 && i64::from(own.previous_delta) + 1 < wanted {
            let before = (own.at, own.remaining, own.previous_delta);
            let delta = match own.quick_head() {
                Some(head) if own.advance(head.offset_delta, head.end).is_some() => head.offset_delta,
                _ => self.careful_at(&mut own)?.offset_delta,
            };
            if i64::from(delta) >= wanted {
                (own.at, own.remaining, own.previous_delta) = before;
                break;
            }
        }
        *self = own;
        Ok(())
    }

    /// The next record, if its varints are short and nothing is wrong with it; otherwise nothing has moved.
    #[inline(always)]
    fn quick(&mut self) -> Option<RecordSpan> {
        let head = self.quick_head()?;
        let (key, key_end) = quick_field(head.key_len, head.key_at)?;
        let mut varints = ShortVarints::at(self.records, key_end)?;
        let value_len = varints.take()?;
        let (value, value_end) = quick_field(value_len, key_end + varints.taken()?)?;
        let headers_at = match *self.records.get(value_end)? {
            0 if value_end + 1 == head.end => 0,
            0 => return None,
            _ => self.quick_headers(value_end, head.end)?,
        };
        self.advance(head.offset_delta, head.end)?;
        let timestamp = self.origin.timestamp(head.timestamp_delta);
        Some(RecordSpan { timestamp, offset_delta: head.offset_delta, key, value, headers_at })
    }

    #[inline(always)]
    fn quick_head(&self) -> Option<Head> {
        let at = index(self.at);
        let mut varints = ShortVarints::at(self.records, at)?;
        let len = varints.take().filter(|len| len & 1 == 0)?;
        let body = at + varints.taken()?;
        let end = body + usize::try_from(len >> 1).ok()?;
        let mut varints = ShortVarints::at(self.records, body)?;
        // The attributes mean nothing.
        varints.skip_byte();
        let (timestamp_delta, offset_delta, key_len) = (varints.take()?, varints.take()?, varints.take()?);
        if offset_delta & 1 != 0 {
            return None;
        }
        let timestamp_delta = (timestamp_delta >> 1).cast_signed() ^ -(timestamp_delta & 1).cast_signed();
        let offset_delta = i32::try_from(offset_delta >> 1).ok()?;
        Some(Head { timestamp_delta, offset_delta, key_len, key_at: body + varints.taken()?, end })
    }

    #[inline(never)]
    fn quick_headers(&self, at: usize, end: usize) -> Option<u32> {
        let mut cursor = Cursor::new(self.records.get(..end)?, at);
        RawHeaders::take(&mut cursor)?;
        if cursor.at == end { u32::try_from(at).ok() } else { None }
    }

    /// Moves behind a record, whose offset must be above the one before and within the batch, and whose end inside it.
    #[inline(always)]
    fn advance(&mut self, offset_delta: i32, end: usize) -> Option<()> {
        if offset_delta <= self.previous_delta || offset_delta > self.last_offset_delta || end > self.records.len() {
            return None;
        }
        self.at = u32::try_from(end).ok()?;
        self.previous_delta = offset_delta;
        self.remaining -= 1;
        Some(())
    }

    /// What `careful` says of the record at which `own` stands, whose error is this iteration's end.
    #[inline(never)]
    fn careful_at(&mut self, own: &mut Self) -> Result<RecordSpan, Malformed> {
        *self = own.clone();
        let span = self.careful()?;
        *own = self.clone();
        Ok(span)
    }

    /// The next record, whatever it is.
    #[inline(never)]
    fn careful(&mut self) -> Result<RecordSpan, Malformed> {
        let mut cursor = Cursor::new(self.records, index(self.at));
        self.decode(&mut cursor).ok_or_else(|| self.fail(cursor.fault))
    }

    /// The record at the cursor, or `None` and why in the cursor.
    fn decode(&mut self, cursor: &mut Cursor<'a>) -> Option<RecordSpan> {
        let len = usize::try_from(cursor.take_varint()?).ok();
        let end = len.and_then(|len| cursor.at.checked_add(len));
        let bytes = end.and_then(|end| self.records.get(..end));
        cursor.bytes = cursor.or_fault(bytes, Fault::RecordLength)?;
        let span = self.origin.decode(cursor)?;
        let advanced = self.advance(span.offset_delta, cursor.at);
        cursor.or_fault(advanced, Fault::Order)?;
        Some(span)
    }

    #[cold]
    fn end(&mut self) -> Option<Malformed> {
        if self.failed || index(self.at) == self.records.len() {
            return None;
        }
        self.failed = true;
        Some(Malformed::invalid(index(self.at), "bytes left behind the batch's last record"))
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> Malformed {
        self.failed = true;
        let missing = std::mem::take(&mut self.remaining);
        let at = index(self.at);
        if at >= self.records.len() {
            return Malformed::invalid(at, format!("{missing} records fewer than the header counts"));
        }
        Malformed::invalid(at, fault.why())
    }
}

/// A key or value whose encoded length was taken from in front of `at`, and the position behind it.
#[inline(always)]
fn quick_field(encoded_len: u64, at: usize) -> Option<(FieldSpan, usize)> {
    if encoded_len == 1 {
        return Some((FieldSpan { at: 0, len: NULL }, at));
    }
    if encoded_len & 1 != 0 {
        return None;
    }
    let len = u32::try_from(encoded_len >> 1).ok()?;
    Some((FieldSpan { at: u32::try_from(at).ok()?, len }, at + index(len)))
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RawRecord<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}
