//! What is left of a step of which nobody knows whether it took effect: nothing is built on it before the store is opened again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Record, Result, Store, TopicConfig};
use annals_testing::{Call, FaultyFileSystem, PowerCutFileSystem};

const ORDERS: i64 = 4;

struct World {
    machine: PowerCutFileSystem,
    disk: Arc<FaultyFileSystem>,
    store: Store,
}

impl World {
    /// Each partition of `orders` and `invoices` has a first record that is nobody's order.
    fn new() -> Self {
        let machine = PowerCutFileSystem::new();
        let disk = FaultyFileSystem::over(machine.shared());
        let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
        for topic in ["orders", "invoices"] {
            store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
            for partition in store.topic(topic).unwrap().partitions() {
                partition.append(&[Record::new().value("0")], Durability::Disk).unwrap();
            }
        }
        let orders = store.topic("orders").unwrap();
        for order in 1..ORDERS {
            for (number, partition) in orders.partitions().iter().enumerate() {
                let value = format!("{number}/{order}");
                partition.append(&[Record::new().value(&value)], Durability::Disk).unwrap();
            }
        }
        Self { machine, disk, store }
    }

    /// It has read the first record of that partition of the orders.
    fn consumer(&self, group: &str, partition: u32) -> Consumer {
        let mut consumer = self.store.consumer_builder().group(group).max_poll_records(1).build().unwrap();
        consumer.assign([("orders", partition)]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        consumer
    }

    /// A step whose sync fails.
    fn undecided_step(&self, consumer: &mut Consumer) {
        self.disk.fail_next(Call::Sync, "invoices-0", 5);
        let ended = step(&self.store, consumer, (0, Durability::Disk));
        assert!(matches!(ended, Err(Error::Undecided { .. })), "{ended:?}");
    }

    /// After any cut each order that counts as done has its invoice.
    fn check_nothing_is_lost(&self, group: &str) {
        for seed in 0..32 {
            let after = self.machine.cut_power(seed);
            let store = Store::builder("/store").file_system(after.shared()).open().unwrap();
            let invoiced = invoiced(&store);
            for (place, committed) in store.committed(group) {
                for order in 1..committed.offset {
                    let invoice = format!("{}/{order}", place.partition());
                    assert!(invoiced.contains_key(&invoice), "cut {seed}: {invoice} is lost, {committed:?}");
                }
            }
        }
    }
}

fn invoiced(store: &Store) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for partition in store.topic("invoices").unwrap().partitions() {
        for record in partition.read(..).unwrap() {
            *times.entry(String::from_utf8(record.unwrap().value.unwrap()).unwrap()).or_insert(0) += 1;
        }
    }
    times
}

/// Polls and writes invoices into a partition.
fn step(store: &Store, consumer: &mut Consumer, (invoices, durability): (u32, Durability)) -> Result<usize> {
    let orders = consumer.poll(Duration::ZERO)?;
    let mut tx = store.transaction_builder("billing").durability(durability).begin()?;
    tx.commit_offsets(consumer)?;
    for order in &orders {
        tx.send(Record::to("invoices").partition(invoices).value(order.value().unwrap()))?;
    }
    tx.commit()?;
    Ok(orders.len())
}

fn check_refused<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::OffsetUndecided { .. })), "{outcome:?}");
    let says = outcome.unwrap_err().to_string();
    assert!(says.contains("until the store is reopened"), "{says}");
}

#[test]
fn a_loop_that_went_on_after_an_undecided_step_lost_its_order() {
    let world = World::new();
    let mut billing = world.consumer("billing", 0);
    world.undecided_step(&mut billing);
    for durability in [Durability::Disk, Durability::Os, Durability::Disk] {
        check_refused(step(&world.store, &mut billing, (1, durability)));
    }
    world.check_nothing_is_lost("billing");
    // The next life knows, and goes on there.
    let World { machine, store, .. } = world;
    drop((billing, store));
    let store = Store::builder("/store").file_system(machine.restart().shared()).open().unwrap();
    let mut billing = store.consumer_builder().group("billing").max_poll_records(1).build().unwrap();
    billing.assign([("orders", 0)]).unwrap();
    while step(&store, &mut billing, (1, Durability::Disk)).unwrap() > 0 {}
    let invoiced = invoiced(&store);
    for order in 1..ORDERS {
        assert_eq!(invoiced.get(&format!("0/{order}")), Some(&1), "{invoiced:?}");
    }
}

#[test]
fn a_commit_by_hand_after_an_undecided_step_lost_its_order() {
    let world = World::new();
    let mut billing = world.consumer("billing", 0);
    world.undecided_step(&mut billing);
    check_refused(billing.commit());
    check_refused(billing.commit_offsets([(("orders", 0).into(), 2)]));
    drop(billing);
    // Another one of the group begins at what is known to be committed, and may commit nothing either.
    let mut next = world.consumer("billing", 0);
    check_refused(next.commit());
    check_refused(step(&world.store, &mut next, (1, Durability::Disk)));
    world.check_nothing_is_lost("billing");
}

