//! Transactions without an end as a process sees them that only reads their store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::log::{Fate, Unended};
use crate::topic::{Topics, look_at_each, unless_deleted};
use crate::transaction::decisions::{DecisionLog, Decisions};
use crate::transaction::ids::ProducerId;
use crate::types::{Offset, Timestamp, TopicPartition};

/// Producers of one name that write at the same time have ids that are no further from each other.
const NEAR: i64 = 1 << 15;

/// The state of a transaction without an end, in Kafka's terms.
///
/// ```
/// use annals::stats::ReaderTransactionState;
/// assert_eq!(ReaderTransactionState::PrepareAbort.to_string(), "PrepareAbort");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReaderTransactionState {
    /// Nothing is decided: its process may still commit it, or another open finds out what its decision lacks.
    Ongoing,
    /// It is committed, and its ends are still to be written: within a second, or by the next open.
    PrepareCommit,
    /// It takes no effect, and its ends are still to be written: within a second, or by the next open.
    PrepareAbort,
}

impl std::fmt::Display for ReaderTransactionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
        })
    }
}

/// What a [`StoreReader`](crate::StoreReader) sees of a transaction of which some is written, and whose end is not in all of its partitions.
///
/// ```
/// fn keeps_readers_waiting(transaction: &annals::stats::ReaderTransactionStats) -> bool {
///     use annals::stats::ReaderTransactionState::Ongoing;
///     transaction.state == Ongoing && transaction.age.as_secs() > 10
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderTransactionStats {
    /// The transaction's name. It is written with the first decision under it after an open of the store: `None` for a name that has decided
    /// nothing since that open (commits of records in one partition alone are not decisions), or whose decisions were compacted away.
    pub name: Option<String>,
    /// The producer id in its batches.
    pub producer_id: i64,
    /// The producer epoch in its batches.
    pub producer_epoch: i16,
    /// The transaction's state.
    pub state: ReaderTransactionState,
    /// The time since its first record, by that record's timestamp and the clock of this process.
    pub age: Duration,
    /// The partitions where something of it is written but its end is not, in order, with the offset of its first record there: readers of
    /// committed records wait at that offset, or before it.
    pub partitions: Vec<(TopicPartition, Offset)>,
}

/// All of them, by producer, but for what topics hold that cannot be opened. Reads headers of batches from the first of them to the ends of their partitions, and where there are any what was
/// decided.
pub(crate) fn seen_transactions(topics: &Arc<Topics>, now: Timestamp) -> Result<Vec<ReaderTransactionStats>> {
    let mut seen: BTreeMap<ProducerId, Vec<(TopicPartition, Unended)>> = BTreeMap::new();
    let (open, _) = look_at_each(&topics.all(), |topic| topic.stats().map(|_| topic.clone()))?;
    for topic in open {
        for partition in topic.partitions() {
            let log = partition.log();
            let unended = unless_deleted(log.unended().map_err(|error| log.explain(error)));
            for one in unended.transpose()?.unwrap_or_default() {
                let producer = ProducerId { id: one.producer_id, epoch: one.producer_epoch };
                seen.entry(producer).or_default().push((partition.topic_partition().clone(), one));
            }
        }
    }
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    let found = DecisionLog::new(Arc::clone(topics)).load()?;
    Ok(seen.into_iter().map(|(producer, parts)| stats_of(producer, parts, (&found, now))).collect())
}

fn stats_of(
    producer: ProducerId,
    mut parts: Vec<(TopicPartition, Unended)>,
    (found, now): (&Decisions, Timestamp),
) -> ReaderTransactionStats {
    let began = parts.iter().map(|(_, one)| one.timestamp).min().unwrap_or(now);
    let state = parts.iter().map(|(_, one)| one.fate).find(|fate| *fate != Fate::Open);
    parts.sort_by(|(one, _), (other, _)| one.cmp(other));
    let name = name_of(producer.id, found);
    ReaderTransactionStats {
        name,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        state: match state {
            None | Some(Fate::Open) => ReaderTransactionState::Ongoing,
            Some(Fate::Committed) => ReaderTransactionState::PrepareCommit,
            Some(Fate::Aborted) => ReaderTransactionState::PrepareAbort,
        },
        age: Duration::from_millis(u64::try_from(now.saturating_sub(began)).unwrap_or(0)),
        partitions: parts.into_iter().map(|(place, one)| (place, one.first)).collect(),
    }
}

/// The name of whom a decision tells that is nearest: ids of one name stand side by side, those of two are far from each other.
fn name_of(id: i64, found: &Decisions) -> Option<String> {
    let at = |id: i64, epoch: i16| ProducerId { id, epoch };
    let below = found.range(at(id.saturating_sub(NEAR), i16::MIN)..=at(id, i16::MAX)).next_back();
    let above = found.range(at(id, i16::MIN)..=at(id.saturating_add(NEAR), i16::MAX)).next();
    let nearest = below.into_iter().chain(above).min_by_key(|(producer, _)| producer.id.abs_diff(id));
    nearest.map(|(_, decided)| decided.name.clone())
}
