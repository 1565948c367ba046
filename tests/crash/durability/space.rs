//! Disks in memory with and without space ahead of the writes.

use annals_testing::{Call, MemoryFileSystem};

/// The calls that change a store's files while it is open.
pub(super) const CHANGES: [Call; 8] = [
    Call::Create,
    Call::Write,
    Call::SetLen,
    Call::Allocate,
    Call::Sync,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
];

/// What becomes of the wish for space ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Granted,
    Refused,
}

impl Space {
    /// All pairs of one of these and one of either.
    pub(super) fn each_with<T: Copy>(ways: impl IntoIterator<Item = T>) -> impl Iterator<Item = (T, Self)> {
        ways.into_iter().flat_map(|way| [(way, Self::Granted), (way, Self::Refused)])
    }

    pub(super) fn disk(self) -> MemoryFileSystem {
        let memory = MemoryFileSystem::new();
        if self == Self::Refused {
            memory.refuse_space_ahead();
        }
        memory
    }
}
