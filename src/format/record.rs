//! One record inside a batch.
//!
//! ```text
//! length varint | attributes 00 | timestamp delta varlong | offset delta varint
//! | key length varint, key | value length varint, value | header count varint
//! | (key length varint, key, value length varint, value) for each header
//! ```
//! A length of -1 is null, for values and record keys; a header's key is never null.

use super::Malformed;
use super::bytes::Reader;
use super::varint::{put_varint, put_varlong, varint_len, varlong_len};
use crate::types::{Header, Offset, Timestamp};

/// A record to encode, relative to its batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordBody<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header<'a>],
}

impl RecordBody<'_> {
    /// Bytes that `encode` appends.
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let body = self.body_len();
        varint_len(length(body)) + body
    }

    /// Appends the record.
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let body = self.body_len();
        out.reserve(body + varint_len(length(body)));
        put_varint(out, length(body));
        out.push(0);
        put_varlong(out, self.timestamp_delta);
        put_varint(out, self.offset_delta);
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        put_varint(out, length(self.headers.len()));
        for header in self.headers {
            put_nullable(out, Some(header.key.as_bytes()));
            put_nullable(out, header.value);
        }
    }

    #[inline]
    fn body_len(&self) -> usize {
        let fixed = 1 + varlong_len(self.timestamp_delta) + varint_len(self.offset_delta);
        let headers = if self.headers.is_empty() { 1 } else { headers_len(self.headers) };
        fixed + nullable_len(self.key) + nullable_len(self.value) + headers
    }
}

fn headers_len(headers: &[Header<'_>]) -> usize {
    let each =
        headers.iter().map(|header| nullable_len(Some(header.key.as_bytes())) + nullable_len(header.value));
    varint_len(length(headers.len())) + each.sum::<usize>()
}

#[inline]
fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(length(bytes.len())) + bytes.len())
}

#[inline]
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
    pub(crate) base_timestamp: Timestamp,
    /// The time of every record, whatever its delta, when the log's clock made the batch's timestamps.
    pub(crate) append_time: Option<Timestamp>,
}

/// A record and what the iteration needs to check it against its neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecodedRecord<'a> {
    pub(crate) record: RawRecord<'a>,
    pub(crate) offset_delta: i32,
}

impl RecordOrigin {
    /// Decodes the record body that starts where `reader` stands and must end where `reader` ends.
    #[inline]
    pub(crate) fn decode<'a>(&self, mut reader: Reader<'a>) -> Result<DecodedRecord<'a>, Malformed> {
        reader.take_i8()?;
        let timestamp_delta = reader.take_varlong()?;
        let offset_delta = reader.take_varint()?;
        let key = take_nullable(&mut reader)?;
        let value = take_nullable(&mut reader)?;
        let headers = RawHeaders::take(&mut reader)?;
        if reader.remaining() != 0 {
            return Err(Malformed::invalid(reader.position(), "bytes left inside a record"));
        }
        let timestamp = match self.append_time {
            // Deltas were made by wrapping too, so every pair of timestamps survives.
            None => self.base_timestamp.wrapping_add(timestamp_delta),
            Some(time) => time,
        };
        let offset = self.base_offset.wrapping_add(i64::from(offset_delta));
        Ok(DecodedRecord { record: RawRecord { offset, timestamp, key, value, headers }, offset_delta })
    }
}

#[inline]
fn take_nullable<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let at = reader.position();
    match reader.take_varint()? {
        -1 => Ok(None),
        len => match usize::try_from(len) {
            Ok(len) => reader.take(len).map(Some),
            Err(_) => Err(Malformed::invalid(at, "a negative length that is not -1")),
        },
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

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| take_header(&mut reader).ok())
    }

    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let at = reader.position();
        match reader.take_varint()? {
            0 => Ok(Self::default()),
            count => Self::take_some(reader, count, at),
        }
    }

    fn take_some(reader: &mut Reader<'a>, count: i32, at: usize) -> Result<Self, Malformed> {
        let Ok(count) = usize::try_from(count) else {
            return Err(Malformed::invalid(at, "a negative header count"));
        };
        if count > reader.remaining() {
            return Err(Malformed::invalid(at, "more headers than bytes"));
        }
        let bytes = reader.rest();
        for _ in 0..count {
            take_header(reader)?;
        }
        let used = bytes.len().saturating_sub(reader.remaining());
        Ok(Self { count, bytes: bytes.get(..used).unwrap_or_default() })
    }
}

fn take_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, Malformed> {
    let at = reader.position();
    let Ok(len) = usize::try_from(reader.take_varint()?) else {
        return Err(Malformed::invalid(at, "a negative header key length"));
    };
    let key = reader.take_utf8(len)?;
    Ok(Header { key, value: take_nullable(reader)? })
}
