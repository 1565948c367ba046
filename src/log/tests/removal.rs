//! Retention, deletion and idle rolls over real files.

use super::compaction::{contents, put};
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::locks::{AtomicBool, Ordering};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn assert_out_of_range(log: &Arc<Log>, offset: Offset) {
    let mut reader = Reader::new(Arc::clone(log), offset, Visibility::Written, OnDamage::Fail);
    match reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }) {
        Err(Error::OffsetOutOfRange { requested, start, .. }) => {
            assert_eq!((requested, start), (offset, log.start()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_is_freed_by_retention_and_by_deletion() {
    for deletes in [false, true] {
        let files = super::gate::Gated::default();
        let place = Place::in_memory(ReadMode::Mapped, Arc::new(files.clone()));
        let log = place.open();
        append(&log, 0..500, Durability::Os);
        let bytes = log.bytes();
        files.fill_up();
        let full = log.append(&[Record::new().value("no room")], &how(Durability::Os));
        assert!(full.unwrap_err().is_disk_full());
        if deletes {
            assert_eq!(log.delete_records(300).unwrap().start, 300);
        } else {
            let policy = RetentionPolicy { max_bytes: Some(bytes / 2), ..Default::default() };
            assert!(!log.apply_retention(|| policy).unwrap().removed.is_empty());
        }
        assert!(log.bytes() < bytes);
        append(&log, 500..510, Durability::Disk);
        assert_eq!(read_all(&log, log.start()), expected(log.start()..510));
    }
}

#[test]
fn a_full_disk_is_freed_of_everything_where_there_are_index_files() {
    // An append that is to drop all drops what is sealed with the rest, or nothing: there the indexes alone make room.
    for (deletes, is_all_or_nothing) in [(false, false), (true, false), (false, true)] {
        let files = super::gate::Gated::default();
        let place = Place::in_memory(ReadMode::Mapped, Arc::new(files.clone()));
        let log = place.open();
        append(&log, 0..500, Durability::Os);
        files.fill_up();
        if deletes {
            assert_eq!(log.delete_records(500).unwrap().start, 500);
        } else {
            let policy = RetentionPolicy { max_bytes: Some(0), is_all_or_nothing, ..Default::default() };
            assert_eq!(log.apply_retention(|| policy).unwrap().start, 500);
        }
        assert_eq!((log.bytes(), place.logs()), (0, vec![500]));
        append(&log, 500..510, Durability::Disk);
        assert_eq!(read_all(&log, 500), expected(500..510));
    }
}

#[test]
fn a_deletion_on_a_full_disk_failed_where_others_took_the_room_of_its_index_files() {
    for taken in 0..4 {
        let disk = crate::doubles::FaultyFileSystem::new();
        let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
        let log = place.open();
        append(&log, 0..53, Durability::Os);
        for nth in 0..=taken {
            let (calls, path) = (&[crate::doubles::Call::Create], "annals.state.new");
            disk.fail(calls, path, (nth, crate::doubles::Times::Once), crate::doubles::Fault::Error(28));
        }
        let report = log.delete_records(20).unwrap();
        assert_eq!((report.start, log.start()), (20, 20), "taken {taken} times");
        assert_eq!(disk.trace().iter().filter(|done| done.struck).count(), taken + 1);
        assert_eq!(read_all(&log, 20), expected(20..53));
    }
}

#[test]
fn retention_takes_whole_segments_and_they_stay_gone() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        append(&log, 0..50, Durability::Os);
        let bases = place.logs();
        assert!(bases.len() > 5, "{bases:?}");
        let bytes = log.bytes();
        let policy = RetentionPolicy { max_bytes: Some(1000), ..Default::default() };
        let report = log.apply_retention(|| policy).unwrap();
        assert_eq!(report.start, log.start());
        assert_eq!(report.removed.len(), bases.len() - place.logs().len());
        assert_eq!(report.removed.iter().map(|segment| segment.bytes).sum::<u64>(), bytes - log.bytes());
        assert_eq!(
            report.removed.iter().map(|segment| segment.records).sum::<u64>(),
            u64::try_from(log.start()).unwrap()
        );
        assert!((1000..1500).contains(&log.bytes()));
        assert!(report.removed.iter().all(|removed| removed.reason == RemovalReason::Size));
        assert_eq!(
            place.files().len(),
            3 * place.logs().len() - 2 + 1,
            "indexes went too, the active has none"
        );
        let start = log.start();
        assert_out_of_range(&log, start - 1);
        assert_eq!(read_all(&log, start), expected(start..50));
        assert_eq!(log.apply_retention(|| policy).unwrap().removed, []);
        drop(log);
        let log = place.open();
        assert_eq!((log.start(), log.end()), (start, 50));
        append(&log, 50..60, Durability::Os);
        assert_eq!(read_all(&log, start), expected(start..60));
        log.close().unwrap();
        assert_eq!(place.open().start(), start);
    }
}

#[test]
fn everything_may_expire_and_the_end_stays() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..20, Durability::Os);
    let policy = RetentionPolicy { max_age: Some(Duration::from_secs(60)), ..Default::default() };
    assert_eq!(log.apply_retention(|| policy).unwrap().removed, []);
    place.clock.advance(Duration::from_millis(60_001));
    let report = log.apply_retention(|| policy).unwrap();
    assert_eq!(report.removed.iter().map(|segment| segment.records).sum::<u64>(), 20);
    assert_eq!((log.start(), log.end(), log.bytes()), (20, 20, 0));
    assert_eq!(place.logs(), [20]);
    assert_out_of_range(&log, 0);
    append(&log, 20..25, Durability::Os);
    drop(log);
    let log = place.open();
    assert_eq!(read_all(&log, 20), expected(20..25));
    place.clock.advance(Duration::from_millis(60_001));
    log.apply_retention(|| policy).unwrap();
    assert_eq!((log.start(), log.end()), (25, 25));
}

