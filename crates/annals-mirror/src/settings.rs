//! What a program says to its mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use annals::Durability;
use rdkafka::ClientConfig;

/// Which topics are mirrored with which cluster, and how.
///
/// ```
/// use annals_mirror::Settings;
/// let settings = Settings::new("kafka.example:9093")
///     .client("security.protocol", "ssl")
///     .topic("orders")
///     .topic("payments")
///     .group("billing")
///     .replication(3);
/// # let _ = settings;
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until they are given to a mirror"]
pub struct Settings {
    pub(crate) client: BTreeMap<String, String>,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) is_once: bool,
    pub(crate) creates: bool,
    pub(crate) skips_deleted: bool,
    pub(crate) keeps_less: bool,
    pub(crate) replication: i32,
    pub(crate) durability: Durability,
    pub(crate) step_records: usize,
    pub(crate) step_bytes: usize,
    pub(crate) patience: Option<Duration>,
}

impl Settings {
    /// Names the cluster by `servers`, which is a client's `bootstrap.servers`.
    pub fn new(servers: &str) -> Self {
        Self {
            client: BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]),
            topics: BTreeSet::new(),
            groups: BTreeSet::new(),
            is_once: false,
            creates: true,
            skips_deleted: false,
            keeps_less: false,
            replication: -1,
            durability: Durability::Disk,
            step_records: 20_000,
            step_bytes: 16 << 20,
            patience: None,
        }
    }

    /// Sets a setting of librdkafka, for how to reach the cluster: `security.protocol`, `sasl.mechanism`. The mirror sets those that its
    /// promise depends on (transactions, isolation, commits) itself, whatever is set here.
    pub fn client(mut self, key: &str, value: &str) -> Self {
        self.client.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Mirrors this topic, too.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topics.insert(name.into());
        self
    }

    /// Translates the committed offsets of this group, too.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.groups.insert(name.into());
        self
    }

    /// Ends when everything is mirrored that was there at the start. Otherwise the mirror runs until it is stopped.
    pub fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// Makes topics that are missing on the target an error. Otherwise they are created.
    pub fn without_creating(mut self) -> Self {
        self.creates = false;
        self
    }

    /// Continues after what was deleted before it was mirrored. Otherwise that is an error.
    pub fn skip_deleted(mut self) -> Self {
        self.skips_deleted = true;
        self
    }

    /// Allows a target that deletes records sooner than the source, by `retention.ms` or `retention.bytes`. Otherwise that is an error.
    pub fn shorter_retention(mut self) -> Self {
        self.keeps_less = true;
        self
    }

    /// Sets the number of replicas of the topics that are created in the cluster. Default: the cluster's.
    pub fn replication(mut self, replicas: u16) -> Self {
        self.replication = i32::from(replicas);
        self
    }

    /// Sets what a step into the store survives. Default: [`Durability::Disk`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets about how many records a step has at most. Default: 20,000.
    pub fn step_records(mut self, records: usize) -> Self {
        self.step_records = records.max(1);
        self
    }

    /// Sets about how many bytes of keys, values and headers a step has at most. Default: 16 MiB.
    pub fn step_bytes(mut self, bytes: usize) -> Self {
        self.step_bytes = bytes.max(1);
        self
    }

    /// Sets how long it tries without a step that takes effect. Default: 5 minutes if it ends by itself, for ever otherwise.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    pub(crate) fn effective_patience(&self) -> Duration {
        let default = if self.is_once { Duration::from_secs(300) } else { Duration::MAX };
        self.patience.unwrap_or(default)
    }

    /// The client's settings, and over them the mirror's own.
    pub(crate) fn client_config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.client {
            config.set(key, value);
        }
        for (key, value) in own {
            config.set(*key, *value);
        }
        config
    }
}
