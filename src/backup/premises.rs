//! Whose a place is: nothing is put into a store, nor into the copy of one, whoever has it open.

use std::path::Path;

use crate::backup::list::{LIST_FILE, UNFINISHED};
use crate::error::{Error, Result};
use crate::io::Directory;
use crate::log::Log;
use crate::topic::StoreCut;

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Premises {
    Store,
    Partition,
    Backup,
    Unfinished,
}

impl Premises {
    fn of(directory: &Directory) -> Result<Option<Self>> {
        Ok(if directory.has(LIST_FILE)? {
            Some(Self::Backup)
        } else if directory.has(UNFINISHED)? {
            Some(Self::Unfinished)
        } else if StoreCut::is_listed(directory)? {
            Some(Self::Store)
        } else if Log::has_state(directory)? {
            // Its name in the store may be a link.
            Some(Self::Partition)
        } else {
            None
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Store => "the store",
            Self::Partition => "the partition",
            Self::Backup => "the backup",
            Self::Unfinished => "a backup or a restore that is not finished,",
        }
    }
}

/// An error when what is put at `path` would lie in a store or in a backup, be it another than that of whoever asks: what lies there
/// goes with it. A backup that stands at the path itself is a matter of who looks at what is in there.
pub(crate) fn refuse_premises(beside: &Directory, path: &Path) -> Result<()> {
    for around in beside.around(path)? {
        let Some(premises) = Premises::of(&around)? else { continue };
        let is_below = beside.elsewhere(path).map_or(true, |there| there.path() != around.path());
        if is_below || matches!(premises, Premises::Store | Premises::Partition) {
            let (what, at) = (premises.name(), around.path().display());
            let why = if is_below { "lies in" } else { "is" };
            return Err(Error::backup(
                path,
                format!("it {why} {what} in {at}: give a directory outside of that"),
            ));
        }
    }
    Ok(())
}
