//! What is compared, one file each.

mod annals;
#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::path::Path;

use crate::harness::Outcome;
use crate::payload::Found;

/// Of every store.
pub(crate) const PARTITIONS: usize = 8;

/// How far a transaction has gone when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It may be lost with the process.
    Memory,
    /// A SIGKILL does not take it.
    Os,
    /// Nor does a power cut.
    Disk,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Os, Self::Disk];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }
}

/// A store that is open.
pub(crate) trait Transacts: Send + Sync {
    /// For one thread. No two have the same number at a time.
    fn writer(&self, thread: usize) -> Outcome<Box<dyn Writer + '_>>;

    /// Adds everything that is there to `found`.
    fn read(&self, found: &mut Found) -> Outcome;
}

pub(crate) trait Writer {
    /// So many records, one after the other to each of so many partitions, in one transaction.
    fn commit(&mut self, partitions: usize, records: usize, value: &[u8]) -> Outcome;
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) classes: &'static [Class],
    pub(crate) open: fn(&Path, Class) -> Outcome<Box<dyn Transacts>>,
}

/// All of them, in the order in which they take turns.
pub(crate) const ALL: &[&Peer] = &[
    &annals::PEER,
    #[cfg(feature = "redb")]
    &redb::PEER,
    #[cfg(feature = "fjall")]
    &fjall::PEER,
    #[cfg(feature = "sqlite")]
    &sqlite::PEER,
    #[cfg(feature = "rocksdb")]
    &rocksdb::PEER,
];

/// Keys of a thread's own that grow.
#[cfg(any(feature = "fjall", feature = "redb", feature = "rocksdb"))]
#[derive(Debug)]
struct Numbers(u64);

#[cfg(any(feature = "fjall", feature = "redb", feature = "rocksdb"))]
impl Numbers {
    /// Behind those of earlier writers of the thread.
    fn of(thread: usize, begun: &std::sync::atomic::AtomicU64) -> Self {
        let before = begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self((before << 40) | ((thread as u64) << 32))
    }

    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}
