//! What a store counts and measures of itself, and the events it tells of. Plain numbers and words: whoever does something notes it
//! here, and nothing here does anything.

mod event;
mod figures;
mod histogram;
mod latency;

pub use event::Event;
pub(crate) use figures::{Appended, Figures};
pub use figures::{Counters, Latencies};
pub use latency::Latency;
