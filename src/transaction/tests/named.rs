//! Named producers in a store of an earlier version, which let transactions have their names.

use super::world::World;
use crate::format::Ending;
use crate::transaction::decisions::Decision;
use crate::transaction::ids::ProducerId;
use crate::types::{Durability, Record};

/// Sends the first record of the name again.
fn send_again(world: &World) -> bool {
    let sensor = world.transactions.named_producer("sensor").unwrap();
    let one = world.partition("one");
    sensor.append(&one, 0, &[Record::new().value("reading")], Durability::Os).unwrap().is_duplicate
}

#[test]
fn a_transaction_of_the_name_of_a_producer_does_not_make_it_forget_what_it_has_sent() {
    let world = World::new();
    assert!(!send_again(&world));
    // As that version wrote it for a transaction with this name.
    let decision = Decision {
        name: "annals.producer.sensor",
        producer: ProducerId::fresh(),
        ending: Ending::Commit,
        ends: &[],
        partitions: Vec::new(),
        timeout_millis: 0,
        began: 0,
        now: 0,
    };
    world.transactions.decisions.append(&decision, Durability::Disk).unwrap();
    // After a clean end a compaction keeps what is needed and no more.
    world.topics.close().unwrap();
    let world = world.next_life();
    assert!(send_again(&world), "the decision is taken for its registration");
    world.topics.get("__transaction_state").unwrap().compact().unwrap();
    let world = world.next_life();
    assert!(send_again(&world), "the decision has come to be there alone");
}
