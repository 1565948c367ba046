//! The calls of all that a program can hold of a store, each with what makes it right in a child of a fork.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals::{Condition, Durability, Error, Expected, Query, Record, Result, TopicConfig};

use super::world::{NOW, World};

/// True of a call that was refused as it should be.
pub(super) fn forked<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::Forked { .. }))
}

/// The same of a future.
fn ends_forked<T>(future: impl Future<Output = Result<T>>) -> bool {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => forked(outcome),
        Poll::Pending => false,
    }
}

/// The same of what hands out results one by one.
fn begins_forked<T>(mut results: impl Iterator<Item = Result<T>>) -> bool {
    results.next().is_some_and(forked)
}

/// A call that cannot fail, and that returns.
fn returns<T>(call: impl FnOnce() -> T) -> bool {
    call();
    true
}

pub(super) type Call = (&'static str, fn(&mut World) -> bool);

fn record() -> Record<'static> {
    Record::to("orders").key("alice").value("of a child")
}

const DISK: Durability = Durability::Disk;

const STORE: &[Call] = &[
    ("id", |w| w.store.id() == w.guest.id() && w.store.id() != 0),
    ("topics", |w| returns(|| w.store.topics())),
    ("groups", |w| returns(|| w.store.groups())),
    ("committed", |w| returns(|| w.store.committed("billing"))),
    ("recovery", |w| returns(|| (w.store.recovery().len(), w.store.offset_resets().len()))),
    ("debug", |w| returns(|| format!("{:?} {:?} {:?}", w.store, w.topic, w.partition))),
    ("close", |w| forked(w.store.close())),
    ("maintain", |w| forked(w.store.maintain())),
    ("apply_retention", |w| forked(w.store.apply_retention())),
    ("stats", |w| forked(w.store.stats())),
    ("hold_maintenance", |w| forked(w.store.hold_maintenance())),
    ("backup", |w| forked(w.store.backup(w.store.path().with_extension("backup")))),
    ("create_topic", |w| forked(w.store.create_topic("new", TopicConfig::new()))),
    ("create_topics", |w| forked(w.store.create_topics([("new", TopicConfig::new())]))),
    ("adopt_topic", |w| {
        forked(w.store.adopt_topic("new", TopicConfig::new(), [w.store.path().join("orders-0")]))
    }),
    ("ensure_topic", |w| forked(w.store.ensure_topic("orders", TopicConfig::new()))),
    ("topic", |w| forked(w.store.topic("orders"))),
    ("add_partitions", |w| forked(w.store.add_partitions("jobs", 4))),
    ("alter_topic", |w| forked(w.store.alter_topic("jobs", TopicConfig::new().segment_bytes(5000)))),
    ("delete_topic", |w| forked(w.store.delete_topic("jobs"))),
    ("delete_group", |w| forked(w.store.delete_group("nobody"))),
    ("erase", |w| forked(w.store.erase("orders", "alice"))),
    ("drop_done", |w| forked(w.store.drop_done("jobs"))),
    ("consumer", |w| forked(w.store.consumer("billing"))),
    ("consumer_builder", |w| forked(w.store.consumer_builder().build())),
    ("producer_builder", |w| forked(w.store.producer_builder().build())),
    ("producer", |w| forked(w.store.producer().send(record()))),
    ("transaction", |w| forked(w.store.transaction("transfer"))),
    ("transaction_builder", |w| forked(w.store.transaction_builder("other").begin())),
    ("named_producer", |w| forked(w.store.named_producer("sensor"))),
    ("queue", |w| forked(w.store.queue("jobs", "resizers"))),
    ("queue of another", |w| forked(w.store.queue("orders", "new"))),
    ("dead_letters", |w| forked(w.store.dead_letters("jobs", "resizers"))),
    ("dead_letters_in", |w| forked(w.store.dead_letters_in("letters", "jobs", "resizers"))),
    ("enqueuer_builder", |w| forked(w.store.enqueuer_builder("jobs").build())),
    ("projection", |w| forked(w.store.projection("new", "orders"))),
    ("snapshots", |w| forked(w.store.snapshots("orders"))),
];

