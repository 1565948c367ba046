//! A message that was handed out, and the answers to it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::io::{in_drop, in_drop_each};
use crate::share::queue::{Place, Queue};
use crate::share::runs::Lock;
use crate::share::selection::NO_LIMIT;
use crate::topic::OwnedRecord;
use crate::types::Offset;

/// What the messages of one look have in common.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) queue: Arc<Queue>,
    pub(super) place: Arc<Place>,
    pub(super) lock: Lock,
    pub(super) lock_timeout: Duration,
}

/// A record for this worker alone to work on, while it has the lock. It derefs to the record.
///
/// A message is answered once: [`ack`](Self::ack) when it is done, [`release`](Self::release) or [`retry`](Self::retry) when it is to be tried again,
/// [`reject`](Self::reject) when nobody should try it, [`put_back`](Self::put_back) when nobody has begun. Dropping it is a `retry`. If the lock expires
/// first, the message is delivered again, and the answer is refused with [`LockLost`](crate::Error::LockLost), even if nobody has taken it since.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
/// # fn ship(_: &annals::OwnedRecord) -> Result<(), String> { Ok(()) }
/// let mut worker = store.queue("orders", "shipping")?;
/// for message in worker.take(32, Duration::from_millis(500))? {
///     match ship(&message) {
///         Ok(()) => message.ack()?,
///         Err(_) if message.delivery_count() < 3 => message.release(Duration::from_secs(60))?,
///         Err(why) => message.reject(&why)?,
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a message that is dropped is released"]
pub struct Message {
    pub(super) record: OwnedRecord,
    count: i16,
    delivery: Arc<Delivery>,
    is_answered: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("record", &self.record).field("delivery_count", &self.count).finish_non_exhaustive()
    }
}

impl Deref for Message {
    type Target = OwnedRecord;

    fn deref(&self) -> &OwnedRecord {
        &self.record
    }
}

impl Message {
    pub(super) fn new(record: OwnedRecord, count: i16, delivery: Arc<Delivery>) -> Self {
        Self { record, count, delivery, is_answered: false }
    }

    pub(super) fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// Nothing is to be done any more when it is dropped.
    pub(super) fn forget(&mut self) {
        self.is_answered = true;
    }

    /// Returns how often it was delivered, this time included: 1 for the first time.
    pub fn delivery_count(&self) -> u16 {
        u16::try_from(self.count).unwrap_or(0)
    }

    /// Returns how often it may still be delivered if it is not done: 0 at the last time, after which it goes to the dead letters; `None`
    /// without a [limit](crate::QueueBuilder::delivery_limit).
    pub fn deliveries_left(&self) -> Option<u16> {
        let limit = self.delivery.queue.settings.delivery_limit;
        let left = u16::try_from(limit.saturating_sub(self.count)).unwrap_or(0);
        (limit != NO_LIMIT).then_some(left)
    }

    /// Returns the group whose queue has delivered it.
    pub fn group(&self) -> &str {
        &self.delivery.queue.group
    }

