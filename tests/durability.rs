//! What is promised when a call returns, and what is left when a call of the operating system fails: through the seam.
//!
//! `ANNALS_FAULTS=all` lets every call of the workload fail; by default every call fails once and every third one for
//! ever. Directories are in `/dev/shm` where there is one: what is tested here is the order of calls, not the disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod common;
#[cfg(test)]
#[path = "durability/panics.rs"]
mod panics;
#[cfg(test)]
#[path = "durability/refused.rs"]
mod refused;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Error, Offset, Record, Store, TopicConfig, TopicPartition};

use annals_testing::{Call, Done, Fault, FaultyFileSystem, Gate, Times};
use common::{
    TOPIC, batch_ends, by_hand, copy_dir, fast_dir, files_of, kill_and_copy, on_faulty, producer, records,
    small_segments, value_of,
};

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

#[test]
fn a_send_at_disk_returns_after_the_syncs_it_needs() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    let producer = producer(&store, Durability::Disk);
    let mut rolls = 0;
    for number in 0..200 {
        files.forget();
        producer.send(Record::to(TOPIC).value(&value_of(number))).unwrap();
        let trace = files.trace();
        let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
        let write = trace.iter().rposition(|done| done.call == Call::Write && is_log(&done.path)).unwrap();
        let synced = trace[write..]
            .iter()
            .any(|done| done.call == Call::Sync && done.path == trace[write].path && !done.failed);
        assert!(synced, "record {number}: no sync behind the write: {trace:#?}");
        if let Some(created) = trace.iter().position(|done| done.call == Call::Create && is_log(&done.path)) {
            rolls += 1;
            let parent = trace[created].path.parent().unwrap();
            let named = trace[created..].iter().any(|done| done.call == Call::SyncDir && done.path == parent);
            assert!(named, "record {number}: the name of the new segment is not synced: {trace:#?}");
        }
    }
    assert!(rolls > 2, "{rolls} rolls");
    assert_eq!(store.topic(TOPIC).unwrap().partition(0).unwrap().durable(), 200);
}

#[test]
fn a_new_topic_and_its_directory_are_synced_before_create_returns() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(&root, &files).open().unwrap();
    assert_eq!(
        files.count(Call::SyncDir, &dir.path().to_string_lossy()),
        3,
        "the store's directory, its file, and the list as it was found"
    );
    files.forget();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let trace = files.trace();
    let at = |call: Call, path: &Path| {
        trace.iter().rposition(|done| done.call == call && done.path == path).unwrap()
    };
    let partition = root.join("orders-0");
    let named_in_partition = at(Call::SyncDir, &partition);
    let listed = at(Call::Rename, &root.join("annals.topics"));
    assert!(at(Call::Rename, &partition.join("annals.state")) < named_in_partition);
    let root_synced = trace.iter().position(|done| done.call == Call::SyncDir && done.path == root).unwrap();
    assert!(named_in_partition < root_synced && root_synced < listed && listed < at(Call::SyncDir, &root));
}

/// Whoever comes next finds the directory, and cannot see that its name was never synced.
#[test]
fn a_store_whose_making_was_cut_off_gets_its_name_from_the_next_open() {
    for nth in 0..2 {
        let dir = fast_dir();
        let (above, root) = (dir.path().join("above"), dir.path().join("above/store"));
        let files = FaultyFileSystem::watching_order();
        let name = dir.path().to_string_lossy().into_owned();
        files.fail(&[Call::SyncDir], &name, (nth, Times::Once), Fault::Error(EIO));
        assert!(matches!(on_faulty(&root, &files).open(), Err(Error::Io { .. })));
        files.forget();
        on_faulty(&root, &files).open().unwrap();
        let trace = files.trace();
        let named = |dir: &Path| trace.iter().any(|done| done.call == Call::SyncDir && done.path == dir);
        assert!(named(&above) && named(dir.path()), "{nth}: {trace:#?}");
    }
}

