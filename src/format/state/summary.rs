//! One line of the state file's table: a segment that is complete and synced.

use crate::format::Malformed;
use crate::format::bytes::{Reader, put_i64, put_u32, put_u64};
use crate::types::{Offset, Timestamp};

/// Bytes of one segment in the table.
pub(super) const SUMMARY_LEN: usize = 108;
/// Flag of a summary: see [`SegmentSummary::is_sparse`].
const SPARSE: u32 = 1;
/// Flag of a summary: count and checksum of its aborted transactions follow. A file with such a segment has version 2.
const ABORTED: u32 = 2;

/// A segment that is complete and synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    pub(crate) base: Offset,
    /// The offset after its last record.
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
    /// Aborted transactions whose marker it holds: entries of its `.txnindex`.
    pub(crate) aborted_entries: u32,
    /// CRC-32 over the `.txnindex`; 0 without entries.
    pub(crate) aborted_crc: u32,
}

impl SegmentSummary {
    /// The summary of a segment of which it is not known, but that it holds ends of transactions if `ends_any`, which of these
    /// were aborted: the log is asked.
    pub(crate) fn aborted_unknown(self, ends_any: bool) -> Self {
        Self { aborted_entries: if ends_any { u32::MAX } else { 0 }, aborted_crc: 0, ..self }
    }
}

pub(super) fn encode_summary(out: &mut Vec<u8>, summary: &SegmentSummary) {
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
    let has_aborted = summary.aborted_entries > 0;
    put_u32(out, if summary.is_sparse { SPARSE } else { 0 } | if has_aborted { ABORTED } else { 0 });
    if has_aborted {
        put_u32(out, summary.aborted_entries);
        put_u32(out, summary.aborted_crc);
    }
}

pub(super) fn decode_summary(reader: &mut Reader<'_>) -> Result<SegmentSummary, Malformed> {
    let mut summary = SegmentSummary {
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
        is_sparse: false,
        aborted_entries: 0,
        aborted_crc: 0,
    };
    let flags = reader.take_u32()?;
    summary.is_sparse = flags & SPARSE != 0;
    if flags & ABORTED != 0 {
        (summary.aborted_entries, summary.aborted_crc) = (reader.take_u32()?, reader.take_u32()?);
    }
    Ok(summary)
}
