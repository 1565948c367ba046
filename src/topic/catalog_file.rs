//! The store's topic file on disk.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::Catalog;
use crate::io::{Directory, PublishFailure, caught};
use crate::live::Owner;

/// Its name in the store's directory.
pub(super) const CATALOG_FILE: &str = "annals.topics";
/// More than ten million topics need.
const MOST_BYTES: usize = 1 << 30;

/// The catalog as stored. Replaced whole, durably, before a change is visible in memory.
#[derive(Debug)]
pub(super) struct CatalogFile {
    root: Directory,
    catalog: Catalog,
    /// Deleted topics whose files are gone, durably. The file forgets them with its next change.
    gone: BTreeSet<u128>,
    /// Why it takes no changes any more: the store is closed, or nobody knows which content a crash would leave.
    refusal: Option<Error>,
    /// Tells other processes of changes.
    owner: Option<Arc<Owner>>,
}

impl CatalogFile {
    /// Reads the file; `None` when there is none.
    pub(super) fn read(root: &Directory) -> Result<Option<Self>> {
        let Some(bytes) = root.read_file(CATALOG_FILE, MOST_BYTES)? else { return Ok(None) };
        let path = root.join(CATALOG_FILE);
        let catalog = Catalog::decode(&bytes).map_err(|malformed| malformed.in_file(&path))?;
        Ok(Some(Self { root: root.clone(), catalog, gone: BTreeSet::new(), refusal: None, owner: None }))
    }

    /// Writes the file of a new store.
    pub(super) fn create(root: &Directory, catalog: Catalog) -> Result<Self> {
        root.replace_file(CATALOG_FILE, &catalog.encode())?;
        Ok(Self { root: root.clone(), catalog, gone: BTreeSet::new(), refusal: None, owner: None })
    }

    /// The same file, of whose changes other processes are told.
    pub(super) fn shown_by(self, owner: Option<Arc<Owner>>) -> Self {
        Self { owner, ..self }
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The files of deleted topics are gone, durably: the list forgets them at once, or files that somebody puts back would
    /// pass for what a deletion has left. Should that fail, or panic, the next change does it, or the close.
    pub(super) fn forget_deleted(&mut self, topics: impl IntoIterator<Item = u128>) {
        self.gone.extend(topics);
        if !self.gone.is_empty() {
            // The deletion itself is done.
            drop(caught(|| self.change(|_| {})));
        }
    }

    /// An error when it takes no changes any more, or in a child of a fork. To be asked before files are made or removed for a change.
    pub(super) fn check(&self) -> Result<()> {
        self.root.check_process()?;
        self.refusal.clone().map_or(Ok(()), Err)
    }

    /// Takes no changes from here on. The first reason stands.
    pub(super) fn refuse(&mut self, reason: Error) {
        self.refusal.get_or_insert(reason);
    }

    /// Stores a changed catalog, durably and all or nothing. After a failed sync, a rename that failed otherwise than by a refusal, or a
    /// panic in one of these, nobody knows which catalog a crash would leave: then it is [`Poisoned`](Error::Poisoned) until it is read again.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Catalog)) -> Result<()> {
        self.check()?;
        let mut catalog = self.catalog.clone();
        change(&mut catalog);
        catalog.deleted.retain(|topic| !self.gone.contains(topic));
        let bytes = catalog.encode();
        if bytes.len() > MOST_BYTES {
            return Err(Error::invalid("the store would have more topics than its list can hold"));
        }
        self.root.prepare(CATALOG_FILE, &bytes)?;
        // An error, so that whoever asked for the change goes by it: what was deleted on the disk must not go on in memory.
        let published = caught(|| Ok(self.root.publish(CATALOG_FILE)));
        let published = published.unwrap_or_else(|panic| Err(PublishFailure::Unknown(panic)));
        published.map_err(|failure| match failure {
            PublishFailure::Refused(error) => error,
            PublishFailure::Unknown(error) => {
                let poisoned = Error::Poisoned { partition: None, cause: Arc::new(error) };
                self.refuse(poisoned.clone());
                poisoned
            }
        })?;
        self.catalog = catalog;
        self.gone.clear();
        self.owner.iter().for_each(|owner| owner.catalog_changed());
        Ok(())
    }
}
