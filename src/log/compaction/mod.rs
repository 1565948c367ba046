//! Rewriting sealed segments without some of their records, while others append and read.
//!
//! [`plan`] decides what compaction should look at; [`learn`] notes each key's last offset in an [`offset_map`]; a [`sieve`] says which
//! records stay, [`markers`] which ends of transactions may go; [`rewrite`] writes what stays to a new file, [`room`] says whether there is room for it; [`swap`] puts that file in the place of the old ones, which
//! is the only moment that appends wait for. [`compact`] and [`erase`] put these together, as does deletion from the
//! start of a log, [`trim`].

mod compact;
mod config;
mod erase;
mod learn;
mod markers;
mod offset_map;
mod plan;
mod rewrite;
mod room;
mod sieve;
mod swap;
mod trim;

pub use config::CompactionReport;
pub(crate) use config::{CompactionConfig, Effort};
pub use erase::EraseReport;
pub(crate) use plan::Dirt;
pub(in crate::log) use room::Wanting;
