//! Writes and syncs that fail while others wait for them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::explore;
use super::world::{ONE_SEGMENT, SMALL_SEGMENTS, World, any_below, together, value};
use crate::error::{Error, Result};
use crate::io::Directory;
use crate::log::tests::config;
use crate::types::{Durability, Offset};

/// What became of each record that a thread sent.
type Outcomes = Vec<(String, Result<Offset>)>;

fn sender(world: &World, thread: usize, durabilities: &[Durability]) -> Box<dyn FnOnce() -> Outcomes + Send> {
    let (world, durabilities) = (world.clone(), durabilities.to_vec());
    Box::new(move || {
        let send = |(number, durability)| {
            let value = value(thread, number);
            let outcome = world.send(&value, durability);
            (value, outcome)
        };
        durabilities.into_iter().enumerate().map(send).collect()
    })
}

/// The records that were acknowledged, by offset.
fn acknowledged(outcomes: &[Outcomes]) -> Vec<(Offset, String)> {
    let all = outcomes.iter().flatten();
    let mut told: Vec<_> = all
        .filter_map(|(value, outcome)| outcome.as_ref().ok().map(|offset| (*offset, value.clone())))
        .collect();
    told.sort();
    told
}

#[test]
fn a_failed_write_fails_all_that_wait_and_gives_their_offsets_out_again() {
    explore(|| {
        use Durability::{Disk, Os};
        let world = World::new(ONE_SEGMENT);
        world.disk.faults.fail_write_after(any_below(4));
        let outcomes = together(vec![
            sender(&world, 0, &[Os, Os]),
            sender(&world, 1, &[Os, Disk]),
            sender(&world, 2, &[Os]),
        ]);
        assert_eq!(world.records(), acknowledged(&outcomes), "{outcomes:?}");
        let refused = outcomes.iter().flatten().filter(|(_, outcome)| outcome.is_err()).count();
        let next = Offset::try_from(5 - refused).unwrap();
        world.disk.faults.fail_write_after(Offset::MAX);
        assert_eq!(world.send(&value(3, 0), Durability::Disk).unwrap(), next);
        world.check_durable();
    });
}

#[test]
fn what_is_lost_in_memory_is_told_once_by_a_send_and_by_the_flush() {
    explore(|| {
        use Durability::{Memory, Os};
        let world = World::new(ONE_SEGMENT);
        world.disk.faults.fail_write_after(any_below(3));
        let outcomes = together(vec![
            sender(&world, 0, &[Memory, Memory]),
            sender(&world, 1, &[Os]),
            sender(&world, 2, &[Memory, Os]),
        ]);
        let last = world.log.flush();
        let loss = |outcome: std::result::Result<(), &Error>| match outcome {
            Err(Error::Lost { first, last, .. }) => Some(*first..=*last),
            _ => None,
        };
        let told = outcomes.iter().flatten();
        let by_sends: Vec<_> = told.filter_map(|(_, outcome)| loss(outcome.as_ref().map(drop))).collect();
        assert!(by_sends.len() <= 1, "{by_sends:?}");
        let by_flush = loss(last.as_ref().map(drop));
        assert!(by_sends.is_empty() || by_sends.first() == by_flush.as_ref(), "{by_sends:?} {by_flush:?}");
        let there = world.records();
        for (offset, value) in acknowledged(&outcomes) {
            let lost = by_flush.iter().any(|range| range.contains(&offset));
            assert!(there.contains(&(offset, value)) || lost, "{offset} is gone: {outcomes:?} {there:?}");
        }
        world.log.flush().unwrap();
    });
}

#[test]
fn who_leaves_a_record_and_writes_it_is_told_of_its_own() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        world.disk.faults.fail_write_after(any_below(3));
        let sender = |thread: usize| -> Box<dyn FnOnce() -> Outcomes + Send> {
            let world = world.clone();
            Box::new(move || {
                let send = |number| {
                    // Two of them have no room in one batch.
                    let value = format!("{}{}", value(thread, number), "-".repeat(60));
                    let outcome = world.leave(&value, Duration::ZERO);
                    (value, outcome)
                };
                (0..2).map(send).collect()
            })
        };
        let outcomes = together(vec![sender(0), sender(1), sender(2)]);
        assert_eq!(world.records(), acknowledged(&outcomes), "{outcomes:?}");
    });
}

/// Whoever was told that its record is on the disk was told the truth; nobody is told so afterwards.
fn sync_fails(segment_bytes: u32) {
    use Durability::{Disk, Os};
    let world = World::new(segment_bytes);
    world.disk.faults.fail_sync_after(any_below(4));
    let background = world.clone();
    let sync = Box::new(move || {
        drop(background.log.sync_in_background());
        Outcomes::new()
    });
    let mut parts = vec![
        sender(&world, 0, &[Disk, Os]),
        sender(&world, 1, &[Disk, Disk]),
        sender(&world, 2, &[Os, Disk]),
    ];
    parts.push(sync);
    let outcomes = together(parts);
    world.check_durable();
    if world.disk.faults.sync_has_failed() {
        for durability in [Os, Disk] {
            let later = world.send(&value(4, 0), durability);
            assert!(matches!(later, Err(Error::Poisoned { .. })), "{later:?} after {outcomes:?}");
        }
        assert!(world.log.flush().is_err() && world.log.close().is_err());
        world.check_durable();
    } else {
        assert!(outcomes.iter().flatten().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing() {
    explore(|| sync_fails(ONE_SEGMENT));
}

#[test]
fn a_failed_sync_acknowledges_nothing_while_segments_roll() {
    explore(|| sync_fails(SMALL_SEGMENTS));
}

/// Two partitions that have one descriptor between them: each takes it from the other, with what was written to it.
#[test]
fn a_failed_sync_is_told_whoever_takes_the_descriptor() {
    explore(|| {
        use Durability::{Disk as OnDisk, Os};
        let disk = Disk::default();
        let root = Directory::with_pool(Arc::new(disk.clone()), Path::new("/"), 1);
        let worlds = ["a", "b"].map(|name| World::on(disk.clone(), &root.child(name), config(ONE_SEGMENT)));
        disk.faults.fail_sync_after(any_below(6));
        let outcomes = together(vec![
            sender(&worlds[0], 0, &[Os, OnDisk]),
            sender(&worlds[0], 1, &[OnDisk]),
            sender(&worlds[1], 2, &[Os, OnDisk]),
        ]);
        let poisoned = worlds.iter().filter(|world| world.log.flush().is_err()).count();
        assert!(poisoned == usize::from(disk.faults.sync_has_failed()), "{poisoned}: {outcomes:?}");
        // A file that has failed is not read either: what was sent has to do.
        worlds[0].check_durable_of(&acknowledged(&outcomes[..2]));
        worlds[1].check_durable_of(&acknowledged(&outcomes[2..]));
    });
}
