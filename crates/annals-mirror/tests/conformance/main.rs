//! One suite, three backends: a store, librdkafka's mock cluster, and a real broker where there is Java.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../broker/broker.rs"]
#[expect(dead_code, reason = "the mirror's tests use more of it")]
mod broker;
#[path = "../../examples/one_program.rs"]
#[expect(dead_code, reason = "the tests have their own main function")]
mod one_program;

#[path = "../../examples/ported.rs"]
#[expect(dead_code, reason = "the tests have their own main function")]
mod ported;

use annals::TopicConfig;
use annals_mirror::{Remote, RemoteConsumer, RemoteProducer};
use annals_port::conformance::checks;
use annals_port::{Backend, Embedded, Error, ErrorKind, Result};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext};

/// Runs all but those that are named, and says what did not hold.
fn conform<B: Backend>(kafka: &B, without: &[&str]) {
    let mut failures = Vec::new();
    let all = checks::<B>();
    for name in without {
        assert!(all.iter().any(|check| check.name == *name), "{name}: there is no such check");
    }
    for check in all.iter().filter(|check| !without.contains(&check.name)) {
        let began = std::time::Instant::now();
        let outcome = (check.run)(kafka, "run");
        eprintln!("{:?} {}: {outcome:?}", began.elapsed(), check.name);
        if let Err(failure) = outcome {
            failures.push(format!("{}: {failure}", check.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_store() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Embedded::open(dir.path()).unwrap();
    conform(&kafka, &[]);
    assert_eq!(one_program::shop(&kafka).unwrap(), 10);
}

#[test]
fn a_real_broker() {
    let Some(broker) = broker::Broker::start() else { return };
    let kafka = Remote::new(&broker.servers());
    conform(&kafka, &[]);
    assert_eq!(one_program::shop(&kafka).unwrap(), 10);
}

#[test]
fn the_examples_on_a_store() {
    let dir = tempfile::tempdir().unwrap();
    ported::all(|| Embedded::open(dir.path())).unwrap();
}

#[test]
fn the_examples_on_a_real_broker() {
    let Some(broker) = broker::Broker::start() else { return };
    let servers = broker.servers();
    ported::all(|| Ok(Remote::new(&servers))).unwrap();
}

/// A client without one of them ends at the first batch of such a topic.
#[test]
fn the_client_has_every_codec() {
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let producer = ClientConfig::new().set("compression.type", codec).create::<BaseProducer>();
        assert!(producer.is_ok(), "{codec}: {:?}", producer.err());
    }
}

/// librdkafka's cluster in this process, whose topics are not made through its protocol.
struct Mocked {
    cluster: MockCluster<'static, DefaultProducerContext>,
    remote: Remote,
}

impl Backend for Mocked {
    type Consumer = RemoteConsumer;
    type Producer = RemoteProducer;

    fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        let partitions = i32::try_from(config.partition_count().unwrap_or(1)).unwrap();
        let created = self.cluster.create_topic(name, partitions, 1);
        created.map_err(|error| Error::new(ErrorKind::TopicExists, error.to_string()))
    }

    fn topics(&self) -> Result<Vec<String>> {
        self.remote.topics()
    }

    fn partition_count(&self, topic: &str) -> Result<u32> {
        self.remote.partition_count(topic)
    }

    fn producer(&self) -> Result<RemoteProducer> {
        self.remote.producer()
    }

    fn transactional_producer(&self, id: &str) -> Result<RemoteProducer> {
        self.remote.transactional_producer(id)
    }

    fn consumer(&self, group: &str) -> Result<RemoteConsumer> {
        self.remote.consumer(group)
    }
}

/// What the mock does not do: it makes topics that are asked for, has no settings of topics and takes records of any size, shows what is not
/// committed or was aborted, forgets offsets of transactions, and lets every producer of an id commit.
const NOT_MOCKED: &[&str] = &[
    "an unknown topic is told",
    "an invalid topic is told",
    "settings have units",
    "a transaction shows whole when it is committed",
    "an aborted transaction never shows",
    "offsets are committed with the records",
    "offsets are aborted with the records",
    "what a group does is done once, whoever joins",
    "a newer producer fences the older one",
    "a transaction with a failed send is only aborted",
];

#[test]
fn a_mock_cluster() {
    let cluster = MockCluster::new(1).unwrap();
    // Its coordinator waits for members that have left until their sessions are over.
    let remote = Remote::new(&cluster.bootstrap_servers());
    let remote = remote.client("session.timeout.ms", "6000").client("heartbeat.interval.ms", "500");
    conform(&Mocked { cluster, remote }, NOT_MOCKED);
}
