//! Words that every layer shares: units, names of places, what a caller hands in.

mod condition;
mod durability;
mod place;
mod query;
mod record;
mod shown;
mod units;
mod utc;

pub(crate) use condition::On;
pub use condition::{Condition, Expected};
pub use durability::Durability;
pub use place::TopicPartition;
pub use query::Query;
pub(crate) use query::Words;
pub use record::{Header, Record};
pub(crate) use shown::Shown;
pub use units::{NO_TIMESTAMP, Offset, Timestamp};
pub(crate) use utc::Utc;