/// The next process sees the new name, and must not clear the note that a crash may still take it away.
#[test]
fn a_rewritten_segment_whose_name_was_not_synced_gets_it_before_the_table_forgets() {
    let mut seen = false;
    for nth in 0..8 {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
        let topic = store.create_topic(TOPIC, config).unwrap();
        for number in 0..300 {
            let key = if number % 2 == 0 { "one" } else { &value_of(number) };
            store.producer().send(Record::to(TOPIC).key(key).value(&value_of(number))).unwrap();
        }
        files.forget();
        files.fail(&[Call::SyncDir], "orders-0", (nth, Times::Once), Fault::Error(EIO));
        let compacted = topic.compact();
        let trace = files.trace();
        let renamed = trace.iter().position(|done| done.struck).and_then(|at| trace.get(at.checked_sub(1)?));
        let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
        if !renamed.is_some_and(|done| done.call == Call::Rename && is_segment(&done.path)) {
            continue;
        }
        assert!(compacted.is_err());
        seen = true;
        kill_and_copy(store, dir.path(), copy.path());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(copy.path(), &files).open().unwrap();
        files.forget();
        producer(&store, Durability::Disk).send(Record::to(TOPIC).key("two").value("after")).unwrap();
        let trace = files.trace();
        let of_table = |done: &Done| done.call == Call::Rename && done.path.ends_with("annals.state");
        let table = trace.iter().position(of_table).unwrap();
        let is_named = |done: &Done| done.call == Call::SyncDir && done.path.ends_with("orders-0");
        assert!(trace[..table].iter().any(is_named), "{:#?}", &trace[..table]);
    }
    assert!(seen);
}

#[test]
fn a_new_segment_whose_name_was_not_synced_gets_it_before_the_table_lists_it() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    store.producer().send(Record::to(TOPIC).value("before")).unwrap();
    files.forget();
    files.fail(&[Call::SyncDir], "orders-0", (0, Times::Once), Fault::Error(EIO));
    let full = (0..300).find_map(|number| {
        producer(&store, Durability::Os).send(Record::to(TOPIC).value(&value_of(number))).err()
    });
    assert!(full.is_some(), "the roll fails where it gives the new segment its name");
    kill_and_copy(store, dir.path(), copy.path());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(copy.path(), &files).open().unwrap();
    files.forget();
    producer(&store, Durability::Disk).send(Record::to(TOPIC).value("after")).unwrap();
    let trace = files.trace();
    let of_table = |done: &Done| done.call == Call::Rename && done.path.ends_with("annals.state");
    let table = trace.iter().position(of_table).unwrap();
    let is_named = |done: &Done| done.call == Call::SyncDir && done.path.ends_with("orders-0");
    assert!(trace[..table].iter().any(is_named), "{:#?}", &trace[..table]);
}

#[test]
fn a_close_behind_a_first_append_that_failed_for_good_is_an_error() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    store.producer().send(Record::to(TOPIC).value("before")).unwrap();
    store.close().unwrap();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    files.fail_next(Call::SyncDir, "orders-0", EIO);
    assert!(store.producer().send(Record::to(TOPIC).value("refused")).is_err());
    assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
}

#[test]
fn group_commit_acknowledges_nothing_that_no_sync_covers() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().segment_bytes(64 << 10)).unwrap();
    let producer = producer(&store, Durability::Disk);
    let acknowledged = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for thread in 0..8 {
            let (producer, files, acknowledged) = (&producer, &files, &acknowledged);
            scope.spawn(move || {
                for number in 0..100 {
                    let value = value_of(thread * 1000 + number);
                    let at = producer.send(Record::to(TOPIC).value(&value)).unwrap();
                    acknowledged.lock().unwrap().push((at.offset, files.moment()));
                }
            });
        }
    });
    let trace = files.trace();
    let logs: Vec<_> = files_of(dir.path(), "orders-0", ".log")
        .into_iter()
        .map(|path| (path.clone(), batch_ends(&std::fs::read(path).unwrap())))
        .collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert_eq!(acknowledged.len(), 800);
    for (offset, moment) in acknowledged {
        let (path, ends) =
            logs.iter().find(|(_, ends)| ends.last().is_some_and(|(_, next)| *next > offset)).unwrap();
        let end = ends.iter().find(|(_, next)| *next > offset).unwrap().0;
        let covered = trace[..moment]
            .iter()
            .any(|done| done.call == Call::Sync && !done.failed && done.path == *path && done.bytes >= end);
        assert!(covered, "offset {offset}, which ends at byte {end} of {}, was not synced", path.display());
    }
    let syncs = files.count(Call::Sync, ".log");
    println!("800 records at Disk by 8 threads: {syncs} syncs");
}

/// Does something with all topics, and deletes the second one while the first is being synced. It had failed with
/// `UnknownTopic`.
fn delete_a_topic_during(act: fn(&Store) -> annals::Result<()>) {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    for name in [TOPIC, "passing"] {
        store.create_topic(name, small_segments().retention_bytes(1)).unwrap();
        for number in 0..200 {
            store.producer().send(Record::to(name).value(&value_of(number))).unwrap();
        }
    }
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "orders-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    thread::scope(|scope| {
        let acting = scope.spawn(|| act(&store));
        gate.await_arrival();
        store.delete_topic("passing").unwrap();
        gate.open();
        acting.join().unwrap().unwrap();
    });
    assert_eq!(files.armed(), 0);
    assert!(matches!(store.topic("passing"), Err(Error::UnknownTopic { .. })));
}

