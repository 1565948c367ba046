//! The store that is mirrored out.

use std::collections::{BTreeMap, BTreeSet};

use annals::{CommittedOffset, ConsumerBuilder, Offset, Store, StoreReader, TopicConfig, TopicPartition};
use futures_executor::block_on;

use crate::inbound::MAP;
use crate::offset_map::{Noted, parse_key};

/// A store, open in this process or only read by it.
///
/// ```no_run
/// # use annals::{Store, StoreReader};
/// # use annals_mirror::{Mirror, Settings};
/// let theirs = StoreReader::attach("shop-log")?; // another process writes to it
/// let mirror = Mirror::out(Settings::new("127.0.0.1:9092").topic("orders"), &theirs)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub enum Source {
    /// This process has it open.
    Store(Store),
    /// This process only reads it.
    Reader(StoreReader),
}

impl From<&Store> for Source {
    fn from(store: &Store) -> Self {
        Self::Store(store.clone())
    }
}

impl From<&StoreReader> for Source {
    fn from(reader: &StoreReader) -> Self {
        Self::Reader(reader.clone())
    }
}

/// A topic of it.
#[derive(Debug, Clone)]
pub(crate) struct SourceTopic {
    pub(crate) id: u128,
    pub(crate) config: TopicConfig,
    pub(crate) partitions: u32,
}

/// Where a partition begins and how far it is mirrored now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) start: Offset,
    /// All below is committed, or was aborted.
    pub(crate) stable: Offset,
    /// All below survives a power cut.
    pub(crate) durable: Offset,
}

impl Source {
    pub(crate) fn id(&self) -> u128 {
        match self {
            Self::Store(store) => store.id(),
            Self::Reader(reader) => reader.id(),
        }
    }

    /// Whether a process has the store open that syncs what is written.
    pub(crate) fn is_owned(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Reader(reader) => reader.owner().is_some(),
        }
    }

    pub(crate) fn topic(&self, name: &str) -> annals::Result<SourceTopic> {
        Ok(match self {
            Self::Store(store) => {
                let topic = store.topic(name)?;
                let partitions = topic.partition_count();
                SourceTopic { id: topic.id(), config: topic.config(), partitions }
            }
            Self::Reader(reader) => {
                let topic = reader.topic(name)?;
                let partitions = topic.partition_count();
                SourceTopic { id: topic.id(), config: topic.config(), partitions }
            }
        })
    }

    pub(crate) fn bounds(&self, name: &str) -> annals::Result<Vec<Bounds>> {
        Ok(match self {
            Self::Store(store) => {
                let bounds = |one: annals::Partition| Bounds {
                    start: one.start(),
                    stable: one.stable(),
                    durable: one.durable(),
                };
                store.topic(name)?.partitions().into_iter().map(bounds).collect()
            }
            Self::Reader(reader) => {
                let bounds = |one: annals::PartitionView| Bounds {
                    start: one.start(),
                    stable: one.stable(),
                    durable: one.durable(),
                };
                reader.topic(name)?.partitions().into_iter().map(bounds).collect()
            }
        })
    }

    /// Partitions of a topic that have records from that cluster, which a mirror in has noted.
    pub(crate) fn brought(&self, cluster_id: &str, name: &str) -> annals::Result<BTreeSet<u32>> {
        let reader = match self {
            Self::Store(store) => store.topic(MAP).and_then(|map| map.partition(0)?.read(..)),
            Self::Reader(reader) => reader.topic(MAP).and_then(|map| map.partition(0)?.read(..)),
        };
        let reader = match reader {
            Err(annals::Error::UnknownTopic { .. }) => return Ok(BTreeSet::new()),
            other => other?,
        };
        let id = self.topic(name)?.id;
        let prefix = format!("{cluster_id}/");
        let mut brought: BTreeMap<u32, Noted> = BTreeMap::new();
        for record in reader {
            let record = record?;
            let key = record.key.as_deref().unwrap_or_default();
            if let Some((partition, source)) = parse_key(&prefix, name, key) {
                brought.entry(partition).or_default().replay(source, record.value.as_deref(), id);
            }
        }
        brought.retain(|_, noted| noted.map.position().is_some());
        Ok(brought.into_keys().collect())
    }

    /// Makes durable what this process has sent; what another has sent becomes so by itself. A record that was lost from
    /// memory is told to its sender, by the sender's next call and not by this one.
    pub(crate) fn make_durable(&self, name: &str) -> annals::Result<()> {
        let Self::Store(store) = self else { return Ok(()) };
        for partition in store.topic(name)?.partitions() {
            let end = partition.next_offset();
            if end > partition.start() {
                block_on(partition.durable_through(end - 1))?;
            }
        }
        Ok(())
    }

    pub(crate) fn consumer_builder(&self) -> ConsumerBuilder {
        match self {
            Self::Store(store) => store.consumer_builder(),
            Self::Reader(reader) => reader.consumer_builder(),
        }
    }

    pub(crate) fn committed(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        match self {
            Self::Store(store) => store.committed(group),
            Self::Reader(reader) => reader.committed(group),
        }
    }
}
