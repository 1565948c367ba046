//! All topics of a store: the catalog, the directories, the open partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    Catalog, CatalogTopic, Identity, check_topic_name, collision_key, parse_partition_dir_name,
    partition_dir_name,
};
use crate::io::{Clock, Directory, EntryKind, random_id};
use crate::partition::{Agenda, Log, LogContext, LogOptions, RecoveryReport};
use crate::sync::{Mutex, RwLock};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::config::TopicConfig;
use crate::topic::partition::Partition;
use crate::topic::settings::{cleanup_policy, log_config, normalized};
use crate::topic::topic::{Current, Topic};
use crate::types::TopicPartition;

/// What every partition of the store shares.
#[derive(Debug, Clone)]
pub(crate) struct TopicContext {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) agenda: Arc<Agenda>,
    pub(crate) options: LogOptions,
}

/// More partitions than any process could keep open.
pub(super) const MOST_PARTITIONS: u32 = 100_000;

/// The topics of one store. A change is stored before it is visible.
#[derive(Debug)]
pub(crate) struct Topics {
    root: Directory,
    context: TopicContext,
    /// Held while topics are created, changed or deleted.
    catalog: Mutex<CatalogFile>,
    by_name: RwLock<BTreeMap<Arc<str>, Topic>>,
    recovery: Vec<RecoveryReport>,
}

impl Topics {
    /// Opens every partition of every topic in the catalog. Changes no byte unless all of them open.
    pub(crate) fn open(root: Directory, context: TopicContext) -> Result<Self> {
        let catalog = match CatalogFile::read(&root)? {
            Some(catalog) => catalog,
            None => {
                refuse_lost_catalog(&root)?;
                root.sync_above()?;
                CatalogFile::create(&root, new_catalog())?
            }
        };
        let unlisted = unlisted(&root, catalog.catalog())?;
        unlisted.iter().try_for_each(|directory| check_removable(directory, catalog.catalog(), &root))?;
        let mut topics = Self {
            root,
            context,
            catalog: Mutex::new(catalog),
            by_name: RwLock::default(),
            recovery: Vec::new(),
        };
        let listed = topics.catalog.get_mut().catalog().clone();
        let mut opened = BTreeMap::new();
        for (name, entry) in &listed.topics {
            let (topic, reports) = topics.open_topic(listed.store, name, entry)?;
            topics.recovery.extend(reports);
            opened.insert(Arc::clone(topic.shared_name()), topic);
        }
        topics.by_name = RwLock::new(opened);
        Ok(topics)
    }

    fn open_topic(
        &self,
        store: u128,
        name: &str,
        entry: &CatalogTopic,
    ) -> Result<(Topic, Vec<RecoveryReport>)> {
        let config = TopicConfig::from_values(entry.partitions, entry.config.clone());
        let name: Arc<str> = name.into();
        let mut partitions = Vec::new();
        let mut reports = Vec::new();
        for number in 0..entry.partitions {
            let identity = Identity { store, topic: entry.id, partition: number };
            let (partition, report) = self.open_partition(&name, identity, &config)?;
            partitions.push(partition);
            reports.push(report);
        }
        Ok((Topic::new(name, entry.id, Current { config, partitions }), reports))
    }

