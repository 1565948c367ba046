//! The mirror against a real broker: Apache Kafka, started here. Without Java or Maven it says so and does nothing.
//!
//! `ANNALS_MIRROR_RECORDS` (20,000) and `ANNALS_MIRROR_KILLS` (20) make the campaigns larger, `ANNALS_MIRROR_SEED` (1) another one;
//! `ANNALS_MIRROR_KILLS_OF_MIRROR`, `_OF_BROKER` and `_OF_STORE` say how many of the kills are whose.
//! Tests run one after the other (`--test-threads 1`), a broker each.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod broker;
mod content;
mod fences;
mod incoming;
mod kills;
mod once;
mod overtaken;
mod random;
mod refused;
mod standing;