#[test]
fn a_flush_of_all_topics_passes_over_one_that_is_deleted_meanwhile() {
    delete_a_topic_during(|store| store.producer().flush());
}

#[test]
fn retention_of_all_topics_passes_over_one_that_is_deleted_meanwhile() {
    delete_a_topic_during(|store| store.apply_retention().map(|reports| assert_eq!(reports.len(), 1)));
}

/// The system tells of a failed write-back once: the sync that the roll makes at the same moment succeeds, and says nothing
/// of the records that were lost.
#[test]
fn a_roll_during_a_failing_sync_makes_nothing_durable() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let config = TopicConfig::new().segment_bytes(16 << 10).index_interval_bytes(512);
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value("first")], Durability::Disk).unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], ".log", (0, Times::Once), Fault::HoldThenError(Arc::clone(&gate), EIO));
    let large = "-".repeat(12 << 10);
    let outcome = thread::scope(|scope| {
        let waits = scope.spawn(|| partition.append(&[Record::new().value("lost")], Durability::Disk));
        gate.await_arrival();
        // Whether they are written depends on who comes first to what.
        let rolls = scope.spawn(|| {
            (0..2).for_each(|_| drop(partition.append(&[Record::new().value(&large)], Durability::Os)));
        });
        thread::sleep(Duration::from_millis(50));
        gate.open();
        rolls.join().unwrap();
        waits.join().unwrap()
    });
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(partition.durable(), 1);
}

#[test]
fn a_failed_sync_poisons_its_partition_for_all_who_wait_and_no_other() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
    let producer = producer(&store, Durability::Disk);
    let send = |partition: u32, number: i64| {
        producer.send(Record::to(TOPIC).partition(partition).value(&value_of(number))).map(|at| at.offset)
    };
    assert_eq!(send(0, 0).unwrap(), 0);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "orders-0", (0, Times::Once), Fault::HoldThenError(Arc::clone(&gate), EIO));
    let outcomes = thread::scope(|scope| {
        let first = scope.spawn(|| send(0, 1));
        gate.await_arrival();
        let others: Vec<_> = (2..6).map(|number| scope.spawn(move || send(0, number))).collect();
        // They write their records and wait for the next round: there will be none.
        thread::sleep(Duration::from_millis(50));
        gate.open();
        let mut outcomes = vec![first.join().unwrap()];
        outcomes.extend(others.into_iter().map(|other| other.join().unwrap()));
        outcomes
    });
    match &outcomes[0] {
        Err(Error::Io { operation: "sync", source, path }) => {
            assert_eq!(source.raw_os_error(), Some(EIO));
            assert!(path.ends_with("orders-0/00000000000000000000.log"), "{path:?}");
        }
        other => panic!("{other:?}"),
    }
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{outcome:?}");
    }
    // Everything works again, and the partition stays as it is.
    match send(0, 6) {
        Err(Error::Poisoned { partition, cause }) => {
            assert_eq!(partition, Some(("orders", 0).into()));
            assert!(matches!(*cause, Error::Io { operation: "sync", .. }));
        }
        other => panic!("{other:?}"),
    }
    let first = store.topic(TOPIC).unwrap().partition(0).unwrap();
    assert!(matches!(
        first.append(&[Record::new().value("x")], Durability::Memory),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(first.flush(), Err(Error::Poisoned { .. })));
    assert!(matches!(producer.flush(), Err(Error::Poisoned { .. })));
    assert_eq!(first.durable(), 1, "a failed sync moved the durable end");
    assert!(matches!(first.stats().unwrap().poisoned_by, Some(Error::Io { operation: "sync", .. })));
    assert_eq!(send(1, 0).unwrap(), 0, "another partition is not concerned");
    assert!(store.topic(TOPIC).unwrap().partition(1).unwrap().stats().unwrap().poisoned_by.is_none());
    assert_eq!(store.topic(TOPIC).unwrap().partition(1).unwrap().durable(), 1);
    assert!(store.close().is_err(), "closing tells");
    // "Unknown": a prefix of what was sent is there, and what was acknowledged is.
    let store = by_hand(dir.path()).open().unwrap();
    let report =
        store.recovery().iter().find(|report| report.topic_partition == ("orders", 0).into()).unwrap();
    assert!(!report.clean);
    let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
    assert_eq!(found[0], (0, value_of(0).into_bytes()));
    assert!(found.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset));
    let next = store.producer().send(Record::to(TOPIC).partition(0).value("after")).unwrap();
    assert_eq!(next.offset, found.len() as i64);
}

