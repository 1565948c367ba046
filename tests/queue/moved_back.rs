//! What rests on a move, from what is held for later or from the letters: a power cut takes back no move that something rests on.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Consumer, Durability, Error, Record, Store, TopicConfig, Worker};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use crate::world::{World, take};

const SOON: Duration = Duration::from_millis(20);

/// Records that were scheduled at `Disk` and are in their topic, to which no sync has come: a round of maintenance would see to that.
fn delivered(keys: &[&str]) -> World {
    let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let builder = Store::builder("/store").file_system(Arc::new(disk.clone()));
    let store = builder.clock(Arc::clone(&clock) as _).open().unwrap();
    let topic = store.create_topic("jobs", TopicConfig::new()).unwrap();
    let world = World { disk, clock, store };
    for key in keys {
        schedule(&world, key, SOON);
    }
    let partition = topic.partition(0).unwrap();
    while partition.read(..).unwrap().into_iter().count() < keys.len() {
        world.clock.advance(SOON);
        thread::sleep(Duration::from_millis(1));
    }
    world
}

fn schedule(world: &World, key: &str, delay: Duration) {
    let schedule = world.store.schedule().durability(Durability::Disk);
    schedule.deliver_after(Record::to("jobs").key(key).value("later"), delay).unwrap();
}

fn deliver(world: &World) {
    for _ in 0..4 {
        world.clock.advance(SOON);
        world.store.maintain().unwrap();
    }
}

/// The next life, in which all that is due was delivered.
fn after_a_cut(world: &World) -> World {
    let next = world.without_power();
    deliver(&next);
    next
}

fn worker(world: &World) -> Worker {
    world.builder().durability(Durability::Disk).build().unwrap()
}

#[test]
fn a_record_that_was_delivered_and_whose_key_is_cancelled_then_is_there_after_a_power_cut() {
    let world = delivered(&["k"]);
    assert_eq!(world.store.schedule().cancel("jobs", "k").unwrap(), 0, "it is in the topic");
    assert_eq!(after_a_cut(&world).values("jobs"), ["later"]);
    // The key is used again, and that is taken back.
    let world = delivered(&["k"]);
    schedule(&world, "k", Duration::from_secs(900));
    assert_eq!(world.store.schedule().cancel("jobs", "k").unwrap(), 1);
    assert_eq!(after_a_cut(&world).values("jobs"), ["later"]);
}

#[test]
fn a_message_that_was_scheduled_and_acknowledged_at_disk_came_again_after_a_power_cut() {
    for answer in ["ack", "all", "reject"] {
        let world = delivered(&["a", "b"]);
        let mut worker = match answer {
            "reject" => world.builder().durability(Durability::Disk).without_dead_letters().build().unwrap(),
            _ => worker(&world),
        };
        let messages = worker.take(2, Duration::ZERO).unwrap();
        assert_eq!(messages.len(), 2);
        match answer {
            "ack" => messages.into_iter().for_each(|message| message.ack().unwrap()),
            "all" => messages.ack().unwrap(),
            _ => messages.into_iter().for_each(|message| message.reject("no").unwrap()),
        }
        let next = after_a_cut(&world);
        assert_eq!(next.values("jobs").len(), 2, "{answer}");
        assert!(take(&mut next.worker(), 9).is_empty(), "{answer}");
    }
}

#[test]
fn a_message_that_was_sent_back_and_acknowledged_at_disk_came_again_after_a_power_cut() {
    let world = World::new(1);
    let producer = world.store.producer_builder().durability(Durability::Disk).build().unwrap();
    producer.send(Record::to("jobs").value("x")).unwrap();
    let mut worker = worker(&world);
    take(&mut worker, 1).remove(0).reject("no").unwrap();
    let redrive = |world: &World| world.store.dead_letters("jobs", "workers").unwrap().redrive(9).unwrap();
    assert_eq!(redrive(&world), 1);
    take(&mut worker, 1).remove(0).ack().unwrap();
    let next = world.without_power();
    assert_eq!(redrive(&next), 0);
    assert!(take(&mut next.worker(), 9).is_empty());
}

