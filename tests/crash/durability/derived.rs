//! Files that can be made again stop nobody: no byte is free for them, or they cannot be removed.

use annals::io::OpenMode;
use annals::{ReadMode, StoreReader};

use super::*;
use crate::common::spawn;

fn send(store: &Store, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let key = if number % 2 == 0 { "one" } else { &value_of(number) };
        store.producer().send(Record::to(TOPIC).key(key).value(&value_of(number))).unwrap();
    }
}

fn indexed() -> TopicConfig {
    small_segments().cleanup_policy(CleanupPolicy::Compact).key_index(true)
}

#[test]
fn a_key_index_that_cannot_be_removed_stops_no_compaction_and_no_first_append() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let topic = store.create_topic(TOPIC, indexed()).unwrap();
    send(&store, 0..200);
    // So that there are some.
    assert!(topic.get("one").unwrap().is_some());
    topic.compact().unwrap();
    assert!(!files_of(dir.path(), "orders-0", ".keyindex").is_empty());
    files.fail(&[Call::Remove], ".keyindex", (0, Times::ForEver), Fault::Error(EIO));
    send(&store, 200..400);
    topic.compact().unwrap();
    send(&store, 400..402);
    assert_eq!(topic.get("one").unwrap().unwrap().value.unwrap(), value_of(400).into_bytes());
    assert_eq!(topic.get(value_of(7)).unwrap().unwrap().offset, 7);
    // Killed between the new table and the new name: the next life gives it.
    for nth in 0..3 {
        let copy = fast_dir();
        let (inner, held) = (FaultyFileSystem::new(), fast_dir());
        copy_dir(dir.path(), copy.path());
        let life = on_faulty(copy.path(), &inner).open().unwrap();
        send(&life, 402..500);
        inner.fail(&[Call::Rename], ".cleaned", (nth, Times::ForEver), Fault::Error(EIO));
        drop(life.topic(TOPIC).unwrap().compact());
        copy_dir(copy.path(), held.path());
        let next = FaultyFileSystem::new();
        next.fail(&[Call::Remove], ".keyindex", (0, Times::ForEver), Fault::Error(EIO));
        let again = on_faulty(held.path(), &next).open().unwrap();
        send(&again, 500..501);
        let last = again.topic(TOPIC).unwrap().get("one").unwrap().unwrap();
        assert_eq!(last.value.unwrap(), value_of(500).into_bytes(), "{nth}");
    }
}

/// What it is to forget stands in no file when it returns: it says so when one cannot be removed, and does it when called again.
#[test]
fn an_erasure_leaves_no_key_index_of_what_was_erased() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let topic = store.create_topic(TOPIC, indexed()).unwrap();
    send(&store, 0..200);
    assert!(topic.get("one").unwrap().is_some());
    topic.compact().unwrap();
    // Of the segment that holds it.
    let of_it = files_of(dir.path(), "orders-0", ".keyindex").swap_remove(0);
    let old = std::fs::read(&of_it).unwrap();
    store.alter_topic(TOPIC, TopicConfig::new().key_index(false)).unwrap();
    files.fail(&[Call::Remove], ".keyindex", (0, Times::ForEver), Fault::Error(EIO));
    let key = value_of(7);
    assert!(matches!(topic.erase(&key), Err(Error::Io { .. })), "a file tells of it");
    files.heal();
    topic.erase(&key).unwrap();
    assert!(std::fs::read(&of_it).map_or(true, |left| left != old), "the old one is left");
    send(&store, 200..201);
}

