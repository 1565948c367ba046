//! A store that this process only reads.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::backup::{refuse_backup, refuse_unfinished};
use crate::consumer::{Consumer, ConsumerBuilder};
use crate::error::{Error, Result};
use crate::group::{CommittedOffset, Groups, OffsetReset, Spool};
use crate::io::{Clock, Directory, DirectoryLock, in_drop_each};
use crate::live::{Guest, OwnerState};
use crate::log::RecoveryReport;
use crate::segment::ReadMode;
use crate::share::{QueueBuilder, Queues, SeenQueues, StepFiles, Worker};
use crate::store::builder::StoreBuilder;
use crate::store::stats::{GroupStats, ReaderStats, all_group_stats, group_stats};
use crate::topic::{Topic, TopicContext, TopicView, Topics, look_at_each};
use crate::transaction::{LeftJudge, ReaderTransactionStats, judge_in_memory, seen_transactions};
use crate::types::TopicPartition;

/// A store that this process only reads, except for what its [groups](Self::consumer) and [queues](Self::queue) commit and answer. [`Store::open_read_only`](crate::Store::open_read_only)
/// opens a store that nobody writes to, [`attach`](Self::attach) a store that another process writes to. Cheap to clone, and usable from many threads at once.
///
/// With a read-only open nothing is written, neither a byte nor a name, so it works on read-only media. What an open for writing would
/// repair is worked out in memory: a torn tail, transactions without an end, committed offsets above the end of their partition. As
/// long as one of the clones lives, no process can write to the store; topics, partitions and readers do not keep it open.
///
/// ```
/// use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop-log");
/// # let store = Store::open(&path)?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
/// # store.close()?;
/// let shop = Store::open_read_only(&path)?;
/// for topic in shop.topics() {
///     println!("{}: {} records", topic.name(), topic.stats()?.records());
/// }
/// let orders = shop.topic("orders")?.partition(0)?;
/// assert_eq!(orders.get(0)?.and_then(|record| record.key), Some(b"alice".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StoreReader {
    inner: Arc<Inner>,
}

