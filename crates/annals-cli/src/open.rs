//! Opening a store, and closing it whatever happened meanwhile.

use std::path::{Path, PathBuf};

use annals::Store;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome, both};

/// What a verb does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing is deleted or compacted behind the reader's back.
    Read,
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

/// Opens the store, has `act` work with it, and closes it. The first failure counts.
pub(crate) fn with_store(
    arguments: &Arguments,
    access: Access,
    act: impl FnOnce(&Store) -> Outcome,
) -> Outcome {
    let path = directory(arguments)?;
    if access != Access::Make {
        require_store(&path)?;
    }
    // Maintenance runs in none of them: a command does what it was asked for, and no more.
    let store = Store::builder(&path).maintain_by_hand().open()?;
    let outcome = act(&store);
    both(outcome, store.close().map_err(Failure::from))
}
