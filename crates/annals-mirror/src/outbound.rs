//! From a store to a cluster.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{Consumer, Offset, RecordRef, StartFrom, TopicPartition};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use crate::alike::Description;
use crate::cluster::{self, Cluster, PATIENCE, number};
use crate::error::{Error, Result};
use crate::groups::Groups;
use crate::mirror::{Context, places};
use crate::offset_map::{self, OffsetMap, Runs};
use crate::settings::Settings;
use crate::source::{Source, SourceTopic};

/// How long a look waits for records where there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How long a step that has records waits for more.
const LINGER: Duration = Duration::from_millis(50);

/// A store, and the cluster that its topics go to.
pub(crate) struct Outbound {
    cluster: Cluster,
    source: Source,
    topics: BTreeMap<String, SourceTopic>,
    /// The group whose offsets say how far the cluster has it, and the topic that has the way of the offsets.
    name: String,
}

/// What became of the records that were produced.
#[derive(Default)]
struct Deliveries {
    keeps_runs: bool,
    runs: Mutex<BTreeMap<u32, Runs>>,
    failure: Mutex<Option<(KafkaError, i32, Offset)>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    /// The offset in the source.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, source: usize) {
        let source = Offset::try_from(source).unwrap_or(Offset::MAX);
        match result {
            Ok(message) => {
                if let (true, Ok(partition)) = (self.keeps_runs, u32::try_from(message.partition())) {
                    let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
                    runs.entry(partition).or_default().push(source, message.offset());
                }
            }
            Err((error, message)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert((error.clone(), message.partition(), source));
            }
        }
    }
}

/// From the fence to the first failure.
struct Session<'a> {
    outbound: &'a Outbound,
    topic: &'a SourceTopic,
    name: &'a str,
    places: Vec<TopicPartition>,
    producer: BaseProducer<Deliveries>,
    /// Of the group that says how far the cluster has it.
    group: BaseConsumer,
    reader: Consumer,
    maps: BTreeMap<TopicPartition, OffsetMap>,
}

/// What a step has put into its transaction.
#[derive(Default)]
struct Step {
    records: u64,
    bytes: usize,
}

impl Outbound {
    pub(crate) fn new(
        cluster: Cluster,
        source: Source,
        topics: BTreeMap<String, SourceTopic>,
        settings: &Settings,
    ) -> Result<Self> {
        let name = format!("annals-mirror-{:032x}", source.id());
        if !settings.groups.is_empty() {
            let compacted = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
            cluster.create(&name, 1, &compacted)?;
        }
        Ok(Self { cluster, source, topics, name })
    }

