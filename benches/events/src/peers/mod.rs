//! One file for each kind of event store.

mod annals;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "tephra")]
mod tephra;
#[cfg(feature = "umadb")]
mod umadb;

use std::path::Path;
use std::sync::Arc;

use crate::harness::Outcome;
use crate::payload::Found;

/// A store of events in many streams.
pub(crate) trait Events: Send + Sync {
    /// Appends events to a stream whose version is `expected`, `None` for one without events; says what it is then.
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64>;

    /// The events of a stream.
    fn read(&self, stream: &str, found: &mut Found) -> Outcome;

    /// All events in their order.
    fn read_all(&self, found: &mut Found) -> Outcome;

    /// As an orderly program ends.
    fn close(&self) -> Outcome {
        Ok(())
    }
}

/// A way to keep events.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Opens what is in a directory, or makes it.
    pub(crate) open: fn(&Path) -> Outcome<Arc<dyn Events>>,
}

/// All of them, in the order in which they take turns.
pub(crate) const ALL: &[&Peer] = &[
    &annals::PEER,
    #[cfg(feature = "fjall")]
    &fjall::PEER,
    #[cfg(feature = "redb")]
    &redb::PEER,
    #[cfg(feature = "sqlite")]
    &sqlite::PEER,
    #[cfg(feature = "tephra")]
    &tephra::PEER,
    #[cfg(feature = "umadb")]
    &umadb::PEER,
];
