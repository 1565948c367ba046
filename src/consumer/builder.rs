//! Settings of a consumer.

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::consumer::Consumer;
use crate::consumer::rebalance::{OnRebalance, Rebalance};
use crate::error::{Error, Result};
use crate::group::Groups;
use crate::log::{BelowStart, FetchLimits, Isolation, OnDamage, Visibility};
use crate::topic::Topics;
use crate::types::Durability;

/// Where to begin in a partition without a committed offset, or when the position lies beyond the end: Kafka's
/// `auto.offset.reset`. When the records at the position were deleted, a consumer continues at the first that is left,
/// also with `Latest`: what is left was sent after it had begun to read. [`OnDeleted`] is what else it may do.
///
/// ```
/// # use annals::{StartFrom, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let news = store.consumer_builder().group("news").start_from(StartFrom::Latest).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StartFrom {
    /// At the first record there is.
    ///
    /// With this and with `Latest`, a position whose records were deleted continues at the first that is there, unless
    /// [`on_deleted`](ConsumerBuilder::on_deleted) says otherwise.
    #[default]
    Earliest,
    /// After the last record there is when the partition is first looked at; records in memory count, unless another thread writes to the
    /// partition just then, which would have to be waited for: then they are handed out. One that came into being while the group had a member that
    /// was subscribed to the topic is read from its first record, whichever member is given it, as all of them were sent since: a partition
    /// that was [added](crate::Store::add_partitions), one of a topic that was deleted and created again.
    ///
    /// Where a rebalance gives a partition to another member before anything was committed for it, that one begins where the first has: what was sent since is
    /// handed out, and what the first was handed is handed out again. The group knows where that was as long as it has a member that is subscribed to the topic, and the
    /// store is open; in another process than the store's as long as that reads. A commit after the first poll, though it found nothing, keeps the position for longer.
    Latest,
    /// Nowhere: `poll` fails, also where the records at a position were deleted.
    Fail,
}

/// What to do where the records at a position were deleted before they were handed out: by retention, `delete_records`, a full partition whose oldest go.
///
/// It fails too where what was deleted held nothing to hand out, such as ends of transactions: what is gone cannot be asked.
///
/// ```
/// # use annals::{OnDeleted, Store};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// // Begins at the first record, and says so if it ever comes too late.
/// let billing = store.consumer_builder().group("billing").on_deleted(OnDeleted::Fail).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDeleted {
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange), now and at every later try: a seek goes on.
    Fail,
    /// Goes on at the first record that is there.
    Skip,
}

/// Makes a [`Consumer`]. Setters carry Kafka's names.
///
/// ```
/// # use annals::{StartFrom, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let mut audit = store.consumer_builder().read_durable_only().max_poll_records(10_000).build()?;
/// audit.assign([("orders", 0)])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct ConsumerBuilder {
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) settings: Settings,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) group: Option<String>,
    pub(super) client_id: String,
    pub(super) start_from: StartFrom,
    /// What `start_from` implies where nothing is said.
    pub(super) on_deleted: Option<OnDeleted>,
    pub(super) visibility: Visibility,
    pub(super) isolation: Isolation,
    pub(super) on_damage: OnDamage,
    pub(super) max_poll_records: usize,
    pub(super) fetch_max_bytes: usize,
    pub(super) max_partition_fetch_bytes: usize,
    pub(super) commit_durability: Durability,
    pub(super) auto_commit: Option<Duration>,
    pub(super) on_rebalance: Option<OnRebalance>,
}

impl ConsumerBuilder {
    pub(crate) fn new(topics: Arc<Topics>, groups: Arc<Groups>) -> Self {
        let settings = Settings {
            group: None,
            client_id: "consumer".to_owned(),
            start_from: StartFrom::default(),
            on_deleted: None,
            visibility: Visibility::default(),
            isolation: Isolation::default(),
            on_damage: OnDamage::default(),
            max_poll_records: 500,
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            commit_durability: Durability::default(),
            auto_commit: None,
            on_rebalance: None,
        };
        Self { topics, groups, settings }
    }

