//! The sequence lock and the bell under thousands of schedules; `log/tests/schedules/mod.rs` says how to run them. A sleep has no
//! end here but a wake-up: one that is lost leaves somebody asleep, and the explorer says so.

use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

use crate::live::layout::{Growth, head};
use crate::live::memory::Memory;
use crate::live::slot::{Slot, put_growth};
use crate::locks::{AtomicU64, Ordering, fence};

const CHANGES: i64 = 3;

fn growth(number: i64) -> Growth {
    Growth {
        end: number,
        stable: number,
        bytes: number.unsigned_abs() * 7,
        records: number.unsigned_abs(),
        first_timestamp: number,
        max_timestamp: number * 2,
    }
}

fn explore(scene: fn()) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(300_000);
    let total = std::env::var("ANNALS_SCHEDULES").map_or(4_000, |count| count.parse().unwrap());
    Runner::new(RandomScheduler::new(total / 2), config.clone()).run(scene);
    Runner::new(PctScheduler::new(3, total / 2), config).run(scene);
}

/// Two slots and the head in one piece, as in a small store.
fn piece() -> (Arc<Memory>, [Slot; 2]) {
    let memory = Arc::new(Memory::of_words(48));
    let slots = [16, 32].map(|at| Slot::new(&memory, &memory, at));
    (memory, slots)
}

fn write(slot: &Slot) {
    let sequence = AtomicU64::new(0);
    for number in 1..=CHANGES {
        slot.change(&sequence, |words| put_growth(words, &growth(number)));
        fence(Ordering::SeqCst);
        slot.ring_if_wanted();
    }
}

/// Follows both slots to their ends.
fn follow(memory: &Memory, slots: &[Slot; 2]) {
    let mut seen = [0, 0];
    loop {
        let rung = u32::try_from(memory.load(head::BELL, Ordering::SeqCst)).unwrap();
        let mut is_news = false;
        for (slot, seen) in slots.iter().zip(&mut seen) {
            slot.want();
            let Some(shown) = slot.read() else { continue };
            let end = shown.growth.end;
            assert_eq!(shown.growth, growth(end), "some of two moments");
            assert!(end >= *seen, "{end} after {seen}");
            is_news |= end != *seen;
            *seen = end;
        }
        if seen == [CHANGES; 2] {
            return;
        }
        if !is_news {
            memory.wait(head::BELL, rung, Duration::MAX);
        }
    }
}

#[test]
fn readers_elsewhere_see_whole_moments_and_are_woken_for_the_last_schedules() {
    explore(|| {
        let (memory, slots) = piece();
        let mut threads = Vec::new();
        for slot in slots.clone() {
            threads.push(shuttle::thread::spawn(move || write(&slot)));
        }
        for _ in 0..2 {
            let (memory, slots) = (Arc::clone(&memory), slots.clone());
            threads.push(shuttle::thread::spawn(move || follow(&memory, &slots)));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
