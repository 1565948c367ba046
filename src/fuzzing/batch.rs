//! A batch: header, checksum, records.

use crate::format::{
    Attributes, BatchHeader, BatchRewriter, Decompressor, Outcome, RecordBody, RecordFate, RecordIter,
    RecordSpan, RewriteRules, TimestampType, record_at,
};
use crate::fuzzing::input::Input;
use crate::fuzzing::reference::{self, Plain};
use crate::types::Header;

/// The most that a batch may expand to here.
const MOST_EXPANDED: usize = 1 << 20;

/// Any bytes as a batch: what decodes comes out of the encoder again, and the checksum sees a change. Then the same bytes
/// with length and checksum made right, so that only the decoders stand between them and a reader.
pub fn batch(data: &[u8]) {
    let Ok(header) = BatchHeader::decode(data) else { return };
    assert!(data.starts_with(&header.encode()), "{header:?}");
    let verified = data.get(..header.total_len()).map(BatchHeader::verify_crc);
    let mut stamped = BatchHeader { batch_length: length_behind_prefix(data), ..header };
    let mut whole = data.to_vec();
    assert_eq!(stamped.stamp(&mut whole), Ok(()));
    assert_eq!(BatchHeader::decode(&whole), Ok(stamped));
    assert_eq!(BatchHeader::verify_crc(&whole), Ok(()));
    if data.len() == header.total_len() {
        assert_eq!(verified == Some(Ok(())), header.crc == stamped.crc);
    }
    check_flip(&whole);
    let body = whole.get(BatchHeader::LEN..).unwrap_or_default();
    let mut expanded = Vec::new();
    if Decompressor::default().decompress(header.codec(), body, MOST_EXPANDED, &mut expanded).is_ok() {
        check_records(&stamped, &expanded);
    }
}

/// Any bytes as the records of a batch, under a header whose fields come from the first of them.
pub fn records(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let (count, last_offset_delta) = (i32::from(input.byte()), i32::from(input.u16()));
    let attributes = i16::from(choice & 0b1000);
    let records = input.rest();
    let header = BatchHeader {
        base_offset: i64::from(choice),
        batch_length: i32::MAX,
        leader_epoch: 0,
        crc: 0,
        attributes: Attributes::from_bits(attributes).unwrap_or_default(),
        last_offset_delta,
        base_timestamp: 1_000,
        max_timestamp: 2_000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    };
    check_records(&header, records);
}

fn length_behind_prefix(batch: &[u8]) -> i32 {
    i32::try_from(batch.len() - BatchHeader::PREFIX).unwrap_or(i32::MAX)
}

/// One bit, somewhere after the checksum.
fn check_flip(whole: &[u8]) {
    let mut flipped = whole.to_vec();
    let covered = flipped.get_mut(21..).unwrap_or_default();
    let at = whole.len() * 31 % covered.len().max(1);
    if let Some(byte) = covered.get_mut(at) {
        *byte ^= 1;
        assert!(BatchHeader::verify_crc(&flipped).is_err());
    }
}

/// The decoder says what the slow one says, can be interrupted, and agrees with encoder and rewriter.
fn check_records(header: &BatchHeader, bytes: &[u8]) {
    let expected = reference::decode(header, bytes);
    let mut found = Vec::new();
    let mut iter = RecordIter::new(header, bytes);
    let mut half = iter.clone();
    let is_good = loop {
        if found.len() == expected.records.len() / 2 {
            half = iter.clone();
        }
        match iter.next() {
            Some(Ok(record)) => found.push(Plain::of(&record)),
            Some(Err(_)) => break false,
            None => break true,
        }
    };
    assert!(iter.next().is_none());
    assert_eq!(reference::Decoded { records: found, is_good }, expected);
    let resumed = RecordIter::resume(header, bytes, half.position(), half.remaining());
    let tail: Vec<_> = resumed.map_while(Result::ok).map(|record| Plain::of(&record)).collect();
    let behind = expected.records.get(expected.records.len() / 2..).unwrap_or_default();
    assert!(tail.starts_with(behind));
    check_spans(header, bytes, &expected);
    if is_good {
        check_single(header, bytes, &expected.records);
        check_encoder(header, &expected.records);
        check_rewriter(header, bytes, &expected.records);
    }
}

