//! How a session begins: older mirrors are fenced, and then it is looked where each partition stands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use annals::{StartFrom, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::alike::Description;
use crate::cluster::{self, PATIENCE};
use crate::error::{Error, Result};
use crate::mirror::{Context, places};
use crate::offset_map::{self, Noted};
use crate::outbound::deliveries::{self, Deliveries};
use crate::outbound::{Outbound, Session};
use crate::settings::Settings;
use crate::source::SourceTopic;
use crate::standing::{Known, Standing};

/// How often it is looked whether transactions have ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long they may take: those of a mirror that was killed end when their time is over, after a minute.
const UNDECIDED: Duration = Duration::from_secs(120);

impl Outbound {
    pub(super) fn begin<'a>(
        &'a self,
        (name, topic): (&'a str, &'a SourceTopic),
        context: &Context<'_>,
    ) -> Result<Session<'a>> {
        // From here on no older mirror of this topic can commit.
        let producer = self.fence((name, topic), context.settings)?;
        let group = self.cluster.consumer(&self.name)?;
        let places = places(name, topic.partitions);
        let standings = self.standings(&group, (topic, &places), context)?;
        let reader = self.source.consumer_builder().read_durable_only().start_from(StartFrom::Fail);
        let mut reader = reader.max_poll_records(10_000).build()?;
        reader.assign(places.clone())?;
        let (mut maps, mut changes) = (BTreeMap::new(), Vec::new());
        for (place, (noted, standing)) in places.iter().zip(standings) {
            reader.seek(place.clone(), standing.position)?;
            maps.insert(place.clone(), noted.map);
            changes.push((place.clone(), standing.changes));
        }
        let mut session = Session { outbound: self, topic, name, places, producer, group, reader, maps };
        // What is read belongs to the topic that this mirror began with, from here on: the reader fails when that one is deleted.
        session.check_topic()?;
        changes.retain(|(_, changes)| !changes.is_empty());
        if !changes.is_empty() {
            session.begin_transaction()?;
            session.commit(changes)?;
        }
        Ok(session)
    }

    fn fence(
        &self,
        (name, topic): (&str, &SourceTopic),
        settings: &Settings,
    ) -> Result<BaseProducer<Deliveries>> {
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
            // The map is made of the reports.
            ("delivery.report.only.error", "false"),
        ]);
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(Error::cluster("producer"))?;
        match producer.init_transactions(PATIENCE) {
            Ok(()) => Ok(producer),
            Err(error) => {
                let fatal = deliveries::fatal(&producer);
                Err(Error::of_producer(name, "fencing older mirrors", fatal)(error))
            }
        }
    }

    /// Where each partition goes on.
    fn standings(
        &self,
        group: &BaseConsumer,
        (topic, places): (&SourceTopic, &[TopicPartition]),
        context: &Context<'_>,
    ) -> Result<Vec<(Noted, Standing)>> {
        let committed = cluster::committed(group, places)?;
        let all = self.cluster.consumer_of_all(&self.name)?;
        let name = places.first().map_or("", |one| one.topic());
        let mut noted = self.load((name, topic.id), (&all, context))?;
        let mut standings = Vec::new();
        // Asked for only where it matters: it reads what a mirror in has noted.
        let mut brought = None;
        for (place, source) in places.iter().zip(self.source.bounds(name)?) {
            let noted = noted.remove(place).unwrap_or_default();
            let target = cluster::ends(&all, place, PATIENCE)?;
            let is_first = !committed.contains_key(place) && noted.map.position().is_none();
            if is_first && target.start < target.end {
                if brought.is_none() {
                    brought = Some(self.source.brought(&self.cluster.id()?, name)?);
                }
                if brought.as_ref().is_some_and(|brought| brought.contains(&place.partition())) {
                    return Err(circle(name));
                }
            }
            let known = Known {
                place,
                topic_id: topic.id,
                commit: committed.get(place),
                noted: &noted,
                source,
                target,
            };
            let standing = known.standing(context.settings.skips_deleted)?;
            standings.push((noted, standing));
        }
        Ok(standings)
    }

    /// What earlier sessions have written of the way of the offsets.
    fn load(
        &self,
        (name, topic_id): (&str, u128),
        (all, context): (&BaseConsumer, &Context<'_>),
    ) -> Result<BTreeMap<TopicPartition, Noted>> {
        let reader = self.cluster.consumer(&self.name)?;
        let place = TopicPartition::new(self.name.as_str(), 0);
        self.wait_for_decisions((&reader, all), &place, context)?;
        let first = cluster::ends(&reader, &place, PATIENCE)?.start;
        let list = cluster::list([(&place, first)])?;
        reader.assign(&list).map_err(Error::cluster("the map's assignment"))?;
        let mut noted: BTreeMap<TopicPartition, Noted> = BTreeMap::new();
        loop {
            let message = match reader.poll(PATIENCE) {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(noted),
                Some(Err(source)) => return Err(Error::cluster("reading the map")(source)),
                None => return Err(timed_out("reading the map")),
            };
            let key = message.key().unwrap_or_default();
            if let Some((partition, source)) = offset_map::parse_key("", name, key) {
                let place = TopicPartition::new(name, partition);
                noted.entry(place).or_default().replay(source, message.payload(), topic_id);
            }
        }
    }

    /// Until what is in the map now is decided. All topics share its partition: a transaction of another one's worker may lie in front of
    /// what this one has committed, and a reader ends there.
    fn wait_for_decisions(
        &self,
        (reader, all): (&BaseConsumer, &BaseConsumer),
        place: &TopicPartition,
        context: &Context<'_>,
    ) -> Result<()> {
        let end = cluster::ends(all, place, PATIENCE)?.end;
        let began = Instant::now();
        while cluster::ends(reader, place, PATIENCE)?.end < end {
            if context.is_stopped() || began.elapsed() > UNDECIDED {
                return Err(timed_out("waiting for transactions in the map"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// The records are there already.
fn circle(name: &str) -> Error {
    Error::Differences(vec![format!(
        "{name}: the store has it from this cluster, so its records would go back and be in the cluster twice; delete the topic in the cluster first if the store's is to replace it"
    )])
}

fn timed_out(doing: &str) -> Error {
    Error::cluster(doing)(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
