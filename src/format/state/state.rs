//! The partition's state file, `annals.state`: the only authority beside the `.log` files.
//!
//! ```text
//! 0      512   head: "annals\0S", u32 version, zeros, u32 CRC-32 of the 508 bytes before
//! 512    512   mark slot 0
//! 1024   512   mark slot 1
//! 1536   ...   body: u32 length, the fields below, u32 CRC-32 of everything in it before
//! ```
//!
//! Head and body never change in place: a new table is a new file renamed over the old one, with a mark in one slot. Later
//! marks go into the other slot, one over the other and without a sync, so a torn one leaves the first.

use super::block::{BLOCK, block, is_whole, seal_block};
use super::mark::{Mark, decode_mark};
use super::summary::{SUMMARY_LEN, SegmentSummary, decode_summary, encode_summary};
use crate::format::Malformed;
use crate::format::bytes::{Reader, put_i64, put_u32, put_u128};
use crate::types::Offset;

/// The newest version this code reads.
const VERSION: u32 = 2;
/// What is written for a partition that no producer with an id has ever written to: whoever knows no transactions may go on
/// with it.
const PLAIN_VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"annals\0S";
const BODY: usize = 3 * BLOCK;
const NO_OFFSET: Offset = -1;

/// What stays the same as long as the partition lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Random, made with the store.
    pub(crate) store: u128,
    /// Random, made with the topic: another topic of the same name has another.
    pub(crate) topic: u128,
    /// The partition's number.
    pub(crate) partition: u32,
}

/// The content of a state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub(crate) identity: Identity,
    /// First offset that may be read.
    pub(crate) log_start: Offset,
    /// Sealed segments, oldest first.
    pub(crate) sealed: Vec<SegmentSummary>,
    /// The last segment, when the partition was closed cleanly.
    pub(crate) closed: Option<SegmentSummary>,
    /// Compaction has compared everything below with what lies below it.
    pub(crate) cleaned_until: Offset,
    /// Bases of rewritten segments whose file may still have its temporary name.
    pub(crate) pending: Vec<Offset>,
    /// Bases of segments that are no longer part of the log and whose files may still be there.
    pub(crate) obsolete: Vec<Offset>,
    /// The offset that names the `.snapshot` of what is known of the partition's producers: where its last segment begins, or
    /// ends if it is closed. `None` while no producer with an id has written below that.
    pub(crate) producers_at: Option<Offset>,
    pub(crate) mark: Mark,
    /// Counts the marks; tells the newer of the two slots.
    pub(crate) sequence: u64,
}

impl PartitionState {
    /// The whole file, with the mark in one slot and the other empty.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        put_u32(&mut head, self.version());
        seal_block(&mut head);
        let mut out = head;
        let slot = self.mark.encode(self.sequence).bytes;
        let empty = vec![0; BLOCK];
        let slots = if self.sequence.is_multiple_of(2) { [slot, empty] } else { [empty, slot] };
        slots.iter().for_each(|slot| out.extend_from_slice(slot));
        out.extend_from_slice(&self.encode_body());
        out
    }

    fn version(&self) -> u32 {
        let mut segments = self.sealed.iter().chain(&self.closed);
        let has_transactions =
            self.producers_at.is_some() || segments.any(|segment| segment.aborted_entries > 0);
        if has_transactions { VERSION } else { PLAIN_VERSION }
    }

    fn encode_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + SUMMARY_LEN * (self.sealed.len() + 1));
        put_u32(&mut body, 0);
        put_u128(&mut body, self.identity.store);
        put_u128(&mut body, self.identity.topic);
        put_u32(&mut body, self.identity.partition);
        put_i64(&mut body, self.log_start);
        put_i64(&mut body, self.cleaned_until);
        put_u32(&mut body, u32::from(self.closed.is_some()));
        let count = self.sealed.len() + usize::from(self.closed.is_some());
        put_u32(&mut body, u32::try_from(count).unwrap_or(u32::MAX));
        self.sealed.iter().chain(&self.closed).for_each(|summary| encode_summary(&mut body, summary));
        encode_offsets(&mut body, &self.pending);
        encode_offsets(&mut body, &self.obsolete);
        if self.version() > PLAIN_VERSION {
            put_i64(&mut body, self.producers_at.unwrap_or(NO_OFFSET));
        }
        let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        if let Some(field) = body.get_mut(..4) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        let crc = crc32fast::hash(&body);
        put_u32(&mut body, crc);
        body
    }

    /// Whose partition a file is of that cannot be read, where what says so is whole: a mark or the head may be damaged alone.
    pub(crate) fn identity_left(bytes: &[u8]) -> Option<Identity> {
        if matches!(check_head(bytes), Err(Malformed::Unsupported { .. })) {
            return None;
        }
        whole_body(bytes.get(BODY..)?).and_then(|whole| take_identity(&mut Reader::from(whole, 4))).ok()
    }

    /// Reads a whole file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let version = check_head(bytes)?;
        let slots = [decode_mark(block(bytes, 1)?), decode_mark(block(bytes, 2)?)];
        let newest = slots.into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        let (sequence, mark) =
            newest.ok_or_else(|| Malformed::invalid(BLOCK, "neither mark slot is whole"))?;
        let body = bytes.get(BODY..).unwrap_or_default();
        let state =
            decode_body(body, version, (sequence, mark)).map_err(|malformed| malformed.shifted(BODY))?;
        Ok(state)
    }
}

