//! Making a topic of logs that were written elsewhere.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{CatalogTopic, Identity, partition_dir_name};
use crate::io::{Directory, DirectoryLock, Leads, Link, as_seen, random_id};
use crate::log::{Adoptee, Inspection, Log, TornTail};
use crate::topic::admin::entry_of;
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::config::TopicConfig;
use crate::topic::settings::Settings;
use crate::topic::topic::Topic;
use crate::topic::topics::Topics;
use crate::types::Offset;

/// The directory of a log that is to become a partition: from a Kafka broker, a copy of a partition of annals, or a backup of either.
/// Its `.log` files are used, and `annals.state` if there is one; all other files are rebuilt.
///
/// ```
/// use annals::LogSource;
/// let copied = LogSource::new("/kafka-logs/orders-0");
/// // From offset 1200 on, and without a copy where the file system allows that.
/// let linked = LogSource::new("/kafka-logs/orders-1").start(1200).reflinked();
/// ```
#[derive(Debug, Clone)]
pub struct LogSource {
    path: PathBuf,
    start: Option<Offset>,
    link: Option<Link>,
}

impl LogSource {
    /// Names the log in that directory. Its files are copied.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { path: directory.into(), start: None, link: None }
    }

    /// Sets the first offset that may be read. Default: that of the first batch, or what `annals.state` says. A Kafka broker keeps
    /// its own in `log-start-offset-checkpoint`, beside the directories of partitions: records below it were deleted there.
    #[must_use]
    pub fn start(mut self, offset: Offset) -> Self {
        self.start = Some(offset);
        self
    }

    /// Links the files instead of copying them, where both directories are in one file system and the system permits it;
    /// elsewhere they are copied. Linked files are the same files, with their owner and permissions: nobody may write to
    /// them any more. annals never does; it only removes its own names of them.
    #[must_use]
    pub fn hard_linked(mut self) -> Self {
        self.link = Some(Link::Hard);
        self
    }

    /// Makes the new files share blocks with the old ones, where both directories are in one file system that supports it (btrfs, XFS,
    /// on Linux); elsewhere the files are copied. Changes to one do not affect the other.
    #[must_use]
    pub fn reflinked(mut self) -> Self {
        self.link = Some(Link::Blocks);
        self
    }

    fn refused(&self, reason: &str) -> Error {
        let (path, reason) = (self.path.clone(), reason.to_owned());
        Error::CannotAdopt { path, position: 0, offset: None, reason }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for LogSource {
    fn from(directory: &P) -> Self {
        Self::new(directory.as_ref())
    }
}

impl From<PathBuf> for LogSource {
    fn from(directory: PathBuf) -> Self {
        Self::new(directory)
    }
}

impl From<String> for LogSource {
    fn from(directory: String) -> Self {
        Self::new(directory)
    }
}

/// What [`Store::adopt_topic`](crate::Store::adopt_topic) has done.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let copy = dir.path().join("orders-0");
/// # let other = Store::open(dir.path().join("other"))?;
/// # other.create_topic("orders", TopicConfig::new())?;
/// # other.producer().send(Record::to("orders").value("2 apples"))?;
/// # other.close()?;
/// # std::fs::rename(dir.path().join("other/orders-0"), &copy)?;
/// let store = Store::open(dir.path().join("shop-log"))?;
/// let adopted = store.adopt_topic("orders", TopicConfig::new(), [&copy])?;
/// for partition in &adopted.partitions {
///     println!("{}: offsets {} to {}", partition.source.display(), partition.start, partition.end);
///     assert!(partition.torn.is_none());
/// }
/// assert_eq!(adopted.topic.partition(0)?.end(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Adoption {
    /// The topic.
    pub topic: Topic,
    /// Its partitions, in order.
    pub partitions: Vec<AdoptedPartition>,
}

