//! A consumer of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::{NO_TIMESTAMP, Offset, TopicPartition};
use annals_port::{Consume, Error, ErrorKind, Received, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, ClientContext, Offset as KafkaOffset, TopicPartitionList};

use super::failure::failed;
use super::number;
use super::standing::Standing;
use crate::cluster::{self, PATIENCE};

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
    client: BaseConsumer<Standing>,
    /// By the program, whatever the group's other members read.
    is_assigned: bool,
}

impl ClientContext for Standing {}

impl ConsumerContext for Standing {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(lost) = rebalance {
            self.revoke(places(lost));
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

pub(super) fn offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> Result<TopicPartitionList> {
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
        let client = config.create_with_context(Standing::default()).map_err(failed("consumer"))?;
        Ok(Self { client, is_assigned: false })
    }

    pub(super) fn client(&self) -> &BaseConsumer<Standing> {
        &self.client
    }

    pub(super) fn standing(&self) -> &Arc<Standing> {
        self.client.client().context()
    }

    fn check(&self, asked: &[TopicPartition]) -> Result<()> {
        let assigned = self.assignment()?;
        match asked.iter().find(|place| !assigned.contains(place)) {
            None => Ok(()),
            Some(place) => Err(Error::new(ErrorKind::NotAssigned, format!("{place} is not read here"))),
        }
    }

    fn commit_list(&self, stands: BTreeMap<TopicPartition, Offset>) -> Result<()> {
        if !stands.is_empty() {
            self.client.commit(&offsets(&stands)?, CommitMode::Sync).map_err(failed("commit"))?;
        }
        self.standing().committed(&stands);
        Ok(())
    }

    /// Goes back where a transaction that took no effect has it go.
    fn go_back(&self) -> Result<()> {
        let back = self.standing().back();
        if back.is_empty() {
            return Ok(());
        }
        let assigned = self.assignment()?;
        for (place, offset) in back {
            if assigned.contains(&place) {
                self.move_to(&place, offset)?;
            }
            self.standing().is_back(&place);
        }
        Ok(())
    }

    fn move_to(&self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        let (topic, place) = (partition.topic(), number(partition.partition()));
        let deadline = Instant::now() + PATIENCE;
        // It cannot be moved before it has begun, which it does by itself.
        while let Err(error) = self.client.seek(topic, place, KafkaOffset::Offset(offset), PATIENCE) {
            if Instant::now() > deadline {
                return Err(failed(&format!("seek in {partition}"))(error));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Consume for RemoteConsumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        self.standing().clear();
        self.is_assigned = false;
        if topics.is_empty() {
            // Which the client would refuse.
            self.client.unsubscribe();
            return self.client.assign(&list(&[])).map_err(failed("subscription"));
        }
        let once: BTreeSet<_> = topics.iter().copied().collect();
        let once: Vec<_> = once.into_iter().collect();
        self.client.subscribe(&once).map_err(failed("subscription"))
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.standing().clear();
        let once: BTreeSet<_> = partitions.iter().cloned().collect();
        let once: Vec<_> = once.into_iter().collect();
        self.client.assign(&list(&once)).map_err(failed("assignment"))?;
        self.is_assigned = true;
        Ok(())
    }

    fn assignment(&self) -> Result<Vec<TopicPartition>> {
        Ok(places(&self.client.assignment().map_err(failed("assignment"))?))
    }

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Received>> {
        self.go_back()?;
        let next = |wait| self.client.poll(wait).map(|came| came.map(|message| received(&message)));
        self.standing().gather(timeout, next)
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_list(self.standing().stands())?;
        self.standing().forgive();
        Ok(())
    }

    fn commit_offsets(&mut self, given: &[(TopicPartition, Offset)]) -> Result<()> {
        if !self.is_assigned {
            // A broker would take them, from under the member that reads there.
            let places: Vec<_> = given.iter().map(|(place, _)| place.clone()).collect();
            self.check(&places)?;
        }
        self.commit_list(given.iter().cloned().collect())
    }

    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        let asked = list(std::slice::from_ref(partition));
        let found = self.client.committed_offsets(asked, PATIENCE).map_err(failed("committed offsets"))?;
        let found = found.find_partition(partition.topic(), number(partition.partition()));
        Ok(found.and_then(|one| one.offset().to_raw()).filter(|offset| *offset >= 0))
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.check(std::slice::from_ref(partition))?;
        if offset < 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("seek in {partition}: {offset} is no offset"),
            ));
        }
        self.move_to(partition, offset)?;
        self.standing().set(partition, offset);
        Ok(())
    }

    fn position(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        self.check(std::slice::from_ref(partition))?;
        if let Some(position) = self.standing().position(partition) {
            return Ok(Some(position));
        }
        // It has not begun yet: where it will.
        if let Some(committed) = self.committed(partition)? {
            return Ok(Some(committed));
        }
        let (topic, place) = (partition.topic(), number(partition.partition()));
        let (start, _) = self
            .client
            .fetch_watermarks(topic, place, PATIENCE)
            .map_err(failed(&format!("position in {partition}")))?;
        Ok(Some(start))
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
