//! An adoption that fails, is killed or loses power at any call.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use annals::io::FileSystem;
use annals::{Error, LogSource, Store, StoreBuilder, TopicConfig};
use annals_testing::power_cut::{Change, Disk, Observer};
use annals_testing::{Call, Fault, FaultyFileSystem, PowerCutFileSystem, Times};

use super::{copied, expected, plain};
use crate::common::{by_hand, copy_dir, fast_dir, on_faulty, records, small_segments};

/// Adopts two partitions under the name `adopted`.
fn adopt(store: &Store, source: &Path) -> annals::Result<annals::Adoption> {
    let link = |source: PathBuf| LogSource::new(source).hard_linked();
    let sources = [LogSource::new(source.join("first-0")), link(source.join("second-0"))];
    store.adopt_topic("adopted", small_segments(), sources)
}

fn assert_whole(store: &Store) {
    let topic = store.topic("adopted").unwrap();
    assert_eq!(topic.partition_count(), 2);
    for partition in topic.partitions() {
        assert_eq!(records(&partition), expected(0..20));
    }
}

fn two_sources(dir: &Path) -> PathBuf {
    let (source, plain) = (dir.join("source"), plain(dir));
    copy_dir(&plain, &source.join("first-0"));
    fs::remove_dir_all(dir.join("origin")).unwrap();
    fs::remove_dir_all(dir.join("copy")).unwrap();
    copy_dir(&copied(dir, true), &source.join("second-0"));
    source
}

#[test]
fn every_call_that_fails_leaves_no_topic_and_the_next_try_a_whole_one() {
    let dir = fast_dir();
    let source = two_sources(dir.path());
    let calls: Vec<Call> =
        Call::MUTATING.into_iter().chain([Call::Open, Call::Read, Call::List, Call::Len]).collect();
    let mut failed = 0;
    for nth in 0.. {
        let place = dir.path().join(format!("store-{nth}"));
        let files = FaultyFileSystem::over(Arc::new(annals::io::OsFileSystem));
        let store = on_faulty(&place, &files).open().unwrap();
        files.fail(&calls, "", (nth, Times::Once), Fault::Error(5));
        let outcome = adopt(&store, &source);
        let has_struck = files.armed() == 0;
        files.heal();
        if !has_struck {
            outcome.unwrap();
            break;
        }
        if outcome.is_ok() {
            // A hint, an index file for instance, could not be written.
            assert_whole(&store);
        } else {
            failed += 1;
            assert!(matches!(store.topic("adopted"), Err(Error::UnknownTopic { .. })), "call {nth}");
            // The list of topics may be one that nobody knows: then the next open reads it.
            let again = adopt(&store, &source).map(drop);
            assert!(again.is_ok() || matches!(again, Err(Error::Poisoned { .. })), "call {nth}: {again:?}");
        }
        drop(store);
        assert!(Store::verify(&place).unwrap().is_sound(), "call {nth}");
        let store = by_hand(&place).open().unwrap();
        if store.topic("adopted").is_err() {
            assert!(!place.join("adopted-0").exists() && !place.join("adopted-1").exists(), "call {nth}");
            adopt(&store, &source).unwrap();
        }
        assert_whole(&store);
        drop(store);
        fs::remove_dir_all(&place).unwrap();
    }
    assert!(failed > 60, "{failed}");
}

/// Keeps the disk as it was after each change.
#[derive(Default)]
struct Moments(Mutex<Vec<Disk>>);

impl Observer for Moments {
    fn after(&self, disk: &mut Disk, _: &Change<'_>) {
        self.0.lock().expect("no panic").push(disk.clone());
    }
}

fn builder(machine: &PowerCutFileSystem) -> StoreBuilder {
    by_hand(Path::new("/store")).file_system(machine.shared())
}

/// Writes the files below `from` onto the machine, durably.
fn bring(machine: &PowerCutFileSystem, from: &Path, to: &Path) {
    machine.create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            bring(machine, &entry.path(), &target);
        } else {
            let file = machine.open(&target, annals::io::OpenMode::CreateNew).unwrap();
            file.write_at(&fs::read(entry.path()).unwrap(), 0).unwrap();
            file.sync_data().unwrap();
        }
    }
    machine.sync_dir(to).unwrap();
}

#[test]
fn a_kill_or_a_power_cut_at_any_call_leaves_the_whole_topic_or_none_of_it() {
    let dir = fast_dir();
    let source = two_sources(dir.path());
    let moments = Arc::new(Moments::default());
    let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as Arc<dyn Observer>));
    let store = builder(&machine).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    bring(&machine, &source, Path::new("/source"));
    machine.sync_dir(Path::new("/")).unwrap();
    moments.0.lock().expect("no panic").clear();
    adopt(&store, Path::new("/source")).unwrap();
    let disks = std::mem::take(&mut *moments.0.lock().expect("no panic"));
    assert!(disks.len() > 40, "{}", disks.len());
    let (mut whole, mut none) = (0, 0);
    let last = disks.len() - 1;
    for (at, disk) in disks.into_iter().enumerate() {
        let machine = PowerCutFileSystem::on(disk, None);
        let cuts = (0..6).map(|seed| machine.cut_power(seed));
        for after in cuts.chain([machine.restart()]) {
            let store = builder(&after).open().unwrap();
            store.topic("orders").unwrap();
            if store.topic("adopted").is_ok() {
                whole += 1;
            } else {
                none += 1;
                assert_ne!(at, last, "it was acknowledged");
                for number in 0..2 {
                    // At most a directory that a crash left before it was said whose it is: the next try removes it.
                    let left = after.list(Path::new(&format!("/store/adopted-{number}"))).unwrap_or_default();
                    assert!(!left.iter().any(|entry| entry.name == "annals.state"), "{left:?}");
                }
                adopt(&store, Path::new("/source")).unwrap();
            }
            assert_whole(&store);
            store.close().unwrap();
        }
    }
    assert!(whole > 3 && none > 100, "{whole} {none}");
}
