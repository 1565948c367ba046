//! Words that every layer shares: units, names of places, what a caller hands in.

mod durability;
mod place;
mod record;
mod units;
mod utc;

pub use durability::Durability;
pub use place::TopicPartition;
pub use record::{Header, Record};
pub use units::{NO_TIMESTAMP, Offset, Timestamp};
pub(crate) use utc::Utc;
