//! The directories of partitions, beside what the catalog lists: made before it lists them, removed after it does not.

use crate::error::{Error, Result};
use crate::format::{Catalog, CatalogTopic, Identity, parse_partition_dir_name, partition_dir_name};
use crate::io::{Directory, EntryKind, caught};
use crate::log::{Log, RecoveryReport};
use crate::topic::catalog_file::CATALOG_FILE;
use crate::topic::internal::InternalTopic;
use crate::topic::topics::Topics;
use crate::types::TopicPartition;

impl Topics {
    /// Makes the directories of new partitions, durably: of each topic those from a number on. They belong to no topic until the catalog
    /// says so. Whatever is in them is made by the first append. Says which were made.
    pub(super) fn create_partitions<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a str, &'a CatalogTopic, u32)>,
        listed: &Catalog,
    ) -> Result<Vec<Directory>> {
        self.make_partitions(topics, listed, &mut |_, _| Ok(()))
    }

    /// The same, where `fill` makes the files of each.
    pub(super) fn make_partitions<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a str, &'a CatalogTopic, u32)>,
        listed: &Catalog,
        fill: &mut dyn FnMut(&Directory, Identity) -> Result<()>,
    ) -> Result<Vec<Directory>> {
        let mut made = Vec::new();
        let mut make = |name: &str, entry: &CatalogTopic, number: u32| {
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
        let mut of_all = topics.into_iter().flat_map(|(name, entry, from)| {
            (from..entry.partitions).map(move |number| (name, entry, number))
        });
        let outcome = of_all.try_for_each(|(name, entry, number)| make(name, entry, number));
        if let Err(error) = outcome.and_then(|()| self.root.sync()) {
            remove_made(&made);
            return Err(error);
        }
        Ok(made)
    }

    /// Removes directories that a crash left between two steps of a creation or a deletion: they carry this store's id and
    /// are in no catalog, and they belong to a topic that was deleted or hold no record. Anything else stays. What cannot be
    /// removed, and what holds records that nobody deleted, is named by [`recovery`](Self::recovery).
    pub(crate) fn clear_leftovers(&self) -> Result<()> {
        let mut catalog = self.catalog.lock();
        let mut gone = catalog.catalog().deleted.clone();
        for Unlisted { directory, topic_partition } in unlisted(&self.root, catalog.catalog())? {
            let mut identity = Log::identity_in(&directory);
            if matches!(identity, Ok(None)) && !gone.is_empty() {
                // What said whose it is may have been removed by a life that was cut off before the directory itself went: it must
                // not come back when the list knows nothing of it any more.
                identity = directory.sync().map(|()| None);
            }
            let identity = match identity {
                Ok(identity) => identity,
                Err(error) => {
                    // It may be of any of them.
                    gone.clear();
                    self.note_unremoved(topic_partition, error);
                    continue;
                }
            };
            if let Err(error) = remove_if_ours(&directory, catalog.catalog(), &self.root) {
                identity.iter().for_each(|identity| _ = gone.remove(&identity.topic));
                self.note_unremoved(topic_partition, error);
            }
        }
        if !gone.is_empty() {
            self.root.sync()?;
        }
        catalog.forget_deleted(gone);
        Ok(())
    }

    /// What is wrong with it may have been named when the list was read.
    fn note_unremoved(&self, topic_partition: TopicPartition, error: Error) {
        let is_named = |one: &RecoveryReport| one.topic_partition == topic_partition && one.failure.is_some();
        if !self.recovery().iter().any(is_named) {
            self.note_recovery(RecoveryReport::failed(topic_partition, error));
        }
    }

    /// The directories of a deleted topic, which could not be removed.
    pub(super) fn note_leftover(&self, name: &str, topic: Identity, partitions: u32) {
        self.leftovers.lock().insert(topic.topic, Leftover { name: name.to_owned(), topic, partitions });
    }

    /// Removes what deletions in this life could not, and says for each topic what came of it.
    pub(crate) fn remove_leftovers(&self) -> Vec<Removed> {
        if self.leftovers.lock().is_empty() {
            return Vec::new();
        }
        // First this one, as who deletes does.
        let mut catalog = self.catalog.lock();
        if catalog.check().is_err() {
            // The next open does it.
            return Vec::new();
        }
        let left: Vec<_> = self.leftovers.lock().values().cloned().collect();
        let mut remove = |Leftover { name, topic, partitions }: Leftover| {
            let removed = caught(|| self.remove_partitions(&name, (topic, partitions), catalog.catalog()));
            if removed.is_ok() {
                self.leftovers.lock().remove(&topic.topic);
                catalog.forget_deleted([topic.topic]);
            }
            Removed { place: TopicPartition::new(name, 0), topic: topic.topic, outcome: removed }
        };
        left.into_iter().map(&mut remove).collect()
    }

    /// Removes the directories of a topic that the catalog does not list any more. The first failure is returned; the others
    /// are removed all the same.
    pub(super) fn remove_partitions(
        &self,
        name: &str,
        (topic, partitions): (Identity, u32),
        listed: &Catalog,
    ) -> Result<()> {
        // Another topic may have the name by now.
        let others = listed.topics.get(name).map_or(0, |other| other.partitions);
        let mut outcome = Ok(());
        for partition in 0..partitions {
            let directory = self.root.child(&partition_dir_name(name, partition));
            let identity = Identity { partition, ..topic };
            outcome = outcome.and(remove_deleted(&directory, identity, partition < others));
        }
        self.figures().removals.add(1);
        outcome.and(self.root.sync())
    }
}

