//! At a limit, and one beyond it.

#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use super::compaction::{contents, now_config, put};
use super::place::Place;
use super::*;
use crate::error::Error;

const AGE: i64 = 3_600_000;

fn put_at(log: &Arc<Log>, timestamp: i64) {
    log.append(&[Record::new().value("value").timestamp(timestamp)], &how(Durability::Os)).unwrap();
}

#[test]
fn a_segment_is_rolled_by_a_record_that_is_later_than_its_age() {
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(10_000_000);
    let log = place.open();
    [5_000_000, 4_000_000, 5_000_000 + AGE].iter().for_each(|time| put_at(&log, *time));
    assert_eq!(place.logs(), [0]);
    put_at(&log, 5_000_001 + AGE);
    assert_eq!(place.logs(), [0, 3]);
    // Records at the beginning of time age like others.
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(10_000_000);
    let log = place.open();
    [0, AGE, AGE + 1].iter().for_each(|time| put_at(&log, *time));
    assert_eq!(place.logs(), [0, 2]);
}

#[test]
fn a_segment_is_rolled_by_the_time_since_its_first_append() {
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(10_000_000);
    let log = place.open();
    let put_after = |passed: i64| {
        place.clock.set(10_000_000 + passed);
        put_at(&log, 5_000_000);
        place.logs()
    };
    assert_eq!([0, AGE, AGE + 1].map(put_after), [vec![0], vec![0], vec![0, 2]]);
}

#[test]
fn imported_history_does_not_get_a_segment_for_every_age_of_record_time() {
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(1_000 * AGE);
    let log = place.open();
    log.set_config(config(8_000));
    (0..400).for_each(|n| put_at(&log, n * 2 * AGE));
    let list = log.segment_list();
    let sizes: Vec<_> = list.iter().map(|segment| segment.bytes()).collect();
    let (_, sealed) = sizes.split_last().unwrap();
    assert!(sealed.len() > 4, "they end by the time of their records: {sizes:?}");
    // The first was begun with smaller segments.
    assert!(
        sealed.iter().skip(1).all(|bytes| (1_000..1_200).contains(bytes)),
        "and are no splinters: {sizes:?}"
    );
}

#[test]
fn a_segment_is_idle_when_its_first_append_is_older_than_its_age_even_after_a_crash() {
    for is_killed in [false, true] {
        let place = Place::new(ReadMode::Mapped);
        let mut log = place.open();
        append(&log, 0..1, Durability::Os);
        if is_killed {
            drop(log);
            place.clock.advance(Duration::from_secs(5));
            log = place.open();
        }
        assert!(!log.roll_if_idle(1_000_000 + AGE).unwrap());
        assert_eq!(place.logs(), [0]);
        assert!(log.roll_if_idle(1_000_001 + AGE).unwrap());
        assert_eq!(place.logs(), [0, 1]);
        // An empty one is never.
        assert!(!log.roll_if_idle(i64::MAX).unwrap());
        drop(log);
        let state = std::fs::read(place.dir.path().join("annals.state")).unwrap();
        let log = place.open();
        assert!(!log.roll_if_idle(i64::MAX).unwrap());
        assert!(std::fs::read(place.dir.path().join("annals.state")).unwrap() == state, "nothing was done");
    }
}

#[test]
fn what_was_appended_at_the_beginning_of_time_is_idle_one_day() {
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(0);
    let log = place.open();
    append(&log, 0..1, Durability::Os);
    assert!(!log.roll_if_idle(AGE).unwrap());
    assert!(log.roll_if_idle(AGE + 1).unwrap());
}

#[test]
fn the_oldest_time_is_that_of_the_first_batch_that_has_one() {
    let place = Place::new(ReadMode::Mapped);
    place.clock.set(10_000_000);
    let log = place.open();
    assert_eq!(log.stats().unwrap().oldest_timestamp, None);
    put_at(&log, 7000);
    assert_eq!(log.stats().unwrap().oldest_timestamp, Some(7000));
    (1..20).for_each(|n| put_at(&log, 7000 - n));
    assert!(place.logs().len() > 2);
    assert_eq!(log.stats().unwrap().oldest_timestamp, Some(7000));
    // What was appended is counted from the open on.
    let figures = |log: &Log| {
        let stats = log.stats().unwrap();
        format!(
            "{:?}",
            PartitionStats { appended_records: 0, appended_bytes: 0, appended_batches: 0, ..stats }
        )
    };
    // A close makes all of it durable.
    log.flush().unwrap();
    let stats = figures(&log);
    log.close().unwrap();
    let log = place.open();
    assert_eq!(figures(&log), stats);
    drop(log);
    assert_eq!(figures(&place.open()), stats);
}

