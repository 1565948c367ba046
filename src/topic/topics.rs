//! All topics of a store, opened and closed together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::figures::Figures;
use crate::format::{Catalog, CatalogTopic, Identity, partition_dir_name};
use crate::io::{Clock, Directory, Process, random_id};
use crate::live::Owner;
use crate::locks::{Mutex, OnceLock, RwLock};
use crate::log::{
    Clearing, EndsTransactions, Log, LogContext, LogOptions, NotEnded, OutlivesRecords, RecoveryReport,
    Signal, Spares, Watchers,
};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::directories::{Leftover, Stray, refuse_lost_catalog, strays};
use crate::topic::follow::FollowedList;
use crate::topic::internal::InternalTopic;
use crate::topic::partition::Partition;
use crate::topic::settings::Settings;
use crate::topic::topic::{Current, Topic};
use crate::types::TopicPartition;
use crate::upkeep::{Agenda, MaintenanceHold, Waking};

/// What every partition of the store shares.
#[derive(Debug, Clone)]
pub(crate) struct TopicContext {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) agenda: Arc<Agenda>,
    pub(crate) options: LogOptions,
    pub(crate) spares: Arc<Spares>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) clearing: Arc<Clearing>,
    /// Where other processes see the partitions.
    pub(crate) owner: Option<Arc<Owner>>,
    /// This process only reads.
    pub(crate) is_read_only: bool,
}

impl TopicContext {
    /// For unit tests of the layers above, in which nothing is done by itself.
    #[cfg(test)]
    pub(crate) fn of_tests(clock: &Arc<dyn Clock>, agenda: &Arc<Agenda>) -> Self {
        Self {
            clock: Arc::clone(clock),
            agenda: Arc::clone(agenda),
            options: LogOptions {
                read_mode: crate::segment::ReadMode::Positional,
                sync_every_bytes: u64::MAX,
                max_expanded_bytes: 1 << 20,
                compaction_memory_bytes: 1 << 20,
            },
            spares: Arc::default(),
            figures: Arc::default(),
            clearing: Arc::default(),
            owner: None,
            is_read_only: false,
        }
    }

    /// What the log of one partition of the store in `root` is given.
    pub(super) fn of_partition(
        &self,
        root: &Directory,
        topic: impl Into<Arc<str>>,
        identity: Identity,
    ) -> LogContext {
        let topic_partition = TopicPartition::new(topic, identity.partition);
        LogContext {
            directory: root.child(&partition_dir_name(topic_partition.topic(), identity.partition)),
            topic_partition,
            identity,
            clock: Arc::clone(&self.clock),
            agenda: Arc::clone(&self.agenda),
            options: self.options,
            spares: Arc::clone(&self.spares),
            figures: Arc::clone(&self.figures),
            clearing: Arc::clone(&self.clearing),
        }
    }
}

/// Why a topic could not be opened: the first partition at fault, which is the first of all when the settings are.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) partition: u32,
    pub(super) error: Error,
}

/// The topics of one store. A change is stored before it is visible.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(super) root: Directory,
    pub(super) context: TopicContext,
    /// Which opened them. A child of it reads no list and changes none.
    pub(super) process: Process,
    /// The store's id when they were opened.
    pub(super) opened_as: u128,
    /// Held while topics are created, changed or deleted.
    pub(super) catalog: Mutex<CatalogFile>,
    pub(super) by_name: RwLock<BTreeMap<Arc<str>, Topic>>,
    /// Topics that are there and could not be opened, and why: what concerns one topic stops that one. One that is not listed,
    /// and of which a directory with records is there, is among them.
    pub(super) broken: RwLock<BTreeMap<Arc<str>, Error>>,
    /// By the id of the topic. Locked after `catalog`.
    pub(super) leftovers: Mutex<BTreeMap<u128, Leftover>>,
    pub(super) recovery: Mutex<Vec<RecoveryReport>>,
    /// Set once, when the store closes.
    pub(super) closed: OnceLock<Error>,
    /// Who is woken then: a partition wakes its own readers, but one may wait without any.
    pub(super) waiting: Watchers,
    /// How the list is looked at, where another process owns the store.
    pub(super) followed: Option<FollowedList>,
    /// How often it was asked for topics by their ids.
    #[cfg(test)]
    pub(crate) questions: crate::locks::AtomicU64,
}

impl Topics {
    /// Opens every partition of every topic in the catalog. Changes no byte. A topic that cannot be opened is noted, and the
    /// others are opened all the same; without most of the store's own there is no store.
    pub(crate) fn open(root: Directory, context: TopicContext) -> Result<Self> {
        let catalog = match CatalogFile::read(&root)? {
            Some(catalog) => catalog,
            None => {
                refuse_lost_catalog(&root)?;
                root.sync_above()?;
                CatalogFile::create(&root, new_catalog())?
            }
        };
        let catalog = catalog.shown_by(context.owner.clone());
        Self::open_listed(root, context, catalog)
    }

