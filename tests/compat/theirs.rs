//! Written by kafka-protocol, read by annals.

use kafka_protocol::records::Compression;

use crate::files;
use crate::foreign::{self, CODECS, Kind};
use crate::samples::{self, NOON, Sample};

/// What annals must read of `batches` behind its own first record; headers as the other implementation can write them.
fn expected(batches: &[Vec<Sample>]) -> Vec<(i64, Sample)> {
    let samples = batches.iter().flatten().cloned().map(Sample::with_headers_as_map);
    [files::first_record()].into_iter().chain((1..).zip(samples)).collect()
}

fn encoded(batches: &[Vec<Sample>], compression: Compression, kind: Kind) -> Vec<u8> {
    let mut base = 1;
    let mut bytes = Vec::new();
    for batch in batches {
        let batch: Vec<_> = batch.iter().cloned().map(Sample::with_headers_as_map).collect();
        bytes.extend(foreign::batch(base, &batch, compression, kind));
        base += i64::try_from(batch.len()).unwrap();
    }
    bytes
}

fn assert_read(batches: &[Vec<Sample>], compression: Compression, kind: Kind) {
    let bytes = encoded(batches, compression, kind);
    let expected = expected(batches);
    let dir = files::killed_store_with(&bytes);
    files::assert_read(dir.path(), &bytes, &expected, i64::try_from(expected.len()).unwrap());
}

#[test]
fn every_codec_and_every_kind_of_record() {
    for (_, compression) in CODECS {
        for (_, samples) in samples::all() {
            assert_read(&[samples], compression, Kind::Plain);
        }
    }
}

#[test]
fn many_batches() {
    for (_, compression) in CODECS {
        let batches: Vec<_> = samples::three_hundred().chunks(7).map(<[Sample]>::to_vec).collect();
        assert_read(&batches, compression, Kind::Plain);
    }
}

#[test]
fn transactional_data_is_data() {
    assert_read(
        &[samples::every_combination(), samples::three_hundred()],
        Compression::Lz4,
        Kind::Transactional,
    );
}

#[test]
fn append_time_is_the_time_of_every_record() {
    for (_, compression) in CODECS {
        let batch = samples::three_hundred();
        let mut bytes = encoded(std::slice::from_ref(&batch), compression, Kind::Plain);
        bytes[22] |= 1 << 3;
        bytes[35..43].copy_from_slice(&(NOON + 12_345).to_be_bytes());
        foreign::restamp(&mut bytes);
        let mut expected = expected(&[batch]);
        expected[1..].iter_mut().for_each(|(_, sample)| sample.timestamp = NOON + 12_345);
        let dir = files::killed_store_with(&bytes);
        files::assert_read(dir.path(), &bytes, &expected, 301);
        let store = annals::Store::open(dir.path()).unwrap();
        let found = files::partition(&store).offset_for_time(NOON).unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (1, NOON + 12_345));
    }
}

#[test]
fn deltas_from_a_delete_horizon_are_understood() {
    let batch = samples::every_combination();
    let mut bytes = encoded(std::slice::from_ref(&batch), Compression::None, Kind::Plain);
    // The decoder of the other side takes the field for what deltas count from, horizon or not.
    bytes[22] |= 1 << 6;
    foreign::restamp(&mut bytes);
    let theirs: Vec<_> = foreign::decoded(&bytes)[0].records.iter().map(foreign::sample).collect();
    let expected = expected(&[batch]);
    assert!(theirs.iter().eq(expected[1..].iter().map(|(_, sample)| sample)));
    let dir = files::killed_store_with(&bytes);
    files::assert_read(dir.path(), &bytes, &expected, i64::try_from(expected.len()).unwrap());
}
