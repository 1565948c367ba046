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

use super::Malformed;
use super::bytes::{Reader, put_i64, put_u32, put_u64, put_u128};
use crate::types::{Offset, Timestamp};

/// The newest version this code reads, and the one it writes.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"annals\0S";
const MARK_MAGIC: u32 = 0x616e_6d6b;
const BLOCK: usize = 512;
const BODY: usize = 3 * BLOCK;
/// Bytes of one segment in the table.
const SUMMARY_LEN: usize = 108;
/// Flag of a summary: see [`SegmentSummary::is_sparse`].
const SPARSE: u32 = 1;

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

/// A segment that is complete and synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    pub(crate) base: Offset,
    /// The offset behind its last record.
    pub(crate) next_offset: Offset,
    /// Length of the `.log`.
    pub(crate) bytes: u64,
    pub(crate) record_count: u64,
    /// -1 when no record has a timestamp.
    pub(crate) max_timestamp: Timestamp,
    /// Last offset of the first batch that has it.
    pub(crate) offset_of_max_timestamp: Offset,
    /// CRC-32 over the 61 header bytes of every batch, in order: they hold the payloads' CRCs, and 17 bytes that Kafka's
    /// own batch CRC leaves out.
    pub(crate) headers_crc: u32,
    /// The density its indexes were written with.
    pub(crate) index_interval_bytes: u32,
    pub(crate) index_entries: u32,
    /// CRC-32 over the `.index`.
    pub(crate) index_crc: u32,
    pub(crate) time_entries: u32,
    /// CRC-32 over the `.timeindex`.
    pub(crate) time_index_crc: u32,
    /// Largest timestamp of its first batch that has one, -1 when none has.
    pub(crate) first_timestamp: Timestamp,
    /// When its first batch was appended, by the log's clock; -1 when that is not known.
    pub(crate) first_append: Timestamp,
    /// When its last batch was appended, by the log's clock; -1 when that is not known.
    pub(crate) last_append: Timestamp,
    /// When the first of its tombstones may go; -1 when compaction has left none in it.
    pub(crate) delete_horizon: Timestamp,
    /// It was rewritten: batches and offsets may be missing, so nothing but `headers_crc` proves where a batch belongs.
    pub(crate) is_sparse: bool,
}

/// How far a sync is known to have succeeded. A lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Base of the segment that was active.
    pub(crate) segment: Offset,
    /// Everything below survives a power cut.
    pub(crate) offset: Offset,
    /// Where the batch of that offset begins, or will begin, in the active segment.
    pub(crate) position: u64,
}

/// The bytes of a mark and where in the file they go.
#[derive(Debug)]
pub(crate) struct MarkSlot {
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Mark {
    /// The slot for the mark of that number; the one before it stands in the other slot.
    pub(crate) fn encode(&self, sequence: u64) -> MarkSlot {
        let mut bytes = Vec::with_capacity(BLOCK);
        put_u32(&mut bytes, MARK_MAGIC);
        put_u64(&mut bytes, sequence);
        put_i64(&mut bytes, self.segment);
        put_i64(&mut bytes, self.offset);
        put_u64(&mut bytes, self.position);
        seal_block(&mut bytes);
        MarkSlot { position: BLOCK as u64 * (1 + sequence % 2), bytes }
    }
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
    pub(crate) mark: Mark,
    /// Counts the marks; tells the newer of the two slots.
    pub(crate) sequence: u64,
}

impl PartitionState {
    /// The whole file, with the mark in one slot and the other empty.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        put_u32(&mut head, VERSION);
        seal_block(&mut head);
        let mut out = head;
        let slot = self.mark.encode(self.sequence).bytes;
        let empty = vec![0; BLOCK];
        let slots = if self.sequence.is_multiple_of(2) { [slot, empty] } else { [empty, slot] };
        slots.iter().for_each(|slot| out.extend_from_slice(slot));
        out.extend_from_slice(&self.encode_body());
        out
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
        let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        if let Some(field) = body.get_mut(..4) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        let crc = crc32fast::hash(&body);
        put_u32(&mut body, crc);
        body
    }

    /// Reads a whole file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        check_head(bytes)?;
        let slots = [decode_mark(block(bytes, 1)?), decode_mark(block(bytes, 2)?)];
        let newest = slots.into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        let (sequence, mark) =
            newest.ok_or_else(|| Malformed::invalid(BLOCK, "neither mark slot is whole"))?;
        let body = bytes.get(BODY..).unwrap_or_default();
        let state = decode_body(body, mark, sequence).map_err(|malformed| malformed.shifted(BODY))?;
        Ok(state)
    }
}

/// Pads to 508 bytes and adds the CRC of all of them.
fn seal_block(block: &mut Vec<u8>) {
    block.resize(BLOCK - 4, 0);
    let crc = crc32fast::hash(block);
    put_u32(block, crc);
}

fn block(bytes: &[u8], number: usize) -> Result<&[u8], Malformed> {
    let needed = BLOCK * (number + 1);
    bytes.get(BLOCK * number..needed).ok_or(Malformed::Truncated { needed, available: bytes.len() })
}

fn is_whole(block: &[u8]) -> bool {
    block.split_last_chunk::<4>().is_some_and(|(data, crc)| crc32fast::hash(data).to_be_bytes() == *crc)
}

fn check_head(bytes: &[u8]) -> Result<(), Malformed> {
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
    Ok(())
}

