//! What of a key index is in memory, whatever keeps its files from being written.

use super::gate::Gated;
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::types::{Condition, Expected, Query};

/// With a key index, of segments of a few records.
fn with_keys(key_index: bool) -> LogConfig {
    LogConfig { key_index, ..config(500) }
}

/// Events of different keys, until there are so many segments.
fn fill(log: &Arc<Log>, place: &Place, segments: usize) {
    while place.logs().len() < segments {
        let key = format!("key {}", log.end());
        log.append(&[Record::new().key(&key).value("value")], &how(Durability::Os)).unwrap();
        log.agenda.due().into_iter().for_each(|due| due.run().unwrap());
    }
}

/// Segments that have terms in memory.
fn in_memory(log: &Log) -> usize {
    log.segment_list().iter().filter(|segment| segment.keys().in_memory() > 0).count()
}

fn index_files(place: &Place) -> usize {
    place.files().iter().filter(|name| name.ends_with(".keyindex")).count()
}

#[test]
fn segments_that_roll_while_files_are_held_give_up_their_terms() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    log.set_config(with_keys(true));
    fill(&log, &place, 4);
    assert_eq!((index_files(&place), in_memory(&log)), (3, 1));
    let hold = log.hold();
    fill(&log, &place, 12);
    assert_eq!(index_files(&place), 3, "none is written while they are held");
    assert_eq!(in_memory(&log), 1, "that of the active segment");
    log.write_keys_owed();
    drop(hold);
    log.write_keys_owed();
    assert_eq!(index_files(&place), 4, "the last one is written when the hold is over");
    let guard = [Condition::stream("key 20", Expected::NoStream)];
    let found = log.append_when(&guard, &[Record::new().key("key 20")], &how(Durability::Os));
    assert!(matches!(found, Err(Error::Conflict { found: Some(20), .. })), "{found:?}");
}

#[test]
fn a_segment_that_rolls_when_the_index_was_switched_off_gives_up_its_terms() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    for segments in (2..20).step_by(3) {
        log.set_config(with_keys(true));
        fill(&log, &place, segments);
        log.append(&[Record::new().key("k")], &how(Durability::Os)).unwrap();
        log.set_config(with_keys(false));
        fill(&log, &place, segments + 2);
    }
    assert_eq!(in_memory(&log), 0);
}

#[test]
fn a_guard_that_goes_through_segments_without_an_index_holds_the_terms_of_one() {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(files.clone()));
    let log = place.open();
    log.set_config(with_keys(false));
    fill(&log, &place, 12);
    log.set_config(with_keys(true));
    files.fill_up();
    let guard = [Condition::stream("nobody", Expected::NoStream)];
    // There is no room for the event either.
    let appended = log.append_when(&guard, &[Record::new().key("nobody")], &how(Durability::Os));
    assert!(appended.is_err_and(|error| error.is_disk_full()));
    assert_eq!(index_files(&place), 0);
    let segments = in_memory(&log);
    assert!(segments <= 2, "{segments}: more than the active one, and one whose file cannot be written");
}

#[test]
fn a_batch_that_was_written_again_during_a_fetch_gave_bytes_of_another_record() {
    for (mode, codec) in [ReadMode::Mapped, ReadMode::Positional].into_iter().zip([Codec::None, Codec::Lz4]) {
        let place = Place::new(mode);
        let log = place.open();
        log.set_config(LogConfig { compression: Compression::of(codec), ..with_keys(true) });
        let tagged = |key, value| Record::new().key(key).value(value).header("tag", "x");
        let events = [tagged("a", "first"), Record::new().key("gone").value("second"), tagged("b", "third")];
        log.append(&events, &how(Durability::Os)).unwrap();
        let selection = Arc::new(Selection::query(&Query::tag("x")));
        let mut reader = ContentReader::new(&log, selection, (0, Offset::MAX));
        let slices = reader
            .fetch_two_around(|| {
                log.erase(&|key| key == b"gone").unwrap();
            })
            .unwrap();
        let read: Vec<_> = slices.iter().flat_map(RecordSlice::iter).collect();
        let read: Vec<_> =
            read.iter().map(|one| (one.offset, one.key.unwrap(), one.value.unwrap())).collect();
        assert_eq!(read, [(0, &b"a"[..], &b"first"[..]), (2, &b"b"[..], &b"third"[..])]);
    }
}

/// A reader went on behind an event that came into the next segment between its look at the list and its look at the end.
#[test]
fn an_event_that_came_with_a_roll_between_two_looks_of_a_reader_was_passed_over() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    log.set_config(with_keys(true));
    let put = |key| log.append(&[Record::new().key(key)], &how(Durability::Os)).unwrap();
    put("other");
    let mut reader = ContentReader::new(&log, Arc::new(Selection::key(b"a")), (0, Offset::MAX));
    assert!(reader.fetch(FetchLimits { max_records: 9, max_bytes: 9000 }).unwrap().is_empty());
    put("other");
    let next = reader.next_around(|| {
        assert!(log.roll().unwrap());
        put("a");
    });
    assert_eq!((next.unwrap(), reader.position()), (Some(2), 3));
}

#[test]
fn the_index_in_front_of_offsets_that_compaction_took_was_never_used() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    log.set_config(with_keys(true));
    let keys = (0..40).map(|n| format!("cold {n}")).chain((0..60).map(|_| "hot".to_owned()));
    for key in keys.chain((0..40).map(|n| format!("warm {n}"))) {
        log.append(&[Record::new().key(&key).value("value")], &how(Durability::Os)).unwrap();
        log.agenda.due().into_iter().for_each(|due| due.run().unwrap());
    }
    log.compact(&|| Some(super::compaction::now_config(&place))).unwrap();
    let list = log.segment_list();
    let is_before_a_gap = |segment: &&Arc<crate::segment::Segment>| {
        let next = list.after(segment.base()).map(|next| next.base());
        segment.keys().stamp().zip(next).is_some_and(|(stamp, next)| stamp.next_offset < next)
    };
    assert!(list.iter().any(|segment| is_before_a_gap(&segment)), "the test has a gap");
    for (key, expected) in [("cold 0", Some(0)), ("hot", Some(99)), ("nobody", None)] {
        let mut reader = ContentReader::new(&log, Arc::new(Selection::key(key.as_bytes())), (0, Offset::MAX));
        let slices = reader.fetch(FetchLimits { max_records: 9, max_bytes: 9000 }).unwrap();
        let found = slices.iter().flat_map(RecordSlice::iter).map(|record| record.offset).next();
        assert_eq!(found, expected, "{key}");
        assert!(in_memory(&log) <= 1, "{key}: a segment was gone through whose file is there");
    }
}

#[test]
fn terms_of_every_segment_stayed_in_memory_while_their_files_could_not_be_opened() {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(files.clone()));
    let log = place.open();
    log.set_config(with_keys(true));
    files.hide_key_indexes();
    fill(&log, &place, 12);
    assert_eq!((index_files(&place), in_memory(&log)), (11, 1), "that of the active segment");
}
