//! Waiting for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, PowerCutFileSystem, Times};

use super::block_on;

/// The names of this process's threads that belong to tasks.
fn threads_of_tasks() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| ["annals-syncs", "annals-wakes"].contains(&&**name))
        .collect()
}

#[test]
fn ten_thousand_tasks_wait_for_the_disk_with_one_thread_that_syncs() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    orders.append(&[Record::new()], Durability::Os).unwrap();
    disk.forget();
    let waited = AtomicUsize::new(0);
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            executor.spawn(async {
                let sent = orders.append(&[Record::new().value("x")], Durability::Os).unwrap();
                orders.durable_through(sent.last_offset).await.unwrap();
                assert!(orders.durable() > sent.last_offset);
                waited.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
    assert_eq!(waited.load(Ordering::Relaxed), 10_000);
    let syncs = disk.count(Call::Sync, ".log");
    assert!(syncs < 5_000, "{syncs} syncs for 10,000 tasks");
    // Other stores of this process have theirs.
    let before = threads_of_tasks();
    assert!(before.iter().any(|name| name == "annals-syncs"));
    assert!(before.len() < 50, "{before:?}");
}

#[test]
fn what_is_durable_by_a_future_survives_a_power_cut() {
    let machine = PowerCutFileSystem::new();
    let store = Store::builder("/store").file_system(machine.shared()).open().unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let memory = store.producer_builder().durability(Durability::Memory).build().unwrap();
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    for number in 0..10_u32 {
        memory.send(Record::to("orders").partition(number % 2).value(&number.to_string())).unwrap();
        block_on(memory.flush_async()).unwrap();
        block_on(consumer.next()).unwrap();
        block_on(consumer.commit_async()).unwrap();
        for seed in 0..4 {
            let after = machine.cut_power(seed);
            let store = Store::builder("/store").file_system(after.shared()).open().unwrap();
            let ends = store.topic("orders").unwrap().partitions().iter().map(|one| one.end()).sum::<i64>();
            assert_eq!(ends, i64::from(number) + 1, "seed {seed}");
            let committed = store.committed("billing").values().map(|one| one.offset).sum::<i64>();
            assert_eq!(committed, ends, "seed {seed}");
        }
    }
    let bound = memory.bind("orders").unwrap();
    bound.send(Record::new().value("one more")).unwrap();
    block_on(bound.flush_async()).unwrap();
    let orders = store.topic("orders").unwrap();
    assert!(orders.partitions().iter().all(|one| one.durable() == one.end()));
    assert_eq!(orders.partitions().iter().map(|one| one.end()).sum::<i64>(), 11);
}

#[test]
fn a_failed_sync_is_told_to_all_who_wait_and_a_later_one_is_refused() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let [orders, others] = [0, 1].map(|number| topic.partition(number).unwrap());
    for one in [&orders, &others] {
        one.append(&[Record::new().value("x")], Durability::Os).unwrap();
    }
    disk.fail(&[Call::Sync], "orders-0", (0, Times::ForEver), Fault::Error(5));
    let waits: Vec<_> = (0..100).map(|_| orders.durable_through(0)).collect();
    for wait in waits {
        let failed = block_on(wait).unwrap_err();
        assert!(matches!(failed, Error::Io { .. } | Error::Poisoned { .. }), "{failed}");
    }
    assert!(matches!(block_on(orders.flush_async()), Err(Error::Poisoned { .. })));
    // What concerns one partition stops one.
    block_on(others.durable_through(0)).unwrap();
    assert!(matches!(block_on(store.producer().flush_async()), Err(Error::Poisoned { .. })));
}

#[test]
fn a_record_whose_write_fails_is_lost_to_who_waits_though_its_offset_becomes_durable() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    orders.append(&[Record::new().value("0")], Durability::Disk).unwrap();
    orders.append(&[Record::new().value("1")], Durability::Memory).unwrap();
    let wait = orders.durable_through(1);
    disk.fail(&[Call::Write], ".log", (0, Times::Once), Fault::Error(28));
    assert!(matches!(orders.flush(), Err(Error::Lost { first: 1, last: 1, .. })));
    disk.heal();
    assert_eq!(orders.append(&[Record::new().value("another")], Durability::Disk).unwrap().first_offset, 1);
    let lost = block_on(wait).unwrap_err();
    assert!(matches!(lost, Error::Lost { first: 1, last: 1, .. }), "{lost}");
    block_on(orders.durable_through(1)).unwrap();
    // A flush tells of it as a flush does, once.
    orders.append(&[Record::new().value("2")], Durability::Memory).unwrap();
    disk.fail(&[Call::Write], ".log", (0, Times::Once), Fault::Error(28));
    assert!(matches!(block_on(orders.flush_async()), Err(Error::Lost { first: 2, last: 2, .. })));
    block_on(orders.flush_async()).unwrap();
}

#[test]
fn an_offset_that_was_not_given_out_is_out_of_range_and_a_future_is_ready_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    for offset in [0, -1, i64::MAX] {
        let refused = block_on(orders.durable_through(offset)).unwrap_err();
        assert!(matches!(refused, Error::OffsetOutOfRange { .. }), "{refused}");
    }
    block_on(orders.flush_async()).unwrap();
    let mut wait = orders.flush_async();
    block_on(&mut wait).unwrap();
    assert!(matches!(block_on(&mut wait), Err(Error::InvalidArgument { .. })));
}
