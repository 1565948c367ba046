//! What goes from a log that was opened and not appended to: on a disk that has no room for a copy of its tail.

use super::compaction::{contents, put};
use super::faulty::Faulty;
use super::place::Place;
use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, Times};
use crate::log::write::size_limit::{SizeLimit, WhenFull};
use crate::log::write::writer::Phase;

const DISK_FULL: Fault = Fault::Error(28);

/// Killed with fifty records in many segments and some more that no sync has reached; there is no room for a copy of these.
fn killed() -> (Arc<FaultyFileSystem>, Place) {
    let disk = FaultyFileSystem::new();
    let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
    let log = place.open();
    append(&log, 0..53, Durability::Os);
    assert!(log.durable() < log.end() && place.logs().len() > 5);
    drop(log);
    disk.fail(&[Call::Create, Call::Write], ".log.new", (0, Times::ForEver), DISK_FULL);
    (disk, place)
}

fn is_untouched(log: &Log) -> bool {
    matches!(log.writer.lock().phase, Phase::Untouched(_))
}

/// There is room again, and it goes on as if nothing had been; in the next life, too.
fn goes_on(disk: &FaultyFileSystem, place: &Place, log: &Arc<Log>) {
    disk.heal();
    let start = log.start();
    assert_eq!(read_all(log, start), expected(start..53));
    append(log, 53..60, Durability::Disk);
    assert_eq!(read_all(log, start), expected(start..60));
    let mut logs: Vec<_> = log.segment_list().iter().map(|segment| segment.base()).collect();
    logs.sort_unstable();
    assert_eq!(place.logs(), logs, "no file of what has gone");
    let next = place.open();
    assert_eq!((next.start(), next.end()), (start, 60));
    assert_eq!(read_all(&next, start), expected(start..60));
}

#[test]
fn retention_after_a_restart_on_a_full_disk_copied_the_tail_first() {
    let (disk, place) = killed();
    let log = place.open();
    let before = (log.bytes(), place.logs().len());
    let policy = RetentionPolicy { max_bytes: Some(before.0 / 2), ..Default::default() };
    let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
    let held = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
    let report = log.apply_retention(|| policy).unwrap();
    assert!(!report.removed.is_empty() && report.is_freed, "{report:?}");
    assert_eq!(place.logs().len(), before.1 - report.removed.len());
    assert!(is_untouched(&log), "nothing behind it was touched");
    assert_eq!(held[0].iter().next().unwrap().offset, 0, "what was fetched stays");
    goes_on(&disk, &place, &log);
}

#[test]
fn retention_of_all_after_a_restart_on_a_full_disk_took_nothing() {
    let (disk, place) = killed();
    let log = place.open();
    let policy = RetentionPolicy { max_bytes: Some(0), ..Default::default() };
    // The tail would have to be sealed, and that it cannot be is told. What is sealed has gone.
    assert!(log.apply_retention(|| policy).unwrap_err().is_disk_full());
    let start = log.start();
    assert_eq!((place.logs().len(), place.logs()[0]), (1, start));
    assert!(start > 40 && start <= log.durable());
    goes_on(&disk, &place, &log);
}

#[test]
fn an_append_that_may_not_drop_all_after_a_restart_on_a_full_disk_drops_nothing() {
    let (disk, place) = killed();
    let log = place.open();
    let policy = RetentionPolicy { max_bytes: Some(0), is_all_or_nothing: true, ..Default::default() };
    assert!(log.apply_retention(|| policy).unwrap_err().is_disk_full());
    assert_eq!(log.start(), 0);
    goes_on(&disk, &place, &log);
}