    pub(crate) fn session(&self, name: &str, context: &Context<'_>) -> Result<()> {
        let Some(topic) = self.topics.get(name) else { return Ok(()) };
        let mut session = self.begin((name, topic), context)?;
        let ends = if context.settings.is_once { Some(self.ends(name)?) } else { None };
        let mut groups = Groups::new(&context.settings.groups);
        while !context.is_stopped() {
            session.step(context)?;
            session.note_lag(context)?;
            let is_done = ends.as_ref().is_some_and(|ends| session.has_reached(ends));
            if is_done || groups.are_due() {
                session.translate_groups(&mut groups, context)?;
            }
            if is_done {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is there and stays, now.
    fn ends(&self, name: &str) -> Result<Vec<Offset>> {
        self.source.make_durable(name)?;
        Ok(self.source.bounds(name)?.iter().map(|bounds| bounds.stable.min(bounds.durable)).collect())
    }

    fn begin<'a>(
        &'a self,
        (name, topic): (&'a str, &'a SourceTopic),
        context: &Context<'_>,
    ) -> Result<Session<'a>> {
        let settings = context.settings;
        let id = format!("annals-{:032x}-{name}", self.source.id());
        let largest = Description::of_ours(topic.partitions, &topic.config);
        let largest = largest.values.get("max.message.bytes").cloned().unwrap_or_default();
        let config = settings.client_config(&[
            ("transactional.id", &id),
            ("enable.idempotence", "true"),
            ("message.max.bytes", &largest),
            ("linger.ms", "5"),
            ("queue.buffering.max.messages", "100000"),
            ("allow.auto.create.topics", "false"),
        ]);
        let deliveries = Deliveries { keeps_runs: !settings.groups.is_empty(), ..Deliveries::default() };
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(deliveries).map_err(Error::cluster("producer"))?;
        // From here on no older mirror of this topic can commit.
        producer.init_transactions(PATIENCE).map_err(Error::of_producer(name, "fencing older mirrors"))?;
        let group = self.cluster.consumer(&self.name)?;
        let places = places(name, topic.partitions);
        let positions = self.positions(&group, (topic, &places), settings)?;
        let reader = self.source.consumer_builder().read_durable_only().start_from(StartFrom::Fail);
        let mut reader = reader.max_poll_records(10_000).build()?;
        reader.assign(places.clone())?;
        for (place, position) in places.iter().zip(positions) {
            reader.seek(place.clone(), position)?;
        }
        let mut session =
            Session { outbound: self, topic, name, places, producer, group, reader, maps: BTreeMap::new() };
        if !settings.groups.is_empty() {
            session.maps = session.load_maps()?;
        }
        Ok(session)
    }

    /// Where each partition goes on.
    fn positions(
        &self,
        group: &BaseConsumer,
        (topic, places): (&SourceTopic, &[TopicPartition]),
        settings: &Settings,
    ) -> Result<Vec<Offset>> {
        let committed = cluster::committed(group, places)?;
        let mut positions = Vec::new();
        for (place, bounds) in
            places.iter().zip(self.source.bounds(places.first().map_or("", |one| one.topic()))?)
        {
            let Some(commit) = committed.get(place) else {
                positions.push(bounds.start);
                continue;
            };
            let position = commit.offset;
            let diverged = |reason: String| Error::Diverged { partition: place.clone(), position, reason };
            if commit.metadata != id_text(topic.id) {
                return Err(diverged(format!(
                    "which was an offset of another topic of that name: {:?} and not {:?}",
                    commit.metadata,
                    id_text(topic.id)
                )));
            }
            if position > bounds.stable {
                return Err(diverged(format!("and the store's records end at {}", bounds.stable)));
            }
            if position < bounds.start && !settings.skips_deleted {
                let (partition, start) = (place.clone(), bounds.start);
                return Err(Error::Deleted { partition, position, start });
            }
            positions.push(position.max(bounds.start));
        }
        Ok(positions)
    }
}

fn id_text(id: u128) -> String {
    format!("{id:032x}")
}

impl Session<'_> {
    /// Carries over what there is, up to the size of a step.
    fn step(&mut self, context: &Context<'_>) -> Result<()> {
        let mut step = Step::default();
        let mut began = None;
        loop {
            let wait = began.map_or(IDLE, |began: Instant| LINGER.saturating_sub(began.elapsed()));
            let records = match self.reader.poll(wait) {
                Err(annals::Error::OffsetOutOfRange { partition, requested, start, .. }) => {
                    return Err(Error::Deleted { partition, position: requested, start });
                }
                other => other?,
            };
            if records.is_empty() {
                break;
            }
            if began.is_none() {
                self.begin_transaction()?;
                began = Some(Instant::now());
            }
            for record in &records {
                self.send(&record, &mut step)?;
            }
            if step.records >= context.settings.step_records as u64
                || step.bytes >= context.settings.step_bytes
            {
                break;
            }
        }
        if began.is_none() {
            return Ok(());
        }
        self.commit()?;
        context.board.note(self.name, |figures| {
            figures.steps += 1;
            figures.records += step.records;
            figures.bytes += step.bytes as u64;
        });
        Ok(())
    }

