//! What each call answers: sending, reading, groups, transactions, settings, closing, and what is said at the edges.

#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

mod compaction;
mod errors;
mod figures;
#[path = "../common/fragile_clock.rs"]
mod fragile_clock;
mod groups;
#[cfg(test)]
mod leaps;
mod lifecycle;
mod limits;
mod open_cost;
#[cfg(test)]
mod own_topics;
mod producer;
mod retention;
#[cfg(test)]
mod small_disk;
mod threads;
mod timeouts;
mod transactions;
mod verify;