#[test]
fn a_log_that_loses_nothing_is_not_touched() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..20, Durability::Os);
    log.close().unwrap();
    let log = place.open();
    let policy = RetentionPolicy { max_bytes: Some(1 << 20), ..Default::default() };
    assert_eq!(log.apply_retention(|| policy).unwrap().removed, []);
    assert!(!log.roll_if_idle(1_000_001).unwrap());
    drop(log);
    let context = context(&place.directory(), place.mode, Arc::clone(&place.clock));
    assert!(Log::open(context, config(500)).unwrap().1.clean, "still as the close left it");
}

#[test]
fn a_leap_of_the_clock_is_not_believed_at_once() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..20, Durability::Os);
    log.close().unwrap();
    let log = place.open();
    place.clock.set(9000 * DAY);
    let policy = RetentionPolicy { max_age: Some(Duration::from_secs(60)), ..Default::default() };
    let report = log.apply_retention(|| policy).unwrap();
    assert!(report.clock_leapt && report.removed.is_empty());
    place.clock.set(1_000_100);
    assert_eq!(log.apply_retention(|| policy).unwrap().removed, []);
    place.clock.set(9000 * DAY);
    assert!(log.apply_retention(|| policy).unwrap().clock_leapt);
    let report = log.apply_retention(|| policy).unwrap();
    assert_eq!(report.removed.iter().map(|segment| segment.records).sum::<u64>(), 20);
}

#[test]
fn deleted_records_never_come_back() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        append(&log, 0..50, Durability::Os);
        let bytes = log.bytes();
        assert!(matches!(log.delete_records(51), Err(Error::OffsetOutOfRange { requested: 51, .. })));
        let report = log.delete_records(33).unwrap();
        assert_eq!((report.start, log.start(), report.bytes), (33, 33, bytes - log.bytes()));
        assert!(report.segments > 3);
        assert_eq!(log.delete_records(20).unwrap().bytes, 0);
        assert_eq!(log.start(), 33);
        assert_out_of_range(&log, 32);
        assert_eq!(read_all(&log, 33), expected(33..50));
        drop(log);
        let log = place.open();
        assert_eq!((log.start(), log.end()), (33, 50));
        assert_out_of_range(&log, 32);
        append(&log, 50..55, Durability::Memory);
        log.delete_records(55).unwrap();
        assert_eq!((log.start(), log.end(), log.bytes()), (55, 55, 0));
        append(&log, 55..56, Durability::Os);
        assert_eq!(read_all(&log, 55), expected(55..56));
    }
}

