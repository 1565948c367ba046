//! Which files a backup consists of, and what becomes of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use annals::backup::{Backup, RestoreOptions};
use annals::{Codec, Durability, Error, Record, Store, TopicConfig};

use super::{all_records, records};

fn filled(path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2).segment_bytes(1000)).unwrap();
    send(&store, 0..100);
    store
}

fn send(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let key = number.to_string();
        store.producer().send(Record::to("orders").key(&key).value("an order of some length")).unwrap();
    }
}

/// Inode numbers of all files below, by their paths.
fn inodes(root: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        if entry.path().is_dir() {
            for (name, inode) in inodes(&entry.path()) {
                found.insert(format!("{}/{name}", entry.file_name().to_str().unwrap()), inode);
            }
        } else {
            found.insert(entry.file_name().into_string().unwrap(), entry.metadata().unwrap().ino());
        }
    }
    found
}

#[test]
fn sealed_segments_are_links_and_nothing_that_changes_is() {
    let dir = tempfile::tempdir().unwrap();
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let store = filled(&live);
    let report = store.backup(&copy).unwrap();
    let (ours, theirs) = (inodes(&live), inodes(&copy));
    let shared: Vec<_> = theirs.iter().filter(|(name, inode)| ours.get(*name) == Some(*inode)).collect();
    let logs = shared.iter().filter(|(name, _)| name.ends_with(".log")).count();
    assert_eq!(logs as u64, report.segments - 2, "all but the last of each partition: {shared:?}");
    let active: Vec<_> = [0, 1]
        .map(|number| {
            let names = ours.keys().filter(|name| name.starts_with(&format!("orders-{number}/")));
            names.filter(|name| name.ends_with(".log")).max().unwrap().clone()
        })
        .into();
    for (name, _) in shared {
        assert!(!name.contains("annals.") && !name.contains(".lock") && !active.contains(name), "{name}");
    }
    assert!(report.copied_bytes < report.bytes / 4, "{report:?}");
    let independent = dir.path().join("independent");
    store.backup_builder().independent().run(&independent).unwrap();
    let inode = |root: &Path| inodes(root).into_values().collect::<Vec<_>>();
    assert!(inode(&independent).iter().all(|one| !inode(&live).contains(one)));
}

#[test]
fn a_copy_opens_as_what_the_store_was_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    let before = all_records(&store);
    let memory = store.producer_builder().durability(Durability::Memory).build().unwrap();
    memory.send(Record::to("orders").partition(0).value("in memory")).unwrap();
    let report = store.backup_builder().verify().run(dir.path().join("copy")).unwrap();
    send(&store, 100..200);
    let again = dir.path().join("again");
    annals::backup::restore(dir.path().join("copy"), &again).unwrap();
    let restored = Store::open(&again).unwrap();
    let mut expected = before;
    let end = expected[0].1.len() as i64;
    expected[0].1.push((end, None, Some(b"in memory".to_vec())));
    assert_eq!(all_records(&restored), expected);
    assert!(restored.recovery().iter().all(|partition| partition.clean));
    for partition in &report.partitions {
        let place = &partition.topic_partition;
        let there = restored.topic(place.topic()).unwrap().partition(place.partition()).unwrap();
        assert_eq!(
            (there.start(), there.end(), there.durable()),
            (partition.start, partition.end, partition.end)
        );
    }
    // Both go on, and neither sees the other.
    send(&restored, 0..50);
    send(&store, 200..300);
    let (a, b) = (all_records(&restored), all_records(&store));
    assert_eq!(a.iter().map(|(_, records)| records.len()).sum::<usize>(), 151);
    assert_eq!(b.iter().map(|(_, records)| records.len()).sum::<usize>(), 301);
    restored.close().unwrap();
    assert!(Store::verify(&again).unwrap().is_sound());
    assert!(annals::backup::verify(dir.path().join("copy")).unwrap().is_sound());
}

