//! Syncs in the background.

use super::explore;
use super::world::{Follower, ONE_SEGMENT, World, value};
use crate::log::Visibility;
use crate::types::Durability;

/// A sync follows the last append, whatever the order in which appends and syncs came.
#[test]
fn a_sync_follows_every_append() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let agenda = world.agenda.clone();
        let maintenance = shuttle::thread::spawn(move || {
            while let Some(due) = agenda.wait() {
                due.into_iter().for_each(|due| due.run().unwrap());
            }
        });
        let senders: Vec<_> = (0..2)
            .map(|thread| {
                let world = world.clone();
                shuttle::thread::spawn(move || {
                    for number in 0..2 {
                        let durability = if number == thread { Durability::Os } else { Durability::Disk };
                        world.send(&value(thread, number), durability).unwrap();
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        world.send(&value(2, 0), Durability::Os).unwrap();
        let follower = Follower::new(&world.log, 0, Visibility::Durable);
        follower.await_that(|| world.log.durable() == 5);
        world.agenda.stop();
        maintenance.join().unwrap();
        world.check_durable();
    });
}
