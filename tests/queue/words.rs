//! What a queue says.

use std::time::Duration;

use annals::queue::RetryPolicy;
use annals::{QueueBuilder, Record, WhenFull};

use crate::world::{World, take};

#[test]
fn a_worker_that_needs_other_settings_than_the_others_is_told_which() {
    let world = World::new(1);
    let _worker = world.worker();
    let said = |builder: QueueBuilder| builder.build().unwrap_err().to_string();
    assert!(said(world.builder().delivery_limit(3)).contains(": delivery_limit is 5 there, and not 3: "));
    assert!(
        said(world.builder().ordered_by_key()).contains(": ordered_by_key is false there, and not true: ")
    );
    let policy = world.builder().retry_policy(RetryPolicy::fixed(Duration::from_secs(1)));
    assert!(said(policy).contains(": retry_policy differs there: "));
}

#[test]
fn what_is_said_of_one_message_is_in_the_singular() {
    let world = World::new(1);
    world.send(&["a"]);
    let jobs = world.store.enqueuer_builder("jobs").limit("workers", 1, WhenFull::Fail).build().unwrap();
    let full = jobs.send(Record::new().value("b")).unwrap_err();
    assert!(full.to_string().contains("is full: 1 message is not done, of 1"), "{full}");
    drop(take(&mut world.builder().delivery_limit(1).build().unwrap(), 1));
    let mut letters = world.store.dead_letters("jobs", "workers").unwrap();
    assert_eq!(letters.take(1).unwrap()[0].reason, "delivered once and not done");
}
