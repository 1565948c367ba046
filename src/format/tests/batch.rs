//! Golden bytes and the builder.

use super::*;

/// Two records written by Kafka's own builder, with a leader epoch of -1.
const KAFKA_BATCH: &str = "0000000000000000 00000055 ffffffff 02 e58cf1ff 0000 00000001 00000000000454c3 00000000000454c3 \
     ffffffffffffffff ffff ffffffff 00000002 \
     20 00 00 00 08 6b657931 0c 76616c756531 00 \
     24 00 e1bf22 02 08 6b657932 0c 76616c756532 00";

fn kafka_batch() -> Vec<u8> {
    let digits: Vec<u8> = KAFKA_BATCH.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn two_records() -> [Owned; 2] {
    let second = Owned { offset: 1, ..Owned::new(1234, Some("key2"), Some("value2")) };
    [Owned::new(283_843, Some("key1"), Some("value1")), second]
}

#[test]
fn kafkas_bytes_are_ours_but_for_the_leader_epoch() {
    let ours = sealed(0, &two_records(), &PLAIN);
    let mut theirs = kafka_batch();
    assert_eq!(theirs.len(), 97);
    assert_eq!(opened(&theirs).unwrap(), two_records());
    theirs[12..16].fill(0);
    assert_eq!(ours, theirs);
    assert_eq!(BatchHeader::decode(&ours).unwrap().crc, 0xe58c_f1ff);
}

#[test]
fn every_header_field_has_its_place() {
    let header = BatchHeader {
        base_offset: 0x0102_0304_0506_0708,
        batch_length: 0x1112_1314,
        leader_epoch: 0x2122_2324,
        crc: 0x3132_3334,
        attributes: Attributes::from_bits(0x4143).unwrap(),
        last_offset_delta: 0x5152_5354,
        base_timestamp: 0x6162_6364_6566_6768,
        max_timestamp: 0x7172_7374_7576_7778,
        producer_id: 0x0908_0706_0504_0302,
        producer_epoch: 0x1918,
        base_sequence: 0x2928_2726,
        record_count: 0x3938_3736,
    };
    let bytes = header.encode();
    assert_eq!(BatchHeader::decode(&bytes), Ok(header));
    assert_eq!(bytes[..12], [1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x12, 0x13, 0x14]);
    assert_eq!(bytes[12..17], [0x21, 0x22, 0x23, 0x24, 2]);
    assert_eq!(bytes[17..23], [0x31, 0x32, 0x33, 0x34, 0x41, 0x43]);
    assert_eq!(bytes[51..], [0x19, 0x18, 0x29, 0x28, 0x27, 0x26, 0x39, 0x38, 0x37, 0x36]);
    assert_eq!(header.encode_into(&mut [0; 60]), Err(Malformed::Truncated { needed: 61, available: 60 }));
}

#[test]
fn a_sealed_header_tells_what_is_inside() {
    let mut builder = BatchBuilder::new(7, 0);
    append_all(&mut builder, &two_records());
    assert_eq!((builder.base_offset(), builder.next_offset(), builder.count()), (7, 9, 2));
    assert_eq!(builder.max_timestamp(), 283_843);
    let batch = builder.seal(&PLAIN, &mut Compressor::default()).unwrap();
    assert_eq!((batch.header.last_offset(), batch.header.next_offset()), (8, 9));
    assert_eq!(batch.header.total_len(), 97);
    assert_eq!((batch.header.leader_epoch, batch.header.producer_id), (0, -1));
    assert_eq!(BatchHeader::decode(batch.bytes), Ok(batch.header));
}

#[test]
fn reset_forgets_everything_and_gives_large_buffers_back() {
    let mut builder = BatchBuilder::new(0, 128);
    append_all(&mut builder, &[Owned::new(5, None, Some(&"x".repeat(10_000)))]);
    builder.reset(3);
    assert_eq!(builder.count(), 0);
    assert_eq!((builder.len(), builder.next_offset(), builder.max_timestamp()), (61, 3, -1));
    append_all(&mut builder, &two_records());
    let again = builder.seal(&PLAIN, &mut Compressor::default()).unwrap().bytes.to_vec();
    assert_eq!(again, sealed(3, &two_records(), &PLAIN));
}

#[test]
fn an_empty_batch_is_not_sealed() {
    assert!(BatchBuilder::new(0, 0).seal(&PLAIN, &mut Compressor::default()).is_err());
}

#[test]
fn codec_none_where_compression_does_not_gain() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let how = Seal { compression: Compression::of(codec), ..PLAIN };
        assert_eq!(sealed(0, &two_records(), &how), sealed(0, &two_records(), &PLAIN), "{codec:?}");
        let long = [Owned::new(1, None, Some(&"x".repeat(1000)))];
        let batch = sealed(0, &long, &how);
        assert_eq!(BatchHeader::decode(&batch).unwrap().codec(), codec);
        assert!(batch.len() < 200);
        assert_eq!(opened(&batch).unwrap(), long);
    }
}

