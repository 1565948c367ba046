//! A close or a deletion beside whatever works on the partition's files: when it has returned, nothing does.

use super::explore;
use super::world::{SMALL_SEGMENTS, World, together};
use crate::error::{Error, Result};
use crate::log::RetentionPolicy;

type Part = Box<dyn FnOnce() -> usize + Send>;

#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Deletion,
}

/// A few segments of two keys.
fn filled() -> World {
    let world = World::new(SMALL_SEGMENTS);
    for number in 0..6 {
        world.put(["a", "b"][number % 2], &format!("<{number}>")).unwrap();
    }
    world
}

fn gone() -> Error {
    Error::UnknownTopic { topic: "orders".into(), was_deleted: true }
}

/// Plays the end beside `work`. How often files were changed when the end had returned must be how often they ever are.
fn ends_beside(end: End, work: fn(&World) -> Result<()>) {
    let world = filled();
    let (works, ends) = (world.clone(), world.clone());
    let work: Part = Box::new(move || {
        match work(&works) {
            Ok(()) | Err(Error::StoreClosed { .. } | Error::UnknownTopic { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        0
    });
    let end: Part = Box::new(move || {
        match end {
            End::Close => {
                ends.log.close().unwrap();
                ends.log.retire(Error::StoreClosed { path: ends.log.path().to_path_buf() });
            }
            End::Deletion => ends.log.retire(gone()),
        }
        ends.disk.faults.changes()
    });
    let changed: usize = together(vec![work, end]).into_iter().sum();
    assert_eq!(world.disk.faults.changes(), changed, "something worked on");
}

fn ends_beside_each(end: End) {
    ends_beside(end, |world| world.compact().map(drop));
    ends_beside(end, |world| world.log.erase(&|key| key == b"a").map(drop));
    ends_beside(end, |world| world.log.delete_records(3).map(drop));
    ends_beside(end, |world| {
        let policy = RetentionPolicy { max_bytes: Some(200), ..RetentionPolicy::default() };
        world.log.apply_retention(|| policy).map(drop)
    });
    ends_beside(end, |world| (0..3).try_for_each(|_| world.put("a", "<later>").map(drop)));
}

#[test]
fn nothing_works_on_after_a_close() {
    explore(|| ends_beside_each(End::Close));
}

#[test]
fn nothing_works_on_after_a_deletion() {
    explore(|| ends_beside_each(End::Deletion));
}

#[test]
fn two_that_close_a_partition_wait_for_each_other() {
    explore(|| {
        let world = filled();
        let close = |world: &World| -> Part {
            let world = world.clone();
            Box::new(move || {
                world.log.close().unwrap();
                world.disk.faults.changes()
            })
        };
        let changes = together(vec![close(&world), close(&world)]);
        assert_eq!(changes[0], changes[1], "one returned before the other was done");
        assert_eq!(world.reopened().records().len(), 6);
    });
}
