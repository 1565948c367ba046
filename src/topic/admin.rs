//! What changes the list of topics: creating, enlarging, altering and deleting them, one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Catalog, CatalogTopic, Identity, MOST_PARTITIONS, check_topic_name, collision_key};
use crate::io::{caught, in_drop_each, random_id};
use crate::topic::catalog_file::CatalogFile;
use crate::topic::config::TopicConfig;
use crate::topic::directories::remove_made;
use crate::topic::partition::Partition;
use crate::topic::settings::Settings;
use crate::topic::topic::{Current, Topic};
use crate::topic::topics::Topics;

/// So many parts of the index files of other topics go one after the other, where a disk is full.
const PARTS: usize = 4;

impl Topics {
    pub(crate) fn create(&self, name: &str, config: &TopicConfig) -> Result<Topic> {
        let mut created = self.create_all(&[(name, config)])?;
        created.pop().ok_or_else(|| Error::invalid("no topic was created"))
    }

    /// Creates topics, all or none: the list of topics is replaced once.
    pub(crate) fn create_all(&self, asked: &[(&str, &TopicConfig)]) -> Result<Vec<Topic>> {
        self.check_process()?;
        let mut new = Vec::with_capacity(asked.len());
        for (name, config) in asked {
            new.push((*name, entry_of(random_id(), &Settings::given(partitions_of(config)?, config)?)));
        }
        let mut catalog = self.catalog.lock();
        catalog.check()?;
        self.check_new_names(asked.iter().map(|(name, _)| *name), catalog.catalog())?;
        let made =
            self.create_partitions(new.iter().map(|(name, entry)| (*name, entry, 0)), catalog.catalog())?;
        // Opened before they are listed: a failure to open leaves no topic that exists and cannot be used.
        let store = catalog.catalog().store;
        let open = |(name, entry): &(&str, CatalogTopic)| {
            self.open_topic(store, name, entry).map(|(topic, _)| topic).map_err(|unopened| unopened.error)
        };
        let topics: Result<Vec<_>> = new.iter().map(open).collect();
        let listed = topics.and_then(|topics| {
            let entries = new.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone()));
            catalog.change(|catalog| catalog.topics.extend(entries)).map(|()| topics)
        });
        if listed.is_err() && catalog.check().is_ok() {
            remove_made(&made);
        }
        let topics = listed?;
        let by_name = topics.iter().map(|topic| (Arc::clone(topic.shared_name()), topic.clone()));
        self.by_name.write().extend(by_name);
        Ok(topics)
    }

    /// The topic of that name, created if there is none. One that is there must be as `config` says, as far as it says
    /// anything.
    pub(crate) fn ensure(&self, name: &str, config: &TopicConfig) -> Result<Topic> {
        self.check_process()?;
        let topic = loop {
            match self.get(name) {
                Ok(topic) => break topic,
                Err(Error::UnknownTopic { .. }) => {}
                Err(broken) => return Err(broken),
            }
            match self.create(name, config) {
                // Another thread was faster, and a third may delete it before it is found.
                Err(Error::TopicExists { existing, .. }) if existing == name => {}
                other => return other,
            }
        };
        let mismatch = |setting, found: String, expected: String| {
            Err(Error::TopicMismatch { topic: name.to_owned(), setting, found, expected })
        };
        let (found, expected) = (topic.partition_count(), config.partition_count());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return mismatch("partitions", found.to_string(), expected.to_string());
        }
        let current = topic.settings();
        match current.first_difference(config)? {
            Some((setting, expected)) => mismatch(setting, current.text().get(setting).to_owned(), expected),
            None => Ok(topic),
        }
    }

    /// Adds partitions so that there are `count`.
    pub(crate) fn add_partitions(&self, name: &str, count: u32) -> Result<Topic> {
        self.check_process()?;
        let mut catalog = self.catalog.lock();
        catalog.check()?;
        let topic = self.get(name)?;
        let current = topic.current();
        let before = topic.partition_count();
        if count <= before || count > MOST_PARTITIONS {
            let range = format!("more than the {before} there are, at most {MOST_PARTITIONS}");
            return Err(Error::config("partitions", count, range));
        }
        if current.settings.log().key_index {
            let why = "no more: streams stay in the partition of their key (annals.key.index=true)";
            return Err(Error::config("partitions", count, why));
        }
        let settings = Arc::new(current.settings.grown(count)?);
        let entry = entry_of(topic.id(), &settings);
        let made = self.create_partitions([(name, &entry, before)], catalog.catalog())?;
        let store = catalog.catalog().store;
        let open = |number| {
            let identity = Identity { store, topic: topic.id(), partition: number };
            self.open_partition(topic.shared_name(), identity, &settings).map(|(partition, _)| partition)
        };
        let opened: Result<Vec<_>> = (before..count).map(open).collect();
        let listed = opened.and_then(|opened| {
            catalog.change(|catalog| _ = catalog.topics.insert(name.to_owned(), entry)).map(|()| opened)
        });
        if listed.is_err() && catalog.check().is_ok() {
            remove_made(&made);
        }
        let partitions = current.partitions.iter().cloned().chain(listed?).collect();
        topic.replace(Current { settings, partitions });
        Ok(topic)
    }

    /// Changes settings; those not given stay. The number of partitions is not changed here, and another one is refused.
    pub(crate) fn alter(&self, name: &str, changes: &TopicConfig) -> Result<Topic> {
        self.check_process()?;
        let mut catalog = self.catalog.lock();
        let topic = self.get(name)?;
        let partitions = topic.partition_count();
        if let Some(asked) = changes.partition_count().filter(|asked| *asked != partitions) {
            let range = format!("{partitions}, as many as there are: Store::add_partitions adds some");
            return Err(Error::config("partitions", asked, range));
        }
        let current = topic.current();
        let settings = Arc::new(current.settings.altered(changes)?);
        let is_indexed_now = settings.log().key_index && !current.settings.log().key_index;
        let is_empty = |partition: &Partition| partition.next_offset() <= partition.start();
        if is_indexed_now && current.settings.is_grown() && !current.partitions.iter().all(is_empty) {
            let range = "false here: partitions were added, so the records of a key may be in several; a new topic can be indexed";
            return Err(Error::config("annals.key.index", true, range));
        }
        let values = settings.values();
        self.change_with_room(&mut catalog, name, |catalog| {
            if let Some(entry) = catalog.topics.get_mut(name) {
                entry.config.clone_from(&values);
            }
        })?;
        let for_logs = Arc::clone(settings.log());
        topic.replace(Current { settings, partitions: current.partitions.clone() });
        // After that: whoever had asked for the old settings is done, or has noticed, when this returns. What one of them has in memory may be
        // written first: a panic in that keeps no other from its settings.
        in_drop_each(&current.partitions, |partition| partition.log().set_config(Arc::clone(&for_logs)));
        Ok(topic)
    }

    /// Deletes a topic and its files, also one that could not be opened. Handles of it fail from here on; records that were
    /// fetched stay readable. Files that cannot be removed now are [left](Self::remove_leftovers) for later.
    ///
    /// After an error the topic is there as before, unless the list is poisoned: then nobody knows.
    pub(crate) fn delete(&self, name: &str) -> Result<()> {
        self.check_process()?;
        let mut catalog = self.catalog.lock();
        let store = catalog.catalog().store;
        let Some(entry) = catalog.catalog().topics.get(name).cloned() else {
            return Err(Error::UnknownTopic { topic: name.to_owned(), was_deleted: false });
        };
        catalog.check()?;
        let strike = |catalog: &mut Catalog| {
            catalog.topics.remove(name);
            catalog.deleted.insert(entry.id);
        };
        let stored = self.change_with_room(&mut catalog, name, strike);
        if stored.is_err() && catalog.check().is_ok() {
            return stored;
        }
        // Also when nobody knows: a topic that the next open may remove must acknowledge nothing more.
        match &stored {
            Ok(()) => _ = self.broken.write().remove(name),
            // Before it is missing: what is for it waits for the next life, and does not go nowhere.
            Err(unknown) => _ = self.broken.write().insert(name.into(), unknown.clone()),
        }
        let topic = self.by_name.write().remove(name);
        let gone = stored.as_ref().err().cloned();
        // Not deleted, or whatever rests on what it has would be taken for done: a power cut may bring it back.
        let gone = gone.unwrap_or_else(|| Error::UnknownTopic { topic: name.to_owned(), was_deleted: true });
        let partitions = topic.map(|topic| topic.partitions()).unwrap_or_default();
        partitions.iter().for_each(|partition| partition.log().retire(gone.clone()));
        stored?;
        let identity = Identity { store, topic: entry.id, partition: 0 };
        // It is deleted, whatever comes of its files.
        let remove = || self.remove_partitions(name, (identity, entry.partitions), catalog.catalog());
        match caught(remove) {
            Ok(()) => catalog.forget_deleted([entry.id]),
            Err(_) => self.note_leftover(name, identity, entry.partitions),
        }
        Ok(())
    }
}

