//! From a cluster into a store.

mod fetched;
mod lag;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Offset, Partition, Record, Store, TopicConfig, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;

use self::fetched::Fetched;
use self::lag::Lag;
use crate::cluster::{self, Cluster, Ends, PATIENCE, number};
use crate::error::{Error, Result};
use crate::groups::Groups;
use crate::mirror::{Context, places};
use crate::offset_map::{self, Noted, OffsetMap, Runs};
use crate::settings::Settings;

/// The topic of the store that has the way of the offsets, and with it how far the store has each partition.
pub(crate) const MAP: &str = "annals.mirror";
/// How long a look waits for records where there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How long a step that has records waits for more.
const LINGER: Duration = Duration::from_millis(50);
/// How often it is looked whether steps of others have ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long the cluster may take to say where a partition ends while records could be carried.
const GLANCE: Duration = Duration::from_secs(1);
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
    lag: Lag,
    _running: Running,
}

impl Inbound {
    pub(crate) fn new(cluster: Cluster, store: &Store) -> Result<Self> {
        store.ensure_topic(MAP, TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
        let cluster_id = cluster.id()?;
        Ok(Self { cluster, cluster_id, store: store.clone() })
    }

    fn prefix(&self) -> String {
        format!("{}/", self.cluster_id)
    }

    pub(crate) fn session(&self, name: &str, context: &Context<'_>) -> Result<()> {
        let mut session = self.begin(name, context)?;
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

    fn begin<'a>(&'a self, name: &'a str, context: &Context<'_>) -> Result<Session<'a>> {
        let settings = context.settings;
        let running = Running::begin(&self.store, name)?;
        let topic = self.store.topic(name)?;
        let places = places(name, topic.partition_count());
        let maps = load_maps(&self.store, (&self.prefix(), name, topic.id()), &|| context.is_stopped())?;
        let consumer = self.cluster.consumer("annals-mirror")?;
        let (mut from, mut ends) = (Vec::new(), Vec::new());
        for (place, partition) in places.iter().zip(topic.partitions()) {
            others::check_own(&partition, maps.get(place))?;
            let Ends { start, end } = cluster::ends(&consumer, place, PATIENCE)?;
            let position = maps.get(place).and_then(OffsetMap::position);
            let partition = place.clone();
            if let Some(position) = position.filter(|position| *position > end) {
                let reason = format!(
                    "and the cluster's records end at {end}: it has lost records, or the topic was made again there; to mirror it from the start, delete the topic in the store"
                );
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
            lag: Lag::new(ends.clone()),
            ends,
            at_end,
            _running: running,
        })
    }
}

/// What earlier sessions have noted, which is also where they ended: all of it, or records would come twice.
fn load_maps(
    store: &Store,
    (prefix, name, topic_id): (&str, &str, u128),
    is_stopped: &dyn Fn() -> bool,
) -> Result<BTreeMap<TopicPartition, OffsetMap>> {
    let partition = store.topic(MAP)?.partition(0)?;
    // All topics share it: a step of another one may lie in front of the last of this one, not decided yet. A reader ends there.
    let (end, began) = (partition.end(), Instant::now());
    while partition.stable() < end {
        if is_stopped() || began.elapsed() > PATIENCE {
            let source = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
            return Err(Error::cluster(format!("waiting for steps of other topics in {MAP}"))(source));
        }
        std::thread::sleep(LOOK);
    }
    let mut noted: BTreeMap<TopicPartition, Noted> = BTreeMap::new();
    for record in partition.read(..)? {
        let record = record?;
        let key = record.key.as_deref().unwrap_or_default();
        if let Some((partition, source)) = offset_map::parse_key(prefix, name, key) {
            let place = TopicPartition::new(name, partition);
            noted.entry(place).or_default().replay(source, record.value.as_deref(), topic_id);
        }
    }
    Ok(noted.into_iter().map(|(place, noted)| (place, noted.map)).collect())
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
                    let record = Fetched::of(&message)?;
                    self.lag.note_record(message.partition());
                    bytes += record.bytes();
                    fetched.push(record);
                    began.get_or_insert_with(Instant::now);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.at_end.insert(partition);
                    self.lag.note_at_end(partition);
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
            let place = partition.topic_partition().clone();
            transaction.send(record.to_record(self.name)).map_err(Error::of_record(place, record.source))?;
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

    fn note_lag(&mut self, context: &Context<'_>) {
        if self.lag.is_due() {
            for place in &self.places {
                // A cluster that does not say it just now is asked again at the next look.
                let Ok(found) = cluster::ends(&self.consumer, place, GLANCE) else { break };
                self.lag.note_end(number(place.partition()), found.end);
            }
        }
        let lag = self.lag.of(self.places.iter().map(|place| self.position(place)));
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
const PASSING: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::BrokerTransportFailure,
    RDKafkaErrorCode::AllBrokersDown,
    RDKafkaErrorCode::Resolve,
    RDKafkaErrorCode::OperationTimedOut,
    RDKafkaErrorCode::RequestTimedOut,
    RDKafkaErrorCode::NotLeaderForPartition,
    RDKafkaErrorCode::LeaderNotAvailable,
];

#[cfg(test)]
mod tests;
