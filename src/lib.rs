//! annals: an embeddable, append-only event log.

pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod sync;
pub(crate) mod types;

pub use error::{Error, Result};
pub use types::{Durability, Header, NO_TIMESTAMP, Offset, Record, Timestamp, TopicPartition};
