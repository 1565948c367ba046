//! How long records wait in memory: as long as each of them may, whoever came first.

use std::time::Duration;

use super::explore;
use super::world::{Follower, ONE_SEGMENT, World, value};
use crate::log::Visibility;

/// Longer than any scene.
const LONG: Duration = Duration::MAX;
/// Over as soon as somebody looks.
const SHORT: Duration = Duration::from_nanos(1);

/// Plays senders into memory beside the thread that writes what is due, and nobody else: each record with a short linger is
/// written, and whatever stands before it.
fn all_that_are_due_are_written(lingers: [&'static [Duration]; 2]) {
    let world = World::new(ONE_SEGMENT);
    let agenda = world.agenda.clone();
    let maintenance = shuttle::thread::spawn(move || {
        while let Some(due) = agenda.wait() {
            due.into_iter().for_each(|due| due.run().unwrap());
        }
    });
    let senders: Vec<_> = (0..)
        .zip(lingers)
        .map(|(thread, lingers)| {
            let world = world.clone();
            shuttle::thread::spawn(move || {
                let send = |(number, linger): (usize, &Duration)| {
                    (world.leave(&value(thread, number), *linger).unwrap(), *linger)
                };
                lingers.iter().enumerate().map(send).collect::<Vec<_>>()
            })
        })
        .collect();
    let sent: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    let short = sent.iter().filter(|(_, linger)| *linger == SHORT).map(|(offset, _)| *offset).max();
    let follower = Follower::new(&world.log, 0, Visibility::Written);
    follower.await_that(|| short.is_none_or(|short| world.log.end() > short));
    world.agenda.stop();
    maintenance.join().unwrap();
}

#[test]
fn a_short_linger_does_not_wait_for_a_long_one() {
    explore(|| all_that_are_due_are_written([&[LONG, SHORT], &[LONG]]));
}

#[test]
fn short_and_long_lingers_of_two_senders() {
    explore(|| all_that_are_due_are_written([&[SHORT, LONG, SHORT], &[LONG, SHORT]]));
}
