//! Names, configurations, arguments and times that cannot be.

use super::*;

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
