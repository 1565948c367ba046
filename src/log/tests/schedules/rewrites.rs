//! Compaction and erasure beside appends and readers.

use super::explore;
use super::world::{Follower, SMALL_SEGMENTS, World, together};
use crate::log::Visibility;
use crate::types::Offset;

type Part = Box<dyn FnOnce() + Send>;

/// Reads until it has met the last record: in order, and each as it was appended.
fn reader(world: &World, last: Offset) -> Part {
    let mut follower = Follower::new(&world.log, 0, Visibility::Written);
    Box::new(move || {
        let mut next = 0;
        while next <= last {
            for (offset, value) in follower.poll().unwrap() {
                assert!(offset >= next, "{offset} behind {next}");
                assert_eq!(value, format!("<{offset}>"));
                next = offset + 1;
            }
        }
    })
}

fn append(world: &World, numbers: std::ops::Range<Offset>) {
    for number in numbers {
        let key = ["a", "b"][usize::try_from(number % 2).unwrap()];
        assert_eq!(world.put(key, &format!("<{number}>")).unwrap(), number);
    }
}

/// What of the log no compaction may take: the last record of each key.
fn check_latest(world: &World) {
    let there: Vec<_> = world.records().into_iter().map(|(offset, _)| offset).collect();
    assert!([8, 9].iter().all(|offset| there.contains(offset)), "{there:?}");
}

#[test]
fn a_compaction_beside_appends_and_a_reader() {
    explore(|| {
        let world = World::new(SMALL_SEGMENTS);
        append(&world, 0..6);
        let (appends, compacts) = (world.clone(), world.clone());
        let append: Part = Box::new(move || append(&appends, 6..10));
        let compact: Part = Box::new(move || drop(compacts.compact().unwrap()));
        together(vec![append, compact, reader(&world, 9)]);
        check_latest(&world);
        world.log.close().unwrap();
        check_latest(&world.reopened());
    });
}

/// What was accepted before an erasure began is gone when it returns, be it in memory or on its way to the file.
#[test]
fn an_erasure_takes_what_was_accepted_before() {
    explore(|| {
        let world = World::new(SMALL_SEGMENTS);
        append(&world, 0..4);
        let (appends, erases) = (world.clone(), world.clone());
        let append: Part = Box::new(move || {
            for number in 4..10 {
                appends.accept(["a", "b"][number % 2], &format!("<{number}>")).unwrap();
            }
        });
        let erase: Part = Box::new(move || {
            let before = erases.log.next_offset();
            erases.log.erase(&|key| key == b"a").unwrap();
            erases.log.flush().unwrap();
            let left = erases.records().into_iter().find(|(offset, _)| *offset < before && offset % 2 == 0);
            assert_eq!(left, None, "accepted before {before}");
        });
        together(vec![append, erase, reader(&world, 9)]);
    });
}

#[test]
fn a_compaction_an_erasure_and_a_deletion_take_turns() {
    explore(|| {
        let world = World::new(SMALL_SEGMENTS);
        append(&world, 0..8);
        let (compacts, erases, deletes) = (world.clone(), world.clone(), world.clone());
        let compact: Part = Box::new(move || drop(compacts.compact().unwrap()));
        let erase: Part = Box::new(move || drop(erases.log.erase(&|key| key == b"a").unwrap()));
        let delete: Part = Box::new(move || _ = deletes.log.delete_records(3).unwrap());
        together(vec![compact, erase, delete]);
        assert_eq!(world.log.start(), 3);
        let there = world.records();
        assert!(there.iter().all(|(offset, _)| offset % 2 == 1 && *offset >= 3), "{there:?}");
        assert!(there.iter().any(|(offset, _)| *offset == 7), "{there:?}");
        world.log.close().unwrap();
        assert_eq!(world.reopened().records(), there);
    });
}
