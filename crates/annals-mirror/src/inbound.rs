//! From a cluster into a store.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Offset, Partition, Record, Store, TopicConfig, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::cluster::{self, Cluster, PATIENCE, number};
use crate::error::{Error, Result};
use crate::groups::Groups;
use crate::mirror::{Context, places};
use crate::offset_map::{self, OffsetMap, Runs};
use crate::settings::Settings;

/// The topic of the store that has the way of the offsets, and with it how far the store has each partition.
pub(crate) const MAP: &str = "annals.mirror";
/// How long a look waits for records where there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How long a step that has records waits for more.
const LINGER: Duration = Duration::from_millis(50);
/// How often a step is tried again when its partitions have ended elsewhere than expected.
const MOST_TRIES: u32 = 100;

/// Topics that are mirrored into a store of this process: two mirrors would double what they bring.
static RUNNING: Mutex<BTreeSet<(u128, String)>> = Mutex::new(BTreeSet::new());

/// A cluster, and the store that its topics go to.
pub(crate) struct Inbound {
    cluster: Cluster,
    cluster_id: String,
    store: Store,
}

/// Holds a topic against other mirrors.
struct Running((u128, String));

impl Running {
    fn begin(store: &Store, topic: &str) -> Result<Self> {
        let one = (store.id(), topic.to_owned());
        let is_new = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(one.clone());
        if !is_new {
            return Err(Error::Settings(format!("{topic} is mirrored into this store already")));
        }
        Ok(Self(one))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// From the first look to the first failure.
struct Session<'a> {
    inbound: &'a Inbound,
    name: &'a str,
    topic_id: u128,
    places: Vec<TopicPartition>,
    partitions: Vec<Partition>,
    consumer: BaseConsumer,
    maps: BTreeMap<TopicPartition, OffsetMap>,
    /// Where the cluster's committed records ended at the start.
    ends: Vec<Offset>,
    /// Partitions that were read to their end, wherever that was.
    at_end: BTreeSet<i32>,
    _running: Running,
}

/// A record of the cluster.
struct Fetched {
    partition: u32,
    source: Offset,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Inbound {
    pub(crate) fn new(cluster: Cluster, store: &Store, _: &Settings) -> Result<Self> {
        store.ensure_topic(MAP, TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
        let cluster_id = cluster.id()?;
        Ok(Self { cluster, cluster_id, store: store.clone() })
    }

    fn prefix(&self) -> String {
        format!("{}/", self.cluster_id)
    }

    pub(crate) fn session(&self, name: &str, context: &Context<'_>) -> Result<()> {
        let mut session = self.begin(name, context.settings)?;
        let mut groups = Groups::new(&context.settings.groups);
        while !context.is_stopped() {
            session.step(context)?;
            session.note_lag(context);
            let is_done = context.settings.is_once && session.has_all();
            if is_done || groups.are_due() {
                session.translate_groups(&mut groups, context)?;
            }
            if is_done {
                return Ok(());
            }
        }
        Ok(())
    }

    fn begin<'a>(&'a self, name: &'a str, settings: &Settings) -> Result<Session<'a>> {
        let running = Running::begin(&self.store, name)?;
        let topic = self.store.topic(name)?;
        let places = places(name, topic.partition_count());
        let maps = self.load_maps(name, topic.id())?;
        let consumer = self.cluster.consumer("annals-mirror")?;
        let (mut from, mut ends) = (Vec::new(), Vec::new());
        for place in &places {
            let bounds = consumer.fetch_watermarks(name, number(place.partition()), PATIENCE);
            let (start, end) = bounds.map_err(Error::cluster(format!("ends of {place}")))?;
            let position = maps.get(place).and_then(OffsetMap::position);
            let partition = place.clone();
            if let Some(position) = position.filter(|position| *position > end) {
                let reason = format!("and the cluster's records end at {end}");
                return Err(Error::Diverged { partition, position, reason });
            }
            if let Some(position) = position.filter(|position| *position < start && !settings.skips_deleted) {
                return Err(Error::Deleted { partition, position, start });
            }
            from.push((place, position.unwrap_or(start).max(start)));
            ends.push(end);
        }
        let list = cluster::list(from)?;
        consumer.assign(&list).map_err(Error::cluster("assignment"))?;
        let (topic_id, partitions) = (topic.id(), topic.partitions());
        let at_end = BTreeSet::new();
        Ok(Session {
            inbound: self,
            name,
            topic_id,
            places,
            partitions,
            consumer,
            maps,
            ends,
            at_end,
            _running: running,
        })
    }

    /// What earlier sessions have noted, which is also where they ended.
    fn load_maps(&self, name: &str, topic_id: u128) -> Result<BTreeMap<TopicPartition, OffsetMap>> {
        let mut maps: BTreeMap<TopicPartition, OffsetMap> = BTreeMap::new();
        let mut reader = self.store.topic(MAP)?.partition(0)?.read(..)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                return Ok(maps);
            }
            for record in &records {
                let key = record.key().unwrap_or_default();
                if let Some((partition, source)) = offset_map::parse_key(&self.prefix(), name, key) {
                    let run =
                        record.value().and_then(|value| offset_map::parse_value(source, value, topic_id));
                    maps.entry(TopicPartition::new(name, partition)).or_default().replay(source, run);
                }
            }
        }
    }
}

impl Session<'_> {
    /// Carries over what there is, up to the size of a step.
    fn step(&mut self, context: &Context<'_>) -> Result<()> {
        let mut fetched: Vec<Fetched> = Vec::new();
        let (mut bytes, mut began) = (0, None);
        while fetched.len() < context.settings.step_records && bytes < context.settings.step_bytes {
            let wait = began.map_or(IDLE, |began: Instant| LINGER.saturating_sub(began.elapsed()));
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let record = self.read(&message)?;
                    bytes += record.bytes();
                    fetched.push(record);
                    began.get_or_insert_with(Instant::now);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.at_end.insert(partition);
                    if self.at_end.len() == self.places.len() {
                        break;
                    }
                }
                Some(Err(error)) => {
                    // A broker that is away is looked for by the client itself; what cannot be passed over ends the session.
                    let passes = error.rdkafka_error_code().is_some_and(|code| PASSING.contains(&code));
                    if !passes {
                        return Err(Error::cluster(format!("reading {}", self.name))(error));
                    }
                }
            }
        }
        if fetched.is_empty() {
            return Ok(());
        }
        self.commit(&fetched, context.settings)?;
        context.board.note(self.name, |figures| {
            figures.steps += 1;
            figures.records += fetched.len() as u64;
            figures.bytes += bytes as u64;
        });
        Ok(())
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Result<Fetched> {
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        let source = message.offset();
        let mut headers = Vec::new();
        if let Some(found) = message.headers() {
            // The client takes a name for UTF-8 and panics where it is not.
            let read = catch_unwind(AssertUnwindSafe(|| {
                let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                };
                found.iter().map(header).collect()
            }));
            headers = read.map_err(|_| Error::Refused {
                partition: TopicPartition::new(self.name, partition),
                offset: source,
                reason: "the name of a header is not UTF-8".to_owned(),
            })?;
        }
        Ok(Fetched {
            partition,
            source,
            timestamp: message.timestamp().to_millis().unwrap_or(annals::NO_TIMESTAMP),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        })
    }

    /// The records and where they stand, together.
    fn commit(&mut self, fetched: &[Fetched], settings: &Settings) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.try_commit(fetched, settings) {
                // Another transaction's end has come in between.
                Err(Error::Store(annals::Error::UnexpectedEnd { .. })) if tries < MOST_TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(u64::from(tries)));
                }
                other => return other,
            }
        }
    }

    fn try_commit(&mut self, fetched: &[Fetched], settings: &Settings) -> Result<()> {
        let name = format!("mirror:{}:{}", self.inbound.cluster_id, self.name);
        let builder = self.inbound.store.transaction_builder(&name).durability(settings.durability);
        // All of it is placed at once, where the partitions end then.
        let mut transaction =
            builder.buffer_bytes(settings.step_bytes.saturating_mul(4).max(64 << 20)).begin()?;
        let mut next = BTreeMap::new();
        let mut runs: BTreeMap<u32, Runs> = BTreeMap::new();
        for record in fetched {
            let unknown = || Error::Settings(format!("{} has no partition {}", self.name, record.partition));
            let partition =
                usize::try_from(record.partition).ok().and_then(|number| self.partitions.get(number));
            let partition = partition.ok_or_else(unknown)?;
            let target = next.entry(record.partition).or_insert_with(|| {
                let end = partition.next_offset();
                transaction.expect_end(partition, end);
                end
            });
            runs.entry(record.partition).or_default().push(record.source, *target);
            *target += 1;
            transaction.send(record.to_record(self.name))?;
        }
        let mut all = Vec::new();
        for (partition, runs) in &runs {
            let place = TopicPartition::new(self.name, *partition);
            let changes = self.maps.entry(place.clone()).or_default().with(runs);
            let sets = changes.set.iter().map(|(source, run)| (*source, Some(run)));
            for (source, run) in sets.chain(changes.removed.iter().map(|source| (*source, None))) {
                let key = offset_map::key(&self.inbound.prefix(), self.name, *partition, source);
                let value = run.map(|run| offset_map::value(run, self.topic_id));
                let record = Record::to(MAP).key(&key);
                transaction.send(match &value {
                    Some(value) => record.value(value),
                    None => record,
                })?;
            }
            all.push((place, changes));
        }
        transaction.commit()?;
        for (place, changes) in all {
            self.maps.entry(place).or_default().apply(&changes);
        }
        Ok(())
    }

    fn position(&self, place: &TopicPartition) -> Offset {
        self.maps.get(place).and_then(OffsetMap::position).unwrap_or(0)
    }

    /// How far everything of the cluster is in the store: marks that are no records count once they were passed.
    fn mirrored(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut mirrored = BTreeMap::new();
        for (place, end) in self.places.iter().zip(&self.ends) {
            let was_read = self.at_end.contains(&number(place.partition()));
            let passed = if was_read { *end } else { 0 };
            mirrored.insert(place.clone(), self.position(place).max(passed));
        }
        mirrored
    }

    /// Whether all is in the store that was in the cluster at the start.
    fn has_all(&self) -> bool {
        self.mirrored().values().zip(&self.ends).all(|(position, end)| position >= end)
    }

    fn note_lag(&self, context: &Context<'_>) {
        let mirrored = self.mirrored();
        let lag = mirrored
            .values()
            .zip(&self.ends)
            .map(|(position, end)| u64::try_from(end - position).unwrap_or(0));
        let lag = lag.sum();
        context.board.note(self.name, |figures| figures.lag = lag);
    }

    /// What groups have committed in the cluster, committed in the store.
    fn translate_groups(&mut self, groups: &mut Groups, context: &Context<'_>) -> Result<()> {
        let mirrored = self.mirrored();
        for group in &context.settings.groups {
            let theirs = self.inbound.cluster.consumer(group)?;
            let there = cluster::committed(&theirs, &self.places)?;
            let there = there.into_iter().map(|(place, commit)| (place, commit.offset)).collect();
            let wanted = groups.translated(group, &there, (&self.maps, &mirrored));
            if wanted.is_empty() {
                continue;
            }
            let stats = self.inbound.store.stats()?;
            let is_at_work = stats.groups.iter().any(|one| one.group == *group && !one.members.is_empty());
            let ours = self.inbound.store.committed(group);
            let mut forward = wanted.clone();
            forward.retain(|place, offset| ours.get(place).is_none_or(|commit| commit.offset < *offset));
            if !forward.is_empty() && !is_at_work {
                let count = forward.len() as u64;
                let builder = self.inbound.store.consumer_builder().group(group);
                let mut consumer = builder.commit_durability(context.settings.durability).build()?;
                // Not as a member: its commits are refused for what the group has not given it.
                consumer.assign(forward.keys().cloned())?;
                consumer.commit_offsets(forward)?;
                context.board.note(self.name, |figures| figures.translated += count);
            }
            groups.note(group, &there, &wanted);
        }
        Ok(())
    }
}

/// What the client gets over by itself.
const PASSING: &[rdkafka::error::RDKafkaErrorCode] = &[
    rdkafka::error::RDKafkaErrorCode::BrokerTransportFailure,
    rdkafka::error::RDKafkaErrorCode::AllBrokersDown,
    rdkafka::error::RDKafkaErrorCode::Resolve,
    rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
    rdkafka::error::RDKafkaErrorCode::RequestTimedOut,
    rdkafka::error::RDKafkaErrorCode::NotLeaderForPartition,
    rdkafka::error::RDKafkaErrorCode::LeaderNotAvailable,
];

impl Fetched {
    fn bytes(&self) -> usize {
        let header =
            |(key, value): &(String, Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + self.headers.iter().map(header).sum::<usize>()
    }

    fn to_record<'a>(&'a self, topic: &'a str) -> Record<'a> {
        let mut record = Record::to(topic).partition(self.partition).timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }
}
