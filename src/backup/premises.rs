//! Whose a place is: nothing is put into a store, nor into the copy of one, whoever has it open.

use std::collections::BTreeSet;
use std::path::Path;

use crate::backup::list::{LIST_FILE, UNFINISHED};
use crate::error::{Error, Result};
use crate::io::{Directory, EntryKind, Leads, as_seen};
use crate::log::{Copies, Log};
use crate::topic::StoreCut;

/// What a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Premises {
    Store,
    Partition,
    Backup,
    Unfinished,
}

/// What is made of an answer, as that we may not look.
type Sees = fn(Result<bool>) -> Result<bool>;

impl Premises {
    fn of(directory: &Directory, sees: Sees) -> Result<Option<Self>> {
        Ok(if sees(directory.has(LIST_FILE))? {
            Some(Self::Backup)
        } else if sees(directory.has(UNFINISHED))? {
            Some(Self::Unfinished)
        } else if sees(StoreCut::is_listed(directory))? {
            Some(Self::Store)
        } else if sees(Log::has_state(directory))? {
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
/// goes with it. So when it is one itself.
pub(crate) fn refuse_premises(beside: &Directory, path: &Path) -> Result<()> {
    refuse(beside, path, |_| true)
}

/// The same, but that a backup that stands at the path itself is a matter of who looks at what is in there.
pub(super) fn refuse_premises_of_others(beside: &Directory, path: &Path) -> Result<()> {
    refuse(beside, path, |itself| matches!(itself, Premises::Store | Premises::Partition))
}

/// An error when a repair of the store in `root` would put copies where they are not to lie: each is put into a directory in `copies` that
/// is called as that of its file.
pub(crate) fn refuse_copies(root: &Directory, copies: &Path) -> Result<()> {
    refuse_premises(root, copies)?;
    let there = root.at(copies);
    if !there.exists()? {
        return Ok(());
    }
    let mut places: BTreeSet<_> = root.list()?.into_iter().map(|entry| entry.name).collect();
    places.insert(Copies::place_of(root).to_owned());
    for entry in there.list()?.iter().filter(|entry| entry.kind != EntryKind::File) {
        let place = there.join(&entry.name);
        // One that is of the store itself is refused when a copy is to lie there.
        if places.contains(&entry.name) && root.leads(&place)? != Leads::Inside {
            refuse_premises(root, &place)?;
        }
    }
    Ok(())
}

fn refuse(beside: &Directory, path: &Path, itself: fn(Premises) -> bool) -> Result<()> {
    for around in beside.around(path)? {
        let is_below = beside.elsewhere(path).map_or(true, |there| there.path() != around.path());
        let sees: Sees = if is_below { as_seen } else { std::convert::identity };
        let Some(premises) = Premises::of(&around, sees)? else { continue };
        if is_below || itself(premises) {
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