#[test]
fn a_store_without_index_files_opens_and_is_read_with_no_byte_free() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, indexed()).unwrap();
    send(&store, 0..300);
    let config = TopicConfig::new().partitions(2);
    store.create_topic("plain", config).unwrap();
    let mut tx = store.transaction("step").unwrap();
    tx.send(Record::to("plain").partition(0).value("1")).unwrap();
    tx.commit().unwrap();
    for kind in ["closed", "killed"] {
        let copy = if kind == "closed" {
            let copy = fast_dir();
            copy_dir(dir.path(), copy.path());
            by_hand(copy.path()).open().unwrap().close().unwrap();
            copy
        } else {
            let copy = fast_dir();
            copy_dir(dir.path(), copy.path());
            copy
        };
        for partition in ["orders-0", "plain-0", "plain-1"] {
            for suffix in ["index", ".snapshot"] {
                for file in files_of(copy.path(), partition, suffix) {
                    std::fs::remove_file(file).unwrap();
                }
            }
        }
        let files = FaultyFileSystem::watching_order();
        let calls = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];
        files.fail(&calls, "", (0, Times::ForEver), Fault::Error(ENOSPC));
        let full = on_faulty(copy.path(), &files).open().unwrap();
        let topic = full.topic(TOPIC).unwrap();
        assert_eq!(records(&topic.partition(0).unwrap()).len(), 300, "{kind}");
        assert_eq!(topic.get("one").unwrap().unwrap().value.unwrap(), value_of(298).into_bytes(), "{kind}");
        let refused = full.producer().send(Record::to(TOPIC).key("one").value("x"));
        assert!(refused.is_err_and(|error| error.is_disk_full()), "{kind}");
        files.heal();
        full.producer().send(Record::to(TOPIC).key("one").value("x")).unwrap();
        full.close().unwrap();
    }
}

#[test]
fn commits_of_other_processes_hold_after_an_open_with_no_byte_free_and_where_nobody_can_attach() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    send(&store, 0..10);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe([TOPIC]).unwrap();
    billing.commit_offsets([((TOPIC, 0).into(), 3)]).unwrap();
    store.close().unwrap();
    billing.commit_offsets([((TOPIC, 0).into(), 7)]).unwrap();
    drop((billing, reader));
    let committed = |store: &Store| store.committed("billing")[&(TOPIC, 0).into()].offset;
    // Nobody writes it: what is not folded is seen all the same.
    let looked_at = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(looked_at.committed("billing")[&(TOPIC, 0).into()].offset, 7);
    assert_eq!(looked_at.lag("billing").lag(), 3);
    drop(looked_at);
    // These files cannot be shared: no process can attach.
    let files = FaultyFileSystem::watching_order();
    let calls = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];
    files.fail(&calls, "", (0, Times::ForEver), Fault::Error(ENOSPC));
    let full = on_faulty(dir.path(), &files).open().unwrap();
    assert_eq!(records(&full.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 10);
    // It is not given to a consumer that would begin where an earlier commit was.
    let refused = full.consumer("billing");
    assert!(refused.is_err_and(|error| error.is_disk_full()));
    assert!(full.consumer("others").is_err_and(|error| error.is_disk_full()));
    files.heal();
    let mut home = full.consumer("billing").unwrap();
    home.subscribe([TOPIC]).unwrap();
    assert_eq!((committed(&full), home.poll(Duration::ZERO).unwrap().len()), (7, 3));
    home.commit().unwrap();
    drop(home);
    full.close().unwrap();
    // Folded once: it does not come back over what was committed at home.
    assert_eq!(committed(&by_hand(dir.path()).open().unwrap()), 10);
}

#[test]
fn a_topic_that_has_grown_says_so_after_any_failure_of_its_growth() {
    let mut refused = 0;
    for nth in 0..40 {
        for times in [Times::Once, Times::ForEver] {
            let dir = fast_dir();
            let files = FaultyFileSystem::watching_order();
            let store = on_faulty(dir.path(), &files).open().unwrap();
            store.create_topic(TOPIC, small_segments()).unwrap();
            send(&store, 0..4);
            let all = [Call::Create, Call::CreateDir, Call::Write, Call::Rename, Call::Sync, Call::SyncDir];
            files.fail(&all, "", (nth, times), Fault::Error(EIO));
            let grown = store.add_partitions(TOPIC, 3);
            files.heal();
            refused += usize::from(grown.is_err());
            drop(store);
            let again = by_hand(dir.path()).open().unwrap();
            let topic = again.topic(TOPIC).unwrap();
            assert!(grown.is_err() || topic.partition_count() == 3);
            let index = again.alter_topic(TOPIC, TopicConfig::new().key_index(true));
            // The events of a key would be in two partitions.
            assert_eq!(index.is_err(), topic.partition_count() == 3, "{nth} {times:?}: {index:?}");
        }
    }
    assert!(refused > 12, "{refused}");
}

