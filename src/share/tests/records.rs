//! What is stored of a queue adds up to what it knew.

use crate::doubles::Random;
use crate::format::{DeliveryState, ShareKey, ShareKind, ShareSnapshot, ShareUpdate, StateBatch};
use crate::share::share_partition::SharePartition;
use crate::share::state_log::{AllFound, SlotName};
use crate::topic::Replay;

fn key(kind: ShareKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    ShareKey { kind, group: "g", topic: 7, partition: 0 }.encode(&mut bytes).unwrap();
    bytes
}

fn snapshot(epoch: i32, start: i64, batches: Vec<StateBatch>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let snapshot = ShareSnapshot {
        epoch,
        state_epoch: 0,
        leader_epoch: 0,
        start,
        create_time: 0,
        write_time: 0,
        batches,
        complete_count: -1,
    };
    snapshot.encode(&mut bytes).unwrap();
    bytes
}

fn update(epoch: i32, batch: StateBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let batches = vec![batch];
    ShareUpdate { epoch, leader_epoch: 0, start: None, batches, complete_count: -1 }
        .encode(&mut bytes)
        .unwrap();
    bytes
}

fn batch(first: i64, last: i64, state: DeliveryState, count: i16) -> StateBatch {
    StateBatch { first, last, state, count }
}

#[test]
fn an_update_counts_for_the_snapshot_whose_epoch_it_bears() {
    let mut found = AllFound::default();
    let name = SlotName { topic: 7, partition: 0, owner: "g".into() };
    let done = |first, last| batch(first, last, DeliveryState::Acknowledged, 1);
    found.replay(&key(ShareKind::Snapshot), Some(&snapshot(1, 0, vec![]))).unwrap();
    found.replay(&key(ShareKind::Update), Some(&update(1, done(0, 1)))).unwrap();
    assert_eq!(found.0[&name].state.start(), 2);
    found.replay(&key(ShareKind::Snapshot), Some(&snapshot(2, 1, vec![done(4, 4)]))).unwrap();
    found.replay(&key(ShareKind::Update), Some(&update(1, done(1, 3)))).unwrap();
    assert_eq!((found.0[&name].state.start(), found.0[&name].state.end()), (1, 5));
    found.replay(&key(ShareKind::Update), Some(&update(2, done(1, 3)))).unwrap();
    assert_eq!(found.0[&name].state.start(), 5);
    // What is not understood has no state; kinds of later versions are others' to understand.
    assert!(found.replay(&key(ShareKind::Snapshot), Some(&[0, 9])).is_err());
    assert!(found.0.is_empty());
    assert!(found.replay(b"\0\x07later", Some(b"")).is_ok());
    found.replay(&key(ShareKind::Snapshot), Some(&snapshot(3, 1, vec![]))).unwrap();
    found.replay(&key(ShareKind::Snapshot), None).unwrap();
    assert!(found.0.is_empty());
}

#[test]
fn hostile_states_cost_no_more_memory_than_they_have_bytes() {
    let far = batch(i64::MAX - 2, i64::MAX - 1, DeliveryState::Available, 3);
    let mut state = SharePartition::new(0);
    state.restore(Some(5), &[far, batch(0, i64::MAX - 1, DeliveryState::Acknowledged, 1)]);
    assert_eq!(state.start(), i64::MAX);
    let mut random = Random::new(3);
    for _ in 0..200 {
        let mut state = SharePartition::new(0);
        for _ in 0..20 {
            let first = i64::try_from(random.below(50)).unwrap();
            let last = first + i64::try_from(random.below(50)).unwrap();
            let states = [DeliveryState::Available, DeliveryState::Acknowledged, DeliveryState::Archived];
            let count = i16::try_from(random.below(9)).unwrap();
            state.restore(None, &[batch(first, last, *random.choose(&states), count)]);
            state.check();
        }
    }
}
