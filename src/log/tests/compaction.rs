//! Compaction and erasure over real files.

use super::place::Place;
use super::*;
use crate::error::Error;

pub(super) fn now_config(place: &Place) -> CompactionConfig {
    CompactionConfig {
        effort: Effort::Now,
        memory_bytes: 1 << 20,
        delete_retention: Duration::from_secs(60),
        min_lag: Duration::ZERO,
        max_lag: None,
        min_dirty_ratio: 0.5,
        now: place.clock.now(),
    }
}

/// Appends values to keys; an empty value is a tombstone.
pub(super) fn put(log: &Arc<Log>, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        let record = Record::new().key(key);
        let record = if value.is_empty() { record } else { record.value(value) };
        log.append(&[record], &how(Durability::Os)).unwrap();
    }
}

/// Everything from the start on, as `offset key=value`.
pub(super) fn contents(log: &Arc<Log>) -> Vec<String> {
    let mut reader = Reader::new(Arc::clone(log), log.start(), Visibility::Written, OnDamage::Fail);
    let mut found = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 3, max_bytes: 1000 }).unwrap();
        if slices.is_empty() {
            return found;
        }
        for record in slices.iter().flat_map(RecordSlice::iter) {
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"-").to_vec()).unwrap();
            found.push(format!("{} {}={}", record.offset, text(record.key), text(record.value)));
        }
    }
}

fn many(log: &Arc<Log>, count: usize) {
    for n in 0..count {
        put(log, &[(&format!("key {}", n % 10), &format!("value {n}"))]);
    }
}

fn last_ten(count: usize) -> Vec<String> {
    (count - 10..count).map(|n| format!("{n} key {}=value {n}", n % 10)).collect()
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        many(&log, 100);
        let before = place.logs().len();
        let report = log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!((report.rounds, report.cleaned_until, report.removed_records), (1, 100, 90));
        assert_eq!(contents(&log), last_ten(100));
        assert!(report.bytes_after < report.bytes_before && report.segments_after < report.segments_before);
        assert_eq!(place.logs().len(), before - report.segments_before + report.segments_after + 1);
        assert!(place.files().iter().all(|name| !name.ends_with(".cleaned")), "{:?}", place.files());
        assert_eq!((log.start(), log.end()), (0, 100));
        let again = log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!((again.rounds, again.segments_before), (0, 0));
        put(&log, &[("key 3", "new")]);
        let report = log.compact(&|| Some(now_config(&place))).unwrap();
        assert_eq!((report.rounds, report.removed_records, log.end()), (1, 1, 101));
        drop(log);
        let log = place.open();
        assert_eq!(contents(&log).len(), 10);
        assert_eq!(contents(&log)[9], "100 key 3=new");
        log.append(&[Record::new().key("k").value("v")], &how(Durability::Os)).unwrap();
        assert_eq!(contents(&log).len(), 11);
    }
}

#[test]
fn a_small_memory_takes_more_rounds_to_the_same_end() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    for n in 0..200 {
        put(&log, &[(&format!("key {}", n * 7 % 50), &format!("{n}"))]);
    }
    let report =
        log.compact(&|| Some(CompactionConfig { memory_bytes: 24 * 20, ..now_config(&place) })).unwrap();
    assert!(report.rounds > 5, "{report:?}");
    let expected: Vec<_> = (150..200).map(|n| format!("{n} key {}={n}", n * 7 % 50)).collect();
    assert_eq!(contents(&log), expected);
}

#[test]
fn a_compaction_ends_however_much_is_sent_meanwhile() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let sent = std::cell::Cell::new(0);
    // More new keys for each round than it has memory for.
    let send = || {
        for n in sent.get()..sent.get() + 50 {
            put(&log, &[(&format!("key {n}"), "value")]);
        }
        sent.set(sent.get() + 50);
        assert!(sent.get() < 2000, "it goes on and on");
    };
    send();
    send();
    let ask = || {
        send();
        Some(CompactionConfig { memory_bytes: 24 * 20, ..now_config(&place) })
    };
    let report = log.compact(&ask).unwrap();
    assert!(report.cleaned_until >= 100, "{report:?}");
}

