//! A batch without some of its records.
//!
//! What stays keeps its offset and its timestamp, and the batch its range of offsets: Kafka's cleaner writes the same.
//! A batch of which nothing goes keeps its very bytes.

use super::{
    Attributes, BatchHeader, Codec, Compression, Compressor, Malformed, RawRecord, RecordBody, RecordIter,
    SealedBatch, TimestampType,
};
use crate::types::{NO_TIMESTAMP, Timestamp};

/// What becomes of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordFate {
    Goes,
    Stays,
    /// A tombstone: it stays until the delete horizon of its batch has passed.
    StaysForNow,
}

/// What holds for a whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RewriteRules {
    /// The delete horizon for a batch that keeps a tombstone and has none; `None` leaves it without.
    pub(crate) horizon: Option<Timestamp>,
    /// Whether the header stays when no record does: it holds the place of the log's last offset.
    pub(crate) keeps_header: bool,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Rewritten<'a> {
    pub(crate) outcome: Outcome<'a>,
    /// Records that went.
    pub(crate) removed: u64,
    /// When its tombstones may go; -1 when it has none that wait for that.
    pub(crate) delete_horizon: Timestamp,
}

/// The bytes to write in the place of a batch.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// The batch's own.
    Same,
    /// These.
    Other(SealedBatch<'a>),
    /// None.
    Gone,
}

/// Rewrites batches, and keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct BatchRewriter {
    /// Most bytes that readers expand a batch to; `None` for any number.
    most_expanded: Option<usize>,
    compressor: Compressor,
    fates: Vec<RecordFate>,
    /// Room for the header, then records as they are encoded again.
    plain: Vec<u8>,
    /// The same, compressed.
    packed: Vec<u8>,
}

impl BatchRewriter {
    /// One whose batches can be read by those who expand them to so many bytes at most.
    pub(crate) fn for_readers_of(most_expanded: usize) -> Self {
        Self { most_expanded: Some(most_expanded), ..Self::default() }
    }

    /// Asks `judge` for each record's fate and makes the batch that is left. `records` are the batch's bytes after its
    /// header, decompressed.
    pub(crate) fn rewrite(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        rules: &RewriteRules,
        judge: &mut dyn FnMut(&RawRecord<'_>) -> RecordFate,
    ) -> Result<Rewritten<'_>, Malformed> {
        self.fates.clear();
        for record in RecordIter::new(header, records) {
            self.fates.push(judge(&record?));
        }
        let removed = self.fates.iter().filter(|fate| **fate == RecordFate::Goes).count();
        let waits = self.fates.contains(&RecordFate::StaysForNow);
        let has_horizon = header.attributes.has_delete_horizon();
        let new_horizon = rules.horizon.filter(|_| waits && !has_horizon);
        let delete_horizon = match new_horizon {
            Some(horizon) => horizon,
            None if waits && has_horizon => header.base_timestamp,
            None => NO_TIMESTAMP,
        };
        let outcome = if removed == self.fates.len() {
            // An empty header that stays is the same as before.
            match (rules.keeps_header, header.record_count) {
                (false, _) => Outcome::Gone,
                (true, 0) => Outcome::Same,
                (true, _) => Outcome::Other(self.empty(header)?),
            }
        } else if removed == 0 && new_horizon.is_none() {
            Outcome::Same
        } else {
            Outcome::Other(self.rebuild(header, records, new_horizon)?)
        };
        Ok(Rewritten { outcome, removed: removed as u64, delete_horizon })
    }

    /// A header that counts no records: it still says which offsets were given out.
    fn empty(&mut self, header: &BatchHeader) -> Result<SealedBatch<'_>, Malformed> {
        let attributes = header.attributes.with_codec(Codec::None).without_delete_horizon();
        let header = BatchHeader { attributes, base_timestamp: NO_TIMESTAMP, record_count: 0, ..*header };
        self.plain.clear();
        self.plain.resize(BatchHeader::LEN, 0);
        seal(header, &mut self.plain)
    }

    fn rebuild(
        &mut self,
        header: &BatchHeader,
        records: &[u8],
        new_horizon: Option<Timestamp>,
    ) -> Result<SealedBatch<'_>, Malformed> {
        self.plain.clear();
        self.plain.resize(BatchHeader::LEN, 0);
        let mut rebuilt = BatchHeader {
            attributes: with_horizon(header.attributes, new_horizon),
            base_timestamp: new_horizon.unwrap_or(header.base_timestamp),
            record_count: 0,
            ..*header
        };
        let mut latest = NO_TIMESTAMP;
        for (record, fate) in RecordIter::new(header, records).zip(&self.fates) {
            let record = record?;
            if *fate == RecordFate::Goes {
                continue;
            }
            if rebuilt.record_count == 0 && !rebuilt.attributes.has_delete_horizon() {
                rebuilt.base_timestamp = record.timestamp;
            }
            encode(&record, &rebuilt, &mut self.plain);
            rebuilt.record_count += 1;
            latest = latest.max(record.timestamp);
        }
        if header.attributes.timestamp_type() == TimestampType::CreateTime {
            rebuilt.max_timestamp = latest;
        }
        if header.codec() == Codec::None {
            return seal(rebuilt, &mut self.plain);
        }
        let plain = self.plain.get(BatchHeader::LEN..).unwrap_or_default();
        if self.most_expanded.is_some_and(|most| plain.len() > most) {
            // Times are stored as differences to that of the batch: where that changes, records can grow. What nobody would
            // expand any more is stored as it is.
            rebuilt.attributes = rebuilt.attributes.with_codec(Codec::None);
            return seal(rebuilt, &mut self.plain);
        }
        self.packed.clear();
        self.packed.resize(BatchHeader::LEN, 0);
        self.compressor.compress(Compression::of(header.codec()), plain, &mut self.packed)?;
        seal(rebuilt, &mut self.packed)
    }
}

