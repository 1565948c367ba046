//! The store as its users hold it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::backup::refuse_backup;
use crate::error::Result;
use crate::group::{CommittedOffset, Groups, OffsetReset, Spool, SpoolRole};
use crate::io::{Clock, Directory, caught, in_drop};
use crate::live::{Opened, Owner};
use crate::log::{RecoveryReport, RetentionReport, VerifyReport};
use crate::producer::ProducerBuilder;
use crate::share::{Holds, Queues, StepFiles};
use crate::store::builder::{LiveReaders, Maintenance, StoreBuilder};
use crate::store::caretaker::Caretaker;
use crate::store::failures::Failures;
use crate::store::folding::{Folds, heed};
use crate::store::life::{Life, Work};
use crate::store::maintenance;
#[cfg(feature = "metrics")]
use crate::store::metrics::Reported;
use crate::store::reader::StoreReader;
use crate::store::recovery::recovery_of;
use crate::store::stats::StoreStats;
use crate::store::teller::Teller;
use crate::topic::{TopicContext, Topics, refuse_group};
use crate::transaction::Transactions;
use crate::types::TopicPartition;
use crate::upkeep::Agenda;

/// A directory of topics that this process owns. Cheap to clone, and usable from many threads at once.
///
/// The store stays open while one of its clones lives, or until [`close`](Self::close). Producers, consumers, topics and
/// partitions do not keep it open: afterwards their calls fail with [`StoreClosed`](crate::Error::StoreClosed).
///
/// ```
/// use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop-log");
/// let store = Store::open(&path)?;
/// store.ensure_topic("orders", TopicConfig::new().partitions(3))?;
/// store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    root: Directory,
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) transactions: Arc<Transactions>,
    pub(super) queues: Arc<Queues>,
    pub(super) holds: Arc<Holds>,
    pub(super) care: Arc<Caretaker>,
    agenda: Arc<Agenda>,
    /// Called by the agenda, which keeps nobody alive.
    _teller: Arc<Teller>,
    recovery: Vec<RecoveryReport>,
    owner: Option<Arc<Owner>>,
    life: Life,
    #[cfg(feature = "metrics")]
    reported: Reported,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a directory, which is created if there is none: takes its lock, and finds the end of every partition.
    ///
    /// After a clean close no record data is read. After a crash each partition's last segment is scanned; what the crash
    /// left is reported by [`recovery`](Self::recovery), and repaired by the first append.
    ///
    /// # Errors
    /// [`StoreLocked`](crate::Error::StoreLocked). [`Corrupt`](crate::Error::Corrupt), [`UnsupportedFormat`](crate::Error::UnsupportedFormat),
    /// [`Io`](crate::Error::Io) where the list of topics, the committed offsets, decisions about open transactions or the locks of
    /// other processes (`annals.live`) cannot be read. After any of these errors no
    /// partition has changed, but index files may have been rebuilt. [`InvalidArgument`](crate::Error::InvalidArgument) for an
    /// empty path and for a dangling link. A topic that cannot be opened is not an error here:
    /// [`recovery`](Self::recovery) names it, and calls on it return what is wrong. Nor are damaged committed offsets:
    /// [`consumer`](Self::consumer) and whatever else needs a group returns that error until a repair.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Returns a builder that opens a store with other settings.
    pub fn builder(path: impl AsRef<Path>) -> StoreBuilder {
        StoreBuilder::new(path.as_ref())
    }

    /// Opens the store in a directory read-only. Any number of processes may do so at a time, and nothing is written, not
    /// even a name. It works on read-only media, and for users who may not write. While one process has it open this way,
    /// no process can write to the store, where the file system has locks; where it has none, nobody may write meanwhile.
    ///
    /// The cost, and what is found, are as with [`open`](Self::open); what `open` would repair is worked out in memory.
    ///
    /// # Errors
    /// [`StoreInUse`](crate::Error::StoreInUse) when a process writes to the store. [`Backup`](crate::Error::Backup) where a backup or a
    /// restore was cut off; a complete one can be read. [`Io`](crate::Error::Io) also when there is no store in the
    /// directory; otherwise as for [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<StoreReader> {
        Self::builder(path).open_read_only()
    }

    /// Checks every batch of every partition of the store in a directory, which must not be open anywhere, and lists what is not
    /// as it was written. It changes nothing but the lock file, and not even that where nothing can be written, as on read-only media.
    ///
    /// # Errors
    /// [`StoreLocked`](crate::Error::StoreLocked), [`Io`](crate::Error::Io). Damage is not an error here: it is what is looked for.
    pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
        Self::builder(path).verify(|_| ControlFlow::Continue(()))
    }

    pub(super) fn open_with(builder: StoreBuilder) -> Result<Self> {
        let root = builder.root()?;
        root.ensure()?;
        let root = root.anchored()?;
        let lock = builder.lock(&root)?;
        refuse_backup(&root)?;
        // Before a file changes: who looks at what an earlier life has left looks away.
        // Whether others can look or not: they may have worked and committed in an earlier life.
        let Opened { owner, locks } = match builder.live_readers {
            LiveReaders::Welcome => Opened::shown(&root)?,
            LiveReaders::Refused => Opened::silent(&root)?,
        };
        let context = TopicContext { owner: owner.clone(), ..builder.context() };
        let agenda = Arc::clone(&context.agenda);
        let topics = Arc::new(Topics::open(root.clone(), context)?);
        // Before the first write that relies on the list: what groups have committed is set back there.
        topics.sync_list()?;
        let recovered = Transactions::recover(&topics)?;
        let groups = Groups::open(Arc::clone(&topics), Arc::clone(&builder.clock))?;
        let transactions = Transactions::open(recovered, (&topics, &groups), &builder.clock, &agenda);
        let producer = ProducerBuilder::new(Arc::clone(&topics)).build_default();
        let clock = &builder.clock;
        let queues = Queues::open((&topics, &groups), (&transactions, producer.clone()), clock)?;
        queues.steps_in(StepFiles::new(root.clone(), locks.clone()));
        groups.spool_in(Spool::new(root.clone(), locks, SpoolRole::Owner));
        groups.hold_back_spooled();
        let holds = Holds::open((&topics, &groups), (&transactions, producer), (clock, &agenda));
        groups.write_what_cannot_wait()?;
        let care = Caretaker {
            topics: Arc::clone(&topics),
            groups: Arc::clone(&groups),
            queues: Arc::clone(&queues),
            holds: Arc::clone(&holds),
            clock: builder.clock,
            failures: Failures::new(builder.on_maintenance_failure),
            folds: Folds::new(),
        };
        let care = Arc::new(care);
        let teller = Teller::new(builder.on_event, &care, topics.figures(), &agenda);
        let life = Life::new(root.path(), lock);
        if builder.maintenance == Maintenance::Thread
            && let Err(error) = maintenance::start(&agenda, &care, (&life, &root))
        {
            // One of them may be there, and at work. The directory is nobody's when this returns.
            agenda.stop();
            drop(life.close(|| Ok(())));
            return Err(error);
        }
        // From here on nothing refuses the open, and its drop closes the store: what a panic of a clock or of files leaves has threads.
        let mut inner = Inner {
            root,
            topics,
            groups,
            transactions,
            queues,
            holds,
            care,
            agenda,
            _teller: teller,
            recovery: Vec::new(),
            owner,
            life,
            #[cfg(feature = "metrics")]
            reported: Reported::default(),
        };
        inner.take_up();
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the store's directory as an absolute path, as it was when the store was opened, whatever the program's working
    /// directory is now.
    pub fn path(&self) -> &Path {
        self.inner.root.path()
    }

    /// Returns a random number made when the store was created. Every store has a different one, also one that was
    /// [restored](crate::backup::Backup::restore) from a backup under a new identity.
    ///
    /// ```
    /// # use annals::{Store, StoreReader};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path().join("shop-log"))?;
    /// let other = Store::open(dir.path().join("other"))?;
    /// assert_ne!(store.id(), other.id());
    /// assert_eq!(StoreReader::attach(store.path())?.id(), store.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn id(&self) -> u128 {
        self.inner.topics.store_id()
    }

    /// Writes and syncs everything, records that the close was clean, and gives the directory back once nothing of the store
    /// is at work in it any more. Later calls on any handle that read, send, commit, seek, wait or change something fail with
    /// [`StoreClosed`](crate::Error::StoreClosed); records that were fetched stay readable. Calls that answer from memory and do not return a
    /// [`Result`] answer as of the close: names, settings, lists, offsets, committed offsets; so does
    /// [`Topic::partition`](crate::Topic::partition). Giving up what is already given up is not an error:
    /// [`Transaction::abort`](crate::Transaction::abort), [`Consumer::close`](crate::Consumer::close) with nothing to commit. A second call
    /// waits for the first and returns the same result. Dropping the last clone does the same but cannot report failures.
    ///
    /// It waits for calls that are at work in the store, for a round of maintenance, and for a callback that runs in it. It may be called from
    /// [`on_maintenance_failure`](StoreBuilder::on_maintenance_failure) or [`on_event`](StoreBuilder::on_event): all partitions are closed when it
    /// returns, and the directory is given back when the work that called the callback ends. A callback that waits for another
    /// thread which closes the store waits for ever.
    ///
    /// Mapped files stay mapped, `annals.live` among them, and that file stays open, until the last handle is dropped, including those of
    /// topics and consumers: drop them before the file system is unmounted.
    /// # Errors
    /// The first failure of any partition; the others are closed all the same. What was acknowledged as durable is durable.
    /// [`Forked`](crate::Error::Forked) in a child process: nothing is closed.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    #[cfg(feature = "metrics")]
    pub(super) fn reported(&self) -> &Reported {
        &self.inner.reported
    }

    /// Whoever reads the topic looks at it again.
    pub(super) fn topic_changed(&self, name: &str) {
        self.inner.groups.topic_changed(name);
        self.inner.queues.topic_changed(name);
    }

    pub(super) fn check_open(&self) -> Result<()> {
        self.inner.life.check()
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.care.clock
    }

    /// Takes over what consumers and workers in other processes have done, as far as a copy needs it.
    pub(super) fn fold_for_copy(&self) -> Result<()> {
        self.inner.groups.take_over().map(drop).and(self.inner.queues.fold_for_copy())
    }

    pub(super) fn shared_topics(&self) -> &Arc<Topics> {
        &self.inner.topics
    }

    /// The same, and the directory is not given back while the caller works on more than one partition in it.
    pub(super) fn work(&self) -> Result<Work> {
        self.inner.life.work()
    }

    /// Returns what opening each partition found; the topics that could not be opened, whose calls return that error; and the directories
    /// that the list of topics does not name and that were left as they are, because they were not deleted.
    pub fn recovery(&self) -> &[RecoveryReport] {
        &self.inner.recovery
    }

    /// Returns the committed offsets that lay above the end of their partition after a crash and were set back to it.
    pub fn offset_resets(&self) -> &[OffsetReset] {
        self.inner.groups.offset_resets()
    }

    /// Returns the names of all groups that have members or committed offsets.
    pub fn groups(&self) -> Vec<String> {
        self.inner.groups.names()
    }

    /// Returns what a group has committed, after any commit of offsets that is under way, with its sync; nothing while the committed offsets
    /// cannot be read, which [`recovery`](Self::recovery) reports.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.inner.groups.committed_of(group)
    }

    /// Deletes what a group has committed, and its queues.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Error::InvalidArgument) while it has members or workers, [`GroupInUse`](crate::Error::GroupInUse), and where
    /// the committed offsets cannot be read, [`InvalidName`](crate::Error::InvalidName) for a group of the store's own: nothing is deleted.
    /// [`Io`](crate::Error::Io), [`Poisoned`](crate::Error::Poisoned): some of it may be deleted, now and after a reopen; call again, until
    /// it returns without an error.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let _work = self.work()?;
        refuse_group(group)?;
        self.inner.groups.delete(group, || self.inner.queues.delete(group))
    }

    /// Removes from every partition what its topic does not keep: by time, by size, by number of records, and, where the topic
    /// drops consumed records, what every group has read. Segments that are too old and get no new append are sealed first.
    /// Reports the partitions that lost something. The store does the same by itself every
    /// [`retention_check_interval`](StoreBuilder::retention_check_interval).
    ///
    /// # Errors
    /// The first failure of any partition; the others are processed all the same.
    pub fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        let _work = self.work()?;
        self.inner.care.apply_retention()
    }

    /// Returns figures of all topics, groups and open transactions, and the partitions at which maintenance fails. It may wait for a write,
    /// or the sync of a commit of offsets, that is under way, and once, for 5 seconds, for a stopped process that works on queues; but not
    /// for anyone who waits for room.
    ///
    /// # Errors
    /// [`StoreClosed`](crate::Error::StoreClosed).
    pub fn stats(&self) -> Result<StoreStats> {
        self.check_open()?;
        self.inner.care.stats(self.inner.transactions.stats())
    }

    /// Does the store's own work on this thread: writes batches whose linger is over, syncs in the background, aborts transactions whose time is over
    /// and writes the ends of those that were decided, both no sooner than a second after they were written or decided, and checks every
    /// partition for what retention and compaction would take. Only needed after [`maintain_by_hand`](StoreBuilder::maintain_by_hand).
    ///
    /// # Errors
    /// The first failure; everything else that was due is done all the same.
    pub fn maintain(&self) -> Result<()> {
        let _work = self.work()?;
        maintenance::run_due(&self.inner.agenda, &self.inner.care)
    }
}

