//! One assertion for each rule that makes a batch invalid.

use super::*;

const NULLS: &[u8] = &[0x0c, 0, 0, 0, 1, 1, 0];

fn refused_header(change: impl FnOnce(&mut [u8])) -> Malformed {
    let (_, mut batch) = batch_of(NULLS, 1);
    change(&mut batch);
    BatchHeader::decode(&batch).unwrap_err()
}

#[track_caller]
fn assert_invalid(found: &Malformed, at: usize, words: &str) {
    let Malformed::Invalid { at: found_at, why } = found else {
        panic!("{found:?} instead of Invalid: {words}");
    };
    assert_eq!(*found_at, at, "{why}");
    assert!(why.contains(words), "{why:?} does not say {words:?}");
}

/// The error of a batch of these record bytes.
#[track_caller]
fn refused(records: &[u8], count: i32) -> Malformed {
    let (header, batch) = batch_of(records, count);
    let mut iter = RecordIter::new(&header, &batch[BatchHeader::LEN..]);
    let error = iter.find_map(Result::err).unwrap();
    assert!(iter.next_record().is_none(), "an iteration ends with its first error");
    error
}

#[test]
fn the_smallest_record_is_accepted() {
    let (_, batch) = batch_of(NULLS, 1);
    assert_eq!(opened(&batch).unwrap().len(), 1);
}

#[test]
fn headers() {
    assert_eq!(BatchHeader::decode(&[0; 60]), Err(Malformed::Truncated { needed: 61, available: 60 }));
    assert_invalid(&refused_header(|bytes| bytes[0] = 0x80), 0, "negative");
    assert_invalid(
        &refused_header(|bytes| bytes[..8].copy_from_slice(&i64::MAX.to_be_bytes())),
        0,
        "no room",
    );
    let last = i64::MAX - 9;
    assert_invalid(&refused_header(|bytes| bytes[..8].copy_from_slice(&last.to_be_bytes())), 0, "no room");
    assert_invalid(&refused_header(|bytes| bytes[11] = 48), 8, "below 49");
    assert_invalid(&refused_header(|bytes| bytes[8] = 0xff), 8, "below 49");
    for magic in [0, 1, 3, 0x42, 0xff] {
        assert_invalid(&refused_header(|bytes| bytes[16] = magic), 16, "magic");
    }
    for codec in 5..8 {
        assert_invalid(&refused_header(|bytes| bytes[22] = codec), 21, "codec");
    }
    assert_invalid(&refused_header(|bytes| bytes[23] = 0xff), 23, "last offset delta");
    assert_invalid(&refused_header(|bytes| bytes[57] = 0xff), 57, "record count");
}

#[test]
fn a_crc_that_does_not_match() {
    let (_, batch) = batch_of(NULLS, 1);
    assert_eq!(BatchHeader::verify_crc(&batch), Ok(()));
    for at in 17..batch.len() {
        let mut batch = batch.clone();
        batch[at] ^= 1;
        assert_invalid(&BatchHeader::verify_crc(&batch).unwrap_err(), 17, "CRC-32C");
    }
    assert!(matches!(BatchHeader::verify_crc(&batch[..60]), Err(Malformed::Truncated { .. })));
}

#[test]
fn record_counts() {
    assert_invalid(&refused(NULLS, 2), 7, "1 records fewer");
    assert_invalid(&refused(&[], 1), 0, "1 records fewer");
    assert_invalid(&refused(&[NULLS, &[0]].concat(), 1), 7, "left behind the batch");
    assert_invalid(&refused(NULLS, 0), 0, "left behind the batch");
}

#[test]
fn record_lengths() {
    assert_invalid(&refused(&[0x0e, 0, 0, 0, 1, 1, 0], 1), 0, "longer than the bytes left");
    assert_invalid(&refused(&[0x01, 0, 0, 0, 1, 1, 0], 1), 0, "longer than the bytes left");
    assert_invalid(&refused(&[0x0e, 0, 0, 0, 1, 1, 0, 0], 1), 0, "behind a record's last field");
    for len in 0..6 {
        let mut record = NULLS.to_vec();
        record[0] = 2 * len;
        record.truncate(1 + usize::from(len));
        assert!(matches!(refused(&record, 1), Malformed::Invalid { at: 0, .. }), "{len}");
    }
}

#[test]
fn varints() {
    assert_invalid(&refused(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], 1), 0, "varint");
    assert_invalid(&refused(&[0x80], 1), 0, "varint");
    let mut long_time = vec![34, 0];
    long_time.extend([0x80; 11]);
    long_time.extend([0, 0, 1, 1, 0]);
    assert_invalid(&refused(&long_time, 1), 0, "varint");
}

#[test]
fn keys_and_values() {
    for field in [4, 5] {
        let mut record = NULLS.to_vec();
        record[field] = 0x7e;
        assert_invalid(&refused(&record, 1), 0, "longer than its record");
        record[field] = 0x03;
        assert_invalid(&refused(&record, 1), 0, "longer than its record");
    }
}

#[test]
fn record_headers() {
    let with_headers = |tail: &[u8]| {
        let mut record = vec![u8::try_from(2 * (5 + tail.len())).unwrap(), 0, 0, 0, 1, 1];
        record.extend_from_slice(tail);
        refused(&record, 1)
    };
    assert_invalid(&with_headers(&[0x01]), 0, "header count");
    assert_invalid(&with_headers(&[0x06, 0, 1]), 0, "header count");
    assert_invalid(&with_headers(&[0x02, 0x01, 0x01]), 0, "header key");
    assert_invalid(&with_headers(&[0x02, 0x03, 0x01]), 0, "longer than its record");
    assert_invalid(&with_headers(&[0x02, 0x00, 0x04, 0]), 0, "longer than its record");
    assert_invalid(&with_headers(&[0x02, 0x00, 0x01, 0]), 0, "behind a record's last field");
    assert_invalid(&with_headers(&[0x04, 0x00, 0x01]), 0, "varint");
}

#[test]
fn offsets() {
    let at = |delta: u8| [0x0c, 0, 0, delta, 1, 1, 0];
    assert_invalid(&refused(&[at(2), at(2)].concat(), 2), 7, "out of order");
    assert_invalid(&refused(&[at(4), at(2)].concat(), 2), 7, "out of order");
    assert_invalid(&refused(&at(1), 1), 0, "out of order");
    assert_invalid(&refused(&at(20), 1), 0, "behind the batch's last");
}
