//! A topic as its users hold it.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::partition_for_key;
use crate::io::Process;
use crate::locks::{AtomicU64, Ordering, RwLock};
use crate::topic::config::{CleanupPolicy, TopicConfig};
use crate::topic::internal::InternalTopic;
use crate::topic::latest::Latest;
use crate::topic::partition::Partition;
use crate::topic::settings::Settings;

/// A topic: named partitions with one configuration. Cheap to clone, and usable from many threads at once.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().partitions(3))?;
/// assert_eq!((orders.name(), orders.partition_count()), ("orders", 3));
/// assert_eq!(orders.partition(2)?.end(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Topic {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    id: u128,
    /// The store keeps it for itself.
    is_internal: bool,
    process: Process,
    /// What it was opened with, for a child of a fork, where nobody may wait for the lock of `current`.
    opened: Arc<Current>,
    /// Replaced whole, after the change is stored.
    current: RwLock<Arc<Current>>,
    /// Raised after each replacement of `current`: shows whoever kept the old one that it is old.
    version: AtomicU64,
}

/// What can change about a topic.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) settings: Arc<Settings>,
    pub(super) partitions: Vec<Partition>,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Topic");
        shown.field("name", &self.name()).field("partitions", &self.partition_count()).finish_non_exhaustive()
    }
}

impl Topic {
    pub(super) fn new(name: Arc<str>, id: u128, current: Current) -> Self {
        let opened = Arc::new(current);
        let current = RwLock::new(Arc::clone(&opened));
        let is_internal = InternalTopic::find(&name).is_some();
        let (process, version) = (Process::current(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { name, id, is_internal, opened, process, current, version }) }
    }

    pub(super) fn current(&self) -> Arc<Current> {
        if self.inner.process.is_current() {
            Arc::clone(&self.inner.current.read())
        } else {
            Arc::clone(&self.inner.opened)
        }
    }

    /// An error in a child of a fork.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.inner.process.is_current() {
            return Ok(());
        }
        self.inner.opened.partitions.first().map_or(Ok(()), |partition| partition.log().check_process())
    }

    pub(super) fn replace(&self, current: Current) {
        *self.inner.current.write() = Arc::new(current);
        self.inner.version.fetch_add(1, Ordering::Release);
    }

    /// How often it was changed since it was opened.
    pub(super) fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire)
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.inner.name
    }

    /// Returns the topic's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns a random number made when the topic was created: another topic of the same name has a different one.
    pub fn id(&self) -> u128 {
        self.inner.id
    }

    /// Returns its configuration as stored, including the number of partitions.
    pub fn config(&self) -> TopicConfig {
        self.current().settings.text().clone()
    }

    /// The same, parsed.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.current().settings)
    }

    /// Returns what happens to its old records.
    pub fn cleanup_policy(&self) -> CleanupPolicy {
        self.current().settings.cleanup_policy()
    }

    /// Returns the number of its partitions.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.current().partitions.len()).unwrap_or(u32::MAX)
    }

    /// Returns all its partitions, in order.
    pub fn partitions(&self) -> Vec<Partition> {
        self.current().partitions.clone()
    }

    /// Returns one of its partitions.
    ///
    /// # Errors
    /// [`UnknownPartition`](Error::UnknownPartition).
    pub fn partition(&self, number: u32) -> Result<Partition> {
        self.check_process()?;
        let current = self.current();
        let found = usize::try_from(number).ok().and_then(|number| current.partitions.get(number));
        found.cloned().ok_or_else(|| Error::UnknownPartition {
            topic: self.name().to_owned(),
            partition: number,
            partitions: self.partition_count(),
        })
    }

    /// The partition to which the records of a key go.
    pub(crate) fn partition_of(&self, key: &[u8]) -> Result<Partition> {
        self.partition(partition_for_key(key, self.partition_count()))
    }

    /// Runs `with` on the partition to which the records of a key go.
    pub(crate) fn with_partition_of<T>(
        &self,
        key: &[u8],
        with: impl FnOnce(&Partition) -> Result<T>,
    ) -> Result<T> {
        self.check_process()?;
        let current = self.current();
        let count = u32::try_from(current.partitions.len()).unwrap_or(u32::MAX);
        let number = partition_for_key(key, count);
        match usize::try_from(number).ok().and_then(|number| current.partitions.get(number)) {
            Some(partition) => with(partition),
            None => self.partition(number).and_then(|partition| with(&partition)),
        }
    }

    /// Iterates over the last record of every key, without waiting for a compaction, leaving out tombstones. It covers what lies below
    /// [`Partition::stable`](crate::Partition::stable): like [`get`](Self::get), it does not see what comes after a transaction that is not
    /// decided.
    pub fn latest(&self) -> Latest {
        Latest::new(self.partitions())
    }

    /// True for a topic that the store keeps for itself.
    pub(crate) fn is_internal(&self) -> bool {
        self.inner.is_internal
    }
}