/// A topic that is there and could not be opened.
#[derive(Debug)]
pub(crate) struct NotOpened {
    pub(crate) name: Arc<str>,
    /// None of one that the list does not name, of which a directory with records is there.
    pub(crate) id: Option<u128>,
    pub(crate) why: Error,
}

impl Topics {
    /// All of them.
    pub(crate) fn not_opened(&self) -> Vec<NotOpened> {
        let broken = self.broken.read().clone();
        if broken.is_empty() {
            return Vec::new();
        }
        let listed = self.catalog.lock();
        let id = |name: &str| listed.catalog().topics.get(name).map(|entry| entry.id);
        broken.into_iter().map(|(name, why)| NotOpened { id: id(&name), name, why }).collect()
    }
}

impl Topics {
    /// Changes the list, which needs room, on a disk that may be full and is to be freed by it: then index files go, which can be made again.
    /// Those of that topic first, and the others a part at a time: what somebody else takes of the room is not all of it.
    fn change_with_room(
        &self,
        catalog: &mut CatalogFile,
        name: &str,
        change: impl Fn(&mut Catalog),
    ) -> Result<()> {
        let mut stored = catalog.change(&change);
        let is_full = |stored: &Result<()>| stored.as_ref().is_err_and(Error::is_disk_full);
        if !is_full(&stored) || catalog.check().is_err() {
            return stored;
        }
        let (of_topic, others): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|topic| topic.name() == name);
        let parts = others.chunks(others.len().div_ceil(PARTS).max(1));
        for part in [of_topic.as_slice()].into_iter().chain(parts) {
            for topic in part {
                topic.partitions().iter().for_each(|partition| partition.log().give_up_indexes());
            }
            stored = catalog.change(&change);
            if !is_full(&stored) || catalog.check().is_err() {
                break;
            }
        }
        stored
    }
}