    /// The same of a store that is only read: one that is not there is not made.
    pub(crate) fn open_read_only(root: Directory, context: TopicContext) -> Result<Self> {
        let Some(catalog) = CatalogFile::read(&root)? else {
            refuse_lost_catalog(&root)?;
            return Err(Error::io(&root.join(CATALOG_FILE), "open", std::io::ErrorKind::NotFound.into()));
        };
        Self::open_listed(root, context, catalog)
    }

    /// The id of the store, as the list says it now.
    pub(crate) fn store_id(&self) -> u128 {
        // Where the list cannot be looked at it is the one that was seen last.
        match self.look() {
            Err(Error::Forked { .. }) => self.opened_as,
            _ => self.catalog.lock().catalog().store,
        }
    }

    fn open_listed(root: Directory, context: TopicContext, catalog: CatalogFile) -> Result<Self> {
        let strays = strays(&root, catalog.catalog())?;
        let mut topics = Self {
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
            followed: None,
            #[cfg(test)]
            questions: crate::locks::AtomicU64::default(),
        };
        let listed = topics.catalog.get_mut().catalog().clone();
        let mut opened = BTreeMap::new();
        for (name, entry) in &listed.topics {
            match topics.open_topic(listed.store, name, entry) {
                Ok((topic, reports)) => {
                    reports.into_iter().for_each(|report| topics.note_recovery(report));
                    opened.insert(Arc::clone(topic.shared_name()), topic);
                }
                // Without it nobody knows what is true of the others. A failure to read one is no damage: the next open may.
                Err(unopened)
                    if InternalTopic::find(name).is_some_and(|internal| {
                        internal.is_vital() || matches!(unopened.error, Error::Io { .. })
                    }) =>
                {
                    return Err(unopened.error);
                }
                // That is no topic's own: it would be closed until the store is opened again, though the next moment there are some.
                Err(unopened) if unopened.error.is_out_of_descriptors() => return Err(unopened.error),
                Err(Unopened { partition, error }) => {
                    let partition = TopicPartition::new(name.as_str(), partition);
                    topics.note_recovery(RecoveryReport::failed(partition, error.clone()));
                    topics.broken.get_mut().insert(name.as_str().into(), error);
                }
            }
        }
        for Stray { topic_partition, why } in strays {
            if !opened.contains_key(topic_partition.topic()) {
                let topic = Arc::clone(topic_partition.shared_topic());
                topics.broken.get_mut().entry(topic).or_insert_with(|| why.clone());
            }
            topics.note_recovery(RecoveryReport::failed(topic_partition, why));
        }
        topics.by_name = RwLock::new(opened);
        Ok(topics)
    }

    pub(super) fn open_topic(
        &self,
        store: u128,
        name: &str,
        entry: &CatalogTopic,
    ) -> Result<(Topic, Vec<RecoveryReport>), Unopened> {
        let settings = match InternalTopic::find(name) {
            None => Settings::stored(entry),
            Some(_) => {
                let config = InternalTopic::fixed(&entry.config);
                Settings::stored(&CatalogTopic { config, ..entry.clone() })
            }
        };
        let settings = Arc::new(settings.map_err(|error| Unopened { partition: 0, error })?);
        let name: Arc<str> = name.into();
        let mut partitions = Vec::new();
        let mut reports = Vec::new();
        for number in 0..entry.partitions {
            let identity = Identity { store, topic: entry.id, partition: number };
            let opened = self.open_partition(&name, identity, &settings);
            let (partition, report) = opened.map_err(|error| Unopened { partition: number, error })?;
            partitions.push(partition);
            reports.push(report);
        }
        Ok((Topic::new(name, entry.id, Current { settings, partitions }), reports))
    }

    pub(super) fn open_partition(
        &self,
        topic: &Arc<str>,
        identity: Identity,
        settings: &Settings,
    ) -> Result<(Partition, RecoveryReport)> {
        let place = TopicPartition::new(Arc::clone(topic), identity.partition);
        let context = self.context.of_partition(&self.root, Arc::clone(topic), identity);
        let (log, report) = Log::open(context, Arc::clone(settings.log()))?;
        let owner = self.context.owner.as_ref();
        if let Some(slot) = owner.and_then(|owner| owner.slot(identity.topic, identity.partition)) {
            log.show(slot);
        }
        Ok((Partition::new(place, identity.topic, log), report))
    }

