//! The store as its users hold it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::backup::refuse_backup;
use crate::consumer::{Consumer, ConsumerBuilder};
use crate::error::{Error, Result};
use crate::figures::{Event, Figures};
use crate::group::{CommittedOffset, Groups, OffsetReset, Spool, SpoolRole};
use crate::io::{Clock, Directory, caught};
use crate::live::Owner;
use crate::log::{RecoveryReport, RetentionReport, VerifyReport};
use crate::producer::{Producer, ProducerBuilder};
use crate::share::{DeadLetters, EnqueuerBuilder, Holds, QueueBuilder, Queues, Schedule, Worker};
use crate::store::builder::{LiveReaders, Maintenance, StoreBuilder};
use crate::store::caretaker::Caretaker;
use crate::store::failures::Failures;
use crate::store::life::{Life, Work};
use crate::store::maintenance;
#[cfg(feature = "metrics")]
use crate::store::metrics::Reported;
use crate::store::reader::StoreReader;
use crate::store::stats::StoreStats;
use crate::store::teller::Teller;
use crate::topic::{Adoption, LogSource, Topic, TopicConfig, TopicContext, Topics, refuse_change};
use crate::transaction::{NamedProducer, Transaction, TransactionBuilder, Transactions};
use crate::types::TopicPartition;
use crate::upkeep::Agenda;

/// A directory of topics that this process owns. Cheap to clone; used from many threads at once.
///
/// The store is open as long as one of its clones lives, or until [`close`](Self::close). Producers, consumers, topics and
/// partitions do not keep it open: afterwards their calls fail with [`StoreClosed`](Error::StoreClosed).
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
    inner: Arc<Inner>,
}

struct Inner {
    root: Directory,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
    queues: Arc<Queues>,
    holds: Arc<Holds>,
    care: Arc<Caretaker>,
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
    /// Opens the store in a directory, which is made if there is none: takes its lock, and finds the end of every partition.
    ///
    /// After a clean close no record data is read. After a crash each partition's last segment is scanned; what the crash
    /// left is reported by [`recovery`](Self::recovery), and set right by the first append.
    ///
    /// # Errors
    /// [`StoreLocked`](Error::StoreLocked); [`Corrupt`](Error::Corrupt), [`UnsupportedFormat`](Error::UnsupportedFormat),
    /// [`Io`](Error::Io) where it is the list of topics, the committed offsets or decisions about open transactions that
    /// cannot be read. After any of them no
    /// partition has changed, but index files may have been made again. [`InvalidArgument`](Error::InvalidArgument) for an
    /// empty path and for a link to nothing. A topic that cannot be opened is no error here:
    /// [`recovery`](Self::recovery) names it, and the calls on it return what is wrong. Nor are committed offsets that are damaged:
    /// [`consumer`](Self::consumer) and whatever else needs a group returns that error until a repair.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Opens a store with other settings.
    pub fn builder(path: impl AsRef<Path>) -> StoreBuilder {
        StoreBuilder::new(path.as_ref())
    }

