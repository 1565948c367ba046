//! The records of a batch, decoded the slow way: one byte after the other, from the description of the format alone.

use crate::format::{BatchHeader, RawRecord, TimestampType};
use crate::types::{Offset, Timestamp};

/// A header as it is compared: name and value.
pub(super) type HeaderPair = (String, Option<Vec<u8>>);

/// A record as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<HeaderPair>,
}

impl Plain {
    pub(super) fn of(record: &RawRecord<'_>) -> Self {
        let headers = record.headers.iter();
        let headers = headers.map(|header| (header.key.into_owned(), header.value.map(<[u8]>::to_vec)));
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }
}

/// The records up to the first that breaks a rule, and whether all of the batch is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) records: Vec<Plain>,
    pub(super) is_good: bool,
}

pub(super) fn decode(header: &BatchHeader, bytes: &[u8]) -> Decoded {
    let mut records = Vec::new();
    let mut rest = bytes;
    let mut previous = -1;
    for _ in 0..header.record_count {
        let Some(record) = record(header, &mut rest, &mut previous) else {
            return Decoded { records, is_good: false };
        };
        records.push(record);
    }
    Decoded { records, is_good: rest.is_empty() }
}

fn record(header: &BatchHeader, rest: &mut &[u8], previous: &mut i64) -> Option<Plain> {
    let len = int(rest)?;
    let mut body = take(rest, len)?;
    let body = &mut body;
    take(body, 1)?;
    let time_delta = long(body)?;
    let offset_delta = int(body)?;
    let (key, value) = (nullable(body)?, nullable(body)?);
    let count = int(body)?;
    if count < 0 {
        return None;
    }
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = String::from_utf8_lossy(&nullable(body)??).into_owned();
        headers.push((key, nullable(body)?));
    }
    if !body.is_empty() || offset_delta <= *previous || offset_delta > i64::from(header.last_offset_delta) {
        return None;
    }
    *previous = offset_delta;
    let timestamp = match header.attributes.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp.wrapping_add(time_delta),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    Some(Plain { offset: header.base_offset.wrapping_add(offset_delta), timestamp, key, value, headers })
}

fn take<'a>(rest: &mut &'a [u8], len: i64) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = behind;
    Some(taken)
}

/// A length and so many bytes; `Some(None)` for -1.
fn nullable(rest: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    match int(rest)? {
        -1 => Some(None),
        len => take(rest, len).map(|bytes| Some(bytes.to_vec())),
    }
}

fn int(rest: &mut &[u8]) -> Option<i64> {
    let raw = base_128(rest, 5)? & u128::from(u32::MAX);
    i64::try_from(zigzag(raw)).ok()
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let raw = base_128(rest, 10)? & u128::from(u64::MAX);
    i64::try_from(zigzag(raw)).ok()
}

fn zigzag(raw: u128) -> i128 {
    let half = i128::try_from(raw / 2).unwrap_or_default();
    if raw.is_multiple_of(2) { half } else { -half - 1 }
}

fn base_128(rest: &mut &[u8], most: u32) -> Option<u128> {
    let mut raw = 0;
    for place in 0..most {
        let byte = *take(rest, 1)?.first()?;
        raw += u128::from(byte % 128) << (7 * place);
        if byte < 128 {
            return Some(raw);
        }
    }
    None
}
