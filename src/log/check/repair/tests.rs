//! Whose batches a file holds, as far as what is known of it tells.

use std::sync::Arc;

use super::inventory::Source;
use super::mender::known_end;
use super::origin::is_foreign;
use crate::format::{
    BatchBuilder, BatchHeader, Codec, Compression, Compressor, Identity, Mark, NewRecord, PartitionState,
    Seal, SegmentSummary, TimestampType,
};
use crate::io::{Directory, OpenMode, OsFileSystem};
use crate::segment::{Known, LogFile, ReadMode, Salvage, salvage};
use crate::types::Offset;

/// A batch of two records with this value; the record of offset 0 would be of millisecond `origin`.
fn batch(base: Offset, value: &str, origin: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(base, 1000);
    for timestamp in [origin + base, origin + base + 1] {
        builder.append(&NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] });
    }
    let how = Seal {
        compression: Compression::of(Codec::None),
        timestamp_type: TimestampType::CreateTime,
        append_time: 0,
    };
    builder.seal(&how, &mut Compressor::default()).unwrap().bytes.to_vec()
}

/// Offsets 0 to 5.
fn three() -> [Vec<u8>; 3] {
    [0, 2, 4].map(|base| batch(base, "value", 1000))
}

fn salvaged(bytes: &[u8], source: &Source) -> Salvage {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::new(Arc::new(OsFileSystem), dir.path());
    directory.open("log", OpenMode::CreateNew).unwrap().write_at(bytes, 0).unwrap();
    let log = LogFile::lazy(directory, "log".to_owned(), ReadMode::Positional);
    let known = Known {
        base: source.base,
        until: source.until,
        was_gapless: source.was_gapless,
        sealed_bytes: source.summary.map(|summary| summary.bytes),
        headers_crc: source.summary.map(|summary| summary.headers_crc),
        interval_bytes: 4096,
    };
    salvage(&log, known, &mut |_, _| Ok(())).unwrap()
}

/// A segment that was not sealed.
fn open() -> Source {
    Source { base: 0, summary: None, until: Offset::MAX, was_gapless: true, mark: None, must_join: false }
}

/// The segment of `three`, sealed.
fn sealed() -> Source {
    let summary = salvaged(&three().concat(), &open()).summary();
    Source { summary: Some(summary), until: 6, ..open() }
}

#[track_caller]
fn assert_foreign(expected: bool, bytes: &[u8], source: &Source) {
    assert_eq!(is_foreign(&salvaged(bytes, source), source), expected);
}

#[test]
fn a_sound_file_is_its_own_if_its_batches_are_those_that_were_sealed() {
    assert_foreign(false, &three().concat(), &sealed());
    assert_foreign(true, &[0, 2, 4].map(|base| batch(base, "other", 1000)).concat(), &sealed());
    let [first, second, _] = three();
    let known = Source { until: Offset::MAX, was_gapless: false, ..sealed() };
    assert_foreign(true, &[first, second, batch(4, "a longer value", 1000)].concat(), &known);
}

#[test]
fn damage_and_a_cut_make_no_file_a_foreign_one() {
    let whole = three().concat();
    let len = whole.len();
    for at in [len / 6, len / 2, len - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        assert_foreign(false, &damaged, &sealed());
    }
    for cut in [1, len / 3, len / 2, len - 61] {
        assert_foreign(false, &whole[..len - cut], &sealed());
    }
}

#[test]
fn another_length_with_damage_that_no_cut_explains_is_another_file() {
    let whole = three().concat();
    let len = whole.len();
    let mut damaged = whole.clone();
    damaged[len / 6] ^= 1;
    assert_foreign(true, &damaged[..len - 10], &sealed());
    // It has grown, and what was sealed is there, damaged or not.
    assert_foreign(false, &[&damaged[..], &[1; 10]].concat(), &sealed());
    assert_foreign(false, &[&whole[..], &[1; 10]].concat(), &sealed());
    // A batch whose magic is wrong, and the last one cut away.
    let mut mended = whole;
    mended[16] ^= 1;
    assert_foreign(false, &mended, &sealed());
    assert_foreign(true, &mended[..len - len / 3], &sealed());
}

#[test]
fn a_damaged_file_whose_first_batch_has_no_time_is_its_own() {
    let batches = || [batch(0, "value", -3), batch(2, "value", 1000), batch(4, "value", 1000)];
    let summary = salvaged(&batches().concat(), &open()).summary();
    let source = Source { summary: Some(summary), until: 6, ..open() };
    for damaged in 0..3 {
        let mut batches = batches();
        *batches[damaged].last_mut().unwrap() ^= 1;
        assert_foreign(false, &batches.concat(), &source);
    }
}

