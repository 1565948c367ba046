//! Where a repair puts what it takes out of a store's files.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::io::{Directory, Leads, OpenMode};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// A directory outside the store. A copy lies in a directory named as that of its file, and has the name of the file and the
/// position of its first byte; no copy takes the place of another. Names are not joined: a directory may have one that is as
/// long as a name can be.
#[derive(Debug)]
pub(crate) struct Copies {
    directory: Directory,
}

impl Copies {
    /// Makes the directory, durably, if it is not there.
    pub(crate) fn open(directory: Directory) -> Result<Self> {
        directory.ensure()?;
        // Its one path, whatever links lead there: it is what lies above that one whose names were made.
        let directory = directory.elsewhere(directory.path())?;
        directory.sync_above()?;
        Ok(Self { directory })
    }

    /// What the directory is called in which copies of files in `from` lie.
    pub(crate) fn place_of(from: &Directory) -> &str {
        from.path().file_name().and_then(|place| place.to_str()).unwrap_or("store")
    }

    /// Copies a stretch of a file. It is durable, and so is its name.
    pub(crate) fn keep(&self, from: &Directory, name: &str, range: Range<u64>) -> Result<PathBuf> {
        let stem = format!("{name}.{}", range.start);
        let source = from.open(name, OpenMode::Read)?;
        let directory = self.directory.child(Self::place_of(from));
        // As where the directory for copies is the one that the store stands in.
        if from.leads(directory.path())? == Leads::Inside {
            let why = "a copy would lie beside what it is a copy of: give another directory for them";
            return Err(Error::invalid(format!("{}: {why}", directory.path().display())));
        }
        directory.ensure()?;
        // Also where an earlier run made it, and did not live to sync its name.
        self.directory.sync()?;
        let mut number = 0;
        let (name, target) = loop {
            let name = if number == 0 { stem.clone() } else { format!("{stem}.{number}") };
            match directory.open(&name, OpenMode::CreateNew) {
                Ok(target) => break (name, target),
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                    number += 1
                }
                Err(error) => return Err(error),
            }
        };
        let mut position = range.start;
        while position < range.end {
            let want = usize::try_from(range.end - position).unwrap_or(CHUNK).min(CHUNK);
            let bytes = source.read(position, want)?;
            if bytes.is_empty() {
                break;
            }
            target.write_at(&bytes, position - range.start)?;
            position += bytes.len() as u64;
        }
        target.sync()?;
        directory.sync()?;
        Ok(directory.join(&name))
    }

    /// The whole of a file, and its length; `None` when there is none.
    pub(crate) fn keep_file(&self, from: &Directory, name: &str) -> Result<Option<(PathBuf, u64)>> {
        match from.open(name, OpenMode::Read) {
            Ok(file) => {
                let len = file.len()?;
                Ok(Some((self.keep(from, name, 0..len)?, len)))
            }
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
