//! The 61 bytes in front of a batch's records (RecordBatch, magic 2).
//!
//! ```text
//! 0          8       12      16 17   21    23      27        35       43         51     53        57       61
//! | base     | batch | leader|m | crc | attri| last  | base   | max    | producer | prod. | base    | record  |
//! | offset   | length| epoch |  |     | butes| delta | time   | time   | id       | epoch | sequence| count   |
//! ```
//! The CRC-32C covers byte 21 to the end: base offset and leader epoch can be given again without touching it, and a
//! flipped bit in the first 17 bytes goes unnoticed unless the reader checks offsets and magic.

use super::bytes::Reader;
use super::{Attributes, Codec, Malformed, ProducerStamp};
use crate::types::{Offset, Timestamp};

const MAGIC: i8 = 2;
/// Where each field begins: where the one before it ends.
const BATCH_LENGTH_AT: usize = size_of::<i64>();
const LEADER_EPOCH_AT: usize = BATCH_LENGTH_AT + size_of::<i32>();
const MAGIC_AT: usize = LEADER_EPOCH_AT + size_of::<i32>();
const CRC_AT: usize = MAGIC_AT + size_of::<i8>();
const ATTRIBUTES_AT: usize = CRC_AT + size_of::<u32>();
const LAST_OFFSET_DELTA_AT: usize = ATTRIBUTES_AT + size_of::<i16>();
const BASE_TIMESTAMP_AT: usize = LAST_OFFSET_DELTA_AT + size_of::<i32>();
const MAX_TIMESTAMP_AT: usize = BASE_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_ID_AT: usize = MAX_TIMESTAMP_AT + size_of::<i64>();
const PRODUCER_EPOCH_AT: usize = PRODUCER_ID_AT + size_of::<i64>();
const BASE_SEQUENCE_AT: usize = PRODUCER_EPOCH_AT + size_of::<i16>();
const RECORD_COUNT_AT: usize = BASE_SEQUENCE_AT + size_of::<i32>();
/// What the checksum covers.
const CRC_FROM: usize = ATTRIBUTES_AT;

const _: () = assert!(BatchHeader::LEN == RECORD_COUNT_AT + size_of::<i32>(), "the fields fill the header");
const _: () = assert!(BatchHeader::PREFIX == LEADER_EPOCH_AT, "the prefix ends with the length");
const _: () = assert!(
    BatchHeader::MIN_BATCH_LENGTH.cast_unsigned() as usize + BatchHeader::PREFIX == BatchHeader::LEN,
    "the smallest batch is a header"
);

