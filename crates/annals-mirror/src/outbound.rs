//! From a store to a cluster.

mod beginning;
mod deliveries;
mod standstill;
mod unsynced;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use annals::{Consumer, Offset, RecordRef, Records, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use self::deliveries::Deliveries;
use self::standstill::Standstill;
use crate::cluster::{self, Cluster, PATIENCE, number};
use crate::error::{Error, Result};
use crate::groups::Groups;
use crate::mirror::Context;
use crate::offset_map::{self, Changes, OffsetMap};
use crate::source::{Source, SourceTopic};
use crate::standing::id_text;

/// How long a look waits for records where there are none.
const IDLE: Duration = Duration::from_millis(100);
/// How long a step that has records waits for more.
const LINGER: Duration = Duration::from_millis(50);

/// A store, and the cluster that its topics go to.
pub(crate) struct Outbound {
    cluster: Cluster,
    source: Source,
    topics: BTreeMap<String, SourceTopic>,
    /// See [`name`](Self::name).
    name: String,
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
    ) -> Result<Self> {
        let name = Self::name(&source);
        let compacted = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        cluster.create(&name, 1, &compacted)?;
        Ok(Self { cluster, source, topics, name })
    }

    /// The group whose offsets say how far the cluster has it, and the topic that has the way of the offsets.
    pub(crate) fn name(source: &Source) -> String {
        name_of(source.id())
    }

    pub(crate) fn session(&self, name: &str, context: &Context<'_>) -> Result<()> {
        let Some(topic) = self.topics.get(name) else { return Ok(()) };
        let mut session = self.begin((name, topic), context)?;
        let ends = if context.settings.is_once { Some(self.ends(name)?) } else { None };
        let mut groups = Groups::new(&context.settings.groups);
        let mut standstill = Standstill::default();
        while !context.is_stopped() {
            session.step(context)?;
            session.note_lag(context)?;
            let is_done = ends.as_ref().is_some_and(|ends| session.has_reached(ends));
            if let Some(ends) = &ends
                && !is_done
                && standstill.lasts(session.positions()?, Instant::now())
                    > context.settings.effective_patience()
            {
                return Err(session.uncertain(ends)?);
            }
            if is_done || groups.are_due() {
                session.translate_groups(&mut groups, context)?;
            }
            if is_done {
                return self.check_synced(name);
            }
        }
        Ok(())
    }

    /// What is there and stays, now.
    fn ends(&self, name: &str) -> Result<Vec<Offset>> {
        self.source.make_durable(name)?;
        Ok(self.source.bounds(name)?.iter().map(|bounds| bounds.stable.min(bounds.durable)).collect())
    }
}

