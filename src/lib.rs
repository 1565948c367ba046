//! annals: an embeddable, append-only event log.

pub(crate) mod error;
pub(crate) mod format;
pub mod io;
pub(crate) mod partition;
pub(crate) mod segment;
pub(crate) mod sync;
pub(crate) mod types;

pub use error::{Error, Result};
pub use types::{Durability, Header, NO_TIMESTAMP, Offset, Record, Timestamp, TopicPartition};
