//! Files that are damaged, missing, or not where they belong.

#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use super::place::Place;
use super::*;
use crate::error::Error;

/// A closed log of twenty records in several segments, and the first offsets of these.
fn closed() -> (Place, Vec<Offset>) {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..20, Durability::Os);
    log.close().unwrap();
    let logs = place.logs();
    assert!(logs.len() > 3, "{logs:?}");
    (place, logs)
}

fn path(place: &Place, base: Offset) -> std::path::PathBuf {
    place.dir.path().join(format!("{base:020}.log"))
}

/// Changes a byte of the second batch of a segment.
fn flip(place: &Place, base: Offset, byte: usize) {
    let mut bytes = std::fs::read(path(place, base)).unwrap();
    let second = 12 + usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    bytes[second + byte] ^= 0x41;
    std::fs::write(path(place, base), bytes).unwrap();
}

/// The offsets that a reader which passes over damage comes by, up to an error.
fn passing(log: &Arc<Log>) -> (Vec<Offset>, Option<Error>) {
    let mut reader = Reader::new(Arc::clone(log), 0, Visibility::Written, OnDamage::Skip);
    let mut offsets = Vec::new();
    loop {
        match reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }) {
            Ok(slices) if slices.is_empty() => return (offsets, None),
            Ok(slices) => offsets.extend(slices.iter().flat_map(RecordSlice::iter).map(|one| one.offset)),
            Err(error) => return (offsets, Some(error)),
        }
    }
}

#[test]
fn damage_may_be_passed_over_and_a_failure_to_read_may_not() {
    // Its length, or its magic: nobody knows from it where the next one begins.
    for byte in [8, 16] {
        let (place, logs) = closed();
        flip(&place, logs[1], byte);
        let (read, error) = passing(&place.open());
        assert!(error.is_none(), "{error:?}");
        assert!(!read.contains(&(logs[1] + 1)) && read.ends_with(&[18, 19]), "{read:?}");
    }
    // A log does not open without a segment: it goes while it is open.
    let (place, logs) = closed();
    let log = place.open();
    std::fs::remove_file(path(&place, logs[1])).unwrap();
    let (read, error) = passing(&log);
    assert_eq!(read, (0..logs[1]).collect::<Vec<_>>());
    assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
}

