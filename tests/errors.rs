//! Every error of the public interface, provoked through it, with what it says; damaged and newer files; full disks.
//!
//! Some tests here start this binary again as a second process.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
mod common;

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

use annals_testing::{Call, Fault, FaultyFileSystem, Times};
use common::{
    TOPIC, batch_ends, by_hand, copy_dir, files_of, kill_and_copy, on_faulty, producer, records,
    small_segments, tree, value_of,
};

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
fn invalid_names() {
    let (dir, store) = store();
    let before = tree(dir.path());
    let long = "n".repeat(250);
    for name in ["", ".", "..", "a/b", "a b", "ä", "a\0b", "__consumer_offsets", &long] {
        match store.create_topic(name, TopicConfig::new()) {
            Err(Error::InvalidName { kind: "topic", name: found, reason }) => {
                assert_eq!(found, name);
                assert!(!reason.is_empty());
            }
            other => panic!("{name:?}: {other:?}"),
        }
    }
    let group = "g".repeat(32_768);
    for name in ["", &group] {
        match store.consumer(name) {
            Err(Error::InvalidName { kind: "group", name: found, .. }) => assert_eq!(found, name),
            other => panic!("{other:?}"),
        }
    }
    assert!(store.create_topic(&"n".repeat(249), TopicConfig::new()).is_ok());
    drop(store.delete_topic(&"n".repeat(249)));
    assert_eq!(before.keys().collect::<Vec<_>>(), tree(dir.path()).keys().collect::<Vec<_>>());
}

#[test]
fn invalid_configurations() {
    let (_dir, store) = store();
    let refused = |config: TopicConfig, setting: &str, given: &str| match store.create_topic("t", config) {
        Err(Error::InvalidConfig { key, value, reason }) => {
            assert_eq!((key.as_str(), value.as_str()), (setting, given));
            assert!(!reason.is_empty());
        }
        other => panic!("{setting}: {other:?}"),
    };
    refused(TopicConfig::new().partitions(0), "partitions", "0");
    refused(TopicConfig::new().segment_bytes(13), "segment.bytes", "13");
    refused(TopicConfig::new().set("retention.hours", "1"), "retention.hours", "1");
    refused(TopicConfig::new().set("compression.type", "brotli"), "compression.type", "brotli");
    for count in [0, 1, 100_001] {
        let error = store.add_partitions(TOPIC, count).unwrap_err();
        assert!(matches!(&error, Error::InvalidConfig { key, .. } if key == "partitions"), "{error:?}");
    }
    let error = store.alter_topic(TOPIC, TopicConfig::new().max_message_bytes(1)).unwrap_err();
    assert!(matches!(&error, Error::InvalidConfig { key, .. } if key == "max.message.bytes"), "{error:?}");
    let keys = [
        store.producer_builder().batch_size(2).buffer_memory(1).build().map(drop),
        store.consumer_builder().max_poll_records(0).build().map(drop),
        store.consumer_builder().fetch_max_bytes(0).build().map(drop),
        store.consumer_builder().max_partition_fetch_bytes(0).build().map(drop),
        store.consumer_builder().auto_commit(Duration::ZERO).build().map(drop),
        store.consumer_builder().build().unwrap().subscribe([TOPIC]),
        store.consumer_builder().build().unwrap().commit_offsets([(TopicPartition::new(TOPIC, 0), 0)]),
    ]
    .map(|outcome| match outcome {
        Err(Error::InvalidConfig { key, .. }) => key,
        other => panic!("{other:?}"),
    });
    let expected = [
        "buffer.memory",
        "max.poll.records",
        "fetch.max.bytes",
        "max.partition.fetch.bytes",
        "enable.auto.commit",
        "group.id",
        "group.id",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn invalid_arguments() {
    let (_dir, store) = store();
    store.create_topic("payments", TopicConfig::new().partitions(2)).unwrap();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    let producer = store.producer();
    let mut consumer = assigned(&store, StartFrom::Earliest);
    let mixed = [Record::to(TOPIC), Record::to("payments")];
    let apart = [Record::to("payments").partition(0), Record::to("payments").partition(1)];
    let long = "m".repeat(4097);
    for (what, error) in [
        ("no records", producer.send_batch(&[]).unwrap_err()),
        ("no records", partition.append(&[], Durability::Os).unwrap_err()),
        ("no topic", producer.send(Record::new()).unwrap_err()),
        ("two topics", producer.send_batch(&mixed).unwrap_err()),
        ("two partitions", producer.send_batch(&apart).unwrap_err()),
        ("a negative offset", consumer.seek((TOPIC, 0), -1).unwrap_err()),
        ("metadata", consumer.commit_with_metadata([(TopicPartition::new(TOPIC, 0), 0)], &long).unwrap_err()),
    ] {
        assert!(
            matches!(&error, Error::InvalidArgument { reason } if !reason.is_empty()),
            "{what}: {error:?}"
        );
        assert!(!error.is_retriable(), "{what}");
    }
    consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 0)]).unwrap();
    let error = producer.send(Record::to("__consumer_offsets").key("k")).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    let mut member = store.consumer("billing").unwrap();
    member.subscribe([TOPIC]).unwrap();
    assert!(matches!(store.delete_group("billing"), Err(Error::InvalidArgument { .. })));
}