    fn open_partition(
        &self,
        topic: &Arc<str>,
        identity: Identity,
        config: &TopicConfig,
    ) -> Result<(Partition, RecoveryReport)> {
        let place = TopicPartition::new(Arc::clone(topic), identity.partition);
        let context = LogContext {
            label: place.to_string().into(),
            directory: self.root.child(&partition_dir_name(topic, identity.partition)),
            identity,
            clock: Arc::clone(&self.context.clock),
            agenda: Arc::clone(&self.context.agenda),
            options: self.context.options,
        };
        let (log, report) = Log::open(context, log_config(config)?)?;
        Ok((Partition::new(place, log), report))
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

    /// What opening each partition found.
    pub(crate) fn recovery(&self) -> &[RecoveryReport] {
        &self.recovery
    }

    /// All topics in the order of their names.
    pub(crate) fn all(&self) -> Vec<Topic> {
        self.by_name.read().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Topic> {
        let found = self.by_name.read().get(name).cloned();
        found.ok_or_else(|| Error::UnknownTopic { topic: name.to_owned() })
    }

    pub(crate) fn create(&self, name: &str, config: &TopicConfig) -> Result<Topic> {
        check_topic_name(name).map_err(|reason| Error::InvalidName {
            kind: "topic",
            name: name.to_owned(),
            reason,
        })?;
        let entry = new_entry(config)?;
        let mut catalog = self.catalog.lock();
        catalog.check()?;
        let collides = |other: &&String| collision_key(other) == collision_key(name);
        if let Some(existing) = catalog.catalog().topics.keys().find(collides) {
            return Err(Error::TopicExists { topic: name.to_owned(), existing: existing.clone() });
        }
        let store = catalog.catalog().store;
        let listed = catalog.catalog().clone();
        self.create_partitions(name, (&listed, &entry), 0)?;
        // Opened before it is listed: a failure to open leaves no topic that exists and cannot be used.
        let (topic, _) = self.open_topic(store, name, &entry)?;
        catalog.change(|catalog| _ = catalog.topics.insert(name.to_owned(), entry))?;
        self.by_name.write().insert(Arc::clone(topic.shared_name()), topic.clone());
        Ok(topic)
    }

    /// The topic of that name, created if there is none. One that is there must have the same number of partitions and the
    /// same policy, as far as `config` sets them.
    pub(crate) fn ensure(&self, name: &str, config: &TopicConfig) -> Result<Topic> {
        let topic = match self.get(name) {
            Ok(topic) => topic,
            Err(_) => match self.create(name, config) {
                // Another thread was faster.
                Err(Error::TopicExists { existing, .. }) if existing == name => self.get(name)?,
                other => return other,
            },
        };
        let mismatch = |setting, found: String, expected: String| {
            Err(Error::TopicMismatch { topic: name.to_owned(), setting, found, expected })
        };
        let (found, expected) = (topic.partition_count(), config.partition_count());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return mismatch("partitions", found.to_string(), expected.to_string());
        }
        let (found, expected) = (topic.cleanup_policy(), cleanup_policy(config));
        if config.values().contains_key("cleanup.policy") && found != expected {
            return mismatch("cleanup.policy", found.to_string(), expected.to_string());
        }
        Ok(topic)
    }

    /// Adds partitions so that there are `count`.
    pub(crate) fn add_partitions(&self, name: &str, count: u32) -> Result<Topic> {
        let mut catalog = self.catalog.lock();
        catalog.check()?;
        let topic = self.get(name)?;
        let current = topic.current();
        let before = topic.partition_count();
        if count <= before || count > MOST_PARTITIONS {
            let range = format!("more than the {before} there are, at most {MOST_PARTITIONS}");
            return Err(Error::config("partitions", count, range));
        }
        let values = current.config.values().clone();
        let entry = CatalogTopic { id: topic.id(), partitions: count, config: values.clone() };
        let listed = catalog.catalog().clone();
        self.create_partitions(name, (&listed, &entry), before)?;
        let config = TopicConfig::from_values(count, values);
        let mut partitions = current.partitions.clone();
        for number in before..count {
            let identity = Identity { store: listed.store, topic: topic.id(), partition: number };
            partitions.push(self.open_partition(topic.shared_name(), identity, &config)?.0);
        }
        catalog.change(|catalog| _ = catalog.topics.insert(name.to_owned(), entry))?;
        topic.replace(Current { config, partitions });
        Ok(topic)
    }

    /// Changes settings; those not given stay. The number of partitions is not changed here.
    pub(crate) fn alter(&self, name: &str, changes: &TopicConfig) -> Result<Topic> {
        let mut catalog = self.catalog.lock();
        let topic = self.get(name)?;
        let current = topic.current();
        let overlaid = current.config.clone().overlaid(changes);
        let config = TopicConfig::from_values(topic.partition_count(), normalized(&overlaid)?);
        let for_logs = log_config(&config)?;
        let values = config.values().clone();
        catalog.change(|catalog| {
            if let Some(entry) = catalog.topics.get_mut(name) {
                entry.config = values;
            }
        })?;
        current.partitions.iter().for_each(|partition| partition.log().set_config(for_logs.clone()));
        topic.replace(Current { config, partitions: current.partitions.clone() });
        Ok(topic)
    }

    /// Deletes a topic and its files. Handles of it fail from here on; records that were fetched stay readable.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        let mut catalog = self.catalog.lock();
        let topic = self.get(name)?;
        catalog.check()?;
        let stored = catalog.change(|catalog| {
            catalog.topics.remove(name);
            catalog.deleted.insert(topic.id());
        });
        if stored.is_err() && catalog.check().is_ok() {
            return stored;
        }
        // Also when nobody knows: a topic that the next open may remove must acknowledge nothing more.
        self.by_name.write().remove(name);
        let partitions = topic.partitions();
        let gone = Error::UnknownTopic { topic: name.to_owned() };
        partitions.iter().for_each(|partition| partition.log().retire(gone.clone()));
        stored?;
        for partition in &partitions {
            Log::remove_directory(&self.root.child(&partition_dir_name(name, partition.number())))?;
        }
        self.root.sync()?;
        catalog.forget_deleted(topic.id());
        Ok(())
    }

