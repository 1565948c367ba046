//! Every call of every handle, after its store was closed.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use annals::{
    CleanupPolicy, Condition, Durability, Error, Expected, Query, Record, Result, Store, TopicConfig,
    TopicPartition,
};

use crate::common::fast_dir;

/// What each call answered, where it was something else than that the store is closed.
#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    fn refused<T>(&mut self, call: &str, answer: Result<T>) {
        match answer {
            Err(Error::StoreClosed { .. }) => {}
            Err(other) => self.0.push(format!("{call}: {other:?}")),
            Ok(_) => self.0.push(format!("{call}: Ok")),
        }
    }

    fn refused_later<T: Debug>(&mut self, call: &str, future: impl Future<Output = Result<T>>) {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            std::task::Poll::Ready(answer) => self.refused(call, answer),
            std::task::Poll::Pending => self.0.push(format!("{call}: waits")),
        }
    }
}

const PLACE: (&str, u32) = ("orders", 0);

fn record() -> Record<'static> {
    Record::to("orders").key("order-17").value("2 apples")
}

/// A store with the topic `orders`, in which a group and a queue are known.
fn open(dir: &std::path::Path) -> Store {
    let store = Store::open(dir).expect("a new store");
    let orders = TopicConfig::new().key_index(true).partitions(2);
    store.create_topic("orders", orders).expect("a topic");
    let prices = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    store.create_topic("prices", prices).expect("a topic");
    for _ in 0..4 {
        store.producer().send(record().partition(0)).expect("a send");
    }
    store.producer().send(record().partition(1)).expect("a send");
    let mut known = store.consumer("known").expect("a consumer");
    known.subscribe(["orders"]).expect("it joins");
    known.poll(Duration::ZERO).expect("a poll");
    known.commit().expect("a commit");
    store
}

#[test]
fn every_call_of_a_store_is_refused_after_the_close() {
    let dir = fast_dir();
    let store = open(dir.path());
    store.close().expect("a close");
    let mut answers = Answers::default();
    let new = TopicConfig::new;
    answers.refused("create_topic", store.create_topic("new", new()));
    answers.refused("ensure_topic", store.ensure_topic("orders", new()));
    answers.refused("topic", store.topic("orders"));
    answers.refused("alter_topic", store.alter_topic("orders", new().segment_bytes(4096)));
    answers.refused("add_partitions", store.add_partitions("prices", 5));
    answers.refused("delete_topic", store.delete_topic("orders"));
    answers.refused("adopt_topic", store.adopt_topic("other", new(), [dir.path()]));
    answers.refused("delete_group", store.delete_group("known"));
    answers.refused("apply_retention", store.apply_retention());
    answers.refused("stats", store.stats());
    answers.refused("maintain", store.maintain());
    answers.refused("hold_maintenance", store.hold_maintenance());
    answers.refused("backup", store.backup(dir.path().join("backup")));
    answers.refused("snapshots", store.snapshots("orders"));
    answers.refused("projection", store.projection("invoices", "orders"));
    answers.refused("consumer", store.consumer("known"));
    answers.refused("consumer of another group", store.consumer("other"));
    answers.refused("consumer of no group", store.consumer_builder().build());
    answers.refused("producer", store.producer_builder().build());
    answers.refused("transaction", store.transaction("new"));
    answers.refused("TransactionBuilder::begin", store.transaction_builder("new").begin());
    answers.refused("named_producer", store.named_producer("new"));
    answers.refused("queue", store.queue("orders", "shipping"));
    answers.refused("enqueuer", store.enqueuer_builder("orders").build());
    answers.refused("dead_letters", store.dead_letters("orders", "shipping"));
    answers.refused("schedule", store.schedule().deliver_after(record(), Duration::from_secs(1)));
    assert!(answers.0.is_empty(), "{:#?}", answers.0);
}