#[test]
fn what_was_acknowledged_at_disk_is_there_after_a_power_cut_and_so_is_its_id() {
    let world = World::new(1);
    let window = Duration::from_secs(1000);
    let enqueuer =
        |world: &World| world.store.enqueuer_builder("jobs").unique_within(window, 9).build().unwrap();
    enqueuer(&world).send_once("a", Record::new().value("x")).unwrap();
    take(&mut worker(&world), 1).remove(0).ack().unwrap();
    let next = world.without_power();
    assert_eq!(next.values("jobs"), ["x"]);
    assert!(enqueuer(&next).send_once("a", Record::new().value("x")).is_err());
    assert!(take(&mut next.worker(), 9).is_empty());
}

#[test]
fn a_consumer_that_has_committed_at_disk_is_handed_no_delivered_record_once_more_after_a_power_cut() {
    let world = delivered(&["k"]);
    let read = |world: &World| {
        let builder = world.store.consumer_builder().group("readers").commit_durability(Durability::Disk);
        let mut consumer = builder.build().unwrap();
        consumer.subscribe(["jobs"]).unwrap();
        let count = consumer.poll(Duration::ZERO).unwrap().iter().count();
        consumer.commit().unwrap();
        count
    };
    assert_eq!(read(&world), 1);
    assert_eq!(read(&after_a_cut(&world)), 0);
}

#[test]
fn an_erased_record_that_was_delivered_came_back_on_the_ladder_after_a_power_cut() {
    let world = delivered(&["k", "other"]);
    let reports = world.store.topic("jobs").unwrap().erase("k").unwrap();
    assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 1);
    let next = after_a_cut(&world);
    let partition = next.store.topic("jobs").unwrap().partition(0).unwrap();
    let keys: Vec<_> = partition.read(..).unwrap().into_iter().map(|one| one.unwrap().key.unwrap()).collect();
    assert_eq!(keys, [b"other".to_vec()]);
}

#[test]
fn a_delivery_that_was_put_back_at_disk_counts_no_more_after_a_power_cut() {
    let world = World::new(1);
    let producer = world.store.producer_builder().durability(Durability::Disk).build().unwrap();
    producer.send(Record::to("jobs").value("x")).unwrap();
    let builder = |world: &World| world.builder().durability(Durability::Disk).delivery_limit(1);
    let out = builder(&world).build().unwrap().take(1, Duration::ZERO).unwrap();
    world.store.topic("__share_group_state").unwrap().flush().unwrap();
    out.put_back().unwrap();
    let next = world.without_power();
    let out = take(&mut builder(&next).build().unwrap(), 1);
    assert_eq!(out.iter().map(annals::Message::delivery_count).collect::<Vec<_>>(), [1]);
}

fn reader(world: &World, durability: Durability) -> Consumer {
    let builder = world.store.consumer_builder().group("readers").commit_durability(durability);
    let mut consumer = builder.build().unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    consumer
}

fn wait(future: impl Future<Output = annals::Result<()>>) {
    outcome(future).unwrap();
}