    /// Makes the files of partitions `from..`, durably. They belong to no topic until the catalog says so.
    fn create_partitions(
        &self,
        name: &str,
        (listed, entry): (&Catalog, &CatalogTopic),
        from: u32,
    ) -> Result<()> {
        let config = TopicConfig::from_values(entry.partitions, entry.config.clone());
        let for_logs = log_config(&config)?;
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
            Log::create(&directory, identity, &for_logs)
        };
        let outcome = (from..entry.partitions).try_for_each(&mut make).and_then(|()| self.root.sync());
        if outcome.is_err() {
            // What cannot be removed now is in no catalog, and goes at the next open.
            made.iter().for_each(|directory| drop(directory.remove_all()));
        }
        outcome
    }

    /// Closes every partition. The first failure is returned; the others are closed all the same.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = Error::StoreClosed { path: self.root.path().to_path_buf() };
        // The directory is somebody else's from here on: not even a first commit may make a topic in it.
        self.catalog.lock().refuse(closed.clone());
        let partitions: Vec<_> = self.all().into_iter().flat_map(|topic| topic.partitions()).collect();
        let outcomes: Vec<_> = partitions.iter().map(|partition| partition.log().close()).collect();
        partitions.iter().for_each(|partition| partition.log().retire(closed.clone()));
        outcomes.into_iter().collect()
    }
}

/// What a walk over all topics makes of one: nothing if it was deleted since the list was made.
pub(crate) fn unless_deleted<T>(outcome: Result<T>) -> Option<Result<T>> {
    match outcome {
        Err(Error::UnknownTopic { .. }) => None,
        outcome => Some(outcome),
    }
}

fn new_entry(config: &TopicConfig) -> Result<CatalogTopic> {
    let partitions = config.partition_count().unwrap_or(1);
    if !(1..=MOST_PARTITIONS).contains(&partitions) {
        return Err(Error::config("partitions", partitions, format!("from 1 to {MOST_PARTITIONS}")));
    }
    let entry = CatalogTopic { id: random_id(), partitions, config: normalized(config)? };
    log_config(&TopicConfig::from_values(partitions, entry.config.clone()))?;
    Ok(entry)
}

/// A directory that holds partitions but no catalog has lost its catalog: beginning a new one would hide the data.
fn refuse_lost_catalog(root: &Directory) -> Result<()> {
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

/// The list of a new store.
pub(super) fn new_catalog() -> Catalog {
    Catalog { store: random_id(), topics: BTreeMap::new(), deleted: BTreeSet::new() }
}

/// Directories that are named like a partition which the catalog does not list.
fn unlisted(root: &Directory, listed: &Catalog) -> Result<Vec<Directory>> {
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
fn check_removable(directory: &Directory, listed: &Catalog, root: &Directory) -> Result<()> {
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
