//! What a program can hold of a store.

use std::path::Path;
use std::task::{Context, Waker};
use std::time::Duration;

use annals::queue::RetryPolicy;
use annals::{
    Consumer, DeadLetter, DeadLetters, Durable, Enqueuer, EventReader, Latest, Message, Messages,
    NamedProducer, Partition, PartitionReader, PartitionView, Producer, Projection, Record, Result, Schedule,
    Snapshots, Store, StoreReader, Stream, Topic, TopicConfig, TopicProducer, TopicView, Transaction,
    WhenFull, Worker,
};

pub(super) const NOW: Duration = Duration::ZERO;

/// One of everything that a program can hold of a store. A child of a fork has a copy, does one call with it, and drops it.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) topic: Topic,
    pub(super) partition: Partition,
    pub(super) producer: Producer,
    pub(super) bound: TopicProducer,
    pub(super) named: NamedProducer,
    pub(super) consumer: Option<Consumer>,
    pub(super) assigned: Consumer,
    pub(super) worker: Worker,
    pub(super) message: Option<Message>,
    pub(super) messages: Option<Messages>,
    pub(super) letters: DeadLetters,
    pub(super) letter: Option<DeadLetter>,
    pub(super) enqueuer: Enqueuer,
    pub(super) schedule: Schedule,
    pub(super) transaction: Option<Transaction>,
    pub(super) projection: Projection,
    pub(super) snapshots: Snapshots,
    pub(super) stream: Stream,
    pub(super) reader: PartitionReader,
    pub(super) events: EventReader,
    pub(super) latest: Latest,
    pub(super) durable: Durable,
    pub(super) guest: StoreReader,
    pub(super) guest_consumer: Consumer,
    pub(super) guest_worker: Worker,
    pub(super) view: TopicView,
    pub(super) partition_view: PartitionView,
    pub(super) waiting: PartitionReader,
}

impl World {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let (store, producer) = store_with_records(path)?;
        let topic = store.topic("orders")?;
        let partition = topic.partition(0)?;
        let mut consumer = store.consumer("billing")?;
        consumer.subscribe(["orders"])?;
        assert_eq!(consumer.poll(NOW)?.len(), 20);
        let mut assigned = store.consumer("shipping")?;
        assigned.assign([("orders", 0)])?;
        assigned.poll(NOW)?;
        let policy = RetryPolicy::immediate();
        let mut worker = store.queue_builder("jobs", "resizers").retry_policy(policy).build()?;
        worker.take(1, NOW)?.into_iter().try_for_each(|message| message.reject("no"))?;
        let mut letters = store.dead_letters("jobs", "resizers")?;
        let letter = letters.take(1)?.pop();
        let messages = worker.take(2, NOW)?;
        let message = worker.take(1, NOW)?.into_iter().next();
        let enqueuer = store.enqueuer_builder("jobs").unique_within(Duration::from_secs(60), 100);
        let enqueuer = enqueuer.limit("resizers", 1_000_000, WhenFull::Fail).build()?;
        let mut transaction = store.transaction("transfer")?;
        transaction.send(Record::to("orders").key("bob").value("1"))?;
        transaction.commit_offsets(&assigned)?;
        worker.take(1, NOW)?.into_iter().for_each(|message| transaction.ack(message));
        // Tasks wait for them.
        let context = &mut Context::from_waker(Waker::noop());
        let mut waiting = partition.read_from(partition.end())?;
        assert!(waiting.poll_next(context).is_pending() && assigned.poll_next(context).is_pending());
        let durable = partition.durable_through(3);
        let guest = StoreReader::attach(path)?;
        let mut guest_consumer = guest.consumer("afar")?;
        guest_consumer.subscribe(["orders"])?;
        guest_consumer.poll(NOW)?;
        let guest_worker = guest.queue("jobs", "afar")?;
        let view = guest.topic("orders")?;
        let mut events = topic.stream("alice")?.read(10..)?;
        events.poll(NOW)?;
        Ok(Self {
            bound: producer.bind("orders")?,
            named: store.named_producer("sensor")?,
            projection: store.projection("balances", "orders")?,
            snapshots: store.snapshots("orders")?,
            stream: topic.stream("alice")?,
            reader: partition.read(..)?,
            events,
            partition_view: view.partition(0)?,
            view,
            waiting,
            latest: topic.latest(),
            schedule: store.schedule(),
            consumer: Some(consumer),
            message,
            messages: Some(messages),
            letter,
            transaction: Some(transaction),
            store,
            topic,
            partition,
            producer,
            assigned,
            worker,
            letters,
            enqueuer,
            durable,
            guest,
            guest_consumer,
            guest_worker,
        })
    }

    pub(super) fn consumer(&mut self) -> &mut Consumer {
        self.consumer.as_mut().expect("a consumer")
    }

    pub(super) fn transaction(&mut self) -> &mut Transaction {
        self.transaction.as_mut().expect("a transaction")
    }
}

/// A new one, where nothing is done by itself.
fn store_with_records(path: &Path) -> Result<(Store, Producer)> {
    let store = Store::builder(path).maintain_by_hand().open()?;
    store.create_topic("orders", TopicConfig::new().key_index(true))?;
    store.create_topic("jobs", TopicConfig::new())?;
    let producer = store.producer();
    for _ in 0..20 {
        producer.send(Record::to("orders").key("alice").value("paid in"))?;
        producer.send(Record::to("jobs").key("k").value("work"))?;
    }
    Ok((store, producer))
}
