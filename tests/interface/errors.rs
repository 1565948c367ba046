//! Every error of the public interface, provoked through it, with what it says; damaged and newer files; full disks.
//!
//! Some tests here start this binary again as a second process.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod arguments;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod files;
#[cfg(test)]
mod first_append;
#[cfg(test)]
mod upkeep;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    CleanupPolicy, Consumer, Durability, Error, NO_TIMESTAMP, OnDamage, Record, StartFrom, Store,
    TopicConfig, TopicPartition,
};

use crate::common::{
    TOPIC, batch_ends, by_hand, copy_dir, files_of, kill_and_copy, on_faulty, producer, records,
    small_segments, tree, value_of,
};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = by_hand(dir.path()).open().expect("a new store");
    store.create_topic(TOPIC, TopicConfig::new()).expect("a new topic");
    (dir, store)
}

fn assigned(store: &Store, start: StartFrom) -> Consumer {
    let mut consumer =
        store.consumer_builder().group("billing").start_from(start).build().expect("a consumer");
    consumer.assign([(TOPIC, 0)]).expect("a partition");
    consumer
}

#[test]
fn unknown_topics_and_partitions() {
    let (_dir, store) = store();
    for error in [
        store.topic("payments").unwrap_err(),
        store.producer().send(Record::to("payments")).unwrap_err(),
        store.producer().bind("payments").unwrap_err(),
        store.delete_topic("payments").unwrap_err(),
        store.add_partitions("payments", 3).unwrap_err(),
        store.alter_topic("payments", TopicConfig::new()).unwrap_err(),
        store.consumer("billing").unwrap().subscribe(["payments"]).unwrap_err(),
        store.consumer("billing").unwrap().assign([("payments", 0)]).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::UnknownTopic { topic, .. } if topic == "payments"), "{error:?}");
        assert!(error.to_string().contains("create_topic"), "{error}");
    }
    for error in [
        store.topic(TOPIC).unwrap().partition(7).unwrap_err(),
        store.producer().send(Record::to(TOPIC).partition(7)).unwrap_err(),
        store.consumer("billing").unwrap().assign([(TOPIC, 7)]).unwrap_err(),
    ] {
        match error {
            Error::UnknownPartition { topic, partition: 7, partitions: 1 } => assert_eq!(topic, TOPIC),
            other => panic!("{other:?}"),
        }
    }
    assert!(store.topic("payments").is_err(), "nothing above may have made it");
}

#[test]
fn a_topic_that_is_there_or_differs() {
    let (_dir, store) = store();
    let exists = |name: &str, there: &str| match store.create_topic(name, TopicConfig::new()) {
        Err(Error::TopicExists { topic, existing }) => {
            assert_eq!((topic.as_str(), existing.as_str()), (name, there))
        }
        other => panic!("{other:?}"),
    };
    exists(TOPIC, TOPIC);
    store.create_topic("payments.eu_1", TopicConfig::new()).unwrap();
    exists("payments_eu.1", "payments.eu_1");
    match store.ensure_topic("payments_eu_1", TopicConfig::new()) {
        Err(Error::TopicExists { existing, .. }) => assert_eq!(existing, "payments.eu_1"),
        other => panic!("{other:?}"),
    }
    match store.ensure_topic(TOPIC, TopicConfig::new().partitions(4)) {
        Err(Error::TopicMismatch { topic, setting: "partitions", found, expected }) => {
            assert_eq!((topic.as_str(), found.as_str(), expected.as_str()), (TOPIC, "1", "4"));
        }
        other => panic!("{other:?}"),
    }
    match store.ensure_topic(TOPIC, TopicConfig::new().cleanup_policy(CleanupPolicy::Compact)) {
        Err(Error::TopicMismatch { setting: "cleanup.policy", found, expected, .. }) => {
            assert_eq!((found.as_str(), expected.as_str()), ("delete", "compact"));
        }
        other => panic!("{other:?}"),
    }
    assert!(store.ensure_topic(TOPIC, TopicConfig::new()).is_ok(), "what is not set cannot differ");
}

