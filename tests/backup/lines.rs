//! Topics as lines of text.

use std::time::Duration;

use annals::{CleanupPolicy, Error, OwnedRecord, Record, Store, Topic, TopicConfig};

fn all(topic: &Topic) -> Vec<(u32, OwnedRecord)> {
    let partitions = topic.partitions();
    let records = partitions
        .iter()
        .flat_map(|one| one.read(..).unwrap().into_iter().map(|record| (one.number(), record.unwrap())));
    records.collect()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let (_dir, store) = store();
    let topic = store.create_topic("all-sorts", TopicConfig::new().partitions(3)).unwrap();
    let producer = store.producer();
    let bytes: Vec<u8> = (0..=255).collect();
    let letters: String = ('\0'..'\u{2ff}').collect();
    for number in 0..300_u32 {
        let record = Record::to("all-sorts").partition(number % 3).timestamp(i64::from(number) - 1);
        let record = match number % 5 {
            0 => record,
            1 => record.key("").value(""),
            2 => record.key(&bytes).value(&letters),
            3 => record.key(&letters).value(&bytes).header("a", &bytes).null_header("").header("a", "b"),
            _ => record.value("line\nline\r\n\u{2028}\""),
        };
        producer.send(record).unwrap();
    }
    let mut open = store.transaction_builder("open").buffer_bytes(1).begin().unwrap();
    open.send(Record::to("all-sorts").partition(0).value("undecided")).unwrap();
    let mut lines = Vec::new();
    assert_eq!(topic.export(&mut lines).unwrap(), 300);
    let again = store.create_topic("again", TopicConfig::new().partitions(3)).unwrap();
    // In pieces of any size, with empty lines, and without an end of the last line.
    lines.splice(0..0, *b"\n  \r\n");
    lines.pop();
    let reader = std::io::BufReader::with_capacity(7, &*lines);
    assert_eq!(again.import(reader).unwrap(), 300);
    open.abort().unwrap();
    let strip = |topic: &Topic| {
        let records = all(topic).into_iter();
        records.map(|(at, one)| (at, one.timestamp, one.key, one.value, one.headers)).collect::<Vec<_>>()
    };
    assert_eq!(strip(&again), strip(&topic));
    assert!(again.partitions().iter().all(|one| one.durable() == one.end()));
    // Another number of partitions.
    let fewer = store.create_topic("fewer", TopicConfig::new().partitions(2)).unwrap();
    assert_eq!(fewer.import_by_key(&*lines).unwrap(), 300);
    let mut partitions_of_keys = std::collections::BTreeMap::new();
    for (partition, record) in all(&fewer) {
        if let Some(key) = record.key {
            assert_eq!(*partitions_of_keys.entry(key).or_insert(partition), partition);
        }
    }
}

