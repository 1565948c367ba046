//! What the tests of streams share: a store with indexed topics, and what a full read says of it.

use std::path::Path;

use annals::{CleanupPolicy, OwnedRecord, Partition, Query, Record, Store, Topic, TopicConfig};

type Matches<'a> = &'a dyn Fn(&OwnedRecord) -> bool;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

/// Segments of a few dozen records.
pub(crate) fn indexed() -> TopicConfig {
    TopicConfig::new().key_index(true).segment_bytes(2000).index_interval_bytes(200)
}

pub(crate) const EVENTS: &str = "events";
pub(crate) const TABLE: &str = "table";

pub(crate) fn open(dir: &Path) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    store.ensure_topic(EVENTS, indexed().partitions(2)).unwrap();
    store.ensure_topic(TABLE, indexed().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    store
}

pub(crate) fn topics(store: &Store) -> Vec<Topic> {
    [EVENTS, TABLE].map(|name| store.topic(name).unwrap()).into()
}

pub(crate) fn event<'a>(value: &'a str, kind: &'a str, tags: &[&'a str]) -> Record<'a> {
    let event = Record::new().value(value).header("type", kind);
    tags.iter().fold(event, |event, tag| event.header("tag", *tag))
}

/// Everything committed, read without the index.
pub(crate) fn all(partition: &Partition) -> Vec<OwnedRecord> {
    partition.read(..).unwrap().into_iter().map(|record| record.unwrap()).collect()
}

pub(crate) fn offsets(records: &[OwnedRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

fn has(record: &OwnedRecord, name: &str, value: &str) -> bool {
    record
        .headers
        .iter()
        .any(|header| header.key == name && header.value.as_deref() == Some(value.as_bytes()))
}

/// Compares what the index leads to with what is there, for every key of a partition and for some queries.
pub(crate) fn compare(topic: &Topic, keys: &[String], what: &str) {
    for partition in topic.partitions() {
        let all = all(&partition);
        for key in keys {
            let stream = topic.stream(key).unwrap();
            if stream.partition().number() != partition.number() {
                continue;
            }
            let expected: Vec<_> =
                all.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes())).cloned().collect();
            let found: Vec<_> = stream.read(..).unwrap().into_iter().map(|event| event.unwrap()).collect();
            assert_eq!(offsets(&found), offsets(&expected), "{what}: {key} forwards");
            assert_eq!(found, expected, "{what}: {key}");
            let mut back: Vec<_> = stream.backwards().unwrap().map(|event| event.unwrap()).collect();
            back.reverse();
            assert_eq!(offsets(&back), offsets(&expected), "{what}: {key} backwards");
            assert_eq!(stream.version().unwrap(), expected.last().map(|last| last.offset), "{what}: {key}");
            assert_eq!(topic.get(key).unwrap().as_ref(), expected.last(), "{what}: {key}");
            if let Some(middle) = expected.get(expected.len() / 2) {
                let rest: Vec<_> = stream
                    .read(middle.offset + 1..)
                    .unwrap()
                    .into_iter()
                    .map(|event| event.unwrap())
                    .collect();
                assert_eq!(
                    offsets(&rest),
                    offsets(&expected[expected.len() / 2 + 1..]),
                    "{what}: {key} from"
                );
            }
        }
        let queries: [(Query, Matches<'_>); 4] = [
            (Query::tag("t1"), &|record| has(record, "tag", "t1")),
            (Query::of_type("b"), &|record| has(record, "type", "b")),
            (Query::tag("t0").and_tag("t2").types(["a", "c"]), &|record| {
                has(record, "tag", "t0")
                    && has(record, "tag", "t2")
                    && (has(record, "type", "a") || has(record, "type", "c"))
            }),
            (Query::tag("t3").or(Query::tag("t1").types(["c"])), &|record| {
                has(record, "tag", "t3") || has(record, "tag", "t1") && has(record, "type", "c")
            }),
        ];
        for (query, matches) in queries {
            let expected: Vec<_> = all.iter().filter(|record| matches(record)).cloned().collect();
            let reader = partition.select(&query, ..).unwrap();
            let found: Vec<_> = reader.into_iter().map(|event| event.unwrap()).collect();
            assert_eq!(
                offsets(&found),
                offsets(&expected),
                "{what}: {query} in {}",
                partition.topic_partition()
            );
            let back = partition.select_backwards(&query).unwrap().map(|event| event.unwrap().offset);
            let mut back: Vec<_> = back.collect();
            back.reverse();
            assert_eq!(back, offsets(&expected), "{what}: {query} backwards");
        }
    }
}
