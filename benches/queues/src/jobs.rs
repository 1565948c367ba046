//! What a queue must do to be compared.

use std::path::Path;
use std::sync::Arc;

use crate::harness::Outcome;
use crate::payload::Found;

/// How far a message, or an answer, has gone when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// An answer may be lost with the process.
    Memory,
    /// A SIGKILL takes neither message nor answer.
    Os,
    /// Nor does a power cut.
    Disk,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Os, Self::Disk, Self::Memory];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }
}

/// A queue that is open.
pub(crate) trait Jobs: Send + Sync {
    /// Sends messages with one call, or one transaction.
    fn enqueue(&self, values: &[&[u8]]) -> Outcome;

    /// A worker for a thread of its own.
    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>>;
}

/// Takes messages and acknowledges them.
pub(crate) trait Worker: Send {
    /// Takes up to so many messages, adds what is in them to `found`, and acknowledges them with one call. Says how many.
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize>;
}

/// A kind of queue.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) classes: &'static [Class],
    /// Whether several workers may have messages at one time.
    pub(crate) is_shared: bool,
    pub(crate) open: fn(&Path, Class) -> Outcome<Arc<dyn Jobs>>,
}