/// The offsets that a reader comes by which is told of damage, and goes on where it is told that it can.
fn resuming(log: &Arc<Log>) -> Vec<Offset> {
    let mut reader = Reader::new(Arc::clone(log), 0, Visibility::Written, OnDamage::Fail);
    let mut offsets = Vec::new();
    loop {
        match reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }) {
            Ok(slices) if slices.is_empty() => return offsets,
            Ok(slices) => offsets.extend(slices.iter().flat_map(RecordSlice::iter).map(|one| one.offset)),
            Err(Error::Corrupt { partition, resume_at: Some(resume_at), .. }) => {
                assert_eq!(partition, Some(("orders", 0).into()));
                assert!(resume_at > reader.position(), "{resume_at} leads nowhere");
                reader.seek(resume_at);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn whoever_goes_on_where_damage_says_loses_no_more_than_whoever_passes_over_it() {
    let (place, logs) = closed();
    let sound = std::fs::read(path(&place, logs[1])).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x41;
        std::fs::write(path(&place, logs[1]), &bytes).unwrap();
        let read = resuming(&place.open());
        let passed = passing(&place.open()).0;
        assert!(passed.iter().all(|offset| read.contains(offset)), "byte {at}: {read:?}, {passed:?}");
        assert!(read.ends_with(&[18, 19]) && read.len() >= 20 - 5, "byte {at}: {read:?}");
    }
}

/// What a repair of the partition tells of.
pub(super) fn repaired(place: &Place) -> Vec<Repair> {
    let context = context(&place.directory(), place.mode, Arc::clone(&place.clock));
    let outside = tempfile::tempdir().unwrap();
    let copies = Directory::new(Arc::new(OsFileSystem), outside.path());
    let mut repaired = RepairReport::default();
    Log::repair(context, config(500).into(), &Copies::open(copies).unwrap(), &mut repaired).unwrap();
    assert!(repaired.refused.is_empty());
    repaired.repairs
}

#[test]
fn a_repair_tells_of_what_was_damaged_and_of_nothing_else() {
    let (place, logs) = closed();
    assert!(repaired(&place).is_empty());
    // A batch that is lost.
    flip(&place, logs[1], 70);
    let found = repaired(&place);
    let lost = logs[1] + 1..logs[1] + 2;
    assert!(
        matches!(&found[..], [one] if one.path == path(&place, logs[1]) && one.lost == lost),
        "{found:?}"
    );
    let expected: Vec<_> = (0..20).filter(|offset| !lost.contains(offset)).collect();
    assert_eq!(passing(&place.open()).0, expected);
    assert!(repaired(&place).is_empty(), "once");
    // A base offset, which its neighbours tell, and a magic of no version.
    for byte in [7, 16] {
        let (place, logs) = closed();
        flip(&place, logs[1], byte);
        let found = repaired(&place);
        assert!(
            matches!(&found[..], [one] if one.path == path(&place, logs[1]) && one.lost.is_empty()),
            "{found:?}"
        );
        assert_eq!(passing(&place.open()).0, (0..20).collect::<Vec<_>>());
    }
}

#[test]
fn a_segment_that_is_missing_in_front_of_another_is_told() {
    let opened = |files: &[Offset], is_first_there: bool| {
        let place = Place::new(ReadMode::Positional);
        let log = place.open();
        append(&log, 0..3, Durability::Os);
        drop(log);
        files.iter().for_each(|base| std::fs::write(path(&place, *base), "").unwrap());
        if !is_first_there {
            std::fs::remove_file(path(&place, 0)).unwrap();
        }
        Log::open(context(&place.directory(), place.mode, Arc::clone(&place.clock)), config(500))
    };
    assert!(opened(&[], true).is_ok());
    assert!(opened(&[3], true).is_ok(), "a roll that a crash cut off");
    for (files, is_first_there) in [(&[4][..], true), (&[9], true), (&[9], false), (&[3], false)] {
        assert!(matches!(opened(files, is_first_there), Err(Error::Corrupt { .. })), "{files:?}");
    }
}

/// Records up to offset 3 were known to be on the disk, and a segment that begins there was taken for what follows them.
#[test]
fn a_segment_that_was_synced_and_is_missing_in_front_of_another_is_told() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..3, Durability::Os);
    drop(log);
    // The next life brings them onto the disk, and a crash cuts its roll off.
    let log = place.open();
    drop(log.hold_for_copy().unwrap());
    drop(log);
    std::fs::write(path(&place, 3), "").unwrap();
    let opened = || Log::open(context(&place.directory(), place.mode, Arc::clone(&place.clock)), config(500));
    assert_eq!(opened().unwrap().1.end, 3);
    std::fs::remove_file(path(&place, 0)).unwrap();
    assert!(matches!(opened(), Err(Error::Corrupt { .. })));
}

/// A crash has cut off an open that had put what was not synced into a segment of its own. The repair said that no record was lost.
#[test]
fn a_repair_tells_of_synced_records_whose_segment_is_missing_in_front_of_another() {
    let disk = crate::doubles::FaultyFileSystem::new();
    let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
    let log = place.open();
    append(&log, 0..3, Durability::Os);
    drop(log);
    let log = place.open();
    drop(log.hold_for_copy().unwrap());
    append(&log, 3..5, Durability::Os);
    drop(log);
    let (calls, full) = (&[crate::doubles::Call::Create], crate::doubles::Fault::Error(28));
    disk.fail(calls, "annals.state.new", (0, crate::doubles::Times::ForEver), full);
    let log = place.open();
    let refused = log.append(&[Record::new().value("no room")], &how(Durability::Os));
    assert!(refused.unwrap_err().is_disk_full());
    drop(log);
    disk.heal();
    assert_eq!(place.logs(), [0, 3]);
    std::fs::remove_file(path(&place, 0)).unwrap();
    let found = repaired(&place);
    assert!(matches!(&found[..], [one] if one.path == path(&place, 0) && one.lost == (0..3)), "{found:?}");
    assert_eq!(passing(&place.open()).0, [3, 4]);
    assert!(repaired(&place).is_empty(), "once");
}