#[test]
fn every_call_of_a_topic_and_a_partition_is_refused_after_the_close() {
    let dir = fast_dir();
    let store = open(dir.path());
    let orders = store.topic("orders").expect("the topic");
    let prices = store.topic("prices").expect("the topic");
    let partition = orders.partition(0).expect("a partition");
    let mut reader = partition.read(..).expect("a reader");
    store.close().expect("a close");
    let mut answers = Answers::default();
    answers.refused("Topic::apply_retention", orders.apply_retention());
    answers.refused("Topic::compact", prices.compact());
    answers.refused("Topic::erase", orders.erase("order-17"));
    answers.refused("Topic::flush", orders.flush());
    answers.refused("Topic::stats", orders.stats());
    answers.refused("Topic::export", orders.export(Vec::new()));
    answers.refused("Topic::import", orders.import(&b"{\"value\":\"a\"}\n"[..]));
    answers.refused("Topic::latest", prices.latest().next().expect("an answer"));
    let one = [Record::new().value("1 pear")];
    for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
        answers.refused("append", partition.append(&one, durability));
    }
    answers.refused("append_if", partition.append_if(4, &one, Durability::Os));
    answers.refused("read", partition.read(..));
    answers.refused("read_from", partition.read_from(0));
    answers.refused("PartitionReader::fetch", reader.fetch());
    answers.refused_later("PartitionReader::next", reader.next());
    answers.refused("get", partition.get(0));
    answers.refused("offset_for_time", partition.offset_for_time(0));
    answers.refused("flush", partition.flush());
    answers.refused_later("flush_async", partition.flush_async());
    answers.refused("delete_records", partition.delete_records(1));
    answers.refused("Partition::stats", partition.stats());
    assert!(answers.0.is_empty(), "{:#?}", answers.0);
}

#[test]
fn every_call_about_streams_is_refused_after_the_close() {
    let dir = fast_dir();
    let store = open(dir.path());
    let orders = store.topic("orders").expect("the topic");
    let stream = orders.stream("order-17").expect("a stream");
    let partition = stream.partition();
    let mut events = stream.read(..).expect("a reader");
    let snapshots = store.snapshots("orders").expect("snapshots");
    store.close().expect("a close");
    let mut answers = Answers::default();
    let one = [Record::new().value("1 pear")];
    answers.refused("Topic::stream", orders.stream("order-17"));
    answers.refused("Topic::get", orders.get("order-17"));
    answers.refused("Topic::append_to", orders.append_to("order-17", Expected::Any, &[Record::new()]));
    answers.refused("Topic::select", orders.select(&Query::of_type("paid")));
    let condition = Condition::stream("order-17", Expected::Any);
    answers.refused("append_when", stream.partition().append_when(&[condition], &one, Durability::Os));
    answers.refused("select", partition.select(&Query::all(), ..));
    answers.refused("select_backwards", partition.select_backwards(&Query::of_type("paid")));
    answers.refused("Stream::read", stream.read(..));
    answers.refused("Stream::events", stream.events(..));
    answers.refused("Stream::backwards", stream.backwards());
    answers.refused("Stream::last", stream.last());
    answers.refused("Stream::version", stream.version());
    answers.refused("Stream::append", stream.append(Expected::Any, &one, Durability::Os));
    answers.refused("EventReader::fetch", events.fetch());
    answers.refused("EventReader::poll", events.poll(Duration::from_secs(10)));
    answers.refused_later("EventReader::next", events.next());
    answers.refused("Snapshots::load", snapshots.load("order-17"));
    answers.refused("Snapshots::read", snapshots.read("order-17").map(drop));
    answers.refused("Snapshots::store", snapshots.store("order-17", 0, b"2 apples"));
    answers.refused("Snapshots::prune", snapshots.prune("order-17"));
    answers.refused("Snapshots::erase", snapshots.erase("order-17"));
    assert!(answers.0.is_empty(), "{:#?}", answers.0);
    store.close().expect("it returns what the first close has returned");
}

