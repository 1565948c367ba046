//! What readers hold of the process: maps, and files that are gone.

#![expect(clippy::disallowed_methods, reason = "the system says what a process holds")]

use super::compaction::{contents, now_config, put};
use super::place::Place;
use super::*;

/// The maps of files below a directory, by their paths.
fn maps(place: &Place) -> Vec<String> {
    let dir = place.dir.path().to_str().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.contains(dir)).map(str::to_owned).collect()
}

/// Files below a directory that have no name and are held all the same.
fn held_though_gone(place: &Place) -> Vec<String> {
    let dir = place.dir.path().to_str().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let open = open.map(|path| path.to_string_lossy().into_owned());
    let all = open.filter(|path| path.contains(dir)).chain(maps(place));
    all.filter(|path| path.ends_with("(deleted)")).collect()
}

#[test]
fn readers_of_many_segments_hold_as_many_maps_as_the_store_may_have() {
    let mut place = Place::new(ReadMode::Mapped);
    place.maps = 5;
    let log = place.open();
    append(&log, 0..300, Durability::Os);
    assert!(place.logs().len() > 20);
    let mut most = 0;
    for _ in 0..2 {
        for offset in 0..300 {
            assert_eq!(log.get(offset, |record| record.offset).unwrap(), Some(offset));
            most = most.max(maps(&place).len());
        }
        assert_eq!(read_all(&log, 0), expected(0..300));
        most = most.max(maps(&place).len());
    }
    assert!((1..=5).contains(&most) || !cfg!(target_os = "linux"), "{most} maps");
}

#[test]
fn an_idle_reader_keeps_no_file_that_was_removed_or_replaced() {
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let place = Place::new(mode);
        let log = place.open();
        for n in 0..90 {
            put(&log, &[(&format!("key {}", n % 10), &format!("value {n}"))]);
        }
        // They stand in the middle of a batch, between two, and at the end.
        let idle: Vec<_> = [1, 2, 7, 30, 90]
            .into_iter()
            .map(|records| {
                let mut reader = Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail);
                let limits = FetchLimits { max_records: records, max_bytes: usize::MAX };
                let handed_out: usize = reader.fetch(limits).unwrap().iter().map(RecordSlice::len).sum();
                assert!(handed_out > 0);
                reader
            })
            .collect();
        log.compact(&|| Some(now_config(&place))).unwrap();
        log.erase(&|key| key == b"key 3").unwrap();
        log.delete_records(log.end() - 2).unwrap();
        assert_eq!(held_though_gone(&place), [""; 0], "{mode:?}");
        assert_eq!(contents(&log).len(), 2);
        drop(idle);
    }
}

#[test]
fn half_of_a_batch_is_found_again_when_its_map_was_let_go() {
    let mut place = Place::new(ReadMode::Mapped);
    place.maps = 1;
    let log = place.open();
    let values: Vec<_> = (0..10).map(|n| format!("value {n}")).collect();
    for batch in values.chunks(5) {
        let records: Vec<_> = batch.iter().map(|value| Record::new().value(value)).collect();
        log.append(&records, &how(Durability::Os)).unwrap();
        log.roll().unwrap();
    }
    let mut readers: Vec<_> =
        (0..2).map(|_| Reader::new(Arc::clone(&log), 0, Visibility::Written, OnDamage::Fail)).collect();
    readers[1].seek(5);
    // By turns: each takes the only map from the other.
    for step in 0..5 {
        for (reader, from) in readers.iter_mut().zip([0, 5]) {
            let slices = reader.fetch(FetchLimits { max_records: 1, max_bytes: 1 }).unwrap();
            let offsets: Vec<_> =
                slices.iter().flat_map(RecordSlice::iter).map(|record| record.offset).collect();
            assert_eq!(offsets, [from + step]);
        }
    }
}
