//! Calls to the cluster that are not records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use annals::{Offset, TopicPartition};
use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::alike::{COMPARED, Description, KEPT};
use crate::error::{Error, Result};
use crate::settings::Settings;

/// How long a call may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster as an administrator sees it.
pub(crate) struct Cluster {
    settings: Settings,
    admin: AdminClient<DefaultClientContext>,
}

/// What a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) offset: Offset,
    pub(crate) metadata: String,
}

/// Kafka counts partitions in signed numbers.
pub(crate) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// The list of some offsets.
pub(crate) fn list<'a>(
    offsets: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in offsets {
        list.add_partition_offset(place.topic(), number(place.partition()), KafkaOffset::Offset(offset))
            .map_err(Error::cluster("list of offsets"))?;
    }
    Ok(list)
}

impl Cluster {
    pub(crate) fn connect(settings: &Settings) -> Result<Self> {
        let admin = settings.client_config(&[]).create().map_err(Error::cluster("client of the cluster"))?;
        Ok(Self { settings: settings.clone(), admin })
    }

    /// The id that the cluster has given itself.
    pub(crate) fn id(&self) -> Result<String> {
        let unknown = || Error::Cluster {
            doing: "id of the cluster".to_owned(),
            source: KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure),
        };
        self.admin.inner().fetch_cluster_id(PATIENCE).ok_or_else(unknown)
    }

    /// The names of all topics that are there.
    pub(crate) fn names(&self) -> Result<BTreeSet<String>> {
        let metadata = self.admin.inner().fetch_metadata(None, PATIENCE);
        let metadata = metadata.map_err(Error::cluster("list of topics"))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Those of the topics that are there.
    pub(crate) fn describe(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Description>> {
        // Of all topics: asked for by name, one that is missing might be created.
        let metadata = self.admin.inner().fetch_metadata(None, PATIENCE);
        let metadata = metadata.map_err(Error::cluster("list of topics"))?;
        let there = metadata.topics().iter().filter(|topic| names.contains(topic.name()));
        let counts: BTreeMap<_, _> =
            there.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect();
        let asked: Vec<_> = counts.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let described = block_on(self.admin.describe_configs(&asked, &self.options()));
        let described = described.map_err(Error::cluster("settings of topics"))?;
        let mut found = BTreeMap::new();
        for described in described {
            let doing = "settings of topics".to_owned();
            let described =
                described.map_err(|code| Error::Cluster { doing, source: KafkaError::AdminOp(code) })?;
            let OwnedResourceSpecifier::Topic(name) = described.specifier else { continue };
            let partitions = counts.get(&name).copied().unwrap_or_default();
            let mut description = Description {
                partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
                ..Description::default()
            };
            for entry in described.entries {
                let Some(value) = entry.value else { continue };
                if COMPARED.iter().chain(KEPT).any(|key| *key == entry.name) {
                    description.values.insert(entry.name.clone(), value.clone());
                }
                if entry.source == ConfigSource::DynamicTopic {
                    description.given.insert(entry.name, value);
                }
            }
            found.insert(name, description);
        }
        Ok(found)
    }

    /// Creates a topic; one that is there stays as it is.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: u32,
        settings: &BTreeMap<String, String>,
    ) -> Result<()> {
        let replication = TopicReplication::Fixed(self.settings.replication);
        let mut topic = NewTopic::new(name, number(partitions), replication);
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let created = block_on(self.admin.create_topics([&topic], &self.options()));
        let doing = || format!("creating {name}");
        for outcome in created.map_err(Error::cluster(doing()))? {
            match outcome {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(Error::Cluster { doing: doing(), source: KafkaError::AdminOp(code) });
                }
            }
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
    }

    /// A consumer that reads committed records and commits nothing by itself.
    pub(crate) fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        self.consumer_of("read_committed", group)
    }

    /// One to which records count that no transaction has decided on yet.
    pub(crate) fn consumer_of_all(&self, group: &str) -> Result<BaseConsumer> {
        self.consumer_of("read_uncommitted", group)
    }

    fn consumer_of(&self, isolation: &str, group: &str) -> Result<BaseConsumer> {
        let config = self.settings.client_config(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", isolation),
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("allow.auto.create.topics", "false"),
        ]);
        config.create().map_err(Error::cluster("consumer"))
    }
}

/// Where a partition of the cluster begins, and where what the consumer reads of it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
}

/// Asks the cluster where a partition begins and ends, for as long as `timeout` says.
pub(crate) fn ends(consumer: &BaseConsumer, place: &TopicPartition, timeout: Duration) -> Result<Ends> {
    let found = consumer.fetch_watermarks(place.topic(), number(place.partition()), timeout);
    let (start, end) = found.map_err(Error::cluster(format!("ends of {place}")))?;
    Ok(Ends { start, end })
}

/// What the consumer's group has committed in the cluster, decided by no transaction that is still open.
pub(crate) fn committed(
    consumer: &BaseConsumer,
    places: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Commit>> {
    let asked = list(places.iter().map(|place| (place, 0)))?;
    let found = consumer.committed_offsets(asked, PATIENCE).map_err(Error::cluster("committed offsets"))?;
    let mut commits = BTreeMap::new();
    for one in found.elements() {
        one.error().map_err(Error::cluster("committed offsets"))?;
        if let (Some(offset), Ok(partition)) = (one.offset().to_raw(), u32::try_from(one.partition()))
            && offset >= 0
        {
            let metadata = one.metadata().to_owned();
            commits.insert(TopicPartition::new(one.topic(), partition), Commit { offset, metadata });
        }
    }
    Ok(commits)
}

/// Commits for the consumer's group.
pub(crate) fn commit(consumer: &BaseConsumer, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<()> {
    let list = list(offsets.iter().map(|(place, offset)| (place, *offset)))?;
    consumer.commit(&list, CommitMode::Sync).map_err(Error::cluster("commit of a group"))
}