#[test]
fn timestamps_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let store = by_hand(dir.path()).clock(Arc::new(ManualClock::at(1_000_000))).open().unwrap();
    let config = TopicConfig::new()
        .message_timestamp_before_max(Duration::from_millis(1000))
        .message_timestamp_after_max(Duration::from_millis(10));
    store.create_topic(TOPIC, config).unwrap();
    for (given, accepted) in
        [(998_999, false), (999_000, true), (1_000_010, true), (1_000_011, false), (-1, true), (-2, false)]
    {
        match store.producer().send(Record::to(TOPIC).timestamp(given)) {
            Ok(at) => assert!(accepted && at.timestamp == given, "{given}"),
            Err(Error::InvalidTimestamp { timestamp, earliest: 999_000, latest: 1_000_010 }) => {
                assert!(!accepted && timestamp == given, "{given}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // With the widest limits the ends of the range are no overflow.
    store.create_topic("any", TopicConfig::new().message_timestamp_after_max(Duration::MAX)).unwrap();
    assert_eq!(store.producer().send(Record::to("any").timestamp(i64::MAX)).unwrap().timestamp, i64::MAX);
    assert!(matches!(
        store.producer().send(Record::to("any").timestamp(i64::MIN)),
        Err(Error::InvalidTimestamp { timestamp: i64::MIN, earliest: 0, latest: i64::MAX })
    ));
}

/// A loop that tries again what may be tried again must end.
#[test]
fn what_can_never_succeed_is_not_retriable() {
    let (dir, store) = store();
    store.create_topic("t", TopicConfig::new()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value("1"), Record::new().value("2")], Durability::Os).unwrap();
    let conflict = partition.append_if(1, &[Record::new()], Durability::Os).unwrap_err();
    assert!(conflict.is_conflict() && !conflict.is_retriable(), "{conflict:?}");
    let file = dir.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("beneath")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && !error.is_retriable(), "{error:?}");
    }
    let io = |code| Error::Io {
        path: file.clone(),
        operation: "write",
        source: Arc::new(std::io::Error::from_raw_os_error(code)),
    };
    let again =
        [libc::EINTR, libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOSPC, libc::EDQUOT, libc::ENOMEM];
    assert!(again.into_iter().all(|code| io(code).is_retriable()));
    let never = [libc::ENOENT, libc::ENOTDIR, libc::EACCES, libc::EROFS, libc::EIO, libc::EINVAL];
    assert!(never.into_iter().all(|code| !io(code).is_retriable()));
}

#[test]
fn texts_say_why_and_where() {
    let (dir, store) = store();
    store.create_topic("a.b", TopicConfig::new()).unwrap();
    let error = store.create_topic("a_b", TopicConfig::new()).unwrap_err().to_string();
    assert!(error.contains("`.` and `_`"), "{error}");
    let error = store.create_topic("a.b", TopicConfig::new()).unwrap_err().to_string();
    assert!(error.ends_with("topic \"a.b\" exists"), "{error}");
    let error = Store::open(store.path()).unwrap_err().to_string();
    assert!(error.ends_with("is open in this process already: close it first"), "{error}");
    let other = Error::StoreLocked { path: dir.path().into(), pid: Some(1) }.to_string();
    assert!(other.ends_with("is locked by process 1: close it there first"), "{other}");
}