/// A decoded header: `batch_length` covers at least the header, and offsets, deltas and counts are not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Offset of the first record that the batch had when it was written.
    pub(crate) base_offset: Offset,
    /// Bytes after the length field itself.
    pub(crate) batch_length: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) attributes: Attributes,
    pub(crate) last_offset_delta: i32,
    /// What the records' timestamp deltas count from; the delete horizon if the attributes say so.
    pub(crate) base_timestamp: Timestamp,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Bytes of a header, and of the smallest batch.
    pub(crate) const LEN: usize = 61;
    /// Bytes up to and including the length field: enough to know where the next batch starts.
    pub(crate) const PREFIX: usize = 12;
    /// Bytes in front of the checksum, which it does not cover: base offset, length, leader epoch, magic.
    pub(crate) const UNCHECKED: usize = CRC_AT;
    /// Where the largest time of its records stands.
    pub(crate) const MAX_TIMESTAMP: usize = MAX_TIMESTAMP_AT;
    const MIN_BATCH_LENGTH: i32 = 49;

    /// Decodes the header at the start of `bytes` and checks every rule that needs no more than the header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(bytes) = bytes.first_chunk::<{ Self::LEN }>() else {
            return Err(Malformed::truncated(Self::LEN, bytes.len()));
        };
        check_magic(i8::from_be_bytes(field(bytes, MAGIC_AT)))?;
        let attributes = i16::from_be_bytes(field(bytes, ATTRIBUTES_AT));
        let Some(attributes) = Attributes::from_bits(attributes) else {
            return Err(Malformed::invalid(
                ATTRIBUTES_AT,
                format!("codec {} does not exist", attributes & 0b111),
            ));
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, BATCH_LENGTH_AT)),
            leader_epoch: i32::from_be_bytes(field(bytes, LEADER_EPOCH_AT)),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes,
            last_offset_delta: i32::from_be_bytes(field(bytes, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(bytes, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(bytes, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)),
        };
        header.check()
    }

    /// The bytes of a header at the front of others.
    #[inline]
    pub(super) fn first_chunk(bytes: &[u8]) -> Option<&[u8; Self::LEN]> {
        bytes.first_chunk()
    }

    /// Whether these are the bytes of a header of records that begin with the one of `offset`, neither compressed nor of a transaction.
    #[inline]
    pub(super) fn is_plain_at(bytes: &[u8; Self::LEN], offset: Offset) -> bool {
        i64::from_be_bytes(field(bytes, 0)) == offset
            && i8::from_be_bytes(field(bytes, MAGIC_AT)) == MAGIC
            && Attributes::are_plain(i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)))
            && i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)) > 0
    }

    fn check(self) -> Result<Self, Malformed> {
        if self.base_offset < 0 {
            return Err(Malformed::invalid(0, format!("base offset {} is negative", self.base_offset)));
        }
        if self.batch_length < Self::MIN_BATCH_LENGTH {
            let why = format!("batch length {} is below {}", self.batch_length, Self::MIN_BATCH_LENGTH);
            return Err(Malformed::invalid(BATCH_LENGTH_AT, why));
        }
        if self.last_offset_delta < 0 {
            let why = format!("last offset delta {} is negative", self.last_offset_delta);
            return Err(Malformed::invalid(LAST_OFFSET_DELTA_AT, why));
        }
        if self.record_count < 0 {
            return Err(Malformed::invalid(
                RECORD_COUNT_AT,
                format!("record count {} is negative", self.record_count),
            ));
        }
        // One more than the last offset must exist too: it is where the next batch goes.
        match self.base_offset.checked_add(i64::from(self.last_offset_delta)) {
            Some(last) if last < i64::MAX => Ok(self),
            _ => Err(Malformed::invalid(0, format!("base offset {} leaves no room", self.base_offset))),
        }
    }

    /// The header with the name of whoever writes the batch.
    pub(crate) fn written_by(self, producer: &ProducerStamp) -> Self {
        let attributes = self.attributes;
        Self {
            attributes: if producer.is_transactional { attributes.with_transactional() } else { attributes },
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            base_sequence: producer.base_sequence,
            ..self
        }
    }

    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..BATCH_LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        out[BATCH_LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        out[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.leader_epoch.to_be_bytes());
        out[MAGIC_AT..CRC_AT].copy_from_slice(&MAGIC.to_be_bytes());
        out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        out[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&self.attributes.bits().to_be_bytes());
        out[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        out[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[RECORD_COUNT_AT..].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// Writes the header over the first 61 bytes of `out`; a shorter `out` is left alone and is an error.
    pub(crate) fn encode_into(&self, out: &mut [u8]) -> Result<(), Malformed> {
        let available = out.len();
        let place = out.first_chunk_mut().ok_or_else(|| Malformed::truncated(Self::LEN, available))?;
        *place = self.encode();
        Ok(())
    }

    /// Encodes this header over the start of `batch`, a whole batch whose records are in place, and sets its CRC both
    /// there and here.
    pub(crate) fn stamp(&mut self, batch: &mut [u8]) -> Result<(), Malformed> {
        self.encode_into(batch)?;
        self.crc = crc_of(batch);
        self.encode_into(batch)
    }

    /// Checks the CRC of a whole batch.
    pub(crate) fn verify_crc(batch: &[u8]) -> Result<(), Malformed> {
        if batch.len() < Self::LEN {
            return Err(Malformed::truncated(Self::LEN, batch.len()));
        }
        let stored = Reader::from(batch, CRC_AT).take_u32()?;
        let computed = crc_of(batch);
        if computed == stored {
            return Ok(());
        }
        Err(Malformed::invalid(CRC_AT, format!("CRC-32C is {computed:08x}, the header says {stored:08x}")))
    }

    /// Bytes of the whole batch.
    pub(crate) fn total_len(&self) -> usize {
        usize::try_from(self.batch_length).unwrap_or_default().saturating_add(Self::PREFIX)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The sequence of the last record, -1 when nobody counts.
    pub(crate) fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }

    /// Where the batch after this one starts at the earliest.
    pub(crate) fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    pub(crate) fn codec(&self) -> Codec {
        self.attributes.codec()
    }
}

/// The sequence `count` records on: after the greatest comes 0. No sequence stays none.
pub(crate) fn sequence_after(sequence: i32, count: i32) -> i32 {
    match sequence.checked_add(count) {
        _ if sequence < 0 => sequence,
        Some(after) => after,
        None => count - (i32::MAX - sequence) - 1,
    }
}

/// The bytes of the field at `at`, which all begin and end inside the header.
#[inline(always)]
fn field<const N: usize>(header: &[u8; BatchHeader::LEN], at: usize) -> [u8; N] {
    header.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// One above ours is damage like one below: no checksum covers the byte, and a version of annals that writes another says
/// so in the state file, which is read first.
fn check_magic(magic: i8) -> Result<(), Malformed> {
    if magic == MAGIC {
        return Ok(());
    }
    Err(Malformed::invalid(MAGIC_AT, format!("batch magic {magic} is not {MAGIC}")))
}

fn crc_of(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(batch.get(CRC_FROM..).unwrap_or_default())
}