#[test]
fn a_failed_sync_in_the_background_poisons_too() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).sync_every(Duration::ZERO).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let producer = store.producer();
    producer.send(Record::to(TOPIC).value("a")).unwrap();
    files.fail_next(Call::Sync, ".log", EIO);
    assert!(matches!(store.maintain(), Err(Error::Io { operation: "sync", .. })));
    assert!(matches!(producer.send(Record::to(TOPIC).value("b")), Err(Error::Poisoned { .. })));
    assert!(matches!(producer.flush(), Err(Error::Poisoned { .. })), "no second sync may hide the first");
}

#[test]
fn a_failed_write_is_all_or_nothing_and_gives_its_offsets_out_again() {
    for torn in [0, 1, 60, 61, 100] {
        let dir = fast_dir();
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        let topic = store.create_topic(TOPIC, TopicConfig::new()).unwrap();
        let (producer, partition) = (store.producer(), topic.partition(0).unwrap());
        producer.send(Record::to(TOPIC).value("first")).unwrap();
        let values: Vec<_> = (0..5).map(value_of).collect();
        let batch: Vec<_> = values.iter().map(|value| Record::to(TOPIC).value(value)).collect();
        files.fail(&[Call::Write], ".log", (0, Times::Once), Fault::Torn(torn, ENOSPC));
        let error = producer.send_batch(&batch).unwrap_err();
        assert!(error.is_disk_full() && error.is_retriable(), "{error:?}");
        assert!(matches!(error, Error::Io { operation: "write", .. }), "{error:?}");
        assert_eq!(partition.end(), 1);
        assert_eq!(records(&partition), [(0, b"first".to_vec())]);
        let log = std::fs::read(&files_of(dir.path(), "orders-0", ".log")[0]).unwrap();
        let end = usize::try_from(partition.bytes()).unwrap();
        assert!(log[end..].iter().all(|byte| *byte == 0), "the failed write left bytes behind");
        assert_eq!(producer.send_batch(&batch).unwrap().offsets(), 1..=5);
        drop(store);
        let store = by_hand(dir.path()).open().unwrap();
        let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
        assert_eq!(found.len(), 6);
        assert!(found[1..].iter().zip(&values).all(|((_, found), value)| found == value.as_bytes()));
    }
}

#[test]
fn a_short_write_is_continued() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    files.fail(&[Call::Write], ".log", (0, Times::ForEver), Fault::Short(7));
    for number in 0..10 {
        producer(&store, Durability::Disk).send(Record::to(TOPIC).value(&value_of(number))).unwrap();
    }
    files.heal();
    let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
    assert!(found.iter().zip(0..10).all(|((_, found), number)| *found == value_of(number).into_bytes()));
    assert_eq!(found.len(), 10);
}

#[test]
fn a_failed_write_reaches_those_queued_behind_it() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let topic = store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    let append = |value: String| {
        partition.append(&[Record::new().value(&value)], Durability::Os).map(|at| at.first_offset)
    };
    assert_eq!(append("before".to_owned()).unwrap(), 0);
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Write], ".log", (0, Times::Once), Fault::HoldThenError(Arc::clone(&gate), ENOSPC));
    let outcomes = thread::scope(|scope| {
        let first = scope.spawn(|| append(value_of(1)));
        gate.await_arrival();
        let append = &append;
        let others: Vec<_> = (2..8).map(|number| scope.spawn(move || append(value_of(number)))).collect();
        thread::sleep(Duration::from_millis(100));
        gate.open();
        let others = others.into_iter().map(|other| other.join().unwrap());
        [first.join().unwrap()].into_iter().chain(others).collect::<Vec<_>>()
    });
    for outcome in outcomes {
        assert!(outcome.as_ref().is_err_and(Error::is_disk_full), "{outcome:?}");
    }
    assert_eq!(append("after".to_owned()).unwrap(), 1);
    assert_eq!(records(&partition), [(0, b"before".to_vec()), (1, b"after".to_vec())]);
}

