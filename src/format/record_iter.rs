//! The records of one batch, one after the other.

use super::record::{Cursor, Fault, RawHeaders, RawRecord, RecordOrigin};
use super::record_span::{FieldSpan, NULL, RecordSpan, index};
use super::short_varint::ShortVarints;
use super::{BatchHeader, Malformed};
use crate::types::Offset;

/// Walks a batch's uncompressed record bytes without copying, and checks them against the header: as many records as
/// it counts, no byte more, offsets rising and within its range. Ends after the first error.
///
/// Errors name the position of the record they are in. None is ever `Truncated`: the batch is whole, so bytes that are
/// missing inside it are damage.
///
/// Two decoders do the same: `Batch::quick` takes records as nearly all are and knows no errors, `careful` takes the rest
/// and says what is wrong with them.
#[derive(Debug, Clone)]
pub(crate) struct RecordIter<'a> {
    batch: Batch<'a>,
    place: Place,
    failed: bool,
}

/// What stays the same from record to record.
#[derive(Debug, Clone, Copy)]
struct Batch<'a> {
    origin: RecordOrigin,
    records: &'a [u8],
    last_offset_delta: i32,
}

/// Between two records of one batch. Handed on by value, so that it stays in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Position of the next record. Half a word, so that adding to it needs no check.
    at: u32,
    /// Records still to come; none once the iteration failed.
    remaining: i32,
    /// The offset delta of the record before, -1 in front of the first.
    previous_delta: i32,
}

/// A record up to the length of its key.
struct Head {
    timestamp_delta: i64,
    offset_delta: i32,
    /// What follows, from the length of the key on.
    varints: ShortVarints,
    /// Position of what `varints` were made from.
    body: usize,
    /// Position after the record.
    end: usize,
}

/// A record and the position after it.
struct Taken {
    span: RecordSpan,
    end: u32,
}

impl Place {
    /// The first offset that the next record may have, counted from the base of the batch.
    pub(crate) fn next_delta(self) -> i64 {
        i64::from(self.previous_delta) + 1
    }

    /// The place after a record that was taken here.
    #[inline(always)]
    fn after(self, taken: &Taken) -> Self {
        Self { at: taken.end, remaining: self.remaining - 1, previous_delta: taken.span.offset_delta }
    }
}

impl<'a> RecordIter<'a> {
    /// Bytes of the shortest record there can be: seven varints of one byte, the attributes among them.
    pub(crate) const SHORTEST: usize = 7;

