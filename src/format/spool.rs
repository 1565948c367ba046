//! Commits of other processes than the owner, on their way to it: `annals.spool`. A head, then one frame for each commit.
//!
//! ```text
//! head:  "annspl" 0 2 | u64 id | u32 CRC-32 of what stands before | 2 marks: u64 position, u32 CRC-32 of it | u8 doubt | 3 zeros
//! frame: u32 bytes of the body | u32 CRC-32 of the body | body
//! ```
//!
//! Marks and doubt are those of [`SyncMarks`].

use super::Malformed;
use super::bytes::{self, Reader};
use super::marks::SyncMarks;

/// `annspl`, and a zero. The version follows.
const MAGIC: [u8; 7] = *b"annspl\0";
const VERSION: u8 = 2;
/// Length and CRC-32 of what follows, 4 bytes each.
const FRAME_HEADER: usize = 8;
const MARKS_AT: usize = 20;

/// A record of a commit: key and value, `None` takes the commit back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpooledRecord {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What the file begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolHead {
    /// Another one whenever the file was written anew.
    pub(crate) id: u64,
    pub(crate) marks: SyncMarks,
}

/// Where a frame stands, its length and its checksum: another one in its place has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameMark {
    pub(crate) at: usize,
    header: [u8; FRAME_HEADER],
}

/// What frames hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoolContent {
    /// Each commit, the oldest first. One is all or nothing.
    pub(crate) commits: Vec<Vec<SpooledRecord>>,
    /// The position in the file where the last whole one ends. What stands behind it is nothing.
    pub(crate) end: usize,
    /// The last one.
    pub(crate) last: Option<FrameMark>,
}

impl FrameMark {
    pub(crate) const LEN: usize = FRAME_HEADER;

    /// What the frame begins with that stands at the beginning of `bytes`.
    pub(crate) fn of(at: usize, bytes: &[u8]) -> Option<Self> {
        Some(Self { at, header: bytes.get(..FRAME_HEADER)?.try_into().ok()? })
    }
}

impl SpoolHead {
    pub(crate) const LEN: usize = MARKS_AT + SyncMarks::LEN;

    /// Of a file that is synced up to a position before it gets its name, which is in doubt until the names are synced.
    pub(crate) fn new(id: u64, durable: usize) -> Self {
        Self { id, marks: SyncMarks::new(MARKS_AT, durable) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        bytes::put_u64(&mut out, self.id);
        let crc = crc32fast::hash(&out);
        bytes::put_u32(&mut out, crc);
        self.marks.encode(&mut out);
        out
    }

    /// # Errors
    /// Another version; bytes that were never written so: the file gets its name after a sync.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.take_array::<7>()? != MAGIC {
            return Err(Malformed::invalid(0, "it does not begin as a spool does"));
        }
        let version = reader.take_u8()?;
        if version > VERSION {
            return Err(Malformed::unsupported("spool version", version.into(), VERSION.into()));
        }
        let id = reader.take_u64()?;
        let at = reader.position();
        if version < VERSION || bytes.get(..at).map(crc32fast::hash) != Some(reader.take_u32()?) {
            return Err(Malformed::invalid(at, "its head is broken, or of version 1"));
        }
        Ok(Self { id, marks: SyncMarks::decode(&mut reader)? })
    }
}

/// The frame of one commit.
pub(crate) fn encode_spooled(records: &[SpooledRecord]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        put_bytes(&mut body, Some(&record.key));
        put_bytes(&mut body, record.value.as_deref());
    }
    let mut frame = Vec::with_capacity(FRAME_HEADER + body.len());
    frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(crc32fast::hash(&body).to_be_bytes());
    frame.extend(body);
    frame
}

fn put_bytes(body: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let len = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    body.extend(len.to_be_bytes());
    body.extend(bytes.unwrap_or_default());
}

/// Takes frames apart, which begin `at` a position of their file. All below `durable` was synced.
///
/// # Errors
/// A frame below `durable` that is broken or missing.
pub(crate) fn decode_frames(frames: &[u8], at: usize, durable: usize) -> Result<SpoolContent, Malformed> {
    let mut content = SpoolContent { commits: Vec::new(), end: at, last: None };
    loop {
        let rest = frames.get(content.end - at..).unwrap_or_default();
        let Some((records, len)) = frame(rest) else { break };
        content.commits.push(records);
        content.last = FrameMark::of(content.end, rest);
        content.end += len;
    }
    if content.end < durable {
        return Err(Malformed::invalid(content.end, "a frame that was synced is broken"));
    }
    Ok(content)
}

/// What the frame says that `rest` begins with, and its length; `None` when it is not whole.
fn frame(rest: &[u8]) -> Option<(Vec<SpooledRecord>, usize)> {
    let ((body, crc), len) = body(rest)?;
    let is_whole = crc32fast::hash(body) == crc;
    Some((is_whole.then(|| records(body)).flatten()?, len))
}

/// The body of the frame that `rest` begins with, its checksum, and the frame's length; `None` when it is not all there.
fn body(rest: &[u8]) -> Option<((&[u8], u32), usize)> {
    let len = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    let crc = u32::from_be_bytes(rest.get(4..FRAME_HEADER)?.try_into().ok()?);
    let len = FRAME_HEADER.checked_add(usize::try_from(len).ok()?)?;
    Some(((rest.get(FRAME_HEADER..len)?, crc), len))
}