fn outcome(future: impl Future<Output = annals::Result<()>>) -> annals::Result<()> {
    let (mut future, mut context) = (Box::pin(future), Context::from_waker(Waker::noop()));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// A record that was delivered is committed at `Os`, and then by `commit` so that a power cut takes nothing of that back.
fn is_read_once(commit: impl FnOnce(&mut Consumer)) {
    let world = delivered(&["k"]);
    let mut consumer = reader(&world, Durability::Os);
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().count(), 1);
    consumer.commit().unwrap();
    drop(consumer);
    let mut consumer = reader(&world, Durability::Disk);
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    commit(&mut consumer);
    let next = after_a_cut(&world);
    assert!(reader(&next, Durability::Disk).poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn a_position_that_was_committed_at_os_and_then_at_disk_was_read_once_more_after_a_power_cut() {
    is_read_once(|consumer| consumer.commit().unwrap());
}

#[test]
fn a_position_that_a_task_has_committed_was_read_once_more_after_a_power_cut() {
    is_read_once(|consumer| wait(consumer.commit_async()));
}

/// What a transaction has put into a topic, together with another one that is poisoned; and a message that was sent behind it.
#[test]
fn a_topic_whose_partner_in_a_move_is_poisoned_takes_answers_to_its_other_messages() {
    let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let builder = Store::builder("/store").file_system(Arc::clone(&faulty) as _);
    let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
    for topic in ["jobs", "other"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    let world = World { disk, clock, store };
    let mut tx = world.store.transaction_builder("t").durability(Durability::Os).begin().unwrap();
    tx.send(Record::to("jobs").key("moved").value("moved")).unwrap();
    tx.send(Record::to("other").value("moved")).unwrap();
    tx.commit().unwrap();
    faulty.fail(&[Call::Sync], "other-0/00000000000000000000.log", (0, Times::ForEver), Fault::Error(5));
    assert!(world.store.topic("other").unwrap().flush().is_err());
    let producer = world.store.producer_builder().durability(Durability::Disk).build().unwrap();
    for key in ["plain", "erased", "rejected"] {
        producer.send(Record::to("jobs").key(key).value(key)).unwrap();
    }
    world.store.topic("jobs").unwrap().erase("erased").unwrap();
    let workers = world.builder().durability(Durability::Disk).without_dead_letters();
    let mut messages = take(&mut workers.build().unwrap(), 3);
    assert_eq!(crate::world::values(&messages), ["moved", "plain", "rejected"]);
    messages.remove(2).reject("no").unwrap();
    messages.remove(1).ack().unwrap();
    let refused = messages.remove(0).ack();
    assert!(matches!(refused, Err(Error::Poisoned { .. })), "{refused:?}");
    assert!(matches!(world.store.topic("jobs").unwrap().erase("moved"), Err(Error::Poisoned { .. })));
}

/// Who is told at `Disk` of what an earlier life has moved, where something of the move cannot be made durable.
#[test]
fn what_an_earlier_life_has_moved_was_told_at_disk_though_a_power_cut_took_it_back() {
    for frail in ["__delayed_messages", "__consumer_offsets", "__transaction_state"] {
        for who in ["ack", "erase", "commit", "task"] {
            let earlier = delivered(&["k"]);
            let disk = MemoryFileSystem::over(&annals_testing::Image::new(earlier.disk.files()));
            let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
            faulty.fail(&[Call::Sync], frail, (0, Times::ForEver), Fault::Error(5));
            let builder = Store::builder("/store").file_system(faulty).maintain_by_hand();
            let store = builder.clock(Arc::clone(&earlier.clock) as _).open().unwrap();
            let world = World { disk, clock: Arc::clone(&earlier.clock), store };
            let told = match who {
                "ack" => take(&mut worker(&world), 1).remove(0).ack(),
                "erase" => world.store.topic("jobs").unwrap().erase("k").map(drop),
                _ => {
                    let mut consumer = reader(&world, Durability::Disk);
                    assert_eq!(consumer.poll(Duration::ZERO).unwrap().iter().count(), 1);
                    if who == "commit" { consumer.commit() } else { outcome(consumer.commit_async()) }
                }
            };
            // The step was synced when the record was scheduled.
            assert_eq!(told.is_err(), frail != "__delayed_messages", "{who}, {frail}: {told:?}");
            let next = after_a_cut(&world);
            let is_there = match who {
                "ack" => !take(&mut next.worker(), 9).is_empty(),
                "erase" => !next.values("jobs").is_empty(),
                _ => !reader(&next, Durability::Disk).poll(Duration::ZERO).unwrap().is_empty(),
            };
            assert!(told.is_err() || !is_there, "{who}, {frail}");
        }
    }
}
