//! What streams answer.

use std::sync::Arc;
use std::time::Duration;

use annals::{
    CleanupPolicy, Condition, Durability, Error, Expected, Query, ReadMode, Record, Store, TopicConfig,
};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

use super::common::fast_dir;
use super::world::{compare, event, indexed};

#[test]
fn a_topic_without_a_key_index_says_what_to_set() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let plain = store.create_topic("plain", TopicConfig::new()).unwrap();
    for error in [
        plain.stream("a").unwrap_err(),
        plain.get("a").unwrap_err(),
        plain.append_to("a", Expected::Any, &[Record::new()]).unwrap_err(),
        plain.partition(0).unwrap().select(&Query::tag("x"), ..).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("annals.key.index=false") && text.contains("key_index(true)"), "{text}");
    }
}

#[test]
fn an_index_that_is_switched_on_later_knows_what_came_before() {
    let dir = fast_dir();
    let keys: Vec<_> = (0..7).map(|number| format!("key-{number}")).collect();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = || TopicConfig::new().segment_bytes(2000);
    let topic = store.create_topic("late", config()).unwrap();
    let send = |from: usize| {
        for number in from..from + 60 {
            let value = number.to_string();
            let event = event(&value, ["a", "b", "c"][number % 3], &["t1", "t2"]).topic("late");
            store.producer().send(event.key(&keys[number % 7])).unwrap();
        }
    };
    send(0);
    for turn in 0..3 {
        store.alter_topic("late", TopicConfig::new().key_index(true)).unwrap();
        compare(&topic, &keys, &format!("{turn}: on"));
        send(100);
        compare(&topic, &keys, &format!("{turn}: on, and more"));
        store.alter_topic("late", TopicConfig::new().key_index(false)).unwrap();
        assert!(matches!(topic.get("key-1"), Err(Error::InvalidConfig { .. })));
        send(200);
    }
    store.alter_topic("late", TopicConfig::new().key_index(true)).unwrap();
    compare(&topic, &keys, "at last");
}

/// An empty list of types, as of a filter that a user has cleared, was taken for any type.
#[test]
fn a_query_for_no_type_at_all_found_events_of_every_type() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    partition.append(&[event("1", "paid", &["x"])], Durability::Os).unwrap();
    let no_type = [""; 0];
    let none = [Query::all().types(no_type), Query::tag("x").types(no_type)];
    for query in &none {
        assert_eq!(partition.select(query, ..).unwrap().into_iter().count(), 0, "{query}");
        assert_eq!(partition.select_backwards(query).unwrap().count(), 0, "{query}");
        assert_eq!(topic.select(query).unwrap().count(), 0, "{query}");
        for record in &partition.read_from(0).unwrap().fetch().unwrap() {
            assert!(!query.matches(&record), "{query}");
        }
        assert_eq!(query.to_string(), "nothing");
        let nothing = [Condition::none(query.clone())];
        partition.append_when(&nothing, &[event("2", "other", &[])], Durability::Os).unwrap();
        let something = [Condition::some(query.clone())];
        assert!(partition.append_when(&something, &[Record::new()], Durability::Os).is_err());
    }
    let [all, tagged] = none;
    let or = tagged.clone().or(Query::of_type("paid"));
    assert_eq!((or.to_string(), or.alternatives()), ("paid".to_owned(), 2));
    for query in [or, tagged.types(["paid"]), all.types(["paid"])] {
        assert_eq!(partition.select(&query, ..).unwrap().into_iter().count(), 1, "{query}");
    }
}

#[test]
fn partitions_are_not_added_beside_streams() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("events", indexed()).unwrap();
    let refused = store.add_partitions("events", 3).unwrap_err();
    assert!(refused.to_string().contains("annals.key.index"), "{refused}");
}

