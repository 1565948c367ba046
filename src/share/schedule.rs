//! Sending what is to be delivered later.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::share::holds::Holds;
use crate::types::{Durability, Record, Timestamp};

/// Sends records that are delivered later: from their time on they are in their topic, for its queues and consumers alike, and
/// before that nowhere. Cheap to clone, and usable from many threads at once.
///
/// A delivery is never early by the clock of the store. It is late by up to 16 ms, and by what the maintenance has to do at that time; by up
/// to a second if that clock leaps forward. Nothing is kept in memory, however many records there are and however far their time. Records
/// with equal times have no order. A record for a topic that was deleted meanwhile is not delivered.
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

    /// Sets what a record survives when its call returns. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sends a record to the topic it names, at `at`: Unix milliseconds by the store's clock. Its partition is chosen now. Its timestamp is
    /// the time when it gets there. A record whose time has come is sent at once.
    ///
    /// # Errors
    /// As for [`Producer::send`](crate::Producer::send). [`RecordTooLarge`](crate::Error::RecordTooLarge) also for a record of more than 16
    /// MiB, with two headers of about 100 bytes that it carries meanwhile, even if its topic takes larger ones.
    pub fn deliver_at(&self, record: Record<'_>, at: Timestamp) -> Result<()> {
        self.holds.check_process()?;
        self.holds.send(&record, at, self.durability)
    }

    /// Sends a record to the topic it names, to be delivered after `delay`, counted from now.
    ///
    /// # Errors
    /// As for [`deliver_at`](Self::deliver_at).
    pub fn deliver_after(&self, record: Record<'_>, delay: Duration) -> Result<()> {
        self.holds.check_process()?;
        self.deliver_at(record, crate::share::queue::until(self.holds.now(), delay))
    }

    /// Cancels what waits for a topic under a key, and returns how many records that were. None of them is delivered once this returns,
    /// whatever crashes; those that were already delivered are in the topic. A record that is to be cancelled on its own therefore needs a
    /// key of its own.
    ///
    /// It reads everything that waits, for whatever topic, and rewrites the files of what it removes; nothing else is delivered meanwhile.
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
    /// [`UnknownTopic`](crate::Error::UnknownTopic); [`OffsetUndecided`](crate::Error::OffsetUndecided) if a disk, or a panic in a file
    /// system or clock of the program, made the delivery of such a record fail: reopening the store shows whether it was delivered, and
    /// nothing was cancelled; as for [`Topic::erase`](crate::Topic::erase): some may be left then, whichever step has failed, so call again.
    /// It is [`Poisoned`](crate::Error::Poisoned) if such a record belongs to a transaction that cannot become durable before the store is
    /// opened again, or was moved by one: it stays.
    pub fn cancel(&self, topic: &str, key: impl AsRef<[u8]>) -> Result<u64> {
        self.holds.cancel(topic, key.as_ref())
    }
}
