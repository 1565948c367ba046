//! Streams, queries and guarded appends: what they answer, whatever becomes of the index behind them.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod active;
mod answers;
mod damage;
mod damaged;
mod deleted;
mod following;
mod given_up;
mod guards;
mod handles;
mod model;
mod projections;
mod undecided;
mod world;