    /// Opens the store in a directory to read it alone: any number of processes may do so at a time, and nothing is written, not
    /// even a name. It works on media that cannot be written to, and for users who may not write. While one of them has it open
    /// no process can write to the store, where the file system has locks; where it has none, nobody may write meanwhile.
    ///
    /// What it costs, and what it finds, is as with [`open`](Self::open); what that one would set right is judged in memory.
    ///
    /// # Errors
    /// [`StoreInUse`](Error::StoreInUse) when a process writes to it. [`Io`](Error::Io) also when there is no store in the
    /// directory; otherwise as [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<StoreReader> {
        Self::builder(path).open_read_only()
    }

    /// Checks every batch of every partition of the store in a directory, which is not open anywhere, and lists what is not
    /// as it was written. Changes nothing but the lock file.
    ///
    /// # Errors
    /// [`StoreLocked`](Error::StoreLocked), [`Io`](Error::Io). Damage is no error here: it is what is looked for.
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
        let owner = match builder.live_readers {
            LiveReaders::Welcome => Owner::open(&root),
            LiveReaders::Refused => Owner::open_silently(&root),
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
        let holds = Holds::open((&topics, &groups), (&transactions, producer), (clock, &agenda));
        groups.write_what_cannot_wait()?;
        let care = Caretaker {
            topics: Arc::clone(&topics),
            groups: Arc::clone(&groups),
            queues: Arc::clone(&queues),
            holds: Arc::clone(&holds),
            clock: builder.clock,
            failures: Failures::new(builder.on_maintenance_failure),
        };
        let care = Arc::new(care);
        let teller = Teller::new(builder.on_event, &care, topics.figures(), &agenda);
        let life = Life::new(root.path(), lock);
        if builder.maintenance == Maintenance::Thread
            && let Err(error) = maintenance::start(&agenda, &care, (&life, &root))
        {
            // One of them may be there.
            agenda.stop();
            return Err(error);
        }
        // From here on nothing refuses the open: what follows changes files, and is done later where it fails.
        drop(topics.clear_leftovers());
        drop(transactions.write_owed());
        drop(groups.write_owed());
        drop(queues.write_owed());
        let recovery = recovery_of(&topics, &groups, &queues);
        if let Some(owner) = &owner {
            groups.spool_in(Spool::new(root.clone(), owner.locks(), SpoolRole::Owner));
            // What other processes have committed meanwhile. Where it cannot be written now it is before a group is used.
            drop(groups.fold());
            owner.opened();
        }
        let inner = Inner {
            root,
            topics,
            groups,
            transactions,
            queues,
            holds,
            care,
            agenda,
            _teller: teller,
            recovery,
            owner,
            life,
            #[cfg(feature = "metrics")]
            reported: Reported::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its directory, as an absolute path: that of the moment when it was opened, whatever became of the program's working
    /// directory since.
    pub fn path(&self) -> &Path {
        self.inner.root.path()
    }

    /// A random number made when the store was: another store has another, also one that was
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

    /// Writes and syncs everything, notes that the close was clean, and gives the directory back once nothing of the store
    /// is at work in it any more. Later calls on any handle fail with [`StoreClosed`](Error::StoreClosed); records that were
    /// fetched stay readable. A second call waits for the first and returns what it returns. Dropping the last clone does
    /// the same and cannot report failures.
    ///
    /// It may be called from [`on_maintenance_failure`](StoreBuilder::on_maintenance_failure): all partitions are closed when it returns, and the
    /// directory is given back when the work ends from which `on_maintenance_failure` was called.
    ///
    /// # Errors
    /// The first failure of any partition; the others are closed all the same. What was acknowledged as durable is.
    /// [`Forked`](Error::Forked) in a child process: nothing is closed.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    #[cfg(feature = "metrics")]
    pub(super) fn reported(&self) -> &Reported {
        &self.inner.reported
    }

    /// Whoever reads the topic looks at it again.
    fn topic_changed(&self, name: &str) {
        self.inner.groups.topic_changed(name);
        self.inner.queues.topic_changed(name);
    }

    fn check_open(&self) -> Result<()> {
        self.inner.life.check()
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.care.clock
    }

    pub(super) fn shared_topics(&self) -> &Arc<Topics> {
        &self.inner.topics
    }

    /// The same, and the directory is not given back while the caller works on more than one partition in it.
    pub(super) fn work(&self) -> Result<Work> {
        self.inner.life.work()
    }

    /// What opening each partition found; the topics that could not be opened, whose calls return that error; the directories
    /// that the list of topics does not name and that were left as they are, because they were not deleted.
    pub fn recovery(&self) -> &[RecoveryReport] {
        &self.inner.recovery
    }

    /// Committed offsets that lay above the end of their partition after a crash and were set back to it.
    pub fn offset_resets(&self) -> &[OffsetReset] {
        self.inner.groups.offset_resets()
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`TopicExists`](Error::TopicExists), also for a name that differs only in `.` and `_`;
    /// [`InvalidName`](Error::InvalidName): 1 to 249 of `[A-Za-z0-9._-]`, not `.` or `..`;
    /// [`InvalidConfig`](Error::InvalidConfig), [`Io`](Error::Io). Nothing was created.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        let topic = self.inner.topics.create(name, &config)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// Makes a topic of logs that were written elsewhere: partitions of a Kafka broker, copies of partitions of annals, backups.
    /// `directories` has one for each partition, in order. Every batch stays as it is, byte for byte, at its offset, whatever
    /// wrote it; offsets may be missing. Appends go on behind the last one. [`LogSource`](crate::LogSource) says where a
    /// partition is to start, and whether files may be linked instead of copied.
    ///
    /// All of it is read and checked before anything is written. When the call returns, the topic and its records are durable;
    /// after an error or a crash there is nothing of it. The directories stay as they are, and nobody may write to
    /// them meanwhile. No other topic can be created, changed or deleted while files are copied, and a close waits.
    ///
    /// A topic's settings hold for what was adopted, too: with `retention.ms` old records go soon. What groups have committed
    /// elsewhere does not come along: [`commit_offsets`](crate::Consumer::commit_offsets) sets it.
    ///
    /// # Errors
    /// [`CannotAdopt`](Error::CannotAdopt) with file, position and what to do: damage, offsets that go back or overlap, a
    /// format before Kafka 0.11, no `.log`, a directory in this store. [`BatchTooLarge`](Error::BatchTooLarge),
    /// [`InvalidConfig`](Error::InvalidConfig) when `config` has another number of partitions than there are directories;
    /// otherwise as [`create_topic`](Self::create_topic).
    pub fn adopt_topic<S: Into<LogSource>>(
        &self,
        name: &str,
        config: TopicConfig,
        directories: impl IntoIterator<Item = S>,
    ) -> Result<Adoption> {
        let _work = self.work()?;
        refuse_change(name)?;
        let sources = directories.into_iter().map(Into::into).collect();
        let adopted = self.inner.topics.adopt(name, &config, sources)?;
        self.topic_changed(name);
        Ok(adopted)
    }

    /// The topic of that name. Those that the store keeps for itself can be read like any other, once there is something in
    /// them, and are written by the store alone.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic).
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.check_open()?;
        self.inner.topics.get(name)
    }

    /// The topic of that name, created if there is none.
    ///
    /// # Errors
    /// [`TopicMismatch`](Error::TopicMismatch) when it exists and anything that `config` sets is another there:
    /// [`alter_topic`](Self::alter_topic) or [`add_partitions`](Self::add_partitions) change it. Otherwise as
    /// [`create_topic`](Self::create_topic).
    pub fn ensure_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        let topic = self.inner.topics.ensure(name, &config)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// All topics in the order of their names, the store's own among them.
    pub fn topics(&self) -> Vec<Topic> {
        self.inner.topics.all()
    }

    /// Adds partitions to a topic, so that there are `count`. Equal keys go elsewhere from then on. Consumers that are members
    /// of a group read the new ones from the first record, also with [`StartFrom::Latest`](crate::StartFrom::Latest).
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`InvalidConfig`](Error::InvalidConfig) when there are as many already or the topic has a
    /// [`key_index`](TopicConfig::key_index),
    /// [`Io`](Error::Io). Nothing was added.
    pub fn add_partitions(&self, name: &str, count: u32) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        let topic = self.inner.topics.add_partitions(name, count)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// Changes settings of a topic; those that `changes` does not give stay, and what it
    /// [unsets](TopicConfig::unset) gets its default again. Holds for what is appended from then on.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic); [`InvalidConfig`](Error::InvalidConfig), also for another number of partitions
    /// than there are, which [`add_partitions`](Self::add_partitions) changes; [`Io`](Error::Io). Nothing changed.
    pub fn alter_topic(&self, name: &str, changes: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        self.inner.topics.alter(name, &changes)
    }

    /// Deletes a topic, its files, and what groups have committed for it. Records that were fetched stay readable.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic). [`Io`](Error::Io): the topic is gone, files of it may be left; they go when
    /// the store is opened next.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let _work = self.work()?;
        refuse_change(name)?;
        // A decision that misses something there is not to seem complete without it.
        drop(self.inner.transactions.write_owed());
        let deleted = self.inner.topics.delete(name);
        if matches!(self.inner.topics.get(name), Err(Error::UnknownTopic { .. })) {
            self.inner.care.failures.forget(name);
        }
        // Also after a failure, which may have come when the topic was gone already.
        self.topic_changed(name);
        // What a queue had of it is no other topic's; what fails here is done by the next deletion.
        drop(self.inner.queues.forget_deleted());
        deleted.and(self.inner.groups.forget_deleted(name))
    }

    /// A producer with the default settings: records are in the operating system's hands when `send` returns.
    pub fn producer(&self) -> Producer {
        self.producer_builder().build_default()
    }

    /// A producer with other settings.
    pub fn producer_builder(&self) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(&self.inner.topics))
    }

    /// Begins a transaction of that name, with the default settings. An earlier user of the name is fenced, and what that
    /// one has not committed is aborted.
    ///
    /// # Errors
    /// [`InvalidName`](Error::InvalidName), [`StoreClosed`](Error::StoreClosed).
    pub fn transaction(&self, name: &str) -> Result<Transaction> {
        self.check_open()?;
        self.transaction_builder(name).begin()
    }

    /// Begins a transaction with other settings.
    pub fn transaction_builder(&self, name: &str) -> TransactionBuilder {
        TransactionBuilder::new(&self.inner.transactions, self.producer(), name)
    }

    /// The producer of that name, which knows what it has sent, also in earlier lives of the store.
    ///
    /// # Errors
    /// [`InvalidName`](Error::InvalidName), [`StoreClosed`](Error::StoreClosed); [`Io`](Error::Io) when its name cannot be
    /// made durable.
    pub fn named_producer(&self, name: &str) -> Result<NamedProducer> {
        self.check_open()?;
        self.inner.transactions.named_producer(name)
    }

    /// A consumer of that group, with the default settings. It becomes a member when it subscribes.
    ///
    /// # Errors
    /// [`InvalidName`](Error::InvalidName); [`Corrupt`](Error::Corrupt) while the committed offsets cannot be read.
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_builder().group(group).build()
    }

    /// A consumer with other settings, or without a group.
    pub fn consumer_builder(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.inner.topics), Arc::clone(&self.inner.groups))
    }

    /// A worker of the queue that `group` has on a topic, with the default settings. The first one makes the queue, which begins
    /// at the topic's first record. Queues of other groups, and consumers, see every record too.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn queue(&self, topic: &str, group: &str) -> Result<Worker> {
        self.queue_builder(topic, group).build()
    }

    /// A worker of a queue with other settings.
    pub fn queue_builder(&self, topic: &str, group: &str) -> QueueBuilder {
        QueueBuilder::new(Arc::clone(&self.inner.queues), topic, group)
    }

    /// Sends to a topic whose records are messages: each id once, and no more than a queue may have to do.
    pub fn enqueuer_builder(&self, topic: &str) -> EnqueuerBuilder {
        EnqueuerBuilder::new(Arc::clone(&self.inner.queues), topic)
    }

    /// Sends records that are delivered later, from this thread and others.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(Arc::clone(&self.inner.holds))
    }

    /// The dead letters of the queue that `group` has on a topic, in the queue's own topic of them.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) while nothing was given up yet; otherwise as [`QueueBuilder::build`].
    pub fn dead_letters(&self, topic: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::of_queue(Arc::clone(&self.inner.queues), topic, group)
    }

    /// The same of a [topic that was chosen](QueueBuilder::dead_letter_topic). Several queues may have theirs in it.
    ///
    /// # Errors
    /// As [`dead_letters`](Self::dead_letters).
    pub fn dead_letters_in(&self, letters: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::in_topic(Arc::clone(&self.inner.queues), letters, group)
    }

    /// The names of all groups that have members or have committed offsets.
    pub fn groups(&self) -> Vec<String> {
        self.inner.groups.names()
    }

    /// What a group has committed; nothing while the committed offsets cannot be read, which [`recovery`](Self::recovery) tells.
    pub fn committed(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
        self.inner.groups.committed_of(group)
    }

    /// Forgets what a group has committed, and its queues.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) while it has members or workers, [`Io`](Error::Io).
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let _work = self.work()?;
        refuse_change(group)?;
        self.inner.queues.delete(group)?;
        self.inner.groups.delete(group)
    }

    /// Removes from every partition what its topic does not keep: by time, by size, by number of records, and what every
    /// group has read of a topic that is to lose it. Segments that are too old without a new append are sealed first.
    /// Tells of the partitions that lost something. The store does the same by itself every
    /// [`retention_check_interval`](StoreBuilder::retention_check_interval).
    ///
    /// # Errors
    /// The first failure of any partition; the others are done all the same.
    pub fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        let _work = self.work()?;
        self.inner.care.apply_retention()
    }

    /// Figures of all topics, groups and open transactions, and the partitions at which maintenance fails. May wait for a write or
    /// a commit that is under way.
    ///
    /// # Errors
    /// [`StoreClosed`](Error::StoreClosed).
    pub fn stats(&self) -> Result<StoreStats> {
        self.check_open()?;
        self.inner.care.stats(self.inner.transactions.stats())
    }

    /// Does the store's own work on this thread: writes batches whose linger is over, syncs in the background, and looks
    /// at every partition for what retention and compaction would take. Only needed after [`maintain_by_hand`](StoreBuilder::maintain_by_hand).
    ///
    /// # Errors
    /// The first failure; everything else that was due is done all the same.
    pub fn maintain(&self) -> Result<()> {
        let _work = self.work()?;
        maintenance::run_due(&self.inner.agenda, &self.inner.care)
    }
}

