//! Partitions that were added, and to which no worker has come yet: all in them waits.

use std::sync::Arc;
use std::time::Duration;

use annals::{Record, Store, TopicConfig};
use annals_testing::{Image, MemoryFileSystem};

use crate::world::{World, take, values};

/// Figures and the limit of an enqueuer say the same, whether or not a worker has come to a partition that was added.
#[test]
fn messages_of_an_added_partition_are_counted_before_a_worker_has_come_to_it() {
    let world = World::new(1);
    let mut worker = world.worker();
    world.send(&["done"]);
    take(&mut worker, 1).into_iter().for_each(|message| message.ack().unwrap());
    world.pass(5);
    world.store.add_partitions("jobs", 3).unwrap();
    for partition in [2, 1, 0, 1, 2, 0] {
        world.store.producer().send(Record::to("jobs").partition(partition).value("v")).unwrap();
        world.pass(1);
    }
    let seen = |world: &World| {
        let stats = world.store.stats().unwrap().queues;
        assert_eq!(stats.len(), 1);
        (stats[0].waiting, stats[0].oldest_age)
    };
    let all = (6, Some(Duration::from_secs(6)));
    assert_eq!(seen(&world), all, "no worker has looked");
    assert_eq!(seen(&world.killed()), all, "nor is there one in this life");
    let disk = MemoryFileSystem::over(&Image::new(world.disk.files()));
    let reader = Store::builder("/store").file_system(Arc::new(disk));
    let reader = reader.clock(Arc::clone(&world.clock) as _).open_read_only().unwrap();
    let read = reader.stats().unwrap().queues;
    assert_eq!((read.len(), read[0].unfinished, read[0].oldest_age), (1, all.0, all.1));
    let taken = take(&mut worker, 9);
    assert_eq!(taken.len(), 6);
    assert_eq!(seen(&world).0, 0);
}

/// Others have read it, and a queue of the topic has it to do: it stays.
#[test]
fn messages_of_an_added_partition_are_not_deleted_before_a_worker_has_come_to_it() {
    let world = World::new(1);
    world.store.create_topic("mails", TopicConfig::new().retention_until_consumed()).unwrap();
    for group in ["late", "early"] {
        drop(world.store.queue("mails", group).unwrap());
    }
    world.store.add_partitions("mails", 2).unwrap();
    let send = |value: &str| {
        world.store.producer().send(Record::to("mails").partition(1).value(value)).unwrap();
    };
    send("a");
    send("b");
    let mut early = world.store.queue("mails", "early").unwrap();
    take(&mut early, 9).into_iter().for_each(|message| message.ack().unwrap());
    let mut reader = world.store.consumer("readers").unwrap();
    reader.assign([("mails", 0), ("mails", 1)]).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).unwrap().len(), 2);
    reader.commit().unwrap();
    world.store.maintain().unwrap();
    world.store.drop_done("mails").unwrap();
    let mut late = world.store.queue("mails", "late").unwrap();
    let mut found = values(&take(&mut late, 9));
    found.sort();
    assert_eq!(found, ["a", "b"]);
}