#[test]
fn a_reader_in_a_removed_segment_is_told() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        append(&log, 0..50, Durability::Os);
        let fetch = |reader: &mut Reader| reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 });
        let mut readers: Vec<_> = (0..40)
            .map(|offset| Reader::new(Arc::clone(&log), offset, Visibility::Written, OnDamage::Fail))
            .collect();
        let held: Vec<_> = readers.iter_mut().step_by(2).map(|reader| fetch(reader).unwrap()).collect();
        log.delete_records(45).unwrap();
        for (offset, slices) in (0..40).step_by(2).zip(&held) {
            let record = slices[0].iter().next().unwrap();
            assert_eq!(
                (record.offset, record.value.unwrap()),
                (offset, format!("value {offset}").as_bytes())
            );
        }
        for mut reader in readers {
            assert!(matches!(fetch(&mut reader), Err(Error::OffsetOutOfRange { start: 45, .. })));
        }
    }
}

#[test]
fn an_idle_segment_is_rolled_by_the_clock() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let hour = 3_600_000;
    assert!(!log.roll_if_idle(i64::MAX).unwrap(), "nothing to roll");
    append(&log, 0..2, Durability::Os);
    place.clock.advance(Duration::from_secs(60));
    append(&log, 2..4, Durability::Os);
    assert!(!log.roll_if_idle(1_000_000 + hour).unwrap());
    log.close().unwrap();
    let log = place.open();
    assert!(!log.roll_if_idle(1_000_000 + hour).unwrap());
    assert!(log.roll_if_idle(1_000_001 + hour).unwrap(), "the first append counts, over a close too");
    assert_eq!(place.logs(), [0, 4]);
    assert!(!log.roll_if_idle(i64::MAX).unwrap());
    assert_eq!(read_all(&log, 0), expected(0..4));
    assert!(!log.roll().unwrap());
    append(&log, 4..5, Durability::Os);
    assert!(log.roll().unwrap());
    assert_eq!(place.logs(), [0, 4, 5]);
}

#[test]
fn a_segment_that_leaves_while_it_is_rewritten_takes_no_others_place() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        let pairs = |n: i64| (format!("key {}", n % 10), format!("value {n}"));
        for (key, value) in (0..100).map(pairs) {
            put(&log, &[(&key, &value)]);
        }
        log.roll().unwrap();
        let is_done = AtomicBool::new(false);
        let policy = RetentionPolicy { max_records: Some(50), ..Default::default() };
        let retain_and_match = |key: &[u8]| {
            if !is_done.swap(true, Ordering::SeqCst) {
                log.apply_retention(|| policy).unwrap();
            }
            key == b"key 3"
        };
        let report = log.erase(&retain_and_match).unwrap();
        assert!((40..60).contains(&log.start()), "{}", log.start());
        let left = (log.start()..100).filter(|n| n % 10 != 3).map(|n| (n, pairs(n)));
        let left: Vec<_> = left.map(|(n, (key, value))| format!("{n} {key}={value}")).collect();
        assert_eq!(contents(&log), left);
        assert!(report.records > 0);
        log.close().unwrap();
        assert_eq!(contents(&place.open()), left);
    }
}

#[test]
fn a_deletion_that_ends_below_the_active_segment_leaves_that_one_alone() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..50, Durability::Os);
    let bases = place.logs();
    log.delete_records(bases[2]).unwrap();
    assert_eq!(place.logs(), bases[2..]);
}
