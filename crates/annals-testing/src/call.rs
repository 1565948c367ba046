//! What is asked of a file system.

use std::path::PathBuf;

/// A call of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// A file that exists is opened.
    Open,
    /// A file is created.
    Create,
    /// Bytes are read.
    Read,
    /// A file is mapped.
    Map,
    /// A file's length is read.
    Len,
    /// Bytes are written.
    Write,
    /// A file is truncated or extended.
    SetLen,
    /// Space is reserved.
    Allocate,
    /// A file's bytes are made durable.
    Sync,
    /// The names in a directory are made durable.
    SyncDir,
    /// A directory is created.
    CreateDir,
    /// A file is renamed; the path is the new one.
    Rename,
    /// A file is removed.
    Remove,
    /// A directory is removed.
    RemoveDir,
    /// A directory is listed.
    List,
    /// A directory's lock is taken.
    Lock,
    /// The free space is read.
    AvailableSpace,
}

impl Call {
    /// The calls that change what is on the disk, or make it durable.
    pub const MUTATING: [Self; 10] = [
        Self::Create,
        Self::Write,
        Self::SetLen,
        Self::Allocate,
        Self::Sync,
        Self::SyncDir,
        Self::CreateDir,
        Self::Rename,
        Self::Remove,
        Self::RemoveDir,
    ];
}

/// A call that was made, noted when it was over.
#[derive(Debug, Clone)]
pub struct Done {
    /// The call.
    pub call: Call,
    /// The file or directory; for a rename, the new name.
    pub path: PathBuf,
    /// Bytes read, written or mapped. For a sync, the bytes of the file that were written when the sync began.
    pub bytes: u64,
    /// True if it returned an error, because of a fault or on its own.
    pub failed: bool,
    /// True if a fault struck it.
    pub struck: bool,
}
