//! Written by kafka-protocol, read by annals.

use std::path::Path;

use annals::Store;
use kafka_protocol::records::Compression;

use crate::compat::files;
use crate::compat::foreign::{self, CODECS, Kind};
use crate::compat::samples::{self, NOON, Sample};

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

/// Batches of seven whose leader epochs are those, one after the other and again from the first.
fn with_epochs(batches: &[Vec<Sample>], compression: Compression, epochs: &[i32]) -> Vec<u8> {
    let mut bytes = encoded(batches, compression, Kind::Plain);
    let (mut at, mut number) = (0, 0);
    while let Some(length) = bytes.get(at + 8..at + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        bytes[at + 12..at + 16].copy_from_slice(&epochs[number % epochs.len()].to_be_bytes());
        (at, number) = (at + 12 + length, number + 1);
    }
    bytes
}

fn sevens() -> Vec<Vec<Sample>> {
    samples::three_hundred().chunks(7).map(<[Sample]>::to_vec).collect()
}

/// A repair of the store without its state takes nothing out of the log, and what is read then is this.
fn assert_repair_leaves(dir: &Path, expected: &[(i64, Sample)]) {
    std::fs::remove_file(files::partition_dir(dir).join("annals.state")).unwrap();
    let copies = tempfile::tempdir().unwrap();
    let report = Store::builder(dir).repair(copies.path()).unwrap();
    let lost: Vec<_> =
        report.repairs.iter().filter(|repair| repair.path.extension() == Some("log".as_ref())).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(files::read(&files::partition(&Store::open(dir).unwrap())), expected);
}

#[test]
fn a_leader_that_changed_is_no_damage() {
    for epochs in [&[-1][..], &[5], &[0, 0, 3, 4], &[i32::MAX, i32::MIN, 9]] {
        let bytes = with_epochs(&sevens(), Compression::Lz4, epochs);
        let expected = expected(&sevens());
        let dir = files::killed_store_with(&bytes);
        files::assert_read(dir.path(), &bytes, &expected, 301);
        assert!(Store::verify(dir.path()).unwrap().is_sound());
    }
}

#[test]
fn a_repair_takes_no_batch_for_its_leader_epoch() {
    let bytes = with_epochs(&sevens(), Compression::None, &[0, 3, -1]);
    let dir = files::killed_store_with(&bytes);
    assert_repair_leaves(dir.path(), &expected(&sevens()));
}

/// Such batches were adopted, and every reader reads them.
#[test]
fn a_repair_took_out_a_batch_whose_header_says_of_an_earlier_time_than_its_records() {
    let batch = [samples::three_hundred()];
    let mut bytes = encoded(&batch, Compression::None, Kind::Plain);
    bytes[35..43].copy_from_slice(&3_i64.to_be_bytes());
    foreign::restamp(&mut bytes);
    let dir = files::killed_store_with(&bytes);
    let found = Store::verify(dir.path()).unwrap();
    assert!(found.is_sound() && found.torn.is_empty(), "{found:?}");
    assert_repair_leaves(dir.path(), &expected(&batch));
}

#[test]
fn a_compaction_writes_back_the_leader_epochs_it_found() {
    let epochs = [2, -1, 7];
    let bytes = with_epochs(&sevens(), Compression::Zstd, &epochs);
    let dir = files::killed_store_with(&bytes);
    let store = Store::open(dir.path()).unwrap();
    files::append(&files::partition(&store), &[Sample::new(2, None, Some(b"more"))]);
    let erased = store.topic(files::TOPIC).unwrap().erase("key 3").unwrap();
    assert!(erased[0].records > 10, "{erased:?}");
    store.close().unwrap();
    let mut number = 0;
    for set in files::logs(dir.path()).into_values().flat_map(|log| foreign::decoded(&log)) {
        let theirs = |record: &&kafka_protocol::records::Record| (1..=300).contains(&record.offset);
        let Some(first) = set.records.first().filter(theirs) else { continue };
        let batch = usize::try_from((first.offset - 1) / 7).unwrap();
        assert_eq!(first.partition_leader_epoch, epochs[batch % 3], "batch {batch}");
        number += 1;
    }
    assert!(number > 30, "{number} batches");
}

/// A bit of a leader epoch that flips is covered by the checksum over all headers of a sealed segment.
#[test]
fn a_flipped_leader_epoch_of_a_sealed_segment_is_found_and_put_right() {
    for epochs in [&[0][..], &[0, 3, -1]] {
        let bytes = with_epochs(&sevens(), Compression::None, epochs);
        let dir = files::killed_store_with(&bytes);
        let store = Store::open(dir.path()).unwrap();
        files::append(&files::partition(&store), &[Sample::new(2, None, Some(b"more"))]);
        store.close().unwrap();
        let whole = files::logs(dir.path());
        let (base, log) = whole.iter().next().unwrap();
        let name = files::partition_dir(dir.path()).join(format!("{base:020}.log"));
        // One of each batch: the first, one in the middle, the last.
        let starts: Vec<_> = log.windows(3).enumerate().filter(|(at, _)| is_batch(log, *at)).collect();
        for (at, _) in [starts[0], starts[starts.len() / 2], starts[starts.len() - 1]] {
            let mut damaged = log.clone();
            damaged[at + 13] ^= 0x10;
            std::fs::write(&name, &damaged).unwrap();
            assert!(!Store::verify(dir.path()).unwrap().is_sound());
            let copies = tempfile::tempdir().unwrap();
            let report = Store::builder(dir.path()).repair(copies.path()).unwrap();
            assert!(report.repairs.iter().all(|repair| repair.lost.is_empty()), "{:?}", report.repairs);
            assert_eq!(&std::fs::read(&name).unwrap(), log, "epoch at {at}");
            assert!(Store::verify(dir.path()).unwrap().is_sound());
        }
    }
}

/// Whether a batch of the log begins there, by walking from its first byte.
fn is_batch(log: &[u8], place: usize) -> bool {
    let mut at = 0;
    while at < place {
        at += 12 + u32::from_be_bytes(log[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    at == place
}
