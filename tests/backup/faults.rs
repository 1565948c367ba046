//! Backups and restores on disks that fail and lose power. `ANNALS_BACKUP_CUTS` says how many states of each moment are tried.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use annals::backup::{Backup, RestoreOptions};
use annals::io::FileSystem;
use annals::{CleanupPolicy, Error, Isolation, Record, Store, TopicConfig, WhenFull};
use annals_testing::power_cut::{Change, Disk, Observer};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, PowerCutFileSystem, Times};

use super::{Records, all_records};

fn open(disk: &Arc<dyn FileSystem>, path: &str) -> annals::Result<Store> {
    Store::builder(path).file_system(Arc::clone(disk)).maintain_by_hand().open()
}

fn filled(disk: &Arc<dyn FileSystem>) -> Store {
    let store = open(disk, "/live").unwrap();
    let config = || TopicConfig::new().segment_bytes(600);
    store.create_topic("orders", config().partitions(2)).unwrap();
    store.create_topic("table", config().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    for number in 0..20_u32 {
        let key = (number % 3).to_string();
        store.producer().send(Record::to("orders").key(&key).value("an order of some length")).unwrap();
        store.producer().send(Record::to("table").key(&key).value("a value of some length")).unwrap();
    }
    let mut transfer = store.transaction("transfer").unwrap();
    transfer.send(Record::to("orders").partition(0).value("from")).unwrap();
    transfer.send(Record::to("orders").partition(1).value("to")).unwrap();
    transfer.commit().unwrap();
    store.topic("table").unwrap().compact().unwrap();
    store
}

/// Whether there is a backup, which then is all that it should be.
fn is_backup(disk: &Arc<dyn FileSystem>, expected: &[(String, Records)]) -> bool {
    let backup = match Backup::open_on(Arc::clone(disk), "/copy") {
        Ok(backup) => backup,
        Err(Error::Backup { .. }) => {
            // Nor does it pass for a store, once there is a byte in it.
            let is_begun = disk.list(Path::new("/copy")).is_ok_and(|entries| !entries.is_empty());
            assert!(!is_begun || open(disk, "/copy").is_err(), "a store was opened in an unfinished backup");
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    let found = backup.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    backup.restore("/again", RestoreOptions::new()).unwrap();
    assert_eq!(all_records(&open(disk, "/again").unwrap()), expected);
    true
}

/// Keeps the disk as it was after each change.
#[derive(Default)]
struct Moments(Mutex<Vec<Disk>>);

impl Observer for Moments {
    fn after(&self, disk: &mut Disk, _: &Change<'_>) {
        self.0.lock().unwrap().push(disk.clone());
    }
}

impl Moments {
    fn take(&self) -> Vec<Disk> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn cuts() -> u64 {
    std::env::var("ANNALS_BACKUP_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(3)
}

/// A machine that was switched on again after a power cut at that moment, or a kill.
fn after(moment: &Disk, seed: u64) -> Arc<dyn FileSystem> {
    let machine = PowerCutFileSystem::on(moment.clone(), None);
    if seed == 1 { machine.restart().shared() } else { machine.cut_power(seed).shared() }
}

#[test]
fn whatever_a_power_cut_leaves_of_a_backup_is_whole_or_is_none() {
    for links in [true, false] {
        let moments = Arc::new(Moments::default());
        let observer: Arc<dyn Observer> = Arc::clone(&moments) as _;
        // All that was there before is on the disk: what a cut may take is of the backup.
        let before = PowerCutFileSystem::new();
        filled(&before.shared()).close().unwrap();
        let machine = PowerCutFileSystem::on(before.cut_power(1).disk(), Some(observer));
        let disk = machine.shared();
        let store = open(&disk, "/live").unwrap();
        let expected = all_records(&store);
        moments.take();
        let builder = store.backup_builder();
        let builder = if links { builder } else { builder.independent() };
        builder.run("/copy").unwrap();
        let moments = moments.take();
        assert!(moments.len() > 50, "{}", moments.len());
        let (mut whole, mut none) = (0, 0);
        for (number, moment) in moments.iter().enumerate() {
            // Of the first moments each single loss is tried: there is little that could be lost.
            for seed in 0..if number < 12 { cuts().max(16) } else { cuts() } {
                let disk = after(moment, seed);
                if is_backup(&disk, &expected) {
                    whole += 1
                } else {
                    none += 1
                }
                // The store it was made of has not been touched.
                assert_eq!(
                    all_records(&open(&disk, "/live").unwrap()),
                    expected,
                    "moment {number}, seed {seed}"
                );
            }
        }
        assert!(whole > 0 && none > 0, "{whole} whole, {none} not");
        println!("{} states: {whole} whole, {none} none", whole + none);
        // It has returned: from here on it is there.
        for seed in 0..20 {
            assert!(
                is_backup(&after(&machine.disk(), seed), &expected),
                "acknowledged, and gone (seed {seed})"
            );
        }
    }
}

#[test]
fn whatever_a_power_cut_leaves_of_a_restore_is_the_store_or_opens_as_none() {
    let moments = Arc::new(Moments::default());
    let observer: Arc<dyn Observer> = Arc::clone(&moments) as _;
    let machine = PowerCutFileSystem::on(Disk::new(), Some(observer));
    let store = filled(&machine.shared());
    let expected = all_records(&store);
    store.backup("/copy").unwrap();
    moments.take();
    let backup = Backup::open_on(machine.shared(), "/copy").unwrap();
    backup.restore("/again", RestoreOptions::new()).unwrap();
    let (mut whole, mut none) = (0, 0);
    let mut check = |disk: &Arc<dyn FileSystem>| {
        if disk.list(Path::new("/again")).map_or(true, |entries| entries.is_empty()) {
            none += 1;
            return false;
        }
        match open(disk, "/again") {
            Ok(store) => {
                assert_eq!(all_records(&store), expected);
                whole += 1;
                true
            }
            Err(Error::Backup { .. }) => {
                none += 1;
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    for moment in moments.take() {
        (0..cuts()).for_each(|seed| _ = check(&after(&moment, seed)));
    }
    for seed in 0..20 {
        assert!(check(&after(&machine.disk(), seed)), "returned, and gone (seed {seed})");
    }
    assert!(whole > 20 && none > 0, "{whole} whole, {none} not");
    println!("{} states: {whole} whole, {none} none", whole + none);
}

/// What is left of a backup whose calls failed is none, or one that is whole; the store is as before, and the next one succeeds.
fn fails_well(
    disk: &Arc<FaultyFileSystem>,
    store: &Store,
    expected: &[(String, Records)],
    what: &str,
) -> bool {
    let shared: Arc<dyn FileSystem> = Arc::clone(disk) as _;
    let outcome = store.backup("/copy");
    disk.heal();
    let is_there = is_backup(&shared, expected);
    assert!(is_there || outcome.is_err(), "{what}: it is not there, and nobody was told");
    store.producer().send(Record::to("orders").partition(0).value("goes on")).unwrap();
    clear(&shared, "/copy");
    clear(&shared, "/again");
    store.backup_builder().verify().run("/copy").unwrap();
    clear(&shared, "/copy");
    outcome.is_err()
}

/// Removes a directory and what is in it.
fn clear(disk: &Arc<dyn FileSystem>, path: &str) {
    let path = Path::new(path);
    for entry in disk.list(path).unwrap_or_default() {
        let below = path.join(&entry.name);
        if entry.kind == annals::io::EntryKind::Directory {
            clear(disk, below.to_str().unwrap());
        } else {
            disk.remove_file(&below).unwrap();
        }
    }
    // It may never have been there.
    drop(disk.remove_dir(path));
}

#[test]
fn each_call_of_a_backup_that_fails_is_told_and_harms_nothing() {
    const CALLS: [Call; 11] = [
        Call::Create,
        Call::Open,
        Call::Read,
        Call::Len,
        Call::Write,
        Call::SetLen,
        Call::Sync,
        Call::SyncDir,
        Call::CreateDir,
        Call::Rename,
        Call::List,
    ];
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let shared: Arc<dyn FileSystem> = Arc::clone(&disk) as _;
    let store = filled(&shared);
    let mut failures = BTreeMap::new();
    for call in CALLS {
        disk.forget();
        store.backup("/copy").unwrap();
        let count = disk.count(call, "/copy");
        clear(&shared, "/copy");
        let step = (count / 6).max(1);
        for nth in (0..count).step_by(step) {
            for (times, errno) in [(Times::Once, 5), (Times::ForEver, 28)] {
                let expected = all_records(&store);
                disk.fail(&[call], "/copy", (nth, times), Fault::Error(errno));
                let what = format!("{call:?} {nth} of {count}");
                *failures.entry(call).or_insert(0) +=
                    usize::from(fails_well(&disk, &store, &expected, &what));
            }
        }
    }
    assert!(CALLS.iter().all(|call| failures[call] > 0), "{failures:?}");
}

/// A second panic while the first one is on its way through the thread would end the process.
#[test]
fn a_disk_that_panics_at_every_call_ends_a_backup_and_not_the_process() {
    for call in
        [Call::Create, Call::Write, Call::Sync, Call::SyncDir, Call::CreateDir, Call::Rename, Call::List]
    {
        let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let shared: Arc<dyn FileSystem> = Arc::clone(&disk) as _;
        let store = filled(&shared);
        disk.forget();
        store.backup("/copy").unwrap();
        let count = disk.count(call, "/copy");
        clear(&shared, "/copy");
        for nth in 0..count {
            disk.fail(&[call, Call::Remove, Call::Rename], "/copy", (nth, Times::ForEver), Fault::Panic);
            drop(catch_unwind(AssertUnwindSafe(|| store.backup("/copy"))));
            disk.heal();
            clear(&shared, "/copy");
        }
        store.backup("/copy").unwrap();
    }
}

/// What has left two topics meanwhile goes when they are held no more.
#[test]
fn files_that_cannot_be_removed_without_a_panic_end_a_backup_and_not_the_process() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = open(&(Arc::clone(&disk) as _), "/live").unwrap();
    let config = || TopicConfig::new().segment_bytes(500).size_limit(2000, WhenFull::DropOldest);
    let fill = |topic: &str| {
        (0..100).for_each(|_| _ = store.producer().send(Record::to(topic).value("a job of many")).unwrap());
    };
    for topic in ["one", "other"] {
        store.create_topic(topic, config()).unwrap();
        fill(topic);
    }
    let mut is_first = true;
    let backed_up = catch_unwind(AssertUnwindSafe(|| {
        let backup = store.backup_builder().progress(|_| {
            if std::mem::take(&mut is_first) {
                ["one", "other"].into_iter().for_each(fill);
                disk.fail(&[Call::Remove], "/live", (0, Times::ForEver), Fault::Panic);
            }
            ControlFlow::Continue(())
        });
        backup.run("/copy")
    }));
    assert!(backed_up.is_err());
    disk.heal();
    store.maintain().unwrap();
    ["one", "other"].into_iter().for_each(fill);
    store.backup("/again").unwrap();
}

#[test]
fn a_full_disk_ends_a_backup_and_leaves_nothing_of_it() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let shared: Arc<dyn FileSystem> = Arc::clone(&disk) as _;
    let store = filled(&shared);
    disk.fail(&[Call::Write], "/copy/orders-1", (1, Times::ForEver), Fault::Error(28));
    let full = store.backup_builder().independent().run("/copy").unwrap_err();
    assert!(full.is_disk_full(), "{full}");
    assert!(shared.list(Path::new("/copy")).is_err());
    disk.heal();
    store.backup("/copy").unwrap();
}

#[test]
fn records_that_cannot_be_written_are_in_no_backup() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let shared: Arc<dyn FileSystem> = Arc::clone(&disk) as _;
    let store = filled(&shared);
    let expected = all_records(&store);
    let memory = store.producer_builder().durability(annals::Durability::Memory).build().unwrap();
    memory.send(Record::to("orders").partition(0).value("is lost")).unwrap();
    disk.fail(&[Call::Write, Call::Allocate], "/live/orders-0", (0, Times::Once), Fault::Error(28));
    disk.fail(&[Call::Write], "/live/orders-0", (0, Times::Once), Fault::Error(28));
    store.backup("/copy").unwrap();
    disk.heal();
    assert!(is_backup(&shared, &expected));
    assert!(matches!(memory.flush(), Err(Error::Lost { .. })));
    clear(&shared, "/again");
    store.producer().send(Record::to("orders").partition(0).value("takes its offset")).unwrap();
    assert!(is_backup(&shared, &expected));
}

/// A copy that is under way, of a backup or of a store, from a disk to a directory of it.
type Copying = fn(&Arc<dyn FileSystem>, &Store) -> annals::Result<()>;

/// Whether something opens in the directory, to be written or to be read. It is all of the store then.
fn opens(disk: &Arc<dyn FileSystem>, path: &str, (expected, what): (&[(String, Records)], &str)) -> bool {
    if disk.list(Path::new(path)).map_or(true, |entries| entries.is_empty()) {
        return false;
    }
    let reader = Store::builder(path).file_system(Arc::clone(disk)).open_read_only();
    let is_read = reader.is_ok();
    if let Ok(reader) = reader {
        let topics = reader.topics().into_iter().filter(|topic| !topic.name().starts_with("__"));
        let records = |one: annals::PartitionView| -> (String, Records) {
            let read = one.read(..).unwrap().isolation(Isolation::ReadCommitted).into_iter();
            let read = read.map(|record| record.unwrap()).map(|one| (one.offset, one.key, one.value));
            (one.topic_partition().to_string(), read.collect())
        };
        let found: Vec<_> = topics.flat_map(|topic| topic.partitions()).map(records).collect();
        assert_eq!(found, expected, "{what}: a part of a copy is read");
    }
    if let Ok(store) = open(disk, path) {
        assert_eq!(all_records(&store), expected, "{what}: a part of a copy is a store");
        return true;
    }
    is_read
}

/// Each of the last calls fails, and after that the power is cut, or the process killed, at each moment.
fn fails_late(path: &str, copying: Copying) {
    let before = PowerCutFileSystem::new();
    let first = filled(&before.shared());
    first.backup("/made").unwrap();
    first.close().unwrap();
    let before = before.cut_power(1).disk();
    let run = |nth: Option<(usize, Times)>| {
        let moments = Arc::new(Moments::default());
        let machine = PowerCutFileSystem::on(before.clone(), Some(Arc::clone(&moments) as _));
        let disk = FaultyFileSystem::over(machine.shared());
        let shared: Arc<dyn FileSystem> = Arc::clone(&disk) as _;
        let store = open(&shared, "/live").unwrap();
        let expected = all_records(&store);
        moments.take();
        disk.forget();
        if let Some((nth, times)) = nth {
            disk.fail(&Call::MUTATING, "", (nth, times), Fault::Error(5));
        }
        let outcome = copying(&shared, &store);
        let calls = disk.trace().into_iter().filter(|done| Call::MUTATING.contains(&done.call)).count();
        disk.heal();
        (outcome, calls, moments.take(), expected)
    };
    let (outcome, calls, healthy, _) = run(None);
    outcome.unwrap();
    let (mut failed, mut opened) = (0, 0);
    for nth in calls.saturating_sub(14)..calls {
        for times in [Times::Once, Times::ForEver] {
            let (outcome, _, moments, expected) = run(Some((nth, times)));
            failed += usize::from(outcome.is_err());
            let late = healthy.len().saturating_sub(14);
            for (number, moment) in moments.iter().enumerate().skip(late) {
                for seed in 0..cuts() {
                    let what = format!("call {nth} of {calls}, {times:?}, moment {number}, seed {seed}");
                    opened += usize::from(opens(&after(moment, seed), path, (&expected, &what)));
                }
            }
        }
    }
    assert!(failed > 10 && opened > 0, "{failed} failures, {opened} opened");
}

#[test]
fn a_backup_that_fails_late_leaves_no_part_of_it_that_opens() {
    fails_late("/copy", |_, store| store.backup("/copy").map(drop));
}

#[test]
fn a_restore_that_fails_late_leaves_no_part_of_it_that_opens() {
    fails_late("/again", |disk, _| {
        Backup::open_on(Arc::clone(disk), "/made")?.restore("/again", RestoreOptions::new()).map(drop)
    });
}

#[test]
fn a_backup_that_was_cut_off_is_not_read_as_a_store() {
    let disk: Arc<dyn FileSystem> = Arc::new(MemoryFileSystem::new());
    let store = filled(&disk);
    store.backup("/copy").unwrap();
    let read = || Store::builder("/copy").file_system(Arc::clone(&disk)).open_read_only();
    drop(read().unwrap());
    disk.rename(Path::new("/copy/annals.backup"), Path::new("/copy/annals.backup.new")).unwrap();
    let refused = read();
    assert!(matches!(refused, Err(Error::Backup { .. })), "{refused:?}");
}

/// It is a hint, and whoever needs the room that it takes waits for no copy.
#[test]
fn an_index_that_went_while_it_was_copied_ended_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, live) = (FaultyFileSystem::new(), dir.path().join("live"));
    let store = Store::builder(&live).file_system(disk.clone()).maintain_by_hand().open().unwrap();
    store.create_topic("orders", TopicConfig::new().segment_bytes(600)).unwrap();
    for _ in 0..20 {
        store.producer().send(Record::to("orders").value("an order of some length")).unwrap();
    }
    let expected = all_records(&store);
    let (gate, first) = (Arc::<Gate>::default(), "live/orders-0/00000000000000000000.index");
    disk.fail(&[Call::Len], first, (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let copy = dir.path().join("copy");
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| store.backup_builder().independent().run(&copy));
        gate.await_arrival();
        std::fs::remove_file(dir.path().join(first)).unwrap();
        gate.open();
        copying.join().unwrap().unwrap();
    });
    annals::backup::restore(&copy, dir.path().join("again")).unwrap();
    assert_eq!(all_records(&Store::open(dir.path().join("again")).unwrap()), expected);
}