/// What a reader does: take places of records, in pieces, from an offset on and up to one.
fn check_spans(header: &BatchHeader, bytes: &[u8], expected: &reference::Decoded) {
    let plain = |spans: &[RecordSpan]| -> Vec<Plain> {
        spans.iter().map(|span| Plain::of(&span.of(bytes, header.base_offset))).collect()
    };
    let taken = RecordIter::new(header, bytes).take_spans(usize::MAX, i64::MAX);
    assert_eq!(taken.is_ok(), expected.is_good);
    let Ok(all) = taken else { return };
    assert_eq!(plain(&all), expected.records);
    let mut pieces = RecordIter::new(header, bytes);
    let mut found = Vec::new();
    while found.len() < all.len() {
        found.extend(pieces.take_spans(3, i64::MAX).unwrap_or_default());
    }
    assert_eq!(found, all);
    for offset in
        [0, 1, 2].map(|quarters| header.base_offset + i64::from(header.last_offset_delta) * quarters / 2)
    {
        let below = expected.records.iter().take_while(|record| record.offset < offset).count();
        let (before, behind) = (all.get(..below).unwrap_or_default(), all.get(below..).unwrap_or_default());
        assert_eq!(RecordIter::new(header, bytes).take_spans(usize::MAX, offset).as_deref(), Ok(before));
        let mut from = RecordIter::new(header, bytes);
        assert_eq!(from.skip_below(offset), Ok(()));
        assert_eq!(from.remaining(), i32::try_from(behind.len()).unwrap_or(-1));
        assert_eq!(from.take_spans(usize::MAX, i64::MAX).as_deref(), Ok(behind));
    }
}

/// Each record by its offset, and offsets that have none.
fn check_single(header: &BatchHeader, bytes: &[u8], records: &[Plain]) {
    let mut due = records.iter().peekable();
    let last = header.base_offset + i64::from(header.last_offset_delta).min(300);
    for offset in header.base_offset - 1..=last + 1 {
        let expected = due.next_if(|record| record.offset == offset);
        let found = record_at(header, bytes, offset).map(|record| record.as_ref().map(Plain::of));
        assert_eq!(found.as_ref().map(Option::as_ref), Ok(expected));
    }
}

fn check_encoder(header: &BatchHeader, records: &[Plain]) {
    let mut bytes = Vec::new();
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.into(), value: value.as_deref() })
            .collect();
        let body = RecordBody {
            timestamp_delta: record.timestamp.wrapping_sub(header.base_timestamp),
            offset_delta: i32::try_from(record.offset - header.base_offset).unwrap_or(-1),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let before = bytes.len();
        body.encode(&mut bytes);
        assert_eq!(bytes.len() - before, body.encoded_len());
    }
    let again = reference::decode(header, &bytes);
    assert!(again.is_good && again.records == records);
    assert!(
        RecordIter::new(header, &bytes)
            .map_while(Result::ok)
            .map(|record| Plain::of(&record))
            .eq(again.records)
    );
}