#[test]
fn a_reader_follows_without_a_seam() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let stream = topic.stream("mine").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..300_u32 {
                let key = if number % 3 == 0 { "mine" } else { "other" };
                topic.append_to(key, Expected::Any, &[Record::new().value(&number.to_be_bytes())]).unwrap();
            }
        });
        let mut reader = stream.read(..).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let records = reader.poll(Duration::from_secs(20)).unwrap();
            assert!(!records.is_empty(), "it was woken for nothing after {}", seen.len());
            seen.extend(
                records.iter().map(|record| u32::from_be_bytes(record.value().unwrap().try_into().unwrap())),
            );
        }
        assert_eq!(seen, (0..100).map(|number| number * 3).collect::<Vec<_>>());
    });
    let mut reader = stream.read(..).unwrap();
    while !reader.fetch().unwrap().is_empty() {}
    assert_eq!(reader.position(), topic.partition(0).unwrap().end(), "it moves where nothing matches");
}

#[test]
fn a_compressed_stream_reads_as_a_plain_one() {
    let dir = fast_dir();
    let keys: Vec<_> = (0..5).map(|number| format!("key-{number}")).collect();
    for codec in [annals::Codec::Lz4, annals::Codec::Zstd] {
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        let name = format!("packed-{codec:?}");
        let topic = store.create_topic(&name, indexed().compression_type(codec)).unwrap();
        for turn in 0..40 {
            let value = "a value that is worth it ".repeat(turn % 9 + 1);
            let events: Vec<_> = keys.iter().map(|key| event(&value, "a", &["t1"]).key(key)).collect();
            topic.partition(0).unwrap().append(&events, Durability::Os).unwrap();
        }
        compare(&topic, &keys, &name);
        store.maintain().unwrap();
        compare(&topic, &keys, &name);
        store.close().unwrap();
    }
}

#[test]
fn an_erased_key_is_in_no_index_file() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for number in 0..200 {
        let key = if number % 5 == 0 { "alice".to_owned() } else { format!("key-{}", number % 7) };
        topic.append_to(&key, Expected::Any, &[Record::new().value("something of hers")]).unwrap();
    }
    store.maintain().unwrap();
    // By hand none but the last segment's was written; a reader has the others made.
    assert_eq!(topic.stream("alice").unwrap().read(..).unwrap().into_iter().count(), 40);
    // As the format says: the first 6 bytes of an entry. Computed apart from the library.
    let hash = 191_959_191_198_584_u64.to_be_bytes();
    let holding = || {
        let holds = |bytes: &[u8]| bytes.windows(6).any(|window| window == &hash[2..]);
        files(&dir.path().join("events-0")).iter().filter(|bytes| holds(bytes)).count()
    };
    assert!(holding() > 3, "it is looked for in the right way");
    topic.erase("alice").unwrap();
    assert_eq!(holding(), 0);
    store.maintain().unwrap();
    assert_eq!(topic.get("alice").unwrap(), None);
    store.close().unwrap();
    assert_eq!(holding(), 0);
}

/// What the key indexes of a partition hold.
#[expect(clippy::disallowed_methods, reason = "files are looked at from outside")]
fn files(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let indexes = paths.filter(|path| path.extension().is_some_and(|extension| extension == "keyindex"));
    indexes.map(|path| std::fs::read(path).unwrap()).collect()
}

/// Compaction can leave nothing of the first segments: a look backwards went on there for ever.
#[test]
fn a_look_ends_where_compaction_has_left_nothing_of_the_first_segments() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = indexed().cleanup_policy(annals::CleanupPolicy::Compact);
    let topic = store.create_topic("table", config).unwrap();
    for number in 0..100_u32 {
        topic.append_to("only", Expected::Any, &[Record::new().value(&number.to_be_bytes())]).unwrap();
    }
    topic.compact().unwrap();
    assert_eq!(topic.stream("only").unwrap().backwards().unwrap().count(), 1);
    assert_eq!(topic.stream("other").unwrap().backwards().unwrap().count(), 0);
    topic.append_to("other", Expected::NoStream, &[Record::new()]).unwrap();
}

