//! Where a backup may be made, and how one ends before its time.

use std::ops::ControlFlow;
use std::time::Duration;

use annals::{Error, Record, Store, TopicConfig};

fn store(path: &std::path::Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new().segment_bytes(1000)).unwrap();
    for number in 0..100 {
        store.producer().send(Record::to("orders").value(&format!("order {number}"))).unwrap();
    }
    store
}

#[test]
fn a_target_that_cannot_be_used_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let store = store(&live);
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("a file"), "of somebody").unwrap();
    std::os::unix::fs::symlink(&live, dir.path().join("link")).unwrap();
    store.backup(dir.path().join("done")).unwrap();
    for (target, why) in [
        (full.clone(), "not empty"),
        (live.join("copy"), "in the store"),
        (live.join("a/b/c"), "in the store"),
        (live.clone(), "in the store"),
        (dir.path().join("link/copy"), "in the store"),
        (dir.path().to_path_buf(), "not empty"),
        (dir.path().join("done"), "a backup already"),
        // By the way it would have made, this is in the store.
        (dir.path().join("missing/../live/copy"), "goes up"),
    ] {
        match store.backup(&target) {
            Err(Error::Backup { reason, .. }) => assert!(reason.contains(why), "{target:?}: {reason}"),
            other => panic!("{target:?}: {other:?}"),
        }
    }
    assert!(matches!(store.backup(""), Err(Error::InvalidArgument { .. })));
    assert!(!live.join("copy").exists() && !live.join("a").exists());
    assert_eq!(std::fs::read(full.join("a file")).unwrap(), b"of somebody");
    // An empty directory is taken, and one that is not there is made with those above it.
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    store.backup(dir.path().join("empty")).unwrap();
    store.backup(dir.path().join("x/y/z")).unwrap();
    assert!(annals::backup::verify(dir.path().join("x/y/z")).unwrap().is_sound());
}

#[test]
fn a_directory_without_a_list_is_no_backup_and_a_backup_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("live"));
    let copy = dir.path().join("copy");
    store.backup(&copy).unwrap();
    match Store::open(&copy) {
        Err(Error::Backup { reason, .. }) => assert!(reason.contains("restore"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let repaired = Store::builder(&copy).repair(dir.path().join("taken-out"));
    assert!(matches!(repaired, Err(Error::Backup { .. })), "{repaired:?}");
    std::fs::remove_file(copy.join("annals.backup")).unwrap();
    for refused in [
        annals::backup::verify(&copy).map(drop),
        annals::backup::restore(&copy, dir.path().join("again")).map(drop),
        annals::backup::verify(dir.path().join("nothing")).map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Backup { .. })), "{refused:?}");
    }
    assert!(!dir.path().join("again").exists());
    // All of it was there: it is the store itself then.
    assert_eq!(Store::open(&copy).unwrap().topic("orders").unwrap().partition(0).unwrap().end(), 100);
}

#[test]
fn whoever_ends_a_backup_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("live"));
    let copy = dir.path().join("copy");
    let mut steps = 0;
    let ended = store
        .backup_builder()
        .independent()
        .progress(|_| {
            steps += 1;
            if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .run(&copy);
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    assert!(!copy.exists());
    // A close ends one that is too slow to be waited for, and waits until it has ended.
    let another = store.clone();
    let slow = std::thread::spawn({
        let copy = copy.clone();
        move || another.backup_builder().independent().max_bytes_per_second(100).run(copy)
    });
    while !copy.join("orders-0").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    store.close().unwrap();
    let ended = slow.join().unwrap();
    assert!(matches!(ended, Err(Error::StoreClosed { .. })), "{ended:?}");
    assert!(!copy.exists());
    assert!(Store::verify(dir.path().join("live")).unwrap().is_sound());
}

#[test]
fn a_poisoned_or_broken_topic_is_named_until_it_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let first = store(&live);
    first.create_topic("broken", TopicConfig::new()).unwrap();
    first.producer().send(Record::to("broken")).unwrap();
    first.close().unwrap();
    std::fs::remove_file(live.join("broken-0/annals.state")).unwrap();
    let store = Store::open(&live).unwrap();
    let refused = store.backup(dir.path().join("copy"));
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    store.backup_builder().leave_out(["broken"]).verify().run(dir.path().join("copy")).unwrap();
}

/// The one that failed had removed the files of the other, whose backup had been made.
#[test]
fn of_two_backups_or_restores_into_one_directory_one_is_made_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("live"));
    store.backup(dir.path().join("source")).unwrap();
    let rounds: usize = std::env::var("ANNALS_BACKUPS").map_or(12, |count| count.parse().unwrap());
    for round in 0..rounds {
        let target = dir.path().join(format!("target-{round}"));
        let start = std::sync::Barrier::new(2);
        let (start, target, store, source) = (&start, &target, &store, &dir.path().join("source"));
        let outcomes = std::thread::scope(|scope| {
            let makers = [(); 2].map(|()| {
                scope.spawn(move || {
                    start.wait();
                    match round % 2 {
                        0 => store.backup(target).map(drop),
                        _ => annals::backup::restore(source, target).map(drop),
                    }
                })
            });
            makers.map(|maker| maker.join().unwrap())
        });
        let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(made, 1, "{outcomes:?}");
        let refused = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        assert!(matches!(refused, Some(Error::Backup { .. })), "{refused:?}");
        if round % 2 == 0 {
            assert!(annals::backup::verify(target).unwrap().is_sound());
        } else {
            let restored = Store::open(target).unwrap();
            assert_eq!(restored.topic("orders").unwrap().partition(0).unwrap().end(), 100);
        }
    }
}
