//! The other implementation: batches as `kafka-protocol` writes and reads them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, RecordSet, TimestampType,
};

use crate::compat::samples::Sample;

/// Every codec, as both call it.
pub(crate) const CODECS: [(annals::Codec, Compression); 5] = [
    (annals::Codec::None, Compression::None),
    (annals::Codec::Gzip, Compression::Gzip),
    (annals::Codec::Snappy, Compression::Snappy),
    (annals::Codec::Lz4, Compression::Lz4),
    (annals::Codec::Zstd, Compression::Zstd),
];

/// Bytes of a batch before its records.
pub(crate) const HEADER_LEN: usize = 61;

/// Whether the records of a batch are data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Transactional,
    Control,
}

/// What compresses the records of a batch.
type Squeeze = fn(&[u8]) -> Vec<u8>;

fn record(offset: i64, delta: i32, sample: &Sample, kind: Kind) -> Record {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes::from);
    let headers = sample.headers.iter().map(|(key, value)| (key.clone().into(), bytes(value)));
    Record {
        transactional: kind != Kind::Plain,
        control: kind == Kind::Control,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: if kind == Kind::Plain { NO_PRODUCER_ID } else { 7 },
        producer_epoch: if kind == Kind::Plain { NO_PRODUCER_EPOCH } else { 0 },
        timestamp_type: TimestampType::Creation,
        offset,
        // Minus one for the batch: the encoder counts up from it.
        sequence: delta - 1,
        timestamp: sample.timestamp,
        key: bytes(&sample.key),
        value: bytes(&sample.value),
        headers: headers.collect(),
    }
}

fn records(base: i64, samples: &[Sample], kind: Kind) -> Vec<Record> {
    let numbered = samples.iter().zip(0_i32..);
    numbered.map(|(sample, delta)| record(base + i64::from(delta), delta, sample, kind)).collect()
}

/// One batch of `samples` from offset `base` on. Leader epoch 0.
pub(crate) fn batch(base: i64, samples: &[Sample], compression: Compression, kind: Kind) -> Vec<u8> {
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut out, &records(base, samples, kind), &options).unwrap();
    assert_eq!(decoded(&out).len(), 1, "one batch");
    out.to_vec()
}

/// One batch whose records are compressed by `squeeze`.
pub(crate) fn squeezed(base: i64, samples: &[Sample], compression: Compression, squeeze: Squeeze) -> Vec<u8> {
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    let squeeze = move |plain: &mut BytesMut, out: &mut BytesMut, _| {
        out.extend_from_slice(&squeeze(plain));
        Ok(())
    };
    let records = records(base, samples, Kind::Plain);
    RecordBatchEncoder::encode_with_custom_compression(&mut out, &records, &options, Some(squeeze)).unwrap();
    out.to_vec()
}

/// The header of a batch that compaction emptied: it keeps its offsets.
pub(crate) fn emptied(base: i64, last_offset_delta: i32) -> Vec<u8> {
    let mut out = batch(base, &[Sample::new(5, None, None)], Compression::None, Kind::Plain);
    out.truncate(HEADER_LEN);
    out[8..12].copy_from_slice(&49_i32.to_be_bytes());
    out[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    out[27..35].copy_from_slice(&(-1_i64).to_be_bytes());
    out[57..61].fill(0);
    restamp(&mut out);
    out
}

/// Makes the CRC of a batch right again.
pub(crate) fn restamp(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// All batches of a `.log`.
pub(crate) fn decoded(log: &[u8]) -> Vec<RecordSet> {
    RecordBatchDecoder::decode_all(&mut Bytes::copy_from_slice(log)).unwrap()
}

/// A record as it was decoded.
pub(crate) fn sample(record: &Record) -> Sample {
    let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
    let headers = record.headers.iter().map(|(key, value)| (key.to_string(), bytes(value)));
    Sample {
        timestamp: record.timestamp,
        key: bytes(&record.key),
        value: bytes(&record.value),
        headers: headers.collect(),
    }
}
