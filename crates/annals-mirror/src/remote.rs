//! A cluster as the backend of a program that is written against `annals-port`.

mod consumer;
mod failure;
mod limits;
mod producer;
mod standing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use annals::TopicConfig;
use annals_port::{Backend, Error, ErrorKind, Result};
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode as Code;

pub use consumer::RemoteConsumer;
use failure::{failed, refused};
use limits::{Limits, Silence};
pub use producer::RemoteProducer;

use crate::alike::Description;
use crate::cluster::PATIENCE;

/// The largest record that goes to a broker, which takes requests of 104857600 bytes by default.
const LARGEST_BYTES: &str = "100000000";

/// A Kafka cluster, through librdkafka.
///
/// ```no_run
/// use annals_mirror::Remote;
/// use annals_port::{Backend, Consume};
/// use std::time::Duration;
/// let kafka = Remote::new("kafka.example:9093").client("security.protocol", "ssl");
/// let mut consumer = kafka.consumer("billing")?;
/// consumer.subscribe(&["orders"])?;
/// println!("{} records", consumer.poll(Duration::from_secs(10))?.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Remote {
    settings: BTreeMap<String, String>,
    replication: i32,
    silence: Silence,
}

impl Remote {
    /// Names the cluster by `servers`, which is a client's `bootstrap.servers`. It connects to nothing yet.
    pub fn new(servers: &str) -> Self {
        let settings = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
        Self { settings, replication: -1, silence: Silence::default() }
    }

    /// Sets a setting of librdkafka. Those that the promises of `annals-port` depend on cannot be changed.
    #[must_use]
    pub fn client(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the number of replicas of topics that are created. Default: the cluster's.
    #[must_use]
    pub fn replication(mut self, replicas: u16) -> Self {
        self.replication = i32::from(replicas);
        self
    }

    fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // A topic that is not there is told soon, not after half a minute.
        config.set("topic.metadata.propagation.max.ms", "5000");
        for (key, value) in &self.settings {
            config.set(key, value);
        }
        for (key, value) in own {
            config.set(*key, *value);
        }
        config
    }

    /// Of a producer: the topic decides what is too large for it.
    fn producer_config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config(own);
        if !self.settings.contains_key("message.max.bytes") {
            config.set("message.max.bytes", LARGEST_BYTES);
        }
        config
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.admin_config().create().map_err(failed("client of the cluster"))
    }

    fn limits(&self, producer: &ClientConfig) -> Limits {
        Limits::new(self.admin_config(), producer, self.silence.clone())
    }

    fn admin_config(&self) -> ClientConfig {
        self.config(&[("allow.auto.create.topics", "false")])
    }

    fn partitions(&self, topic: &str) -> Result<Partitions> {
        let admin = self.admin()?;
        let metadata = admin.inner().fetch_metadata(None, PATIENCE).map_err(failed("list of topics"))?;
        let found = metadata.topics().iter().find(|one| one.name() == topic);
        let all = found.ok_or_else(|| refused(topic, Code::UnknownTopicOrPartition))?.partitions();
        let led = all.iter().filter(|partition| partition.leader() >= 0).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Partitions { all: count(all.len()), led: count(led) })
    }
}

/// How many a topic has.
struct Partitions {
    all: u32,
    /// Those that can be written to: none where a broker does not know the topic yet, fewer while one is away.
    led: u32,
}

/// Whether the cluster keeps the topic for itself, or a mirror its map of offsets.
fn is_kept(topic: &str) -> bool {
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    topic.starts_with("__") || topic.strip_prefix("annals-mirror-").is_some_and(is_id)
}

/// Kafka knows no units: `7d` is 604800000, and `1MiB` 1048576. What is neither stays as it is, for the cluster to refuse.
fn in_kafkas_units(config: TopicConfig) -> TopicConfig {
    let given: Vec<_> = config.values().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    given.into_iter().fold(config, |config, (key, value)| {
        let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
        let (number, unit) = value.split_at(digits);
        let is_duration = key.ends_with(".ms");
        let factor: u64 = match unit {
            "ms" if is_duration => 1,
            "s" if is_duration => 1_000,
            "m" if is_duration => 60_000,
            "h" if is_duration => 3_600_000,
            "d" if is_duration => 86_400_000,
            "B" if !is_duration => 1,
            "KiB" if !is_duration => 1 << 10,
            "MiB" if !is_duration => 1 << 20,
            "GiB" if !is_duration => 1 << 30,
            "TiB" if !is_duration => 1 << 40,
            _ => return config,
        };
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
            Some(plain) => config.set(&key, plain.to_string()),
            None => config,
        }
    })
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

impl Backend for Remote {
    type Consumer = RemoteConsumer;
    type Producer = RemoteProducer;

    fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        if name.starts_with("__") {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{name}: the cluster keeps such topics for itself"),
            ));
        }
        let partitions = config.partition_count().unwrap_or(1);
        let config = in_kafkas_units(config);
        let settings = Description::of_ours(partitions, &config).for_cluster();
        let mut topic = NewTopic::new(name, number(partitions), TopicReplication::Fixed(self.replication));
        // What was not said is the cluster's to choose.
        for (key, value) in settings.iter().filter(|(key, _)| config.values().contains_key(*key)) {
            topic = topic.set(key, value);
        }
        let admin = self.admin()?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let doing = format!("creating {name}");
        for outcome in block_on(admin.create_topics([&topic], &options)).map_err(failed(&doing))? {
            outcome.map_err(|(_, code)| refused(&doing, code))?;
        }
        // Brokers hear of it one after the other.
        let began = Instant::now();
        loop {
            match self.partitions(name) {
                Ok(found) if found.led == partitions => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::UnknownTopic => {}
                Err(error) => return Err(error),
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::new(ErrorKind::Retriable, format!("{doing}: no broker knows it yet")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn topics(&self) -> Result<Vec<String>> {
        let admin = self.admin()?;
        let metadata = admin.inner().fetch_metadata(None, PATIENCE).map_err(failed("list of topics"))?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| !is_kept(name)).collect())
    }

    fn partition_count(&self, topic: &str) -> Result<u32> {
        Ok(self.partitions(topic)?.all)
    }

    fn producer(&self) -> Result<RemoteProducer> {
        let config =
            self.producer_config(&[("enable.idempotence", "true"), ("partitioner", "murmur2_random")]);
        RemoteProducer::new(&config, self.limits(&config))
    }

    fn transactional_producer(&self, id: &str) -> Result<RemoteProducer> {
        if id.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the transactional id is empty"));
        }
        let config = self.producer_config(&[("transactional.id", id), ("partitioner", "murmur2_random")]);
        RemoteProducer::with_transactions(&config, self.limits(&config))
    }

    fn consumer(&self, group: &str) -> Result<RemoteConsumer> {
        if group.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the group's name is empty"));
        }
        let config = self.config(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("partition.assignment.strategy", "range"),
            ("allow.auto.create.topics", "false"),
        ]);
        RemoteConsumer::new(&config)
    }
}

#[cfg(test)]
mod tests;