#[test]
fn a_write_that_cannot_be_taken_back_poisons() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let producer = store.producer();
    producer.send(Record::to(TOPIC).value("first")).unwrap();
    files.fail(&[Call::Write], ".log", (0, Times::Once), Fault::Torn(30, EIO));
    files.fail_next(Call::SetLen, ".log", EIO);
    assert!(matches!(
        producer.send(Record::to(TOPIC).value("second")),
        Err(Error::Io { operation: "write", .. })
    ));
    assert!(matches!(producer.send(Record::to(TOPIC).value("third")), Err(Error::Poisoned { .. })));
    drop((store, producer));
    let store = by_hand(dir.path()).open().unwrap();
    let report = &store.recovery()[0];
    assert_eq!(report.torn.as_ref().map(|torn| torn.bytes), Some(30), "{report:?}");
    assert_eq!(store.producer().send(Record::to(TOPIC).value("second")).unwrap().offset, 1);
}

#[test]
fn a_roll_that_fails_leaves_the_partition_usable() {
    let faults = [
        (Call::Create, ".log", EMFILE),
        (Call::Create, ".log", ENOSPC),
        (Call::Create, "annals.state.new", ENOSPC),
        (Call::Write, "annals.state.new", ENOSPC),
        (Call::Sync, "annals.state.new", EIO),
        (Call::Create, ".index", EMFILE),
        (Call::Write, ".timeindex", ENOSPC),
    ];
    for (call, path, errno) in faults {
        let dir = fast_dir();
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        let topic = store.create_topic(TOPIC, small_segments()).unwrap();
        let (producer, partition) = (store.producer(), topic.partition(0).unwrap());
        let mut number = 0;
        let mut failures = 0;
        producer.send(Record::to(TOPIC).value(&value_of(0))).unwrap();
        files.fail(&[call], path, (0, Times::Once), Fault::Error(errno));
        while files_of(dir.path(), "orders-0", ".log").len() < 3 {
            match producer.send(Record::to(TOPIC).value(&value_of(number + 1))) {
                Ok(at) => {
                    number += 1;
                    assert_eq!(at.offset, number);
                }
                Err(error) => {
                    failures += 1;
                    assert!(
                        matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(errno)),
                        "{error:?}"
                    );
                    assert_eq!(partition.end(), number + 1);
                    assert_eq!(records(&partition).len() as i64, number + 1, "readers go on meanwhile");
                }
            }
        }
        // Indexes are hints; without descriptors the store gives some of its own back and tries once more.
        let is_survived = path.contains("index") || errno == EMFILE;
        assert_eq!(failures, usize::from(!is_survived), "{call:?} of {path}");
        assert_eq!(files.armed(), 0);
        let copy = fast_dir();
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        let found = records(&store.topic(TOPIC).unwrap().partition(0).unwrap());
        let expected: Vec<_> = (0..=number).map(|n| (n, value_of(n).into_bytes())).collect();
        assert_eq!(found, expected, "{call:?} of {path}");
    }
}

/// What a workload was told.
#[derive(Debug, Default)]
struct Told {
    /// Partition, offset, value.
    acknowledged: Vec<(u32, Offset, String)>,
    /// Values that were refused for good: they must not be there.
    refused: Vec<(u32, String)>,
    /// Every value that was tried.
    tried: Vec<(u32, String)>,
    committed: Offset,
    commits_tried: Vec<Offset>,
    /// Watches the order of calls.
    files: Option<Arc<FaultyFileSystem>>,
}

impl Told {
    fn send(&mut self, store: &Store, partition: u32, number: i64, durability: Durability) {
        let value = value_of(number);
        let record = Record::to(TOPIC).partition(partition).value(&value);
        let outcome = producer(store, durability).send(record);
        self.tried.push((partition, value.clone()));
        match outcome {
            Ok(at) => {
                if let Some(files) = self.files.as_ref().filter(|_| durability == Durability::Disk) {
                    files.check_acknowledged(&store.path().join(format!("{TOPIC}-{partition}")));
                }
                self.acknowledged.push((partition, at.offset, value));
            }
            // After a failed sync, and only then, nobody knows.
            Err(Error::Io { operation, .. }) if operation != "sync" => self.refused.push((partition, value)),
            Err(_) => {}
        }
    }