#[test]
fn every_call_of_those_who_send_and_read_is_refused_after_the_close() {
    let dir = fast_dir();
    let store = open(dir.path());
    let producer = store.producer();
    let bound = producer.bind("orders").expect("a producer");
    let mut consumer = store.consumer("known").expect("a consumer");
    consumer.subscribe(["orders"]).expect("it joins");
    let mut tx = store.transaction("one").expect("a transaction");
    tx.send(record()).expect("a send");
    let other = store.transaction("other").expect("a transaction");
    let named = store.named_producer("import").expect("a producer");
    let mut worker = store.queue("orders", "shipping").expect("a worker");
    let mut messages = worker.take(3, Duration::ZERO).expect("messages").into_iter().collect::<Vec<_>>();
    let enqueuer = store.enqueuer_builder("orders").build().expect("an enqueuer");
    let orders = store.topic("orders").expect("the topic");
    let (partition, stream) =
        (orders.partition(0).expect("a partition"), orders.stream("order-17").expect("a stream"));
    let mut projection = store.projection("invoices", "orders").expect("a projection");
    store.close().expect("a close");
    let mut answers = Answers::default();
    answers.refused("send", producer.send(record()));
    answers.refused("send_batch", producer.send_batch(&[record()]));
    answers.refused("flush", producer.flush());
    answers.refused_later("flush_async", producer.flush_async());
    answers.refused("bind", producer.bind("orders"));
    answers.refused("TopicProducer::send", bound.send(Record::new()));
    answers.refused("TopicProducer::send_batch", bound.send_batch(&[Record::new()]));
    answers.refused("TopicProducer::flush", bound.flush());
    answers.refused_later("TopicProducer::flush_async", bound.flush_async());
    answers.refused("NamedProducer::append", named.append(&partition, 0, &[Record::new()], Durability::Os));
    answers.refused("Enqueuer::send", enqueuer.send(record()));
    answers.refused("poll", consumer.poll(Duration::from_secs(10)));
    answers.refused_later("Consumer::next", consumer.next());
    answers.refused("subscribe", consumer.subscribe(["orders"]));
    answers.refused("position", consumer.position(PLACE));
    answers.refused("seek", consumer.seek(PLACE, 0));
    answers.refused("seek_to_time", consumer.seek_to_time(0));
    answers.refused("pause", consumer.pause([PLACE]));
    answers.refused("resume", consumer.resume([PLACE]));
    answers.refused("lag", consumer.lag());
    answers.refused("commit", consumer.commit());
    answers.refused_later("commit_async", consumer.commit_async());
    let at = [(TopicPartition::new("orders", 0), 1)];
    answers.refused("commit_offsets", consumer.commit_offsets(at.clone()));
    answers.refused("commit_with_metadata", consumer.commit_with_metadata(at, "note"));
    answers.refused("Transaction::send", tx.send(record()));
    answers.refused("Transaction::send_batch", tx.send_batch(&[record()]));
    answers.refused("Transaction::commit_offsets", tx.commit_offsets(&consumer));
    answers.refused("Transaction::append_to", tx.append_to(&stream, Expected::Any, &[Record::new()]));
    answers.refused("require", tx.require(stream.partition(), &Condition::stream("order-17", Expected::Any)));
    answers.refused("Transaction::commit", tx.commit());
    other.abort().expect("the close has aborted it");
    answers.refused("assign", consumer.assign([PLACE]));
    answers.refused("take", worker.take(1, Duration::from_secs(10)));
    answers.refused_later("Worker::next", worker.next(1));
    answers.refused("renew", messages[0].renew());
    let mut next = || messages.pop().expect("a message");
    answers.refused("ack", next().ack());
    answers.refused("release", next().release(Duration::ZERO));
    answers.refused("reject", next().reject("no apples"));
    answers.refused("Projection::lag", projection.lag());
    answers.refused("Projection::step", projection.step(Duration::from_secs(10), |_, _| Ok(())));
    assert!(answers.0.is_empty(), "{:#?}", answers.0);
    consumer.close().expect("there is nothing left to do");
}
