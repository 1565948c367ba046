//! A call that returns an error has changed nothing, and one that returns none has done all of it, whichever call of the system fails.

use annals::{Result, report::DeleteReport};
use annals_testing::MemoryFileSystem;

use super::*;
use crate::common::{fast_dir, kill_and_copy};

/// What can be seen of a store: settings, offsets and records of its topics, and what groups have committed.
fn seen(store: &Store) -> String {
    let mut seen = String::new();
    for topic in store.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        seen += &format!("{} {}", topic.name(), topic.config().get("segment.bytes"));
        for partition in topic.partitions() {
            seen += &format!(" {}..{} of", partition.start(), partition.end());
            records(&partition).iter().for_each(|(offset, _)| seen += &format!(" {offset}"));
        }
        seen += "\n";
    }
    for group in store.groups() {
        let committed = store.committed(&group);
        let offsets: Vec<_> = committed.iter().map(|(place, at)| (place.to_string(), at.offset)).collect();
        seen += &format!("{group} {offsets:?}\n");
    }
    seen
}

fn open(files: &Arc<dyn annals::io::FileSystem>) -> Result<Store> {
    Store::builder("/store").maintain_by_hand().without_live_readers().file_system(Arc::clone(files)).open()
}

/// Topics of several segments, and a group.
fn begun(disk: &Arc<dyn annals::io::FileSystem>) {
    let store = open(disk).expect("a new store");
    let small = || TopicConfig::new().segment_bytes(600);
    store.create_topic(TOPIC, small()).expect("a topic");
    store.create_topic("other", small()).expect("a topic");
    let refund = store.create_topic("expired", small().retention_bytes(600)).expect("a topic");
    for _ in 0..9 {
        for topic in [TOPIC, "other", refund.name()] {
            store.producer().send(Record::to(topic).value(&[7; 100])).expect("a send");
        }
    }
    let mut consumer = store.consumer("billing").expect("a consumer");
    consumer.subscribe([TOPIC, "other"]).expect("it joins");
    consumer.poll(Duration::ZERO).expect("a poll");
    consumer.commit().expect("a commit");
    drop(consumer);
    store.close().expect("a close");
}

type Change = fn(&Store) -> Result<()>;

const CHANGES: [(&str, Change); 8] = [
    ("create_topic", |store| store.create_topic("new", TopicConfig::new().partitions(2)).map(drop)),
    ("add_partitions", |store| store.add_partitions(TOPIC, 3).map(drop)),
    ("alter_topic", |store| store.alter_topic(TOPIC, TopicConfig::new().segment_bytes(3000)).map(drop)),
    ("delete_topic", |store| store.delete_topic("other")),
    ("delete_records", |store| store.topic(TOPIC)?.partition(0)?.delete_records(2).map(drop)),
    ("delete_records of segments", |store| store.topic(TOPIC)?.partition(0)?.delete_records(7).map(drop)),
    ("apply_retention", |store| store.topic("expired")?.apply_retention().map(drop)),
    ("commit", |store| {
        let mut consumer = store.consumer("billing")?;
        consumer.assign([(TOPIC, 0)])?;
        consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 7)])
    }),
];

/// After these nobody knows: a sync has failed, or a rename with an error of the device.
fn is_open(error: &Error) -> bool {
    match error {
        Error::Poisoned { .. } => true,
        Error::Io { operation, source, .. } => {
            operation.contains("sync") || *operation == "rename" && source.raw_os_error() == Some(EIO)
        }
        _ => false,
    }
}

#[test]
fn a_change_that_returns_an_error_has_not_happened_and_one_that_returns_none_has() {
    let (mut refused, mut done) = (0, 0);
    for (name, change) in CHANGES {
        for (errno, times) in [(EIO, Times::Once), (ENOSPC, Times::ForEver)] {
            for nth in 0.. {
                let disk: Arc<dyn annals::io::FileSystem> = Arc::new(MemoryFileSystem::new());
                begun(&disk);
                let files = FaultyFileSystem::over(Arc::clone(&disk));
                let store = open(&(Arc::clone(&files) as Arc<dyn annals::io::FileSystem>)).expect("it opens");
                let before = seen(&store);
                files.forget();
                files.fail(&Call::MUTATING, "", (nth, times), Fault::Error(errno));
                let outcome = change(&store);
                let struck = files.trace().into_iter().find(|done| done.struck);
                files.heal();
                let Some(struck) = struck else { break };
                let what =
                    format!("{name}, errno {errno} at {:?} {:?}: {outcome:?}", struck.call, struck.path);
                if outcome.as_ref().is_err_and(is_open) {
                    continue;
                }
                let after = seen(&store);
                assert_eq!(outcome.is_err(), after == before, "{what}");
                // It holds for the next life.
                drop(store);
                assert_eq!(seen(&open(&disk).expect("it opens")), after, "{what}");
                if outcome.is_err() { refused += 1 } else { done += 1 }
            }
        }
    }
    println!("{refused} refused, {done} done all the same");
    assert!(refused > 50 && done > 5, "{refused} {done}");
}

