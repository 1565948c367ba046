//! `.snapshot`: what a partition knew of its producers when it had come to the offset that the file is named by.
//!
//! ```text
//! i16 version 1 | u32 CRC-32C of all that follows | i32 count | 46 bytes for each producer:
//! i64 id | i16 epoch | i32 last sequence | i64 last offset | i32 its batch's offset delta | i64 timestamp |
//! i32 coordinator epoch | i64 first offset of the open transaction, or -1
//! ```

use super::Malformed;
use super::bytes::{self, Reader};
use super::end_marker::check_exact_version;
use crate::types::{Offset, Timestamp};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const CRC_FROM: usize = 6;
const ENTRY_LEN: usize = 46;
const NO_OFFSET: Offset = -1;

/// One producer. Of its batches only the last is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// -1 when it has written nothing in its epoch, or nothing that is counted.
    pub(crate) last_sequence: i32,
    /// Of the last record of its last batch, -1 without one.
    pub(crate) last_offset: Offset,
    /// How far before `last_offset` that batch begins.
    pub(crate) offset_delta: i32,
    /// Of its last batch or marker.
    pub(crate) timestamp: Timestamp,
    /// -1 when no marker was written for it.
    pub(crate) coordinator_epoch: i32,
    /// First offset of the transaction that it has open.
    pub(crate) open_since: Option<Offset>,
}

/// The whole file.
pub(crate) fn encode_producer_snapshot(entries: &[ProducerEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + entries.len().saturating_mul(ENTRY_LEN));
    bytes::put_i16(&mut out, VERSION);
    bytes::put_u32(&mut out, 0);
    bytes::put_i32(&mut out, i32::try_from(entries.len()).unwrap_or(i32::MAX));
    for entry in entries {
        bytes::put_i64(&mut out, entry.producer_id);
        bytes::put_i16(&mut out, entry.producer_epoch);
        bytes::put_i32(&mut out, entry.last_sequence);
        bytes::put_i64(&mut out, entry.last_offset);
        bytes::put_i32(&mut out, entry.offset_delta);
        bytes::put_i64(&mut out, entry.timestamp);
        bytes::put_i32(&mut out, entry.coordinator_epoch);
        bytes::put_i64(&mut out, entry.open_since.unwrap_or(NO_OFFSET));
    }
    let crc = crc_of(&out);
    if let Some(field) = out.get_mut(CRC_AT..CRC_FROM) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    out
}

/// Reads the whole file.
pub(crate) fn decode_producer_snapshot(bytes: &[u8]) -> Result<Vec<ProducerEntry>, Malformed> {
    let mut reader = Reader::new(bytes);
    check_exact_version(reader.take_i16()?, "producer snapshot version", VERSION)?;
    let crc = reader.take_u32()?;
    if crc != crc_of(bytes) {
        return Err(Malformed::invalid(CRC_AT, "the snapshot's checksum does not fit"));
    }
    let count = reader.take_i32()?;
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_LEN)) != Some(reader.remaining())
    {
        return Err(Malformed::invalid(CRC_FROM, "the number of producers does not fit"));
    }
    let mut entries = Vec::with_capacity(reader.remaining() / ENTRY_LEN);
    while reader.remaining() > 0 {
        entries.push(decode_entry(&mut reader)?);
    }
    Ok(entries)
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<ProducerEntry, Malformed> {
    let at = reader.position();
    let entry = ProducerEntry {
        producer_id: reader.take_i64()?,
        producer_epoch: reader.take_i16()?,
        last_sequence: reader.take_i32()?,
        last_offset: reader.take_i64()?,
        offset_delta: reader.take_i32()?,
        timestamp: reader.take_i64()?,
        coordinator_epoch: reader.take_i32()?,
        open_since: match reader.take_i64()? {
            NO_OFFSET => None,
            offset => Some(offset),
        },
    };
    let is_sane = entry.producer_id >= 0
        && entry.last_offset >= NO_OFFSET
        && entry.offset_delta >= 0
        && entry.open_since.is_none_or(|offset| offset >= 0);
    if is_sane { Ok(entry) } else { Err(Malformed::invalid(at, "a producer with a negative id or offset")) }
}

fn crc_of(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes.get(CRC_FROM..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: ProducerEntry = ProducerEntry {
        producer_id: 7,
        producer_epoch: 2,
        last_sequence: 99,
        last_offset: 1000,
        offset_delta: 9,
        timestamp: 5,
        coordinator_epoch: 0,
        open_since: Some(980),
    };

    #[test]
    fn no_producers_are_the_ten_bytes_that_kafka_writes() {
        let bytes = encode_producer_snapshot(&[]);
        assert_eq!(bytes, b"\0\x01\x48\x67\x4b\xc7\0\0\0\0");
        assert_eq!(decode_producer_snapshot(&bytes), Ok(Vec::new()));
    }

    #[test]
    fn producers_come_back() {
        let other = ProducerEntry { producer_id: 8, open_since: None, last_offset: -1, ..ENTRY };
        let bytes = encode_producer_snapshot(&[ENTRY, other]);
        assert_eq!(bytes.len(), 10 + 2 * 46);
        assert_eq!(decode_producer_snapshot(&bytes), Ok(vec![ENTRY, other]));
        let ours = &bytes[10..56];
        assert_eq!(&ours[..10], b"\0\0\0\0\0\0\0\x07\0\x02");
        assert_eq!(&ours[38..], &980_i64.to_be_bytes());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let good = encode_producer_snapshot(&[ENTRY]);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_producer_snapshot(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(decode_producer_snapshot(&good[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn producers_that_cannot_be_are_refused() {
        for entry in [
            ProducerEntry { producer_id: -1, ..ENTRY },
            ProducerEntry { last_offset: -2, ..ENTRY },
            ProducerEntry { offset_delta: -1, ..ENTRY },
            ProducerEntry { open_since: Some(-2), ..ENTRY },
        ] {
            assert!(decode_producer_snapshot(&encode_producer_snapshot(&[entry])).is_err(), "{entry:?}");
        }
    }
}
