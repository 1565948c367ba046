//! Runs that end by themselves: what they carry, what they refuse, where groups go on.

use std::collections::BTreeMap;

use annals::{Durability, Store, TopicConfig, TopicPartition};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::broker::{Broker, mirror, run};
use crate::content::{Content, assert_equal, of_cluster, of_store};

/// Records of every shape, some in transactions, some of those aborted; all are durable in the end.
pub(crate) fn fill(store: &Store, topic: &str, numbers: std::ops::Range<u64>) {
    let partitions = store.topic(topic).unwrap().partition_count();
    for start in numbers.clone().step_by(100) {
        let contents: Vec<_> = (start..numbers.end.min(start + 100)).map(Content::of).collect();
        let place = |number: usize| u32::try_from(number % partitions as usize).unwrap();
        let records = contents.iter().enumerate().map(|(number, one)| one.to_record(topic, place(number)));
        match start / 100 % 3 {
            0 => records.for_each(|record| _ = store.producer().send(record).unwrap()),
            kind => {
                // Written as it comes, so that an abort leaves something behind.
                let mut transaction = store.transaction_builder("fill").buffer_bytes(0).begin().unwrap();
                records.for_each(|record| transaction.send(record).unwrap());
                if kind == 1 {
                    transaction.commit().unwrap();
                } else {
                    transaction.abort().unwrap();
                }
            }
        }
    }
    store.topic(topic).unwrap().partitions().iter().for_each(|partition| partition.flush().unwrap());
}

pub(crate) fn group(servers: &str, name: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", name).create().unwrap()
}

pub(crate) fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Vec<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let found = consumer.committed_offsets(list, std::time::Duration::from_secs(30)).unwrap();
    found.elements().iter().map(|one| one.offset().to_raw().unwrap_or(-1)).collect()
}

#[test]
fn what_is_in_the_store_is_in_the_cluster_and_comes_back_the_same() {
    let Some(broker) = Broker::start() else { return };
    let servers = broker.servers();
    let (here, there) = (broker.dir.path().join("here"), broker.dir.path().join("there"));
    let store = Store::open(&here).unwrap();
    let config = TopicConfig::new().partitions(3).max_message_bytes(2 << 20).segment_bytes(100_000);
    store.create_topic("orders", config).unwrap();
    fill(&store, "orders", 0..3000);

    // A group that stands somewhere in the middle, and one behind everything.
    let commit = |name: &str, part: usize| -> BTreeMap<u32, usize> {
        let mut consumer = store.consumer(name).unwrap();
        let mut read = BTreeMap::new();
        for partition in store.topic("orders").unwrap().partitions() {
            let records: Vec<_> =
                partition.read(..).unwrap().into_iter().map(|record| record.unwrap().offset).collect();
            let at = records.len() * part / 4;
            let offset = records.get(at).copied().unwrap_or_else(|| partition.end());
            let place = TopicPartition::new("orders", partition.number());
            consumer.assign([place.clone()]).unwrap();
            consumer.commit_offsets([(place, offset)]).unwrap();
            read.insert(partition.number(), at);
        }
        read
    };
    let middle = commit("middle", 1);
    let end = commit("end", 4);

    let words = ["--topic", "orders", "--once", "--group", "middle", "--group", "end"];
    let said = run(mirror("out", &here, &servers, &words));
    assert!(said.contains("records=2000 ") && said.contains(" lag=0 "), "{said}");
    assert_eq!(assert_equal(&store, &servers, "orders", 3), 2000);
    for (name, read) in [("middle", &middle), ("end", &end)] {
        let offsets: Vec<_> = committed(&group(&servers, name), "orders", 3);
        let starts: Vec<_> = offsets.iter().map(|offset| Offset::Offset(*offset)).collect();
        for (partition, rest) in of_cluster(&servers, "orders", &starts) {
            let ours = of_store(&store, "orders", partition);
            let theirs: Vec<_> = rest.into_iter().map(|(_, content)| content).collect();
            assert_eq!(theirs, ours[read[&partition]..], "{name} goes on in partition {partition}");
        }
    }

    // Nothing twice, and what is new goes behind.
    assert!(run(mirror("out", &here, &servers, &words)).contains("records=0 "));
    fill(&store, "orders", 3000..3300);
    assert!(run(mirror("out", &here, &servers, &words)).contains("records=200 "));
    assert_eq!(assert_equal(&store, &servers, "orders", 3), 2200);

    // Back into another store, with groups of the cluster.
    let consumer = group(&servers, "back");
    let all = of_cluster(&servers, "orders", &[Offset::Beginning; 3]);
    let mut list = TopicPartitionList::new();
    for (partition, records) in &all {
        let at = records[records.len() / 2].0;
        list.add_partition_offset("orders", i32::try_from(*partition).unwrap(), Offset::Offset(at)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let words = ["--topic", "orders", "--once", "--group", "back", "--step-records", "70"];
    let said = run(mirror("in", &there, &servers, &words));
    assert!(said.contains("records=2200 ") && said.contains(" lag=0 "), "{said}");
    let back = Store::open(&there).unwrap();
    assert_eq!(assert_equal(&back, &servers, "orders", 3), 2200);
    assert_eq!(back.topic("orders").unwrap().config().get("max.message.bytes"), "2097152");
    for (partition, records) in &all {
        let offset = back.committed("back")[&TopicPartition::new("orders", *partition)].offset;
        let rest = back.topic("orders").unwrap().partition(*partition).unwrap().read_from(offset).unwrap();
        assert_eq!(rest.into_iter().count(), records.len() - records.len() / 2, "in partition {partition}");
    }
    drop(back);
    assert!(run(mirror("in", &there, &servers, &words)).contains("records=0 "));
}

#[test]
fn what_does_not_fit_is_told_at_once_and_nothing_is_mirrored() {
    let Some(broker) = Broker::start() else { return };
    let servers = broker.servers();
    let (dir, other) = (broker.dir.path().join("here"), broker.dir.path().join("other"));
    let make = |dir: &std::path::Path, config: TopicConfig| {
        let store = Store::open(dir).unwrap();
        for topic in ["orders", "prices"] {
            let topic = store.create_topic(topic, config.clone()).unwrap();
            let record = annals::Record::new().key("k").value("v");
            topic.partition(0).unwrap().append(&[record], Durability::Disk).unwrap();
        }
        store.close().unwrap();
    };
    make(&dir, TopicConfig::new().partitions(2));
    make(
        &other,
        TopicConfig::new().partitions(3).set("cleanup.policy", "compact").max_message_bytes(5_000_000),
    );
    let words = ["--topic", "orders", "--topic", "prices", "--once"];
    run(mirror("out", &dir, &servers, &words));
    for (way, lines) in [("out", 6), ("in", 4)] {
        let output = mirror(way, &other, &servers, &words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert_eq!(said.lines().filter(|line| line.starts_with("  ")).count(), lines, "{way}: {said}");
        assert!(said.contains("prices: the number of partitions is"), "{said}");
    }
    assert_eq!(of_cluster(&servers, "orders", &[Offset::Beginning; 2])[&0].len(), 1);

    // The topic was made again here: another history.
    let store = Store::open(&dir).unwrap();
    store.delete_topic("orders").unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    store.close().unwrap();
    let output = mirror("out", &dir, &servers, &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another topic of that name"), "{said}");
}
