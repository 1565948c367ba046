//! Figures of transactions that are not decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::transaction::coordinator::Transactions;
use crate::transaction::ids::ProducerId;
use crate::transaction::names::Begun;
use crate::types::{Timestamp, TopicPartition};

/// A transaction that has written something and is not decided: readers of committed records wait at its first record in each
/// of its partitions.
///
/// ```
/// fn keeps_readers_waiting(transaction: &annals::stats::TransactionStats) -> bool {
///     transaction.age.is_none_or(|age| age.as_secs() > 10)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionStats {
    /// The transaction's name. `None` for one whose commit has returned [`Undecided`](crate::Error::Undecided): nobody can end it before the
    /// store is opened again.
    pub name: Option<String>,
    /// The producer id in its batches.
    pub producer_id: i64,
    /// The producer epoch in its batches. Together with the id it identifies this transaction, for
    /// [`Store::abort_transaction`](crate::Store::abort_transaction).
    pub producer_epoch: i16,
    /// The time since something of it was first written, by the store's clock; `None` if `name` is.
    pub age: Option<Duration>,
    /// The partitions in which something of it is written, in order.
    pub partitions: Vec<TopicPartition>,
}

type Undecided = BTreeMap<ProducerId, Vec<TopicPartition>>;

impl Transactions {
    /// Every transaction of which some is written and nothing is decided: those with a name in the order of their names, then the
    /// others. Waits for no commit, which may wait for room or for a disk.
    pub(crate) fn stats(&self) -> Vec<TransactionStats> {
        let before = self.undecided();
        let begun = self.begun();
        let mut stats = Vec::new();
        for (producer, mut partitions) in self.undecided() {
            let named = begun.get(&producer);
            // What nobody has, and is undecided before and after that was seen, was left so.
            if named.is_none() && !before.contains_key(&producer) {
                continue;
            }
            partitions.sort();
            stats.push(TransactionStats {
                name: named.map(|(name, _)| name.to_string()),
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                age: named.map(|(_, at)| self.age_since(*at)),
                partitions,
            });
        }
        stats.sort_by(|one, other| (one.name.is_none(), &one.name).cmp(&(other.name.is_none(), &other.name)));
        stats
    }

    /// Whether somebody waits for its decision.
    pub(super) fn is_undecided(&self, producer: ProducerId) -> bool {
        self.undecided().contains_key(&producer)
    }

    fn age_since(&self, began: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.now().saturating_sub(began)).unwrap_or(0))
    }

    /// What was begun last under each name, by who writes it.
    fn begun(&self) -> BTreeMap<ProducerId, (Arc<str>, Timestamp)> {
        let names = self.names.lock();
        let begun = names.values().filter_map(|named| Some((&named.name, named.begun()?)));
        begun.map(|(name, Begun { producer, at })| (producer, (Arc::clone(name), at))).collect()
    }

    /// What the partitions know of.
    fn undecided(&self) -> Undecided {
        let mut undecided = Undecided::new();
        for topic in self.topics.all() {
            for partition in topic.partitions() {
                let open = partition.log().open_transactions().into_iter();
                for open in open.filter(|open| open.decided.is_none()) {
                    let producer = ProducerId { id: open.producer_id, epoch: open.producer_epoch };
                    undecided.entry(producer).or_default().push(partition.topic_partition().clone());
                }
            }
        }
        undecided
    }
}
