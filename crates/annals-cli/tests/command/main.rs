//! The built command, run as users run it.

mod interruptions;
mod refusals;
mod schema;
mod transcript;
mod transcripts;
