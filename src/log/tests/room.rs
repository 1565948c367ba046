//! Compaction on a disk without room: what it waits for, and where it ends.

#![expect(clippy::disallowed_methods, reason = "two threads are at work")]

use std::cell::Cell;
use std::sync::mpsc;
use std::thread;

use super::compaction::{contents, now_config, put};
use super::place::Place;
use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, Gate, Times};

const DISK_FULL: Fault = Fault::Error(28);
const STATE_FILE: &str = "annals.state.new";

fn faulty() -> (Arc<FaultyFileSystem>, Place) {
    let disk = FaultyFileSystem::new();
    let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
    (disk, place)
}

/// Twenty records of two keys, in sealed segments and nothing in the active one.
fn twenty(place: &Place) -> Arc<Log> {
    so_many(place, 20)
}

fn so_many(place: &Place, count: usize) -> Arc<Log> {
    let log = place.open();
    for n in 0..count {
        put(&log, &[(["a", "b"][n % 2], &format!("value {n}"))]);
    }
    log.roll().unwrap();
    log
}

/// As [`twenty`], behind a record that stays.
fn twenty_behind_one(place: &Place) -> Arc<Log> {
    let log = place.open();
    put(&log, &[("c", "first")]);
    drop(log);
    twenty(place)
}

/// A log that nothing can be taken out of: each of its segments is full.
fn unchanging(place: &Place) -> Arc<Log> {
    let log = place.open();
    let value = "v".repeat(300);
    ["a", "b", "c"].into_iter().for_each(|key| put(&log, &[(key, &value)]));
    log.roll().unwrap();
    log
}

/// A log whose table does not say yet that a rewritten segment has its name.
fn half_named(place: &Place, disk: &FaultyFileSystem) -> Arc<Log> {
    let log = twenty(place);
    // The first one is the swap's own, the second is to say it, and the third notes how far the log is clean.
    disk.fail(&[Call::Write], STATE_FILE, (1, Times::ForEver), DISK_FULL);
    drop(log.compact(&|| Some(now_config(place))));
    disk.heal();
    put(&log, &[("a", "later")]);
    log.roll().unwrap();
    log
}

#[test]
fn a_compaction_whose_table_had_no_room_waited_on_when_there_was() {
    let logs: [fn(&Place, &FaultyFileSystem) -> Arc<Log>; 5] = [
        |place, _| twenty(place),
        // What has no room stands behind what is clean from then on.
        |place, _| {
            drop(unchanging(place));
            twenty(place)
        },
        |place, _| unchanging(place),
        half_named,
        |place, _| {
            let log = twenty(place);
            put(&log, &[("a", "not sealed")]);
            log
        },
    ];
    for (case, log) in logs.into_iter().enumerate() {
        let (disk, place) = faulty();
        let log = log(&place, &disk);
        disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(40));
        disk.fail(&[Call::Write], STATE_FILE, (0, Times::ForEver), DISK_FULL);
        let refused = log.compact(&|| Some(now_config(&place))).unwrap_err();
        assert!(refused.is_disk_full(), "case {case}: {refused}");
        assert!(!log.may_have_room(), "case {case}: nothing has changed");
        disk.heal();
        assert!(log.may_have_room(), "case {case}: there is room");
        log.compact(&|| Some(now_config(&place))).unwrap();
        assert!(!log.may_have_room(), "case {case}: it waits for nothing");
    }
}

#[test]
fn segments_of_which_nothing_stays_were_not_tried_behind_one_whose_table_was_refused() {
    let (disk, place) = faulty();
    let log = twenty(&place);
    // The first segment's table, and again each time that index files have made room for it.
    (0..5).for_each(|nth| disk.fail(&[Call::Write], STATE_FILE, (nth, Times::Once), DISK_FULL));
    let report = log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(report.removed_records, 18);
    assert_eq!(contents(&log), ["18 a=value 18", "19 b=value 19"]);
}

#[test]
fn a_state_file_that_is_refused_is_not_written_for_each_of_many_segments() {
    let (disk, place) = faulty();
    let log = so_many(&place, 60);
    assert!(place.logs().len() > 6);
    (0..4 * 5).for_each(|nth| disk.fail(&[Call::Write], STATE_FILE, (nth, Times::Once), DISK_FULL));
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_disk_full());
    assert_eq!(contents(&log).len(), 60, "a fifth one would have gone");
    assert_eq!(log.compact(&|| Some(now_config(&place))).unwrap().removed_records, 58);
}

#[test]
fn a_compaction_without_room_had_no_end_while_others_sent() {
    const MANY: usize = 40;
    let (disk, place) = faulty();
    let log = twenty_behind_one(&place);
    let end = log.end();
    disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(40));
    let asked = Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        // All there was of the two keys can go each time, and goes without any room.
        put(&log, &[("a", "again"), ("b", "again")]);
        log.roll().unwrap();
        (asked.get() < MANY).then(|| now_config(&place))
    };
    assert!(log.compact(&ask).unwrap_err().is_disk_full());
    assert!(asked.get() < 5, "{} passes over what has {end} records", asked.get());
    disk.heal();
    let report = log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(report.cleaned_until, log.end(), "what was sent meanwhile is the next one's");
    assert_eq!(contents(&log).len(), 3);
}

#[test]
fn a_look_for_free_space_keeps_no_compaction_waiting() {
    let (disk, place) = faulty();
    let log = twenty_behind_one(&place);
    disk.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(40));
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_disk_full());
    disk.heal();
    let gate = Arc::<Gate>::default();
    disk.fail(&[Call::AvailableSpace], "", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let asking = thread::spawn({
        let log = Arc::clone(&log);
        move || log.may_have_room()
    });
    gate.await_arrival();
    let (done, is_done) = mpsc::channel();
    let (compacted, config) = (Arc::clone(&log), now_config(&place));
    let compacts = thread::spawn(move || {
        let outcome = compacted.compact(&|| Some(config)).map(drop);
        done.send(()).unwrap();
        outcome
    });
    let has_ended = is_done.recv_timeout(Duration::from_secs(5));
    gate.open();
    assert!(asking.join().unwrap());
    compacts.join().unwrap().unwrap();
    assert!(has_ended.is_ok(), "it has waited for the file system's answer");
}