/// The first of 500 was called the last one, and a key was a list of numbers.
#[test]
fn a_conflict_says_what_was_found_and_shows_keys_as_text() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let all = [event("1", "paid", &["x"]).key("alice"), event("2", "paid", &["x"]).key("alice")];
    partition.append(&all, Durability::Os).unwrap();
    let refused = |condition: Condition| {
        let refused = partition.append_when(&[condition], &[Record::new()], Durability::Os).unwrap_err();
        assert!(refused.is_conflict() && refused.asks_for_new_decision(), "{refused}");
        (refused.to_string(), format!("{refused:?}"))
    };
    let (said, shown) = refused(Condition::none(Query::all()));
    assert!(said.ends_with("there is one at offset 0") && shown.contains("anything"), "{said} {shown}");
    let (said, shown) = refused(Condition::none(Query::of_type("paid").and_tag("x")));
    assert!(said.ends_with("there is one at offset 1") && shown.contains("paid #x"), "{said} {shown}");
    let (said, shown) = refused(Condition::stream("alice", Expected::NoStream));
    assert!(said.ends_with("the last one is at offset 1"), "{said}");
    assert!(shown.contains("stream \"alice\" was expected to have no event"), "{shown}");
    let undecided = Error::Conflict {
        partition: ("events", 0).into(),
        condition: std::sync::Arc::new(Condition::none(Query::all())),
        found: Some(1),
        is_undecided: true,
    };
    assert!(!undecided.is_conflict() && undecided.asks_for_new_decision());
    assert!(!Error::InvalidArgument { reason: String::new() }.asks_for_new_decision());
}

/// Events of one batch are fetched together; what happens to them before their turn holds all the same.
#[test]
fn what_was_erased_or_closed_while_a_look_backwards_went_on_is_not_handed_out() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().segment_bytes(1 << 20)).unwrap();
    let values: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    let events: Vec<_> =
        values.iter().map(|value| event(value, "kind", &["all"]).key(["a", "b"][value.len() % 2])).collect();
    let partition = topic.partition(0).unwrap();
    partition.append(&events, Durability::Os).unwrap();
    let mut stream = topic.stream("a").unwrap().backwards().unwrap();
    let mut chosen = partition.select_backwards(&Query::tag("all")).unwrap();
    for _ in 0..7 {
        stream.next().unwrap().unwrap();
        chosen.next().unwrap().unwrap();
    }
    topic.erase("a").unwrap();
    let left: Vec<_> = chosen.by_ref().take(40).map(|event| event.unwrap()).collect();
    assert!(left.len() == 40 && left.iter().all(|event| event.key.as_deref() == Some(b"b")), "{left:?}");
    assert!(stream.next().is_none());
    let mut other = topic.stream("b").unwrap().backwards().unwrap();
    assert!(other.by_ref().take(9).all(|event| event.is_ok()));
    store.close().unwrap();
    assert!(matches!(other.next(), Some(Err(Error::StoreClosed { .. }))));
    assert!(other.next().is_none(), "an error is the last item");
}

/// It was looked for below the end as that was when the look began, and what stood there was gone by then: a key that had an event at every
/// moment had none.
#[test]
fn the_last_event_of_a_key_was_none_while_a_compaction_took_it_for_the_sake_of_a_newer_one() {
    let (files, dir) = (FaultyFileSystem::new(), fast_dir());
    let builder = Store::builder(dir.path()).file_system(files.clone()).read_mode(ReadMode::Positional);
    let store = builder.maintain_by_hand().open().unwrap();
    let table = store.create_topic("table", indexed().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    let put =
        |key: &str| table.append_to(key, Expected::Any, &[Record::new().value("1")]).unwrap().last_offset;
    let fill = || (0..60).for_each(|_| _ = put("other"));
    let get = || table.get("key").unwrap().map(|event| event.offset);
    let version = || table.stream("key").unwrap().version().unwrap();
    let looks: [&(dyn Fn() -> Option<i64> + Sync); 2] = [&get, &version];
    for look in looks {
        put("key");
        fill();
        let gate = Arc::new(Gate::default());
        files.fail(&[Call::Read], ".keyindex", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        std::thread::scope(|scope| {
            let looking = scope.spawn(look);
            gate.await_arrival();
            let newer = put("key");
            fill();
            table.compact().unwrap();
            gate.open();
            assert_eq!(looking.join().unwrap(), Some(newer));
        });
    }
}
