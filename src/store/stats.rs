//! Figures of the store and of groups.

use std::fmt;

use crate::error::Error;
use crate::figures::{Counters, Latencies};
use crate::group::{GroupProgress, Groups};
use crate::share::{QueueStats, ReaderQueueStats};
use crate::topic::{LeftOut, TopicStats};
use crate::transaction::TransactionStats;
use crate::types::{Offset, TopicPartition};

/// A store's figures, collected one partition after the other.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").value("2 apples"))?;
/// # let mut billing = store.consumer("billing")?;
/// # billing.subscribe(["orders"])?;
/// # billing.commit_offsets([(("orders", 0).into(), 0)])?;
/// let stats = store.stats()?;
/// let billing = &stats.groups[0];
/// assert_eq!((billing.group.as_str(), billing.members.len(), billing.lag()), ("billing", 1, 1));
/// assert!(stats.maintenance_failures.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreStats {
    /// All topics in the order of their names.
    pub topics: Vec<TopicStats>,
    /// All groups that have members or committed offsets, in the order of their names.
    pub groups: Vec<GroupStats>,
    /// Queues, by topic and group.
    pub queues: Vec<QueueStats>,
    /// Transactions that have written something and are not decided: those with a name in the order of their names, then the others.
    pub open_transactions: Vec<TransactionStats>,
    /// Counts of what has happened since the store was opened; they only rise.
    pub counters: Counters,
    /// How long operations took.
    pub latencies: Latencies,
    /// Partitions at which maintenance failed when it last tried, and at which part of it.
    pub maintenance_failures: Vec<MaintenanceFailure>,
    /// How often code of the program panicked that maintenance had called: [`on_maintenance_failure`](crate::StoreBuilder::on_maintenance_failure),
    /// or a clock or file system that the program supplied. The rest of maintenance continues.
    pub callback_panics: u64,
    /// The last of these panics, as [`Panicked`](Error::Panicked).
    pub last_panic: Option<Error>,
}

/// What a [`StoreReader`](crate::StoreReader) sees of a store, collected one partition after the other.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # Store::open(dir.path())?.create_topic("orders", TopicConfig::new())?;
/// let stats = Store::open_read_only(dir.path())?.stats()?;
/// assert_eq!((stats.topics.len(), stats.groups.len()), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReaderStats {
    /// All topics in the order of their names.
    pub topics: Vec<TopicStats>,
    /// All groups that have committed offsets, in the order of their names.
    pub groups: Vec<GroupStats>,
    /// Queues, by topic and group, as far as their state is written.
    pub queues: Vec<ReaderQueueStats>,
    /// Topics that cannot be opened, in the order of their names, and why: nothing above has figures of them. Beside the process that has the
    /// store these are those that it does not show. What [`Store::open_read_only`](crate::Store::open_read_only) found so is in
    /// [`recovery`](crate::StoreReader::recovery) instead.
    pub left_out: Vec<(String, Error)>,
}

/// A group's figures.
///
/// ```
/// fn needs_more_members(group: &annals::stats::GroupStats) -> bool {
///     group.lag() > 100_000 && group.members.len() < group.partitions.len()
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupStats {
    /// The group's name.
    pub group: String,
    /// The ids of its members.
    pub members: Vec<String>,
    /// The partitions that its members read or that it has committed offsets for, in order.
    pub partitions: Vec<GroupLag>,
}

impl GroupStats {
    /// Returns the number of offsets that it has not committed, up to the ends of those partitions. The end of a transaction has an offset
    /// too, and so do records that are aborted or were compacted away: a group that has read everything may show a few until it polls and
    /// commits again.
    pub fn lag(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.lag).sum()
    }
}

/// How far a group has read one partition.
///
/// ```
/// fn has_read_all(partition: &annals::stats::GroupLag) -> bool {
///     partition.committed == Some(partition.end)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupLag {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The id of the member that reads it.
    pub member: Option<String>,
    /// The next offset that the group will read after a restart; `None` when it has committed nothing.
    pub committed: Option<Offset>,
    /// The partition's end.
    pub end: Offset,
    /// The number of offsets from what the group has committed, or from the partition's start where that is above it or nothing was
    /// committed, to the end. Ends of transactions count, and so do offsets that hold no record to read.
    pub lag: u64,
}

/// The figures of one group.
pub(super) fn group_stats(groups: &Groups, name: String) -> GroupStats {
    let progress = groups.progress(&name);
    stats_of(name, progress)
}

/// Those of all groups, which look at what was committed together. How far they are in topics that cannot be looked at is not known.
pub(super) fn all_group_stats(groups: &Groups, left_out: &LeftOut) -> Vec<GroupStats> {
    let stats = |(name, mut progress): (String, GroupProgress)| {
        progress.partitions.retain(|place, _| !left_out.contains_key(place.topic()));
        stats_of(name, progress)
    };
    groups.progress_of_all().into_iter().map(stats).collect()
}

fn stats_of(name: String, progress: GroupProgress) -> GroupStats {
    let partitions = progress.partitions.into_iter().map(|(topic_partition, at)| {
        // What cannot be seen now is as it was seen last.
        drop(at.partition.log().look());
        let (start, end) = (at.partition.start(), at.partition.end());
        // What is gone is not to be read any more, and what was never committed lies before the group as a whole.
        let next = at.committed.unwrap_or(start).max(start);
        let lag = u64::try_from(end.saturating_sub(next)).unwrap_or(0);
        GroupLag { topic_partition, member: at.member, committed: at.committed, end, lag }
    });
    GroupStats { group: name, members: progress.members, partitions: partitions.collect() }
}

/// A partition at which a part of maintenance fails: retention, freeing what deletions have left, or compaction. The other parts, and the
/// other partitions, are processed all the same; if two parts fail, there are two of these.
///
/// At the partitions that store commits of groups and states of queues (`__consumer_offsets`, `__share_group_state`), the failure may be that
/// what other processes have committed and answered could not be taken over: it waits where it is, and still holds.
///
/// ```
/// fn is_hopeless(failure: &annals::stats::MaintenanceFailure) -> bool {
///     failure.error.is_corruption()
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MaintenanceFailure {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The last failure.
    pub error: Error,
    /// How often that part failed in a row. Each time, the next attempt at a compaction, or at rewriting a segment without what was deleted,
    /// waits twice as long, up to an hour; everything else that frees space is tried in every round.
    pub failures: u32,
}

impl fmt::Display for MaintenanceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic_partition, error, failures } = self;
        match failures {
            1 => write!(f, "{topic_partition} failed once: {error}"),
            failures => write!(f, "{topic_partition} failed {failures} times in a row: {error}"),
        }
    }
}
