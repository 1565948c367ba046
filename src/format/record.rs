//! One record inside a batch.
//!
//! ```text
//! length varint | attributes 00 | timestamp delta varlong | offset delta varint
//! | key length varint, key | value length varint, value | header count varint
//! | (key length varint, key, value length varint, value) for each header
//! ```
//! A length of -1 is null, for values and record keys; a header's key is never null.

use super::record_span::{FieldSpan, NULL, RecordSpan};
use super::varint::{self, put_varint, put_varlong, varint_len, varlong_len};
use super::{BatchHeader, TimestampType};
use crate::types::{Header, Offset, Timestamp};

/// A header to encode.
pub(crate) trait EncodeHeader {
    fn name(&self) -> &[u8];
    fn value(&self) -> Option<&[u8]>;
}

impl EncodeHeader for Header<'_> {
    fn name(&self) -> &[u8] {
        self.key.as_bytes()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value
    }
}

/// A header as it was stored: its name may be any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawHeader<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl EncodeHeader for RawHeader<'_> {
    fn name(&self) -> &[u8] {
        self.name
    }

    fn value(&self) -> Option<&[u8]> {
        self.value
    }
}

/// A record to encode, relative to its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordBody<'a, H = Header<'a>> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [H],
}

impl<H: EncodeHeader> RecordBody<'_, H> {
    /// Bytes that `encode` appends.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let body = self.body_len();
        varint_len(length(body)) + body
    }

    /// Appends the record.
    #[inline(always)]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let body = self.body_len();
        out.reserve(body + varint_len(length(body)));
        put_varint(out, length(body));
        out.push(0);
        put_varlong(out, self.timestamp_delta);
        put_varint(out, self.offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        if self.headers.is_empty() {
            out.push(0);
        } else {
            put_headers(out, self.headers);
        }
    }

    /// Bytes that no record of this content exceeds, whatever its deltas.
    #[inline]
    pub(crate) fn most_len(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[H]) -> usize {
        /// Length, attributes, two deltas, two more lengths, count.
        const FIXED: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;
        let headers = if headers.is_empty() { 0 } else { headers_len(headers) };
        FIXED + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers
    }

    #[inline]
    fn body_len(&self) -> usize {
        let fixed = 1 + varlong_len(self.timestamp_delta) + varint_len(self.offset_delta);
        let headers = if self.headers.is_empty() { 1 } else { headers_len(self.headers) };
        fixed + nullable_len(self.key) + nullable_len(self.value) + headers
    }
}

#[inline(never)]
fn put_headers(out: &mut Vec<u8>, headers: &[impl EncodeHeader]) {
    put_varint(out, length(headers.len()));
    for header in headers {
        put_nullable(out, Some(header.name()));
        put_nullable(out, header.value());
    }
}

#[inline(never)]
fn headers_len(headers: &[impl EncodeHeader]) -> usize {
    let each = headers.iter().map(|header| nullable_len(Some(header.name())) + nullable_len(header.value()));
    varint_len(length(headers.len())) + each.sum::<usize>()
}

#[inline]
fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(length(bytes.len())) + bytes.len())
}

#[inline(always)]
fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

/// A length as the format holds it. What is longer than that makes a batch longer than that, which cannot be sealed,
/// so the wrong number never reaches a file.
#[inline]
fn length(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// A record as it lies in its batch's uncompressed bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub(crate) offset: Offset,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: RawHeaders<'a>,
}

/// What a batch's header adds to each of its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordOrigin {
    pub(crate) base_offset: Offset,
    base_timestamp: Timestamp,
    /// The bits of a record's timestamp delta that count: all, or none when the log's clock made the timestamps.
    delta_mask: i64,
}

/// What is wrong with a record. One byte, so that a decoder which hardly ever fails hardly pays for failing; the
/// iteration makes a `Malformed` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Varint,
    RecordLength,
    FieldLength,
    HeaderCount,
    HeaderKey,
    LeftOver,
    Order,
}

impl Fault {
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Varint => "a varint that does not end where it must",
            Self::RecordLength => "a record that is longer than the bytes left",
            Self::FieldLength => "a field that is longer than its record",
            Self::HeaderCount => "a header count that is negative or above the bytes left",
            Self::HeaderKey => "a header key that is null",
            Self::LeftOver => "bytes left behind a record's last field",
            Self::Order => "an offset out of order or behind the batch's last",
        }
    }
}