fn records(mut body: &[u8]) -> Option<Vec<SpooledRecord>> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let key = take_bytes(&mut body)??;
        let value = take_bytes(&mut body)?;
        records.push(SpooledRecord { key, value });
    }
    // Zeros that were allocated and never written have a checksum that fits: no commit is empty.
    (!records.is_empty()).then_some(records)
}

fn take_bytes(body: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let (len, rest) = body.split_at_checked(4)?;
    let len = i32::from_be_bytes(len.try_into().ok()?);
    *body = rest;
    let Ok(len) = usize::try_from(len) else { return Some(None) };
    let (bytes, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(Some(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::HeadChange;

    fn record(number: u8) -> SpooledRecord {
        let value = (!number.is_multiple_of(3)).then(|| vec![number; usize::from(number) * 3]);
        SpooledRecord { key: vec![number; 5], value }
    }

    /// Four commits, and where each of them ends.
    fn four() -> (Vec<Vec<SpooledRecord>>, Vec<u8>, Vec<usize>) {
        let commits: Vec<Vec<_>> = (1..5_u8).map(|number| (0..number).map(record).collect()).collect();
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for commit in &commits {
            bytes.extend(encode_spooled(commit));
            ends.push(bytes.len());
        }
        (commits, bytes, ends)
    }

    #[test]
    fn what_is_cut_off_anywhere_is_the_commits_before() {
        let (commits, bytes, ends) = four();
        for cut in 0..=bytes.len() {
            let found = decode_frames(&bytes[..cut], 7, 7).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((&found.commits[..], found.end), (&commits[..whole], ends[whole] + 7), "cut at {cut}");
            for durable in [ends[whole], ends[whole] + 1] {
                let found = decode_frames(&bytes[..cut], 0, durable);
                assert_eq!(found.is_ok(), durable == ends[whole], "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_power_cut_ends_what_was_not_synced_and_breaks_nothing_that_was() {
        let (commits, bytes, ends) = four();
        for (durable, kept) in ends.iter().zip(0..) {
            // Whatever the disk has of what was not synced: zeros of any length, headers without bodies, a later frame without the one before.
            for from in *durable..bytes.len() {
                let mut lost = bytes.clone();
                lost[from..].fill(0);
                let whole = ends.iter().filter(|end| **end <= from).count() - 1;
                let found = decode_frames(&lost, 0, *durable).unwrap();
                assert!(found.commits.len() >= whole && commits.starts_with(&found.commits), "from {from}");
                let mut hole = bytes.clone();
                hole[from..ends[whole + 1]].fill(0);
                let found = decode_frames(&hole, 0, *durable).unwrap();
                assert!(found.commits.len() >= kept && commits.starts_with(&found.commits), "hole at {from}");
            }
            for at in 0..*durable {
                let mut broken = bytes.clone();
                broken[at] ^= 1;
                assert!(decode_frames(&broken, 0, *durable).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_mark_that_is_torn_leaves_the_one_before() {
        let mut bytes = SpoolHead::new(7, 60).encode();
        assert_eq!(bytes.len(), SpoolHead::LEN);
        let put = |bytes: &mut [u8], change: &HeadChange| {
            let at = usize::try_from(change.at).unwrap();
            bytes[at..at + change.bytes.len()].copy_from_slice(&change.bytes);
        };
        for durable in [100, 77_000, 77_001] {
            let head = SpoolHead::decode(&bytes).unwrap();
            let change = head.marks.mark(durable);
            for torn in 0..change.bytes.len() {
                let mut bytes = bytes.clone();
                let bytes_of = |bytes: Vec<u8>| HeadChange { at: change.at, bytes };
                put(&mut bytes, &bytes_of(change.bytes[..torn].to_vec()));
                assert_eq!(
                    SpoolHead::decode(&bytes).unwrap().marks.durable(),
                    head.marks.durable(),
                    "{torn}"
                );
                put(&mut bytes, &bytes_of(vec![0xa5; torn]));
                assert_eq!(
                    SpoolHead::decode(&bytes).unwrap().marks.durable(),
                    head.marks.durable(),
                    "{torn}"
                );
            }
            put(&mut bytes, &change);
            assert_eq!(SpoolHead::decode(&bytes).unwrap().marks.durable(), durable);
        }
        assert!(SpoolHead::decode(&bytes).unwrap().marks.is_doubtful);
        let doubt = SpoolHead::decode(&bytes).unwrap().marks.doubt(false);
        put(&mut bytes, &doubt);
        let head = SpoolHead::decode(&bytes).unwrap();
        assert_eq!((head.id, head.marks.is_doubtful), (7, false));
        for at in 0..MARKS_AT {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert!(SpoolHead::decode(&broken).is_err(), "byte {at}");
            assert!(SpoolHead::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        bytes[7] = 3;
        assert!(matches!(SpoolHead::decode(&bytes), Err(Malformed::Unsupported { found: 3, .. })));
    }
}
