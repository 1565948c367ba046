//! What is remembered of a segment when nothing of it is in memory.

use crate::format::{BatchHeader, SegmentSummary, encode_offset_index, encode_time_index};
use crate::segment::SparseIndex;
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// What a walk over a segment's batch headers, or their writing, adds up to.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) record_count: u64,
    /// Largest timestamp of the first batch that has one, -1 when none has.
    pub(crate) first_timestamp: Timestamp,
    /// CRC-32 over the 61 header bytes of every batch in order.
    pub(crate) headers: HeaderSum,
}

/// A CRC-32 over many short pieces, taken over some dozens of them at a time: that is several times faster.
#[derive(Debug, Clone)]
pub(crate) struct HeaderSum {
    hasher: crc32fast::Hasher,
    pending: Vec<u8>,
}

impl HeaderSum {
    /// Bytes that are gathered before they are added.
    const GATHER: usize = 32 * BatchHeader::LEN;

    fn starting_with(crc: u32) -> Self {
        Self { hasher: crc32fast::Hasher::new_with_initial(crc), pending: Vec::new() }
    }

    #[inline]
    fn add(&mut self, header: &[u8]) {
        if self.pending.len() >= Self::GATHER {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        // Of one length: that is a few moves and no call.
        if let Some(header) = header.first_chunk::<{ BatchHeader::LEN }>() {
            self.pending.extend_from_slice(header);
        }
    }

    /// The CRC of everything added.
    pub(crate) fn finish(mut self) -> u32 {
        self.hasher.update(&self.pending);
        self.hasher.finalize()
    }
}

impl Tally {
    pub(crate) fn new(base: Offset) -> Self {
        Self {
            base,
            next_offset: base,
            bytes: 0,
            record_count: 0,
            first_timestamp: NO_TIMESTAMP,
            headers: HeaderSum::starting_with(0),
        }
    }

    /// The sum that a summary was made of, to go on with.
    pub(crate) fn resumed(summary: &SegmentSummary) -> Self {
        Self {
            base: summary.base,
            next_offset: summary.next_offset,
            bytes: summary.bytes,
            record_count: summary.record_count,
            first_timestamp: summary.first_timestamp,
            headers: HeaderSum::starting_with(summary.headers_crc),
        }
    }

    /// Adds the batch whose header these bytes are.
    #[inline]
    pub(crate) fn add(&mut self, header: &BatchHeader, header_bytes: &[u8]) {
        self.next_offset = header.next_offset();
        self.bytes += header.total_len() as u64;
        self.record_count += u64::from(header.record_count.unsigned_abs());
        if self.first_timestamp < 0 && header.record_count > 0 {
            self.first_timestamp = header.max_timestamp;
        }
        self.headers.add(header_bytes);
    }
}

/// The summary of a segment without a batch.
pub(crate) fn empty_segment(base: Offset, index_interval_bytes: u32) -> SegmentSummary {
    let mut index = SparseIndex::new(base, index_interval_bytes);
    index.note_time();
    summarize(&Tally::new(base), &index)
}

/// The summary of a segment whose index is finished. When it was appended to is for the caller to fill in.
pub(crate) fn summarize(tally: &Tally, index: &SparseIndex) -> SegmentSummary {
    let largest = index.largest();
    SegmentSummary {
        base: tally.base,
        next_offset: tally.next_offset,
        bytes: tally.bytes,
        record_count: tally.record_count,
        max_timestamp: largest.timestamp,
        offset_of_max_timestamp: largest.offset,
        headers_crc: tally.headers.clone().finish(),
        index_interval_bytes: index.interval_bytes(),
        index_entries: u32::try_from(index.offsets().len()).unwrap_or(u32::MAX),
        index_crc: crc32fast::hash(&encode_offset_index(index.offsets())),
        time_entries: u32::try_from(index.times().len()).unwrap_or(u32::MAX),
        time_index_crc: crc32fast::hash(&encode_time_index(index.times())),
        first_timestamp: tally.first_timestamp,
        first_append: NO_TIMESTAMP,
        last_append: NO_TIMESTAMP,
        delete_horizon: NO_TIMESTAMP,
        is_sparse: false,
        aborted_entries: 0,
        aborted_crc: 0,
    }
}