    /// `group.id`: the group it is a member of once it subscribes, and commits for. Default: none.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.settings.group = Some(name.into());
        self
    }

    /// `client.id`: the beginning of its member id. Members are sorted by id when partitions are shared out.
    pub fn client_id(mut self, name: impl Into<String>) -> Self {
        self.settings.client_id = name.into();
        self
    }

    /// `auto.offset.reset`. Default: [`StartFrom::Earliest`].
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.settings.start_from = start;
        self
    }

    /// What to do where the records at its position were deleted. Default: [`OnDeleted::Fail`] with [`StartFrom::Fail`], otherwise
    /// [`OnDeleted::Skip`], as Kafka has it.
    pub fn on_deleted(mut self, policy: OnDeleted) -> Self {
        self.settings.on_deleted = Some(policy);
        self
    }

    /// Sees only what survives a power cut: nothing it was handed can be lost later. Records sent at `Os` or `Memory` come
    /// with the next sync: the background one, or a flush.
    pub fn read_durable_only(mut self) -> Self {
        self.settings.visibility = Visibility::Durable;
        self
    }

    /// `isolation.level`: whether it waits for transactions to be decided. Default: [`Isolation::ReadCommitted`].
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.settings.isolation = isolation;
        self
    }

    /// What to do about a damaged batch. Default: [`OnDamage::Fail`].
    pub fn on_damage(mut self, policy: OnDamage) -> Self {
        self.settings.on_damage = policy;
        self
    }

    /// `max.poll.records`: the most records of one poll. Default: 500.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.settings.max_poll_records = records;
        self
    }

    /// `fetch.max.bytes`: bytes of batches, as stored, after which a poll takes no further one. Default: 50 MiB.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.settings.fetch_max_bytes = bytes;
        self
    }

    /// `max.partition.fetch.bytes`: the same for one partition's part of a poll. Default: 1 MiB.
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_partition_fetch_bytes = bytes;
        self
    }

    /// How far a commit goes before it returns. Default: [`Durability::Os`].
    ///
    /// At [`Disk`](Durability::Disk) it survives a power cut. In the store's own process the transactions that it goes over survive it, too: they are made
    /// durable first. In a process that does not own the store it waits for none of them: a power cut may take one that was committed at `Os` back and leave the commit.
    /// [`read_durable_only`](Self::read_durable_only) hands out nothing of one before its end is durable; `docs/processes.md`, 3, has the rest.
    pub fn commit_durability(mut self, durability: Durability) -> Self {
        self.settings.commit_durability = durability;
        self
    }

    /// `enable.auto.commit` and its interval: `poll`, also while it waits, and `close` commit what earlier polls handed out; so do
    /// `subscribe`, `assign` and `unsubscribe`, before they let partitions go.
    /// A commit that fails in a poll does not stop it: see [`auto_commit_failure`](Consumer::auto_commit_failure). Default:
    /// never.
    pub fn auto_commit(mut self, interval: Duration) -> Self {
        self.settings.auto_commit = Some(interval);
        self
    }

    /// Is called when the partitions that the consumer reads have changed: Kafka's `ConsumerRebalanceListener`. It runs in the
    /// next [`poll`](Consumer::poll), on its thread and before its records are looked for, without a lock of the store: it may
    /// use the store, and close it. Members change at once, so what is revoked may be another's already, and offsets of
    /// it are refused. A panic comes out of the poll, which the consumer survives; that change is not reported again.
    pub fn on_rebalance(mut self, listener: impl Fn(&Rebalance) + Send + Sync + 'static) -> Self {
        self.settings.on_rebalance = Some(OnRebalance(Arc::new(listener)));
        self
    }

    /// The consumer.
    ///
    /// # Errors
    /// [`InvalidName`](Error::InvalidName) for the group, [`InvalidConfig`](Error::InvalidConfig) for a limit of 0 or an
    /// automatic commit without a group.
    pub fn build(self) -> Result<Consumer> {
        let limits = [
            ("max.poll.records", self.settings.max_poll_records),
            ("fetch.max.bytes", self.settings.fetch_max_bytes),
            ("max.partition.fetch.bytes", self.settings.max_partition_fetch_bytes),
        ];
        if let Some((key, value)) = limits.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::config(key, value, "at least 1"));
        }
        if self.settings.auto_commit.is_some() && self.settings.group.is_none() {
            return Err(Error::config(
                "enable.auto.commit",
                true,
                "a consumer without a group commits nothing",
            ));
        }
        Consumer::new(self)
    }
}

impl Settings {
    /// What a reader does where records were deleted.
    pub(super) fn below_start(&self) -> BelowStart {
        match (self.on_deleted, self.start_from) {
            (Some(OnDeleted::Fail), _) | (None, StartFrom::Fail) => BelowStart::Fail,
            // What was deleted is passed over, and nothing that is left.
            (Some(OnDeleted::Skip), _) | (None, StartFrom::Earliest | StartFrom::Latest) => BelowStart::GoOn,
        }
    }

    /// What a partition may still add to a poll that has `records` and `bytes` already.
    pub(super) fn limits(&self, records: usize, bytes: usize) -> FetchLimits {
        FetchLimits {
            max_records: self.max_poll_records.saturating_sub(records),
            max_bytes: self.max_partition_fetch_bytes.min(self.fetch_max_bytes.saturating_sub(bytes)),
        }
    }
}
