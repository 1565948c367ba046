//! Where a backup may be made, and how one ends before its time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::backup::{Backup, RestoreOptions};
use annals::{Error, LogSource, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

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

/// One that could not begin left its directory, and each those above it that it had made.
#[test]
fn a_backup_or_a_restore_that_failed_left_empty_directories() {
    let dir = tempfile::tempdir().unwrap();
    let (copy, way) = (dir.path().join("copy"), dir.path().join("a"));
    let target = way.join("b/c");
    let disk = FaultyFileSystem::new();
    store(&dir.path().join("live")).close().unwrap();
    let live = Store::builder(dir.path().join("live")).file_system(disk.clone()).open().unwrap();
    live.backup(&copy).unwrap();
    let backup = Backup::open_on(disk.clone(), &copy).unwrap();
    let failures = [
        (Call::CreateDir, "b/c"),
        (Call::Create, "c/annals.backup.new"),
        (Call::Sync, "c/annals.backup.new"),
        (Call::Create, "c/annals.topics.new"),
    ];
    for (call, path) in failures {
        let fail = || disk.fail(&[call], path, (0, Times::Once), Fault::Error(28));
        fail();
        assert!(live.backup(&target).unwrap_err().is_disk_full(), "{path}");
        assert!(!way.exists(), "backup, {path}");
        fail();
        assert!(backup.restore(&target, RestoreOptions::new()).unwrap_err().is_disk_full(), "{path}");
        assert!(!way.exists(), "restore, {path}");
    }
    // What was there stays.
    std::fs::create_dir(&way).unwrap();
    disk.fail(&[Call::Create], "c/annals.topics.new", (0, Times::Once), Fault::Error(28));
    live.backup(&target).unwrap_err();
    assert_eq!(std::fs::read_dir(&way).unwrap().count(), 0);
    live.backup(&target).unwrap();
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

/// All that is in a directory, and how long each file is.
fn tree(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path, entry.metadata().unwrap().len());
    }
    found
}

/// Who has the other store open, if anybody has, and what is put into it.
#[test]
fn what_was_to_lie_in_another_store_was_put_there() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other, source) = (dir.path().join("own"), dir.path().join("other"), dir.path().join("source"));
    let mut own_store = store(&own);
    own_store.backup(&source).unwrap();
    own_store.close().unwrap();
    let other_store = store(&other);
    // One of its partitions is elsewhere, by a link.
    let far = dir.path().join("far");
    other_store.close().unwrap();
    std::fs::rename(other.join("orders-0"), &far).unwrap();
    std::os::unix::fs::symlink(&far, other.join("orders-0")).unwrap();
    std::os::unix::fs::symlink(&other, dir.path().join("link")).unwrap();
    let places = [
        "other",
        "other/new",
        "other/orders-1",
        "other/a/b",
        "link/new",
        "other/orders-0/new",
        "far/new",
        "source/new",
    ];
    for is_open in [true, false] {
        let opened = is_open.then(|| Store::open(&other).unwrap());
        let before = (tree(&other), tree(&far), tree(&source));
        for place in places {
            let target = dir.path().join(place);
            own_store = Store::open(&own).unwrap();
            let backed_up = own_store.backup(&target).map(drop);
            own_store.close().unwrap();
            let mut outcomes = vec![("backup", backed_up)];
            let restored = annals::backup::restore(&source, &target).map(drop);
            outcomes.push(("restore", restored));
            outcomes.push(("repair", Store::builder(&own).repair(&target).map(drop)));
            let name = place.split('/').next().unwrap().replace("link", "other");
            for (what, outcome) in outcomes {
                let Err(Error::Backup { path, reason }) = &outcome else {
                    panic!("{what}, {place}: {outcome:?}")
                };
                assert_eq!(path, &target, "{what}");
                let is_named = reason.contains(&format!("/{name}: ")) || reason.contains("/far: ");
                assert!(
                    is_named || reason == "it lies in the backup: give a directory outside",
                    "{what}, {place}: {reason}"
                );
            }
        }
        assert_eq!((tree(&other), tree(&far), tree(&source)), before, "open: {is_open}");
        if let Some(opened) = opened {
            assert_eq!(opened.topic("orders").unwrap().partition(0).unwrap().end(), 100);
            opened.close().unwrap();
        }
    }
    // Beside them is no matter.
    annals::backup::restore(&source, dir.path().join("other.new")).unwrap();
}

/// Its files grow while they are copied, or are another store's by a link.
#[test]
fn a_log_of_another_store_that_was_open_became_a_topic() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (Store::open(dir.path().join("own")).unwrap(), store(&dir.path().join("other")));
    let source = dir.path().join("other/orders-0");
    for source in [LogSource::new(&source), LogSource::new(&source).hard_linked()] {
        match own.adopt_topic("orders", TopicConfig::new(), [source]) {
            Err(Error::CannotAdopt { reason, .. }) => {
                assert!(reason.contains("/other, which is open"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(own.topics().is_empty());
    other.close().unwrap();
    let adopted = own.adopt_topic("orders", TopicConfig::new(), [&source]).unwrap();
    assert_eq!(adopted.topic.partition(0).unwrap().end(), 100);
    let own_source = dir.path().join("own/orders-0");
    let refused = own.adopt_topic("again", TopicConfig::new(), [&own_source]);
    assert!(matches!(refused, Err(Error::CannotAdopt { .. })), "{refused:?}");
    assert_eq!(store(&dir.path().join("third")).topics().len(), 1);
    Store::open(dir.path().join("other")).expect("it is let go of");
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