    fn commit(&mut self, store: &Store, offset: Offset) {
        let Ok(mut consumer) = store.consumer("billing") else { return };
        if consumer.assign([(TOPIC, 0)]).is_err() {
            return;
        }
        self.commits_tried.push(offset);
        if consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), offset)]).is_ok() {
            self.committed = offset;
        }
    }

    /// Opens the store on a healthy file system, which must work, and compares.
    fn check(&self, dir: &Path, what: &str) {
        let store =
            by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: the store does not open: {error}"));
        let topic = store.ensure_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("{what}: the topic cannot be made: {error}"));
        let mut ends = Vec::new();
        for partition in topic.partitions() {
            let number = partition.number();
            let found = records(&partition);
            for (at, (offset, value)) in found.iter().enumerate() {
                assert_eq!(*offset, at as i64, "{what}: a hole in partition {number}");
                let value = String::from_utf8(value.clone()).unwrap();
                assert!(self.tried.contains(&(number, value.clone())), "{what}: {value:?} was never sent");
                assert!(
                    !self.refused.contains(&(number, value.clone())),
                    "{what}: {value:?} was refused and is there"
                );
            }
            for (_, offset, value) in self.acknowledged.iter().filter(|(place, ..)| *place == number) {
                let there = found.get(usize::try_from(*offset).unwrap()).map(|(_, value)| value.as_slice());
                assert_eq!(
                    there,
                    Some(value.as_bytes()),
                    "{what}: offset {offset} of partition {number} was acknowledged"
                );
            }
            ends.push(found.len() as i64);
        }
        let committed =
            store.committed("billing").get(&TopicPartition::new(TOPIC, 0)).map_or(0, |at| at.offset);
        assert!(
            committed >= self.committed && committed <= ends[0],
            "{what}: committed {committed}, told {}",
            self.committed
        );
        assert!(
            committed == 0 || self.commits_tried.contains(&committed),
            "{what}: {committed} was never committed"
        );
        // The store goes on, whatever it went through.
        for (number, end) in (0..).zip(ends) {
            let at = store.producer().send(Record::to(TOPIC).partition(number).value("next"));
            assert_eq!(at.unwrap_or_else(|error| panic!("{what}: {error}")).offset, end, "{what}");
        }
        store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        let store = by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: after a close: {error}"));
        let mut reports = store.recovery().iter().filter(|report| report.topic_partition.topic() == TOPIC);
        assert!(reports.all(|report| report.clean), "{what}: {:?}", store.recovery());
    }
}

fn workload_topic() -> TopicConfig {
    TopicConfig::new().partitions(2).segment_bytes(512).index_interval_bytes(100)
}

/// Rolls, commits, deletes a topic, flushes; errors are noted and tried past. What it leaves is what a kill leaves, or a close.
fn workload(dir: &Path, files: &Arc<FaultyFileSystem>, told: &mut Told, from: i64) -> Option<Store> {
    told.files = Some(Arc::clone(files));
    // Twice, as programs do that are started again.
    let open = || on_faulty(dir, files).sync_every(Duration::ZERO).open();
    let store = open().or_else(|_| open()).ok()?;
    let ensure = || store.ensure_topic(TOPIC, workload_topic());
    if ensure().or_else(|_| ensure()).is_err() {
        return Some(store);
    }
    for number in from..from + 16 {
        let partition = u32::from(number % 3 == 2);
        let durability = if number % 4 == 0 { Durability::Disk } else { Durability::Os };
        told.send(&store, partition, number, durability);
        if number % 5 == 4 {
            let end = store
                .topic(TOPIC)
                .and_then(|topic| topic.partition(0))
                .map_or(0, |partition| partition.end());
            told.commit(&store, end);
        }
    }
    drop(store.ensure_topic("passing", TopicConfig::new()).and_then(|_| store.delete_topic("passing")));
    drop(store.maintain());
    drop(store.producer().flush());
    told.send(&store, 0, from + 16, Durability::Os);
    Some(store)
}

#[test]
fn a_topic_whose_creation_was_cut_off_can_be_created_again() {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        files.fail(&Call::MUTATING, "", (nth, Times::ForEver), Fault::Error(EIO));
        let created = store.create_topic(TOPIC, workload_topic());
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        let topic = store.ensure_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("cut off at call {nth}: {error}"));
        assert_eq!(records(&topic.partition(1).unwrap()), []);
        if created.is_ok() {
            assert!(nth > 20, "{nth} calls");
            break;
        }
        nth += 1;
    }
}

