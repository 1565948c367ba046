//! Sending what is to be delivered later.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::share::holds::Holds;
use crate::types::{Durability, Record, Timestamp};

/// Sends records that are delivered later: they are in their topic from their time on, for its queues and consumers alike, and
/// nowhere before. Cheap to clone; used from many threads at once.
///
/// Never early by the clock of the store; late by up to 16 ms, and by what the maintenance has to do at that time; within a second where that clock leaps forward. Nothing is kept in memory, however many
/// there are and however far their time. Between records of equal times there is no order. What is for a topic that was
/// deleted meanwhile goes nowhere.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let schedule = store.schedule();
/// schedule.deliver_after(Record::to("orders").key("alice").value("2 apples"), Duration::from_millis(20))?;
/// let mut worker = store.queue("orders", "shipping")?;
/// let message = worker.take(1, Duration::from_secs(60))?; // sleeps until it is there
/// assert_eq!(message[0].key.as_deref(), Some(&b"alice"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    holds: Arc<Holds>,
    durability: Durability,
}

impl Schedule {
    pub(crate) fn new(holds: Arc<Holds>) -> Self {
        Self { holds, durability: Durability::default() }
    }

    /// What a record survives when its call returns. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sends a record to the topic it names, at `at`: Unix milliseconds by the store's clock. Its partition is chosen now. Its timestamp is
    /// the time when it gets there. One whose time has come is sent at once.
    ///
    /// # Errors
    /// As [`Producer::send`](crate::Producer::send). [`RecordTooLarge`](crate::Error::RecordTooLarge) also for one of more than 16 MiB, with two headers of about 100 bytes that it bears meanwhile, where its topic
    /// takes larger ones.
    pub fn deliver_at(&self, record: Record<'_>, at: Timestamp) -> Result<()> {
        self.holds.check_process()?;
        self.holds.send(&record, at, self.durability)
    }

    /// The same, so long from now.
    ///
    /// # Errors
    /// As [`deliver_at`](Self::deliver_at).
    pub fn deliver_after(&self, record: Record<'_>, delay: Duration) -> Result<()> {
        self.holds.check_process()?;
        self.deliver_at(record, crate::share::queue::until(self.holds.now(), delay))
    }

    /// Takes back what waits for a topic under a key; says how many records that are. None of them is delivered once this returns,
    /// whatever crashes; those that were delivered are in the topic. So what is to be taken back one by one needs a key of its own.
    ///
    /// Reads all that waits, for whatever topic, and writes again the files of what it takes out; nothing else is delivered meanwhile.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("reminders", TopicConfig::new())?;
    /// let schedule = store.schedule();
    /// let reminder = Record::to("reminders").key("order 17").value("still in your basket");
    /// schedule.deliver_after(reminder, Duration::from_secs(86_400))?;
    /// assert_eq!(schedule.cancel("reminders", "order 17")?, 1); // it was bought
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic); [`OffsetUndecided`](crate::Error::OffsetUndecided) where a disk, or a panic in a file system or clock of the
    /// program, has failed while such a record was to be delivered: whether it is shows after reopening the store, and nothing was taken
    /// back; as [`Topic::erase`](crate::Topic::erase): some may be left then, on whichever step has failed, call again. It is [`Poisoned`](crate::Error::Poisoned)
    /// where such a record is of a transaction that cannot become durable before the store is opened again, or was moved by one: it stays.
    pub fn cancel(&self, topic: &str, key: impl AsRef<[u8]>) -> Result<u64> {
        self.holds.cancel(topic, key.as_ref())
    }
}
