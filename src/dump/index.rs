//! Index entries, and whether they fit the `.log` beside them.

use crate::dump::stretch::Landmark;
use crate::format::{OffsetIndexEntry, TimeIndexEntry};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// The content of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexDump<E> {
    /// In the order of the file.
    pub entries: Vec<E>,
    /// Bytes behind the last entry that are none: a part of one, or a negative number.
    pub trailing_bytes: usize,
}

/// An entry of an `.index`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetEntry {
    /// The last offset of the batch that begins at `position`.
    pub offset: Offset,
    /// Byte position in the `.log`.
    pub position: u64,
    /// Why it does not fit the `.log`; `None` when it does.
    pub misfit: Option<String>,
}

/// An entry of a `.timeindex`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeEntry {
    /// The largest timestamp of the segment up to and including `offset`.
    pub timestamp: Timestamp,
    /// The last offset of the first batch that reached it.
    pub offset: Offset,
    /// Why it does not fit the `.log`; `None` when it does.
    pub misfit: Option<String>,
}

pub(super) fn offsets(base: Offset, bytes: &[u8], log: &[Landmark]) -> IndexDump<OffsetEntry> {
    let decode = |chunk: &[u8]| OffsetIndexEntry::decode(chunk).ok();
    let (raw, trailing_bytes) = split(bytes, OffsetIndexEntry::LEN, decode);
    let mut before: Option<OffsetIndexEntry> = None;
    let entry = |raw: OffsetIndexEntry| {
        let offset = base.saturating_add(i64::from(raw.relative_offset));
        let position = u64::from(raw.position);
        let grows = |last: OffsetIndexEntry| {
            last.relative_offset < raw.relative_offset && last.position < raw.position
        };
        let ascends = before.replace(raw).is_none_or(grows);
        OffsetEntry {
            offset,
            position,
            misfit: disorder(ascends).or_else(|| offset_misfit(offset, position, log)),
        }
    };
    IndexDump { entries: raw.into_iter().map(entry).collect(), trailing_bytes }
}

pub(super) fn times(base: Offset, bytes: &[u8], log: &[Landmark]) -> IndexDump<TimeEntry> {
    let (raw, trailing_bytes) = split(bytes, TimeIndexEntry::LEN, |chunk| TimeIndexEntry::decode(chunk).ok());
    let mut before: Option<TimeIndexEntry> = None;
    let entry = |raw: TimeIndexEntry| {
        let offset = base.saturating_add(i64::from(raw.relative_offset));
        let timestamp = raw.timestamp;
        let grows =
            |last: TimeIndexEntry| last.relative_offset < raw.relative_offset && last.timestamp < timestamp;
        let ascends = before.replace(raw).is_none_or(grows);
        TimeEntry {
            timestamp,
            offset,
            misfit: disorder(ascends).or_else(|| time_misfit(timestamp, offset, log)),
        }
    };
    IndexDump { entries: raw.into_iter().map(entry).collect(), trailing_bytes }
}

/// Entries up to the first that is none, and how many bytes are left.
fn split<T>(bytes: &[u8], len: usize, decode: impl Fn(&[u8]) -> Option<T>) -> (Vec<T>, usize) {
    let entries: Vec<_> = bytes.chunks_exact(len).map_while(decode).collect();
    let trailing_bytes = bytes.len() - entries.len() * len;
    (entries, trailing_bytes)
}

fn disorder(ascends: bool) -> Option<String> {
    (!ascends).then(|| "it is not above the entry before it".to_owned())
}

fn offset_misfit(offset: Offset, position: u64, log: &[Landmark]) -> Option<String> {
    let Ok(at) = log.binary_search_by_key(&position, |batch| batch.position) else {
        return Some("no batch begins there".to_owned());
    };
    let last = log.get(at)?.header.last_offset();
    (last != offset).then(|| format!("the batch there ends with offset {last}"))
}

fn time_misfit(timestamp: Timestamp, offset: Offset, log: &[Landmark]) -> Option<String> {
    let mut largest = NO_TIMESTAMP;
    for Landmark { header, .. } in log {
        if header.last_offset() == offset {
            let found = header.max_timestamp;
            return match timestamp {
                _ if found != timestamp => Some(format!("the largest timestamp of its batch is {found}")),
                _ if largest >= timestamp => Some("an earlier batch has that timestamp".to_owned()),
                _ => None,
            };
        }
        largest = largest.max(header.max_timestamp);
    }
    Some("no batch ends with that offset".to_owned())
}