    fn begin_transaction(&self) -> Result<()> {
        let deliveries = self.producer.context();
        deliveries.runs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.producer.begin_transaction().map_err(Error::of_producer(self.name, "begin of a transaction"))
    }

    fn send(&self, record: &RecordRef<'_>, step: &mut Step) -> Result<()> {
        let refused = |reason: &str| Error::Refused {
            partition: record.topic_partition().clone(),
            offset: record.offset(),
            reason: reason.to_owned(),
        };
        if record.timestamp() == 0 {
            return Err(refused("its timestamp is 0, which librdkafka takes for the time of sending"));
        }
        let mut headers = None;
        for header in record.headers() {
            step.bytes += header.key.len() + header.value.map_or(0, <[u8]>::len);
            let before = headers.unwrap_or_else(OwnedHeaders::new);
            headers = Some(before.insert(Header { key: &header.key, value: header.value }));
        }
        step.records += 1;
        step.bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        let source = usize::try_from(record.offset()).map_err(|_| refused("its offset is too large here"))?;
        let mut message = BaseRecord::<[u8], [u8], usize>::with_opaque_to(self.name, source)
            .partition(number(record.partition()))
            .timestamp(record.timestamp());
        message.key = record.key();
        message.payload = record.value();
        message.headers = headers;
        self.produce(message)?;
        if step.records.is_multiple_of(1000) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Hands a record to the client, which waits while its queue is full.
    fn produce(&self, message: BaseRecord<'_, [u8], [u8], usize>) -> Result<()> {
        let mut message = message;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !is_full || Instant::now() > deadline {
                        return Err(Error::of_producer(self.name, "sending a record")(error));
                    }
                    message = back;
                    self.producer.poll(Duration::from_millis(50));
                    self.check_delivered()?;
                }
            }
        }
    }

    /// All that was handed to the client is in the cluster.
    fn flush(&self) -> Result<()> {
        self.producer.flush(PATIENCE).map_err(Error::of_producer(self.name, "sending records"))?;
        self.check_delivered()
    }

    fn check_delivered(&self) -> Result<()> {
        let mut failure = self.producer.context().failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.take() {
            None => Ok(()),
            Some((error, partition, offset)) => {
                let doing = format!("the record of partition {partition}, offset {offset}");
                Err(Error::of_producer(self.name, &doing)(error))
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.flush()?;
        let changes = self.send_runs()?;
        let mut positions = Vec::new();
        for place in &self.places {
            positions.push((place, self.reader.position(place.clone())?));
        }
        let offsets = cluster::list(positions)?;
        for place in &self.places {
            if let Some(mut one) = offsets.find_partition(place.topic(), number(place.partition())) {
                one.set_metadata(id_text(self.topic.id));
            }
        }
        let unknown = || Error::Settings("the consumer has no group".to_owned());
        let group = self.group.group_metadata().ok_or_else(unknown)?;
        self.producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .map_err(Error::of_producer(self.name, "offsets of a transaction"))?;
        self.producer
            .commit_transaction(PATIENCE)
            .map_err(Error::of_producer(self.name, "commit of a transaction"))?;
        for (place, changes) in changes {
            self.maps.entry(place).or_default().apply(&changes);
        }
        Ok(())
    }

    /// Where the records of this transaction went, as records of it.
    fn send_runs(&self) -> Result<Vec<(TopicPartition, offset_map::Changes)>> {
        let runs =
            std::mem::take(&mut *self.producer.context().runs.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = Vec::new();
        for (partition, runs) in runs {
            let place = TopicPartition::new(self.name, partition);
            let changes =
                self.maps.get(&place).map_or_else(|| OffsetMap::default().with(&runs), |map| map.with(&runs));
            let sets = changes.set.iter().map(|(source, run)| (*source, Some(run)));
            for (source, run) in sets.chain(changes.removed.iter().map(|source| (*source, None))) {
                let key = offset_map::key("", self.name, partition, source);
                let value = run.map(|run| offset_map::value(run, self.topic.id));
                let mut message =
                    BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.outbound.name, 0).partition(0);
                message.key = Some(key.as_bytes());
                message.payload = value.as_ref().map(String::as_bytes);
                self.produce(message)?;
            }
            all.push((place, changes));
        }
        if !all.is_empty() {
            self.flush()?;
        }
        Ok(all)
    }

    /// What earlier sessions have written of the way of the offsets.
    fn load_maps(&self) -> Result<BTreeMap<TopicPartition, OffsetMap>> {
        let reader = self.outbound.cluster.consumer(&self.outbound.name)?;
        let place = TopicPartition::new(self.outbound.name.as_str(), 0);
        let first =
            reader.fetch_watermarks(place.topic(), 0, PATIENCE).map_err(Error::cluster("the map's start"))?.0;
        let list = cluster::list([(&place, first)])?;
        reader.assign(&list).map_err(Error::cluster("the map's assignment"))?;
        let mut maps: BTreeMap<TopicPartition, OffsetMap> = BTreeMap::new();
        loop {
            let message = match reader.poll(PATIENCE) {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(maps),
                Some(Err(source)) => return Err(Error::cluster("reading the map")(source)),
                None => {
                    let source = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                    return Err(Error::cluster("reading the map")(source));
                }
            };
            let key = message.key().unwrap_or_default();
            if let Some((partition, source)) = offset_map::parse_key("", self.name, key) {
                let run =
                    message.payload().and_then(|value| offset_map::parse_value(source, value, self.topic.id));
                let place = TopicPartition::new(self.name, partition);
                maps.entry(place).or_default().replay(source, run);
            }
        }
    }

    fn has_reached(&mut self, ends: &[Offset]) -> bool {
        let mut positions = self.places.iter().zip(ends);
        positions
            .all(|(place, end)| self.reader.position(place.clone()).is_ok_and(|position| position >= *end))
    }

    fn note_lag(&mut self, context: &Context<'_>) -> Result<()> {
        let mut lag = 0;
        for (place, bounds) in self.places.iter().zip(self.outbound.source.bounds(self.name)?) {
            let position = self.reader.position(place.clone())?;
            lag += u64::try_from(bounds.stable - position).unwrap_or(0);
        }
        context.board.note(self.name, |figures| figures.lag = lag);
        Ok(())
    }

    /// What groups have committed in the store, committed in the cluster.
    fn translate_groups(&mut self, groups: &mut Groups, context: &Context<'_>) -> Result<()> {
        let mut mirrored = BTreeMap::new();
        for place in &self.places {
            mirrored.insert(place.clone(), self.reader.position(place.clone())?);
        }
        for group in &context.settings.groups {
            let ours = self.outbound.source.committed(group);
            let of_topic = ours.into_iter().filter(|(place, _)| place.topic() == self.name);
            let of_topic = of_topic.map(|(place, commit)| (place, commit.offset)).collect();
            let wanted = groups.translated(group, &of_topic, (&self.maps, &mirrored));
            if wanted.is_empty() {
                continue;
            }
            let theirs = self.outbound.cluster.consumer(group)?;
            let places: Vec<_> = wanted.keys().cloned().collect();
            let there = cluster::committed(&theirs, &places)?;
            let mut forward = wanted.clone();
            forward.retain(|place, offset| there.get(place).is_none_or(|commit| commit.offset < *offset));
            if !forward.is_empty() {
                match cluster::commit(&theirs, &forward) {
                    // The group works there by now: its offsets are its own.
                    Err(Error::Cluster { source, .. })
                        if source.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownMemberId) => {}
                    Err(error) => return Err(error),
                    Ok(()) => {
                        let count = forward.len() as u64;
                        context.board.note(self.name, |figures| figures.translated += count);
                    }
                }
            }
            groups.note(group, &of_topic, &wanted);
        }
        Ok(())
    }
}