impl Topics {
    /// An error when not all topics of these names can be created.
    pub(super) fn check_new_names<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str> + Clone,
        listed: &Catalog,
    ) -> Result<()> {
        check_unlisted(names.clone(), listed)?;
        // Records that the list does not name are of a topic that it has lost: one that took its name would hide them.
        let broken = self.broken.read();
        names.into_iter().find_map(|name| broken.get(name)).map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// An error when not all topics of these names can be created.
fn check_unlisted<'a>(names: impl IntoIterator<Item = &'a str>, listed: &Catalog) -> Result<()> {
    let mut new = BTreeMap::new();
    for name in names {
        check_topic_name(name).map_err(|reason| Error::InvalidName {
            kind: "topic",
            name: name.to_owned(),
            reason,
        })?;
        if let Some(twice) = new.insert(collision_key(name), name) {
            return Err(Error::TopicExists { topic: name.to_owned(), existing: twice.to_owned() });
        }
    }
    match listed.topics.keys().find_map(|other| Some((new.get(&collision_key(other))?, other))) {
        Some((name, existing)) => {
            Err(Error::TopicExists { topic: (*name).to_owned(), existing: existing.clone() })
        }
        None => Ok(()),
    }
}

/// How many partitions a new topic gets.
pub(super) fn partitions_of(config: &TopicConfig) -> Result<u32> {
    let partitions = config.partition_count().unwrap_or(1);
    if !(1..=MOST_PARTITIONS).contains(&partitions) {
        return Err(Error::config("partitions", partitions, format!("from 1 to {MOST_PARTITIONS}")));
    }
    Ok(partitions)
}

/// What the catalog lists of a topic with these settings.
pub(super) fn entry_of(id: u128, settings: &Settings) -> CatalogTopic {
    CatalogTopic { id, partitions: settings.partitions(), config: settings.values() }
}
