//! A compaction under which segments leave the log.

use std::cell::Cell;

use super::compaction::{contents, now_config, put};
use super::gate::{Gated, Stops};
use super::place::Place;
use super::*;
use crate::error::Error;

/// Compacts while, whenever the first segment is being rewritten, it leaves the log: so many of them.
fn compacted_while_the_oldest_leave(
    (files, place): (&Gated, &Place),
    log: &Arc<Log>,
    most: usize,
) -> CompactionReport {
    let (visited, dir) = (Arc::clone(log), place.dir.path().to_path_buf());
    let mut left = 0;
    let visit = move || {
        let bases = visited.segment_bases();
        let is_rewritten = dir.join(format!("{:020}.log.cleaned", bases[0])).exists();
        if is_rewritten && left < most && bases.len() > 2 {
            left += 1;
            let policy = RetentionPolicy { keep_from: Some(bases[1]), ..Default::default() };
            visited.apply_retention(|| policy).unwrap();
        }
    };
    let config = CompactionConfig { delete_retention: Duration::ZERO, ..now_config(place) };
    files.stopping(Stops::Changes, visit, || log.compact(&|| Some(config))).unwrap()
}

fn gated() -> (Gated, Place) {
    let files = Gated::default();
    let place = Place::in_memory(ReadMode::Positional, Arc::new(files.clone()));
    (files, place)
}

/// Each in a segment of its own.
fn put_apart(log: &Arc<Log>, pairs: &[(&str, &str)]) {
    for pair in pairs {
        put(log, &[*pair]);
        log.roll().unwrap();
    }
}

#[test]
fn an_old_value_does_not_come_back_when_segments_leave_under_a_compaction() {
    let (files, place) = gated();
    let log = place.open();
    let large = "o".repeat(250);
    // The first three become one; the tombstone stands in another.
    put_apart(&log, &[("x", "1"), ("y", "1"), ("k", &large), ("k", ""), ("z", "1")]);
    compacted_while_the_oldest_leave((&files, &place), &log, 2);
    let config = CompactionConfig { delete_retention: Duration::ZERO, ..now_config(&place) };
    log.compact(&|| Some(config)).unwrap();
    assert_eq!(contents(&log), ["4 z=1"]);
}

#[test]
fn a_compaction_goes_on_with_what_is_left_and_does_not_begin_again_for_each_segment_that_leaves() {
    let (files, place) = gated();
    let log = place.open();
    for n in 0..40 {
        put_apart(&log, &[(&format!("key {}", n % 7), &format!("value {n}"))]);
    }
    let report = compacted_while_the_oldest_leave((&files, &place), &log, 6);
    assert_eq!(report.rounds, 1);
    let expected: Vec<_> = (33..40).map(|n| format!("{n} key {}=value {n}", n % 7)).collect();
    assert_eq!(contents(&log), expected);
}

#[test]
fn a_look_at_segments_that_fails_is_made_again_where_some_left_and_not_where_others_came() {
    let place = Place::in_memory(ReadMode::Positional, Arc::new(OsFileSystem));
    let log = place.open();
    let looks_while = |change: &dyn Fn()| {
        let looks = Cell::new(0);
        let look = |_: &_| -> Result<(), Error> {
            looks.set(looks.get() + 1);
            if looks.get() < 10 {
                change();
            }
            Err(Error::invalid("damage"))
        };
        assert!(log.over_segments(look).is_err());
        looks.get()
    };
    let append_and_roll = || {
        append(&log, log.end()..log.end() + 1, Durability::Os);
        assert!(log.roll().unwrap());
    };
    (0..12).for_each(|_| append_and_roll());
    assert_eq!(looks_while(&append_and_roll), 1);
    let oldest_leaves = || {
        let policy = RetentionPolicy { keep_from: Some(log.segment_bases()[1]), ..Default::default() };
        log.apply_retention(|| policy).unwrap();
    };
    assert_eq!(looks_while(&oldest_leaves), 10);
}