/// Whether a file of the partition holds the bytes.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    let logs = files_of(dir, "orders-0", ".log").into_iter().chain(files_of(dir, "orders-0", ".cleaned"));
    let mut contents = logs.map(|path| std::fs::read(path).expect("a file"));
    contents.any(|content| content.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn what_delete_records_leaves_on_a_full_disk_is_reported_and_freed_by_maintenance() {
    for reopened in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let files = FaultyFileSystem::watching_order();
        let mut store = on_faulty(dir.path(), &files).open().expect("a new store");
        let mut partition =
            store.create_topic(TOPIC, TopicConfig::new()).expect("a topic").partition(0).expect("one");
        for value in ["deleted 0", "deleted 1", "there 2", "there 3"] {
            partition.append(&[Record::new().value(value)], Durability::Os).expect("an append");
        }
        files.fail(&[Call::Create], ".cleaned", (0, Times::ForEver), Fault::Error(ENOSPC));
        files.fail(&[Call::AvailableSpace], "", (0, Times::ForEver), Fault::Short(0));
        let report: DeleteReport = partition.delete_records(2).expect("the start has moved");
        assert_eq!((report.start, report.is_freed, partition.start()), (2, false, 2));
        assert_eq!(partition.delete_records(1).expect("nothing to do").start, 2);
        assert!(store.maintain().unwrap_err().is_disk_full());
        let failures = store.stats().expect("stats").maintenance_failures;
        assert!(failures.len() == 1 && failures[0].error.is_disk_full(), "{failures:?}");
        assert!(holds(dir.path(), b"deleted 1"));
        files.heal();
        if reopened {
            drop(partition);
            store.close().expect("a close");
            drop(store);
            store = on_faulty(dir.path(), &files).open().expect("it opens");
            partition = store.topic(TOPIC).expect("the topic").partition(0).expect("a partition");
        }
        store.maintain().expect("there is room");
        assert!(store.stats().expect("stats").maintenance_failures.is_empty());
        assert!(!holds(dir.path(), b"deleted 1"), "its bytes are gone");
        assert_eq!(records(&partition).iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [2, 3]);
        files.forget();
        store.maintain().expect("nothing is owed");
        assert_eq!(files.count(Call::Create, ""), 0);
        store.close().expect("a close");
    }
}

#[test]
fn a_deleted_topic_whose_files_cannot_be_removed_is_gone_and_maintenance_removes_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().expect("a new store");
    store.create_topic(TOPIC, TopicConfig::new()).expect("a topic");
    store.producer().send(Record::to(TOPIC).value("x")).expect("a send");
    files.fail(&[Call::Remove], "orders-0", (0, Times::ForEver), Fault::Error(EIO));
    store.delete_topic(TOPIC).expect("it is gone");
    assert!(matches!(store.topic(TOPIC), Err(Error::UnknownTopic { .. })));
    assert!(store.maintain().is_err() && dir.path().join("orders-0").is_dir());
    assert_eq!(store.stats().expect("stats").maintenance_failures.len(), 1);
    files.heal();
    store.maintain().expect("they can be removed");
    assert!(!dir.path().join("orders-0").exists());
    assert!(store.stats().expect("stats").maintenance_failures.is_empty());
    store.create_topic(TOPIC, TopicConfig::new()).expect("its name is free");
    store.close().expect("a close");
}