#[test]
fn a_record_that_was_read_is_sent_on_with_all_it_has() {
    let (_dir, store) = store();
    let topic = store.create_topic("t", TopicConfig::new()).unwrap();
    store.create_topic("letters", TopicConfig::new()).unwrap();
    let record = Record::to("t").key("k").timestamp(5).header("h", "1").null_header("h").header("h", "2");
    store.producer().send(record).unwrap();
    let read = topic.partition(0).unwrap().get(0).unwrap().unwrap();
    assert_eq!(read.header("h"), Some(&b"2"[..]));
    assert_eq!(read.header("other"), None);
    assert_eq!(read.time(), Some(std::time::UNIX_EPOCH + Duration::from_millis(5)));
    store.producer().send(Record::from(&read).topic("letters")).unwrap();
    let sent = store.topic("letters").unwrap().partition(0).unwrap().get(0).unwrap().unwrap();
    assert_eq!((&sent.key, &sent.value, &sent.headers), (&read.key, &read.value, &read.headers));
    assert_eq!((sent.timestamp, &*sent.topic), (5, "letters"));
    store.producer().send(Record::from(&read).topic("letters").timestamp(NO_TIMESTAMP)).unwrap();
    let sent = store.topic("letters").unwrap().partition(0).unwrap().get(1).unwrap().unwrap();
    assert_eq!(sent.time(), None);
}

/// Whichever way a time before 1970 comes, an append refuses it; looking for one finds the first record.
#[test]
fn times_before_1970_are_met_in_one_way() {
    let (_dir, store) = store();
    store.create_topic("t", TopicConfig::new()).unwrap();
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let before = |millis| epoch - Duration::from_millis(millis);
    for record in [
        Record::to("t").timestamp(-2),
        Record::to("t").timestamp(i64::MIN),
        Record::to("t").time(before(1)),
        Record::to("t").time(before(8 * 365 * 86_400_000)),
    ] {
        let error = store.producer().send(record).unwrap_err();
        assert!(matches!(error, Error::InvalidTimestamp { earliest: 0, .. }), "{error:?}");
    }
    store.producer().send(Record::to("t").timestamp(NO_TIMESTAMP)).unwrap();
    store.producer().send(Record::to("t").time(epoch)).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    let times: Vec<_> =
        partition.read(..).unwrap().into_iter().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [NO_TIMESTAMP, 0]);
    let mut consumer = assigned(&store, StartFrom::Latest);
    consumer.assign([("t", 0)]).unwrap();
    for time in [-1, -5, i64::MIN] {
        assert_eq!(partition.offset_for_time(time).unwrap().map(|found| found.offset), Some(0), "{time}");
        consumer.seek_to_time(time).unwrap();
        assert_eq!(consumer.position(("t", 0)).unwrap(), 0, "{time}");
    }
    assert_eq!(partition.offset_for_time(0).unwrap().map(|found| found.offset), Some(1));
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
        .args(["--exact", "holds_a_store_for_another_process", "--nocapture"])
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
            ("send at Memory", common::producer(&store, Durability::Memory).send(record()).map(drop)),
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
fn records_in_memory_are_lost_once_and_told_once() {
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

#[test]
fn an_io_error_names_the_file_and_what_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    match Store::open(&file) {
        Err(Error::Io { path, operation, source }) => {
            assert!(path.starts_with(&file), "{path:?}");
            assert!(!operation.is_empty());
            assert_eq!(source.kind(), std::io::ErrorKind::NotADirectory);
        }
        other => panic!("{other:?}"),
    }
    // A failed read is no damage and no end of the log.
    let files = FaultyFileSystem::watching_order();
    let store =
        on_faulty(&dir.path().join("store"), &files).read_mode(annals::ReadMode::Positional).open().unwrap();
    let partition = store.create_topic(TOPIC, TopicConfig::new()).unwrap().partition(0).unwrap();
    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
    files.fail_next(Call::Read, ".log", EIO);
    let mut consumer = assigned(&store, StartFrom::Earliest);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::Io { operation: "read", .. }) && !error.is_corruption());
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    files.fail_next(Call::Read, ".log", EIO);
    let mut skipping = store.consumer_builder().on_damage(OnDamage::Skip).build().unwrap();
    skipping.assign([(TOPIC, 0)]).unwrap();
    assert!(
        matches!(skipping.poll(Duration::ZERO), Err(Error::Io { .. })),
        "an unreadable file is not skipped as damaged"
    );
    assert_eq!((records(&partition).len(), skipping.poll(Duration::ZERO).unwrap().len()), (1, 1));
}

