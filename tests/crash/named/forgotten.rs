//! Short lives after which a partition had forgotten a named producer.
#![expect(clippy::disallowed_methods, reason = "the tests meddle with the files as somebody else would")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::{Durability, Partition, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use super::life::{Do, Kind, Life, Step, Then};
use crate::common::{by_hand, copy_dir, fast_dir, files_of};

const SENT: Do = Do::Append { name: 0, key: "k", is_old: false, durability: Durability::Disk };
const OLD: Do = Do::Append { name: 0, key: "k", is_old: true, durability: Durability::Disk };
const OTHER: Do = Do::Append { name: 1, key: "k", is_old: false, durability: Durability::Disk };
const PLAIN: Do = Do::Plain { bytes: 1, durability: Durability::Os };
const DELETED: Do = Do::Delete { but: 0 };

fn go_on(what: Do) -> Step {
    (what, Then::GoOn)
}

#[track_caller]
fn live(kind: Kind, word: &[Step]) {
    let mut life = Life::begin(kind);
    for (number, step) in word.iter().enumerate() {
        life.step(*step).unwrap_or_else(|why| panic!("step {number} of {word:?}: {why}"));
    }
}

#[test]
fn a_close_that_is_killed_forgets_no_name_whose_records_were_deleted() {
    for at in 0..30 {
        for then in [Then::Kill(at), Then::Cut(at)] {
            live(Kind::Kept, &[go_on(SENT), go_on(DELETED), (Do::Close, then), go_on(SENT)]);
        }
    }
}

#[test]
fn a_close_on_a_full_disk_forgets_no_name_whose_records_were_deleted() {
    for calls in [&[Call::Create, Call::CreateDir, Call::Write, Call::Allocate][..], &[Call::Write]] {
        let files = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
        let open = || Store::builder("/store").file_system(files.clone()).maintain_by_hand().open().unwrap();
        let paid = [Record::new().value("paid")];
        let store = open();
        let partition = store.create_topic("readings", TopicConfig::new()).unwrap().partition(0).unwrap();
        store.named_producer("sensor").unwrap().append(&partition, 0, &paid, Durability::Disk).unwrap();
        partition.delete_records(1).unwrap();
        files.fail(calls, "", (0, Times::ForEver), Fault::Error(28));
        assert!(store.close().unwrap_err().is_disk_full());
        drop(store);
        files.heal();
        let store = open();
        let partition = readings(&store);
        let sensor = store.named_producer("sensor").unwrap();
        assert_eq!(sensor.last_sequence(&partition), Some(0));
        assert!(sensor.append(&partition, 0, &paid, Durability::Disk).unwrap().is_duplicate);
    }
}

#[test]
fn what_a_crash_left_and_a_deletion_took_is_known_after_the_next_crash() {
    let synced = Do::Plain { bytes: 1, durability: Durability::Disk };
    for then in [Then::Kill(100), Then::Cut(100)] {
        let crashed = [go_on(SENT), (PLAIN, Then::Kill(100))];
        let after = [(Do::End, then), go_on(SENT)];
        let deleted = [go_on(Do::Delete { but: 1 })];
        live(Kind::Kept, &[&crashed[..], &deleted, &after].concat());
        let retained = [go_on(Do::Wait), go_on(synced), go_on(Do::Retain)];
        live(Kind::Aged, &[&crashed[..], &retained, &after].concat());
    }
}

#[test]
fn what_a_killed_compaction_sealed_and_an_erasure_took_is_known_after_the_next_crash() {
    for at in 0..30 {
        for then in [Then::Kill(100), Then::Cut(100)] {
            let word = [
                go_on(SENT),
                go_on(OTHER),
                (Do::Compact, Then::Kill(at)),
                go_on(Do::Erase),
                (Do::End, then),
                go_on(SENT),
            ];
            live(Kind::Compacted, &word);
        }
    }
}

