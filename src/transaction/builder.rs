//! Settings of a transaction.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::Holding;
use crate::producer::Producer;
use crate::transaction::coordinator::Transactions;
use crate::transaction::decisions::PRODUCER;
use crate::transaction::transaction::Transaction;
use crate::types::Durability;

/// Kafka's `transaction.max.timeout.ms`.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// With less none could ever be committed that is written as it comes.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
/// Kafka writes names with a 16-bit length; those of producers are longer by what tells them from others.
const NAME_MOST_BYTES: usize = 32_000;

pub(super) fn check_name(kind: &'static str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MOST_BYTES {
        let reason = "it must have 1 to 32000 bytes";
        return Err(Error::InvalidName { kind, name: name.to_owned(), reason });
    }
    Ok(())
}

fn check_transaction_name(name: &str) -> Result<()> {
    check_name("transaction", name)?;
    if name.starts_with(PRODUCER) {
        let reason = "names that begin with \"annals.producer.\" are those of named producers";
        return Err(Error::InvalidName { kind: "transaction", name: name.to_owned(), reason });
    }
    Ok(())
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) buffer_bytes: usize,
    pub(super) timeout: Duration,
    /// Whether it waits for room in a topic that is full, where the topic says so.
    pub(super) waits_for_room: bool,
    /// What whoever begins it holds, of what the partitions may require.
    pub(super) holding: Holding,
}

/// Begins a transaction with settings other than those of [`Store::transaction`](crate::Store::transaction).
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("invoices", TopicConfig::new())?;
/// let mut tx = store.transaction_builder("billing").durability(Durability::Disk).begin()?;
/// tx.send(Record::to("invoices").key("alice").value("12.50"))?;
/// tx.commit()?; // survives a power cut
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a transaction begins with `begin`"]
pub struct TransactionBuilder {
    shared: Arc<Transactions>,
    producer: Producer,
    name: String,
    settings: Settings,
}

impl TransactionBuilder {
    pub(crate) fn new(shared: &Arc<Transactions>, producer: Producer, name: &str) -> Self {
        let settings = Settings {
            durability: Durability::default(),
            buffer_bytes: 16 << 20,
            timeout: Duration::from_secs(60),
            waits_for_room: true,
            holding: Holding::Nothing,
        };
        Self { shared: Arc::clone(shared), producer, name: name.to_owned(), settings }
    }

    /// Sets what the decision survives when `commit` returns. [`Durability::Memory`] is taken as [`Durability::Os`]: a decision is
    /// always written. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// Sets how many bytes are kept in memory. What exceeds them is written at once, and then readers of committed records wait for
    /// the decision. With 0 every record is written at once. Default: 16 MiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.settings.buffer_bytes = bytes;
        self
    }

    /// `transaction.timeout.ms`: how long a transaction that has written something may stay undecided. Then it is aborted, because
    /// readers wait for it. Its calls check the time themselves, a commit before anything else: a commit that is called in time takes effect,
    /// however long it takes. If no call comes, the store's maintenance ends the transaction, within about a second; after
    /// [`maintain_by_hand`](crate::StoreBuilder::maintain_by_hand) that is [`Store::maintain`](crate::Store::maintain). Measured by the
    /// system's monotonic clock: a store's own clock, as in a test, does not end it. Default: a minute; at least a millisecond, at most 15
    /// minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// A topic that is full refuses it at once: for whoever holds what others need to make room.
    pub(crate) fn without_waiting(mut self) -> Self {
        self.settings.waits_for_room = false;
        self
    }

    /// What its partitions require before their first record is not waited for: for whoever holds locks that it may need, and has seen to it
    /// before.
    pub(crate) fn holding_locks(mut self) -> Self {
        self.settings.holding = Holding::Locks;
        self
    }

    /// Begins the transaction. An earlier user of the name is fenced, and what it has not committed is aborted. If a commit or a send of that user is
    /// under way, this waits for it, also while it waits for room in a topic that blocks when it is full.
    ///
    /// # Errors
    /// [`InvalidName`](Error::InvalidName) for an empty name, for one of more than 32000 bytes, and for one that begins with
    /// `annals.producer.`, as those of named producers do in the store's own topic; [`InvalidConfig`](Error::InvalidConfig),
    /// [`StoreClosed`](Error::StoreClosed).
    pub fn begin(self) -> Result<Transaction> {
        let Self { shared, producer, name, settings } = self;
        shared.check_process()?;
        shared.topics.check_open()?;
        check_transaction_name(&name)?;
        if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&settings.timeout) {
            let millis = settings.timeout.as_millis();
            return Err(Error::config("transaction.timeout.ms", millis, "1 to 900000"));
        }
        let owns = shared.take_name(&name)?;
        Ok(Transaction::new((shared, producer), owns, settings))
    }
}
