//! What an open of a store has for other processes: what they see of it, and the locks that keep them and the owner apart.

use std::sync::Arc;

use crate::error::Result;
use crate::io::{Directory, OpenMode};
use crate::live::layout::{LIVE_FILE, Life, Stage, head};
use crate::live::locks::Locks;
use crate::live::owner::{Owner, Wish, is_absent};
use crate::live::page::OWNER_BYTE;

/// Whom it shows the store to, and what it locks.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// None where nothing can be shown.
    pub(crate) owner: Option<Arc<Owner>>,
    /// None where no other process can have a group or a queue. One for all who ask, so that all are given back together.
    pub(crate) locks: Option<Locks>,
}

impl Opened {
    /// Begins to show a store. Its directory is locked, and no file of it was changed yet.
    ///
    /// # Errors
    /// That the file of an earlier life cannot be opened: other processes may have groups and queues, by locks that only that file has.
    pub(crate) fn shown(root: &Directory) -> Result<Self> {
        Self::open_as(root, Wish::Show)
    }

    /// Shows nothing of a store, and says so to those who look.
    pub(crate) fn silent(root: &Directory) -> Result<Self> {
        Self::open_as(root, Wish::Hide)
    }

    fn open_as(root: &Directory, wish: Wish) -> Result<Self> {
        if !root.shares_memory() {
            return Ok(Self::default());
        }
        match Owner::begin(root, wish) {
            Ok(Some(owner)) => Ok(Self { locks: Some(owner.locks.clone()), owner: Some(Arc::new(owner)) }),
            // A full disk, no memory to map: that others cannot look is no reason not to open. What they have is theirs all the same.
            Ok(None) | Err(_) => Ok(Self { owner: None, locks: Self::lock_unseen(root)? }),
        }
    }

    /// Where nothing can be shown, a descriptor is enough to keep processes apart, and to say that nothing is shown.
    fn lock_unseen(root: &Directory) -> Result<Option<Locks>> {
        let file = match root.open(LIVE_FILE, OpenMode::ReadWrite) {
            // Nobody has ever attached.
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened?,
        };
        let at = (head::LIFE * size_of::<u64>()) as u64;
        // A file that is shorter was never one to attach to.
        if let Ok(word) = <[u8; 8]>::try_from(file.read(at, size_of::<u64>())?) {
            let life = Life(u64::from_ne_bytes(word)).next();
            // As in `begin`: the word, then the lock.
            file.write_at(&life.at(Stage::Silent).0.to_ne_bytes(), at)?;
        }
        let locks = Locks::new(file);
        // A child of an owner that died may have it still; the directory's lock says who the owner is.
        _ = locks.try_lock(OWNER_BYTE)?;
        Ok(Some(locks))
    }
}
