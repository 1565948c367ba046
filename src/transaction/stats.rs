//! Figures of transactions that are not decided.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::transaction::coordinator::Transactions;
use crate::transaction::ids::ProducerId;
use crate::types::TopicPartition;

/// A transaction of which some is written and nothing is decided: readers of committed records wait at its first record in each
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
    /// Its name. `None` for one whose commit has returned [`Undecided`](crate::Error::Undecided): nobody can end it before the
    /// store is opened again.
    pub name: Option<String>,
    /// The id that its batches bear.
    pub producer_id: i64,
    /// Since something of it was written first, by the store's clock; `None` where `name` is.
    pub age: Option<Duration>,
    /// Where something of it is written, in order.
    pub partitions: Vec<TopicPartition>,
}

type Undecided = BTreeMap<ProducerId, Vec<TopicPartition>>;

impl Transactions {
    /// Every transaction of which some is written and nothing is decided: those with a name in the order of their names, then the
    /// others. May wait for a commit that is under way.
    pub(crate) fn stats(&self) -> Vec<TransactionStats> {
        let before = self.undecided();
        let (held, mut stats) = self.stats_of_names();
        // What nobody holds, and is undecided before and after that was seen, was left so.
        let left = self
            .undecided()
            .into_iter()
            .filter(|(producer, _)| before.contains_key(producer) && !held.contains(producer));
        stats.extend(left.map(|(producer, partitions)| TransactionStats {
            name: None,
            producer_id: producer.id,
            age: None,
            partitions,
        }));
        stats
    }

    fn stats_of_names(&self) -> (Vec<ProducerId>, Vec<TransactionStats>) {
        let (mut held, mut stats) = (Vec::new(), Vec::new());
        let mut names: Vec<_> = self.names.lock().values().cloned().collect();
        names.sort_by(|one, other| one.name.cmp(&other.name));
        for named in names {
            let state = named.state.lock();
            let Some(open) = &state.open else { continue };
            let age = u64::try_from(self.now().saturating_sub(open.began)).unwrap_or(0);
            let places = open.places.values();
            let mut partitions: Vec<_> =
                places.map(|written| written.partition.topic_partition().clone()).collect();
            partitions.sort();
            held.push(open.producer);
            stats.push(TransactionStats {
                name: Some(named.name.to_string()),
                producer_id: open.producer.id,
                age: Some(Duration::from_millis(age)),
                partitions,
            });
        }
        (held, stats)
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
