//! Decisions whose markers are written, until these are durable.

use super::world::World;
use crate::doubles::{Call, Fault, Times};
use crate::types::Record;

fn commit(world: &World, topics: [&str; 2]) {
    let mut tx = world.begin("t");
    topics.iter().for_each(|topic| tx.send(Record::to(topic).value("x")).unwrap());
    tx.commit().unwrap();
    world.transactions.finish().unwrap();
}

/// Its markers never become durable in this life.
#[test]
fn a_partition_whose_sync_failed_keeps_no_later_transactions_of_others_in_memory() {
    let world = World::new();
    commit(&world, ["one", "two"]);
    world.disk.fail(&[Call::Sync], "two", (0, Times::Once), Fault::Error(5));
    assert!(world.partition("two").flush().is_err());
    world.disk.heal();
    for _ in 0..1000 {
        commit(&world, ["one", "state"]);
        ["one", "state"].iter().for_each(|topic| world.partition(topic).flush().unwrap());
    }
    let waiting = world.transactions.outstanding.lock().settling.len();
    assert!((1..100).contains(&waiting), "{waiting}");
}