/// Noise of one length and zeros of every: for some of them the codec gains not one byte and loses none.
#[test]
fn codec_none_where_compression_makes_it_as_long_as_it_was() {
    let noise: Vec<u8> = (0..60_u32).map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    let value = |zeros: usize| [&noise[..], &vec![0; zeros]].concat();
    let mut compressor = Compressor::default();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let how = Seal { compression: Compression::of(codec), ..PLAIN };
        let mut as_long = 0;
        for zeros in 0..60 {
            let record = Owned { value: Some(value(zeros)), ..Owned::new(1, None, None) };
            let plain = sealed(0, std::slice::from_ref(&record), &PLAIN);
            let mut packed = Vec::new();
            compressor.compress(how.compression, &plain[BatchHeader::LEN..], &mut packed).unwrap();
            let gains = packed.len() < plain.len() - BatchHeader::LEN;
            as_long += usize::from(packed.len() == plain.len() - BatchHeader::LEN);
            let found = BatchHeader::decode(&sealed(0, &[record], &how)).unwrap().codec();
            assert_eq!(found, if gains { codec } else { Codec::None }, "{codec:?}, {zeros} zeros");
        }
        assert!(as_long > 0, "{codec:?}");
    }
}

#[test]
fn append_time_is_every_records_time() {
    let how = Seal { timestamp_type: TimestampType::LogAppendTime, append_time: 77, ..PLAIN };
    let batch = sealed(0, &two_records(), &how);
    let header = BatchHeader::decode(&batch).unwrap();
    assert_eq!((header.attributes.bits(), header.max_timestamp), (0b1000, 77));
    assert!(opened(&batch).unwrap().iter().all(|record| record.timestamp == 77));
}

#[test]
fn deltas_count_from_the_delete_horizon() {
    let batch = sealed(0, &two_records(), &PLAIN);
    let moved = restamped(&batch, |header| {
        header.attributes = header.attributes.with_delete_horizon();
        header.base_timestamp = 1_000_000;
    });
    let times: Vec<_> = opened(&moved).unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [1_000_000, 1_000_000 - 282_609]);
    assert!(BatchHeader::decode(&moved).unwrap().attributes.has_delete_horizon());
}

#[test]
fn iteration_resumes_where_it_was() {
    let batch = sealed(5, &two_records(), &PLAIN);
    let header = BatchHeader::decode(&batch).unwrap();
    let records = &batch[BatchHeader::LEN..];
    let mut iter = RecordIter::new(&header, records);
    assert_eq!((iter.position(), iter.remaining()), (0, 2));
    iter.next_record().unwrap().unwrap();
    assert_eq!((iter.position(), iter.remaining()), (17, 1));
    let mut resumed = RecordIter::resume(&header, records, iter.position(), iter.remaining());
    assert_eq!(resumed.next_record().unwrap().unwrap().offset, 6);
    assert!(resumed.next_record().is_none());
}

#[test]
fn records_behind_the_end_are_not_looked_at() {
    let good = [0x0c, 0, 0, 0, 1, 1, 0];
    let (header, batch) = batch_of(&[&good[..], &[0x0c, 0, 0, 2, 0x7e, 1, 0]].concat(), 2);
    let records = &batch[BatchHeader::LEN..];
    let mut iter = RecordIter::new(&header, records);
    assert_eq!(iter.take_spans(10, 101).unwrap().len(), 1);
    assert_eq!((iter.position(), iter.remaining()), (7, 1));
    iter.skip_below(101).unwrap();
    assert_eq!((iter.position(), iter.remaining()), (7, 1));
    assert!(iter.take_spans(10, 102).is_err());
}