#[test]
fn a_damaged_file_with_other_times_is_another_file() {
    let with = |origins: [i64; 3], damaged: usize| {
        let mut batches: Vec<_> =
            [0, 2, 4].iter().zip(origins).map(|(base, origin)| batch(*base, "value", origin)).collect();
        *batches[damaged].last_mut().unwrap() ^= 1;
        batches.concat()
    };
    assert_foreign(false, &with([1000, 1000, 1000], 1), &sealed());
    for origin in [999, 1001] {
        assert_foreign(true, &with([origin, 1000, 1000], 1), &sealed());
        // What is not there any more tells nothing, nor does what begins farther on.
        assert_foreign(false, &with([origin, 1000, 1000], 0), &sealed());
    }
    assert_foreign(false, &with([1000, 999, 1000], 0), &sealed());
    // No record was later than the latest.
    assert_foreign(false, &with([1000, 1002, 1000], 0), &sealed());
    assert_foreign(true, &with([1000, 1003, 1000], 0), &sealed());
    assert_foreign(true, &with([1000, 1000, 1001], 0), &sealed());
}

#[test]
fn a_batch_without_records_does_not_tell_when_a_segment_began() {
    let [first, second, third] = three();
    let mut emptied = first;
    let mut header = BatchHeader::decode(&emptied).unwrap();
    (header.record_count, header.max_timestamp) = (0, 500);
    header.stamp(&mut emptied).unwrap();
    let bytes = [emptied, second, third].concat();
    let summary = salvaged(&bytes, &open()).summary();
    assert_eq!(summary.first_timestamp, 1003);
    let source = Source { summary: Some(summary), ..sealed() };
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() ^= 1;
    assert_foreign(false, &damaged, &source);
}

#[test]
fn an_open_segment_begins_with_its_own_batches() {
    let whole = three().concat();
    assert_foreign(false, &whole, &open());
    assert_foreign(false, &whole[..whole.len() - 10], &open());
    let elsewhere = Source { base: 100, ..open() };
    assert_foreign(true, &whole, &elsewhere);
    // Where offsets may be missing, nobody knows what it begins with.
    assert_foreign(false, &whole, &Source { was_gapless: false, ..elsewhere });
}

#[test]
fn an_open_segment_has_a_batch_that_begins_at_the_mark() {
    let whole = three().concat();
    let len = whole.len() as u64 / 3;
    let marked = |offset: Offset, position: u64| {
        let mark = Mark { segment: 0, offset, position };
        is_foreign(&salvaged(&whole, &open()), &Source { mark: Some(mark), ..open() })
    };
    for (offset, position) in [(0, 0), (2, len), (4, 2 * len), (6, 3 * len), (9, 4 * len)] {
        assert!(!marked(offset, position), "{offset} at {position}");
    }
    for (offset, position) in [
        (1, 0),
        (2, 1),
        (2, len - 1),
        (1, len),
        (4, len),
        (2, len + 1),
        (5, 3 * len),
        (7, 3 * len),
        (6, 3 * len - 1),
    ] {
        assert!(marked(offset, position), "{offset} at {position}");
    }
    // Only the batch behind it is left, or only the one in front.
    let mark = |offset| Some(Mark { segment: 0, offset, position: len });
    for damaged in [0, 1] {
        let mut batches = three();
        *batches[damaged].last_mut().unwrap() ^= 1;
        let found = salvaged(&batches.concat(), &open());
        assert!(!is_foreign(&found, &Source { mark: mark(2), ..open() }));
        assert!(is_foreign(&found, &Source { mark: mark(3), ..open() }));
    }
}

#[test]
fn the_end_that_is_known_is_the_last_of_all_that_tell() {
    let summary = |next_offset| SegmentSummary { next_offset, ..sealed().summary.unwrap() };
    let state = |sealed: &[Offset], closed: Option<Offset>, mark| PartitionState {
        identity: Identity { store: 1, topic: 2, partition: 3 },
        log_start: 0,
        sealed: sealed.iter().map(|end| summary(*end)).collect(),
        closed: closed.map(summary),
        cleaned_until: 0,
        pending: Vec::new(),
        obsolete: Vec::new(),
        producers_at: None,
        mark: Mark { segment: 0, offset: mark, position: 0 },
        sequence: 0,
    };
    assert_eq!(known_end(&state(&[], None, 0)), 0);
    assert_eq!(known_end(&state(&[], None, 7)), 7);
    assert_eq!(known_end(&state(&[10, 20], None, 7)), 20);
    assert_eq!(known_end(&state(&[10, 20], None, 23)), 23);
    assert_eq!(known_end(&state(&[10, 20], Some(25), 23)), 25);
}
