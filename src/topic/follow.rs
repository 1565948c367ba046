//! The topics of a store that another process owns.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{Catalog, CatalogTopic, Ending, Identity};
use crate::io::{Deadline, Directory, Process, pause};
use crate::live::{Guest, OwnerState, not_yet, still_opening};
use crate::locks::{AtomicU64, Mutex, OnceLock, Ordering, RwLock};
use crate::log::{Follow, Judge, Log, OpenTransaction, Watchers};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::internal::TRANSACTIONS;
use crate::topic::partition::Partition;
use crate::topic::settings::Settings;
use crate::topic::topic::{Current, Topic};
use crate::topic::topics::{TopicContext, Topics};
use crate::types::TopicPartition;

/// How long it is waited for an owner that opens a store for the first time.
const LONGEST_OPENING: Duration = Duration::from_secs(10);

/// How the list of topics is looked at.
#[derive(Debug)]
pub(super) struct FollowedList {
    guest: Arc<Guest>,
    topics: Weak<Topics>,
    /// The owner's life and its list, when it was looked at last. Held over a look.
    seen: Mutex<Option<(u64, u64)>>,
    /// How often it was another one.
    changes: AtomicU64,
    judge: Arc<dyn JudgesLeft>,
}

/// Who can tell how transactions end that a dead owner has left open.
pub(crate) trait JudgesLeft: fmt::Debug + Send + Sync {
    /// Says it of those of one partition, in that life; those of which nobody can tell are missing. Changes no byte.
    fn judge(&self, topics: &Arc<Topics>, life: u64, open: &[OpenTransaction]) -> Result<Vec<(i64, Ending)>>;
}

impl Topics {
    /// The topics of a store that another process may own. Each partition is looked at when it is first needed.
    pub(crate) fn attach(
        root: Directory,
        context: TopicContext,
        guest: &Arc<Guest>,
        judge: Arc<dyn JudgesLeft>,
    ) -> Result<Arc<Self>> {
        let catalog = read_first_list(&root, guest)?;
        let attached = Arc::new_cyclic(|topics: &Weak<Self>| Self {
            root,
            context,
            process: Process::current(),
            opened_as: catalog.catalog().store,
            catalog: Mutex::new(catalog),
            by_name: RwLock::default(),
            broken: RwLock::default(),
            leftovers: Mutex::default(),
            recovery: Mutex::default(),
            closed: OnceLock::new(),
            waiting: Watchers::default(),
            followed: Some(FollowedList {
                guest: Arc::clone(guest),
                topics: Weak::clone(topics),
                seen: Mutex::new(None),
                changes: AtomicU64::new(0),
                judge,
            }),
            #[cfg(test)]
            questions: AtomicU64::default(),
        });
        attached.look()?;
        Ok(attached)
    }

    /// Sees the topics that the owner lists now. A store of this process has nothing to look for.
    #[inline]
    pub(crate) fn look(&self) -> Result<()> {
        self.check_process()?;
        match &self.followed {
            None => Ok(()),
            Some(followed) => self.look_at_list(followed),
        }
    }

    /// How often the list was another one than before; nothing for a store of this process.
    pub(crate) fn changes_elsewhere(&self) -> Option<u64> {
        let followed = self.followed.as_ref()?;
        drop(self.look());
        Some(followed.changes.load(Ordering::Acquire))
    }

    /// Which of its lives the owner of a store in another process is in, or was; always the same one for a store of this process.
    pub(crate) fn owners_life(&self) -> u64 {
        self.followed.as_ref().map_or(0, |followed| followed.guest.number_of_life())
    }

    fn look_at_list(&self, followed: &FollowedList) -> Result<()> {
        let mut seen = followed.seen.lock();
        let now = (followed.guest.life(), followed.guest.catalog());
        if *seen == Some(now) {
            return Ok(());
        }
        self.check_open()?;
        // Replaced whole: whatever is read is a list of this number, or of a later one that is looked at again.
        let listed = read_list(&self.root)?;
        self.take_list(followed, listed.catalog());
        *self.catalog.lock() = listed;
        *seen = Some(now);
        Ok(())
    }