fn decode_mark(slot: &[u8]) -> Option<(u64, Mark)> {
    let mut reader = Reader::new(slot);
    if !is_whole(slot) || reader.take_u32().ok()? != MARK_MAGIC {
        return None;
    }
    let sequence = reader.take_u64().ok()?;
    let mark = Mark {
        segment: reader.take_i64().ok()?,
        offset: reader.take_i64().ok()?,
        position: reader.take_u64().ok()?,
    };
    Some((sequence, mark))
}

fn decode_body(bytes: &[u8], mark: Mark, sequence: u64) -> Result<PartitionState, Malformed> {
    let needed = Reader::new(bytes).take_u32()? as usize;
    let whole = bytes.get(..needed).ok_or(Malformed::Truncated { needed, available: bytes.len() })?;
    if bytes.len() != needed || !is_whole(whole) {
        return Err(Malformed::invalid(0, "the table's checksum does not fit"));
    }
    let mut reader = Reader::from(whole, 4);
    let identity =
        Identity { store: reader.take_u128()?, topic: reader.take_u128()?, partition: reader.take_u32()? };
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

fn encode_summary(out: &mut Vec<u8>, summary: &SegmentSummary) {
    put_i64(out, summary.base);
    put_i64(out, summary.next_offset);
    put_u64(out, summary.bytes);
    put_u64(out, summary.record_count);
    put_i64(out, summary.max_timestamp);
    put_i64(out, summary.offset_of_max_timestamp);
    put_u32(out, summary.headers_crc);
    put_u32(out, summary.index_interval_bytes);
    put_u32(out, summary.index_entries);
    put_u32(out, summary.index_crc);
    put_u32(out, summary.time_entries);
    put_u32(out, summary.time_index_crc);
    put_i64(out, summary.first_timestamp);
    put_i64(out, summary.first_append);
    put_i64(out, summary.last_append);
    put_i64(out, summary.delete_horizon);
    put_u32(out, if summary.is_sparse { SPARSE } else { 0 });
}

fn decode_summary(reader: &mut Reader<'_>) -> Result<SegmentSummary, Malformed> {
    Ok(SegmentSummary {
        base: reader.take_i64()?,
        next_offset: reader.take_i64()?,
        bytes: reader.take_u64()?,
        record_count: reader.take_u64()?,
        max_timestamp: reader.take_i64()?,
        offset_of_max_timestamp: reader.take_i64()?,
        headers_crc: reader.take_u32()?,
        index_interval_bytes: reader.take_u32()?,
        index_entries: reader.take_u32()?,
        index_crc: reader.take_u32()?,
        time_entries: reader.take_u32()?,
        time_index_crc: reader.take_u32()?,
        first_timestamp: reader.take_i64()?,
        first_append: reader.take_i64()?,
        last_append: reader.take_i64()?,
        delete_horizon: reader.take_i64()?,
        is_sparse: reader.take_u32()? & SPARSE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(base: Offset) -> SegmentSummary {
        SegmentSummary {
            base,
            next_offset: base + 10,
            bytes: 1000,
            record_count: 10,
            max_timestamp: 77,
            offset_of_max_timestamp: base + 3,
            headers_crc: 1,
            index_interval_bytes: 4096,
            index_entries: 2,
            index_crc: 3,
            time_entries: 4,
            time_index_crc: 5,
            first_timestamp: 70,
            first_append: 71,
            last_append: 72,
            delete_horizon: 73,
            is_sparse: base == 10,
        }
    }

    fn state() -> PartitionState {
        PartitionState {
            identity: Identity { store: 1 << 100, topic: 2, partition: 3 },
            log_start: 4,
            sealed: vec![summary(0), summary(10)],
            closed: Some(summary(20)),
            cleaned_until: 15,
            pending: vec![10],
            obsolete: vec![2, 3],
            mark: Mark { segment: 20, offset: 25, position: 500 },
            sequence: 7,
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let mut state = state();
        assert_eq!(PartitionState::decode(&state.encode()), Ok(state.clone()));
        state.closed = None;
        state.sealed.clear();
        assert_eq!(PartitionState::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn the_newer_slot_counts_and_a_torn_one_leaves_the_other() {
        let old = state();
        let mut bytes = old.encode();
        let new = PartitionState {
            mark: Mark { offset: 29, position: 900, ..old.mark },
            sequence: 8,
            ..old.clone()
        };
        let slot = new.mark.encode(new.sequence);
        let at = usize::try_from(slot.position).unwrap();
        bytes[at..at + 512].copy_from_slice(&slot.bytes);
        assert_eq!(PartitionState::decode(&bytes), Ok(new));
        bytes[at + 100] ^= 1;
        assert_eq!(PartitionState::decode(&bytes), Ok(old));
    }

    #[test]
    fn a_newer_version_is_not_called_damage() {
        let mut bytes = state().encode();
        bytes[11] = 9;
        let expected = Malformed::Unsupported { what: "state file version", found: 9, supported: 1 };
        assert_eq!(PartitionState::decode(&bytes), Err(expected));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen_or_harmless() {
        let state = state();
        let good = state.encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let decoded = PartitionState::decode(&bytes);
            // The second slot is empty here: bits in it change nothing.
            assert!(decoded.is_err() || decoded == Ok(state.clone()), "bit {bit}: {decoded:?}");
            assert!(decoded.is_err() || (512..1024).contains(&(bit / 8)), "bit {bit} was not seen");
        }
        for len in 0..good.len() {
            assert!(PartitionState::decode(&good[..len]).is_err(), "{len} bytes");
        }
    }
}
