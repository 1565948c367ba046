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

/// Where to begin in a partition without a committed offset, or when the position is beyond the end: Kafka's
/// `auto.offset.reset`. When the records at the position were deleted, a consumer continues at the first one that is left,
/// also with `Latest`: what is left was sent after it had begun to read. [`OnDeleted`] can change that.
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
    /// With this and with `Latest`, a position whose records were deleted continues at the first record there is, unless
    /// [`on_deleted`](ConsumerBuilder::on_deleted) says otherwise.
    #[default]
    Earliest,
    /// After the last record there is when the partition is first read. Records in memory count, unless another thread is writing to the
    /// partition just then, which would mean waiting for it: then they are returned by a poll. A partition that was created while the group
    /// had a member subscribed to the topic is read from its first record, whichever member gets it, because all its records were sent since:
    /// a partition that was [added](crate::Store::add_partitions), or one of a topic that was deleted and created again.
    ///
    /// If a rebalance gives a partition to another member before anything was committed for it, that member begins where the first one did:
    /// what was sent since is returned, and what the first member got is returned again. The group knows that position while it has a member
    /// subscribed to the topic, and while the store is open; in a process other than the store's, while that process reads. A commit after
    /// the first poll, even if it found nothing, keeps the position for longer.
    Latest,
    /// Nowhere: `poll` fails, also if the records at a position were deleted.
    Fail,
}

/// What to do if the records at a position were deleted before they were read: by retention, by `delete_records`, or because a full partition
/// dropped its oldest.
///
/// It fails even if what was deleted held nothing to return, such as ends of transactions: what is gone cannot be examined.
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
    /// Fails with [`OffsetOutOfRange`](Error::OffsetOutOfRange), now and at every later attempt, until a seek.
    Fail,
    /// Continues at the first record there is.
    Skip,
}

/// Builds a [`Consumer`]. Setters carry Kafka's names.
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

    /// `group.id`: the group that it commits for, and that it joins when it subscribes. Default: none.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.settings.group = Some(name.into());
        self
    }

    /// `client.id`: the beginning of its member id. Members are sorted by id when partitions are assigned.
    pub fn client_id(mut self, name: impl Into<String>) -> Self {
        self.settings.client_id = name.into();
        self
    }

    /// `auto.offset.reset`. Default: [`StartFrom::Earliest`].
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.settings.start_from = start;
        self
    }

    /// Sets what to do if the records at its position were deleted. Default: [`OnDeleted::Fail`] with [`StartFrom::Fail`], otherwise
    /// [`OnDeleted::Skip`], as in Kafka.
    pub fn on_deleted(mut self, policy: OnDeleted) -> Self {
        self.settings.on_deleted = Some(policy);
        self
    }

    /// Reads only what survives a power cut: nothing it has returned can be lost later. Records sent at `Os` or `Memory` become
    /// visible with the next sync: the background one, or a flush.
    pub fn read_durable_only(mut self) -> Self {
        self.settings.visibility = Visibility::Durable;
        self
    }

    /// `isolation.level`: whether it waits for transactions to be decided. Default: [`Isolation::ReadCommitted`].
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.settings.isolation = isolation;
        self
    }

    /// Sets what to do about a damaged batch. Default: [`OnDamage::Fail`].
    pub fn on_damage(mut self, policy: OnDamage) -> Self {
        self.settings.on_damage = policy;
        self
    }

    /// `max.poll.records`: the most records of one poll. Default: 500.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.settings.max_poll_records = records;
        self
    }

    /// `fetch.max.bytes`: bytes of batches, as stored, after which a poll takes no further batch. Default: 50 MiB.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.settings.fetch_max_bytes = bytes;
        self
    }

    /// `max.partition.fetch.bytes`: the same for one partition's part of a poll. Default: 1 MiB.
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_partition_fetch_bytes = bytes;
        self
    }

    /// Sets how far a commit has gone when it returns. Default: [`Durability::Os`].
    ///
    /// At [`Disk`](Durability::Disk) it survives a power cut. In the store's own process the transactions that it covers survive it, too:
    /// they are made durable first. In a process that does not own the store it waits for none of them: a power cut may take back a
    /// transaction that was committed at `Os` and leave the commit. [`read_durable_only`](Self::read_durable_only) returns nothing of a
    /// transaction before its end is durable; `docs/processes.md`, 3, has the details.
    pub fn commit_durability(mut self, durability: Durability) -> Self {
        self.settings.commit_durability = durability;
        self
    }

    /// `enable.auto.commit` and its interval: `poll`, also while it waits, and `close` commit what earlier polls returned; so do
    /// `subscribe`, `assign` and `unsubscribe`, before they give partitions up.
    /// A commit that fails in a poll does not stop it: see [`auto_commit_failure`](Consumer::auto_commit_failure). Default:
    /// never.
    pub fn auto_commit(mut self, interval: Duration) -> Self {
        self.settings.auto_commit = Some(interval);
        self
    }

    /// Sets a callback for changes of the partitions that the consumer reads: Kafka's `ConsumerRebalanceListener`. It runs in the
    /// next [`poll`](Consumer::poll), on its thread and before it looks for records, without a lock of the store: it may
    /// use the store, and close it. Members change at once, so a revoked partition may already be another member's, and offsets for
    /// it are refused. A panic in it propagates out of the poll; the consumer survives it, and that change is not reported again.
    pub fn on_rebalance(mut self, listener: impl Fn(&Rebalance) + Send + Sync + 'static) -> Self {
        self.settings.on_rebalance = Some(OnRebalance(Arc::new(listener)));
        self
    }

    /// Builds the consumer.
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