    fn take_list(&self, followed: &FollowedList, listed: &Catalog) {
        let before = self.by_name.read().clone();
        let mut topics = BTreeMap::new();
        let mut broken = BTreeMap::new();
        for (name, entry) in &listed.topics {
            let known = before.get(name.as_str()).filter(|topic| topic.id() == entry.id);
            match self.followed_topic(followed, (listed.store, name, entry), known) {
                Ok(topic) => _ = topics.insert(Arc::clone(topic.shared_name()), topic),
                Err(error) => _ = broken.insert(name.as_str().into(), error),
            }
        }
        let is_listed =
            |topic: &Topic| topics.get(topic.name()).is_some_and(|now: &Topic| now.id() == topic.id());
        let gone: Vec<_> = before.into_values().filter(|topic| !is_listed(topic)).collect();
        *self.by_name.write() = topics;
        followed.changes.fetch_add(1, Ordering::AcqRel);
        *self.broken.write() = broken;
        for topic in gone {
            let reason = Error::UnknownTopic { topic: topic.name().to_owned(), was_deleted: true };
            topic.partitions().iter().for_each(|partition| partition.log().retire(reason.clone()));
        }
    }

    fn followed_topic(
        &self,
        followed: &FollowedList,
        (store, name, entry): (u128, &str, &CatalogTopic),
        known: Option<&Topic>,
    ) -> Result<Topic> {
        let settings = Arc::new(Settings::stored(entry)?);
        let name = known.map_or_else(|| Arc::from(name), |topic| Arc::clone(topic.shared_name()));
        let mut partitions = known.map(Topic::partitions).unwrap_or_default();
        partitions.iter().for_each(|partition| partition.log().follow_config(settings.log()));
        for number in u32::try_from(partitions.len()).unwrap_or(u32::MAX)..entry.partitions {
            let identity = Identity { store, topic: entry.id, partition: number };
            let context = self.context.of_partition(&self.root, Arc::clone(&name), identity);
            let topics = Weak::clone(&followed.topics);
            let look = Box::new(move || topics.upgrade().map_or(Ok(()), |topics| topics.look()));
            let follow = Follow::new(Arc::clone(&followed.guest), identity, look, followed.judge_of(&name));
            let log = Log::attach(context, Arc::clone(settings.log()), follow);
            let place = TopicPartition::new(Arc::clone(&name), number);
            partitions.push(Partition::new(place, entry.id, log));
        }
        let current = Current { settings, partitions };
        match known {
            Some(topic) => {
                topic.replace(current);
                Ok(topic.clone())
            }
            None => Ok(Topic::new(name, entry.id, current)),
        }
    }
}

impl FollowedList {
    fn judge_of(&self, topic: &str) -> Judge {
        if topic == TRANSACTIONS.name {
            // It is what others are judged by, and nothing in it is part of a transaction.
            return Box::new(|_, _| Ok(Vec::new()));
        }
        let (topics, judge) = (Weak::clone(&self.topics), Arc::clone(&self.judge));
        Box::new(move |life, open| {
            topics.upgrade().map_or_else(|| Ok(Vec::new()), |topics| judge.judge(&topics, life, open))
        })
    }
}

/// The first owner may be about to write it.
fn read_first_list(root: &Directory, guest: &Guest) -> Result<CatalogFile> {
    let deadline = Deadline::after(LONGEST_OPENING);
    loop {
        let owner = guest.owner()?;
        if let Some(list) = CatalogFile::read(root)? {
            return Ok(list);
        }
        if !matches!(owner, OwnerState::Opening(_)) {
            return Err(not_yet(root));
        }
        if deadline.has_passed() {
            return Err(still_opening(root));
        }
        pause(Duration::from_millis(1));
    }
}

fn read_list(root: &Directory) -> Result<CatalogFile> {
    CatalogFile::read(root)?
        .ok_or_else(|| Error::io(&root.join(CATALOG_FILE), "open", std::io::ErrorKind::NotFound.into()))
}
