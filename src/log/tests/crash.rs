//! A process that dies at every change it makes to its files.

use super::compaction::{contents, now_config, put};
use super::damage::repaired;
use super::faulty::Faulty;
use super::place::Place;
use super::*;
use crate::io::OpenMode;

type Change = fn(&Place, &Arc<Log>);

/// A log of thirty records over several segments, half of them superseded, with a tombstone, and whatever else.
fn fill(place: &Place) -> Arc<Log> {
    let log = place.open();
    for n in 0..30 {
        put(&log, &[(&format!("key {}", n % 7), &format!("value {n}"))]);
    }
    put(&log, &[("key 3", ""), ("key 0", "last")]);
    log
}

/// Dies at the first, the second … change that `change` makes, and looks at what is left: the log before or the one
/// after, and after the first append not a file too many.
fn dies_anywhere(change: Change) {
    dies_anywhere_after(|_, _| {}, change);
}

/// The same on a log that has lived through `earlier`.
fn dies_anywhere_after(earlier: Change, change: Change) {
    let fill = |place: &Place| {
        let log = fill(place);
        earlier(place, &log);
        log
    };
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let fs = Faulty::never();
        let place = Place::in_memory(mode, Arc::new(fs.clone()));
        let log = fill(&place);
        let before = (contents(&log), log.start());
        let end = log.end();
        fs.set(i64::MAX);
        change(&place, &log);
        let changes = i64::MAX - fs.left();
        let after = (contents(&log), log.start());
        assert_ne!(before, after);
        assert!(changes > 5, "{changes}");
        let mut outcomes = [0, 0];
        for killed_at in 0..changes {
            let fs = Faulty::never();
            let place = Place::in_memory(mode, Arc::new(fs.clone()));
            let log = fill(&place);
            fs.set(killed_at);
            change(&place, &log);
            drop(log);
            fs.set(i64::MAX);
            let log = place.open();
            let found = (contents(&log), log.start());
            assert!(
                found == before || is_between(&found, &before, &after),
                "killed at {killed_at}: {found:?}"
            );
            outcomes[usize::from(found == after)] += 1;
            assert_eq!(log.end(), end);
            check_settled(&place, &log, &found.0);
        }
        assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
    }
}

/// Several segments are replaced one by one: each is as it was before or as it is after.
fn is_between(
    found: &(Vec<String>, Offset),
    before: &(Vec<String>, Offset),
    after: &(Vec<String>, Offset),
) -> bool {
    let is_there = |line: &String| before.0.contains(line);
    found.0.iter().all(is_there)
        && after.0.iter().all(|line| found.0.contains(line))
        && (found.1 == before.1 || found.1 == after.1)
        && found.0.is_sorted_by_key(|line| line.split(' ').next().unwrap().parse::<i64>().unwrap())
}

fn check_settled(place: &Place, log: &Arc<Log>, found: &[String]) {
    let end = log.end();
    put(log, &[("more", "1")]);
    let mut expected = found.to_vec();
    expected.push(format!("{end} more=1"));
    assert_eq!(contents(log), expected);
    let files = place.files();
    assert!(files.iter().all(|name| !name.ends_with(".cleaned") && !name.ends_with(".new")), "{files:?}");
    let listed: Vec<_> = log.segment_list().iter().map(|segment| segment.base()).collect();
    assert_eq!(place.logs(), listed);
    let stray = files.iter().filter(|name| name.contains("index")).any(|name| {
        let base: Offset = name.split('.').next().unwrap().parse().unwrap();
        !listed.contains(&base)
    });
    assert!(!stray, "{files:?}");
    // A second death, right after: everything was durable and consistent.
    let log = place.open();
    assert_eq!(contents(&log), expected);
    log.compact(&|| Some(now_config(place))).unwrap();
    log.close().unwrap();
    assert_eq!(place.open().end(), end + 1);
}

#[test]
fn in_a_compaction() {
    dies_anywhere(|place, log| drop(log.compact(&|| Some(now_config(place)))));
}

#[test]
fn in_a_later_compaction() {
    let earlier: Change = |place, log| {
        log.compact(&|| Some(now_config(place))).unwrap();
        put(log, &[("key 1", "again"), ("key 2", "again"), ("key 4", "again")]);
    };
    dies_anywhere_after(earlier, |place, log| drop(log.compact(&|| Some(now_config(place)))));
}

#[test]
fn in_a_compaction_in_several_rounds() {
    dies_anywhere(|place, log| {
        drop(log.compact(&|| Some(CompactionConfig { memory_bytes: 0, ..now_config(place) })));
    });
}