#[test]
fn a_timestamp_that_is_refused_is_said_as_a_date() {
    let error = Error::InvalidTimestamp { timestamp: 5, earliest: 1_700_000_000_000, latest: i64::MAX };
    let expected = "timestamp 5 (1970-01-01T00:00:00.005Z) is outside 2023-11-14T22:13:20.000Z to 9223372036854775807 ms";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn records_too_large_alone_and_together() {
    let (_dir, store) = store();
    for (name, config, expected) in [
        ("by-message", TopicConfig::new().max_message_bytes(1000), "max.message.bytes"),
        ("by-segment", TopicConfig::new().segment_bytes(1000), "segment.bytes"),
    ] {
        let partition = store.create_topic(name, config).unwrap().partition(0).unwrap();
        let big = "x".repeat(1000);
        let small = "x".repeat(300);
        let batch: Vec<_> = (0..4).map(|_| Record::to(name).value(&small)).collect();
        for error in [
            store.producer().send(Record::to(name).value(&big)).unwrap_err(),
            store.producer().send_batch(&batch).unwrap_err(),
            partition.append(&batch, Durability::Os).unwrap_err(),
        ] {
            match error {
                Error::RecordTooLarge { size, limit: 1000, setting } => {
                    assert!(size > 1000);
                    assert_eq!(setting, expected);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(partition.end(), 0, "nothing was appended");
        // The limit itself is accepted: found by trying.
        let fits = (800..1000).rev().find(|len| {
            let value = "x".repeat(*len);
            let sent = store.producer().send(Record::to(name).value(&value));
            sent.is_ok()
        });
        let fits = fits.unwrap();
        let value = "x".repeat(fits + 1);
        match store.producer().send(Record::to(name).value(&value)) {
            Err(Error::RecordTooLarge { size, .. }) => assert_eq!(size, 1001),
            other => panic!("{other:?}"),
        }
        assert_eq!(records(&partition).len(), 1);
    }
}

#[test]
fn a_compacted_topic_needs_keys() {
    let (_dir, store) = store();
    store.create_topic("prices", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    match store.producer().send(Record::to("prices").value("7")) {
        Err(Error::KeyRequired { partition }) => assert_eq!(partition, ("prices", 0).into()),
        other => panic!("{other:?}"),
    }
    let batch = [Record::to("prices").key("a").value("1"), Record::to("prices").value("2")];
    assert!(matches!(store.producer().send_batch(&batch), Err(Error::KeyRequired { .. })));
    assert_eq!(store.topic("prices").unwrap().partition(0).unwrap().end(), 0);
    assert!(store.producer().send(Record::to("prices").key("")).is_ok(), "an empty key is a key");
}

#[test]
fn offsets_out_of_range() {
    let (_dir, store) = store();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    (0..5).for_each(|_| _ = store.producer().send(Record::to(TOPIC).value("x")).unwrap());
    let mut consumer = assigned(&store, StartFrom::Fail);
    consumer.seek((TOPIC, 0), 99).unwrap();
    let mut reader = partition.read_from(5).unwrap();
    reader.seek(99);
    for (what, error) in [
        ("read_from", partition.read_from(99).unwrap_err()),
        ("read", partition.read(99..100).unwrap_err()),
        ("fetch behind a seek", reader.fetch().unwrap_err()),
        ("poll behind a seek", consumer.poll(Duration::ZERO).unwrap_err()),
        ("commit", consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 99)]).unwrap_err()),
    ] {
        match error {
            Error::OffsetOutOfRange { partition, requested: 99, start: 0, end: 5 } => {
                assert_eq!(partition, ("orders", 0).into())
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    assert!(matches!(partition.read_from(-1), Err(Error::OffsetOutOfRange { requested: -1, .. })));
    assert_eq!(partition.read_from(5).unwrap().fetch().unwrap().len(), 0, "the end itself may be read from");
}

#[test]
fn an_unexpected_end() {
    let (_dir, store) = store();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    let records = [Record::new().value("a")];
    partition.append_if(0, &records, Durability::Os).unwrap();
    for expected in [0, 2] {
        match partition.append_if(expected, &records, Durability::Disk) {
            Err(error @ Error::UnexpectedEnd { found: 1, .. }) => {
                assert!(error.is_conflict());
                assert!(error.to_string().contains("orders-0"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(partition.end(), 1);
}

#[test]
fn beside_a_record_that_lingers_the_next_offset_is_what_append_if_expects() {
    let (_dir, store) = store();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    producer(&store, Durability::Memory).send(Record::to(TOPIC).value("a")).unwrap();
    assert_eq!((partition.end(), partition.next_offset()), (0, 1));
    let records = [Record::new().value("b")];
    let refused = partition.append_if(partition.end(), &records, Durability::Os);
    assert!(matches!(refused, Err(Error::UnexpectedEnd { found: 1, .. })), "{refused:?}");
    partition.append_if(partition.next_offset(), &records, Durability::Os).unwrap();
    assert_eq!((partition.end(), partition.next_offset()), (2, 2));
}

#[test]
fn a_path_that_cannot_become_a_store_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("current");
    std::os::unix::fs::symlink("release-7", &link).unwrap();
    for (path, why) in [(link.as_path(), "link to nothing"), (Path::new(""), "is empty")] {
        let error = Store::open(path).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(!dir.path().join("release-7").exists());
}

#[test]
fn a_clock_before_1970_refuses_neither_records_nor_commits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(-86_400_000));
    let store = by_hand(dir.path()).clock(clock).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let sent = store.producer().send(Record::to(TOPIC).value("a")).unwrap();
    assert_eq!(sent.timestamp, 0);
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    while consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    assert_eq!(store.committed("billing").len(), 1);
    store.apply_retention().unwrap();
    store.close().unwrap();
}

#[test]
fn not_assigned_and_no_committed_offset() {
    let (_dir, store) = store();
    let place = TopicPartition::new(TOPIC, 0);
    let mut consumer = store.consumer("billing").unwrap();
    let member = consumer.member_id().to_owned();
    for error in [
        consumer.position(&place).unwrap_err(),
        consumer.seek(&place, 0).unwrap_err(),
        consumer.pause([&place]).unwrap_err(),
        consumer.resume([&place]).unwrap_err(),
        consumer.commit_offsets([(place.clone(), 0)]).unwrap_err(),
    ] {
        match error {
            Error::NotAssigned { partition, group, member: found } => {
                assert_eq!((&partition, group.as_str(), &found), (&("orders", 0).into(), "billing", &member));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut strict = assigned(&store, StartFrom::Fail);
    for error in [
        strict.poll(Duration::ZERO).unwrap_err(),
        strict.position(&place).unwrap_err(),
        strict.lag().unwrap_err(),
    ] {
        match error {
            Error::NoCommittedOffset { group, partition } => {
                assert_eq!((group.as_str(), partition), ("billing", ("orders", 0).into()))
            }
            other => panic!("{other:?}"),
        }
    }
}

const HOLD: &str = "ANNALS_TEST_HOLD_STORE";

/// The second process of the test below.
#[test]
fn holds_a_store_for_another_process() {
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let _store = Store::open(PathBuf::from(dir)).unwrap();
    println!("held");
    std::io::stdout().flush().unwrap();
    drop(std::io::stdin().read_line(&mut String::new()));
}

fn held_elsewhere(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "errors::holds_a_store_for_another_process", "--nocapture"])
        .env(HOLD, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(
        lines.any(|line| line.is_ok_and(|line| line.contains("held"))),
        "the second process did not open the store"
    );
    child
}

#[test]
fn a_store_is_locked_by_this_process_and_by_others() {
    let (dir, store) = store();
    let locked = |by: u32| match Store::open(dir.path()) {
        Err(error @ Error::StoreLocked { .. }) => {
            assert!(error.is_retriable());
            let Error::StoreLocked { path, pid } = error else { unreachable!() };
            assert_eq!((path.as_path(), pid), (dir.path(), Some(by)));
        }
        other => panic!("{other:?}"),
    };
    locked(std::process::id());
    // Deleting the lock file does not help: the directory is locked.
    std::fs::remove_file(dir.path().join(".lock")).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::StoreLocked { pid: None, .. })));
    store.close().unwrap();
    let mut child = held_elsewhere(dir.path());
    let before = tree(dir.path());
    locked(child.id());
    assert_eq!(before, tree(dir.path()), "a refused open changed a file");
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open(dir.path()).unwrap();
}

#[test]
fn every_handle_of_a_closed_store_says_so() {
    for with_commits in [true, false] {
        let (dir, store) = store();
        let topic = store.topic(TOPIC).unwrap();
        let partition = topic.partition(0).unwrap();
        let producer = store.producer();
        producer.send(Record::to(TOPIC).value("x")).unwrap();
        let at_memory = crate::common::producer(&store, Durability::Memory);
        let bound = producer.bind(TOPIC).unwrap();
        let mut reader = partition.read_from(0).unwrap();
        let mut consumer = assigned(&store, StartFrom::Earliest);
        let kept = consumer.poll(Duration::ZERO).unwrap();
        if with_commits {
            consumer.commit().unwrap();
        }
        let place = TopicPartition::new(TOPIC, 0);
        store.close().unwrap();
        store.close().unwrap();
        let before = tree(dir.path());
        let record = || Record::to(TOPIC).value("y");
        let calls: Vec<(&str, Result<(), Error>)> = vec![
            ("topic", store.topic(TOPIC).map(drop)),
            ("create_topic", store.create_topic("t", TopicConfig::new()).map(drop)),
            ("ensure_topic", store.ensure_topic(TOPIC, TopicConfig::new()).map(drop)),
            ("add_partitions", store.add_partitions(TOPIC, 9).map(drop)),
            ("alter_topic", store.alter_topic(TOPIC, TopicConfig::new()).map(drop)),
            ("delete_topic", store.delete_topic(TOPIC)),
            ("delete_group", store.delete_group("billing")),
            ("maintain", store.maintain()),
            ("send", producer.send(record()).map(drop)),
            ("send at Memory", at_memory.send(record()).map(drop)),
            ("send_batch", producer.send_batch(&[record()]).map(drop)),
            ("flush", producer.flush()),
            ("bound send", bound.send(record()).map(drop)),
            ("bound flush", bound.flush()),
            ("append", partition.append(&[record()], Durability::Os).map(drop)),
            ("append_if", partition.append_if(1, &[record()], Durability::Os).map(drop)),
            ("partition flush", partition.flush()),
            ("fetch", reader.fetch().map(drop)),
            ("poll", consumer.poll(Duration::ZERO).map(drop)),
            ("commit_offsets", consumer.commit_offsets([(place, 0)])),
            ("topic flush", topic.flush()),
        ];
        for (what, outcome) in calls {
            match outcome {
                Err(Error::StoreClosed { path }) => assert!(path.starts_with(dir.path()), "{what}: {path:?}"),
                other => panic!("{what}, with commits {with_commits}: {other:?}"),
            }
        }
        drop((consumer, reader, bound, producer));
        assert_eq!(
            before,
            tree(dir.path()),
            "a call on a closed store changed a file, with commits {with_commits}"
        );
        assert_eq!(kept.iter().next().unwrap().value(), Some(&b"x"[..]), "what was fetched stays readable");
        let again = Store::open(dir.path()).unwrap();
        assert!(again.recovery().iter().all(|report| report.clean));
        assert_eq!(records(&again.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 1);
    }
}

#[test]
fn records_in_memory_are_lost_once_and_told_by_a_send_and_by_the_flush() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let partition = store.create_topic(TOPIC, TopicConfig::new()).unwrap().partition(0).unwrap();
    let memory = store
        .producer_builder()
        .durability(Durability::Memory)
        .linger(Duration::from_secs(60))
        .build()
        .unwrap();
    memory.send(Record::to(TOPIC).value("kept")).unwrap();
    memory.flush().unwrap();
    for told_by_flush in [true, false] {
        let first = partition.end();
        let sent: Vec<_> =
            (0..3).map(|_| memory.send(Record::to(TOPIC).value("lost")).unwrap().offset).collect();
        assert_eq!(sent, [first, first + 1, first + 2]);
        files.fail_next(Call::Write, ".log", ENOSPC);
        let error = if told_by_flush {
            memory.flush().unwrap_err()
        } else {
            // A reader asks for the batch; the next sender is told.
            assert_eq!(partition.read_from(first).unwrap().fetch().unwrap().len(), 0);
            memory.send(Record::to(TOPIC).value("not sent")).unwrap_err()
        };
        assert!(error.is_disk_full() && error.is_retriable(), "{error:?}");
        match &error {
            Error::Lost { partition, first: lost, last, cause } => {
                assert_eq!((partition, *lost, *last), (&("orders", 0).into(), first, first + 2));
                assert!(matches!(**cause, Error::Io { operation: "write", .. }));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            memory.send(Record::to(TOPIC).value("kept")).unwrap().offset,
            first,
            "its offset is given out again"
        );
        if !told_by_flush {
            // Whoever sent them may be another.
            let error = memory.flush().unwrap_err();
            assert!(
                matches!(error, Error::Lost { first: lost, last, .. } if (lost, last) == (first, first + 2))
            );
        }
        memory.flush().unwrap();
    }
    assert!(records(&partition).iter().all(|(_, value)| value == b"kept"));
    assert_eq!(records(&partition).len(), 3);
}

#[test]
fn a_poisoned_partition_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let disk = producer(&store, Durability::Disk);
    files.fail_next(Call::Sync, ".log", ENOSPC);
    let error = disk.send(Record::to(TOPIC).value("unknown")).unwrap_err();
    match &error {
        Error::Io { path, operation: "sync", source } => {
            assert!(path.ends_with("orders-0/00000000000000000000.log"));
            assert_eq!(source.raw_os_error(), Some(ENOSPC));
        }
        other => panic!("{other:?}"),
    }
    let error = disk.send(Record::to(TOPIC).value("refused")).unwrap_err();
    assert!(
        matches!(&error, Error::Poisoned { partition: Some(partition), .. } if *partition == ("orders", 0).into()),
        "{error:?}"
    );
    assert!(!error.is_disk_full(), "a disk that was full during a sync is nothing to wait out");
    assert!(!error.is_retriable(), "{error:?}");
    assert!(error.to_string().contains("reopen"), "{error}");
}