#[test]
fn a_tombstone_goes_on_an_idle_log_when_its_time_has_come() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    put(&log, &[("a", "1"), ("b", "1"), ("a", ""), ("c", "1")]);
    assert_eq!(log.compact(&|| Some(now_config(&place))).unwrap().removed_records, 1);
    assert_eq!(contents(&log), ["1 b=1", "2 a=-", "3 c=1"]);
    drop(log);
    let log = place.open();
    let when_due = |place: &Place| CompactionConfig { effort: Effort::WhenDue, ..now_config(place) };
    place.clock.advance(Duration::from_millis(59_999));
    assert_eq!(log.compact(&|| Some(when_due(&place))).unwrap().rounds, 0);
    place.clock.advance(Duration::from_millis(1));
    assert!(log.dirt(&when_due(&place)).unwrap().is_due);
    assert_eq!(log.compact(&|| Some(when_due(&place))).unwrap().removed_records, 1);
    assert_eq!(contents(&log), ["1 b=1", "3 c=1"]);
    assert_eq!(log.compact(&|| Some(when_due(&place))).unwrap().rounds, 0, "and then there is nothing due");
}

#[test]
fn only_what_is_old_enough_is_compacted() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    put(&log, &[("a", "1"), ("a", "2")]);
    log.roll().unwrap();
    place.clock.advance(Duration::from_secs(100));
    put(&log, &[("a", "3"), ("a", "4")]);
    let config = CompactionConfig { min_lag: Duration::from_secs(50), ..now_config(&place) };
    let report = log.compact(&|| Some(config)).unwrap();
    assert_eq!((report.cleaned_until, report.removed_records), (2, 1));
    assert_eq!(contents(&log), ["1 a=2", "2 a=3", "3 a=4"]);
}

#[test]
fn a_log_that_ends_with_dead_records_keeps_its_end() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    put(&log, &[("a", "1"), ("a", "")]);
    log.compact(&|| Some(now_config(&place))).unwrap();
    place.clock.advance(Duration::from_secs(61));
    log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(contents(&log), Vec::<String>::new());
    assert_eq!((log.end(), log.bytes()), (2, 61), "the header of the last batch");
    drop(log);
    let log = place.open();
    put(&log, &[("b", "1")]);
    assert_eq!(contents(&log), ["2 b=1"]);
}

#[test]
fn readers_neither_skip_nor_repeat_while_segments_are_replaced() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        many(&log, 100);
        let readers = (0..100).map(|taken| {
            let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
            let mut seen = Vec::new();
            while seen.len() < taken {
                let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
                seen.extend(slices.iter().flat_map(RecordSlice::iter).map(|record| record.offset));
            }
            (reader, seen)
        });
        let readers: Vec<_> = readers.collect();
        log.compact(&|| Some(now_config(&place))).unwrap();
        for (mut reader, mut seen) in readers {
            let taken = i64::try_from(seen.len()).unwrap();
            loop {
                let slices = reader.fetch(FetchLimits { max_records: 4, max_bytes: 100 }).unwrap();
                if slices.is_empty() {
                    break;
                }
                seen.extend(slices.iter().flat_map(RecordSlice::iter).map(|record| record.offset));
            }
            let last = (90..100).filter(|offset| *offset >= taken);
            let expected: Vec<_> = (0..taken).chain(last).collect();
            assert_eq!(seen, expected);
        }
    }
}

#[test]
fn a_segment_merged_with_the_next_is_not_left_for_the_one_after() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    for n in 0..4 {
        put(&log, &[(&format!("key {n}"), "1")]);
        log.roll().unwrap();
    }
    let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
    reader
        .leave_segment_after(|| {
            log.compact(&|| Some(now_config(&place))).unwrap();
            assert_eq!(place.logs(), [0, 4]);
        })
        .unwrap();
    let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
    assert_eq!(slices[0].iter().next().unwrap().offset, 1);
}

