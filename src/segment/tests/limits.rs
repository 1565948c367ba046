//! When a segment is full, and what is counted of it.

use super::*;
use crate::error::Error;
use crate::segment::summary::Tally;

const ROOMY: SegmentConfig =
    SegmentConfig { max_bytes: 1 << 30, index_interval_bytes: 10, max_index_bytes: 1 << 20 };

fn append(segment: &mut ActiveSegment, bytes: &[u8]) {
    segment.append(&BatchHeader::decode(bytes).unwrap(), bytes).unwrap();
}

#[test]
fn a_segment_takes_batches_up_to_its_size_its_index_and_its_offsets() {
    let place = Place::new();
    let bytes = batch(5, &[b"value"]);
    let len = bytes.len();
    let mut segment = ActiveSegment::create(&place.directory, 5, ROOMY, ReadMode::Positional).unwrap();
    // The first batch always fits: there is no segment in which it would fit better.
    segment.set_config(SegmentConfig { max_bytes: 1, max_index_bytes: 1, ..ROOMY });
    assert!(!segment.is_full_for(len, Offset::MAX));
    append(&mut segment, &bytes);
    assert!(segment.is_full_for(len, 6));
    let two = u32::try_from(2 * len).unwrap();
    for (max_bytes, is_full) in [(two - 1, true), (two, false)] {
        segment.set_config(SegmentConfig { max_bytes, ..ROOMY });
        assert_eq!(segment.is_full_for(len, 6), is_full);
    }
    // An entry of the time index has 12 bytes; one for this batch, one for the last of all. The first batch has none.
    let most = 2 * 12;
    for (max_index_bytes, is_full) in [(most - 1, true), (most, false)] {
        segment.set_config(SegmentConfig { max_index_bytes, ..ROOMY });
        assert_eq!(segment.is_full_for(len, 6), is_full);
    }
    segment.set_config(ROOMY);
    let last = 5 + Offset::from(i32::MAX);
    assert_eq!((segment.is_full_for(len, last), segment.is_full_for(len, last + 1)), (false, true));
}

#[test]
fn a_new_segment_takes_no_more_bytes_than_positions_can_tell() {
    let most = u64::from(i32::MAX.unsigned_abs());
    let small = batch(0, &[b"small"]);
    // Its header says how long it is; the bytes are not looked at.
    let huge = restamped(&batch(0, &[b"huge"]), |header| {
        header.batch_length = i32::try_from(most - 12 - small.len() as u64).unwrap();
    });
    let place = Place::new();
    let mut new = NewSegment::begin(&place.directory, 0, 4096).unwrap();
    let append = |new: &mut NewSegment, bytes: &[u8]| new.append(&BatchHeader::decode(bytes).unwrap(), bytes);
    append(&mut new, &huge).unwrap();
    append(&mut new, &small).unwrap();
    match append(&mut new, &small) {
        Err(Error::RecordTooLarge { size, limit, .. }) => {
            assert_eq!((size, limit), (most + small.len() as u64, most));
        }
        other => panic!("{other:?}"),
    }
    new.discard().unwrap();
    assert!(place.directory.list().unwrap().is_empty());
}

#[test]
fn a_batch_whose_records_were_removed_counts_for_no_timestamp() {
    let emptied = restamped(&batch(0, &[b"first", b"second"]), |header| {
        header.record_count = 0;
        header.max_timestamp = 5000;
    });
    let full = batch(2, &[b"third"]);
    let (mut tally, mut index) = (Tally::new(0), SparseIndex::new(0, 4096));
    for bytes in [emptied, full] {
        let header = BatchHeader::decode(&bytes).unwrap();
        index.note(&header, tally.bytes);
        tally.add(&header, &bytes[..BatchHeader::LEN]);
    }
    assert_eq!((tally.first_timestamp, tally.record_count, tally.next_offset), (1002, 1, 3));
    let summary = summarize(&tally, &index);
    assert_eq!((summary.max_timestamp, summary.offset_of_max_timestamp), (1002, 2));
}

#[test]
fn an_index_entry_is_due_when_more_than_the_interval_lies_behind_the_last() {
    let bytes = batch(0, &[b"value"]);
    let len = u32::try_from(bytes.len()).unwrap();
    for (interval, entries) in [(2 * len - 1, vec![2, 4]), (2 * len, vec![3])] {
        let mut index = SparseIndex::new(0, interval);
        for base in 0..6_u32 {
            let header = BatchHeader::decode(&batch(base.into(), &[b"value"])).unwrap();
            index.note(&header, u64::from(base * len));
        }
        let found: Vec<_> = index.offsets().iter().map(|entry| entry.relative_offset).collect();
        assert_eq!(found, entries);
        index.note_time();
        let times: Vec<_> =
            index.times().iter().map(|entry| (entry.timestamp, entry.relative_offset)).collect();
        let expected: Vec<_> = entries.iter().chain(&[5]).map(|at| (1000 + i64::from(*at), *at)).collect();
        assert_eq!(times, expected);
        // Where a search for a time begins: at the entry that is not above it.
        let last = *entries.last().unwrap();
        let floors = [999, 1000 + i64::from(last) - 1, 1000 + i64::from(last), 1004, 1005, 1006];
        for timestamp in floors {
            let floor = times.iter().rfind(|time| time.0 <= timestamp).map_or(0, |time| time.1);
            assert_eq!(index.time_floor(timestamp), Offset::from(floor), "{timestamp}");
        }
    }
}