#[test]
fn a_deletion_that_was_cut_off_is_in_nobodys_way() {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic(TOPIC, workload_topic()).unwrap();
        (0..30).for_each(|number| {
            _ = producer(&store, Durability::Os).send(Record::to(TOPIC).value(&value_of(number))).unwrap();
        });
        files.fail(&Call::MUTATING, "", (nth, Times::ForEver), Fault::Error(EIO));
        let deleted = store.delete_topic(TOPIC);
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        // Deleted or not, and then whole.
        let left =
            store.topic(TOPIC).map(|topic| topic.partitions().iter().map(|one| records(one).len()).sum());
        let left: usize = left.unwrap_or(30);
        assert_eq!(left, 30, "cut off at call {nth}");
        if store.topic(TOPIC).is_ok() {
            store.delete_topic(TOPIC).unwrap();
        }
        let topic = store.create_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("cut off at call {nth}: {error}"));
        assert_eq!(records(&topic.partition(0).unwrap()), []);
        if deleted.is_ok() {
            assert!(nth > 20, "{nth} calls");
            break;
        }
        nth += 1;
    }
}

#[test]
fn a_topic_file_of_unknown_state_takes_no_changes_until_the_store_is_reopened() {
    for retries_sync in [true, false] {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic("other", TopicConfig::new()).unwrap();
        store.producer().send(Record::to("other").value("before")).unwrap();
        files.forget();
        // Of the partition's directory, of the store's for the new name in it, then of the store's for the topic file.
        let root = dir.path().to_string_lossy().into_owned();
        files.fail(&[Call::SyncDir], &root, (2, Times::Once), Fault::Error(EIO));
        assert!(matches!(store.create_topic(TOPIC, TopicConfig::new()), Err(Error::Io { .. })));
        let last = files.trace().into_iter().rfind(|done| done.struck).unwrap();
        assert_eq!(
            (last.call, last.path.as_path()),
            (Call::SyncDir, dir.path()),
            "the fault struck elsewhere"
        );
        if !retries_sync {
            files.fail(&[Call::SyncDir], "", (0, Times::ForEver), Fault::Error(EIO));
        }
        for _ in 0..2 {
            match store.create_topic(TOPIC, TopicConfig::new()) {
                Err(Error::Poisoned { partition, .. }) => assert_eq!(partition, None),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(store.delete_topic("other"), Err(Error::Poisoned { .. })));
        assert!(store.producer().send(Record::to("other").value("goes on")).is_ok());
        files.heal();
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        assert_eq!(records(&store.topic("other").unwrap().partition(0).unwrap()).len(), 2);
        store.ensure_topic(TOPIC, TopicConfig::new()).unwrap();
    }
}

#[test]
fn nothing_is_acknowledged_on_a_topic_whose_deletion_failed_half_way() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let producer = producer(&store, Durability::Disk);
    files.fail_next(Call::SyncDir, "", EIO);
    assert!(matches!(store.delete_topic(TOPIC), Err(Error::Io { operation: "sync directory", .. })));
    let sent = producer.send(Record::to(TOPIC).value("kept?")).is_ok();
    kill_and_copy(store, dir.path(), copy.path());
    let store = by_hand(copy.path()).open().unwrap();
    let found = store.topic(TOPIC).map_or(0, |topic| records(&topic.partition(0).unwrap()).len());
    assert_eq!(found, usize::from(sent), "an acknowledged record went with its topic");
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Kill,
    Close,
}

fn every_call_fails(fault: &Fault, times: Times, ending: Ending, step: usize) {
    let calls = each_fails(&Call::MUTATING, fault, times, (ending, step));
    assert!(calls > 60, "the workload is smaller than it should be");
}

fn each_fails(calls: &[Call], fault: &Fault, times: Times, (ending, step): (Ending, usize)) -> usize {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        files.fail(calls, "", (nth, times), fault.clone());
        let mut told = Told::default();
        let store = workload(dir.path(), &files, &mut told, 0);
        let end = match (store, ending) {
            (Some(store), Ending::Kill) => {
                kill_and_copy(store, dir.path(), copy.path());
                copy.path()
            }
            (store, _) => {
                drop(store);
                dir.path()
            }
        };
        let struck = files.trace().iter().find(|done| done.struck).cloned();
        let Some(struck) = struck else { break };
        told.check(
            end,
            &format!(
                "{fault:?} {times:?} at call {nth} ({:?} of {:?}), then {ending:?}",
                struck.call, struck.path
            ),
        );
        nth += step;
    }
    assert!(nth > 0, "the workload makes no {calls:?}");
    println!("{fault:?} {times:?} {ending:?}: {nth} calls");
    nth
}

/// 1 when every call is to fail for ever too.
fn step() -> usize {
    if std::env::var_os("ANNALS_FAULTS").is_some() { 1 } else { 3 }
}

#[test]
fn every_call_fails_once_and_the_process_is_killed() {
    every_call_fails(&Fault::Error(EIO), Times::Once, Ending::Kill, 1);
}