#[test]
fn an_append_that_was_refused_after_a_restart_on_a_full_disk_had_dropped_what_was_sealed() {
    let (disk, place) = killed();
    let max_bytes = place.open().bytes();
    let limit = SizeLimit { max_bytes, when_full: WhenFull::DropOldest, max_block: Duration::ZERO };
    let context = context(&place.directory(), place.mode, Arc::clone(&place.clock));
    let (log, _) = Log::open(context, LogConfig { size_limit: Some(limit), ..config(500) }).unwrap();
    let send = || log.append(&[Record::new().value("one more")], &how(Durability::Os));
    assert!(send().unwrap_err().is_disk_full());
    assert_eq!((log.start(), place.logs()[0]), (0, 0), "nothing goes for what is refused");
    assert_eq!(read_all(&log, 0), expected(0..53));
    disk.heal();
    assert_eq!(send().unwrap().first_offset, 53);
    assert!(log.start() > 0 && log.bytes() <= max_bytes);
}

#[test]
fn retention_of_all_whose_roll_had_no_room_reported_records_that_were_still_there() {
    let mut reports = 0;
    for failures in 1..=6 {
        let disk = FaultyFileSystem::new();
        let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
        let log = place.open();
        append(&log, 0..51, Durability::Disk);
        append(&log, 51..53, Durability::Os);
        drop(log);
        let log = place.open();
        let bytes = log.bytes();
        // The open segment becomes two when the log is made ready, and then there is no room for the one behind them.
        for nth in 0..failures {
            disk.fail(&[Call::Create], "0053.log", (nth, Times::Once), DISK_FULL);
        }
        let policy = RetentionPolicy { max_bytes: Some(0), ..Default::default() };
        match log.apply_retention(|| policy) {
            Ok(report) => {
                let ends = report.removed.iter().map(|segment| segment.next_offset);
                let begins = report.removed.iter().map(|segment| segment.base_offset).chain([53]);
                assert_eq!(ends.collect::<Vec<_>>(), begins.skip(1).collect::<Vec<_>>(), "{failures}");
                assert_eq!((report.bytes(), report.records(), report.start), (bytes, 53, 53));
                reports += 1;
            }
            Err(error) => assert!(error.is_disk_full() && log.start() == 51, "{error}"),
        }
    }
    assert!(reports > 2);
}

#[test]
fn a_deletion_after_a_restart_on_a_full_disk_copied_the_tail_first() {
    for before in [20, 21, 22, 23] {
        let (disk, place) = killed();
        let log = place.open();
        let logs = place.logs().len();
        let report = log.delete_records(before).unwrap();
        assert_eq!((report.start, log.start()), (before, before));
        assert!(report.segments > 0 && place.logs().len() == logs - report.segments, "{report:?}");
        goes_on(&disk, &place, &log);
    }
}

#[test]
fn a_deletion_into_the_tail_on_a_full_disk_took_nothing() {
    let (disk, place) = killed();
    let log = place.open();
    let logs = place.logs();
    assert!(log.delete_records(52).unwrap_err().is_disk_full());
    assert_eq!(place.logs(), logs[logs.len() - 1..], "whole segments have made room");
    assert!(log.start() <= log.durable());
    disk.heal();
    let report = log.delete_records(52).unwrap();
    assert_eq!((report.start, report.is_freed), (52, true));
    goes_on(&disk, &place, &log);
}

#[test]
fn a_deletion_into_the_tail_that_makes_its_own_room_counts_all_of_it() {
    let (disk, place) = killed();
    let log = place.open();
    let (segments, bytes) = (place.logs().len(), log.bytes());
    disk.heal();
    // The first try, and the one in the room of the index files.
    for nth in 0..2 {
        disk.fail(&[Call::Create], ".log.new", (nth, Times::Once), DISK_FULL);
    }
    let report = log.delete_records(53).unwrap();
    assert_eq!((report.start, report.bytes, report.is_freed), (53, bytes, true));
    assert!(report.segments >= segments, "{report:?}");
    goes_on(&disk, &place, &log);
}

