//! Tasks that wait for records and for the disk.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use shuttle::thread;

use super::explore;
use super::world::{ONE_SEGMENT, World};
use crate::locks::{Condvar, Mutex};
use crate::log::Signal;
use crate::types::{Durability, Offset};

/// What a task sleeps on.
#[derive(Default)]
struct Sleeper {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock() = true;
        self.changed.notify_all();
    }
}

impl Sleeper {
    fn sleep(&self) {
        let mut is_woken = self.is_woken.lock();
        while !std::mem::take(&mut *is_woken) {
            self.changed.wait(&mut is_woken);
        }
    }
}

/// Polls until it is ready. Each poll has another waker: an earlier one wakes nobody.
fn block_on<T>(mut poll: impl FnMut(&Waker) -> Poll<T>) -> T {
    loop {
        let sleeper = Arc::new(Sleeper::default());
        let waker = Waker::from(Arc::clone(&sleeper));
        if let Poll::Ready(output) = poll(&waker) {
            return output;
        }
        // Polled once more before it sleeps, as a task is that waits for several things.
        let sleeper = Arc::new(Sleeper::default());
        if let Poll::Ready(output) = poll(&Waker::from(Arc::clone(&sleeper))) {
            return output;
        }
        sleeper.sleep();
    }
}

#[test]
fn a_task_at_the_end_is_woken_by_what_comes() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let signal = Arc::new(Signal::default());
        world.log.watch(&signal);
        let sender = {
            let world = world.clone();
            thread::spawn(move || {
                for durability in [Durability::Os, Durability::Os] {
                    world.send("x", durability).unwrap();
                }
            })
        };
        for expected in 1..=2 as Offset {
            block_on(|waker| {
                let seen = signal.raised();
                if world.log.end() >= expected {
                    return Poll::Ready(());
                }
                signal.poll_raised(seen, waker, world.log.waking()).unwrap()
            });
        }
        sender.join().unwrap();
    });
}

#[test]
fn tasks_that_wait_for_the_disk_are_woken_by_one_thread_that_syncs() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let syncs = {
            let agenda = Arc::clone(&world.agenda);
            thread::spawn(move || while agenda.syncing().round() {})
        };
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    let offset = world.send("x", Durability::Os).unwrap();
                    let mut wait = world.log.await_durable(offset).unwrap();
                    block_on(|waker| wait.poll(waker)).unwrap();
                    assert!(world.log.durable() > offset);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        world.agenda.stop_tasks();
        syncs.join().unwrap();
        world.check_durable();
    });
}

#[test]
fn a_task_that_waits_for_the_disk_is_told_when_the_log_is_closed_beside_it() {
    explore(|| {
        let world = World::new(ONE_SEGMENT);
        let syncs = {
            let agenda = Arc::clone(&world.agenda);
            thread::spawn(move || while agenda.syncing().round() {})
        };
        let offset = world.send("x", Durability::Memory).unwrap();
        let task = {
            let world = world.clone();
            thread::spawn(move || {
                let Ok(mut wait) = world.log.await_durable(offset) else { return };
                block_on(|waker| wait.poll(waker)).unwrap();
            })
        };
        world.log.close().unwrap();
        world.agenda.stop_tasks();
        task.join().unwrap();
        syncs.join().unwrap();
    });
}