#[test]
fn every_call_fails_once_and_the_store_is_closed() {
    every_call_fails(&Fault::Error(ENOSPC), Times::Once, Ending::Close, 1);
}

#[test]
fn every_call_fails_for_ever_and_the_process_is_killed() {
    every_call_fails(&Fault::Error(ENOSPC), Times::ForEver, Ending::Kill, step());
}

#[test]
fn every_call_fails_for_ever_and_the_store_is_closed() {
    every_call_fails(&Fault::Error(EIO), Times::ForEver, Ending::Close, step());
}

/// One kind of call stops working while all others go on.
#[test]
fn every_kind_of_call_fails_for_ever_from_some_point() {
    for call in Call::MUTATING {
        for ending in [Ending::Kill, Ending::Close] {
            each_fails(&[call], &Fault::Error(EIO), Times::ForEver, (ending, 1));
        }
    }
}

#[test]
fn every_write_is_torn() {
    every_call_fails(&Fault::Torn(33, EIO), Times::Once, Ending::Kill, 1);
}

/// The second fault comes while the first is being recovered from.
#[test]
fn every_call_of_a_recovery_fails() {
    for times in [Times::Once, Times::ForEver] {
        let dir = fast_dir();
        let mut before = Told::default();
        let store = workload(dir.path(), &FaultyFileSystem::watching_order(), &mut before, 0).unwrap();
        before.send(&store, 0, 100, Durability::Os);
        before.send(&store, 1, 101, Durability::Os);
        std::mem::forget(store);
        // Something of a batch that was not written whole.
        let last = files_of(dir.path(), "orders-0", ".log").pop().unwrap();
        let mut log = std::fs::read(&last).unwrap();
        let end = usize::try_from(batch_ends(&log).last().unwrap().0).unwrap();
        log.truncate(end);
        log.extend_from_slice(&[7; 45]);
        std::fs::write(&last, log).unwrap();
        let mut nth = 0;
        loop {
            let (copy, end) = (fast_dir(), fast_dir());
            copy_dir(dir.path(), copy.path());
            let files = FaultyFileSystem::watching_order();
            let all = [&Call::MUTATING[..], &[Call::Open, Call::Read, Call::Len, Call::List]].concat();
            files.fail(&all, "", (nth, times), Fault::Error(EIO));
            let mut told = Told { acknowledged: before.acknowledged.clone(), ..Told::default() };
            told.tried.clone_from(&before.tried);
            (told.committed, told.commits_tried) = (before.committed, before.commits_tried.clone());
            if let Some(store) = workload(copy.path(), &files, &mut told, 1000) {
                kill_and_copy(store, copy.path(), end.path());
            } else {
                copy_dir(copy.path(), end.path());
            }
            let Some(struck) = files.trace().iter().find(|done| done.struck).cloned() else { break };
            told.check(
                end.path(),
                &format!("{times:?} at call {nth} ({:?} of {:?})", struck.call, struck.path),
            );
            nth += if times == Times::Once { 1 } else { step() };
        }
        println!("recovery {times:?}: {nth} calls");
        assert!(nth > 60);
    }
}

#[test]
fn a_descriptor_given_back_is_synced_first_and_a_failure_is_told_to_its_own_partition() {
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).max_open_files(2).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new().partitions(4)).unwrap();
    let send = |partition: u32, durability: Durability| {
        let value = value_of(i64::from(partition));
        producer(&store, durability).send(Record::to(TOPIC).partition(partition).value(&value)).map(drop)
    };
    files.forget();
    for partition in (0..4).chain(0..4) {
        send(partition, Durability::Os).unwrap();
    }
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
    let trace = files.trace();
    let synced = trace.iter().filter(|done| done.call == Call::Sync && is_log(&done.path)).count();
    assert!(synced >= 4, "{synced} logs synced before their descriptors were closed");

    send(0, Durability::Os).unwrap();
    files.fail_next(Call::Sync, "orders-0/00000000000000000000.log", EIO);
    for partition in [1, 2, 3, 1, 2, 3] {
        send(partition, Durability::Disk).unwrap();
    }
    assert_eq!(files.armed(), 0, "the descriptor of orders-0 was taken");
    assert!(matches!(send(0, Durability::Os), Err(Error::Io { operation: "sync", .. })));
    assert!(matches!(send(0, Durability::Disk), Err(Error::Poisoned { .. })));
    send(1, Durability::Disk).unwrap();
    // A mark that is lost leaves an older one, which is as true: nobody waits for it.
    let trace = files.trace();
    assert!(!trace.iter().any(|done| done.call == Call::Sync && done.path.ends_with("annals.state")));
}
