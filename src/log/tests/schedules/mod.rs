//! Small scenes of two to four threads, each under thousands of schedules, chosen by the crate `shuttle`.
//!
//! ```sh
//! RUSTFLAGS="--cfg annals_shuttle" CARGO_TARGET_DIR=target/shuttle cargo test --lib schedules
//! ```
//!
//! `ANNALS_SCHEDULES` is the number of schedules of all scenes together, 10,000 by default; 100,000 before a release.
//! A scene that fails prints its schedule; `ANNALS_SCHEDULE` takes it and runs that one again, in the test named.
//!
//! A thread that waits for ever shows: nobody is left who could go on, and the explorer says so.

mod appends;
mod background;
mod close;
mod cut;
mod disk;
mod ending;
mod failures;
mod linger;
mod panics;
mod readers;
mod removal;
mod rewrites;
mod tasks;
mod world;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Scenes that share the schedules.
const SCENES: usize = 32;
/// Changes of priority in a schedule of the second kind: most bugs need two or three.
const DEPTH: usize = 3;
/// A scene takes some thousands of steps. More is a thread that turns without getting on.
const MOST_STEPS: usize = 300_000;

/// Runs a scene under its share of the schedules: one half chosen evenly, one half by priorities that change seldom.
fn explore(scene: fn()) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    if let Ok(schedule) = std::env::var("ANNALS_SCHEDULE") {
        Runner::new(ReplayScheduler::new_from_encoded(&schedule), config).run(scene);
        return;
    }
    let total = std::env::var("ANNALS_SCHEDULES").map_or(10_000, |count| count.parse().unwrap());
    let half = (total / SCENES / 2).max(1);
    Runner::new(RandomScheduler::new(half), config.clone()).run(scene);
    Runner::new(PctScheduler::new(DEPTH, half), config).run(scene);
}