    /// The records of the batch with this header; `records` are its bytes after the header, decompressed.
    pub(crate) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self::resume(header, records, 0, header.record_count)
    }

    /// Goes on where an iteration over the same batch said `position` and `remaining`.
    pub(crate) fn resume(header: &BatchHeader, records: &'a [u8], position: usize, remaining: i32) -> Self {
        let at = u32::try_from(position).unwrap_or(u32::MAX);
        Self {
            batch: Batch {
                origin: RecordOrigin::new(header),
                records,
                last_offset_delta: header.last_offset_delta,
            },
            place: Place { at, remaining, previous_delta: -1 },
            failed: false,
        }
    }

    /// Goes on at a place that an iteration over the same batch has come to.
    pub(crate) fn at(header: &BatchHeader, records: &'a [u8], place: Place) -> Self {
        Self { place, ..Self::new(header, records) }
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Position of the next record in the record bytes.
    pub(crate) fn position(&self) -> usize {
        index(self.place.at)
    }

    /// How many records are still to come.
    pub(crate) fn remaining(&self) -> i32 {
        self.place.remaining
    }

    /// The next record, or `None` after the last.
    #[inline]
    pub(crate) fn next_record(&mut self) -> Option<Result<RawRecord<'a>, Malformed>> {
        if self.place.remaining <= 0 {
            return self.end().map(Err);
        }
        let batch = self.batch;
        let span = match batch.quick(self.place) {
            Some(taken) => {
                self.place = self.place.after(&taken);
                Ok(taken.span)
            }
            None => self.careful(),
        };
        Some(span.map(|span| span.of(batch.records, batch.origin.base_offset)))
    }

    /// The next records: `most` of them, or those below `until`, or all that are left. Behind the last record of the batch
    /// it checks that no byte follows.
    pub(crate) fn take_spans(&mut self, most: usize, until: Offset) -> Result<Vec<RecordSpan>, Malformed> {
        let batch = self.batch;
        let until = until.saturating_sub(batch.origin.base_offset);
        let left = usize::try_from(self.place.remaining).unwrap_or_default();
        let most = most.min(left);
        let fit = batch.records.len().saturating_sub(index(self.place.at)) / RecordIter::SHORTEST;
        // What the header counts is not believed.
        let mut spans = Vec::with_capacity(most.min(fit).min(usize::try_from(until).unwrap_or_default()));
        // One word less to keep from record to record: how many are left is what the records taken leave.
        let left_behind = |taken: usize| i32::try_from(left.saturating_sub(taken)).unwrap_or(i32::MAX);
        let mut place = self.place;
        while spans.len() < most && i64::from(place.previous_delta) + 1 < until {
            let taken = match batch.quick(place) {
                Some(taken) => taken,
                None => self.careful_at(Place { remaining: left_behind(spans.len()), ..place })?,
            };
            if i64::from(taken.span.offset_delta) >= until {
                break;
            }
            spans.push(taken.span);
            place = Place { at: taken.end, previous_delta: taken.span.offset_delta, ..place };
        }
        self.place = Place { remaining: left_behind(spans.len()), ..place };
        match self.place.remaining {
            0 => self.end().map_or(Ok(spans), Err),
            _ => Ok(spans),
        }
    }

    /// The record of `offset`, which is the next one or comes after it; `None` where there is none. Behind the last record of the
    /// batch it checks that no byte follows.
    pub(crate) fn take_span_of(&mut self, offset: Offset) -> Result<Option<RecordSpan>, Malformed> {
        self.skip_below(offset)?;
        if self.place.remaining <= 0 {
            return self.end().map_or(Ok(None), Err);
        }
        let span = match self.batch.quick(self.place) {
            Some(taken) => {
                self.place = self.place.after(&taken);
                taken.span
            }
            None => self.careful()?,
        };
        let malformed = if self.place.remaining == 0 { self.end() } else { None };
        let is_it = span.offset(self.batch.origin.base_offset) == offset;
        malformed.map_or(Ok(Some(span).filter(|_| is_it)), Err)
    }

    /// Passes over the records below `offset`. Their fields are not looked at: nobody is given them.
    pub(crate) fn skip_below(&mut self, offset: Offset) -> Result<(), Malformed> {
        let batch = self.batch;
        let wanted = offset.saturating_sub(batch.origin.base_offset);
        let mut place = self.place;
        while place.remaining > 0 && i64::from(place.previous_delta) + 1 < wanted {
            let quick = batch.quick_head(place).and_then(|head| {
                let at = batch.end_in_order(place, head.offset_delta, head.end)?;
                Some(Place { at, remaining: place.remaining - 1, previous_delta: head.offset_delta })
            });
            let behind = match quick {
                Some(behind) => behind,
                None => place.after(&self.careful_at(place)?),
            };
            if i64::from(behind.previous_delta) >= wanted {
                break;
            }
            place = behind;
        }
        self.place = place;
        Ok(())
    }

    /// The record at `place`, whatever it is.
    #[inline(never)]
    fn careful_at(&mut self, place: Place) -> Result<Taken, Malformed> {
        self.place = place;
        let span = self.careful()?;
        Ok(Taken { span, end: self.place.at })
    }

    #[inline(never)]
    fn careful(&mut self) -> Result<RecordSpan, Malformed> {
        let mut cursor = Cursor::new(self.batch.records, index(self.place.at));
        match self.batch.decode(self.place, &mut cursor) {
            Some(taken) => {
                self.place = self.place.after(&taken);
                Ok(taken.span)
            }
            None => Err(self.fail(cursor.fault)),
        }
    }

    #[cold]
    fn end(&mut self) -> Option<Malformed> {
        if self.failed || index(self.place.at) == self.batch.records.len() {
            return None;
        }
        self.failed = true;
        Some(Malformed::invalid(index(self.place.at), "bytes left behind the batch's last record"))
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> Malformed {
        self.failed = true;
        let missing = std::mem::take(&mut self.place.remaining);
        let at = index(self.place.at);
        if at >= self.batch.records.len() {
            return Malformed::invalid(at, format!("{missing} records fewer than the header counts"));
        }
        Malformed::invalid(at, fault.why())
    }
}