#[test]
fn an_undecided_partition_kept_a_consumer_from_committing_any_other_by_hand() {
    let world = World::new();
    for by_a_task in [false, true] {
        let mut billing = world.consumer("billing", 0);
        if !by_a_task {
            world.undecided_step(&mut billing);
        }
        billing.assign([("orders", 0), ("orders", 1)]).unwrap();
        while !billing.poll(Duration::ZERO).unwrap().is_empty() {
            check_refused(if by_a_task { smol::block_on(billing.commit_async()) } else { billing.commit() });
            let committed = world.store.committed("billing");
            assert!(!committed.contains_key(&("orders", 0).into()), "{committed:?}");
            let other = billing.position(("orders", 1)).unwrap();
            assert_eq!(committed.get(&("orders", 1).into()).map_or(0, |at| at.offset), other);
        }
        // Given offsets are one commit, all of them or none.
        check_refused(billing.commit_offsets([(("orders", 0).into(), 1), (("orders", 1).into(), 1)]));
        assert_eq!(world.store.committed("billing")[&("orders", 1).into()].offset, ORDERS);
    }
}

#[test]
fn other_partitions_and_groups_go_on_after_an_undecided_step() {
    let world = World::new();
    let builder = world.store.consumer_builder().group("billing").max_poll_records(2);
    let mut billing = builder.auto_commit(Duration::ZERO).build().unwrap();
    billing.assign([("orders", 0)]).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    world.undecided_step(&mut billing);
    billing.assign([("orders", 0), ("orders", 1)]).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    let failure = billing.auto_commit_failure().cloned();
    check_refused(failure.map_or(Ok(()), Err));
    let committed = world.store.committed("billing");
    assert!(committed.get(&("orders", 1).into()).is_some_and(|one| one.offset > 0), "{committed:?}");
    assert_eq!(committed[&("orders", 0).into()].offset, 2, "as before the step");
    // What was committed is not done again, whatever becomes of a later step.
    billing.assign([("orders", 1)]).unwrap();
    let done = world.store.committed("billing")[&("orders", 1).into()].offset;
    let mut tx = world.store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    drop(tx);
    assert_eq!(billing.position(("orders", 1)).unwrap(), done);
    drop(billing);
    let mut other = world.consumer("other", 0);
    step(&world.store, &mut other, (1, Durability::Disk)).unwrap();
    other.commit().unwrap();
}

#[test]
fn what_an_awaited_commit_that_failed_has_committed_is_not_built_on() {
    let world = World::new();
    let mut billing = world.consumer("billing", 0);
    let orders = billing.poll(Duration::ZERO).unwrap();
    let mut tx = world.store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    for order in &orders {
        tx.send(Record::to("invoices").partition(0).value(order.value().unwrap())).unwrap();
    }
    world.disk.fail_next(Call::Sync, "invoices-0", 5);
    let ended = smol::block_on(tx.commit_async());
    assert!(matches!(ended, Err(Error::Undecided { .. })), "{ended:?}");
    check_refused(billing.commit());
    check_refused(step(&world.store, &mut billing, (1, Durability::Disk)));
    world.check_nothing_is_lost("billing");
}

#[test]
fn nobody_expects_an_end_behind_records_that_are_undecided() {
    let world = World::new();
    let mut billing = world.consumer("billing", 0);
    let orders = world.store.topic("invoices").unwrap();
    world.disk.fail_next(Call::Sync, "invoices-0", 5);
    let orders_seen = billing.poll(Duration::ZERO).unwrap().len();
    assert_eq!(orders_seen, 1);
    let mut tx = world.store.transaction_builder("billing").durability(Durability::Disk).begin().unwrap();
    for partition in 0..2 {
        tx.send(Record::to("invoices").partition(partition).value("undecided")).unwrap();
    }
    assert!(matches!(tx.commit(), Err(Error::Undecided { .. })));
    let other = orders.partition(1).unwrap();
    assert_eq!((other.stable(), other.end()), (1, 2), "readers wait");
    // Under the same name, too.
    let mut tx = world.store.transaction("billing").unwrap();
    tx.expect_end(&other, other.stable());
    tx.send(Record::to("orders").value("x")).unwrap();
    let refused = tx.commit();
    assert!(matches!(refused, Err(Error::UnexpectedEnd { .. })), "{refused:?}");
    let mut tx = world.store.transaction_builder("billing").durability(Durability::Disk).begin().unwrap();
    tx.send(Record::to("orders").partition(0).value("y")).unwrap();
    tx.send(Record::to("orders").partition(1).value("y")).unwrap();
    tx.commit().unwrap();
}

#[test]
fn a_message_that_an_undecided_transaction_has_acknowledged_is_out_to_nobody() {
    let world = World::new();
    let mut worker = world.store.queue("orders", "workers").unwrap();
    let message = worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
    let taken = (message.partition, message.offset);
    let mut tx = world.store.transaction_builder("work").durability(Durability::Disk).begin().unwrap();
    tx.ack(message);
    tx.send(Record::to("invoices").partition(0).value("x")).unwrap();
    world.disk.fail_next(Call::Sync, "invoices-0", 5);
    assert!(matches!(tx.commit(), Err(Error::Undecided { .. })));
    drop(worker);
    let mut worker = world.store.queue("orders", "workers").unwrap();
    let all = worker.take(100, Duration::ZERO).unwrap();
    assert!(all.iter().all(|one| (one.partition, one.offset) != taken));
    assert!(!all.is_empty());
}