/// Every third record goes; what stays is the same, in a batch whose checksum fits.
fn check_rewriter(header: &BatchHeader, bytes: &[u8], records: &[Plain]) {
    let goes = |offset: i64| offset % 3 == 0;
    let rules = RewriteRules { horizon: Some(77), keeps_header: header.base_offset % 2 == 0 };
    let mut rewriter = BatchRewriter::default();
    let mut judge = |record: &crate::format::RawRecord<'_>| match record.value {
        _ if goes(record.offset) => RecordFate::Goes,
        None => RecordFate::StaysForNow,
        Some(_) => RecordFate::Stays,
    };
    let Ok(rewritten) = rewriter.rewrite(header, bytes, &rules, &mut judge) else {
        // Only what no longer fits the header's fields may fail.
        return;
    };
    let stay: Vec<_> = records.iter().filter(|record| !goes(record.offset)).cloned().collect();
    assert_eq!(rewritten.removed, (records.len() - stay.len()) as u64);
    match rewritten.outcome {
        Outcome::Same => assert_eq!(stay.len(), records.len()),
        Outcome::Gone => assert!(stay.is_empty() && !rules.keeps_header),
        Outcome::Other(sealed) => {
            assert_eq!(BatchHeader::decode(sealed.bytes), Ok(sealed.header));
            assert_eq!(BatchHeader::verify_crc(sealed.bytes), Ok(()));
            assert_eq!(sealed.header.total_len(), sealed.bytes.len());
            assert_eq!(sealed.header.next_offset(), header.next_offset());
            let mut expanded = Vec::new();
            let body = sealed.bytes.get(BatchHeader::LEN..).unwrap_or_default();
            let outcome = Decompressor::default().decompress(
                sealed.header.codec(),
                body,
                2 * MOST_EXPANDED,
                &mut expanded,
            );
            assert_eq!(outcome, Ok(()));
            let found = reference::decode(&sealed.header, &expanded);
            assert!(found.is_good);
            if header.attributes.timestamp_type() == TimestampType::CreateTime {
                assert_eq!(found.records, stay);
            } else {
                assert_eq!(found.records.len(), stay.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BatchBuilder, Codec, Compression, Compressor, NewRecord, Seal};

    /// Varints of one, two, three and four bytes, nulls, headers; the last record reaches the end of the batch.
    fn samples() -> Vec<(BatchHeader, Vec<u8>)> {
        let headers =
            [Header { key: "trace".into(), value: Some(b"7f") }, Header { key: "".into(), value: None }];
        let long = vec![b'v'; 300];
        let longer = vec![b'w'; 8200];
        let mut samples = vec![];
        for (timestamps, values, timestamp_type) in [
            (
                [1_000, 1_001, 1_070, 11_000],
                [Some(&b"one"[..]), None, Some(&long), Some(b"")],
                TimestampType::CreateTime,
            ),
            ([9_000, 2_000_000, -1, 9_000], [None, None, Some(b"xyz"), None], TimestampType::CreateTime),
            ([0; 4], [Some(b"x"), Some(b"y"), Some(b"z"), Some(&longer)], TimestampType::LogAppendTime),
        ] {
            let mut builder = BatchBuilder::new(40, 0);
            for (number, (timestamp, value)) in timestamps.into_iter().zip(values).enumerate() {
                let key = [None, Some(&b"key"[..]), Some(&long[..70]), Some(b"")][number];
                let headers = if number % 2 == 1 { &headers[..] } else { &[] };
                builder.append(&NewRecord { timestamp, key, value, headers });
            }
            let how = Seal { compression: Compression::of(Codec::None), timestamp_type, append_time: 77 };
            let mut compressor = Compressor::default();
            let sealed = builder.seal(&how, &mut compressor).unwrap();
            samples.push((sealed.header, sealed.bytes[BatchHeader::LEN..].to_vec()));
        }
        samples
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_judged_as_the_reference_judges_it() {
        for (header, bytes) in samples() {
            assert!(reference::decode(&header, &bytes).is_good);
            check_records(&header, &bytes);
            let is_long = bytes.len() > 1000;
            for at in (0..bytes.len()).filter(|at| !is_long || *at < 60 || *at + 60 > bytes.len()) {
                check_records(&header, &bytes[..at]);
                for change in [1, 2, 0x40, 0x80, 0x81, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] ^= change;
                    check_records(&header, &changed);
                }
            }
            for record_count in [0, 3, 5] {
                check_records(&BatchHeader { record_count, ..header }, &bytes);
            }
            for last_offset_delta in [0, 2, 4, i32::MAX] {
                check_records(&BatchHeader { last_offset_delta, ..header }, &bytes);
            }
        }
    }
}
