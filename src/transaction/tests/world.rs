//! Topics, groups and transactions over a disk in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{Consumer, ConsumerBuilder};
use crate::doubles::{FaultyFileSystem, MemoryFileSystem};
use crate::error::Result;
use crate::group::Groups;
use crate::io::{Clock, Directory, ManualClock};
use crate::log::Isolation;
use crate::producer::ProducerBuilder;
use crate::topic::{Partition, TopicConfig, TopicContext, Topics};
use crate::transaction::{Transaction, TransactionBuilder, Transactions};
use crate::types::{Durability, Record};
use crate::upkeep::Agenda;

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: Arc<FaultyFileSystem>,
    pub(super) agenda: Arc<Agenda>,
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) transactions: Arc<Transactions>,
}

impl World {
    /// With topics `one`, `two` and `state`, of a partition each.
    pub(super) fn new() -> Self {
        let world = Self::over(FaultyFileSystem::over(Arc::new(MemoryFileSystem::new())));
        for topic in ["one", "two", "state"] {
            world.topics.create(topic, &TopicConfig::new()).unwrap();
        }
        world
    }

    fn over(disk: Arc<FaultyFileSystem>) -> Self {
        let root = Directory::new(disk.clone(), Path::new("/store"));
        root.ensure().unwrap();
        let manual = Arc::new(ManualClock::at(1_000_000));
        let clock: Arc<dyn Clock> = Arc::clone(&manual) as _;
        let agenda = Arc::new(Agenda::new(Duration::MAX, Duration::MAX));
        let context = TopicContext::of_tests(&clock, &agenda);
        let topics = Arc::new(Topics::open(root, context).unwrap());
        let recovered = Transactions::recover(&topics).unwrap();
        let groups = Groups::open(Arc::clone(&topics), Arc::clone(&clock)).unwrap();
        let transactions = Transactions::open(recovered, (&topics, &groups), &clock, &agenda);
        Self { clock: manual, disk, agenda, topics, groups, transactions }
    }

    /// The same disk after the process was killed.
    pub(super) fn next_life(self) -> Self {
        self.next_life_with(|disk| disk.heal())
    }

    /// The same, on a disk that something is made of first.
    pub(super) fn next_life_with(self, change: impl FnOnce(&FaultyFileSystem)) -> Self {
        let Self { disk, topics, groups, transactions, .. } = self;
        change(&disk);
        std::mem::forget((topics, groups, transactions));
        Self::over(disk)
    }

    pub(super) fn partition(&self, topic: &str) -> Partition {
        self.topics.get(topic).unwrap().partition(0).unwrap()
    }

    pub(super) fn builder(&self, name: &str) -> TransactionBuilder {
        let producer = ProducerBuilder::new(Arc::clone(&self.topics)).build_default();
        TransactionBuilder::new(&self.transactions, producer, name)
    }

    pub(super) fn begin(&self, name: &str) -> Transaction {
        self.builder(name).begin().unwrap()
    }

    /// One that is written as it comes.
    pub(super) fn begin_written(&self, name: &str) -> Transaction {
        self.builder(name).buffer_bytes(0).begin().unwrap()
    }

    pub(super) fn append(&self, topic: &str, value: &str, durability: Durability) -> Result<()> {
        self.partition(topic).append(&[Record::new().value(value)], durability).map(drop)
    }

    /// A consumer of a group that has read all of a topic.
    pub(super) fn consumer_at_end(&self, group: &str, topic: &str) -> Consumer {
        let builder = ConsumerBuilder::new(Arc::clone(&self.topics), Arc::clone(&self.groups));
        let mut consumer = builder.group(group).build().unwrap();
        consumer.assign([(topic, 0)]).unwrap();
        consumer.seek_to_end();
        consumer
    }

    /// The committed values of a topic.
    pub(super) fn values(&self, topic: &str) -> Vec<String> {
        let reader = self.partition(topic).read(..).unwrap().isolation(Isolation::ReadCommitted);
        let values = reader.into_iter().map(|record| record.unwrap().value.unwrap());
        values.map(|value| String::from_utf8(value).unwrap()).collect()
    }
}