#[test]
fn a_compaction_leaves_what_is_younger_than_the_lag() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    put(&log, &[("a", "1"), ("a", "2")]);
    let lagging = |place: &Place| CompactionConfig { min_lag: Duration::from_secs(10), ..now_config(place) };
    for step in [0, 9_999] {
        place.clock.advance(Duration::from_millis(step));
        log.compact(&|| Some(lagging(&place))).unwrap();
        assert_eq!((place.logs(), contents(&log).len()), (vec![0], 2), "after {step} ms");
    }
    place.clock.advance(Duration::from_millis(1));
    log.compact(&|| Some(lagging(&place))).unwrap();
    assert_eq!((place.logs().len(), contents(&log)), (2, vec!["1 a=2".to_owned()]));
    // Without a lag nothing is too young, though the clock was set back.
    put(&log, &[("a", "3")]);
    place.clock.set(500_000);
    log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(contents(&log), ["2 a=3"]);
}

#[test]
fn a_compaction_that_takes_nothing_out_writes_nothing() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    (0..20).for_each(|n| put(&log, &[(&format!("key {n}"), "value")]));
    log.compact(&|| Some(now_config(&place))).unwrap();
    let files = || -> Vec<_> {
        let inode = |base: &Offset| {
            std::fs::metadata(place.dir.path().join(format!("{base:020}.log"))).unwrap().ino()
        };
        place.logs().iter().map(inode).collect()
    };
    let before = files();
    let erased = log.erase(&|key| key == b"another").unwrap();
    assert_eq!((erased.records, files()), (0, before));
    assert_eq!(log.erase(&|key| key == b"key 3").unwrap().records, 1);
    assert_eq!(contents(&log).len(), 19);
}

/// What it says of the active segment is in `docs/design.md`: that is sealed where it holds the key, and else left alone.
#[test]
fn an_erasure_seals_the_active_segment_only_where_that_holds_the_key() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    put(&log, &[("erased", "1"), ("kept", "2")]);
    log.roll().unwrap();
    put(&log, &[("kept", "3")]);
    let before = place.logs();
    let report = log.erase(&|key| key == b"erased").unwrap();
    assert_eq!((report.records, report.segments, place.logs()), (1, 1, before.clone()));
    put(&log, &[("erased", "4")]);
    assert_eq!(place.logs(), before);
    let report = log.erase(&|key| key == b"erased").unwrap();
    assert_eq!((report.records, report.segments, place.logs().len()), (1, 1, before.len() + 1));
    assert_eq!(contents(&log), ["1 kept=2", "2 kept=3"]);
}

fn with_limit(place: &Place, max_bytes: u64, when_full: WhenFull, max_block: Duration) -> Arc<Log> {
    let context = context(&place.directory(), place.mode, Arc::clone(&place.clock));
    let size_limit = Some(SizeLimit { max_bytes, when_full, max_block });
    Log::open(context, LogConfig { size_limit, ..config(500) }).unwrap().0
}

#[test]
fn a_log_takes_what_fills_its_limit_exactly() {
    let one = {
        let place = Place::new(ReadMode::Mapped);
        let log = place.open();
        append(&log, 0..1, Durability::Os);
        log.bytes()
    };
    for when_full in [WhenFull::Fail, WhenFull::Block] {
        for durability in [Durability::Os, Durability::Disk] {
            let place = Place::new(ReadMode::Mapped);
            let log = with_limit(&place, 3 * one, when_full, Duration::ZERO);
            append(&log, 0..3, durability);
            match log.append(&[Record::new().value("value 3")], &how(durability)) {
                Err(Error::Full { bytes, limit, .. }) => assert_eq!((bytes, limit), (3 * one, 3 * one)),
                other => panic!("{other:?}"),
            }
            let log = with_limit(&place, 4 * one - 1, when_full, Duration::ZERO);
            assert!(log.append(&[Record::new().value("value 3")], &how(durability)).is_err());
            assert_eq!(log.end(), 3);
        }
    }
    let place = Place::new(ReadMode::Mapped);
    let log = with_limit(&place, 20 * one, WhenFull::DropOldest, Duration::ZERO);
    for n in 0..100 {
        append(&log, n..n + 1, Durability::Os);
        assert!(log.bytes() <= 20 * one, "{} bytes", log.bytes());
        // No more goes than has to: what went is less than a segment more.
        assert!(n < 20 || log.bytes() > 20 * one - 600, "{} bytes", log.bytes());
    }
    assert!(log.append(&[Record::new().value(&vec![0; 2000])], &how(Durability::Os)).is_err());
    assert_eq!(log.end(), 100);
}

#[test]
fn whoever_waits_for_room_goes_on_when_there_is_enough() {
    let place = Place::new(ReadMode::Mapped);
    let log = with_limit(&place, 2000, WhenFull::Block, Duration::from_secs(20));
    let mut next = 0;
    while log.bytes() + 100 <= 2000 {
        append(&log, next..next + 1, Durability::Os);
        next += 1;
    }
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| append(&log, next..next + 3, Durability::Os));
        // Most likely it waits by now.
        std::thread::sleep(Duration::from_millis(50));
        let policy = RetentionPolicy { max_bytes: Some(1000), ..Default::default() };
        log.apply_retention(|| policy).unwrap();
        assert!(log.bytes() > 0);
        waiter.join().unwrap();
    });
    assert_eq!(log.end(), next + 3);
}