#[test]
fn a_later_backup_takes_from_its_parent_what_has_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (dir.path().join("monday"), dir.path().join("tuesday"));
    // Another file system than the one of the store: nothing can be linked from there.
    let elsewhere =
        tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/var/tmp" } else { "." }).unwrap();
    let store = filled(&elsewhere.path().join("live"));
    let is_one =
        std::fs::metadata(elsewhere.path()).unwrap().dev() == std::fs::metadata(dir.path()).unwrap().dev();
    if is_one {
        return;
    }
    let first = store.backup(&monday).unwrap();
    assert!(first.copied_bytes >= first.bytes, "{first:?}");
    send(&store, 100..110);
    let second = store.backup_builder().parent(&monday).run(&tuesday).unwrap();
    assert!(second.copied_bytes < second.bytes / 3, "{second:?}");
    let shared =
        inodes(&tuesday).into_iter().filter(|(name, inode)| inodes(&monday).get(name) == Some(inode));
    assert!(shared.count() > 4);
    let expected = all_records(&store);
    std::fs::remove_dir_all(&monday).unwrap();
    assert!(annals::backup::verify(&tuesday).unwrap().is_sound());
    annals::backup::restore(&tuesday, dir.path().join("again")).unwrap();
    assert_eq!(all_records(&Store::open(dir.path().join("again")).unwrap()), expected);
    // What was rewritten since is another segment.
    store.topic("orders").unwrap().erase("7").unwrap();
    let wednesday = dir.path().join("wednesday");
    store.backup_builder().parent(&tuesday).run(&wednesday).unwrap();
    annals::backup::restore(&wednesday, dir.path().join("erased")).unwrap();
    let erased = all_records(&Store::open(dir.path().join("erased")).unwrap());
    assert_eq!(erased, all_records(&store));
    assert!(erased.iter().all(|(_, records)| records.iter().all(|(_, key, _)| key.as_deref() != Some(b"7"))));
}

#[test]
fn a_file_that_is_missing_in_the_parent_is_copied_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (dir.path().join("monday"), dir.path().join("tuesday"));
    let elsewhere =
        tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/var/tmp" } else { "." }).unwrap();
    let store = filled(&elsewhere.path().join("live"));
    let first = store.backup(&monday).unwrap();
    std::fs::remove_file(monday.join("orders-0/00000000000000000000.log")).unwrap();
    let second = store.backup_builder().parent(&monday).verify().run(&tuesday).unwrap();
    assert_eq!(second.bytes, first.bytes);
    annals::backup::restore(&tuesday, dir.path().join("again")).unwrap();
    assert_eq!(all_records(&Store::open(dir.path().join("again")).unwrap()), all_records(&store));
}

#[test]
fn a_backup_of_another_store_is_no_parent() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (filled(&dir.path().join("one")), filled(&dir.path().join("other")));
    one.backup(dir.path().join("copy")).unwrap();
    let refused = other.backup_builder().parent(dir.path().join("copy")).run(dir.path().join("next"));
    assert!(matches!(refused, Err(Error::Backup { .. })), "{refused:?}");
    assert!(!dir.path().join("next").exists());
}

#[test]
fn a_restored_store_has_an_identity_of_its_own_unless_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    store.backup(dir.path().join("copy")).unwrap();
    let identity = |path: &Path| {
        let text = std::fs::read_to_string(path.join("annals.topics")).unwrap();
        text.lines().find(|line| line.starts_with("store ")).unwrap().to_owned()
    };
    annals::backup::restore(dir.path().join("copy"), dir.path().join("new")).unwrap();
    let backup = Backup::open(dir.path().join("copy")).unwrap();
    backup.restore(dir.path().join("same"), RestoreOptions::new().same_identity().independent()).unwrap();
    assert_ne!(identity(&dir.path().join("new")), identity(store.path()));
    assert_eq!(identity(&dir.path().join("same")), identity(store.path()));
    let expected = all_records(&store);
    for name in ["new", "same"] {
        assert_eq!(all_records(&Store::open(dir.path().join(name)).unwrap()), expected, "{name}");
    }
    // What belongs to the one is refused in the other.
    let other = Store::open(dir.path().join("new")).unwrap();
    other.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("new/orders-0")).unwrap();
    std::fs::rename(dir.path().join("same/orders-0"), dir.path().join("new/orders-0")).unwrap();
    let mixed = Store::open(dir.path().join("new")).unwrap();
    assert!(matches!(mixed.topic("orders"), Err(Error::Corrupt { .. })));
}