    /// Marks it as done: this queue never delivers it again. How durable that is depends on the queue's
    /// [`durability`](crate::QueueBuilder::durability): at `Disk` its record then also survives a power cut, and so does the step that moved it here: of a
    /// [`Schedule`](crate::Schedule), or of a letter that was sent back.
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost). [`Io`](crate::Error::Io): the answer was not accepted, and the message comes back when its lock
    /// expires; if it is from a sync at `Disk`, reopening shows whether the message comes back. [`UnknownTopic`](crate::Error::UnknownTopic),
    /// [`StoreClosed`](crate::Error::StoreClosed).
    pub fn ack(mut self) -> Result<()> {
        self.is_answered = true;
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.finish(place, *lock, &[self.record.offset])
    }

    /// Makes it be delivered again after `delay`, at once with [`Duration::ZERO`]. The delay is kept in memory: after a restart the message
    /// is due at once. A message that has reached its delivery limit goes to the dead letters.
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost); as for [`ack`](Self::ack) where it goes to the dead letters.
    pub fn release(mut self, delay: Duration) -> Result<()> {
        self.is_answered = true;
        self.release_after(Some(delay))
    }

    /// Makes it be delivered again after the delay of the queue's [`retry_policy`](crate::QueueBuilder::retry_policy).
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    pub fn retry(mut self) -> Result<()> {
        self.is_answered = true;
        self.release_after(None)
    }

    /// Retries as [`retry`](Self::retry) does, with a reason. If it was the last delivery, the dead letter contains the reason; otherwise nobody keeps it.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("mails", TopicConfig::new())?;
    /// # store.producer().send(Record::to("mails").key("alice").value("hello"))?;
    /// let mut worker = store.queue_builder("mails", "postmen").delivery_limit(2).build()?;
    /// for delivery in 1..=2 {
    ///     for mail in worker.take(1, Duration::ZERO)? {
    ///         assert_eq!(mail.deliveries_left(), Some(2 - delivery));
    ///         mail.retry_because("550 no such mailbox")?;
    ///     }
    /// }
    /// let letters = store.dead_letters("mails", "postmen")?.take(1)?;
    /// assert_eq!(letters[0].reason, "delivered 2 times and not done, at last: 550 no such mailbox");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    pub fn retry_because(mut self, reason: &str) -> Result<()> {
        self.is_answered = true;
        self.release_with(None, Some(reason))
    }

    /// Releases as [`release`](Self::release) does, with a reason, as in [`retry_because`](Self::retry_because).
    ///
    /// # Errors
    /// As for [`release`](Self::release).
    pub fn release_because(mut self, delay: Duration, reason: &str) -> Result<()> {
        self.is_answered = true;
        self.release_with(Some(delay), Some(reason))
    }

    /// Gives it back before anybody has begun to work on it: it is delivered again, at once, and this delivery does not count. This is for
    /// messages taken ahead when a worker ends. That it does not count is written as deliveries are, before anybody else gets the message,
    /// and as durably as an [`ack`](Self::ack).
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").value("2 apples"))?;
    /// # let is_ending = true;
    /// let mut worker = store.queue("orders", "shipping")?;
    /// for order in worker.take(10, Duration::ZERO)? {
    ///     if is_ending {
    ///         order.put_back()?;
    ///     }
    /// }
    /// assert_eq!(worker.take(1, Duration::ZERO)?[0].delivery_count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost). [`Io`](crate::Error::Io): it comes back when its lock expires, and was counted; if it is from a
    /// sync at `Disk`, reopening shows whether it was counted.
    pub fn put_back(mut self) -> Result<()> {
        self.is_answered = true;
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.put_back(place, *lock, &[self.record.offset])
    }

    fn release_with(&self, delay: Option<Duration>, reason: Option<&str>) -> Result<()> {
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.release_because(place, *lock, ((&[self.record.offset], delay), reason))
    }

    fn release_after(&self, delay: Option<Duration>) -> Result<()> {
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.release(place, *lock, (&[self.record.offset], delay))
    }

    /// Gives it up, so that nobody tries it again: it goes to the dead letters, which say why. The letter and the end of the message take effect
    /// together. A message that was erased, or compacted away, since it was delivered is done, and leaves no letter.
    ///
    /// # Errors
    /// As for [`ack`](Self::ack). [`Undecided`](crate::Error::Undecided): reopening the store shows whether it took effect.
    pub fn reject(mut self, reason: &str) -> Result<()> {
        self.is_answered = true;
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.reject(place, *lock, (self.record.offset, reason))
    }

    /// Renews the lock for another whole lock timeout, from now on.
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost).
    pub fn renew(&self) -> Result<()> {
        self.renew_for(self.delivery.lock_timeout)
    }

    /// Renews the lock for this time, from now on: longer, or shorter, than before.
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost).
    pub fn renew_for(&self, lock_timeout: Duration) -> Result<()> {
        let Delivery { queue, place, lock, .. } = &*self.delivery;
        queue.renew(place, *lock, (self.record.offset, lock_timeout))
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if !self.is_answered && self.delivery.queue.queues.process.is_current() {
            // Whoever has lost it has nothing left to release.
            in_drop(|| drop(self.release_after(None)));
        }
    }
}

