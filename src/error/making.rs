//! How the layers make errors, and add where they happened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::types::{Offset, TopicPartition};

impl Error {
    /// Damage of a file.
    pub(crate) fn corrupt(
        path: PathBuf,
        position: u64,
        offset: Option<Offset>,
        reason: impl Into<String>,
    ) -> Self {
        let reason = reason.into();
        Self::Corrupt { path, position, offset, reason, partition: None, resume_at: None }
    }

    /// The same error; damage is of a file of that partition, where nobody has said so yet.
    pub(crate) fn in_partition(mut self, place: &TopicPartition) -> Self {
        if let Self::Corrupt { partition, .. } = &mut self {
            partition.get_or_insert_with(|| place.clone());
        }
        self
    }

    /// The same error; a reader that met damage can go on at `offset`.
    pub(crate) fn resuming_at(mut self, offset: Offset) -> Self {
        if let Self::Corrupt { resume_at, .. } = &mut self {
            *resume_at = Some(offset);
        }
        self
    }

    /// An I/O failure of `operation` on `path`.
    pub(crate) fn io(path: &Path, operation: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), operation, source: Arc::new(source) }
    }

    /// A caller's mistake, in words.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }

    /// A directory that a backup cannot be made in, checked or restored from.
    pub(crate) fn backup(path: &Path, reason: impl Into<String>) -> Self {
        Self::Backup { path: path.to_path_buf(), reason: reason.into() }
    }

    /// A setting outside its range.
    pub(crate) fn config(key: &str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self::InvalidConfig { key: key.to_owned(), value: value.to_string(), reason: reason.into() }
    }
}