#[test]
fn records_that_were_synced_and_are_nowhere_are_told_once() {
    let synced = || {
        let place = Place::new(ReadMode::Positional);
        let log = place.open();
        append(&log, 0..20, Durability::Disk);
        drop(log);
        let logs = place.logs();
        (place, logs)
    };
    // Cut between two batches, and a loss far in front of it.
    let (place, logs) = synced();
    let last = *logs.last().unwrap();
    flip(&place, logs[1], 70);
    let bytes = std::fs::read(path(&place, last)).unwrap();
    let first = 12 + usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    std::fs::write(path(&place, last), &bytes[..first]).unwrap();
    let found = repaired(&place);
    let lost: Vec<_> = found.iter().map(|one| one.lost.clone()).collect();
    assert_eq!(lost, [logs[1] + 1..logs[1] + 2, last + 1..20], "{found:?}");
    assert!(found[1].reason.contains("synced and are missing"), "{found:?}");
    // What is taken out at the end tells it all.
    let (place, logs) = synced();
    let last = *logs.last().unwrap();
    let mut bytes = std::fs::read(path(&place, last)).unwrap();
    bytes[70] ^= 1;
    bytes.truncate(first);
    std::fs::write(path(&place, last), bytes).unwrap();
    let found = repaired(&place);
    assert!(matches!(&found[..], [one] if one.lost == (last..20)), "{found:?}");
}

#[test]
fn a_segment_behind_a_clean_end_is_told() {
    let (place, _) = closed();
    std::fs::write(path(&place, 20), "").unwrap();
    let opened = Log::open(context(&place.directory(), place.mode, Arc::clone(&place.clock)), config(500));
    assert!(matches!(opened, Err(Error::Corrupt { .. })));
}

#[test]
fn passing_over_any_two_damages_comes_to_an_end_and_never_back() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    log.set_config(config(100_000));
    append(&log, 0..10, Durability::Os);
    log.close().unwrap();
    let good = std::fs::read(path(&place, 0)).unwrap();
    let size = good.len() / 10;
    for (first, second) in (0..10).flat_map(|first| (first + 1..10).map(move |second| (first, second))) {
        // A length, or the magic, which hide where the next batch begins; a value, which does not.
        for (one, other) in [(8, 8), (11, 8), (11, 16), (70, 8), (16, 11), (11, 11)] {
            let mut bytes = good.clone();
            bytes[first * size + one] ^= 0x41;
            bytes[second * size + other] ^= 0x41;
            std::fs::write(path(&place, 0), bytes).unwrap();
            let (read, error) = passing(&place.open());
            assert!(error.is_none(), "{error:?}");
            assert!(read.is_sorted_by(|before, next| before < next), "{first} {second}: {read:?}");
            let damaged = [first, second].map(|batch| Offset::try_from(batch).unwrap());
            assert!(!damaged.iter().any(|offset| read.contains(offset)), "{read:?}");
        }
    }
}

#[test]
fn what_is_passed_over_is_counted() {
    let (place, logs) = closed();
    flip(&place, logs[1], 70);
    let log = place.open();
    assert_eq!(log.stats().unwrap().skipped_offsets, 0);
    let (read, error) = passing(&log);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(log.stats().unwrap().skipped_offsets, 20 - read.len() as u64);
}

#[test]
fn the_oldest_time_is_that_of_the_first_record() {
    let place = Place::new(ReadMode::Mapped);
    let log = place.open();
    let records: Vec<_> = (0..10).map(|n| Record::new().value("value").timestamp(1000 + n * 100)).collect();
    log.append(&records, &how(Durability::Os)).unwrap();
    assert_eq!(log.stats().unwrap().oldest_timestamp, Some(1000));
    log.roll().unwrap();
    log.append(&[Record::new().value("value").timestamp(9000)], &how(Durability::Os)).unwrap();
    assert_eq!(log.stats().unwrap().oldest_timestamp, Some(1000));
    log.delete_records(10).unwrap();
    assert_eq!(log.stats().unwrap().oldest_timestamp, Some(9000));
}

/// As of a file that was copied before the close, and put back: room that was allocated stands where the last records were, and behind.
#[test]
fn a_repair_did_not_tell_of_records_in_whose_place_room_that_was_allocated_stands() {
    let (place, logs) = closed();
    let last = logs.last().copied().unwrap();
    let mut bytes = std::fs::read(path(&place, last)).unwrap();
    let second = 12 + usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    assert!(second < bytes.len(), "it has two batches");
    bytes[second..].fill(0);
    bytes.extend([0; 3000]);
    std::fs::write(path(&place, last), bytes).unwrap();
    let found = repaired(&place);
    assert!(
        found.iter().any(|one| one.path == path(&place, last) && one.lost == (last + 1..20)),
        "{found:?}"
    );
    assert_eq!(passing(&place.open()).0, (0..=last).collect::<Vec<_>>());
    assert!(repaired(&place).is_empty(), "once");
}