#[test]
fn a_restore_tells_how_far_it_is_and_nothing_is_left_of_one_that_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    store.backup(dir.path().join("copy")).unwrap();
    store.close().unwrap();
    let backup = Backup::open(dir.path().join("copy")).unwrap();
    let mut told = Vec::new();
    let whole = dir.path().join("whole");
    let report = backup.restore_with(&whole, RestoreOptions::new(), |so_far| {
        told.push((so_far.bytes, so_far.total_bytes));
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(
        told.len() > 2 && told.iter().all(|(bytes, total)| bytes <= total && *total == report.bytes),
        "{told:?}"
    );
    assert_eq!(told.last(), Some(&(report.bytes, report.bytes)));
    let mut steps = 0;
    let ended = backup.restore_with(dir.path().join("half"), RestoreOptions::new().independent(), |_| {
        steps += 1;
        if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    assert_eq!((steps, dir.path().join("half").exists()), (3, false));
}

#[test]
fn damage_and_missing_files_of_a_backup_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    let copy = dir.path().join("copy");
    store.backup_builder().independent().run(&copy).unwrap();
    store.close().unwrap();
    assert!(annals::backup::verify(&copy).unwrap().is_sound());
    let name = "orders-0/00000000000000000000.log";
    let bytes = std::fs::read(copy.join(name)).unwrap();
    let mut flipped = bytes.clone();
    flipped[80] ^= 1;
    std::fs::write(copy.join(name), &flipped).unwrap();
    assert!(!annals::backup::verify(&copy).unwrap().is_sound());
    std::fs::write(copy.join(name), &bytes).unwrap();
    assert!(annals::backup::verify(&copy).unwrap().is_sound());
    // Files of an earlier moment are sound by themselves, and are not those of the list.
    let other = dir.path().join("other");
    let store = Store::open(dir.path().join("live")).unwrap();
    send(&store, 100..120);
    store.backup_builder().independent().run(&other).unwrap();
    std::fs::remove_dir_all(copy.join("orders-1")).unwrap();
    std::fs::rename(other.join("orders-1"), copy.join("orders-1")).unwrap();
    assert!(!annals::backup::verify(&copy).unwrap().is_sound());
    assert!(matches!(annals::backup::restore(&copy, dir.path().join("no")), Err(Error::Corrupt { .. })));
    assert!(!dir.path().join("no").exists());
}

#[test]
fn a_topic_that_is_deleted_while_it_is_copied_is_not_in_the_backup_and_what_is_left_out_is_not_either() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    for name in ["a-first", "passing", "zuletzt"] {
        store.create_topic(name, TopicConfig::new()).unwrap();
        store.producer().send(Record::to(name).value("x")).unwrap();
    }
    let mut is_deleted = false;
    let report = store
        .backup_builder()
        .leave_out(["a-first"])
        .progress(|_| {
            if !std::mem::replace(&mut is_deleted, true) {
                store.delete_topic("passing").unwrap();
            }
            std::ops::ControlFlow::Continue(())
        })
        .verify()
        .run(dir.path().join("copy"))
        .unwrap();
    assert_eq!(report.deleted, ["passing"]);
    annals::backup::restore(dir.path().join("copy"), dir.path().join("again")).unwrap();
    let restored = Store::open(dir.path().join("again")).unwrap();
    let names: Vec<_> = restored.topics().iter().map(|topic| topic.name().to_owned()).collect();
    assert_eq!(names, ["orders", "zuletzt"]);
    assert_eq!(records(&restored.topic("zuletzt").unwrap().partition(0).unwrap()).len(), 1);
}

#[test]
fn what_was_undecided_at_the_cut_is_aborted_in_the_copy_and_decided_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    let named = store.named_producer("shop").unwrap();
    let orders = store.topic("orders").unwrap();
    let once = [Record::new().value("once")];
    named.append(&orders.partition(0).unwrap(), 0, &once, Durability::Os).unwrap();
    let before = all_records(&store);
    let mut open = store.transaction_builder("open").buffer_bytes(1).begin().unwrap();
    open.send(Record::to("orders").partition(0).value("from")).unwrap();
    open.send(Record::to("orders").partition(1).value("to")).unwrap();
    store.backup(dir.path().join("copy")).unwrap();
    open.commit().unwrap();
    let mut after = before.clone();
    for (number, value) in ["from", "to"].into_iter().enumerate() {
        let next = after[number].1.last().unwrap().0 + 1;
        after[number].1.push((next, None, Some(value.as_bytes().to_vec())));
    }
    assert_eq!(all_records(&store), after);
    annals::backup::restore(dir.path().join("copy"), dir.path().join("again")).unwrap();
    let restored = Store::open(dir.path().join("again")).unwrap();
    assert_eq!(all_records(&restored), before);
    // Who it was that has sent is known, too.
    let again = restored.named_producer("shop").unwrap();
    let orders = restored.topic("orders").unwrap().partition(0).unwrap();
    assert_eq!(again.last_sequence(&orders), Some(0));
    assert!(again.append(&orders, 0, &once, Durability::Os).unwrap().is_duplicate);
}

