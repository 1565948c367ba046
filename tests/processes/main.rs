//! A store and more than one process: readers of one that nobody writes.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::let_underscore_must_use,
    reason = "a test may stop at what it did not expect, and looks at the files and the clock from outside"
)]

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

mod commits;
mod crowded;
mod dead;
mod ends;
mod folds;
mod frozen;
mod groups;
mod hooked;
mod latency;
mod leaving;
mod left;
mod live;
mod looks;
mod pair;
mod positions;
mod queues;
mod read_only;
mod set_back;
mod stopped;
mod unseen;
mod waits;
mod workers;
mod workers_doubted;
mod workers_folded;
mod workers_killed;
mod workers_lost;
mod workers_model;
mod workers_passed;
mod workers_waited;
mod world;
