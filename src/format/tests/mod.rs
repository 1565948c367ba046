//! Batches as a whole: golden bytes, round trips, every rule that refuses one.

mod batch;
mod hostile;
pub(crate) mod random;
mod rejection;
mod round_trip;
mod two_decoders;

use super::*;
use crate::types::{Header, Timestamp};

/// A record as the tests hand it in and get it back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    offset: i64,
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn new(timestamp: Timestamp, key: Option<&str>, value: Option<&str>) -> Self {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        Self { offset: 0, timestamp, key: bytes(key), value: bytes(value), headers: Vec::new() }
    }

    fn with_header(mut self, key: &str, value: Option<&str>) -> Self {
        self.headers.push((key.to_owned(), value.map(|value| value.as_bytes().to_vec())));
        self
    }
}

const PLAIN: Seal = Seal {
    compression: Compression::of(Codec::None),
    timestamp_type: TimestampType::CreateTime,
    append_time: 0,
};

fn append_all(builder: &mut BatchBuilder, records: &[Owned]) {
    for record in records {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.into(), value: value.as_deref() })
            .collect();
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let expected = builder.size_with(&new);
        let next = builder.next_offset();
        assert_eq!(builder.append(&new), next);
        assert_eq!(builder.len(), expected);
    }
}

fn sealed(base_offset: i64, records: &[Owned], how: &Seal) -> Vec<u8> {
    let mut builder = BatchBuilder::new(base_offset, 1024);
    append_all(&mut builder, records);
    builder.seal(how, &mut Compressor::default()).unwrap().bytes.to_vec()
}

/// Decodes a batch the way a reader does.
fn opened(batch: &[u8]) -> Result<Vec<Owned>, Malformed> {
    let header = BatchHeader::decode(batch)?;
    if header.total_len() != batch.len() {
        return Err(Malformed::Truncated { needed: header.total_len(), available: batch.len() });
    }
    BatchHeader::verify_crc(batch)?;
    records_of(&header, &batch[BatchHeader::LEN..])
}

fn records_of(header: &BatchHeader, packed: &[u8]) -> Result<Vec<Owned>, Malformed> {
    let mut records = Vec::new();
    Decompressor::default().decompress(header.codec(), packed, 16 << 20, &mut records)?;
    RecordIter::new(header, &records).map(|record| record.map(own)).collect()
}

fn own(record: RawRecord<'_>) -> Owned {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| (header.key.into_owned(), header.value.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(headers.len(), record.headers.len());
    Owned {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers,
    }
}

/// Changes a batch's header and makes its CRC right again.
fn restamped(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut batch = batch.to_vec();
    let mut header = BatchHeader::decode(&batch).unwrap();
    change(&mut header);
    header.stamp(&mut batch).unwrap();
    batch
}

/// A batch of these record bytes, uncompressed.
fn batch_of(records: &[u8], count: i32) -> (BatchHeader, Vec<u8>) {
    let mut header = BatchHeader {
        base_offset: 100,
        batch_length: i32::try_from(records.len() + 49).unwrap(),
        leader_epoch: 0,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: 9,
        base_timestamp: 1000,
        max_timestamp: 2000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    };
    let mut batch = vec![0; BatchHeader::LEN];
    batch.extend_from_slice(records);
    header.stamp(&mut batch).unwrap();
    (header, batch)
}