#[test]
fn a_name_that_sends_old_records_is_known_after_a_killed_close() {
    let but_one = Do::Delete { but: 1 };
    for at in 0..30 {
        let word = [
            go_on(OTHER),
            go_on(OLD),
            go_on(but_one),
            (Do::Close, Then::Kill(at)),
            go_on(Do::Plain { bytes: 1, durability: Durability::Os }),
            go_on(Do::Close),
            go_on(OTHER),
            go_on(DELETED),
            go_on(OLD),
        ];
        live(Kind::Kept, &word);
    }
}

#[test]
fn a_snapshot_is_named_by_no_state_file_before_its_name_is_on_the_disk() {
    let crashed = [go_on(SENT), (PLAIN, Then::Kill(100))];
    for at in 0..60 {
        for number in 0..12 {
            let mut life = Life::begin(Kind::Kept);
            life.fates = number;
            let word = [&crashed[..], &[(Do::Delete { but: 1 }, Then::Cut(at))]].concat();
            word.iter()
                .for_each(|step| life.step(*step).unwrap_or_else(|why| panic!("{at}, {number}: {why}")));
        }
    }
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    files_of(dir, "readings-0", ".snapshot")
}

fn readings(store: &Store) -> Partition {
    store.topic("readings").unwrap().partition(0).unwrap()
}

fn send(store: &Store, number: i32, record: Record<'_>) -> bool {
    let partition = readings(store);
    let sensor = store.named_producer("sensor").unwrap();
    sensor.append(&partition, number, &[record], Durability::Disk).unwrap().is_duplicate
}

fn send_other(store: &Store) {
    let partition = readings(store);
    partition.append(&[Record::new().value("other")], Durability::Disk).unwrap();
}

fn last(store: &Store) -> Option<i32> {
    let partition = readings(store);
    store.named_producer("sensor").unwrap().last_sequence(&partition)
}

fn lost(store: &Store) -> bool {
    store.recovery().iter().any(|partition| partition.lost_snapshot.is_some())
}

fn new_store(dir: &Path) -> Store {
    let store = by_hand(dir).open().unwrap();
    store.create_topic("readings", TopicConfig::new()).unwrap();
    store
}

#[test]
fn a_snapshot_that_is_gone_or_damaged_is_told_and_what_the_log_has_is_known() {
    for kind in ["removed", "damaged"] {
        let dir = fast_dir();
        let store = new_store(dir.path());
        // Long ago, by the time that they bear.
        for number in 0..6 {
            assert!(!send(&store, number, Record::new().value("v").timestamp(5)));
        }
        // All of them stand below the snapshot that is named.
        readings(&store).delete_records(1).unwrap();
        send_other(&store);
        store.close().unwrap();
        drop(store);
        for snapshot in snapshots(dir.path()) {
            match kind {
                "removed" => std::fs::remove_file(snapshot).unwrap(),
                _ => std::fs::write(snapshot, [0, 1, 2]).unwrap(),
            }
        }
        for reopened in 0..3 {
            let store = by_hand(dir.path()).open().unwrap();
            assert_eq!((lost(&store), last(&store)), (reopened == 0, Some(5)), "{kind}");
            // A roll forgets who has written nothing for a week.
            send_other(&store);
            let partition = readings(&store);
            partition.delete_records(partition.end()).unwrap();
            assert!(send(&store, 5, Record::new().value("v").timestamp(5)), "{kind}");
            store.close().unwrap();
        }
    }
}

#[test]
fn a_snapshot_that_only_a_crash_would_need_is_made_again_before_one_can_come() {
    let dir = fast_dir();
    let store = new_store(dir.path());
    send(&store, 0, Record::new().value("v"));
    let partition = readings(&store);
    partition.delete_records(1).unwrap();
    partition.append(&[Record::new().value("other")], Durability::Disk).unwrap();
    store.close().unwrap();
    drop((partition, store));
    let named = snapshots(dir.path()).into_iter().find(|path| path.ends_with(format!("{:020}.snapshot", 1)));
    std::fs::remove_file(named.unwrap()).unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    assert_eq!((lost(&store), last(&store)), (false, Some(0)));
    readings(&store).append(&[Record::new().value("x")], Durability::Os).unwrap();
    let killed = fast_dir();
    copy_dir(dir.path(), killed.path());
    let store = by_hand(killed.path()).open().unwrap();
    assert_eq!((lost(&store), last(&store)), (false, Some(0)));
}