/// What was adopted from one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdoptedPartition {
    /// The directory.
    pub source: PathBuf,
    /// The first offset that may be read.
    pub start: Offset,
    /// The next offset to be assigned.
    pub end: Offset,
    /// Segments taken over; the active one is new.
    pub segments: usize,
    /// Records of their batches, including control records.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// How many of these bytes were copied; the others are linked.
    pub copied_bytes: u64,
    /// Transactions that had no end in the files, and were aborted: readers of committed records skip their records. Each has
    /// a control record after what was taken over, below [`end`](Self::end).
    pub aborted: usize,
    /// What lay after the last complete batch and was not taken over: a batch that was not fully written.
    pub torn: Option<TornTail>,
}

/// A directory that was looked through.
struct Candidate {
    source: PathBuf,
    log: Adoptee,
    link: Option<Link>,
    /// Nobody opens a store that it is of. Held for their drop.
    _locks: Vec<DirectoryLock>,
}

/// Whose the logs in a directory are.
enum StoreOf {
    /// Of the store there, which somebody writes to.
    Open(String),
    /// Nobody does as long as this is held.
    Locked(DirectoryLock),
    /// Of none, or nothing can be locked.
    Nobody,
}

fn lock_store(above: &Directory) -> Result<StoreOf> {
    Ok(match above.lock_shared() {
        Ok(Some(DirectoryLock::Busy { .. })) => StoreOf::Open(above.path().display().to_string()),
        Ok(Some(lock @ DirectoryLock::Held(_))) => StoreOf::Locked(lock),
        Ok(None) => StoreOf::Nobody,
        // Where a file is locked: a copy has none.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => StoreOf::Nobody,
        Err(error) => return Err(error),
    })
}

/// The stores in which the log in `directory` has a name, of those that can be told: the one that was `given` may be a link to it, or to another one.
fn stores_of(given: &Path, directory: &Directory) -> Result<Vec<Directory>> {
    let names = directory.names_of(given)?;
    let mut stores: Vec<Directory> = Vec::new();
    for above in
        [directory.path()].into_iter().chain(names.iter().map(PathBuf::as_path)).filter_map(Path::parent)
    {
        let above = directory.elsewhere(above)?;
        if stores.iter().all(|other| other.path() != above.path()) && as_seen(above.has(CATALOG_FILE))? {
            stores.push(above);
        }
    }
    Ok(stores)
}

impl Topics {
    /// Makes a topic of the logs in `sources`, one a partition, in that order.
    pub(crate) fn adopt(
        &self,
        name: &str,
        config: &TopicConfig,
        sources: Vec<LogSource>,
    ) -> Result<Adoption> {
        let settings = Settings::given(partitions_of(config, sources.len())?, config)?;
        self.check_new_names([name], self.catalog.lock().catalog())?;
        // Everything is looked through before anything is written, and nobody waits for that.
        let logs = self.inspect(sources, &settings)?;
        let entry = entry_of(random_id(), &settings);
        let mut catalog = self.catalog.lock();
        self.check_new_names([name], catalog.catalog())?;
        self.root.check_space(logs.iter().map(|one| one.log.bytes_to_copy(one.link)).sum())?;
        // From here on the list says that files of this topic are nobody's, so an open removes what a crash leaves of them.
        catalog.change(|catalog| _ = catalog.deleted.insert(entry.id))?;
        let outcome = self.bring_over(name, (&mut catalog, &entry), &settings, &logs);
        if outcome.is_err() && catalog.check().is_ok() && self.take_back(name, &entry).is_ok() {
            catalog.forget_deleted([entry.id]);
        }
        outcome
    }

    fn inspect(&self, sources: Vec<LogSource>, settings: &Settings) -> Result<Vec<Candidate>> {
        let (mut directories, mut locks): (Vec<Directory>, Vec<_>) = (Vec::new(), Vec::new());
        for source in &sources {
            let directory = self.root.elsewhere(&source.path)?;
            if directories.iter().any(|other| other.path() == directory.path()) {
                let why = "the directory was given twice: each becomes a partition of its own";
                return Err(source.refused(why));
            }
            locks.push(self.lock_stores_of(source, &directory)?);
            directories.push(directory);
        }
        let how = Inspection {
            max_expanded_bytes: self.context.options.max_expanded_bytes,
            index_interval_bytes: settings.log().segment.index_interval_bytes,
            now: self.context.clock.now(),
            // What cannot be listed is told below.
            is_of_annals: directories.iter().any(|one| Log::is_of_annals(one).unwrap_or(false)),
        };
        let looked = sources.into_iter().zip(directories).zip(locks).map(|((source, directory), locks)| {
            let log = Log::inspect(directory, source.start, how)?;
            Ok(Candidate { source: source.path, log, link: source.link, _locks: locks })
        });
        looked.collect()
    }

