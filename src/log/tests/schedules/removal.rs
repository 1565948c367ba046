//! Rolls and retention below appends and reads.

use std::time::Duration;

use super::explore;
use super::world::{Follower, SMALL_SEGMENTS, World, together, value};
use crate::error::Error;
use crate::log::tests::config;
use crate::log::{LogConfig, RetentionPolicy, SizeLimit, Visibility, WhenFull};
use crate::types::Durability;

type Part = Box<dyn FnOnce() + Send>;

const RECORDS: usize = 5;

fn sender(world: &World) -> Part {
    let world = world.clone();
    Box::new(move || {
        for number in 0..RECORDS {
            let durability = if number % 2 == 0 { Durability::Os } else { Durability::Disk };
            world.send(&value(0, number), durability).unwrap();
        }
    })
}

/// Reads to the end; what is gone it passes over.
fn reader(world: &World) -> Part {
    let mut follower = Follower::new(&world.log, 0, Visibility::Written);
    Box::new(move || {
        let mut next = 0;
        while next < RECORDS {
            match follower.poll() {
                Ok(records) => {
                    for (offset, read) in records {
                        let at = usize::try_from(offset).unwrap();
                        assert!(at >= next, "{at} behind {next}");
                        assert_eq!(read, value(0, at));
                        next = at + 1;
                    }
                }
                Err(Error::OffsetOutOfRange { start, .. }) => {
                    follower.reader.seek(start);
                    next = usize::try_from(start).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
}

#[test]
fn rolls_and_retention_below_a_reader() {
    explore(|| {
        let world = World::new(SMALL_SEGMENTS);
        let (rolls, removes) = (world.clone(), world.clone());
        let roll: Part = Box::new(move || {
            rolls.log.roll().unwrap();
            rolls.log.roll().unwrap();
        });
        let remove: Part = Box::new(move || {
            for _ in 0..2 {
                let policy = RetentionPolicy { max_bytes: Some(100), ..RetentionPolicy::default() };
                let report = removes.log.apply_retention(|| policy).unwrap();
                assert!(report.start <= removes.log.end());
            }
        });
        together(vec![sender(&world), reader(&world), roll, remove]);
        let there = world.records();
        let start = usize::try_from(world.log.start()).unwrap();
        let kept: Vec<_> =
            (start..RECORDS).map(|number| (number.try_into().unwrap(), value(0, number))).collect();
        assert_eq!(there, kept);
        world.log.flush().unwrap();
        world.check_durable();
    });
}

/// An append that waits for room is woken by the retention that makes it.
#[test]
fn a_full_partition_lets_appends_on_when_there_is_room() {
    explore(|| {
        let limit = SizeLimit { max_bytes: 300, when_full: WhenFull::Block, max_block: Duration::MAX };
        let world = World::with(LogConfig { size_limit: Some(limit), ..config(SMALL_SEGMENTS) });
        let cleans = world.clone();
        let follower = Follower::new(&world.log, 0, Visibility::Written);
        let clean: Part = Box::new(move || {
            let mut reader = follower;
            let mut next = 0;
            while next < RECORDS {
                next += reader.poll().unwrap().len();
                let policy = RetentionPolicy {
                    keep_from: Some(reader.reader.position()),
                    ..RetentionPolicy::default()
                };
                cleans.log.apply_retention(|| policy).unwrap();
            }
        });
        together(vec![sender(&world), clean]);
    });
}

/// What maintenance looks at may have left the log by then; that is nobody's failure.
#[test]
fn what_is_owed_is_looked_for_beside_a_removal() {
    explore(|| {
        let world = World::new(SMALL_SEGMENTS);
        for number in 0..RECORDS {
            world.put("a", &value(0, number)).unwrap();
        }
        world.log.delete_records(1).unwrap();
        world.log.upkeeps.note_left();
        let (looks, removes) = (world.clone(), world.clone());
        let look: Part = Box::new(move || looks.log.free_what_is_owed().unwrap());
        let remove: Part = Box::new(move || {
            let policy = RetentionPolicy { max_bytes: Some(100), ..RetentionPolicy::default() };
            assert!(!removes.log.apply_retention(|| policy).unwrap().removed.is_empty());
        });
        together(vec![look, remove]);
        assert!(world.log.start() > 1);
    });
}
