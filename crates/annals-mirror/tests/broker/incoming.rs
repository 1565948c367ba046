//! What a mirror in meets in a cluster whose limits are others.

use std::time::Duration;

use annals::{Store, TopicConfig};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{Broker, mirror, run};

#[test]
fn settings_that_are_not_compared_may_differ_and_a_record_that_is_too_large_is_named() {
    let Some(broker) = Broker::start() else { return };
    let servers = broker.servers();
    let dir = broker.dir.path().join("there");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &servers);
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let mut orders = NewTopic::new("orders", 1, TopicReplication::Fixed(1));
    orders = orders.set("retention.ms", "3600000000");
    let made = block_on(admin.create_topics([&orders], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    config.set("compression.type", "gzip").set("message.max.bytes", "10000000");
    let producer: BaseProducer = config.create().unwrap();
    let send = |value: &[u8]| {
        producer.send(BaseRecord::to("orders").partition(0).key("k").payload(value)).unwrap();
        producer.flush(Duration::from_secs(60)).unwrap();
    };
    send(b"small");

    // The store has the topic, with settings of its own, some larger than the cluster's.
    let store = Store::open(&dir).unwrap();
    let ours = TopicConfig::new().set("message.timestamp.before.max.ms", "9223372036854775807");
    let ours = ours.set("retention.ms", "7200000000").max_message_bytes(2_000_000);
    store.create_topic("orders", ours).unwrap();
    store.close().unwrap();
    let words = ["--topic", "orders", "--once"];
    assert!(run(mirror("in", &dir, &servers, &words)).contains("records=1 "));

    // A setting that changes later in the cluster.
    let altered = AlterConfig::new(ResourceSpecifier::Topic("orders")).set("retention.ms", "1800000000");
    let altered = block_on(admin.alter_configs([&altered], &AdminOptions::new())).unwrap();
    altered.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    send(b"small");
    assert!(run(mirror("in", &dir, &servers, &words)).contains("records=1 "));

    // The broker counts what is left after compression.
    send(&vec![b'v'; 3_000_000]);
    let output = mirror("in", &dir, &servers, &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("orders-0@2 cannot be mirrored") && said.contains("larger max.message.bytes"),
        "{said}"
    );
    let store = Store::open(&dir).unwrap();
    store.alter_topic("orders", TopicConfig::new().max_message_bytes(4_000_000)).unwrap();
    store.close().unwrap();
    assert!(run(mirror("in", &dir, &servers, &words)).contains("records=1 "));
}
