//! A consumer of a cluster.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{NO_TIMESTAMP, Offset, TopicPartition};
use annals_port::{Consume, Error, ErrorKind, Received, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext, Offset as KafkaOffset, TopicPartitionList};

use super::failure::failed;
use super::number;
use crate::cluster::{self, PATIENCE};

/// What a poll hands out at most, as the Java client.
const MOST_RECORDS: usize = 500;

/// A consumer of a [`Remote`](crate::Remote).
///
/// ```no_run
/// # use annals_mirror::{Remote, RemoteConsumer};
/// # use annals_port::{Backend, Consume};
/// let mut consumer: RemoteConsumer = Remote::new("127.0.0.1:9092").consumer("billing")?;
/// consumer.subscribe(&["orders"])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RemoteConsumer {
    client: BaseConsumer<Positions>,
}

/// Where it stands: behind what was handed out, or where it was set. A partition that is taken away is forgotten.
#[derive(Default)]
pub(super) struct Positions(Mutex<BTreeMap<TopicPartition, Offset>>);

impl Positions {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<TopicPartition, Offset>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Positions {}

impl ConsumerContext for Positions {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(lost) = rebalance {
            let lost = places(lost);
            self.change(|positions| positions.retain(|place, _| !lost.contains(place)));
        }
    }
}

fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let place = |one: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        TopicPartition::new(one.topic(), u32::try_from(one.partition()).unwrap_or(0))
    };
    list.elements().iter().map(place).collect()
}

fn list(places: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for place in places {
        list.add_partition(place.topic(), number(place.partition()));
    }
    list
}

fn offsets(offsets: impl IntoIterator<Item = (TopicPartition, Offset)>) -> Result<TopicPartitionList> {
    let offsets: Vec<_> = offsets.into_iter().collect();
    cluster::list(offsets.iter().map(|(place, offset)| (place, *offset)))
        .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}

fn received(message: &BorrowedMessage<'_>) -> Received {
    let headers = message.headers().map(|headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
        };
        headers.iter().map(header).collect()
    });
    Received {
        topic: message.topic().to_owned(),
        partition: u32::try_from(message.partition()).unwrap_or(0),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(NO_TIMESTAMP),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

impl std::fmt::Debug for RemoteConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConsumer").finish_non_exhaustive()
    }
}

impl RemoteConsumer {
    pub(super) fn new(config: &ClientConfig) -> Result<Self> {
        let client = config.create_with_context(Positions::default()).map_err(failed("consumer"))?;
        Ok(Self { client })
    }

    pub(super) fn client(&self) -> &BaseConsumer<Positions> {
        &self.client
    }

    fn positions(&self) -> &Positions {
        self.client.client().context()
    }

    /// Where it stands in each partition, for a commit.
    pub(super) fn stands(&self) -> Result<TopicPartitionList> {
        offsets(self.positions().change(|positions| positions.clone()))
    }

    fn check(&self, asked: &[TopicPartition]) -> Result<()> {
        let assigned = self.assignment()?;
        match asked.iter().find(|place| !assigned.contains(place)) {
            None => Ok(()),
            Some(place) => Err(Error::new(ErrorKind::NotAssigned, format!("{place} is not read here"))),
        }
    }

    fn commit_list(&self, list: &TopicPartitionList) -> Result<()> {
        if list.count() == 0 {
            return Ok(());
        }
        self.client.commit(list, CommitMode::Sync).map_err(failed("commit"))
    }
}

/// What the client gets over by itself.
fn passes(error: &KafkaError) -> bool {
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::NotLeaderForPartition,
        Code::LeaderNotAvailable,
        Code::CoordinatorLoadInProgress,
        Code::CoordinatorNotAvailable,
        Code::NotCoordinator,
    ];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

impl Consume for RemoteConsumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        self.positions().change(BTreeMap::clear);
        self.client.subscribe(topics).map_err(failed("subscription"))
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.positions().change(BTreeMap::clear);
        self.client.assign(&list(partitions)).map_err(failed("assignment"))
    }

    fn assignment(&self) -> Result<Vec<TopicPartition>> {
        Ok(places(&self.client.assignment().map_err(failed("assignment"))?))
    }

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Received>> {
        let deadline = Instant::now() + timeout;
        let mut all = Vec::new();
        while all.len() < MOST_RECORDS {
            let wait = if all.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match self.client.poll(wait) {
                Some(Ok(message)) => {
                    let record = received(&message);
                    let next = record.offset + 1;
                    self.positions().change(|positions| positions.insert(record.topic_partition(), next));
                    all.push(record);
                }
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => {
                    if all.is_empty() {
                        return Err(failed("poll")(error));
                    }
                    break;
                }
                None if !all.is_empty() || Instant::now() >= deadline => break,
                None => {}
            }
        }
        Ok(all)
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_list(&self.stands()?)
    }

    fn commit_offsets(&mut self, given: &[(TopicPartition, Offset)]) -> Result<()> {
        self.commit_list(&offsets(given.iter().cloned())?)
    }

    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        let asked = list(std::slice::from_ref(partition));
        let found = self.client.committed_offsets(asked, PATIENCE).map_err(failed("committed offsets"))?;
        let found = found.find_partition(partition.topic(), number(partition.partition()));
        Ok(found.and_then(|one| one.offset().to_raw()).filter(|offset| *offset >= 0))
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.check(std::slice::from_ref(partition))?;
        let (topic, place) = (partition.topic(), number(partition.partition()));
        let deadline = Instant::now() + PATIENCE;
        // It cannot be moved before it has begun, which it does by itself.
        while let Err(error) = self.client.seek(topic, place, KafkaOffset::Offset(offset), PATIENCE) {
            if Instant::now() > deadline {
                return Err(failed(&format!("seek in {partition}"))(error));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.positions().change(|positions| positions.insert(partition.clone(), offset));
        Ok(())
    }

    fn position(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        self.check(std::slice::from_ref(partition))?;
        Ok(self.positions().change(|positions| positions.get(partition).copied()))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check(partitions)?;
        self.client.pause(&list(partitions)).map_err(failed("pause"))
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check(partitions)?;
        self.client.resume(&list(partitions)).map_err(failed("resume"))
    }

    fn close(self) -> Result<()> {
        // Dropping it leaves the group and waits for that.
        drop(self);
        Ok(())
    }
}
