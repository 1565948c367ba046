//! Positions that an open sets back, where the work below them was done in a transaction that a power cut may still take back.

use std::time::Duration;

use annals::{Consumer, Durability, Error, Record};

use crate::transactions::laid_over::World;

fn read(consumer: &mut Consumer) {
    while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
}

/// Ten records are done with one of `x` in a transaction, ten more are read and committed at [`Durability::Os`], and these are lost when the process dies.
fn set_back() -> World {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    for _ in 0..10 {
        world.partition("in").append(&[Record::new().value("lost")], Durability::Os).unwrap();
    }
    read(&mut consumer);
    consumer.commit().unwrap();
    drop(consumer);
    assert_eq!(world.committed(), 20);
    let world = world.after_a_kill_that_loses("in-0");
    assert_eq!(
        (world.store.offset_resets().len(), world.committed(), world.partition("in").end()),
        (1, 10, 10)
    );
    world.check();
    world
}

#[test]
fn a_commit_at_disk_over_a_position_that_was_set_back_did_not_wait_for_the_work_below_it() {
    let world = set_back();
    world.poison();
    let mut consumer = world.consumer(Durability::Disk);
    world.read_ten(&mut consumer);
    let committed = consumer.commit();
    assert!(matches!(committed, Err(Error::OffsetNotCommitted { .. })), "{committed:?}");
}

#[test]
fn a_commit_at_disk_over_a_position_that_was_set_back_has_the_work_below_it_become_durable() {
    let world = set_back();
    let before = world.partition("x").durable();
    let mut consumer = world.consumer(Durability::Disk);
    world.read_ten(&mut consumer);
    assert_eq!((before, world.partition("x").durable()), (0, 0));
    consumer.commit().unwrap();
    assert!(world.partition("x").durable() > 0);
    drop(consumer);
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("x")), (20, vec!["first".to_owned()]));
}