impl Session<'_> {
    /// Carries over what there is, up to the size of a step.
    fn step(&mut self, context: &Context<'_>) -> Result<()> {
        let mut step = Step::default();
        let mut began = None;
        loop {
            let wait = began.map_or(IDLE, |began: Instant| LINGER.saturating_sub(began.elapsed()));
            let records = self.poll(wait, context)?;
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
        self.commit(Vec::new())?;
        context.board.note(self.name, |figures| {
            figures.steps += 1;
            figures.records += step.records;
            figures.bytes += step.bytes as u64;
        });
        Ok(())
    }

    /// Records, behind what was deleted where that is to be skipped.
    fn poll(&mut self, wait: Duration, context: &Context<'_>) -> Result<Records> {
        loop {
            match self.reader.poll(wait) {
                Err(annals::Error::OffsetOutOfRange { partition, requested, start, .. }) => {
                    let goes_on = context.settings.skips_deleted && requested < start;
                    if !goes_on || context.is_stopped() {
                        return Err(Error::Deleted { partition, position: requested, start });
                    }
                    self.reader.seek(partition, start)?;
                }
                other => return Ok(other?),
            }
        }
    }

    /// The topic of that name is still the one that this mirror began with.
    fn check_topic(&self) -> Result<()> {
        let id = self.outbound.source.topic(self.name)?.id;
        if id == self.topic.id {
            return Ok(());
        }
        let partition = TopicPartition::new(self.name, 0);
        let position = self.maps.get(&partition).and_then(OffsetMap::position).unwrap_or(0);
        let reason = "and the topic was deleted and made again since this mirror began".to_owned();
        Err(Error::Diverged { partition, position, reason })
    }

    fn begin_transaction(&self) -> Result<()> {
        self.producer.context().take_runs();
        self.producer.begin_transaction().map_err(self.failed("begin of a transaction"))
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
        self.produce(message, &record_named(number(record.partition()), record.offset()))?;
        if step.records.is_multiple_of(1000) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// What a call of the producer, or a record, has failed with.
    fn failed(&self, doing: &str) -> impl FnOnce(KafkaError) -> Error {
        Error::of_producer(self.name, doing, deliveries::fatal(&self.producer))
    }

    /// Hands a record to the client, which waits while its queue is full.
    fn produce(&self, message: BaseRecord<'_, [u8], [u8], usize>, doing: &str) -> Result<()> {
        let mut message = message;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !is_full || Instant::now() > deadline {
                        return Err(self.failed(doing)(error));
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
        self.producer.flush(PATIENCE).map_err(self.failed("sending records"))?;
        self.check_delivered()
    }

    fn check_delivered(&self) -> Result<()> {
        match self.producer.context().take_failure() {
            None => Ok(()),
            Some(failure) => {
                let doing = record_named(failure.partition, failure.offset);
                Err(self.failed(&doing)(failure.error))
            }
        }
    }

    /// Ends the transaction, with `changes` of the map in it and those that its records make.
    fn commit(&mut self, changes: Vec<(TopicPartition, Changes)>) -> Result<()> {
        self.flush()?;
        let changes = self.send_changes(changes)?;
        let positions = self.positions()?;
        let offsets = cluster::list(self.places.iter().zip(positions))?;
        for place in &self.places {
            if let Some(mut one) = offsets.find_partition(place.topic(), number(place.partition())) {
                one.set_metadata(id_text(self.topic.id));
            }
        }
        let unknown = || Error::Settings("the consumer has no group".to_owned());
        let group = self.group.group_metadata().ok_or_else(unknown)?;
        self.producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .map_err(self.failed("offsets of a transaction"))?;
        self.producer.commit_transaction(PATIENCE).map_err(self.failed("commit of a transaction"))?;
        for (place, changes) in changes {
            self.maps.entry(place).or_default().apply(&changes);
        }
        Ok(())
    }

    /// Where the records of this transaction went, as records of it.
    fn send_changes(
        &self,
        changes: Vec<(TopicPartition, Changes)>,
    ) -> Result<Vec<(TopicPartition, Changes)>> {
        let mut all = changes;
        for (partition, runs) in self.producer.context().take_runs() {
            let place = TopicPartition::new(self.name, partition);
            let changes = self.maps.get(&place).unwrap_or(&OffsetMap::default()).with(&runs);
            all.push((place, changes));
        }
        for (place, changes) in &all {
            let sets = changes.set.iter().map(|(source, run)| (*source, Some(run)));
            for (source, run) in sets.chain(changes.removed.iter().map(|source| (*source, None))) {
                let key = offset_map::key("", self.name, place.partition(), source);
                let value = run.map(|run| offset_map::value(run, self.topic.id));
                let mut message =
                    BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.outbound.name, 0).partition(0);
                message.key = Some(key.as_bytes());
                message.payload = value.as_ref().map(String::as_bytes);
                self.produce(message, "a run of the map")?;
            }
        }
        if !all.is_empty() {
            self.flush()?;
        }
        Ok(all)
    }

    fn positions(&mut self) -> Result<Vec<Offset>> {
        let reader = &mut self.reader;
        Ok(self.places.iter().map(|place| reader.position(place.clone())).collect::<annals::Result<_>>()?)
    }

    /// The first partition whose end cannot be reached: a transaction in front of it has no end in the log.
    fn uncertain(&mut self, ends: &[Offset]) -> Result<Error> {
        let positions = self.positions()?;
        let mut places = self.places.iter().zip(positions.into_iter().zip(ends));
        let behind = places.find(|(_, (position, end))| position < end);
        let (place, (position, end)) =
            behind.ok_or_else(|| Error::Settings(format!("{} is at its end", self.name)))?;
        Ok(Error::Uncertain { partition: place.clone(), position, end: *end })
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

/// The group, and the topic of the map, of the store with that id.
pub(crate) fn name_of(id: u128) -> String {
    format!("annals-mirror-{id:032x}")
}

fn record_named(partition: i32, offset: Offset) -> String {
    format!("the record of partition {partition}, offset {offset}")
}