#[test]
fn a_topic_whose_deletion_returns_an_error_is_there_and_a_refused_rename_poisons_nothing() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename] {
        let dir = tempfile::tempdir().expect("a directory");
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().expect("a new store");
        let orders = store.create_topic(TOPIC, small_segments()).expect("a topic").partition(0).expect("one");
        files.fail(&[call], "annals.topics", (0, Times::ForEver), Fault::Error(ENOSPC));
        files.fail(&[Call::Rename], "annals.state", (0, Times::ForEver), Fault::Error(ENOSPC));
        let error = store.delete_topic(TOPIC).unwrap_err();
        assert!(error.is_disk_full(), "{call:?}: {error:?}");
        orders.append(&[Record::new().value("x")], Durability::Os).unwrap_err();
        files.heal();
        orders.append(&[Record::new().value("x")], Durability::Os).expect("the partition is as it was");
        assert_eq!(records(&store.topic(TOPIC).expect("it is there").partition(0).expect("one")).len(), 1);
        store.delete_topic(TOPIC).expect("the list takes changes");
        store.close().expect("a close");
    }
}

#[test]
fn what_retention_cannot_remove_is_reported_and_removed_by_maintenance() {
    for ending in [None, Some(true), Some(false)] {
        removed_by_maintenance(ending);
    }
}

/// In the same life, after a close, or after a kill.
fn removed_by_maintenance(is_closed: Option<bool>) {
    let dir = tempfile::tempdir().expect("a directory");
    let files = FaultyFileSystem::watching_order();
    let mut store = on_faulty(dir.path(), &files).open().expect("a new store");
    let config = TopicConfig::new().segment_bytes(1024).retention_bytes(1024);
    let topic = store.create_topic(TOPIC, config).expect("a topic");
    let partition = topic.partition(0).expect("one");
    let logs = || files_of(dir.path(), "orders-0", ".log").len();
    // Nothing is owed, and that is known.
    store.maintain().expect("nothing fails");
    for _ in 0..20 {
        partition
            .append(&[Record::new().value("x".repeat(300).as_str())], Durability::Os)
            .expect("an append");
    }
    let before = logs();
    files.fail(&[Call::Remove], ".log", (0, Times::ForEver), Fault::Error(EIO));
    let reports = topic.apply_retention().expect("it has taken effect");
    assert!(!reports[0].removed.is_empty() && !reports[0].is_freed, "{reports:?}");
    assert_eq!((partition.start(), logs()), (reports[0].start, before));
    store.maintain().unwrap_err();
    let failures = store.stats().expect("stats").maintenance_failures;
    assert!(failures.iter().any(|failure| failure.error.to_string().contains("orders-0")), "{failures:?}");
    let copy = fast_dir();
    match is_closed {
        None => {}
        Some(true) => {
            store.close().expect("a close");
            store = on_faulty(dir.path(), &files).open().expect("it opens");
        }
        Some(false) => {
            kill_and_copy(store, dir.path(), copy.path());
            store = on_faulty(copy.path(), &files).open().expect("it opens");
        }
    }
    let dir = if is_closed == Some(false) { copy.path() } else { dir.path() };
    let logs = || files_of(dir, "orders-0", ".log").len();
    store.maintain().unwrap_err();
    assert_eq!(logs(), before, "{is_closed:?}");
    files.heal();
    store.maintain().expect("they can be removed");
    assert!(store.stats().expect("stats").maintenance_failures.is_empty());
    assert!(logs() < before);
    store.close().expect("a close");
}

#[test]
fn files_of_an_earlier_topic_that_cannot_be_removed_keep_no_compaction_from_the_next_of_its_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().expect("a new store");
    let compacted = || small_segments().cleanup_policy(annals::CleanupPolicy::Compact);
    store.create_topic(TOPIC, compacted().partitions(4)).expect("a topic");
    store.producer().send(Record::to(TOPIC).partition(3).value("x").key("x")).expect("a send");
    files.fail(&[Call::Remove], "orders-3", (0, Times::ForEver), Fault::Error(EIO));
    store.delete_topic(TOPIC).expect("it is gone");
    let orders = store.create_topic(TOPIC, compacted()).expect("its name is free").partition(0).expect("one");
    for number in 0..400 {
        let record = Record::new().key("the same").value("a value of some length");
        let record = if number % 2 == 0 { record } else { record.value("another one of some length") };
        orders.append(&[record], Durability::Os).expect("an append");
    }
    for round in 1..4 {
        assert!(store.maintain().is_err());
        let failures = store.stats().expect("stats").maintenance_failures;
        let failures: Vec<_> =
            failures.iter().map(|one| (one.topic_partition.to_string(), one.failures)).collect();
        assert_eq!(failures, [("orders-0".to_owned(), round)]);
    }
    assert!(records(&orders).len() < 200, "{} records are left", records(&orders).len());
    files.heal();
    store.maintain().expect("they can be removed");
    assert!(store.stats().expect("stats").maintenance_failures.is_empty());
    store.close().expect("a close");
}