/// What opening found, in every layer.
fn recovery_of(topics: &Topics, groups: &Groups, queues: &Queues) -> Vec<RecoveryReport> {
    let mut recovery = topics.recovery();
    let commits = recovery.iter_mut().find(|report| report.topic_partition == groups.stored_in());
    commits.into_iter().for_each(|report| {
        report.skipped = groups.skipped().to_vec();
        report.failure = report.failure.take().or_else(|| groups.unreadable().cloned());
    });
    let states = recovery.iter_mut().find(|report| report.topic_partition == queues.stored_in());
    states.into_iter().for_each(|report| report.skipped = queues.skipped().to_vec());
    recovery.iter().for_each(|report| note_recovered(report, topics.figures()));
    recovery
}

/// Tells of a partition that was not closed.
fn note_recovered(report: &RecoveryReport, figures: &Figures) {
    if !report.clean {
        figures.events.note(|| Event::Recovered {
            partition: report.topic_partition.clone(),
            end: report.end,
            scanned_bytes: report.scanned_bytes,
            torn_bytes: report.torn.as_ref().map_or(0, |torn| torn.bytes),
        });
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        self.life.close(|| {
            self.agenda.stop();
            // What cannot be written now is decided the same way by the next open.
            drop(caught(|| self.transactions.finish()));
            let closed = caught(|| self.topics.close());
            self.agenda.stop_tasks();
            self.owner.iter().for_each(|owner| owner.close());
            closed
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // `close` is there for those who want to know. In a child of a fork it does nothing.
        drop(self.close());
    }
}
