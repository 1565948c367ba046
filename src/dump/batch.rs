//! A batch and its records, copied out of a file.

use std::path::PathBuf;

use crate::dump::words::Kind;
use crate::error::{Error, Result};
use crate::format::{
    BatchHeader, Codec, Decompressor, Malformed, RawRecord, RecordIter, TimestampType,
    parse_partition_dir_name,
};
use crate::types::{Header, Offset, Timestamp};

/// The most that a batch may expand to.
const MOST_EXPANDED_BYTES: usize = i32::MAX.unsigned_abs() as usize;

/// A batch as it is in a `.log`. The fields are those of its header.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BatchDump {
    /// Byte position in the `.log`.
    pub position: u64,
    /// Bytes of the whole batch as stored.
    pub bytes: u64,
    /// The offset of the first record that the batch had when it was written.
    pub base_offset: Offset,
    /// The offset of the last record that the batch had when it was written.
    pub last_offset: Offset,
    /// 0 in everything that annals writes.
    pub leader_epoch: i32,
    /// The CRC-32C that the header holds.
    pub crc: u32,
    /// False when the CRC of the bytes is different: the batch is damaged.
    pub crc_fits: bool,
    /// How the records are compressed.
    pub codec: Codec,
    /// Whose clock the timestamps come from.
    pub timestamp_type: TimestampType,
    /// The timestamp that the records' timestamps are relative to.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of its records, -1 when none has one.
    pub max_timestamp: Timestamp,
    /// True when `base_timestamp` is the time from which its tombstones may be removed.
    pub has_delete_horizon: bool,
    /// True for a batch that is part of a transaction.
    pub is_transactional: bool,
    /// True for control batches, whose markers consumers never see.
    pub is_control: bool,
    /// The producer's id, -1 for none.
    pub producer_id: i64,
    /// The producer's epoch, -1 for none.
    pub producer_epoch: i16,
    /// The sequence number of the first record, -1 for none.
    pub base_sequence: i32,
    /// The number of its records.
    pub record_count: i32,
    path: PathBuf,
    header: BatchHeader,
    stored: Vec<u8>,
}

/// A record of a [`BatchDump`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordDump {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, Unix milliseconds, -1 for none.
    pub timestamp: Timestamp,
    /// The key, `None` when null.
    pub key: Option<Vec<u8>>,
    /// The value, `None` when null.
    pub value: Option<Vec<u8>>,
    /// The headers in the order they were sent in.
    pub headers: Vec<HeaderDump>,
    /// A description of the content, for markers of transactions and for the records of topics that a store keeps for itself, as
    /// `__consumer_offsets`, which are recognised by the name of their directory; `None` for a program's own records. In `__delayed_messages` it
    /// says when the record is delivered, and where to; key, value and the other headers are the program's.
    pub words: Option<String>,
}

/// A header of a [`RecordDump`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderDump {
    /// The header's name.
    pub key: String,
    /// The header's value, `None` when null.
    pub value: Option<Vec<u8>>,
}

impl BatchDump {
    /// The batch that `stored` holds, all of it and nothing else.
    pub(super) fn new(path: PathBuf, position: u64, header: BatchHeader, stored: Vec<u8>) -> Self {
        Self {
            position,
            bytes: stored.len() as u64,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            leader_epoch: header.leader_epoch,
            crc: header.crc,
            crc_fits: BatchHeader::verify_crc(&stored).is_ok(),
            codec: header.codec(),
            timestamp_type: header.attributes.timestamp_type(),
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            has_delete_horizon: header.attributes.has_delete_horizon(),
            is_transactional: header.attributes.is_transactional(),
            is_control: header.attributes.is_control(),
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            record_count: header.record_count,
            path,
            header,
            stored,
        }
    }

    /// Returns its records, expanded and decoded. A batch whose CRC does not match is decoded all the same, as far as possible.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when they are not what the header says.
    pub fn records(&self) -> Result<Vec<RecordDump>> {
        let body = self.stored.get(BatchHeader::LEN..).unwrap_or_default();
        let mut expanded = Vec::new();
        let records = match self.codec {
            Codec::None => body,
            codec => {
                let outcome =
                    Decompressor::default().decompress(codec, body, MOST_EXPANDED_BYTES, &mut expanded);
                outcome.map_err(|malformed| self.damaged(&malformed))?;
                &expanded
            }
        };
        let kind = Kind::of(&self.header, self.topic());
        let dump = |record: RawRecord<'_>| {
            let words = kind.words(&self.header, records, &record);
            RecordDump::new(record, words)
        };
        RecordIter::new(&self.header, records)
            .map(|record| record.map(dump))
            .collect::<Result<_, _>>()
            .map_err(|malformed| self.damaged(&malformed))
    }

    /// As the directory is named.
    fn topic(&self) -> Option<&str> {
        let directory = self.path.parent()?.file_name()?.to_str()?;
        Some(parse_partition_dir_name(directory)?.topic)
    }

    fn damaged(&self, malformed: &Malformed) -> Error {
        Error::corrupt(self.path.clone(), self.position, Some(self.base_offset), malformed.to_string())
    }
}

impl RecordDump {
    fn new(record: RawRecord<'_>, words: Option<String>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(HeaderDump::new).collect(),
            words,
        }
    }
}

impl HeaderDump {
    fn new(header: Header<'_>) -> Self {
        Self { key: header.key.into_owned(), value: header.value.map(<[u8]>::to_vec) }
    }
}