#[test]
fn who_is_told_ends_a_wait_for_the_pace() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir.path().join("live"));
    store.backup(dir.path().join("copy")).unwrap();
    store.close().unwrap();
    let backup = Backup::open(dir.path().join("copy")).unwrap();
    let mut last = None;
    let slow = RestoreOptions::new().independent().max_bytes_per_second(10_000);
    let ended = backup.restore_with(dir.path().join("slow"), slow, |so_far| {
        let is_waiting = last.replace(so_far.copied_bytes) == Some(so_far.copied_bytes);
        if is_waiting { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}");
    assert!(!dir.path().join("slow").exists());
}

/// Neither the one nor the other ended it: a close waited until all of the backup was read.
#[test]
fn who_is_told_and_who_closes_the_store_end_the_reading_back_of_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    for is_closed in [false, true] {
        let (live, copy) = (dir.path().join(format!("live-{is_closed}")), dir.path().join("copy"));
        let store = filled(&live);
        let (closer, mut told) = (store.clone(), 0);
        let builder = store.backup_builder().verify().progress(|_| {
            let is_read_back = copy.join("annals.backup").exists();
            told += u32::from(is_read_back);
            match is_read_back && told > 1 {
                true if is_closed => {
                    closer.clone().close().map_or(ControlFlow::Break(()), ControlFlow::Continue)
                }
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let ended = builder.run(&copy);
        match is_closed {
            true => assert!(matches!(ended, Err(Error::StoreClosed { .. })), "{ended:?}"),
            false => assert!(matches!(ended, Err(Error::Cancelled { .. })), "{ended:?}"),
        }
        assert!(!copy.exists());
        assert!(told < 4, "{told}");
    }
}

/// The backup was read back with the limit of a store that is opened as it comes, and removed.
#[test]
fn a_batch_that_its_store_reads_was_too_large_for_the_backup() {
    const LARGE: u32 = 65 << 20;
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let most = 2 * LARGE as usize;
    let store = Store::builder(dir.path().join("live")).max_expanded_bytes(most).open().unwrap();
    let config = TopicConfig::new().compression_type(Codec::Zstd).max_message_bytes(LARGE + 1000);
    store.create_topic("orders", config).unwrap();
    store.producer().send(Record::to("orders").value(&vec![0; LARGE as usize])).unwrap();
    let report = store.backup_builder().verify().run(&copy).unwrap();
    assert!(report.bytes < 1 << 20, "{report:?}");
    let backup = || Backup::open(&copy).unwrap();
    let refused = backup().verify(|_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(Error::BatchTooLarge { .. })), "{refused:?}");
    assert!(backup().max_expanded_bytes(most).verify(|_| ControlFlow::Continue(())).unwrap().is_sound());
}

/// What stood behind the records of the list was left out, and nobody was told.
#[test]
fn a_file_of_a_backup_that_has_become_longer_was_restored() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let store = filled(&dir.path().join("live"));
    store.backup_builder().independent().run(&copy).unwrap();
    let mut logs: Vec<_> = inodes(&copy.join("orders-0")).into_keys().collect();
    logs.retain(|name| name.ends_with(".log"));
    for name in [logs.first().unwrap(), logs.last().unwrap()] {
        let path = copy.join("orders-0").join(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&before[..], b"more"].concat()).unwrap();
        match annals::backup::restore(&copy, dir.path().join("again")) {
            Err(Error::Corrupt { path: told, position, .. }) => {
                assert_eq!((told, position), (path.clone(), before.len() as u64));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(!dir.path().join("again").exists());
        std::fs::write(&path, before).unwrap();
    }
    annals::backup::restore(&copy, dir.path().join("again")).unwrap();
}