#[test]
fn a_full_disk_gives_way_through_the_seam() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let partition = store.create_topic(TOPIC, small_segments()).unwrap().partition(0).unwrap();
    let os = store.producer();
    os.send(Record::to(TOPIC).value("first")).unwrap();
    files.fail(&[Call::Write, Call::Allocate, Call::Create], "", (0, Times::ForEver), Fault::Error(ENOSPC));
    for _ in 0..3 {
        let error = os.send(Record::to(TOPIC).value("refused")).unwrap_err();
        assert!(error.is_disk_full() && error.is_retriable(), "{error:?}");
        assert_eq!(records(&partition).len(), 1, "what is there stays readable");
    }
    files.heal();
    assert_eq!(os.send(Record::to(TOPIC).value("second")).unwrap().offset, 1);
    store.close().unwrap();
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A mount that goes with the value.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let target = dir.path().to_str().expect("UTF-8").to_owned();
        run("mount", &[arguments, &[target.as_str()]].concat()).then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap_or_default()]);
    }
}

#[test]
fn a_full_disk_gives_way_on_a_small_file_system() {
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"]) else {
        println!("SKIPPED: a tmpfs cannot be mounted here, a full disk was only simulated");
        return;
    };
    let root = mount.path().join("store");
    let store = by_hand(&root).open().unwrap();
    let partition =
        store.create_topic(TOPIC, TopicConfig::new().segment_bytes(64 << 10)).unwrap().partition(0).unwrap();
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 128 << 10]).unwrap();
    let mut full = 0;
    let mut accepted = 0;
    for number in 0..2000 {
        let value = format!("{}{}", value_of(number), "x".repeat(700));
        match store.producer().send(Record::to(TOPIC).value(&value)) {
            Ok(at) => {
                assert_eq!(at.offset, accepted);
                accepted += 1;
            }
            Err(error) => {
                assert!(error.is_disk_full(), "{error:?}");
                full += 1;
                if full == 3 {
                    std::fs::remove_file(&ballast).unwrap();
                }
                if full > 20 {
                    break;
                }
            }
        }
    }
    assert!(full > 20, "the disk never filled");
    assert_eq!(records(&partition).len() as i64, accepted);
    // Full to the brim: opening needs no room, and room is all that appending needs.
    drop(store.close());
    let filler = mount.path().join("filler");
    drop(std::fs::write(&filler, vec![1; 512 << 10]));
    let store = by_hand(&root).open().unwrap();
    let partition = store.topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!(records(&partition).len() as i64, accepted);
    std::fs::remove_file(&filler).unwrap();
    std::fs::remove_file(&ballast).unwrap_or_default();
    println!("a tmpfs of 512 KiB took {accepted} records");
}

