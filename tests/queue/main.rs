//! Queues: what a worker is handed, what becomes of its answers, and what a crash leaves of them.
#![expect(
    clippy::disallowed_methods,
    reason = "a test may stop at what it did not expect, and looks at the files and the clock from outside"
)]

#[cfg(test)]
mod added;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod cancelled;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod company;
#[cfg(test)]
mod cut;
#[cfg(test)]
mod done;
#[cfg(test)]
mod enqueue;
#[cfg(test)]
mod erased;
#[cfg(test)]
mod forgotten;
#[cfg(test)]
#[path = "../common/fragile_clock.rs"]
mod fragile_clock;
#[cfg(test)]
mod gone;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod ids_beside;
#[cfg(test)]
mod ids_kept;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod later;
#[cfg(test)]
mod later_beside;
#[cfg(test)]
mod later_passed;
#[cfg(test)]
mod later_power;
#[cfg(test)]
mod leaps;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod letters_left;
#[cfg(test)]
mod letters_of_names;
#[cfg(test)]
mod life;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moved_back;
#[cfg(test)]
mod once_later;
#[cfg(test)]
mod once_panics;
#[cfg(test)]
mod order;
#[cfg(test)]
mod owed;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod passed;
#[cfg(test)]
mod power;
#[cfg(test)]
mod redriven;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod timers;
#[cfg(test)]
mod together;
#[cfg(test)]
mod undecided;
#[cfg(test)]
mod words;
#[cfg(test)]
mod world;
