//! Opening a store, and closing it whatever happened meanwhile.

use std::path::{Path, PathBuf};

use annals::backup::Backup;
use annals::{Error, Store, StoreReader};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome, both};

/// What a verb that writes expects of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// There is a store in it.
    Write,
    /// The same; the store is made if there is none.
    Make,
}

/// The directory that was named.
pub(crate) fn directory(arguments: &Arguments) -> Outcome<PathBuf> {
    let named = arguments.store.clone().filter(|path| !path.as_os_str().is_empty());
    named.ok_or_else(|| Failure::Usage("which store? give --store DIR, or set ANNALS_STORE".to_owned()))
}

/// Refuses a directory that holds no store.
pub(crate) fn require_store(path: &Path) -> Outcome {
    let list = path.join("annals.topics");
    match std::fs::metadata(&list) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::no_store(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(Failure::no_store(path)),
        Err(error) => Err(Failure::at("look at", &list, error)),
    }
}

/// Opens a backup.
pub(crate) fn open_backup(path: &Path) -> Outcome<Backup> {
    match std::fs::metadata(path.join("annals.backup")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let words = "is no backup, or one that was not finished: there is no file annals.backup in it";
            Err(Failure::Missing(format!("{} {words}", path.display())))
        }
        _ => Ok(Backup::open(path)?),
    }
}

/// Opens the store to write to it, has `act` work with it, and closes it. The first failure counts.
pub(crate) fn with_store(
    arguments: &Arguments,
    access: Access,
    act: impl FnOnce(&Store) -> Outcome,
) -> Outcome {
    let path = directory(arguments)?;
    if access != Access::Make {
        require_store(&path)?;
    }
    let store = Store::open(&path)?;
    let outcome = act(&store);
    both(outcome, store.close().map_err(Failure::from))
}

/// How long a verb reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It ends by itself: nobody opens the store to write to it meanwhile.
    Short,
    /// Until the user ends it: it is in nobody's way.
    Long,
}

/// Opens the store to read it, whoever writes to it: not a byte of its records changes.
pub(crate) fn with_reader(arguments: &Arguments, act: impl FnOnce(&StoreReader) -> Outcome) -> Outcome {
    act(&open_reader(arguments, Reading::Short)?)
}

pub(crate) fn open_reader(arguments: &Arguments, reading: Reading) -> Outcome<StoreReader> {
    let path = directory(arguments)?;
    require_store(&path)?;
    if reading == Reading::Long
        && let Ok(attached) = StoreReader::attach(&path)
    {
        return Ok(attached);
    }
    match Store::open_read_only(&path) {
        // Where its owner shows nothing of it, that it is in use is what there is to say.
        Err(in_use @ Error::StoreInUse { .. }) => match StoreReader::attach(&path) {
            Err(Error::StoreInUse { .. } | Error::Io { .. }) => Err(in_use.into()),
            attached => Ok(attached?),
        },
        opened => Ok(opened?),
    }
}