#[test]
fn a_copy_of_the_tail_that_failed_half_way_kept_the_room_from_whoever_frees_it() {
    let (disk, place) = killed();
    disk.heal();
    disk.fail(&[Call::Write], ".log.new", (0, Times::ForEver), DISK_FULL);
    let log = place.open();
    assert!(log.append(&[Record::new().value("no room")], &how(Durability::Os)).unwrap_err().is_disk_full());
    assert_eq!(place.files().iter().find(|name| name.ends_with(".log.new")), None);
    // What has failed half way is looked at again, behind what has gone meanwhile.
    log.delete_records(20).unwrap();
    goes_on(&disk, &place, &log);
}

#[test]
fn files_that_somebody_copies_went_with_the_first_append_after_they_had_left() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..53, Durability::Os);
    log.close().unwrap();
    let log = place.open();
    let logs = place.logs();
    let held = log.hold_for_copy().unwrap();
    let policy = RetentionPolicy { keep_from: Some(20), ..Default::default() };
    assert!(!log.apply_retention(|| policy).unwrap().removed.is_empty());
    assert!(is_untouched(&log));
    assert_eq!(place.logs(), logs);
    append(&log, 53..54, Durability::Disk);
    assert!(place.logs().starts_with(&logs), "somebody copies them");
    drop(held);
    assert!(place.logs()[0] > 0, "the end of that takes them");
}

#[test]
fn what_a_life_before_has_left_goes_without_an_append() {
    let (disk, place) = killed();
    disk.fail(&[Call::Remove], ".log", (0, Times::ForEver), Fault::Error(16));
    let log = place.open();
    assert!(!log.delete_records(20).unwrap().is_freed);
    assert_eq!(place.logs()[0], 0);
    drop(log);
    disk.heal();
    disk.fail(&[Call::Create, Call::Write], ".log.new", (0, Times::ForEver), DISK_FULL);
    let log = place.open();
    assert!(log.has_obsolete());
    disk.forget();
    // The tail cannot be copied for what else is owed, and the files go all the same: once the table that has no more of them is named for good.
    drop(log.free_what_is_owed());
    let of = |call| disk.trace().iter().position(|done| done.call == call && !done.failed).unwrap();
    assert!(of(Call::SyncDir) < of(Call::Remove));
    assert!(place.logs()[0] > 0 && !log.has_obsolete());
    goes_on(&disk, &place, &log);
}

#[test]
fn segments_that_were_rewritten_and_have_no_name_yet_get_it_before_others_go() {
    let mut met = 0;
    for changes in 0.. {
        let disk = Faulty::never();
        let place = Place::in_memory(ReadMode::Positional, Arc::new(disk.clone()));
        let log = place.open();
        let of = |n: i64| (format!("key {}", n % 10), format!("value {n}"));
        for (key, value) in (0..60).map(of) {
            put(&log, &[(&key, &value)]);
        }
        log.roll().unwrap();
        disk.set(changes);
        let is_done = log.erase(&|key| key == b"key 3").is_ok();
        drop(log);
        disk.set(i64::MAX);
        let log = place.open();
        let is_unnamed = log.writer.lock().phase.state().is_some_and(|state| !state.pending.is_empty());
        met += usize::from(is_unnamed);
        let before = contents(&log);
        let policy = RetentionPolicy { keep_from: Some(20), ..Default::default() };
        assert!(!log.apply_retention(|| policy).unwrap().removed.is_empty());
        assert!(is_untouched(&log));
        let left: Vec<_> = before
            .into_iter()
            .filter(|one| one.split(' ').next().unwrap().parse::<Offset>().unwrap() >= log.start())
            .collect();
        assert_eq!(contents(&log), left, "{changes}");
        drop(log);
        let log = place.open();
        assert_eq!(contents(&log), left, "{changes}, in the next life");
        put(&log, &[("key 1", "more")]);
        assert_eq!(contents(&log)[..left.len()], left, "{changes}, after an append");
        if is_done {
            break;
        }
    }
    assert!(met > 5, "{met} kills left one without its name");
}
