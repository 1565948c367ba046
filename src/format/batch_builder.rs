//! The open batch of a partition.

use super::compression::{Compression, Compressor};
use super::record::RecordBody;
use super::{Attributes, BatchHeader, Codec, Malformed, TimestampType};
use crate::types::{Header, NO_TIMESTAMP, Offset, Timestamp};

/// Buffers that grew beyond this many times what was asked for are given back on `reset`, so that one large record
/// does not hold its memory for as long as the partition is open.
const KEEP_CAPACITY: usize = 4;

/// A record to append: its timestamp is settled, its offset is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header<'a>],
}

/// How a batch is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    pub(crate) compression: Compression,
    pub(crate) timestamp_type: TimestampType,
    /// The time of every record if `timestamp_type` is the log's; not looked at otherwise.
    pub(crate) append_time: Timestamp,
}

/// Who writes a batch, where that is somebody with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Of the batch's first record, -1 when nobody counts.
    pub(crate) base_sequence: i32,
    /// Whether the batch counts only once its transaction is committed.
    pub(crate) is_transactional: bool,
}

/// A whole batch, ready for the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealedBatch<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: BatchHeader,
}

/// Encodes records one after the other with contiguous offsets, after room for the header, so that an uncompressed
/// batch is written from where its records were encoded.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    base_offset: Offset,
    /// The first record's timestamp.
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    producer: Option<ProducerStamp>,
    /// `BatchHeader::LEN` bytes, then the records. The first are meaningless until `seal`.
    plain: Vec<u8>,
    /// The last sealed batch if it was compressed.
    packed: Vec<u8>,
    capacity: usize,
}

impl BatchBuilder {
    /// An empty batch whose first record gets `base_offset`. `capacity` is the expected size of the batch in bytes.
    pub(crate) fn new(base_offset: Offset, capacity: usize) -> Self {
        let capacity = capacity.max(BatchHeader::LEN);
        let mut plain = Vec::with_capacity(capacity);
        plain.resize(BatchHeader::LEN, 0);
        Self {
            base_offset,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            count: 0,
            producer: None,
            plain,
            packed: Vec::new(),
            capacity,
        }
    }

    /// Bytes of the batch, uncompressed, if `record` were appended.
    #[cfg(test)]
    #[inline]
    pub(crate) fn size_with(&self, record: &NewRecord<'_>) -> usize {
        self.plain.len() + self.body(record).encoded_len()
    }

    /// Appends a record and says its offset. The caller has compared its size with the limits: a batch beyond
    /// `i32::MAX` bytes can never be sealed.
    #[inline(always)]
    pub(crate) fn append(&mut self, record: &NewRecord<'_>) -> Offset {
        let offset = self.next_offset();
        self.body(record).encode(&mut self.plain);
        if self.count == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
        offset
    }

    #[inline]
    fn body<'a>(&self, record: &NewRecord<'a>) -> RecordBody<'a> {
        let base = if self.count == 0 { record.timestamp } else { self.base_timestamp };
        RecordBody {
            timestamp_delta: record.timestamp.wrapping_sub(base),
            offset_delta: self.count,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    /// The records, one after the other, uncompressed.
    pub(crate) fn records(&self) -> &[u8] {
        self.plain.get(BatchHeader::LEN..).unwrap_or_default()
    }

    /// Records appended.
    pub(crate) fn count(&self) -> i32 {
        self.count
    }

    /// Bytes so far, uncompressed, the header's included.
    pub(crate) fn len(&self) -> usize {
        self.plain.len()
    }

    /// Bytes of its buffers.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.plain.capacity() + self.packed.capacity()
    }

    /// The offset of the first record.
    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// The offset that the next record gets.
    #[inline]
    pub(crate) fn next_offset(&self) -> Offset {
        self.base_offset.saturating_add(i64::from(self.count))
    }

    /// The largest timestamp appended, -1 without records.
    #[cfg(test)]
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    /// Says who writes the batch. Its records are in nobody else's.
    pub(crate) fn stamp(&mut self, producer: ProducerStamp) {
        self.producer = Some(producer);
    }

    /// Forgets every record and starts again at `base_offset` with the same buffers.
    #[inline]
    pub(crate) fn reset(&mut self, base_offset: Offset) {
        self.base_offset = base_offset;
        self.base_timestamp = NO_TIMESTAMP;
        self.max_timestamp = NO_TIMESTAMP;
        self.count = 0;
        self.producer = None;
        self.plain.truncate(BatchHeader::LEN);
        self.packed.clear();
        let keep = self.capacity.saturating_mul(KEEP_CAPACITY);
        if self.plain.capacity() > keep || self.packed.capacity() > keep {
            self.shrink(keep);
        }
    }

    #[cold]
    fn shrink(&mut self, keep: usize) {
        for grown in [&mut self.plain, &mut self.packed].into_iter().filter(|bytes| bytes.capacity() > keep) {
            grown.shrink_to(self.capacity);
        }
    }

    /// Closes the batch: compresses if that makes it smaller, writes the header and its CRC. The records stay, so a
    /// batch whose write failed can be sealed again, elsewhere or otherwise.
    #[inline(always)]
    pub(crate) fn seal(
        &mut self,
        how: &Seal,
        compressor: &mut Compressor,
    ) -> Result<SealedBatch<'_>, Malformed> {
        if self.count == 0 {
            return Err(Malformed::invalid(0, "a batch without records"));
        }
        let codec = match how.compression.codec() {
            Codec::None => Codec::None,
            _ => self.pack(how.compression, compressor)?,
        };
        let mut header = self.header(how, codec);
        let bytes = if codec == Codec::None { &mut self.plain } else { &mut self.packed };
        let behind_prefix = bytes.len().saturating_sub(BatchHeader::PREFIX);
        header.batch_length = i32::try_from(behind_prefix)
            .map_err(|_| Malformed::invalid(0, "a batch beyond 2147483647 bytes"))?;
        header.stamp(bytes)?;
        Ok(SealedBatch { bytes, header })
    }

    /// Fills `packed` and says which codec the batch gets: none if the other does not gain.
    #[inline(never)]
    fn pack(&mut self, compression: Compression, compressor: &mut Compressor) -> Result<Codec, Malformed> {
        self.packed.clear();
        self.packed.resize(BatchHeader::LEN, 0);
        let records = self.plain.get(BatchHeader::LEN..).unwrap_or_default();
        compressor.compress(compression, records, &mut self.packed)?;
        Ok(if self.packed.len() < self.plain.len() { compression.codec() } else { Codec::None })
    }

    fn header(&self, how: &Seal, codec: Codec) -> BatchHeader {
        let attributes = Attributes::new(codec, how.timestamp_type);
        let header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: 0,
            // Not -1: a follower that fetches the file's batches assigns epochs from them and refuses negative ones.
            leader_epoch: 0,
            crc: 0,
            attributes,
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: match how.timestamp_type {
                TimestampType::CreateTime => self.max_timestamp,
                TimestampType::LogAppendTime => how.append_time,
            },
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: self.count,
        };
        match self.producer {
            None => header,
            Some(producer) => header.written_by(&producer),
        }
    }
}