#[test]
fn new_settings_hold_from_the_next_batch_on() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..1, Durability::Os);
    let plain = log.bytes();
    log.set_config(LogConfig {
        compression: Compression::of(Codec::Zstd),
        timestamp_type: TimestampType::LogAppendTime,
        ..config(100_000)
    });
    let long = "value".repeat(100);
    let record = [Record::new().value(&long).timestamp(5)];
    let appended = log.append(&record, &how(Durability::Os)).unwrap();
    assert_eq!(appended.timestamp, 1_000_000);
    assert!(log.bytes() < plain + 200, "{} bytes", log.bytes());
    append(&log, 2..20, Durability::Os);
    assert_eq!(place.logs(), [0], "all of it fits into one segment now");
}

#[test]
fn sound_batches_that_are_not_those_sealed_are_damage() {
    let [place, other] = [Place::new(ReadMode::Mapped), Place::new(ReadMode::Mapped)];
    let log = place.open();
    append(&log, 0..20, Durability::Os);
    log.close().unwrap();
    let log = other.open();
    for n in 0..20 {
        log.append(&[Record::new().value(&format!("valve {n}"))], &how(Durability::Os)).unwrap();
    }
    log.close().unwrap();
    assert_eq!(place.logs(), other.logs());
    let findings = || {
        let mut checked = VerifyReport::default();
        _ = place.open().check(&mut checked, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        assert_eq!((checked.records, checked.segments), (20, place.logs().len() as u64));
        checked.findings
    };
    assert!(findings().is_empty());
    let name = format!("{:020}.log", place.logs()[1]);
    std::fs::copy(other.dir.path().join(&name), place.dir.path().join(&name)).unwrap();
    let found = findings();
    assert!(matches!(&found[..], [damage] if format!("{damage:?}").contains(&name)), "{found:?}");
}

#[test]
fn a_slice_says_how_many_records_are_left_in_it() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let records: Vec<_> = (0..5).map(|_| Record::new().value("value")).collect();
    log.append(&records, &how(Durability::Os)).unwrap();
    let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
    let slices = reader.fetch(FetchLimits { max_records: 3, max_bytes: 1 << 20 }).unwrap();
    assert_eq!((slices[0].len(), slices[0].next_offset()), (3, 3));
    assert_eq!(slices[0].stored_bytes() as u64, log.bytes(), "the whole batch was read");
    let mut left = slices[0].iter();
    for count in [3, 2, 1, 0] {
        assert_eq!(left.size_hint(), (count, Some(count)));
        assert_eq!(left.next().is_some(), count > 0);
    }
    let slices = reader.fetch(FetchLimits { max_records: 3, max_bytes: 1 << 20 }).unwrap();
    assert_eq!((slices[0].len(), slices[0].next_offset(), slices[0].stored_bytes()), (2, 5, 0));
}

#[test]
fn a_partition_had_records_if_any_of_its_files_tells() {
    let place = Place::new(ReadMode::Mapped);
    let had_records = || Log::had_records(&place.directory()).unwrap();
    assert!(!had_records());
    let log = place.open();
    drop(log);
    place.open().close().unwrap();
    assert!(!had_records(), "nor by having been opened and closed");
    let log = place.open();
    append(&log, 0..1, Durability::Os);
    drop(log);
    assert!(had_records(), "there is a byte");
    place.open().close().unwrap();
    let first = place.dir.path().join(format!("{:020}.log", 0));
    std::fs::remove_file(&first).unwrap();
    assert!(had_records(), "the close noted it");
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..1, Durability::Os);
    log.roll().unwrap();
    drop(log);
    std::fs::remove_file(place.dir.path().join(format!("{:020}.log", 0))).unwrap();
    assert!(Log::had_records(&place.directory()).unwrap(), "a segment is listed");
}

#[test]
fn what_a_crash_leaves_of_a_partition_in_the_making_is_unfinished() {
    let unfinished = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            match name.strip_suffix('/') {
                Some(name) => std::fs::create_dir(dir.path().join(name)).unwrap(),
                None => std::fs::write(dir.path().join(name), content).unwrap(),
            }
        }
        Log::is_unfinished(&Directory::new(Arc::new(OsFileSystem), dir.path())).unwrap()
    };
    let (log, index) = ("00000000000000000000.log", "00000000000000000000.index");
    assert!(unfinished(&[]));
    assert!(unfinished(&[(log, ""), (index, "hints"), ("annals.state.new", "half")]));
    for other in [("annals.state", "state"), ("other", ""), ("00000000000000000007.log/", "")] {
        assert!(!unfinished(&[(log, ""), other]), "{other:?}");
    }
    assert!(!unfinished(&[(log, "batches")]));
}

#[test]
fn a_fetch_ends_with_the_batch_that_fills_it() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..1, Durability::Os);
    let one = usize::try_from(log.bytes()).unwrap();
    append(&log, 1..5, Durability::Os);
    for (max_bytes, batches) in [(1, 1), (one, 1), (one + 1, 2), (3 * one, 3), (3 * one + 1, 4)] {
        let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
        let slices = reader.fetch(FetchLimits { max_records: 100, max_bytes }).unwrap();
        assert_eq!(slices.len(), batches, "{max_bytes} bytes");
    }
}