const TOPIC: &[Call] = &[
    ("config", |w| {
        returns(|| (w.topic.config(), w.topic.cleanup_policy(), w.topic.name().len(), w.topic.id()))
    }),
    ("partitions", |w| w.topic.partitions().len() == 1 && w.topic.partition_count() == 1),
    ("partition", |w| forked(w.topic.partition(0))),
    ("latest", |w| begins_forked(w.topic.latest())),
    ("latest that began", |w| begins_forked(w.latest.by_ref())),
    ("topic stats", |w| forked(w.topic.stats())),
    ("topic flush", |w| forked(w.topic.flush())),
    ("compact", |w| forked(w.topic.compact())),
    ("compact_with", |w| forked(w.topic.compact_with(|_| ControlFlow::Continue(())))),
    ("topic erase", |w| forked(w.topic.erase("alice"))),
    ("erase_all", |w| forked(w.topic.erase_all(["alice"]))),
    ("topic apply_retention", |w| forked(w.topic.apply_retention())),
    ("export", |w| forked(w.topic.export(Vec::new()))),
    ("import", |w| forked(w.topic.import(&b"{}\n"[..]))),
    ("import_by_key", |w| forked(w.topic.import_by_key(&b"{}\n"[..]))),
    ("topic stream", |w| forked(w.topic.stream("alice"))),
    ("topic get", |w| forked(w.topic.get("alice"))),
    ("topic append_to", |w| forked(w.topic.append_to("alice", Expected::Any, &[Record::new().value("x")]))),
    ("topic select", |w| forked(w.topic.select(&Query::all()))),
    ("offsets", |w| {
        returns(|| (w.partition.start(), w.partition.durable(), w.partition.end(), w.partition.stable()))
    }),
    ("next_offset", |w| returns(|| (w.partition.next_offset(), w.partition.bytes()))),
    ("append", |w| forked(w.partition.append(&[record()], DISK))),
    ("append_if", |w| forked(w.partition.append_if(20, &[record()], DISK))),
    ("append_when", |w| {
        forked(w.partition.append_when(&[Condition::stream("alice", Expected::Any)], &[record()], DISK))
    }),
    ("read", |w| forked(w.partition.read(..))),
    ("read_from", |w| forked(w.partition.read_from(0))),
    ("get", |w| forked(w.partition.get(0))),
    ("offset_for_time", |w| forked(w.partition.offset_for_time(0))),
    ("partition stats", |w| forked(w.partition.stats())),
    ("flush", |w| forked(w.partition.flush())),
    ("durable_through", |w| ends_forked(w.partition.durable_through(3))),
    ("a wait that began", |w| ends_forked(&mut w.durable)),
    ("flush_async", |w| ends_forked(w.partition.flush_async())),
    ("delete_records", |w| forked(w.partition.delete_records(5))),
    ("select", |w| forked(w.partition.select(&Query::all(), ..))),
    ("select_backwards", |w| forked(w.partition.select_backwards(&Query::all()))),
    ("fetch", |w| forked(w.reader.fetch())),
    ("next of a partition", |w| ends_forked(w.reader.next())),
    ("next that waits", |w| ends_forked(w.waiting.next())),
    ("reader seek", |w| returns(|| (w.reader.seek(3), w.reader.position()))),
];

const PRODUCERS: &[Call] = &[
    ("send", |w| forked(w.producer.send(record()))),
    ("send_batch", |w| forked(w.producer.send_batch(&[record()]))),
    ("send of no batch", |w| forked(w.producer.send_batch(&[]))),
    ("bind", |w| forked(w.producer.bind("orders"))),
    ("producer flush", |w| forked(w.producer.flush())),
    ("producer flush_async", |w| ends_forked(w.producer.flush_async())),
    ("bound send", |w| forked(w.bound.send(Record::new().value("x")))),
    ("bound send_batch", |w| forked(w.bound.send_batch(&[Record::new().value("x")]))),
    ("bound flush", |w| forked(w.bound.flush())),
    ("bound flush_async", |w| ends_forked(w.bound.flush_async())),
    ("last_sequence", |w| returns(|| w.named.last_sequence(&w.partition))),
    ("named append", |w| forked(w.named.append(&w.partition, 0, &[Record::new().value("x")], DISK))),
    ("transaction send", |w| forked(w.transaction().send(record()))),
    ("transaction send_batch", |w| forked(w.transaction().send_batch(&[record()]))),
    ("expect_end", |w| {
        let partition = w.partition.clone();
        returns(|| w.transaction().expect_end(&partition, 3))
    }),
    ("commit_offsets", |w| {
        let consumer = w.consumer.take().expect("a consumer");
        forked(w.transaction().commit_offsets(&consumer))
    }),
    ("transaction append_to", |w| {
        let stream = w.stream.clone();
        forked(w.transaction().append_to(&stream, Expected::Any, &[Record::new().value("x")]))
    }),
    ("require", |w| {
        let partition = w.partition.clone();
        forked(w.transaction().require(&partition, &Condition::stream("alice", Expected::Any)))
    }),
    ("transaction ack", |w| {
        let message = w.message.take().expect("a message");
        returns(|| w.transaction().ack(message))
    }),
    ("transaction commit", |w| forked(w.transaction.take().expect("a transaction").commit())),
    ("transaction commit_async", |w| {
        ends_forked(w.transaction.take().expect("a transaction").commit_async())
    }),
    ("transaction abort", |w| forked(w.transaction.take().expect("a transaction").abort())),
];

