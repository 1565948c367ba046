//! What is promised when a call returns, and what is left when a call of the operating system fails: through the seam.
//!
//! `ANNALS_FAULTS=all` lets every call of the workload fail; by default every call fails once and every third one for
//! ever. Directories are in `/dev/shm` where there is one: what is tested here is the order of calls, not the disk.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod chained;
#[cfg(test)]
mod derived;
#[cfg(test)]
mod every_call;
#[cfg(test)]
mod half_written;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod names;
#[cfg(test)]
mod panicked_burial;
#[cfg(test)]
mod panicked_step;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rolls;
#[cfg(test)]
mod space;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod topics;

use every_call::workload_topic;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Error, Offset, Record, Store, TopicConfig, TopicPartition};

use crate::common::{
    TOPIC, batch_ends, by_hand, copy_dir, fast_dir, files_of, kill_and_copy, on_faulty, producer, records,
    small_segments, value_of,
};
use annals_testing::{Call, Done, Fault, FaultyFileSystem, Gate, Times};

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
