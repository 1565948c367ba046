//! Calls of the disk that panic while others wait for them: nobody waits for ever, and nobody is told what is not so.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::PLANTED;
use super::explore;
use super::world::{ONE_SEGMENT, SMALL_SEGMENTS, World, any_below, together, value};
use crate::error::Error;
use crate::types::{Durability, Offset};

/// What became of each record: `None` where the call panicked.
type Outcomes = Vec<(String, Durability, Option<Result<Offset, Error>>)>;

/// Runs `work`; what was asked for passes by.
fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            assert_eq!(said.or(panic.downcast_ref::<&str>().copied()), Some(PLANTED));
            None
        }
    }
}

fn sender(world: &World, thread: usize, durabilities: &[Durability]) -> Box<dyn FnOnce() -> Outcomes + Send> {
    let (world, durabilities) = (world.clone(), durabilities.to_vec());
    Box::new(move || {
        let send = |(number, durability)| {
            let value = value(thread, number);
            let outcome = unless_it_panics(|| world.send(&value, durability));
            (value, durability, outcome)
        };
        durabilities.into_iter().enumerate().map(send).collect()
    })
}

fn panics_among_senders(segment_bytes: u32) {
    use Durability::{Disk, Os};
    let world = World::new(segment_bytes);
    // The first append of a life writes too.
    world.disk.faults.panic_after(any_below(7));
    let flushes = world.clone();
    let flush: Box<dyn FnOnce() -> Outcomes + Send> = Box::new(move || {
        drop(unless_it_panics(|| flushes.log.flush()));
        Outcomes::new()
    });
    let outcomes = together(vec![
        sender(&world, 0, &[Disk, Os]),
        sender(&world, 1, &[Disk]),
        sender(&world, 2, &[Os, Disk]),
        flush,
    ]);
    let has_panicked = world.disk.faults.has_panicked();
    world.disk.faults.panic_after(i64::MAX);
    let poisoned = world.log.flush();
    assert!(!has_panicked || poisoned.is_err(), "{outcomes:?}");
    let closed = world.log.close();
    assert_eq!(closed.is_err(), has_panicked, "{closed:?}");
    // What was told stands in the next life; a kill leaves what was written.
    let there = world.reopened().records();
    assert!((0..).zip(&there).all(|(at, (offset, _))| at == *offset), "a hole: {there:?}");
    for (value, durability, outcome) in outcomes.iter().flatten() {
        let Some(Ok(offset)) = outcome else { continue };
        assert!(
            there.contains(&(*offset, value.clone())),
            "{value} at {offset} is gone: {outcomes:?} {there:?}"
        );
        assert!(*durability != Disk || world.disk.keeps(value.as_bytes()), "{value} is not on the disk");
    }
}

#[test]
fn a_panic_under_the_writer_or_a_leader_leaves_nobody_waiting() {
    explore(|| panics_among_senders(ONE_SEGMENT));
}

#[test]
fn a_panic_in_a_roll_leaves_nobody_waiting() {
    explore(|| panics_among_senders(SMALL_SEGMENTS));
}
