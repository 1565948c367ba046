//! Control batches that end a transaction: one record whose key says commit or abort.
//!
//! ```text
//! key:   i16 version 0, i16 type (0 abort, 1 commit)
//! value: i16 version 0, i32 coordinator epoch
//! ```
//! A marker ends the transaction of the producer id in its batch's header. All in all a marker is 78 bytes.

use super::bytes::{self, Reader};
use super::offset_commit::check_version;
use super::{Attributes, BatchHeader, Codec, Malformed, RecordBody, RecordIter, TimestampType};
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    Commit,
    Abort,
}

/// What the record of a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlRecord {
    EndOfTransaction {
        ending: Ending,
        coordinator_epoch: i32,
    },
    /// A kind that only brokers write, by its number: it has a place in the log and means nothing here.
    Other(i16),
}

impl ControlRecord {
    /// What the control batch of that header says; `body` is everything behind the header. `None` for one that was emptied:
    /// a compaction has taken all of its transaction.
    pub(crate) fn decode(header: &BatchHeader, body: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(record) = RecordIter::new(header, body).next() else { return Ok(None) };
        let record = record?;
        let key = record.key.ok_or_else(|| Malformed::invalid(0, "a control record without a key"))?;
        let mut reader = Reader::new(key);
        let version = reader.take_i16()?;
        if version < 0 {
            return Err(Malformed::invalid(0, format!("control record version {version} is negative")));
        }
        let ending = match reader.take_i16()? {
            ABORT => Ending::Abort,
            COMMIT => Ending::Commit,
            other => return Ok(Some(Self::Other(other))),
        };
        let value = record.value.ok_or_else(|| Malformed::invalid(0, "a marker without a value"))?;
        let mut reader = Reader::new(value);
        // A later version adds fields behind those known.
        let version = reader.take_i16()?;
        if version < 0 {
            return Err(Malformed::invalid(0, format!("marker version {version} is negative")));
        }
        Ok(Some(Self::EndOfTransaction { ending, coordinator_epoch: reader.take_i32()? }))
    }
}

/// A marker to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) ending: Ending,
    pub(crate) coordinator_epoch: i32,
}

impl EndMarker {
    /// The whole batch of the marker.
    pub(crate) fn encode(&self, base_offset: Offset, now: Timestamp) -> Result<Vec<u8>, Malformed> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        bytes::put_i16(&mut key, KEY_VERSION);
        bytes::put_i16(&mut key, if self.ending == Ending::Commit { COMMIT } else { ABORT });
        bytes::put_i16(&mut value, VALUE_VERSION);
        bytes::put_i32(&mut value, self.coordinator_epoch);
        let record: RecordBody<'_> = RecordBody {
            timestamp_delta: 0,
            offset_delta: 0,
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        };
        let mut batch = vec![0; BatchHeader::LEN];
        record.encode(&mut batch);
        let behind_prefix = batch.len().saturating_sub(BatchHeader::PREFIX);
        let now = now.max(NO_TIMESTAMP);
        let mut header = BatchHeader {
            base_offset,
            batch_length: i32::try_from(behind_prefix).unwrap_or(i32::MAX),
            leader_epoch: 0,
            crc: 0,
            attributes: Attributes::new(Codec::None, TimestampType::CreateTime)
                .with_transactional()
                .with_control(),
            last_offset_delta: 0,
            base_timestamp: now,
            max_timestamp: now,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: -1,
            record_count: 1,
        };
        header.stamp(&mut batch)?;
        Ok(batch)
    }
}

/// Whether a version of a value that is read whole is one that is known.
pub(super) fn check_exact_version(found: i16, what: &'static str, known: i16) -> Result<(), Malformed> {
    if check_version(found, what, known)? == known {
        return Ok(());
    }
    Err(Malformed::invalid(0, format!("{what} {found} is older than any that was written")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: EndMarker =
        EndMarker { producer_id: 7, producer_epoch: 3, ending: Ending::Commit, coordinator_epoch: 5 };

    fn decoded(batch: &[u8]) -> Result<Option<ControlRecord>, Malformed> {
        let header = BatchHeader::decode(batch).unwrap();
        BatchHeader::verify_crc(batch).unwrap();
        ControlRecord::decode(&header, &batch[BatchHeader::LEN..])
    }

    #[test]
    fn a_marker_is_78_bytes_in_kafkas_layout() {
        let batch = MARKER.encode(100, 9).unwrap();
        let header = BatchHeader::decode(&batch).unwrap();
        assert_eq!((batch.len(), header.batch_length, header.attributes.bits()), (78, 66, 0x30));
        assert_eq!((header.base_sequence, header.producer_id, header.producer_epoch), (-1, 7, 3));
        assert_eq!((header.base_offset, header.next_offset(), header.max_timestamp), (100, 101, 9));
        let record = b"\x20\0\0\0\x08\0\0\0\x01\x0c\0\0\0\0\0\x05\0";
        assert_eq!(batch[BatchHeader::LEN..], record[..]);
        let abort = EndMarker { ending: Ending::Abort, ..MARKER }.encode(100, 9).unwrap();
        assert_eq!(abort[BatchHeader::LEN..][8], 0);
    }

    #[test]
    fn markers_come_back() {
        for ending in [Ending::Commit, Ending::Abort] {
            let batch = EndMarker { ending, ..MARKER }.encode(0, -5).unwrap();
            let expected = ControlRecord::EndOfTransaction { ending, coordinator_epoch: 5 };
            assert_eq!(decoded(&batch), Ok(Some(expected)));
        }
    }

    #[test]
    fn an_emptied_control_batch_says_nothing() {
        let batch = MARKER.encode(0, 0).unwrap();
        let header = BatchHeader { record_count: 0, ..BatchHeader::decode(&batch).unwrap() };
        assert_eq!(ControlRecord::decode(&header, &[]), Ok(None));
    }

    #[test]
    fn kinds_that_are_not_ours_and_records_that_are_none() {
        let with = |key: Option<&[u8]>, value: Option<&[u8]>| {
            let mut batch = MARKER.encode(0, 0).unwrap();
            batch.truncate(BatchHeader::LEN);
            let body: RecordBody<'_> =
                RecordBody { timestamp_delta: 0, offset_delta: 0, key, value, headers: &[] };
            body.encode(&mut batch);
            let header = BatchHeader::decode(&batch).unwrap();
            ControlRecord::decode(&header, &batch[BatchHeader::LEN..])
        };
        assert_eq!(with(Some(b"\0\0\0\x02"), Some(b"")), Ok(Some(ControlRecord::Other(2))));
        assert!(with(None, None).is_err());
        assert!(with(Some(b"\0\0\0"), Some(b"")).is_err());
        assert!(with(Some(b"\xff\xff\0\0"), Some(b"")).is_err());
        assert!(with(Some(b"\0\0\0\x01"), None).is_err());
        assert!(with(Some(b"\0\0\0\x01"), Some(b"\0\0\0")).is_err());
        let longer = with(Some(b"\0\x01\0\x01 more"), Some(b"\0\x01\0\0\0\x05 more"));
        assert!(matches!(longer, Ok(Some(ControlRecord::EndOfTransaction { .. }))), "{longer:?}");
    }
}
