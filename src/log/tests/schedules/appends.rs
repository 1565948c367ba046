//! Appends at the same time.

use std::sync::Arc;

use super::explore;
use super::world::{Follower, ONE_SEGMENT, SMALL_SEGMENTS, World, together, value};
use crate::log::Visibility;
use crate::types::{Durability, Offset};
use crate::upkeep::{Chore, Reason};

/// Offsets that a thread was given, and their records.
type Told = Vec<(Offset, String)>;

/// Sends at each of these durabilities in turn, and reads each acknowledged record back at once.
fn sender(world: &World, thread: usize, durabilities: &[Durability]) -> Box<dyn FnOnce() -> Told + Send> {
    let (world, durabilities) = (world.clone(), durabilities.to_vec());
    Box::new(move || {
        let mut told = Told::new();
        for (number, durability) in durabilities.into_iter().enumerate() {
            let value = value(thread, number);
            let offset = world.send(&value, durability).unwrap();
            // One in memory may be on its way, in the hands of another thread: then it comes.
            let read = Follower::new(&world.log, offset, Visibility::Written).poll().unwrap();
            assert_eq!(read.first(), Some(&(offset, value.clone())));
            told.push((offset, value));
        }
        told
    })
}

/// Nothing lost, nothing doubled, nothing out of order.
fn check(world: &World, mut told: Vec<Told>) {
    for own in &told {
        assert!(own.is_sorted(), "out of order: {own:?}");
    }
    let mut all: Told = told.drain(..).flatten().collect();
    all.sort();
    let offsets: Vec<_> = all.iter().map(|(offset, _)| *offset).collect();
    let count = Offset::try_from(all.len()).unwrap();
    assert_eq!(offsets, (0..count).collect::<Vec<_>>(), "each offset once");
    assert_eq!(world.records(), all);
    assert_eq!((world.log.end(), world.log.next_offset()), (count, count));
    world.check_durable();
}

fn os_and_disk(segment_bytes: u32) {
    use Durability::{Disk, Os};
    let world = World::new(segment_bytes);
    let told = together(vec![
        sender(&world, 0, &[Os, Os, Disk]),
        sender(&world, 1, &[Disk, Disk]),
        sender(&world, 2, &[Disk, Os]),
    ]);
    check(&world, told);
}

#[test]
fn senders_that_wait_for_the_system_and_for_the_disk() {
    explore(|| os_and_disk(ONE_SEGMENT));
}

#[test]
fn senders_that_wait_while_segments_roll() {
    explore(|| os_and_disk(SMALL_SEGMENTS));
}

#[test]
fn senders_at_all_durabilities() {
    explore(|| {
        use Durability::{Disk, Memory, Os};
        let world = World::new(ONE_SEGMENT);
        let told = together(vec![
            sender(&world, 0, &[Memory, Memory, Os]),
            sender(&world, 1, &[Os, Memory]),
            sender(&world, 2, &[Disk, Memory, Disk]),
        ]);
        check(&world, told);
    });
}

#[test]
fn senders_into_memory_a_reader_a_flush_and_the_end_of_a_linger() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let (writer, other) = (world.clone(), world.clone());
        let flush = Box::new(move || {
            other.log.flush().unwrap();
            Arc::clone(&other.log).run(Reason::Room).unwrap();
            Told::new()
        });
        let memory = Box::new(move || {
            (0..4)
                .map(|number| (writer.send(&value(0, number), Durability::Memory).unwrap(), value(0, number)))
                .collect()
        });
        let mut follower = Follower::new(&world.log, 0, Visibility::Written);
        let reader = Box::new(move || {
            let mut read = Told::new();
            while read.len() < 4 {
                read.extend(follower.poll().unwrap());
            }
            read
        });
        let mut told = together(vec![memory, reader, flush]);
        assert_eq!(told.remove(1), told[0], "what was read is what was sent");
        world.log.flush().unwrap();
        assert_eq!(world.log.durable(), 4);
        check(&world, told);
    });
}
