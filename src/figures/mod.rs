//! What a store counts and measures of itself, and the events it tells of. Plain numbers and words: whoever does something notes it
//! here, and nothing here does anything.

mod counters;
mod event;
mod histogram;
mod latency;

pub(crate) use counters::{Appended, Figures};
pub use counters::{Counters, Latencies};
pub use event::Event;
pub use latency::Latency;