fn check_head(bytes: &[u8]) -> Result<u32, Malformed> {
    let head = block(bytes, 0)?;
    if !head.starts_with(MAGIC) {
        return Err(Malformed::invalid(0, "not a partition state file"));
    }
    let version = Reader::from(head, MAGIC.len()).take_u32()?;
    // A newer version may be checked in another way, so it is looked at before the checksum.
    if version > VERSION {
        return Err(Malformed::Unsupported {
            what: "state file version",
            found: version,
            supported: VERSION,
        });
    }
    if !is_whole(head) || version == 0 {
        return Err(Malformed::invalid(0, "the head's checksum does not fit"));
    }
    Ok(version)
}

/// The table, if its checksum fits.
fn whole_body(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let needed = Reader::new(bytes).take_u32()? as usize;
    let whole = bytes.get(..needed).ok_or(Malformed::Truncated { needed, available: bytes.len() })?;
    if bytes.len() != needed || !is_whole(whole) {
        return Err(Malformed::invalid(0, "the table's checksum does not fit"));
    }
    Ok(whole)
}

fn take_identity(reader: &mut Reader<'_>) -> Result<Identity, Malformed> {
    let (store, topic) = (reader.take_u128()?, reader.take_u128()?);
    Ok(Identity { store, topic, partition: reader.take_u32()? })
}

fn decode_body(
    bytes: &[u8],
    version: u32,
    (sequence, mark): (u64, Mark),
) -> Result<PartitionState, Malformed> {
    let mut reader = Reader::from(whole_body(bytes)?, 4);
    let identity = take_identity(&mut reader)?;
    let log_start = reader.take_i64()?;
    let cleaned_until = reader.take_i64()?;
    let is_closed = reader.take_u32()? == 1;
    let count = reader.take_u32()? as usize;
    if count > reader.remaining() / SUMMARY_LEN {
        return Err(Malformed::invalid(reader.position(), "the number of segments does not fit"));
    }
    let mut sealed = (0..count).map(|_| decode_summary(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    check_order(&sealed)?;
    let closed = if is_closed { sealed.pop() } else { None };
    let (pending, obsolete) = (decode_offsets(&mut reader)?, decode_offsets(&mut reader)?);
    let producers_at = match version {
        PLAIN_VERSION => None,
        _ => Some(reader.take_i64()?).filter(|offset| *offset >= 0),
    };
    if reader.remaining() != 4 {
        return Err(Malformed::invalid(reader.position(), "the table is longer than its fields"));
    }
    Ok(PartitionState {
        identity,
        log_start,
        sealed,
        closed,
        cleaned_until,
        pending,
        obsolete,
        producers_at,
        mark,
        sequence,
    })
}

fn encode_offsets(out: &mut Vec<u8>, offsets: &[Offset]) {
    put_u32(out, u32::try_from(offsets.len()).unwrap_or(u32::MAX));
    offsets.iter().for_each(|offset| put_i64(out, *offset));
}

fn decode_offsets(reader: &mut Reader<'_>) -> Result<Vec<Offset>, Malformed> {
    let count = reader.take_u32()? as usize;
    if count > reader.remaining() / size_of::<Offset>() {
        return Err(Malformed::invalid(reader.position(), "the number of offsets does not fit"));
    }
    (0..count).map(|_| reader.take_i64()).collect()
}

fn check_order(segments: &[SegmentSummary]) -> Result<(), Malformed> {
    let ordered = segments.windows(2).all(|pair| matches!(pair, [a, b] if a.next_offset <= b.base));
    let sane = segments.iter().all(|segment| 0 <= segment.base && segment.base <= segment.next_offset);
    if ordered && sane { Ok(()) } else { Err(Malformed::invalid(0, "segments are out of order")) }
}