#[test]
fn in_retention() {
    dies_anywhere(|_, log| {
        drop(log.apply_retention(|| RetentionPolicy { max_bytes: Some(900), ..Default::default() }));
    });
}

#[test]
fn in_retention_of_everything() {
    dies_anywhere(|_, log| {
        drop(log.apply_retention(|| RetentionPolicy { max_bytes: Some(0), ..Default::default() }));
    });
}

#[test]
fn in_a_deletion() {
    dies_anywhere(|_, log| drop(log.delete_records(17)));
}

#[test]
fn in_an_erasure() {
    dies_anywhere(|_, log| drop(log.erase(&|key| key == b"key 5")));
}

/// A process that lives on after a failure can try again, unless the partition says that it must be opened again.
#[test]
fn what_failed_once_succeeds_the_next_time() {
    let fs = Faulty::never();
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(fs.clone()));
    let log = fill(&place);
    fs.set(i64::MAX);
    log.compact(&|| Some(now_config(&place))).unwrap();
    let (changes, after) = (i64::MAX - fs.left(), contents(&log));
    let mut poisoned = 0;
    for failing in 0..changes {
        let fs = Faulty::never();
        let place = Place::in_memory(ReadMode::Mapped, Arc::new(fs.clone()));
        let mut log = fill(&place);
        fs.set(failing);
        drop(log.compact(&|| Some(now_config(&place))));
        fs.set(i64::MAX);
        if log.check_poison().is_err() {
            poisoned += 1;
            log = place.open();
        }
        log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!(contents(&log), after, "failed at {failing}");
        check_settled(&place, &log, &after);
    }
    assert!(poisoned < changes / 2, "{poisoned} of {changes}");
}

#[test]
fn without_room_nothing_is_begun() {
    let fs = Faulty::never();
    let place = Place::in_memory(ReadMode::Mapped, Arc::new(fs.clone()));
    let log = place.open();
    for n in 0..20 {
        put(&log, &[(&format!("stays {n}"), "once"), ("often", &format!("value {n}"))]);
    }
    log.roll().unwrap();
    let files = place.files();
    fs.set(0);
    let error = log.compact(&|| Some(now_config(&place))).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(place.files(), files);
}

/// A swap may be half done in a partition that is damaged elsewhere too.
#[test]
fn a_repair_finishes_what_a_dead_process_had_begun_to_swap() {
    let mut was_half_done = false;
    for killed_at in 0.. {
        let fs = Faulty::never();
        let place = Place::in_memory(ReadMode::Positional, Arc::new(fs.clone()));
        let log = fill(&place);
        let before = contents(&log);
        fs.set(killed_at);
        let is_done = log.compact(&|| Some(now_config(&place))).is_ok();
        drop(log);
        fs.set(i64::MAX);
        was_half_done |= place.files().iter().any(|name| name.ends_with(".cleaned"));
        let logs = place.logs();
        damage_a_byte(&place, logs[logs.len() - 2]);
        let lost = repaired(&place);
        let found = contents(&place.open());
        assert!(found.iter().all(|line| before.contains(line)), "killed at {killed_at}: {found:?}");
        let is_lost = |line: &str| {
            let offset = line.split(' ').next().unwrap().parse::<Offset>().unwrap();
            lost.iter().any(|repair| repair.lost.contains(&offset))
        };
        let live = before.iter().filter(|line| is_last_of_its_key(line, &before));
        let missing: Vec<_> = live.filter(|line| !found.contains(line)).collect();
        // Each record is a batch, and one is damaged.
        assert!(missing.len() <= 1, "killed at {killed_at}: {missing:?} of {lost:?}");
        assert!(missing.iter().all(|line| is_lost(line)), "killed at {killed_at}: {missing:?} of {lost:?}");
        if is_done {
            break;
        }
    }
    assert!(was_half_done);
}

fn is_last_of_its_key(line: &str, all: &[String]) -> bool {
    let key = |line: &str| line.split([' ', '=']).nth(2).unwrap().to_owned();
    all.iter().rev().find(|other| key(other) == key(line)).is_some_and(|last| last == line)
}

/// In a record of the first batch.
fn damage_a_byte(place: &Place, base: Offset) {
    let file = place.directory().open(&format!("{base:020}.log"), OpenMode::ReadWrite).unwrap();
    if let [byte] = file.read(65, 1).unwrap()[..] {
        file.write_at(&[byte ^ 0x10], 65).unwrap();
    }
}
