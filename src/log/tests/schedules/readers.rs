//! Readers that sleep at the end.

use super::explore;
use super::world::{Follower, ONE_SEGMENT, SMALL_SEGMENTS, World, together, value};
use crate::error::Error;
use crate::log::Visibility;
use crate::types::Durability;

type Part = Box<dyn FnOnce() + Send>;

fn sender(world: &World, thread: usize, durabilities: &[Durability]) -> Part {
    let (world, durabilities) = (world.clone(), durabilities.to_vec());
    Box::new(move || {
        for (number, durability) in durabilities.into_iter().enumerate() {
            world.send(&value(thread, number), durability).unwrap();
        }
    })
}

/// Reads until it has seen `count` records, and begins to watch while others append.
fn reader(world: &World, count: i64, visibility: Visibility) -> Part {
    let world = world.clone();
    Box::new(move || {
        let mut follower = Follower::new(&world.log, 0, visibility);
        let mut next = 0;
        while next < count {
            for (offset, value) in follower.poll().unwrap() {
                assert_eq!(offset, next);
                assert!(visibility == Visibility::Written || world.disk.keeps(value.as_bytes()));
                next += 1;
            }
        }
        assert_eq!(next, count);
    })
}

#[test]
fn a_reader_is_woken_for_every_record() {
    explore(|| {
        use Durability::{Memory, Os};
        let world = World::new(ONE_SEGMENT);
        together(vec![
            reader(&world, 5, Visibility::Written),
            sender(&world, 0, &[Memory, Os, Memory]),
            sender(&world, 1, &[Os, Memory]),
        ]);
    });
}

#[test]
fn a_reader_of_durable_records_is_woken_for_every_record() {
    explore(|| {
        use Durability::{Disk, Os};
        let world = World::new(SMALL_SEGMENTS);
        let other = world.clone();
        let flushed = Box::new(move || {
            other.send(&value(1, 0), Os).unwrap();
            other.log.flush().unwrap();
        });
        together(vec![reader(&world, 4, Visibility::Durable), sender(&world, 0, &[Os, Disk, Disk]), flushed]);
    });
}

#[test]
fn a_reader_is_woken_by_the_end_of_the_partition() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let (waits, ends) = (world.clone(), world.clone());
        let is_over = move || {
            let follower = Follower::new(&waits.log, 0, Visibility::Written);
            follower.await_that(|| waits.log.check_open().is_err());
        };
        let retire =
            move || ends.log.retire(Error::UnknownTopic { topic: "orders".into(), was_deleted: true });
        let appends = move || {
            for number in 0..2 {
                if let Err(error) = world.send(&value(0, number), Durability::Os) {
                    assert!(
                        matches!(error, Error::UnknownTopic { .. } | Error::StoreClosed { .. }),
                        "{error}"
                    );
                }
            }
        };
        together(vec![Box::new(is_over) as Part, Box::new(retire), Box::new(appends)]);
    });
}