#[test]
fn a_fetch_is_empty_only_at_the_end() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let batch: Vec<_> = ["a", "b", "b", "b"].iter().map(|key| Record::new().key(key).value("1")).collect();
    log.append(&batch, &how(Durability::Os)).unwrap();
    put(&log, &[("b", "2"), ("c", "1"), ("c", "")]);
    log.compact(&|| Some(now_config(&place))).unwrap();
    assert_eq!(contents(&log), ["0 a=1", "4 b=2", "6 c=-"]);
    for from in 1..4 {
        let mut reader = Reader::new(Arc::clone(&log), from, Visibility::Written, OnDamage::Fail);
        let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
        assert_eq!(slices[0].iter().next().unwrap().offset, 4, "from {from}");
    }
    log.erase(&|key| key == b"c").unwrap();
    log.append(&[Record::new().key("d").value("1")], &how(Durability::Memory)).unwrap();
    let mut reader = Reader::new(Arc::clone(&log), 5, Visibility::Written, OnDamage::Fail);
    let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
    assert_eq!(slices[0].iter().next().unwrap().offset, 7, "it was in memory");
}

#[test]
fn damage_stops_compaction_and_changes_nothing() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    many(&log, 50);
    log.roll().unwrap();
    let path = place.dir.path().join(format!("{:020}.log", place.logs()[2]));
    let mut bytes = std_read(&path);
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    std_write(&path, &bytes);
    let files = place.files();
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_corruption());
    assert_eq!(place.files(), files);
    let matches = |key: &[u8]| key == b"key 9";
    assert!(log.erase(&matches).unwrap_err().is_corruption());
}

#[test]
fn a_batch_that_has_moved_stops_compaction() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    many(&log, 50);
    log.roll().unwrap();
    let path = place.dir.path().join(format!("{:020}.log", place.logs()[2]));
    let mut bytes = std_read(&path);
    let len_at = |bytes: &[u8], at: usize| {
        u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize + 12
    };
    let mut last = 0;
    while last + len_at(&bytes, last) < bytes.len() {
        last += len_at(&bytes, last);
    }
    // The base offset, which no CRC of Kafka's covers, to where the next segment begins.
    bytes[last + 7] += 1;
    std_write(&path, &bytes);
    let files = place.files();
    assert!(log.compact(&|| Some(now_config(&place))).unwrap_err().is_corruption());
    assert_eq!(place.files(), files);
}

#[expect(clippy::disallowed_methods, reason = "a test that damages a file")]
fn std_read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test that damages a file")]
fn std_write(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_moved_batch_of_a_compacted_segment_is_seen() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    many(&log, 50);
    log.compact(&|| Some(now_config(&place))).unwrap();
    drop(log);
    let path = place.dir.path().join(format!("{:020}.log", place.logs()[0]));
    let mut bytes = std_read(&path);
    // The base offset of the first batch, which no CRC of Kafka's covers; there are gaps anyway.
    bytes[7] ^= 1;
    std_write(&path, &bytes);
    let log = place.open();
    let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
    let outcome = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 });
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn erased_keys_are_in_no_file() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    many(&log, 50);
    put(&log, &[("alice", "secret"), ("key 1", "kept")]);
    let before = log.bytes();
    let report = log.erase(&|key| key == b"alice" || key == b"key 7").unwrap();
    assert_eq!((report.records, report.bytes), (6, before - log.bytes()));
    assert!(contents(&log).iter().all(|line| !line.contains("alice") && !line.contains("key 7")));
    assert_eq!((contents(&log).len(), log.end()), (46, 52));
    for name in place.files() {
        let bytes = std_read(&place.dir.path().join(name));
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
    }
    assert_eq!(log.erase(&|key| key == b"alice").unwrap().records, 0);
    drop(log);
    assert_eq!(contents(&place.open()).len(), 46);
}

#[test]
fn deleted_batches_leave_the_disk() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    append(&log, 0..50, Durability::Os);
    log.delete_records(33).unwrap();
    let first = place.logs()[0];
    assert!(first < 33);
    let path = place.dir.path().join(format!("{first:020}.log"));
    assert!(!std_read(&path).windows(8).any(|window| window == b"value 32"));
    assert!(std_read(&path).windows(8).any(|window| window == b"value 33"));
    assert_eq!(read_all(&log, 33), expected(33..50));
    drop(log);
    let log = place.open();
    assert_eq!(log.start(), 33);
    assert_eq!(read_all(&log, 33), expected(33..50));
}
