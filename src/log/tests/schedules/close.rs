//! A close while others append.

use super::explore;
use super::world::{ONE_SEGMENT, World, together, value};
use crate::error::Error;
use crate::types::{Durability, Offset};

type Part = Box<dyn FnOnce() -> Vec<(Offset, String)> + Send>;

/// Sends until the log is closed; returns what was acknowledged.
fn sender(world: &World, thread: usize, durability: Durability) -> Part {
    let world = world.clone();
    Box::new(move || {
        let mut told = Vec::new();
        for number in 0..3 {
            match world.send(&value(thread, number), durability) {
                Ok(offset) => told.push((offset, value(thread, number))),
                Err(Error::StoreClosed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        told
    })
}

/// What was acknowledged is there in the next life, on the disk; what was refused is not.
#[test]
fn a_close_keeps_what_was_acknowledged_and_nothing_else() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let closed = world.clone();
        let close: Part = Box::new(move || {
            closed.log.close().unwrap();
            Vec::new()
        });
        let parts = vec![sender(&world, 0, Durability::Os), sender(&world, 1, Durability::Disk), close];
        let mut told: Vec<_> = together(parts).into_iter().flatten().collect();
        told.sort();
        let next = world.reopened();
        assert_eq!(next.records(), told);
        assert_eq!(next.log.durable(), next.log.end());
        next.check_durable();
    });
}

/// What was accepted in memory before the close is written by it: told to nobody as lost, and there.
#[test]
fn a_close_keeps_what_was_accepted_in_memory() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let closed = world.clone();
        let close: Part = Box::new(move || {
            closed.log.close().unwrap();
            Vec::new()
        });
        let parts = vec![sender(&world, 0, Durability::Memory), sender(&world, 1, Durability::Memory), close];
        let mut told: Vec<_> = together(parts).into_iter().flatten().collect();
        told.sort();
        assert_eq!(world.reopened().records(), told);
    });
}
