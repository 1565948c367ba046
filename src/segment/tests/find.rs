//! The straight way to a batch: it finds every one that is there, and takes none for another.

use super::*;
use crate::format::cleaned_log_name;

const BASE: Offset = 1000;
const MODES: [ReadMode; 2] = [ReadMode::Mapped, ReadMode::Positional];
/// Some batches have an index entry, most have not.
const CONFIG: SegmentConfig =
    SegmentConfig { max_bytes: 1 << 30, index_interval_bytes: 300, max_index_bytes: 1 << 20 };

/// Three records each, one batch after the other; every ninth batch is far longer than what is asked for at once.
fn batches() -> Vec<Vec<u8>> {
    let long = vec![b'x'; 10_000];
    let value = |at: usize| if at % 9 == 4 { &long[..] } else { b"value" };
    (0..40).zip((BASE..).step_by(3)).map(|(at, base)| batch(base, &[value(at), b"", b"third"])).collect()
}

fn header(bytes: &[u8]) -> BatchHeader {
    BatchHeader::decode(bytes).unwrap()
}

fn grown(place: &Place, batches: &[Vec<u8>], mode: ReadMode) -> ActiveSegment {
    let mut segment = ActiveSegment::create(&place.directory, BASE, CONFIG, mode).unwrap();
    for bytes in batches {
        segment.append(&header(bytes), bytes).unwrap();
    }
    segment
}

/// A segment that was rewritten, and its index in memory.
fn rewritten(place: &Place, batches: &[Vec<u8>], mode: ReadMode) -> Arc<Segment> {
    let mut new = NewSegment::begin(&place.directory, BASE, CONFIG.index_interval_bytes).unwrap();
    for bytes in batches {
        new.append(&header(bytes), bytes).unwrap();
    }
    let summary = new.finish(BASE + 200).unwrap().unwrap().summary;
    let name = cleaned_log_name(BASE);
    let segment = Arc::new(Segment::sealed_as(&place.directory, summary, name, mode));
    segment.walk().unwrap();
    segment
}

/// Compares what is found for each offset around the segment's with the batch that holds it.
fn assert_finds(segment: &Segment, batches: &[Vec<u8>]) {
    for offset in BASE - 5..BASE + 205 {
        let expected = batches.iter().find(|bytes| {
            let header = header(bytes);
            (header.base_offset..header.next_offset()).contains(&offset)
        });
        let found = segment.find(offset);
        assert_eq!(found.as_ref().map(StoredBatch::bytes), expected.map(Vec::as_slice), "{offset}");
        if let Some(found) = found {
            let in_front = batches.iter().take_while(|bytes| header(bytes).next_offset() <= offset);
            assert_eq!(found.position(), in_front.map(|bytes| bytes.len() as u64).sum::<u64>(), "{offset}");
        }
    }
}

#[test]
fn every_offset_leads_to_the_batch_that_holds_it() {
    let batches = batches();
    for mode in MODES {
        let place = Place::new();
        let segment = grown(&place, &batches, mode);
        let entries = segment.segment().finished_index().unwrap().offsets().len();
        assert!((5..30).contains(&entries), "{entries} entries");
        assert_finds(segment.segment(), &batches);
        assert_finds(grown(&Place::new(), &[], mode).segment(), &[]);
    }
}

#[test]
fn where_batches_were_removed_no_other_stands_for_them() {
    let mut at = 0..;
    let mut kept = batches();
    // The first is gone, runs of one and two, and one that an entry may stand in front of.
    kept.retain(|_| !matches!(at.next().unwrap() % 11, 0 | 3 | 6 | 7));
    for mode in MODES {
        let place = Place::new();
        assert_finds(&rewritten(&place, &kept, mode), &kept);
    }
}

#[test]
fn a_batch_that_is_not_yet_published_is_not_found() {
    let batches = batches();
    let (hidden, written) = batches.split_last().unwrap();
    for mode in MODES {
        let place = Place::new();
        let segment = grown(&place, written, mode);
        segment.file().write_at(hidden, segment.bytes()).unwrap();
        assert_finds(segment.segment(), written);
    }
}

/// Whether a batch between two index entries, and one after it, are found after this change of the first one's header.
fn found_after(
    segment: &Segment,
    file: &crate::io::File,
    batches: &[Vec<u8>],
    change: (usize, u8),
) -> [bool; 2] {
    let indexed = segment.finished_index().unwrap();
    let entries: Vec<_> =
        indexed.offsets().iter().map(|entry| BASE + i64::from(entry.relative_offset)).collect();
    let last = |at: usize| header(&batches[at]).last_offset();
    let at = (1..batches.len() - 1).find(|at| {
        [*at, at + 1].iter().all(|at| !entries.contains(&last(*at))) && entries.contains(&last(at - 1))
    });
    let at = at.unwrap();
    let position = batches[..at].iter().map(|bytes| bytes.len() as u64).sum::<u64>() + change.0 as u64;
    let was = file.read(position, 1).unwrap();
    file.write_at(&[change.1], position).unwrap();
    let found = [at, at + 1].map(|at| segment.find(last(at)).is_some());
    file.write_at(&was, position).unwrap();
    found
}

#[test]
fn a_header_that_is_not_what_must_stand_there_is_left_to_the_cursor() {
    let batches = batches();
    for mode in MODES {
        let place = Place::new();
        let segment = grown(&place, &batches, mode);
        let found = |change| found_after(segment.segment(), segment.file(), &batches, change);
        let low = header(&batches[0]).base_offset.to_be_bytes()[6];
        // A base offset above what is due, and below it; the leader epoch, which may be any; the magic.
        assert_eq!(found((6, low + 1)), [false; 2]);
        assert_eq!(found((6, low - 1)), [false; 2]);
        assert_eq!(found((15, 1)), [true; 2]);
        assert_eq!(found((16, 1)), [false; 2]);

        let place = Place::new();
        let segment = rewritten(&place, &batches, mode);
        let file = place.directory.open(&cleaned_log_name(BASE), OpenMode::ReadWrite).unwrap();
        let found = |change| found_after(&segment, &file, &batches, change);
        // Above what is due it looks like a gap, and what the offset is looked for in lies in front.
        assert!(!found((6, low + 1))[0]);
        assert_eq!(found((6, low - 1)), [false; 2]);
        assert_eq!(found((15, 1)), [true; 2]);
    }
}

#[test]
fn the_batch_of_an_index_entry_must_be_the_one_it_tells_of() {
    let batches = batches();
    for mode in MODES {
        let place = Place::new();
        let segment = grown(&place, &batches, mode);
        let first = segment.segment().finished_index().unwrap().offsets()[0];
        let last = BASE + i64::from(first.relative_offset);
        assert!(segment.segment().find(last).is_some());
        // Longer than its entry says, by an offset.
        let position = u64::from(first.position) + 26;
        segment.file().write_at(&[3], position).unwrap();
        assert!(segment.segment().find(last).is_none());
        // The first of all has no entry: it must begin where the segment does.
        assert!(segment.segment().find(BASE + 1).is_some());
        let late = (BASE + 1).to_be_bytes();
        segment.file().write_at(&late, 0).unwrap();
        assert!([BASE, BASE + 1].iter().all(|offset| segment.segment().find(*offset).is_none()));
    }
}