const CONSUMERS: &[Call] = &[
    ("poll", |w| forked(w.consumer().poll(Duration::from_secs(60)))),
    ("next", |w| ends_forked(w.consumer().next())),
    ("next that waits", |w| ends_forked(w.assigned.next())),
    ("subscribe", |w| forked(w.consumer().subscribe(["orders"]))),
    ("assign", |w| forked(w.consumer().assign([("orders", 0)]))),
    ("unsubscribe", |w| returns(|| w.consumer().unsubscribe())),
    ("assignment", |w| returns(|| (w.consumer().assignment(), w.consumer().paused()))),
    ("consumer commit", |w| forked(w.consumer().commit())),
    ("commit of nothing", |w| forked(w.assigned.commit().and_then(|()| w.assigned.commit()))),
    ("commit_offsets given", |w| forked(w.consumer().commit_offsets([(("orders", 0).into(), 3)]))),
    ("commit_with_metadata", |w| forked(w.consumer().commit_with_metadata([(("orders", 0).into(), 3)], "m"))),
    ("commit_async", |w| ends_forked(w.consumer().commit_async())),
    ("consumer committed", |w| returns(|| w.consumer().committed(("orders", 0)))),
    ("position", |w| forked(w.consumer().position(("orders", 0)))),
    ("seek", |w| forked(w.consumer().seek(("orders", 0), 3))),
    ("seek_to_beginning", |w| returns(|| w.consumer().seek_to_beginning())),
    ("seek_to_end", |w| returns(|| w.consumer().seek_to_end())),
    ("seek_to_committed", |w| returns(|| w.consumer().seek_to_committed())),
    ("seek_to_time", |w| forked(w.consumer().seek_to_time(0))),
    ("pause", |w| forked(w.consumer().pause([("orders", 0)]))),
    ("resume", |w| forked(w.consumer().resume([("orders", 0)]))),
    ("lag", |w| forked(w.consumer().lag())),
    ("wake", |w| returns(|| w.consumer().waker().wake())),
    ("consumer close", |w| forked(w.consumer.take().expect("a consumer").close())),
    ("step", |w| forked(w.projection.step(Duration::from_secs(60), |_, _| Ok(())))),
    ("step_together", |w| forked(w.projection.step_together(Duration::from_secs(60), |_, _| Ok(())))),
    ("projection lag", |w| forked(w.projection.lag())),
];

const QUEUES: &[Call] = &[
    ("take", |w| forked(w.worker.take(1, Duration::from_secs(60)))),
    ("take of none", |w| forked(w.worker.take(0, NOW))),
    ("next messages", |w| ends_forked(w.worker.next(1))),
    ("worker wake", |w| returns(|| w.worker.waker().wake())),
    ("ack", |w| forked(w.message.take().expect("a message").ack())),
    ("release", |w| forked(w.message.take().expect("a message").release(NOW))),
    ("release_because", |w| forked(w.message.take().expect("a message").release_because(NOW, "why"))),
    ("retry", |w| forked(w.message.take().expect("a message").retry())),
    ("retry_because", |w| forked(w.message.take().expect("a message").retry_because("why"))),
    ("put_back", |w| forked(w.message.take().expect("a message").put_back())),
    ("reject", |w| forked(w.message.take().expect("a message").reject("why"))),
    ("renew", |w| forked(w.message.take().expect("a message").renew())),
    ("renew_for", |w| forked(w.message.take().expect("a message").renew_for(NOW))),
    ("ack of all", |w| forked(w.messages.take().expect("messages").ack())),
    ("release of all", |w| forked(w.messages.take().expect("messages").release(NOW))),
    ("put_back of all", |w| forked(w.messages.take().expect("messages").put_back())),
    ("letters take", |w| forked(w.letters.take(1))),
    ("send_back", |w| forked(w.letters.send_back(w.letter.take().expect("a letter")))),
    ("discard", |w| forked(w.letters.discard(w.letter.take().expect("a letter")))),
    ("redrive", |w| forked(w.letters.redrive(1))),
    ("redrive of none", |w| forked(w.letters.redrive(0))),
    ("enqueuer send", |w| forked(w.enqueuer.send(Record::new().value("x")))),
    ("send_once", |w| forked(w.enqueuer.send_once("id", Record::new().value("x")))),
    ("deliver_once_after", |w| {
        forked(w.enqueuer.deliver_once_after(
            "id",
            Record::new().key("k").value("x"),
            Duration::from_secs(60),
        ))
    }),
    ("deliver_once_at", |w| forked(w.enqueuer.deliver_once_at("id", Record::new().key("k"), i64::MAX / 2))),
    ("deliver_after", |w| {
        forked(w.schedule.deliver_after(Record::to("jobs").key("k").value("x"), Duration::from_secs(60)))
    }),
    ("deliver_at", |w| forked(w.schedule.deliver_at(Record::to("jobs").key("k").value("x"), 0))),
    ("cancel", |w| forked(w.schedule.cancel("jobs", "k"))),
];