/// The owner takes over what was committed elsewhere: into the topic, durably, and then out of the spool. A failure at any of it, for
/// once or for good, leaves the commits where they are, or has taken them over.
#[test]
fn a_fold_that_fails_at_any_call_loses_no_commit_and_takes_none_back() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    send(&store, 0..10);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe([TOPIC]).unwrap();
    store.close().unwrap();
    for offset in [3, 7] {
        billing.commit_offsets([((TOPIC, 0).into(), offset)]).unwrap();
    }
    drop((billing, reader));
    let committed = |store: &Store| store.committed("billing")[&(TOPIC, 0).into()].offset;
    let (mut failed, mut reached) = (0, 0);
    let all = [Call::Open, Call::Create, Call::Write, Call::Rename, Call::Sync, Call::SyncDir, Call::Remove];
    let kinds = [(EIO, Times::Once), (EIO, Times::ForEver), (ENOSPC, Times::ForEver)];
    for (fault, times) in kinds.map(|(errno, times)| (Fault::Error(errno), times)) {
        for nth in 0..60 {
            let copy = fast_dir();
            copy_dir(dir.path(), copy.path());
            let files = FaultyFileSystem::new();
            files.fail(&all, "", (nth, times), fault.clone());
            let what = format!("{fault:?} {times:?} {nth}");
            let commits_on = match on_faulty(copy.path(), &files).open() {
                Ok(store) => {
                    files.heal();
                    reached += 1;
                    // A group that is used begins behind what was committed elsewhere, or not at all.
                    let home = store.consumer("billing").and_then(|mut home| {
                        home.subscribe([TOPIC])?;
                        home.commit_offsets([((TOPIC, 0).into(), 9)]).map(|()| home.committed((TOPIC, 0)))
                    });
                    drop(store);
                    home.is_ok()
                }
                Err(_) => {
                    failed += 1;
                    false
                }
            };
            let again = by_hand(copy.path()).open().unwrap();
            let expected = if commits_on { 9 } else { 7 };
            assert_eq!(committed(&again), expected, "{what}");
            drop(again);
            // Nothing of it comes back later.
            assert_eq!(committed(&by_hand(copy.path()).open().unwrap()), expected, "{what}");
        }
    }
    assert!(failed > 10 && reached > 100, "{failed} {reached}");
}

/// A process has committed for the disk what its owner had in the cache alone, and a power cut took it. Whatever keeps the open from setting the
/// commit back: what is sent in the place of those records is not taken for read.
#[test]
fn records_sent_below_a_commit_elsewhere_that_could_not_be_folded_are_not_taken_for_read() {
    let (dir, killed) = (fast_dir(), fast_dir());
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    send(&store, 0..6);
    store.producer().flush().unwrap();
    let log = files_of(dir.path(), "orders-0", ".log").pop().unwrap();
    let early = std::fs::read(&log).unwrap();
    send(&store, 6..10);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let durable = reader.consumer_builder().group("billing").commit_durability(Durability::Disk);
    let mut billing = durable.build().unwrap();
    billing.subscribe([TOPIC]).unwrap();
    billing.commit_offsets([((TOPIC, 0).into(), 10)]).unwrap();
    drop((billing, reader));
    crate::common::kill_and_copy(store, dir.path(), killed.path());
    std::fs::write(killed.path().join(log.strip_prefix(dir.path()).unwrap()), early).unwrap();
    let committed = |store: &Store| store.committed("billing").get(&(TOPIC, 0).into()).map(|at| at.offset);
    let made = [Call::Create, Call::CreateDir];
    let (of_topic, of_spool) = ("__consumer_offsets", "annals.spool");
    let cases: [(&[Call], &str, bool); 3] =
        [(&made, of_topic, false), (&made, "", true), (&[Call::Open], of_spool, true)];
    for (calls, path, refuses) in cases {
        let dir = fast_dir();
        copy_dir(killed.path(), dir.path());
        let files = FaultyFileSystem::new();
        files.fail(calls, path, (0, Times::ForEver), Fault::Error(ENOSPC));
        let store = on_faulty(dir.path(), &files).open().unwrap();
        assert_eq!(store.topic(TOPIC).unwrap().partition(0).unwrap().end(), 6, "{path}");
        let sent = store.producer().send(Record::to(TOPIC).value("six"));
        assert_eq!(sent.is_err(), refuses, "{path}: {sent:?}");
        if path != of_spool {
            assert_eq!(committed(&store), Some(6), "{path}: it cannot be folded, and holds");
            assert_eq!(store.groups(), ["billing"], "{path}");
        }
        files.heal();
        send(&store, 10..20);
        assert_eq!(committed(&store), Some(6), "{path}");
        let mut home = store.consumer("billing").unwrap();
        home.subscribe([TOPIC]).unwrap();
        let polled = home.poll(std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(polled.iter().next().map(|record| record.offset()), Some(6), "{path}");
        drop((home, store));
        let again = by_hand(dir.path()).open().unwrap();
        assert_eq!(committed(&again), Some(6), "{path}");
    }
    // Killed behind the first append, with the commit still in the spool.
    let (dir, left) = (fast_dir(), fast_dir());
    copy_dir(killed.path(), dir.path());
    let files = FaultyFileSystem::new();
    files.fail(&made, of_topic, (0, Times::ForEver), Fault::Error(ENOSPC));
    let store = on_faulty(dir.path(), &files).open().unwrap();
    send(&store, 10..20);
    crate::common::kill_and_copy(store, dir.path(), left.path());
    assert_eq!(committed(&by_hand(left.path()).open().unwrap()), Some(6));
}

/// A store that another process has left, on a disk that can lose power.
fn on_a_disk_that_loses_power(from: &Path) -> annals_testing::PowerCutFileSystem {
    let machine = annals_testing::PowerCutFileSystem::new();
    let files = machine.shared();
    let put = |from: &Path, to: &Path| {
        files.create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                let file = files.open(&to.join(entry.file_name()), OpenMode::CreateNew).unwrap();
                assert_eq!(file.write_at(&bytes, 0).unwrap(), bytes.len());
                file.sync_data().unwrap();
            }
        }
        files.sync_dir(to).unwrap();
    };
    put(from, Path::new("/store"));
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            put(&entry.path(), &Path::new("/store").join(entry.file_name()));
        }
    }
    files.sync_dir(Path::new("/store")).unwrap();
    files.sync_dir(Path::new("/")).unwrap();
    machine
}

