//! What would take records away or bring them twice, and is said instead.

use std::path::Path;
use std::time::Duration;

use annals::{Durability, Record, Store, TopicConfig};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{Broker, mirror, run};

const ONCE: [&str; 3] = ["--once", "--patience", "10"];

fn create(servers: &str, name: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let made = block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|outcome| drop(outcome.unwrap()));
}

/// A topic of one partition, with these records.
fn append(dir: &Path, name: &str, records: &[Record<'_>]) {
    let store = Store::open(dir).unwrap();
    let topic = store.ensure_topic(name, TopicConfig::new()).unwrap();
    topic.partition(0).unwrap().append(records, Durability::Disk).unwrap();
    store.close().unwrap();
}

/// Runs a mirror of that topic to its end, which must be a bad one; what it said.
fn refused(way: &str, (dir, servers): (&Path, &str), name: &str) -> String {
    let output = mirror(way, dir, servers, &[&ONCE[..], &["--topic", name]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    said
}

fn good(way: &str, (dir, servers): (&Path, &str), words: &[&str]) -> String {
    run(mirror(way, dir, servers, &[&ONCE[..], words].concat()))
}

#[test]
fn what_would_lose_records_or_double_them_is_refused() {
    let Some(broker) = Broker::start() else { return };
    let servers = broker.servers();
    let (here, there) = (broker.dir.path().join("here"), broker.dir.path().join("there"));
    let (ours, others) = ((here.as_path(), servers.as_str()), (there.as_path(), servers.as_str()));

    // A topic that is made in the cluster keeps what is older than the seven days that Kafka has by itself: its retention is its own.
    let old = Record::new().value("old").timestamp(1_000_000_000_000);
    append(&here, "old", std::slice::from_ref(&old));
    assert!(good("out", ours, &["--topic", "old"]).contains("records=1 "));
    for key in ["retention.ms", "retention.bytes"] {
        assert_eq!(setting(&servers, "old", key), ("-1".to_owned(), true), "{key}");
    }

    // One that is there may keep less only where that is allowed.
    let week = ("retention.ms", "604800000");
    create(&servers, "short", &[("message.timestamp.before.max.ms", "9223372036854775807"), week]);
    append(&here, "short", &[Record::new().value("v")]);
    let said = refused("out", ours, "short");
    assert!(said.contains("short: retention.ms is 604800000 on the target and -1 on the source"), "{said}");
    assert!(good("out", ours, &["--topic", "short", "--shorter-retention"]).contains("records=1 "));

    // Kafka takes both names for one.
    create(&servers, "a_b2", &[]);
    append(&here, "a.b2", &[Record::new().value("v")]);
    let said = refused("out", ours, "a.b2");
    assert!(said.contains("a.b2: the cluster cannot have it beside a_b2"), "{said}");

    // Back into the store that it comes from, each record would be there twice. Another store takes it.
    let said = refused("in", ours, "old");
    assert!(said.contains("old: this store has mirrored it out to this cluster"), "{said}");
    assert!(good("in", others, &["--topic", "old"]).contains("records=1 "));
    let said = refused("out", others, "old");
    assert!(said.contains("old: the store has it from this cluster"), "{said}");

    // Only the mirror writes to what it brings.
    append(&there, "old", &[Record::new().value("of another")]);
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    producer.send(BaseRecord::<[u8], [u8]>::to("old").payload(b"new")).unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();
    let said = refused("in", others, "old");
    assert!(
        said.contains("old-0: the store has records at offsets 2 to 3 that this mirror has not"),
        "{said}"
    );
    let store = Store::open(&there).unwrap();
    store.delete_topic("old").unwrap();
    store.close().unwrap();
    assert!(good("in", others, &["--topic", "old"]).contains("records=2 "));
}

/// What holds of a topic, and whether it is its own.
fn setting(servers: &str, name: &str, key: &str) -> (String, bool) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let asked = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(name)], &AdminOptions::new()));
    let described = asked.unwrap().into_iter().next().unwrap().unwrap();
    let entry = described.get(key).unwrap();
    (entry.value.clone().unwrap(), entry.source == ConfigSource::DynamicTopic)
}