/// A record's bytes and a position in them that only moves forward.
///
/// What it takes is an `Option`, and the fault stays here: a `Result` of a record and a fault would not fit into what a
/// record takes, and telling the two apart costs more than decoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    /// Why nothing was taken; means nothing before.
    pub(crate) fault: Fault,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, fault: Fault::Varint }
    }

    #[inline]
    pub(crate) fn take_varint(&mut self) -> Option<i32> {
        let taken = varint::take_varint(self.bytes, &mut self.at);
        self.or_fault(taken, Fault::Varint)
    }

    #[inline]
    fn take_varlong(&mut self) -> Option<i64> {
        let taken = varint::take_varlong(self.bytes, &mut self.at);
        self.or_fault(taken, Fault::Varint)
    }

    /// What was taken; if it is nothing, `fault` is the reason.
    #[inline]
    pub(crate) fn or_fault<T>(&mut self, taken: Option<T>, fault: Fault) -> Option<T> {
        if taken.is_none() {
            self.fault = fault;
        }
        taken
    }

    /// Bytes after their length, or null, which is `Some(None)`.
    #[inline]
    fn take_nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.take_varint()? {
            -1 => Some(None),
            len => self.take(len).map(Some),
        }
    }

    #[inline]
    fn take(&mut self, len: i32) -> Option<&'a [u8]> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = self.or_fault(taken, Fault::FieldLength)?;
        self.at += taken.len();
        Some(taken)
    }

    /// A key or a value: where it lies.
    fn take_field(&mut self) -> Option<FieldSpan> {
        match self.take_varint()? {
            -1 => Some(FieldSpan { at: 0, len: NULL }),
            len => {
                let at = self.position(self.at)?;
                let len = self.take(len)?.len();
                Some(FieldSpan { at, len: self.position(len)? })
            }
        }
    }

    /// A position as spans have it. Batches that are too long for that were expanded from no batch of Kafka's.
    fn position(&mut self, at: usize) -> Option<u32> {
        self.or_fault(u32::try_from(at).ok(), Fault::FieldLength)
    }

    fn take_header(&mut self) -> Option<RawHeader<'a>> {
        let name = self.take_nullable()?;
        let name = self.or_fault(name, Fault::HeaderKey)?;
        Some(RawHeader { name, value: self.take_nullable()? })
    }
}

impl RecordOrigin {
    pub(super) fn new(header: &BatchHeader) -> Self {
        let (base_timestamp, delta_mask) = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => (header.base_timestamp, -1),
            TimestampType::LogAppendTime => (header.max_timestamp, 0),
        };
        Self { base_offset: header.base_offset, base_timestamp, delta_mask }
    }

    /// Decodes the record whose attributes are next and whose last byte is the last of `cursor`.
    pub(crate) fn decode(&self, cursor: &mut Cursor<'_>) -> Option<RecordSpan> {
        // The attributes mean nothing. If they are missing, so is the varint behind them.
        cursor.at += 1;
        let timestamp_delta = cursor.take_varlong()?;
        let offset_delta = cursor.take_varint()?;
        let key = cursor.take_field()?;
        let value = cursor.take_field()?;
        let headers_at = cursor.at;
        let headers_at =
            if RawHeaders::take(cursor)?.count == 0 { 0 } else { cursor.position(headers_at)? };
        if cursor.at != cursor.bytes.len() {
            cursor.fault = Fault::LeftOver;
            return None;
        }
        Some(RecordSpan { timestamp: self.timestamp(timestamp_delta), offset_delta, key, value, headers_at })
    }

    #[inline(always)]
    pub(super) fn timestamp(&self, delta: i64) -> Timestamp {
        // Deltas were made by wrapping too, so every pair of timestamps survives.
        self.base_timestamp.wrapping_add(delta & self.delta_mask)
    }
}

/// A record's headers, in order. Checked when the record was decoded, so iterating cannot fail.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawHeaders<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> RawHeaders<'a> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The headers whose count is next, which were checked before.
    pub(super) fn counted(cursor: &mut Cursor<'a>) -> Self {
        let count = cursor.take_varint().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
        Self { count, bytes: cursor.bytes.get(cursor.at..).unwrap_or_default() }
    }

    /// As readers see them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        self.raw().map(|RawHeader { name, value }| Header { key: String::from_utf8_lossy(name), value })
    }

    /// As they are stored.
    pub(crate) fn raw(&self) -> impl Iterator<Item = RawHeader<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes, 0);
        (0..self.count).map_while(move |_| cursor.take_header())
    }

    /// Takes the count and what it counts, and checks all of it.
    pub(super) fn take(cursor: &mut Cursor<'a>) -> Option<Self> {
        let count = cursor.take_varint()?;
        let bytes = cursor.bytes.get(cursor.at..).unwrap_or_default();
        let count = usize::try_from(count).ok().filter(|count| *count <= bytes.len());
        let count = cursor.or_fault(count, Fault::HeaderCount)?;
        for _ in 0..count {
            cursor.take_header()?;
        }
        Some(Self { count, bytes })
    }
}
