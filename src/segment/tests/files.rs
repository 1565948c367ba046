//! Scans, and segments as they are opened again.

use super::*;
use crate::error::Error;
use crate::segment::scan;

fn scanned(bytes: &[u8], until: Offset) -> Scan {
    let place = Place::new();
    scan(&place.log(0, bytes), 0, 4096, until, &mut |_, _| None).unwrap()
}

#[test]
fn a_scan_tells_how_much_is_torn_and_why() {
    let batches = [0, 2].map(|base| batch(base, &[b"first", b"second"]));
    let (bytes, len) = (batches.concat(), batches[1].len());
    let torn = |bytes: &[u8]| match scanned(bytes, Offset::MAX) {
        Scan { tally, tail: Tail::Torn { bytes, reason }, .. } => (tally.next_offset, bytes, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(scanned(&bytes, Offset::MAX).tail, Tail::Clean);
    assert_eq!(scanned(&[&bytes[..], &[0; 100]].concat(), Offset::MAX).tail, Tail::Clean);
    let cut = len - 4;
    assert_eq!(
        torn(&bytes[..bytes.len() - 4]),
        (2, cut as u64, format!("{len} bytes are needed, {cut} are there"))
    );
    // Zeros behind it are no part of it.
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    damaged.resize(damaged.len() + 3_000_000, 0);
    let (end, count, reason) = torn(&damaged);
    assert_eq!((end, count), (2, len as u64));
    assert!(reason.contains("CRC"), "{reason}");
    // A byte far behind is.
    *damaged.last_mut().unwrap() = 1;
    assert_eq!(torn(&damaged).1, len as u64 + 3_000_000);
    for (at, word) in [(7, "base offset"), (16, "magic")] {
        let mut damaged = bytes.clone();
        damaged[len + at] ^= 0x41;
        let (end, count, reason) = torn(&damaged);
        // A batch without headers ends with a zero.
        assert_eq!((end, count), (2, len as u64 - 1));
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_scan_ends_where_the_next_segment_begins() {
    let bytes = [0, 2].map(|base| batch(base, &[b"first", b"second"])).concat();
    for (until, end) in [(0, 0), (1, 2), (2, 2), (3, 4), (4, 4)] {
        let scan = scanned(&bytes, until);
        assert_eq!((scan.tally.next_offset, scan.tail), (end, Tail::Clean), "until {until}");
    }
}

#[test]
fn a_reopened_segment_goes_on_as_if_it_had_never_been_closed() {
    let config = SegmentConfig { max_bytes: 1 << 20, index_interval_bytes: 100, max_index_bytes: 1 << 20 };
    let append = |segment: &mut ActiveSegment, range: std::ops::Range<Offset>| {
        for base in range {
            let bytes = batch(base, &[b"value"]);
            segment.append(&BatchHeader::decode(&bytes).unwrap(), &bytes).unwrap();
        }
    };
    let place = Place::new();
    let mut once = ActiveSegment::create(&place.directory, 0, config, ReadMode::Mapped).unwrap();
    append(&mut once, 0..20);
    let expected = once.seal().unwrap();
    for closed_at in 0..20 {
        let place = Place::new();
        let mut segment = ActiveSegment::create(&place.directory, 0, config, ReadMode::Mapped).unwrap();
        append(&mut segment, 0..closed_at);
        let summary = segment.seal().unwrap();
        segment.retire();
        let mut segment = ActiveSegment::reopen(&place.directory, summary, config, ReadMode::Mapped).unwrap();
        assert_eq!((segment.next_offset(), segment.bytes()), (summary.next_offset, summary.bytes));
        append(&mut segment, closed_at..20);
        assert_eq!(segment.seal().unwrap(), expected, "closed at {closed_at}");
    }
}

#[test]
fn a_sealed_segment_tells_which_batch_is_damaged() {
    let config = SegmentConfig { max_bytes: 1 << 20, index_interval_bytes: 100, max_index_bytes: 1 << 20 };
    let batches: Vec<_> = (0..6).map(|base| batch(base, &[b"value"])).collect();
    let place = Place::new();
    let mut segment = ActiveSegment::create(&place.directory, 0, config, ReadMode::Positional).unwrap();
    for bytes in &batches {
        segment.append(&BatchHeader::decode(bytes).unwrap(), bytes).unwrap();
    }
    let summary = segment.seal().unwrap();
    drop(segment);
    let len = batches[0].len() as u64;
    let name = segment_file_name(0, SegmentFile::Log);
    let blamed = |position: u64, byte: &[u8]| {
        for hint in [SegmentFile::Index, SegmentFile::TimeIndex] {
            place.directory.remove_if_there(&segment_file_name(0, hint)).unwrap();
        }
        let file = place.directory.open(&name, OpenMode::ReadWrite).unwrap();
        let was = file.read(position, 1).unwrap();
        file.write_at(byte, position).unwrap();
        let sealed = Arc::new(Segment::sealed(&place.directory, summary, ReadMode::Positional));
        let error = sealed.walk().unwrap_err();
        file.write_at(&was, position).unwrap();
        match error {
            Error::Corrupt { position, offset, .. } => (position, offset),
            other => panic!("{other:?}"),
        }
    };
    // No batch begins where the third says that it ends.
    assert_eq!(blamed(2 * len + 11, &[200]), (2 * len, Some(2)));
    // The fourth is none.
    assert_eq!(blamed(3 * len + 16, &[0]), (3 * len, Some(3)));
    // A header that fits nothing sealed, and nobody can say which.
    assert_eq!(blamed(3 * len + 7, &[9]), (0, Some(0)));
    let sealed = Arc::new(Segment::sealed(&place.directory, summary, ReadMode::Positional));
    sealed.walk().unwrap();
    assert!(sealed.may_end_at(6) && !sealed.may_end_at(5));
}