impl Inner {
    /// Does what an earlier life has left. It changes files, and is done later where it fails.
    fn take_up(&mut self) {
        drop(self.topics.clear_leftovers());
        drop(self.transactions.write_owed());
        drop(self.groups.write_owed());
        drop(self.queues.write_owed());
        self.recovery = recovery_of(&self.topics, &self.groups, &self.queues);
        // What other processes have committed meanwhile. Where it cannot be written now it is before a group is used.
        drop(self.groups.fold());
        drop(self.queues.fold());
        if let Some(owner) = &self.owner {
            heed(&self.care, owner);
            owner.opened();
        }
    }

    fn close(&self) -> Result<()> {
        self.life.close(|| {
            self.agenda.stop();
            // What cannot be written now is decided the same way by the next open.
            drop(caught(|| self.transactions.finish_for_good()));
            // Ids that cannot be written the next open finds in their topics: nothing is lost, and partitions tell of their own failures.
            drop(caught(|| self.queues.close()));
            let closed = caught(|| self.topics.close());
            self.agenda.stop_tasks();
            self.queues.leave();
            self.owner.iter().for_each(|owner| owner.close());
            closed
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // `close` is there for those who want to know. In a child of a fork it does nothing.
        in_drop(|| drop(self.close()));
    }
}