    /// Nobody opens the stores of that log as long as these are held. An error when somebody has, or it is of this one.
    fn lock_stores_of(&self, source: &LogSource, directory: &Directory) -> Result<Vec<DirectoryLock>> {
        const OWN: &str =
            "it lies in this store: copy it elsewhere while the store is closed, and give the copy";
        if self.root.leads(directory.path())? == Leads::Inside {
            return Err(source.refused(OWN));
        }
        let mut locks = Vec::new();
        for store in stores_of(&source.path, directory)? {
            // Its own lock is not to be asked for: it would be another one then, and be let go of.
            if self.root.leads(store.path())? == Leads::Inside {
                return Err(source.refused(OWN));
            }
            match lock_store(&store)? {
                StoreOf::Open(at) => {
                    let why =
                        format!("it is of the store in {at}, which is open: close that, or give a copy");
                    return Err(source.refused(&why));
                }
                StoreOf::Locked(lock) => locks.push(lock),
                StoreOf::Nobody => {}
            }
        }
        Ok(locks)
    }

    fn bring_over(
        &self,
        name: &str,
        (catalog, entry): (&mut CatalogFile, &CatalogTopic),
        settings: &Settings,
        logs: &[Candidate],
    ) -> Result<Adoption> {
        let listed = catalog.catalog().clone();
        let mut partitions = Vec::new();
        let mut pending = logs.iter();
        self.make_partitions([(name, entry, 0)], &listed, &mut |directory, identity| {
            let Some(Candidate { source, log, link, .. }) = pending.next() else { return Ok(()) };
            let copied_bytes = Log::adopt(directory, identity, settings.log(), (log, *link))?;
            partitions.push(AdoptedPartition {
                source: source.clone(),
                start: log.start,
                end: log.end,
                segments: log.segments(),
                records: log.records(),
                bytes: log.bytes(),
                copied_bytes,
                aborted: 0,
                torn: log.torn.clone(),
            });
            Ok(())
        })?;
        // Opened before it is listed: a failure to open leaves no topic that exists and cannot be used.
        let (topic, _) = self.open_topic(listed.store, name, entry).map_err(|unopened| unopened.error)?;
        // Before anybody reads: who has begun a transaction in the files is not here to end it.
        for (adopted, partition) in partitions.iter_mut().zip(topic.partitions()) {
            adopted.aborted = partition.log().abort_unended()?;
            adopted.end = partition.end();
        }
        catalog.change(|catalog| {
            catalog.deleted.remove(&entry.id);
            catalog.topics.insert(name.to_owned(), entry.clone());
        })?;
        self.by_name.write().insert(Arc::clone(topic.shared_name()), topic.clone());
        Ok(Adoption { topic, partitions })
    }

    /// Removes what was made of a topic that is not to be.
    fn take_back(&self, name: &str, entry: &CatalogTopic) -> Result<()> {
        for number in 0..entry.partitions {
            let directory = self.root.child(&partition_dir_name(name, number));
            let is_its = |identity: Identity| identity.topic == entry.id;
            if directory.exists()? && Log::identity_in(&directory)?.is_some_and(is_its) {
                Log::remove_directory(&directory)?;
            }
        }
        self.root.sync()
    }
}

/// As many as there are directories.
fn partitions_of(config: &TopicConfig, directories: usize) -> Result<u32> {
    let count = u32::try_from(directories).unwrap_or(u32::MAX);
    match config.partition_count() {
        Some(asked) if asked != count => {
            let reason = format!("{directories} directories were given, and each becomes a partition");
            Err(Error::config("partitions", asked, reason))
        }
        _ => crate::topic::admin::partitions_of(&config.clone().partitions(count)),
    }
}