impl<'a> Batch<'a> {
    /// The record at `place`, if its varints are short and nothing is wrong with it.
    #[inline(always)]
    fn quick(&self, place: Place) -> Option<Taken> {
        let head = self.quick_head(place)?;
        let mut varints = head.varints;
        let key_len = varints.take()?;
        let (key, key_end) = quick_field(key_len, head.body + varints.taken()?)?;
        let mut varints = ShortVarints::at(self.records, key_end)?;
        let value_len = varints.take()?;
        let (value, value_end) = quick_field(value_len, key_end + varints.taken()?)?;
        let headers_at = match *self.records.get(value_end)? {
            0 if value_end + 1 == head.end => 0,
            0 => return None,
            _ => self.quick_headers(value_end, head.end)?,
        };
        let timestamp = self.origin.timestamp(head.timestamp_delta);
        Some(Taken {
            span: RecordSpan { timestamp, offset_delta: head.offset_delta, key, value, headers_at },
            end: self.end_in_order(place, head.offset_delta, head.end)?,
        })
    }

    #[inline(always)]
    fn quick_head(&self, place: Place) -> Option<Head> {
        let at = index(place.at);
        let mut varints = ShortVarints::at(self.records, at)?;
        let len = varints.take().filter(|len| len & 1 == 0)?;
        let body = at + varints.taken()?;
        let end = body + usize::try_from(len >> 1).ok()?;
        let mut varints = ShortVarints::at(self.records, body)?;
        // The attributes mean nothing.
        varints.skip_byte();
        let (timestamp_delta, offset_delta) = (varints.take()?, varints.take()?);
        if offset_delta & 1 != 0 {
            return None;
        }
        let timestamp_delta = (timestamp_delta >> 1).cast_signed() ^ -(timestamp_delta & 1).cast_signed();
        let offset_delta = i32::try_from(offset_delta >> 1).ok()?;
        // Too many are none: what they end with was not there.
        varints.taken()?;
        Some(Head { timestamp_delta, offset_delta, varints, body, end })
    }

    #[inline(never)]
    fn quick_headers(&self, at: usize, end: usize) -> Option<u32> {
        let mut cursor = Cursor::new(self.records.get(..end)?, at);
        RawHeaders::take(&mut cursor)?;
        if cursor.at == end { u32::try_from(at).ok() } else { None }
    }

    /// The end of the record at `place`, which must be inside the batch, and its offset above the one before and within the
    /// batch.
    #[inline(always)]
    fn end_in_order(&self, place: Place, offset_delta: i32, end: usize) -> Option<u32> {
        let is_in_order = offset_delta > place.previous_delta && offset_delta <= self.last_offset_delta;
        if !is_in_order || end > self.records.len() {
            return None;
        }
        u32::try_from(end).ok()
    }

    /// The record at `place`, where the cursor stands, or `None` and why in the cursor.
    fn decode(&self, place: Place, cursor: &mut Cursor<'a>) -> Option<Taken> {
        let len = usize::try_from(cursor.take_varint()?).ok();
        let end = len.and_then(|len| cursor.at.checked_add(len));
        let bytes = end.and_then(|end| self.records.get(..end));
        cursor.bytes = cursor.or_fault(bytes, Fault::RecordLength)?;
        let span = self.origin.decode(cursor)?;
        let end = self.end_in_order(place, span.offset_delta, cursor.at);
        Some(Taken { span, end: cursor.or_fault(end, Fault::Order)? })
    }
}

/// A key or value whose encoded length was taken from in front of `at`, and the position after it.
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

/// What each of the two decoders makes of the next record: where its fields lie, and the position after it.
#[cfg(test)]
impl RecordIter<'_> {
    pub(super) fn quick_next(&self) -> Option<(RecordSpan, usize)> {
        self.batch.quick(self.place).map(|taken| (taken.span, index(taken.end)))
    }

    pub(super) fn careful_next(&self) -> Option<(RecordSpan, usize)> {
        let mut cursor = Cursor::new(self.batch.records, index(self.place.at));
        let taken = self.batch.decode(self.place, &mut cursor);
        taken.map(|taken| (taken.span, index(taken.end)))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RawRecord<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_record()
    }
}