fn with_horizon(attributes: Attributes, new_horizon: Option<Timestamp>) -> Attributes {
    if new_horizon.is_some() { attributes.with_delete_horizon() } else { attributes }
}

fn encode(record: &RawRecord<'_>, batch: &BatchHeader, out: &mut Vec<u8>) {
    // Whatever their names are.
    let headers: Vec<_> = record.headers.raw().collect();
    let delta = record.offset.wrapping_sub(batch.base_offset);
    let body = RecordBody {
        timestamp_delta: record.timestamp.wrapping_sub(batch.base_timestamp),
        // The delta was an i32 when the record was decoded.
        offset_delta: i32::try_from(delta).unwrap_or(i32::MAX),
        key: record.key,
        value: record.value,
        headers: &headers,
    };
    body.encode(out);
}

fn seal(mut header: BatchHeader, bytes: &mut [u8]) -> Result<SealedBatch<'_>, Malformed> {
    let behind_prefix = bytes.len().saturating_sub(BatchHeader::PREFIX);
    header.batch_length =
        i32::try_from(behind_prefix).map_err(|_| Malformed::invalid(0, "a batch beyond 2147483647 bytes"))?;
    header.stamp(bytes)?;
    Ok(SealedBatch { bytes, header })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BatchBuilder, Decompressor, NewRecord, Seal};
    use crate::types::Header;
    use crate::types::Offset;

    const RULES: RewriteRules = RewriteRules { horizon: Some(9000), keeps_header: false };

    /// Five records at offsets 10 to 14, timestamps 103, 101, 104, 100, 102; the fourth is a tombstone.
    fn batch(codec: Codec, timestamp_type: TimestampType) -> (BatchHeader, Vec<u8>) {
        let mut builder = BatchBuilder::new(10, 100);
        let header = [Header { key: "h".into(), value: Some(b"1") }, Header { key: "".into(), value: None }];
        for (n, timestamp) in [103, 101, 104, 100, 102].into_iter().enumerate() {
            let key = [b'a' + u8::try_from(n).unwrap()];
            let value = (n != 3).then_some(&b"some value, some value, some value"[..]);
            builder.append(&NewRecord { timestamp, key: Some(&key), value, headers: &header });
        }
        let how = Seal { compression: Compression::of(codec), timestamp_type, append_time: 500 };
        let mut compressor = Compressor::default();
        let sealed = builder.seal(&how, &mut compressor).unwrap();
        (sealed.header, sealed.bytes.to_vec())
    }

    #[test]
    fn a_batch_that_grows_beyond_what_readers_expand_is_stored_uncompressed() {
        let (header, bytes) = batch(Codec::Zstd, TimestampType::CreateTime);
        let records = expand(&header, &bytes);
        let rewritten = |most: usize| {
            let mut rewriter = BatchRewriter::for_readers_of(most);
            let mut judge = |record: &RawRecord<'_>| match record.value {
                Some(_) => RecordFate::Stays,
                None => RecordFate::StaysForNow,
            };
            let rules = RewriteRules { horizon: Some(i64::MAX / 2), ..RULES };
            match rewriter.rewrite(&header, &records, &rules, &mut judge).unwrap().outcome {
                Outcome::Other(sealed) => (sealed.header.codec(), expand(&sealed.header, sealed.bytes).len()),
                other => panic!("{other:?}"),
            }
        };
        let (codec, len) = rewritten(usize::MAX);
        assert!(codec == Codec::Zstd && len > records.len(), "its times are far from the horizon");
        assert_eq!(rewritten(len), (Codec::Zstd, len));
        assert_eq!(rewritten(len - 1).0, Codec::None);
    }

    fn expand(header: &BatchHeader, batch: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Decompressor::default()
            .decompress(header.codec(), &batch[BatchHeader::LEN..], 1 << 20, &mut out)
            .unwrap();
        out
    }

    /// What is left of a batch: `None` for nothing, its header and each record's offset, timestamp and key.
    type Left = Option<(BatchHeader, Vec<(Offset, Timestamp, Vec<u8>)>)>;

    fn apply(
        (header, bytes): &(BatchHeader, Vec<u8>),
        rules: RewriteRules,
        goes: impl Fn(Offset) -> bool,
    ) -> (Left, Vec<u8>) {
        let mut judge = |record: &RawRecord<'_>| match record.value {
            _ if goes(record.offset) => RecordFate::Goes,
            None => RecordFate::StaysForNow,
            Some(_) => RecordFate::Stays,
        };
        let mut rewriter = BatchRewriter::default();
        let rewritten = rewriter.rewrite(header, &expand(header, bytes), &rules, &mut judge).unwrap();
        let (header, bytes) = match rewritten.outcome {
            Outcome::Gone => return (None, Vec::new()),
            Outcome::Same => (*header, bytes.clone()),
            Outcome::Other(sealed) => (sealed.header, sealed.bytes.to_vec()),
        };
        assert_eq!(BatchHeader::decode(&bytes).unwrap(), header);
        BatchHeader::verify_crc(&bytes).unwrap();
        let plain = expand(&header, &bytes);
        let records = RecordIter::new(&header, &plain).map(|record| {
            let record = record.unwrap();
            assert_eq!(record.headers.len(), 2);
            (record.offset, record.timestamp, record.key.unwrap().to_vec())
        });
        (Some((header, records.collect())), bytes)
    }

    #[test]
    fn a_batch_that_keeps_all_keeps_its_bytes() {
        for codec in Codec::ALL {
            let batch = batch(codec, TimestampType::CreateTime);
            let rules = RewriteRules { horizon: None, ..RULES };
            assert_eq!(apply(&batch, rules, |_| false).1, batch.1);
        }
    }

    #[test]
    fn some_stay_where_and_when_they_were() {
        for codec in Codec::ALL {
            let batch = batch(codec, TimestampType::CreateTime);
            let (left, _) = apply(&batch, RULES, |offset| [10, 12, 13].contains(&offset));
            let (header, records) = left.unwrap();
            assert_eq!(records, [(11, 101, b"b".to_vec()), (14, 102, b"e".to_vec())]);
            assert_eq!((header.base_offset, header.last_offset_delta, header.record_count), (10, 4, 2));
            assert_eq!((header.base_timestamp, header.max_timestamp, header.leader_epoch), (101, 102, 0));
            assert_eq!(header.codec(), batch.0.codec());
            assert!(!header.attributes.has_delete_horizon(), "no tombstone is left");
        }
    }

    #[test]
    fn a_tombstone_gets_a_horizon_once() {
        let first = batch(Codec::Lz4, TimestampType::CreateTime);
        let (left, bytes) = apply(&first, RULES, |_| false);
        let (header, records) = left.unwrap();
        assert!(header.attributes.has_delete_horizon());
        assert_eq!((header.base_timestamp, header.max_timestamp, records.len()), (9000, 104, 5));
        assert_eq!(records[3], (13, 100, b"d".to_vec()));
        let later = RewriteRules { horizon: Some(9999), ..RULES };
        assert_eq!(apply(&(header, bytes.clone()), later, |_| false).1, bytes);
        let (left, _) = apply(&(header, bytes), later, |offset| offset == 10);
        let (header, records) = left.unwrap();
        assert_eq!((header.base_timestamp, records[0].1), (9000, 101), "and it is never moved");
    }

    #[test]
    fn the_logs_own_time_stays() {
        let batch = batch(Codec::None, TimestampType::LogAppendTime);
        let (left, _) = apply(&batch, RULES, |offset| offset == 10);
        let (header, records) = left.unwrap();
        assert_eq!((header.max_timestamp, header.base_timestamp), (500, 9000));
        assert!(records.iter().all(|record| record.1 == 500));
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    }

    #[test]
    fn nothing_is_left_or_an_empty_header() {
        let first = batch(Codec::Zstd, TimestampType::CreateTime);
        assert_eq!(apply(&first, RULES, |_| true).0, None);
        let keeps = RewriteRules { keeps_header: true, ..RULES };
        let (left, bytes) = apply(&first, keeps, |_| true);
        let (header, _) = left.unwrap();
        assert_eq!(bytes.len(), BatchHeader::LEN);
        let expected = BatchHeader {
            batch_length: 49,
            crc: header.crc,
            attributes: Attributes::new(Codec::None, TimestampType::CreateTime),
            base_timestamp: -1,
            record_count: 0,
            ..first.0
        };
        assert_eq!(header, expected);
        assert_eq!(apply(&(header, bytes.clone()), keeps, |_| true).1, bytes);
        assert_eq!(apply(&(header, bytes), RULES, |_| true).0, None);
    }
}
