//! The names of a directory, as they change: a file is written under another name, gets its own, and that is made durable.

use std::io::ErrorKind;

use super::directory::{Directory, SYNC};
use super::file::File;
use super::seam::{DirectoryHandle, Entry, EntryKind, OpenMode};
use crate::error::{Error, Result};

/// Suffix of a file that is being written and will be renamed.
pub(crate) const NEW: &str = ".new";

/// Why a prepared file did not get its name, or a file did not lose it, or not durably.
#[derive(Debug)]
pub(crate) enum PublishFailure {
    /// It was refused: the old file stands, whatever crashes.
    Refused(Error),
    /// Nobody knows which file stands after a crash.
    Unknown(Error),
}

impl PublishFailure {
    /// Not `From`, which would show in the public documentation of `Error`.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Unknown(error) => error,
        }
    }
}

/// The names of a directory, which are about to change, and then to be made durable. That needs a descriptor: one that is wanting
/// then would leave a change of which nobody knows whether it lasts.
pub(crate) struct Names<'a> {
    directory: &'a Directory,
    handle: Option<Box<dyn DirectoryHandle>>,
}

impl Names<'_> {
    pub(crate) fn directory(&self) -> &Directory {
        self.directory
    }

    /// Makes them durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let Some(handle) = &self.handle else { return self.directory.sync() };
        handle.sync().map_err(|e| Error::io(&self.directory.path, SYNC, e))
    }
}

impl Directory {
    /// Whether it has a regular file of that name, which we need not have the right to read. A directory or a link is none. What
    /// stands around it is not looked at where that is clear without.
    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        let error = match self.open(name, OpenMode::Read) {
            Ok(_) => return Ok(true),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => error,
        };
        // Systems have many errors for what cannot be opened as a file.
        let is_it = |entry: &Entry| entry.name == name && entry.kind == EntryKind::File;
        self.list().map(|entries| entries.iter().any(is_it)).map_err(|_| error)
    }

    /// Creates a file under a temporary name. [`publish`](Self::publish) gives it its own, after a sync of the file.
    pub(crate) fn begin(&self, name: &str) -> Result<File> {
        let temporary = format!("{name}{NEW}");
        self.remove_if_there(&temporary)?;
        self.open(&temporary, OpenMode::CreateNew)
    }

    /// Writes and syncs a file under a temporary name. Where it has no room it gives back what it has taken.
    pub(crate) fn prepare(&self, name: &str, bytes: &[u8]) -> Result<File> {
        let file = self.begin(name)?;
        match file.write_at(bytes, 0).and_then(|()| file.sync()) {
            Ok(()) => Ok(file),
            Err(error) => {
                if error.is_disk_full() {
                    drop(self.remove_if_there(&format!("{name}{NEW}")));
                }
                Err(error)
            }
        }
    }

    /// Renames a prepared file over `name`: the old file stands there or the new one, whole, and after a sync of the names the new
    /// one.
    pub(crate) fn give_name(&self, name: &str) -> Result<()> {
        self.rename(&format!("{name}{NEW}"), name)
    }

    /// Renames a prepared file over `name` and makes the name durable: after a crash either the old file or the new one
    /// stands there, whole.
    pub(crate) fn publish(&self, name: &str) -> std::result::Result<(), PublishFailure> {
        let temporary = format!("{name}{NEW}");
        let names = self.names().map_err(PublishFailure::Refused)?;
        match self.rename(&temporary, name) {
            // A refusal, and the new file has its old name.
            Err(error) if is_refusal(&error) && self.open(&temporary, OpenMode::Read).is_ok() => {
                Err(PublishFailure::Refused(error))
            }
            Err(error) => Err(PublishFailure::Unknown(error)),
            Ok(()) => names.sync().map_err(PublishFailure::Unknown),
        }
    }

    /// Replaces a file's content, durably and all or nothing.
    pub(crate) fn replace_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.prepare(name, bytes)?;
        self.publish(name).map_err(PublishFailure::into_error)
    }

    /// Removes a file, durably; that there is none is no error.
    pub(crate) fn remove_durably(&self, name: &str) -> std::result::Result<(), PublishFailure> {
        let names = self.names().map_err(PublishFailure::Refused)?;
        self.remove_if_there(name).map_err(|error| match is_refusal(&error) {
            true => PublishFailure::Refused(error),
            false => PublishFailure::Unknown(error),
        })?;
        names.sync().map_err(PublishFailure::Unknown)
    }

    /// For who is about to change names in it, and cannot take that back.
    pub(crate) fn names(&self) -> Result<Names<'_>> {
        let handle = self.call("open", &self.path, |fs| fs.open_dir(&self.path))?;
        Ok(Names { directory: self, handle })
    }
}

/// The answer of a [`Directory::has`] to who wants nothing of that directory but to pass through: what we may not look at is not there.
pub(crate) fn as_seen(found: Result<bool>) -> Result<bool> {
    match found {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => Ok(false),
        found => found,
    }
}

/// True where the system says that it has not begun. An error of the device is none: it may be one of the file system's own log.
fn is_refusal(error: &Error) -> bool {
    use ErrorKind::{
        OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, ResourceBusy, StorageFull,
    };
    let Error::Io { source, .. } = error else { return false };
    matches!(
        source.kind(),
        OutOfMemory | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | ResourceBusy | StorageFull
    )
}
