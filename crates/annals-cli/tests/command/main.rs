//! The built command, run as users run it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

mod every_verb;
mod interruptions;
mod left_out;
#[cfg(unix)]
mod mirror;
mod refusals;
mod schema;
mod terminal;
mod transactions;
mod transcript;
mod transcripts;