    /// Shows other processes the partitions for which there was no room when they were opened.
    pub(crate) fn show_rest(&self) {
        let Some(owner) = &self.context.owner else { return };
        let partitions = self.all().into_iter().flat_map(|topic| topic.partitions());
        for partition in partitions.filter(|partition| !partition.log().is_shown()) {
            let Some(slot) = owner.slot(partition.topic_id(), partition.number()) else { break };
            partition.log().show(slot);
        }
    }

    /// Whether this process only reads.
    pub(crate) fn is_read_only(&self) -> bool {
        self.context.is_read_only
    }

    /// What opening each partition found.
    pub(crate) fn recovery(&self) -> Vec<RecoveryReport> {
        self.recovery.lock().clone()
    }

    pub(super) fn note_recovery(&self, report: RecoveryReport) {
        self.recovery.lock().push(report);
    }

    /// The store's directory.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.root.path()
    }

    /// What all partitions count and measure.
    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.context.figures
    }

    /// All topics in the order of their names; none in a child of a fork.
    pub(crate) fn all(&self) -> Vec<Topic> {
        if !self.process.is_current() {
            return Vec::new();
        }
        // What was seen last, where nothing can be seen now.
        drop(self.look());
        self.by_name.read().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Topic> {
        self.look()?;
        if let Some(found) = self.by_name.read().get(name) {
            return Ok(found.clone());
        }
        let broken = self.broken.read().get(name).cloned();
        Err(broken.unwrap_or_else(|| Error::UnknownTopic { topic: name.to_owned(), was_deleted: false }))
    }

    /// The topic of that name as it was seen last.
    pub(crate) fn seen(&self, name: &str) -> Option<Topic> {
        self.by_name.read().get(name).cloned()
    }

    /// Names who ends transactions that are in the way of what has to go.
    pub(crate) fn set_clearing(&self, who: Weak<dyn EndsTransactions>) {
        self.context.clearing.set(who);
    }

    /// Names who is asked before a call of the program takes records out.
    pub(crate) fn set_outliving(&self, who: Weak<dyn OutlivesRecords>) {
        self.context.clearing.set_outliving(who);
    }

    /// Who knows what transactions rest on.
    pub(crate) fn clearing(&self) -> &Clearing {
        &self.context.clearing
    }

    /// Has all transactions that are decided survive a power cut, and their ends written, but for those of the error. It is called under no lock of a log.
    pub(crate) fn write_decided(&self) -> Result<(), NotEnded> {
        self.context.clearing.write_decided()
    }

    /// Makes the list of topics durable as it was found: whoever wrote it may have died before the sync of its name.
    pub(crate) fn sync_list(&self) -> Result<()> {
        self.root.sync()
    }

    /// What is to be done later.
    pub(crate) fn agenda(&self) -> &Arc<Agenda> {
        &self.context.agenda
    }

    /// What calls the wakers of tasks.
    pub(crate) fn waking(&self) -> &Arc<Waking> {
        self.context.agenda.waking()
    }

    /// Whether maintenance is held.
    pub(crate) fn is_held(&self) -> bool {
        self.context.agenda.is_held()
    }

    /// Holds maintenance, and returns when nothing of it is under way that the hold is against, nor to come with a first append.
    pub(crate) fn hold_maintenance(&self) -> Result<MaintenanceHold> {
        let hold = self.context.agenda.hold();
        for partition in self.all().into_iter().flat_map(|topic| topic.partitions()) {
            let log = partition.log();
            match log.settle_before_hold() {
                // Deleted meanwhile.
                Err(_) if log.check_open().is_err() => {}
                settled => settled.map_err(|error| error.in_partition(partition.topic_partition()))?,
            }
            log.await_changes_of_files();
        }
        Ok(hold)
    }

    /// An error in a child of a fork: asked by every call before it takes a lock.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        self.process.check(self.root.path())
    }

    /// An error in a child of a fork, and once the store closes.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_process()?;
        self.closed.get().map_or(Ok(()), |closed| Err(closed.clone()))
    }

    /// Raises `signal` when the store closes.
    pub(crate) fn watch_close(&self, signal: &Arc<Signal>) {
        self.waiting.add(signal);
    }

    pub(crate) fn unwatch_close(&self, signal: &Arc<Signal>) {
        self.waiting.remove(signal);
    }
}

/// What a walk over all topics makes of one: nothing if it was deleted since the list was made.
pub(crate) fn unless_deleted<T>(outcome: Result<T>) -> Option<Result<T>> {
    match outcome {
        Err(Error::UnknownTopic { .. }) => None,
        outcome => Some(outcome),
    }
}

/// The list of a new store.
pub(super) fn new_catalog() -> Catalog {
    Catalog { store: random_id(), topics: BTreeMap::new(), deleted: BTreeSet::new() }
}