/// The messages of one [`take`](crate::Worker::take). Dropping it releases those that are left.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # for _ in 0..3 { store.producer().send(Record::to("orders").value("2 apples"))?; }
/// let mut worker = store.queue("orders", "counting")?;
/// let messages = worker.take(100, Duration::from_millis(500))?;
/// println!("{} orders, the first at {}", messages.len(), messages[0].offset);
/// messages.ack()?; // all of them with one write
/// # assert!(worker.take(1, Duration::ZERO)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "messages that are dropped are released"]
pub struct Messages {
    messages: Vec<Message>,
}

impl Messages {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        Self { messages }
    }

    /// Marks all of them as done, with one write for those of one partition.
    ///
    /// # Errors
    /// As for [`Message::ack`]. Messages that have kept their locks are done even if another has lost its own.
    pub fn ack(mut self) -> Result<()> {
        if self.messages.len() == 1 {
            return self.messages.pop().map_or(Ok(()), Message::ack);
        }
        self.answer_each(|of, offsets| of.queue.finish(&of.place, of.lock, offsets))
    }

    /// Makes all of them be delivered again after `delay`.
    ///
    /// # Errors
    /// As for [`Message::release`].
    pub fn release(mut self, delay: Duration) -> Result<()> {
        self.answer_each(|of, offsets| of.queue.release(&of.place, of.lock, (offsets, Some(delay))))
    }

    /// Gives all of them back before anybody has begun: as [`Message::put_back`], with one write for those of one partition.
    ///
    /// # Errors
    /// As for [`Message::put_back`].
    pub fn put_back(mut self) -> Result<()> {
        self.answer_each(|of, offsets| of.queue.put_back(&of.place, of.lock, offsets))
    }

    /// Each part is answered, also where that of another fails or panics.
    fn answer_each(&mut self, answer: impl Fn(&Delivery, &[Offset]) -> Result<()>) -> Result<()> {
        let mut outcome = Ok(());
        in_drop_each(self.answered(), |(of, offsets)| {
            let answered = answer(&of, &offsets);
            outcome = std::mem::replace(&mut outcome, Ok(())).and(answered);
        });
        outcome
    }

    /// Takes all of them, by what they were handed out with.
    pub(super) fn answered(&mut self) -> Vec<(Arc<Delivery>, Vec<i64>)> {
        let mut by_delivery: Vec<(Arc<Delivery>, Vec<i64>)> = Vec::new();
        for mut message in self.messages.drain(..) {
            message.forget();
            match by_delivery.last_mut() {
                Some((delivery, offsets)) if Arc::ptr_eq(delivery, &message.delivery) => {
                    offsets.push(message.offset);
                }
                _ => by_delivery.push((Arc::clone(&message.delivery), vec![message.offset])),
            }
        }
        by_delivery
    }
}

impl Deref for Messages {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.messages
    }
}

impl IntoIterator for Messages {
    type Item = Message;
    type IntoIter = MessagesIter;

    fn into_iter(mut self) -> MessagesIter {
        MessagesIter { messages: std::mem::take(&mut self.messages).into_iter() }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let is_here = |one: &Message| one.delivery.queue.queues.process.is_current();
        if self.messages.first().is_some_and(is_here) {
            // Whoever has lost them has nothing left to release.
            in_drop_each(self.answered(), |(of, offsets)| {
                drop(of.queue.release(&of.place, of.lock, (&offsets, None)));
            });
        }
    }
}

/// Iterates over [`Messages`] by value. Dropping it releases the rest.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # for _ in 0..3 { store.producer().send(Record::to("orders").value("2 apples"))?; }
/// let mut worker = store.queue("orders", "shipping")?;
/// let mut messages = worker.take(3, Duration::ZERO)?.into_iter();
/// messages.next().unwrap().ack()?;
/// drop(messages);
/// assert_eq!(worker.take(3, Duration::ZERO)?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MessagesIter {
    messages: std::vec::IntoIter<Message>,
}

impl Iterator for MessagesIter {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.messages.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}