#[test]
fn a_read_only_directory_is_an_error_and_nothing_worse() {
    // As root, permission bits are no obstacle: the directory is mounted read-only where that is possible.
    let (dir, store) = store();
    store.producer().send(Record::to(TOPIC).value("x")).unwrap();
    store.close().unwrap();
    let before = tree(dir.path());
    match Mount::new(&["--bind", dir.path().to_str().unwrap()]) {
        Some(mount) if run("mount", &["-o", "remount,ro,bind", mount.path().to_str().unwrap()]) => {
            match Store::open(mount.path()) {
                Err(Error::Io { source, .. }) => {
                    assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem)
                }
                other => panic!("{other:?}"),
            }
        }
        _ => println!("SKIPPED: nothing can be mounted here, a read-only directory is only simulated"),
    }
    assert_eq!(before, tree(dir.path()));
    let files = FaultyFileSystem::watching_order();
    let all = [&Call::MUTATING[..], &[Call::Lock]].concat();
    files.fail(&all, "", (0, Times::ForEver), Fault::Error(EROFS));
    assert!(matches!(on_faulty(dir.path(), &files).open(), Err(Error::Io { operation: "lock", .. })));
    files.heal();
    // Read-only from some moment on: reading goes on, sending fails, nothing panics on the way out.
    let store = on_faulty(dir.path(), &files).open().unwrap();
    files.fail(&Call::MUTATING, "", (0, Times::ForEver), Fault::Error(EROFS));
    let error = store.producer().send(Record::to(TOPIC).value("y")).unwrap_err();
    assert!(matches!(&error, Error::Io { source, .. } if source.raw_os_error() == Some(EROFS)), "{error:?}");
    assert_eq!(records(&store.topic(TOPIC).unwrap().partition(0).unwrap()).len(), 1);
    drop(store);
    assert_eq!(before, tree(dir.path()));
}

/// A store with sealed segments, an active one, commits; closed, or as a kill leaves it after a flush.
fn full_store(closed: bool) -> (tempfile::TempDir, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let work = tempfile::tempdir().expect("a directory");
    let store = by_hand(work.path()).open().expect("a new store");
    store.create_topic(TOPIC, small_segments()).expect("a new topic");
    let mut sent = 0;
    while files_of(work.path(), "orders-0", ".log").len() < 4 || sent % 10 != 0 {
        let value = value_of(sent);
        store.producer().send(Record::to(TOPIC).timestamp(time_of(sent)).value(&value)).expect("a send");
        sent += 1;
    }
    let mut consumer = assigned(&store, StartFrom::Earliest);
    consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 7)]).expect("a commit");
    drop(consumer);
    store.producer().flush().expect("a flush");
    if closed {
        store.close().expect("a close");
        copy_dir(work.path(), dir.path());
    } else {
        kill_and_copy(store, work.path(), dir.path());
    }
    (dir, usize::try_from(sent).expect("a count"))
}

fn time_of(number: i64) -> i64 {
    1_000 + number * 10
}

/// Everything that a full store holds is there, and found.
fn check_whole(dir: &Path, sent: usize) -> Result<(), Error> {
    let store = by_hand(dir).open()?;
    let mut consumer = store.consumer_builder().max_poll_records(7).build()?;
    consumer.assign([(TOPIC, 0)])?;
    let mut offset = 0;
    loop {
        let fetched = consumer.poll(Duration::ZERO)?;
        if fetched.is_empty() {
            break;
        }
        for record in &fetched {
            assert_eq!(record.offset(), offset);
            assert_eq!(record.value(), Some(value_of(offset).as_bytes()), "offset {offset}");
            offset += 1;
        }
    }
    assert_eq!(usize::try_from(offset).expect("a count"), sent, "fewer records and no error");
    let partition = store.topic(TOPIC)?.partition(0)?;
    for offset in (0..offset).step_by(11) {
        let mut reader = partition.read_from(offset)?;
        assert_eq!(reader.fetch()?.iter().next().map(|record| record.offset()), Some(offset));
        for time in [time_of(offset), time_of(offset) - 9] {
            let found = partition.offset_for_time(time)?.map(|found| (found.offset, found.timestamp));
            assert_eq!(found, Some((offset, time_of(offset))), "by time {time}");
        }
    }
    let committed = store.committed("billing");
    assert_eq!(committed.get(&TopicPartition::new(TOPIC, 0)).map(|at| at.offset), Some(7));
    Ok(())
}