struct Inner {
    root: Directory,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    queues: Arc<Queues>,
    seen_queues: SeenQueues,
    clock: Arc<dyn Clock>,
    recovery: Vec<RecoveryReport>,
    /// Held for its drop, after the topics are closed.
    lock: Option<DirectoryLock>,
    /// Where the owner shows what it does.
    guest: Option<Arc<Guest>>,
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreReader").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl StoreReader {
    pub(super) fn open(mut builder: StoreBuilder) -> Result<Self> {
        let root = builder.root()?.read_only().anchored()?;
        let lock = match root.lock_shared()? {
            Some(DirectoryLock::Busy { pid }) => {
                return Err(Error::StoreInUse { path: root.path().to_path_buf(), pid });
            }
            held => held,
        };
        refuse_unfinished(&root)?;
        if lock.is_none() {
            // Nothing keeps a writer away, who may cut a file under its map.
            builder.read_mode = ReadMode::Positional;
        }
        let topics = Arc::new(Topics::open_read_only(root.clone(), context(&builder))?);
        judge_in_memory(&topics)?;
        let groups = Groups::open(Arc::clone(&topics), Arc::clone(&builder.clock))?;
        let unseen = match groups.see_spool(&root) {
            Err(failed @ Error::Io { .. }) => return Err(failed),
            // Damage to it is none of the rest.
            seen => seen.err(),
        };
        let mut recovery = topics.recovery();
        let commits = recovery.iter_mut().find(|report| report.topic_partition == groups.stored_in());
        if let Some(report) = commits {
            report.skipped = groups.skipped().to_vec();
            report.let_go = groups.let_go().to_vec();
            report.failure = report.failure.take().or_else(|| groups.unreadable().cloned()).or(unseen);
        }
        let clock = builder.clock;
        let queues = Queues::attach((&topics, &groups), &clock, None);
        let seen_queues = SeenQueues::new(Arc::clone(&topics), Arc::clone(&clock), root.clone());
        let guest = None;
        let inner = Inner { root, topics, groups, queues, seen_queues, clock, recovery, lock, guest };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Attaches to the store in a directory while another process has it open and writes to it, or between two such opens. Any number
    /// of processes may do so at a time; none hinders the owner, however it ends.
    ///
    /// It survives whatever happens to the files: retention, compaction, deletion of topics, recovery, and the owner's death. When
    /// a process opens the store again, reading continues. `docs/processes.md` says what is shown, and how.
    ///
    /// Only on Linux, on ext4, xfs and tmpfs, and only for the user who owns the files.
    ///
    /// ```
    /// use annals::{Record, Store, StoreReader, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("shop-log");
    /// let store = Store::open(&path)?; // in one process
    /// store.create_topic("orders", TopicConfig::new())?;
    ///
    /// let shop = StoreReader::attach(&path)?; // in another one
    /// let orders = shop.topic("orders")?.partition(0)?;
    /// store.producer().send(Record::to("orders").value("2 apples"))?;
    /// assert_eq!(orders.get(0)?.and_then(|record| record.value), Some(b"2 apples".to_vec()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Backup`](Error::Backup) where a backup or a restore was cut off, and for a backup: no owner can open it, so it is final.
    /// [`Io`](Error::Io) with `NotFound` for `annals.live` when no owner that shows itself has opened a store here, or not yet: attach again
    /// later; with `TimedOut` when one has begun to open it for the first time and is not done in 10 seconds;
    /// [`StoreInUse`](Error::StoreInUse) when its owner shows nothing of it ([`without_live_readers`](StoreBuilder::without_live_readers), or
    /// no room for the page); [`InvalidArgument`](Error::InvalidArgument) where processes cannot share memory.
    pub fn attach(path: impl AsRef<Path>) -> Result<Self> {
        StoreBuilder::new(path.as_ref()).attach()
    }

    pub(super) fn attach_with(builder: &StoreBuilder) -> Result<Self> {
        let root = builder.root()?.anchored()?;
        // No owner can come here: nobody is to wait for one.
        refuse_backup(&root)?;
        let guest = Arc::new(Guest::attach(&root)?);
        if let OwnerState::Silent(_) = guest.owner()? {
            return Err(Error::StoreInUse { path: root.path().to_path_buf(), pid: guest.pid() });
        }
        // One for both, so that the drop gives all of them back.
        let locks = guest.locks();
        let spool = Spool::of_guest(root.clone(), locks.clone(), &guest);
        let steps = StepFiles::new(root.clone(), Some(locks));
        let root = root.read_only();
        let topics = Topics::attach(root.clone(), context(builder), &guest, Arc::new(LeftJudge::default()))?;
        let groups = Groups::attach(Arc::clone(&topics), Arc::clone(&builder.clock), spool)?;
        let clock = Arc::clone(&builder.clock);
        let queues = Queues::attach((&topics, &groups), &clock, Some((steps, Arc::clone(&guest))));
        let seen_queues = SeenQueues::new(Arc::clone(&topics), Arc::clone(&clock), root.clone());
        let (recovery, guest) = (Vec::new(), Some(guest));
        let inner = Inner { root, topics, groups, queues, seen_queues, clock, recovery, lock: None, guest };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the id of the process that has the store open and shows it; `None` when there is none, and for a store that was opened read-only.
    pub fn owner(&self) -> Option<u32> {
        self.inner.topics.check_process().ok()?;
        let guest = self.inner.guest.as_ref()?;
        match guest.owner() {
            Ok(OwnerState::Here(_) | OwnerState::Opening(_)) => guest.pid(),
            _ => None,
        }
    }

    /// Returns the store's directory as an absolute path.
    pub fn path(&self) -> &Path {
        self.inner.root.path()
    }

    /// Returns the store's [id](crate::Store::id).
    pub fn id(&self) -> u128 {
        self.inner.topics.store_id()
    }

    /// Returns what opening found, as [`Store::recovery`](crate::Store::recovery) does; nothing of it was repaired.
    pub fn recovery(&self) -> &[RecoveryReport] {
        &self.inner.recovery
    }

    /// Returns the committed offsets that lie above the end of their partition after a crash. They are taken as that end here, and an open
    /// for writing sets them back.
    pub fn offset_resets(&self) -> &[OffsetReset] {
        self.inner.groups.offset_resets()
    }

    /// Returns all topics in the order of their names, including the store's own.
    pub fn topics(&self) -> Vec<TopicView> {
        self.inner.topics.all().into_iter().map(TopicView::new).collect()
    }

    /// Returns the topic of that name.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), or what is wrong with a topic that could not be opened.
    pub fn topic(&self, name: &str) -> Result<TopicView> {
        self.inner.topics.get(name).map(TopicView::new)
    }

    /// Returns the names of all groups that have committed offsets.
    pub fn groups(&self) -> Vec<String> {
        self.inner.groups.names()
    }

    /// Returns what a group has committed.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.inner.groups.committed_of(group)
    }

    /// Returns how far a group has read each partition that it has committed for, and how much is still ahead of it.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").value("2 apples"))?;
    /// # let mut billing = store.consumer("billing")?;
    /// # billing.subscribe(["orders"])?;
    /// # billing.commit_offsets([(("orders", 0).into(), 0)])?;
    /// # drop(billing);
    /// # store.close()?;
    /// let shop = Store::open_read_only(dir.path())?;
    /// assert_eq!(shop.lag("billing").lag(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lag(&self, group: &str) -> GroupStats {
        group_stats(&self.inner.groups, group.to_owned())
    }

