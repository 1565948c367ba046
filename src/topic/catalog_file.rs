//! The store's topic file on disk.

use crate::error::{Error, Result};
use crate::format::{Catalog, Malformed};
use crate::io::Directory;

/// Its name in the store's directory.
pub(super) const CATALOG_FILE: &str = "annals.topics";
/// More than ten million topics need.
const MOST_BYTES: usize = 1 << 30;

/// The catalog as stored. Replaced whole, durably, before a change is visible in memory.
#[derive(Debug)]
pub(super) struct CatalogFile {
    root: Directory,
    catalog: Catalog,
}

impl CatalogFile {
    /// Reads the file; `None` when there is none.
    pub(super) fn read(root: &Directory) -> Result<Option<Self>> {
        let Some(bytes) = root.read_file(CATALOG_FILE, MOST_BYTES)? else { return Ok(None) };
        let path = root.join(CATALOG_FILE);
        let catalog = Catalog::decode(&bytes).map_err(|malformed| match malformed {
            Malformed::Unsupported { what, found, supported } => {
                Error::UnsupportedFormat { path, what, found, supported }
            }
            Malformed::Invalid { at, why } => {
                Error::Corrupt { path, position: at as u64, offset: None, reason: why.into() }
            }
            Malformed::Truncated { available, .. } => {
                let reason = malformed.to_string();
                Error::Corrupt { path, position: available as u64, offset: None, reason }
            }
        })?;
        Ok(Some(Self { root: root.clone(), catalog }))
    }

    /// Writes the file of a new store.
    pub(super) fn create(root: &Directory, catalog: Catalog) -> Result<Self> {
        root.replace_file(CATALOG_FILE, &catalog.encode())?;
        Ok(Self { root: root.clone(), catalog })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Stores a changed catalog, durably and all or nothing.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Catalog)) -> Result<()> {
        let mut catalog = self.catalog.clone();
        change(&mut catalog);
        self.root.replace_file(CATALOG_FILE, &catalog.encode())?;
        self.catalog = catalog;
        Ok(())
    }
}