#[test]
fn cut_and_emptied_files_of_each_kind() {
    let mut seen = Vec::new();
    for closed in [true, false] {
        let (original, sent) = full_store(closed);
        check_whole(original.path(), sent).unwrap();
        let (original, sent) = full_store(closed);
        for (name, bytes) in tree(original.path()) {
            for keep in [0, bytes.len() / 2, bytes.len().saturating_sub(1)] {
                if keep >= bytes.len() {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                copy_dir(original.path(), dir.path());
                let path = dir.path().join(&name);
                std::fs::write(&path, &bytes[..keep]).unwrap();
                let before = tree(dir.path());
                let opened = by_hand(dir.path()).open();
                let refused = opened.is_err();
                drop(opened);
                if refused {
                    assert_eq!(
                        before,
                        tree(dir.path()),
                        "a refused open changed a byte: {name:?}, {keep} bytes"
                    );
                }
                let name = name.to_string_lossy().into_owned();
                let what = format!("closed {closed}: {name} cut to {keep} of {} bytes", bytes.len());
                let outcome = check_whole(dir.path(), sent);
                let is_index = name.ends_with("index");
                // What lies behind the last batch of an active file that was not closed was allocated ahead.
                let used = batch_ends(&bytes).last().map_or(0, |(end, _)| usize::try_from(*end).unwrap());
                let is_spare = name.ends_with(".log") && keep >= used;
                match &outcome {
                    Ok(()) => assert!(is_index || is_spare, "{what}: nobody noticed"),
                    Err(error) => {
                        assert!(!is_index && !is_spare, "{what}: {error}");
                        let Error::Corrupt { path: found, reason, .. } = error else {
                            panic!("{what}: {error:?}")
                        };
                        assert_eq!(found, &path, "{what}: {error}");
                        assert!(!reason.is_empty() && error.is_corruption());
                    }
                }
                seen.push((name, refused, outcome.is_ok()));
                if outcome.is_ok() {
                    // It was opened and closed, and has a new life: the old file belongs to the one before.
                    continue;
                }
                // Nothing was lost by trying.
                std::fs::write(&path, &bytes).unwrap();
                check_whole(dir.path(), sent)
                    .unwrap_or_else(|error| panic!("{what}, then restored: {error}"));
            }
        }
    }
    for kind in [
        "annals.topics",
        "orders-0/annals.state",
        "orders-0/00000000000000000000.log",
        "__consumer_offsets-0/annals.state",
    ] {
        assert!(seen.iter().any(|(name, ..)| name == kind), "{kind} was not tried");
    }
    assert!(seen.iter().any(|(name, _, whole)| name.ends_with(".timeindex") && *whole));
    println!(
        "{} cut files: {} refused at open",
        seen.len(),
        seen.iter().filter(|(_, refused, _)| *refused).count()
    );
}

#[test]
fn wrong_indexes_cost_time_and_nothing_else() {
    let (original, sent) = full_store(true);
    let indexes =
        tree(original.path()).into_iter().filter(|(name, _)| name.to_string_lossy().ends_with("index"));
    let mut tried = 0;
    for (name, bytes) in indexes.filter(|(_, bytes)| !bytes.is_empty()) {
        let flipped = |mask: u8| bytes.iter().map(|byte| byte ^ mask).collect::<Vec<_>>();
        let mut shifted = bytes.clone();
        shifted.rotate_left(1);
        let mut swollen = bytes.clone();
        // Every entry's last byte, which is small enough to lead to a place that exists.
        swollen.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = byte.wrapping_add(40));
        for wrong in [vec![0; bytes.len()], flipped(1), flipped(0xff), shifted, swollen] {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(original.path(), dir.path());
            std::fs::write(dir.path().join(&name), &wrong).unwrap();
            check_whole(dir.path(), sent).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
            assert_eq!(std::fs::read(dir.path().join(&name)).unwrap(), bytes, "it was not built anew");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn missing_files_of_each_kind() {
    for closed in [true, false] {
        let (original, sent) = full_store(closed);
        for name in tree(original.path()).into_keys() {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(original.path(), dir.path());
            std::fs::remove_file(dir.path().join(&name)).unwrap();
            let before = tree(dir.path());
            let name = name.to_string_lossy().into_owned();
            match check_whole(dir.path(), sent) {
                Ok(()) => assert!(name.ends_with("index"), "closed {closed}: nobody missed {name}"),
                Err(error) => {
                    assert!(error.is_corruption(), "closed {closed}, {name}: {error:?}");
                    assert!(error.to_string().contains("missing"), "closed {closed}, {name}: {error}");
                    // The other topics are open, and are closed like any.
                    let of_topic = |mut files: std::collections::BTreeMap<PathBuf, Vec<u8>>| {
                        files.retain(|path, _| path.parent() == Path::new(&name).parent());
                        files
                    };
                    let (before, after) = (of_topic(before), of_topic(tree(dir.path())));
                    assert!(before == after, "closed {closed}, {name}: a refused open changed something");
                }
            }
        }
    }
}

/// A closed store of two topics with a record in each partition.
fn small_store(dir: &Path) {
    let store = by_hand(dir).open().unwrap();
    for (name, partitions) in [(TOPIC, 2), ("payments", 1)] {
        let topic = store.create_topic(name, TopicConfig::new().partitions(partitions)).unwrap();
        for partition in topic.partitions() {
            partition.append(&[Record::new().value("one")], Durability::Os).unwrap();
        }
    }
    store.close().unwrap();
}

/// Each file in such a directory is as good as those that belong there.
#[test]
fn a_directory_of_another_partition_topic_or_store_is_refused() {
    let (original, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    small_store(original.path());
    small_store(other.path());
    let others = [
        (original.path().join("orders-1"), "belongs to another partition"),
        (original.path().join("payments-0"), "belongs to another topic"),
        (other.path().join("orders-0"), "belongs to another store"),
    ];
    for (from, why) in others {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let place = dir.path().join("orders-0");
        std::fs::remove_dir_all(&place).unwrap();
        copy_dir(&from, &place);
        let before = tree(dir.path());
        let store = by_hand(dir.path()).open().unwrap();
        let error = store.topic(TOPIC).map(drop).unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains(why), "{why}: {error:?}");
        store.topic("payments").unwrap();
        store.close().unwrap();
        assert_eq!(before, tree(dir.path()), "{why}: a refused open changed something");
    }
}

#[test]
fn files_of_a_newer_version_are_named_as_such() {
    let (original, sent) = full_store(true);
    let newer = |change: &dyn Fn(&Path) -> PathBuf, what_expected: &str, found_expected: u32| {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let changed = change(dir.path());
        let before = tree(dir.path());
        match check_whole(dir.path(), sent) {
            Err(error @ Error::UnsupportedFormat { .. }) => {
                assert!(error.to_string().contains("newer annals"), "{error}");
                let Error::UnsupportedFormat { path, what, found, supported } = error else { unreachable!() };
                assert_eq!(
                    (path, what, found, supported),
                    (changed, what_expected, found_expected, found_expected - 1)
                );
            }
            other => panic!("{what_expected}: {other:?}"),
        }
        assert_eq!(before, tree(dir.path()), "{what_expected}: something was changed");
    };
    let state = |dir: &Path| {
        let path = dir.join("orders-0/annals.state");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[8..12], 1_u32.to_be_bytes());
        bytes[8..12].copy_from_slice(&3_u32.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, bytes).unwrap();
        path
    };
    newer(&state, "state file version", 3);
    let topics = |dir: &Path| {
        let path = dir.join("annals.topics");
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let first = first.strip_suffix('1').unwrap();
        std::fs::write(&path, format!("{first}2\n{rest}")).unwrap();
        path
    };
    newer(&topics, "topic file version", 2);
}

/// The state file says how new a partition's files are, so a batch of another version is damage, with its place.
#[test]
fn a_batch_of_another_version_is_damaged() {
    let (original, sent) = full_store(true);
    for (segment, magic) in [(0, 3), (3, 3), (0, 0x42), (3, 1)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(original.path(), dir.path());
        let changed = files_of(dir.path(), "orders-0", ".log")[segment].clone();
        let mut bytes = std::fs::read(&changed).unwrap();
        assert_eq!(bytes[16], 2);
        bytes[16] = magic;
        std::fs::write(&changed, bytes).unwrap();
        let base: i64 = changed.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        match check_whole(dir.path(), sent) {
            Err(Error::Corrupt { path, position: 0, offset, reason }) => {
                assert_eq!((path, offset), (changed, Some(base)));
                assert!(reason.contains(&format!("magic {magic} is not 2")), "{reason}");
            }
            other => panic!("magic {magic} in segment {segment}: {other:?}"),
        }
    }
}
