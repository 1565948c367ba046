//! What sending letters back leaves in the store.

use std::collections::BTreeSet;

use crate::world::{World, take, value};

/// Sends messages and gives all of them up.
fn rejected(world: &World, jobs: &[&str]) {
    world.send(jobs);
    for message in take(&mut world.worker(), jobs.len()) {
        let name = value(&message);
        message.reject(&format!("{name} is bad")).unwrap();
    }
}

#[test]
fn handles_that_send_letters_back_one_after_the_other_leave_no_name_each() {
    let world = World::new(1);
    for number in 0..20 {
        rejected(&world, &[&format!("{number}")]);
        assert_eq!(world.store.dead_letters("jobs", "workers").unwrap().redrive(1).unwrap(), 1);
        take(&mut world.worker(), 1).remove(0).ack().unwrap();
    }
    let two = [0, 1].map(|_| world.store.dead_letters("jobs", "workers").unwrap());
    rejected(&world, &["x", "y"]);
    two.into_iter().for_each(|mut letters| assert_eq!(letters.redrive(1).unwrap(), 1));
    let decisions = world.store.topic("__transaction_state").unwrap().partition(0).unwrap();
    let keys = decisions.read(..).unwrap().into_iter().map(|record| record.unwrap().key.unwrap_or_default());
    let names: BTreeSet<_> =
        keys.filter(|key| key.windows(14).any(|part| part == b"annals.redrive")).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