const STREAMS: &[Call] = &[
    ("stream read", |w| forked(w.stream.read(..))),
    ("stream events", |w| forked(w.stream.events(..))),
    ("backwards", |w| forked(w.stream.backwards())),
    ("backwards_below", |w| forked(w.stream.backwards_below(5))),
    ("last", |w| forked(w.stream.last())),
    ("version", |w| forked(w.stream.version())),
    ("stream append", |w| forked(w.stream.append(Expected::Any, &[Record::new().value("x")], DISK))),
    ("stream append expected", |w| {
        forked(w.stream.append(Expected::Version(19), &[Record::new().value("x")], DISK))
    }),
    ("events fetch", |w| forked(w.events.fetch())),
    ("events poll", |w| forked(w.events.poll(Duration::from_secs(60)))),
    ("events next", |w| ends_forked(w.events.next())),
    ("snapshots store", |w| forked(w.snapshots.store("alice", 3, b"state"))),
    ("snapshots load", |w| forked(w.snapshots.load("alice"))),
    ("snapshots read", |w| forked(w.snapshots.read("alice"))),
    ("snapshots prune", |w| forked(w.snapshots.prune("alice"))),
    ("snapshots erase", |w| forked(w.snapshots.erase("alice"))),
];

const GUESTS: &[Call] = &[
    ("guest owner", |w| returns(|| (w.guest.owner(), w.guest.id(), w.guest.recovery().len()))),
    ("guest topics", |w| returns(|| (w.guest.topics(), w.guest.groups(), w.guest.committed("billing")))),
    ("guest lag", |w| returns(|| w.guest.lag("billing"))),
    ("guest topic", |w| forked(w.guest.topic("orders"))),
    ("guest stats", |w| forked(w.guest.stats())),
    ("guest transactions", |w| forked(w.guest.open_transactions())),
    ("view", |w| {
        returns(|| (w.view.config(), w.view.cleanup_policy(), w.view.partitions(), w.view.partition_count()))
    }),
    ("view partition", |w| forked(w.view.partition(0))),
    ("view latest", |w| begins_forked(w.view.latest())),
    ("view stats", |w| forked(w.view.stats())),
    ("view stream", |w| forked(w.view.stream("alice"))),
    ("view get", |w| forked(w.view.get("alice"))),
    ("view select", |w| forked(w.view.select(&Query::all()))),
    ("view offsets", |w| {
        let view = &w.partition_view;
        returns(|| (view.start(), view.durable(), view.end(), view.stable(), view.bytes()))
    }),
    ("view read", |w| forked(w.partition_view.read(..))),
    ("view get of an offset", |w| forked(w.partition_view.get(0))),
    ("view offset_for_time", |w| forked(w.partition_view.offset_for_time(0))),
    ("view partition stats", |w| forked(w.partition_view.stats())),
    ("view partition select", |w| forked(w.partition_view.select(&Query::all(), ..))),
    ("guest consumer", |w| forked(w.guest.consumer("other"))),
    ("guest queue", |w| forked(w.guest.queue("jobs", "other"))),
    ("guest poll", |w| forked(w.guest_consumer.poll(Duration::from_secs(60)))),
    ("guest commit", |w| forked(w.guest_consumer.commit())),
    ("guest take", |w| forked(w.guest_worker.take(1, Duration::from_secs(60)))),
];

pub(super) fn calls() -> impl Iterator<Item = &'static Call> {
    [STORE, TOPIC, PRODUCERS, CONSUMERS, QUEUES, STREAMS, GUESTS].into_iter().flatten()
}
