//! A process that dies at every change it makes to its files.

use super::compaction::{contents, now_config, put};
use super::faulty::Faulty;
use super::place::Place;
use super::*;

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
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        let fs = Faulty::never();
        let place = Place::in_memory(mode, Arc::new(fs.clone()));
        let log = fill(&place);
        let before = (contents(&log), log.start());
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
            assert_eq!(log.end(), 32);
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
    put(log, &[("more", "1")]);
    let mut expected = found.to_vec();
    expected.push("32 more=1".to_owned());
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
    log.compact(&now_config(place)).unwrap();
    log.close().unwrap();
    assert!(place.open().end() == 33);
}

#[test]
fn in_a_compaction() {
    dies_anywhere(|place, log| drop(log.compact(&now_config(place))));
}

#[test]
fn in_a_compaction_in_several_rounds() {
    dies_anywhere(|place, log| {
        drop(log.compact(&CompactionConfig { memory_bytes: 0, ..now_config(place) }));
    });
}

#[test]
fn in_retention() {
    dies_anywhere(|_, log| {
        drop(log.apply_retention(&RetentionPolicy { max_bytes: Some(900), ..Default::default() }));
    });
}

#[test]
fn in_retention_of_everything() {
    dies_anywhere(|_, log| {
        drop(log.apply_retention(&RetentionPolicy { max_bytes: Some(0), ..Default::default() }));
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
