//! The directories of partitions, beside what the catalog lists: made before it lists them, removed after it does not.

use crate::error::{Error, Result};
use crate::format::{Catalog, CatalogTopic, Identity, parse_partition_dir_name, partition_dir_name};
use crate::io::{Directory, EntryKind};
use crate::log::Log;
use crate::topic::catalog_file::CATALOG_FILE;
use crate::topic::settings::Settings;
use crate::topic::topics::Topics;

impl Topics {
    /// Makes the files of partitions `from..`, durably. They belong to no topic until the catalog says so.
    pub(super) fn create_partitions(
        &self,
        name: &str,
        (listed, entry): (&Catalog, &CatalogTopic),
        settings: &Settings,
        from: u32,
    ) -> Result<()> {
        let mut create = |directory: &Directory, identity| Log::create(directory, identity, settings.log());
        self.make_partitions(name, (listed, entry), from, &mut create)
    }

    /// The same, where `fill` makes the files of each.
    pub(super) fn make_partitions(
        &self,
        name: &str,
        (listed, entry): (&Catalog, &CatalogTopic),
        from: u32,
        fill: &mut dyn FnMut(&Directory, Identity) -> Result<()>,
    ) -> Result<()> {
        let mut made = Vec::new();
        let mut make = |number: u32| {
            let directory = self.root.child(&partition_dir_name(name, number));
            if directory.exists()? {
                remove_if_ours(&directory, listed, &self.root)?;
            }
            if directory.exists()? && Log::is_unfinished(&directory)? {
                // A crash came before the files said whose they are.
                Log::remove_directory(&directory)?;
            }
            directory.create()?;
            made.push(directory.clone());
            let identity = Identity { store: listed.store, topic: entry.id, partition: number };
            fill(&directory, identity)
        };
        let outcome = (from..entry.partitions).try_for_each(&mut make).and_then(|()| self.root.sync());
        if outcome.is_err() {
            // What cannot be removed now is in no catalog, and goes at the next open.
            made.iter().for_each(|directory| drop(Log::remove_directory(directory)));
        }
        outcome
    }

    /// Makes the list durable that was found, before anything is done by it, and removes directories that a crash left
    /// between two steps of a creation or a deletion: they carry this store's id and are in no catalog. Anything else that
    /// is not ours stays.
    pub(crate) fn clear_leftovers(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        // What the list says may not be on the disk: whoever wrote it was killed, or failed, before the sync of its name.
        self.root.sync()?;
        for directory in unlisted(&self.root, catalog.catalog())? {
            remove_if_ours(&directory, catalog.catalog(), &self.root)?;
        }
        let deleted = catalog.catalog().deleted.clone();
        if !deleted.is_empty() {
            self.root.sync()?;
        }
        deleted.into_iter().for_each(|topic| catalog.forget_deleted(topic));
        Ok(())
    }
}

/// A directory that holds partitions but no catalog has lost its catalog: beginning a new one would hide the data.
pub(super) fn refuse_lost_catalog(root: &Directory) -> Result<()> {
    for entry in root.list()?.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        if parse_partition_dir_name(&entry.name).is_some()
            && Log::identity_in(&root.child(&entry.name))?.is_some()
        {
            let reason = format!("the file is missing, but {} holds a partition", entry.name);
            return Err(Error::Corrupt { path: root.join(CATALOG_FILE), position: 0, offset: None, reason });
        }
    }
    Ok(())
}

/// Directories that are named like a partition which the catalog does not list.
pub(super) fn unlisted(root: &Directory, listed: &Catalog) -> Result<Vec<Directory>> {
    let mut found = Vec::new();
    for entry in root.list()?.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        let Some(name) = parse_partition_dir_name(&entry.name) else { continue };
        if listed.topics.get(name.topic).is_none_or(|topic| name.partition >= topic.partitions) {
            found.push(root.child(&entry.name));
        }
    }
    Ok(found)
}

/// An error when a partition of this store is not listed, was not deleted, and had records: then the list is an earlier
/// one, and to clear up would destroy them.
pub(super) fn check_removable(directory: &Directory, listed: &Catalog, root: &Directory) -> Result<()> {
    let Some(identity) = Log::identity_in(directory)? else { return Ok(()) };
    if identity.store != listed.store
        || listed.deleted.contains(&identity.topic)
        || !Log::had_records(directory)?
    {
        return Ok(());
    }
    let reason = format!(
        "it does not list the partition in {}, which holds records and was not deleted: is it an earlier file?",
        directory.path().display()
    );
    Err(Error::Corrupt { path: root.join(CATALOG_FILE), position: 0, offset: None, reason })
}

/// Removes a partition directory of this store whose topic no catalog entry has.
fn remove_if_ours(directory: &Directory, listed: &Catalog, root: &Directory) -> Result<()> {
    let Some(identity) = Log::identity_in(directory)? else { return Ok(()) };
    if identity.store == listed.store {
        check_removable(directory, listed, root)?;
        Log::remove_directory(directory)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
