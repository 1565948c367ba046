//! States that reach beyond what a power cut has left of their topics, and a disk that is full when they are to be cut.

use std::sync::Arc;

use annals::{Durability, QueueBuilder, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

use crate::clocks::within_a_moment;
use crate::world::{World, take, values};

const FULL: [Call; 3] = [Call::Write, Call::Allocate, Call::Create];

fn workers(store: &Store, topic: &str) -> QueueBuilder {
    store.queue_builder(topic, "workers")
}

/// A store without the records that a power cut has taken, whose queues had done them; nothing could be written of that yet, and now it can.
pub(crate) fn cut() -> World {
    let world = World::new(1);
    world.store.create_topic("orders", TopicConfig::new()).unwrap();
    world.send(&["done", "there", "there too"]);
    let producer = world.store.producer();
    for value in ["first", "second"] {
        producer.send(Record::to("orders").value(value)).unwrap();
    }
    producer.flush().unwrap();
    let mut jobs = workers(&world.store, "jobs").build().unwrap();
    take(&mut jobs, 1).remove(0).ack().unwrap();
    let held = take(&mut jobs, 2);
    world.send(&["lost", "letter"]);
    take(&mut jobs, 1).remove(0).ack().unwrap();
    take(&mut jobs, 1).remove(0).reject("no").unwrap();
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    letters.take(1).unwrap().into_iter().for_each(|letter| letters.discard(letter).unwrap());
    // All states are in one log.
    let mut orders = workers(&world.store, "orders").durability(Durability::Disk).build().unwrap();
    take(&mut orders, 1).remove(0).ack().unwrap();
    let files = world.disk.durable_files();
    std::mem::forget(held);
    let memory = MemoryFileSystem::over(&Image::new(files));
    let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
    disk.fail(&FULL, "__share_group_state", (0, Times::ForEver), Fault::Error(28));
    let builder =
        Store::builder("/store").file_system(Arc::clone(&disk) as _).clock(Arc::clone(&world.clock) as _);
    let store = builder.maintain_by_hand().open().unwrap();
    assert!(FULL.iter().any(|call| disk.count(*call, "__share_group_state") > 0), "nothing is owed");
    disk.heal();
    assert_eq!(store.topic("jobs").unwrap().partition(0).unwrap().end(), 3);
    World { disk: memory, clock: world.clock, store }
}

/// The ids of topics are random, and partitions are locked in their order.
#[test]
fn a_commit_with_an_answer_does_not_hang_where_the_disk_was_full_at_the_open() {
    for life in 0..8 {
        within_a_moment(&format!("life {life}"), || {
            let World { store, .. } = cut();
            let message = take(&mut workers(&store, "orders").build().unwrap(), 1).remove(0);
            let mut tx = store.transaction("t").unwrap();
            tx.send(Record::to("jobs").value("new")).unwrap();
            tx.ack(message);
            tx.commit().unwrap();
            let mut jobs = workers(&store, "jobs").build().unwrap();
            assert_eq!(values(&take(&mut jobs, 9)), ["there", "there too", "new"]);
        });
    }
}

/// The message is one of the topic that the transaction writes to, or goes to the dead letters.
#[test]
fn an_answer_of_a_queue_that_was_cut_is_not_refused_for_ever_where_the_disk_was_full_at_the_open() {
    for is_rejected in [false, true] {
        within_a_moment(if is_rejected { "rejected" } else { "done" }, move || {
            let World { store, .. } = cut();
            let mut jobs = workers(&store, "jobs").build().unwrap();
            let message = take(&mut jobs, 1).remove(0);
            if is_rejected {
                message.reject("no").unwrap();
                let letters = store.dead_letters("jobs", "workers").unwrap().take(9).unwrap();
                assert_eq!(letters.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [1]);
            } else {
                let mut tx = store.transaction("t").unwrap();
                tx.send(Record::to("jobs").value("new")).unwrap();
                tx.ack(message);
                tx.commit().unwrap();
            }
            let left = if is_rejected { vec!["there too"] } else { vec!["there too", "new"] };
            assert_eq!(values(&take(&mut jobs, 9)), left);
        });
    }
}
