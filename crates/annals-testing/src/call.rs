//! What is asked of a file system.

use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// A file that exists is opened.
    Open,
    /// A file is made.
    Create,
    /// Bytes are read.
    Read,
    /// A file is mapped.
    Map,
    /// The length of a file is asked for.
    Len,
    /// Bytes are written.
    Write,
    /// A file is cut or extended.
    SetLen,
    /// Space is reserved.
    Allocate,
    /// A file's bytes are made durable.
    Sync,
    /// The names in a directory are made durable.
    SyncDir,
    /// A directory is made.
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
    /// It is asked how much space is left.
    AvailableSpace,
}

impl Call {
    /// The calls that change what is on the disk, or say that it is there.
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

/// One call, noted when it was over.
#[derive(Debug, Clone)]
pub struct Done {
    /// What was asked for.
    pub call: Call,
    /// Of which file or directory; of a rename, the new name.
    pub path: PathBuf,
    /// Read, write, map: bytes. Sync: the bytes of the file that were written when the sync began.
    pub bytes: u64,
    /// It returned an error, by a fault or by itself.
    pub failed: bool,
    /// A fault struck it.
    pub struck: bool,
}