/// Removes directories of partitions that came to no topic. What cannot be removed now is in no catalog, and taken by
/// whoever creates a topic of the name.
pub(super) fn remove_made(made: &[Directory]) {
    made.iter().for_each(|directory| drop(Log::remove_directory(directory)));
}

/// What came of a try to remove what a deleted topic has left.
#[derive(Debug)]
pub(crate) struct Removed {
    /// Its first partition.
    pub(crate) place: TopicPartition,
    /// Its id.
    pub(crate) topic: u128,
    pub(crate) outcome: Result<()>,
}

/// Directories of a deleted topic that are still there.
#[derive(Debug, Clone)]
pub(super) struct Leftover {
    name: String,
    topic: Identity,
    partitions: u32,
}

/// Removes the directory of a partition whose topic was deleted. One that holds a partition of another topic, or of another
/// store, is not what was deleted, whatever its name; one that does not say whose it is may be of another that is listed.
fn remove_deleted(directory: &Directory, deleted: Identity, is_listed: bool) -> Result<()> {
    if !directory.exists()? {
        return Ok(());
    }
    match Log::identity_in(directory)? {
        Some(found) if (found.store, found.topic) != (deleted.store, deleted.topic) => Ok(()),
        // What said so may come back until then.
        None if is_listed => directory.sync(),
        _ => Log::remove_directory(directory),
    }
}

/// A directory that holds partitions but no catalog has lost its catalog: beginning a new one would hide the data.
pub(super) fn refuse_lost_catalog(root: &Directory) -> Result<()> {
    for entry in root.list()?.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        if parse_partition_dir_name(&entry.name).is_some()
            && Log::identity_in(&root.child(&entry.name))?.is_some()
        {
            let reason = format!("the file is missing, but {} holds a partition", entry.name);
            return Err(Error::corrupt(root.join(CATALOG_FILE), 0, None, reason));
        }
    }
    Ok(())
}

/// A partition that holds records, and that the list neither names nor has deleted: it stays as it is.
pub(super) struct Stray {
    pub(super) topic_partition: TopicPartition,
    pub(super) why: Error,
}

/// All of them. One of the store's own is an error: with another list nobody would know what was read.
pub(super) fn strays(root: &Directory, listed: &Catalog) -> Result<Vec<Stray>> {
    let mut found = Vec::new();
    for Unlisted { directory, topic_partition } in unlisted(root, listed)? {
        let Err(why) = check_removable(&directory, listed, root) else { continue };
        if InternalTopic::find(topic_partition.topic()).is_some() {
            return Err(why);
        }
        found.push(Stray { topic_partition, why });
    }
    Ok(found)
}

/// A directory that is named like a partition which the catalog does not list.
struct Unlisted {
    directory: Directory,
    topic_partition: TopicPartition,
}

/// All of them.
fn unlisted(root: &Directory, listed: &Catalog) -> Result<Vec<Unlisted>> {
    let mut found = Vec::new();
    for entry in root.list()?.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        let Some(name) = parse_partition_dir_name(&entry.name) else { continue };
        if listed.topics.get(name.topic).is_none_or(|topic| name.partition >= topic.partitions) {
            let topic_partition = TopicPartition::new(name.topic, name.partition);
            found.push(Unlisted { directory: root.child(&entry.name), topic_partition });
        }
    }
    Ok(found)
}

/// An error when a partition of this store is not listed, was not deleted, and had records: then the list is an earlier
/// one, or somebody put the partition there, and to clear up would destroy them.
fn check_removable(directory: &Directory, listed: &Catalog, root: &Directory) -> Result<()> {
    let Some(identity) = Log::identity_in(directory)? else { return Ok(()) };
    if identity.store != listed.store
        || listed.deleted.contains(&identity.topic)
        || !Log::had_records(directory)?
    {
        return Ok(());
    }
    let reason = format!(
        "it does not list the partition in {}, which holds records and was not deleted: is the list an earlier one, or was the partition put back?",
        directory.path().display()
    );
    Err(Error::corrupt(root.join(CATALOG_FILE), 0, None, reason))
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