#[test]
fn a_line_at_fault_is_named_and_what_stands_before_it_is_there() {
    let (_dir, store) = store();
    let topic = store.create_topic("orders", TopicConfig::new().max_message_bytes(1000)).unwrap();
    let large = format!("{{\"value\":\"{}\"}}", "x".repeat(2000));
    for (fault, why) in [
        ("{\"key\":\"c\"", "missing"),
        ("nonsense", "missing"),
        ("{\"partition\":7}", "partition 7 is none of the 1 of the topic: Topic::import_by_key"),
        (large.as_str(), "exceeds"),
    ] {
        let before = topic.partition(0).unwrap().end();
        let lines = format!("{{\"key\":\"a\"}}\n\n{{\"key\":\"b\"}}\n{fault}\n{{\"key\":\"d\"}}\n");
        match topic.import(lines.as_bytes()) {
            Err(error @ Error::Import { line: 4, records: 2, .. }) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(topic.partition(0).unwrap().end(), before + 2, "{fault}");
    }
    // Many small ones are cut into batches that fit.
    let many = "{\"value\":\"a record of some length\"}\n".repeat(500);
    assert_eq!(topic.import(many.as_bytes()).unwrap(), 500);
}

/// The second half was not looked at before it was counted with.
#[test]
fn two_first_halves_of_a_character_ended_an_import_with_a_panic() {
    let (_dir, store) = store();
    let topic = store.create_topic("orders", TopicConfig::new()).unwrap();
    for fault in ["\\ud800\\u0041", "\\udbff\\udbff", "\\ud800"] {
        let line = format!("{{\"key\":\"{fault}\"}}");
        match topic.import(line.as_bytes()) {
            Err(error @ Error::Import { line: 1, records: 0, .. }) => {
                assert!(error.to_string().contains("half a character"), "{error}");
            }
            other => panic!("{fault}: {other:?}"),
        }
    }
}

/// The first line of the batch was named, and what stands before the one at fault was not there.
#[test]
fn a_line_whose_record_the_topic_refuses_is_named_among_those_that_are_appended_with_it() {
    let (_dir, store) = store();
    let compacted = TopicConfig::new()
        .cleanup_policy(CleanupPolicy::Compact)
        .message_timestamp_after_max(Duration::from_secs(3600));
    let topic = store.create_topic("visits", compacted).unwrap();
    for (fault, why) in [
        ("{\"value\":\"c\"}", "needs a key"),
        ("{\"key\":\"c\",\"timestamp\":-7}", "timestamp -7"),
        ("{\"key\":\"c\",\"timestamp\":9000000000000}", "timestamp 9000000000000"),
    ] {
        let before = topic.partition(0).unwrap().end();
        let lines = format!("\n{{\"key\":\"a\"}}\n\n{{\"key\":\"b\"}}\n{fault}\n{{\"key\":\"d\"}}\n");
        match topic.import(lines.as_bytes()) {
            Err(error @ Error::Import { line: 5, records: 2, .. }) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(topic.partition(0).unwrap().end(), before + 2, "{fault}");
    }
}

#[test]
fn a_line_without_a_key_goes_by_its_number_modulo_those_that_there_are() {
    let (_dir, store) = store();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let lines =
        "{\"partition\":7,\"value\":\"7\"}\n{\"value\":\"none\"}\n{\"partition\":4,\"value\":\"4\"}\n";
    assert_eq!(topic.import_by_key(lines.as_bytes()).unwrap(), 3);
    let placed: Vec<_> = all(&topic).into_iter().map(|(at, one)| (at, one.value.unwrap())).collect();
    assert_eq!(placed, [(0, b"none".to_vec()), (0, b"4".to_vec()), (1, b"7".to_vec())]);
}

/// A misspelt `value` was a record of null, and of two timestamps the last was taken.
#[test]
fn a_misspelt_member_of_a_line_is_refused_with_its_line_and_name() {
    let (_dir, store) = store();
    let topic = store.create_topic("orders", TopicConfig::new()).unwrap();
    for (fault, why) in [
        (r#"{"key":"c","vlaue":"v"}"#, r#""vlaue" is no member of a record"#),
        (r#"{"value":"v","headers":[{"name":"k","key":"k"}]}"#, r#""name" is no member of a header"#),
        (r#"{"value":"v","timestamp":1,"timestamp":2}"#, r#""timestamp" is there twice"#),
    ] {
        let before = topic.partition(0).unwrap().end();
        match topic.import(format!("{{\"value\":\"a\"}}\n{fault}\n{{\"value\":\"b\"}}\n").as_bytes()) {
            Err(error @ Error::Import { line: 2, records: 1, .. }) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{fault}: {other:?}"),
        }
        assert_eq!(topic.partition(0).unwrap().end(), before + 1, "{fault}");
    }
}

#[test]
fn an_endless_line_and_a_writer_that_fails_end_it() {
    struct Endless;
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(b'x');
            Ok(into.len())
        }
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_dir, store) = store();
    let topic = store.create_topic("orders", TopicConfig::new()).unwrap();
    let endless = topic.import(std::io::BufReader::with_capacity(1 << 20, Endless));
    assert!(matches!(endless, Err(Error::Import { line: 1, records: 0, .. })), "{endless:?}");
    store.producer().send(Record::to("orders").value("x")).unwrap();
    assert!(topic.export(Full).unwrap_err().is_disk_full());
}

#[test]
fn the_lines_before_one_that_cannot_be_read_are_there() {
    struct Breaks<'a>(&'a [u8]);
    impl std::io::Read for Breaks<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(into) {
                Ok(0) => Err(std::io::Error::other("the line was cut")),
                read => read,
            }
        }
    }
    struct Endless;
    impl std::io::Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(b'x');
            Ok(into.len())
        }
    }
    let (_dir, store) = store();
    let lines: String = (0..7).map(|number| format!("{{\"value\":\"{number}\"}}\n")).collect();
    let cut = store.create_topic("cut", TopicConfig::new()).unwrap();
    let failed = cut.import(std::io::BufReader::new(Breaks(lines.as_bytes())));
    assert!(matches!(failed, Err(Error::Import { line: 8, records: 7, .. })), "{failed:?}");
    let long = store.create_topic("long", TopicConfig::new()).unwrap();
    let failed = long.import(std::io::BufReader::new(std::io::Read::chain(lines.as_bytes(), Endless)));
    assert!(matches!(failed, Err(Error::Import { line: 8, records: 7, .. })), "{failed:?}");
    assert_eq!([cut, long].map(|topic| all(&topic).len()), [7, 7]);
}
