//! Index entries, and whether they fit the `.log` beside them.

use std::collections::HashMap;

use crate::dump::stretch::Landmark;
use crate::format::{OffsetIndexEntry, TimeIndexEntry};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// The content of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexDump<E> {
    /// The entries in the order of the file.
    pub entries: Vec<E>,
    /// Bytes of zeros after the last entry: a broker allocates the indexes of its active segment ahead, and a killed one
    /// leaves them so.
    pub padding_bytes: usize,
    /// Bytes after the last entry that are not an entry: a part of one, or a negative number.
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
    /// Why the entry does not match the `.log`; `None` when it does.
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
    /// Why the entry does not match the `.log`; `None` when it does.
    pub misfit: Option<String>,
}

pub(super) fn offsets(base: Offset, bytes: &[u8], log: &[Landmark]) -> IndexDump<OffsetEntry> {
    let decode = |chunk: &[u8]| OffsetIndexEntry::decode(chunk).ok();
    // No entry of an offset index is all zeros: one is written behind the first batch at the earliest.
    let (bytes, padding_bytes) = without_padding(bytes, OffsetIndexEntry::LEN, 0);
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
    IndexDump { entries: raw.into_iter().map(entry).collect(), padding_bytes, trailing_bytes }
}

pub(super) fn times(base: Offset, bytes: &[u8], log: &[Landmark]) -> IndexDump<TimeEntry> {
    // An entry of zeros is one where the first batch has a single record of time 0.
    let is_of_time_0 =
        |first: &Landmark| first.header.last_offset() == base && first.header.max_timestamp == 0;
    let least = if log.first().is_some_and(is_of_time_0) { TimeIndexEntry::LEN } else { 0 };
    let (bytes, padding_bytes) = without_padding(bytes, TimeIndexEntry::LEN, least);
    let (raw, trailing_bytes) = split(bytes, TimeIndexEntry::LEN, |chunk| TimeIndexEntry::decode(chunk).ok());
    let ends = Ends::of(log);
    let mut before: Option<TimeIndexEntry> = None;
    let entry = |raw: TimeIndexEntry| {
        let offset = base.saturating_add(i64::from(raw.relative_offset));
        let timestamp = raw.timestamp;
        let grows =
            |last: TimeIndexEntry| last.relative_offset < raw.relative_offset && last.timestamp < timestamp;
        let ascends = before.replace(raw).is_none_or(grows);
        TimeEntry { timestamp, offset, misfit: disorder(ascends).or_else(|| ends.misfit(timestamp, offset)) }
    };
    IndexDump { entries: raw.into_iter().map(entry).collect(), padding_bytes, trailing_bytes }
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

/// What lies in front of the zeros that fill whole entries at the end, but for the first `least` bytes, and how many those are.
fn without_padding(bytes: &[u8], len: usize, least: usize) -> (&[u8], usize) {
    if !bytes.len().is_multiple_of(len) {
        return (bytes, 0);
    }
    let content = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let end = content.next_multiple_of(len).max(least).min(bytes.len());
    let (entries, padding) = bytes.split_at(end);
    (entries, padding.len())
}

/// Where batches end, and what a time index may say of each.
struct Ends(HashMap<Offset, End>);

/// The largest timestamp of a batch, and of all before it.
struct End {
    timestamp: Timestamp,
    before: Timestamp,
}

impl Ends {
    fn of(log: &[Landmark]) -> Self {
        let (mut ends, mut before) = (HashMap::new(), NO_TIMESTAMP);
        for Landmark { header, .. } in log {
            let timestamp = header.max_timestamp;
            ends.entry(header.last_offset()).or_insert(End { timestamp, before });
            before = before.max(timestamp);
        }
        Self(ends)
    }

    fn misfit(&self, timestamp: Timestamp, offset: Offset) -> Option<String> {
        let Some(end) = self.0.get(&offset) else { return Some("no batch ends with that offset".to_owned()) };
        match timestamp {
            _ if end.timestamp != timestamp => {
                Some(format!("the largest timestamp of its batch is {}", end.timestamp))
            }
            _ if end.before >= timestamp => Some("an earlier batch has that timestamp".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::format::{Attributes, BatchHeader};
    use crate::io::Stopwatch;

    /// Batches of one record each, a millisecond apart, and an entry for each of them.
    fn indexed(batches: u32) -> (Vec<Landmark>, Vec<u8>) {
        let (mut log, mut bytes) = (Vec::new(), Vec::new());
        for number in 0..batches {
            let header = BatchHeader {
                base_offset: number.into(),
                batch_length: 49,
                leader_epoch: 0,
                crc: 0,
                attributes: Attributes::default(),
                last_offset_delta: 0,
                base_timestamp: 0,
                max_timestamp: i64::from(number) + 1,
                producer_id: -1,
                producer_epoch: -1,
                base_sequence: -1,
                record_count: 1,
            };
            log.push(Landmark { position: u64::from(number) * 100, header });
            bytes.extend((i64::from(number) + 1).to_be_bytes());
            bytes.extend(number.to_be_bytes());
        }
        (log, bytes)
    }

    /// How long the entries of that many batches take, so often.
    fn took(batches: u32, tries: usize) -> Duration {
        let (log, bytes) = indexed(batches);
        let watch = Stopwatch::start();
        for _ in 0..tries {
            let dump = times(0, &bytes, &log);
            assert!(dump.entries.iter().all(|entry| entry.misfit.is_none()));
        }
        watch.elapsed()
    }

    /// As many entries in all. Were each looked for among all batches, the longer one would take 32 times as long. Others of the machine
    /// come in between, but not each time.
    #[test]
    fn the_entries_of_a_time_index_do_not_take_quadratic_time() {
        let rounds: Vec<_> = (0..5).map(|_| (took(500, 32), took(16_000, 1))).collect();
        let (short, long) = (rounds.iter().map(|one| one.0).min(), rounds.iter().map(|one| one.1).min());
        assert!(long < short.map(|short| 8 * short), "{rounds:?}");
    }
}