/// What is taken out of the spool is durable where it was put.
#[test]
fn a_commit_that_was_folded_survives_a_power_cut() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    send(&store, 0..10);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe([TOPIC]).unwrap();
    store.close().unwrap();
    billing.commit_offsets([((TOPIC, 0).into(), 7)]).unwrap();
    drop((billing, reader));
    let machine = on_a_disk_that_loses_power(dir.path());
    let open = |files| Store::builder("/store").file_system(files).maintain_by_hand().open().unwrap();
    let store = open(machine.shared());
    for seed in 0..30 {
        let again = open(machine.cut_power(seed).shared());
        assert_eq!(again.committed("billing")[&(TOPIC, 0).into()].offset, 7, "seed {seed}");
    }
    drop(store);
}

/// Where the indexes are gone the whole log is read, which may take minutes.
#[test]
fn nobody_who_appends_waits_while_a_compaction_finds_out_what_was_aborted() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(TOPIC, small_segments().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    for round in 0..20 {
        send(&store, round * 20..round * 20 + 20);
        let mut tx = store.transaction_builder("bank").buffer_bytes(0).begin().unwrap();
        tx.send(Record::to(TOPIC).partition(0).key("one").value("aborted")).unwrap();
        tx.abort().unwrap();
    }
    store.close().unwrap();
    let indexes = files_of(dir.path(), "orders-0", ".txnindex");
    assert!(indexes.len() > 5, "{indexes:?}");
    indexes.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).read_mode(ReadMode::Positional).open().unwrap();
    send(&store, 400..401);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Read], ".log", (3, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let topic = store.topic(TOPIC).unwrap();
    let compaction = spawn(move || topic.compact().map(drop));
    gate.await_arrival();
    let (sent, done) = std::sync::mpsc::channel();
    let sender = spawn(move || {
        send(&store, 401..402);
        sent.send(store).unwrap();
    });
    let store = done.recv_timeout(Duration::from_secs(20)).expect("the compaction has the writer's lock");
    gate.open();
    sender.join().unwrap();
    compaction.join().unwrap().unwrap();
    let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
    assert!(found.iter().all(|(_, value)| value != b"aborted") && found.last().unwrap().0 >= 420);
    store.close().unwrap();
}