/// A store that was killed: what a named producer sent lies in the oldest segment, or was deleted, many follow, and no sync has reached the tail.
fn killed_store(is_deleted: bool) -> tempfile::TempDir {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("readings", TopicConfig::new().segment_bytes(1000).retention_bytes(5000)).unwrap();
    send(&store, 0, Record::new().value("v"));
    if is_deleted {
        readings(&store).delete_records(1).unwrap();
    }
    for _ in 0..100 {
        send_other(&store);
    }
    readings(&store).append(&[Record::new().value("tail")], Durability::Os).unwrap();
    let killed = fast_dir();
    copy_dir(dir.path(), killed.path());
    killed
}

#[test]
fn what_went_after_an_open_that_had_lost_a_snapshot_was_all_that_told_of_a_name() {
    for is_retention in [false, true] {
        let dir = killed_store(false);
        snapshots(dir.path()).into_iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let store = by_hand(dir.path()).open().unwrap();
        let partition = readings(&store);
        assert!(lost(&store));
        if is_retention {
            store.topic("readings").unwrap().apply_retention().unwrap();
        } else {
            partition.delete_records(50).unwrap();
        }
        assert!(partition.start() > 10);
        let killed = fast_dir();
        copy_dir(dir.path(), killed.path());
        let store = by_hand(killed.path()).open().unwrap();
        assert_eq!((lost(&store), last(&store)), (false, Some(0)), "{is_retention}");
        assert!(send(&store, 0, Record::new().value("v")));
    }
}

#[test]
fn a_full_disk_removed_the_snapshot_that_told_of_a_name_instead_of_one_that_was_lost() {
    let dir = killed_store(true);
    let mut found = snapshots(dir.path());
    found.sort();
    assert!(found.len() > 1);
    std::fs::remove_file(found.pop().unwrap()).unwrap();
    let disk = FaultyFileSystem::new();
    let store = by_hand(dir.path()).file_system(disk.clone()).open().unwrap();
    assert!(lost(&store));
    disk.fail(&[Call::Create, Call::Write], "readings-0", (0, Times::ForEver), Fault::Error(28));
    let other = [Record::new().value("no room")];
    assert!(readings(&store).append(&other, Durability::Os).unwrap_err().is_disk_full());
    assert!(readings(&store).delete_records(50).unwrap_err().is_disk_full());
    assert_eq!(readings(&store).start(), 1, "nothing goes before another snapshot is named");
    disk.heal();
    let killed = fast_dir();
    copy_dir(dir.path(), killed.path());
    let store = by_hand(killed.path()).open().unwrap();
    assert_eq!((lost(&store), last(&store)), (true, Some(0)));
}

#[test]
fn a_repair_forgets_no_name_whose_records_had_left_the_log() {
    let dir = fast_dir();
    let store = new_store(dir.path());
    send(&store, 0, Record::new().value("v"));
    let partition = readings(&store);
    partition.delete_records(1).unwrap();
    for number in 0..9 {
        partition.append(&[Record::new().value(&format!("other {number}"))], Durability::Disk).unwrap();
    }
    store.close().unwrap();
    drop((partition, store));
    let log = files_of(dir.path(), "readings-0", ".log").pop().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(log, bytes).unwrap();
    by_hand(dir.path()).repair(fast_dir().path().join("copies")).unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    assert_eq!((lost(&store), last(&store)), (false, Some(0)));
    assert!(send(&store, 0, Record::new().value("v")));
    drop(store);
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}