    /// Returns a builder for a consumer with other settings: one that [assigns](Consumer::assign) itself partitions, or, with
    /// [`group`](ConsumerBuilder::group), one that [subscribes](Consumer::subscribe) to topics as a member of a group, as from
    /// [`consumer`](Self::consumer). [`poll`](Consumer::poll) waits for what the owner writes without polling the files: the owner wakes it.
    ///
    /// ```
    /// # use annals::{Record, Store, StoreReader, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").value("2 apples"))?;
    /// let shop = StoreReader::attach(dir.path())?;
    /// let mut orders = shop.consumer_builder().build()?;
    /// orders.assign([("orders", 0)])?;
    /// for record in &orders.poll(Duration::from_secs(1))? {
    ///     println!("{}@{} {:?}", record.partition(), record.offset(), record.value());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn consumer_builder(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.inner.topics), Arc::clone(&self.inner.groups))
    }

    /// Returns a consumer of that group. The members of a group are all in one process at a time. Its commits reach the owner, also one that
    /// opens the store later, and hold from the moment they return. At [`Disk`](crate::Durability::Disk) they are durable themselves, but do
    /// not wait for transactions that the owner has committed at [`Os`](crate::Durability::Os): a power cut may take back what was read, and
    /// leave the commit ([`commit_durability`](ConsumerBuilder::commit_durability)).
    ///
    /// ```
    /// # use annals::{Record, Store, StoreReader, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").value("2 apples"))?;
    /// let shop = StoreReader::attach(dir.path())?;
    /// let mut billing = shop.consumer("billing")?;
    /// billing.subscribe(["orders"])?;
    /// assert_eq!(billing.poll(Duration::from_secs(1))?.len(), 1);
    /// billing.commit()?;
    /// assert_eq!(store.committed("billing")[&("orders", 0).into()].offset, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`GroupInUse`](Error::GroupInUse) when another process, the owner among them, has consumers of the group;
    /// [`InvalidConfig`](Error::InvalidConfig) for a store that was opened read-only; [`InvalidName`](Error::InvalidName).
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_builder().group(group).build()
    }

    /// Returns a worker of a queue, with the default settings: see [`queue_builder`](Self::queue_builder).
    ///
    /// # Errors
    /// As for [`build`](QueueBuilder::build) of the builder.
    pub fn queue(&self, topic: &str, group: &str) -> Result<Worker> {
        self.queue_builder(topic, group).build()
    }

    /// Returns a builder for a worker of a queue in this process, whether the owner of the store is running or not. The workers of a queue
    /// are all in one process at a time: [`GroupInUse`](Error::GroupInUse) while another process has workers of it, or messages that they
    /// have taken. Counts and answers are as durable here as in the owner, and reach the owner, also one that opens the store later. Only the
    /// owner writes dead letters: a letter is there once the owner has taken over what was done here, and until then nobody has the message.
    /// `docs/processes.md` says what is promised.
    ///
    /// [`Transaction::ack`](crate::Transaction::ack) refuses messages that were taken here; [`Worker::next`] and
    /// [`poll_take`](Worker::poll_take) refuse to take any, and so does [`build`](QueueBuilder::build) with
    /// [`count_in_memory`](QueueBuilder::count_in_memory), all with [`InvalidArgument`](Error::InvalidArgument). For a store that was opened read-only
    /// `build` fails with [`InvalidConfig`](Error::InvalidConfig).
    ///
    /// ```
    /// # use annals::{Record, Store, StoreReader, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?; // in one process
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// store.producer().send(Record::to("orders").value("2 apples"))?;
    ///
    /// let shop = StoreReader::attach(dir.path())?; // in another one
    /// let mut worker = shop.queue_builder("orders", "shipping").delivery_limit(3).build()?;
    /// for message in worker.take(32, Duration::from_millis(500))? {
    ///     message.ack()?; // never again to anybody of this group
    /// }
    /// drop(worker);
    /// assert!(store.queue("orders", "shipping")?.take(1, Duration::ZERO)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn queue_builder(&self, topic: &str, group: &str) -> QueueBuilder {
        QueueBuilder::new(Arc::clone(&self.inner.queues), topic, group)
    }

    /// Returns figures of all topics, groups and queues. The first call reads everything that is written of queues' states, up to some
    /// segments of 16 MiB, and all dead letters; later calls read what was added since. A topic that cannot be opened has none, and is
    /// [named](ReaderStats::left_out): it may be waited for the owner to show it, 10 s at the first call.
    ///
    /// # Errors
    /// [`Io`](Error::Io) and [`Corrupt`](Error::Corrupt) where no topic can be looked at; [`Corrupt`](Error::Corrupt) for the states.
    pub fn stats(&self) -> Result<ReaderStats> {
        self.inner.topics.check_process()?;
        let (topics, left_out) = look_at_each(&self.inner.topics.all(), Topic::stats)?;
        let groups = all_group_stats(&self.inner.groups, &left_out);
        let queues = self.inner.seen_queues.stats(&left_out)?;
        Ok(ReaderStats { topics, groups, queues, left_out: left_out.into_iter().collect() })
    }

    /// Returns the transactions of which some is written and whose ends are not, by producer: those under way in the process that writes, or
    /// those that the last one has left. A transaction that is still in memory is not among them. If there are any, it reads the headers of
    /// the batches after the first of them, and all of `__transaction_state`. What topics hold of them that cannot be opened is
    /// left out: [`stats`](Self::stats) names those.
    ///
    /// ```
    /// # use annals::{Record, Store, StoreReader, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?; // in one process
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// let mut import = store.transaction_builder("import").buffer_bytes(0).begin()?;
    /// import.send(Record::to("orders").value("2 apples"))?; // written as it comes
    ///
    /// let shop = StoreReader::attach(dir.path())?; // in another one
    /// let open = &shop.open_transactions()?[0];
    /// assert_eq!(open.partitions, [(("orders", 0).into(), 0)]);
    /// import.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`stats`](Self::stats); [`Corrupt`](Error::Corrupt) for what was decided.
    pub fn open_transactions(&self) -> Result<Vec<ReaderTransactionStats>> {
        self.inner.topics.check_process()?;
        seen_transactions(&self.inner.topics, self.inner.clock.now())
    }
}

fn context(builder: &StoreBuilder) -> TopicContext {
    TopicContext { is_read_only: true, ..builder.context() }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.queues.process.is_current() {
            // A child's copy owns nothing, and threads that it does not have may hold what is waited for here.
            return;
        }
        let parts: [fn(&mut Self); 4] = [
            // Nobody looks for a file by its name once others may write: what was fetched stays readable.
            |inner| inner.topics.leave(),
            |inner| inner.queues.leave(),
            // Its threads have nobody to wake any more.
            |inner| inner.topics.agenda().stop_tasks(),
            |inner| drop(inner.lock.take()),
        ];
        in_drop_each(parts, |part| part(self));
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests;
