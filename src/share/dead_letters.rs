//! What was given up: looked at, sent back, or dropped.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::share::builder::QueueBuilder;
use crate::share::burial::own_name;
use crate::share::letter::{
    COUNT_HEADER, GROUP_HEADER, KEY_HEADER, MESSAGE_HEADER, Missing, OFFSET_HEADER, PARTITION_HEADER,
    TOPIC_HEADER, TOPIC_ID_HEADER, VALUE_HEADER, take_own, topic_id,
};
use crate::share::message::Message;
use crate::share::queue::Queue;
use crate::share::queues::{Queues, check_group};
use crate::share::sent_back;
use crate::share::worker::Worker;
use crate::topic::{OwnedRecord, Topic, Topics, refuse_write};
use crate::transaction::TransactionBuilder;
use crate::types::{Offset, Record};

/// The dead letters of a queue. They are a queue themselves: nobody else gets a letter that is taken until it is sent back, discarded or
/// dropped, and a letter that was sent back or discarded does not come again, even after a kill of the process. A power cut may bring it
/// back, and then takes away the message that was sent back, if neither is on the disk: [`Producer::flush`](crate::Producer::flush) ensures
/// that they are.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # for value in ["2 apples", "-1 pears"] { store.producer().send(Record::to("orders").value(value))?; }
/// let mut worker = store.queue("orders", "shipping")?;
/// for message in worker.take(2, Duration::ZERO)? {
///     message.reject("out of stock")?;
/// }
/// let mut letters = store.dead_letters("orders", "shipping")?;
/// for letter in letters.take(10)? {
///     println!("{} of {}: {}", letter.offset, letter.topic, letter.reason);
///     if letter.record().value.as_deref() == Some(b"-1 pears") {
///         letters.discard(letter)?;
///     } else {
///         letters.send_back(letter)?; // it is in stock again
///     }
/// }
/// assert_eq!(worker.take(10, Duration::ZERO)?[0].value.as_deref(), Some(&b"2 apples"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeadLetters {
    queues: Arc<Queues>,
    /// `None` where nothing was given up yet.
    worker: Option<Worker>,
    /// For the next take: this one has handed something out.
    kept: Option<Box<Error>>,
    topic: String,
    group: String,
    /// Of the transactions that send letters back.
    name: LentName,
}

/// A name for transactions, which nobody else has meanwhile. The last decision under each stays in the store: so there are no more
/// of them than handles at a time.
#[derive(Debug)]
struct LentName {
    queues: Arc<Queues>,
    number: u64,
    name: String,
    /// The store does not know how a transaction under it has ended: nobody else is to meet that in this life.
    is_spent: bool,
}

impl LentName {
    fn new(queues: &Arc<Queues>, letters: &str) -> Self {
        let mut lent = queues.redriving.lock();
        let number = (0..).find(|number| !lent.contains(number)).unwrap_or(u64::MAX);
        lent.insert(number);
        drop(lent);
        let name = format!("annals.redrive.{letters}.{number}");
        Self { queues: Arc::clone(queues), number, name, is_spent: false }
    }
}

impl Drop for LentName {
    fn drop(&mut self) {
        // Another thread may have held the lock when a child was made.
        if !self.is_spent && self.queues.process.is_current() {
            self.queues.redriving.lock().remove(&self.number);
        }
    }
}

/// A message that was given up, and why.
///
/// ```
/// # use annals::DeadLetter;
/// fn line(letter: &DeadLetter) -> String {
///     format!("{}-{}@{}: {}", letter.topic, letter.partition, letter.offset, letter.reason)
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a letter that is dropped stays where it is"]
pub struct DeadLetter {
    /// The topic that the message was in.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The message's offset.
    pub offset: Offset,
    /// The group whose queue has given the message up.
    pub group: String,
    /// How often the message was delivered.
    pub delivery_count: u16,
    /// Why the message was given up.
    pub reason: String,
    /// Which topic that was, where the letter says it.
    topic_id: Option<u128>,
    message: Message,
    /// What the message was, without what the letter says of it.
    record: OwnedRecord,
    missing: Option<Missing>,
}

/// Whether the topic that a letter is of is gone: of that id, where the letter says one, and with that `found` by its name.
pub(super) fn is_gone(topics: &Topics, found: &Result<Topic>, id: Option<u128>) -> bool {
    match (found, id) {
        (Ok(topic), Some(id)) => topic.id() != id,
        (Err(_), Some(id)) => matches!(topics.by_id(id), Ok(None)),
        (found, None) => matches!(found, Err(Error::UnknownTopic { .. })),
    }
}

impl DeadLetter {
    pub(super) fn of(message: Message) -> Self {
        let mut record = message.deref().clone();
        let own = take_own(&mut record);
        let find = |name: &str| own.iter().find(|header| header.key == name);
        let text = |name: &str| {
            let value = find(name).and_then(|header| header.value.as_deref());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        if let Some(key) = find(KEY_HEADER) {
            record.key.clone_from(&key.value);
        }
        if find(VALUE_HEADER).is_some() {
            record.value = None;
        }
        Self {
            topic: text(TOPIC_HEADER),
            partition: text(PARTITION_HEADER).parse().unwrap_or_default(),
            offset: text(OFFSET_HEADER).parse().unwrap_or(-1),
            group: text(GROUP_HEADER),
            delivery_count: text(COUNT_HEADER).parse().unwrap_or_default(),
            reason: text(MESSAGE_HEADER),
            topic_id: find(TOPIC_ID_HEADER).and_then(|header| topic_id(header.value.as_deref())),
            missing: Missing::of(&own),
            record,
            message,
        }
    }

    /// Returns whether [`record`](Self::record) is the whole message. If a message is too large for the topic of the letters, its value, its
    /// headers or its key are left out, as far as necessary: they are still in the message's own topic, as long as that keeps it.
    pub fn is_whole(&self) -> bool {
        self.missing.is_none()
    }

    /// Returns whether the topic that the message was in is gone, even if another has its name by now: then the letter can be discarded, but
    /// not sent back. A letter that does not say which topic it is of, as those written by earlier versions, belongs to whichever topic has
    /// the name.
    pub fn is_of_deleted_topic(&self) -> bool {
        matches!(self.target(), Err(Error::UnknownTopic { .. }))
    }

    /// The topic that the message was in; one that has its name now may be another.
    fn target(&self) -> Result<Topic> {
        let topics = &self.message.delivery().queue.queues.topics;
        let found = topics.get(&self.topic);
        if self.topic_id.is_some() && is_gone(topics, &found, self.topic_id) {
            return Err(Error::UnknownTopic { topic: self.topic.clone(), was_deleted: true });
        }
        found
    }

    /// Returns the key, value and headers of the message; topic, partition, offset and timestamp are the letter's.
    pub fn record(&self) -> &OwnedRecord {
        &self.record
    }
}

impl DeadLetters {
    pub(crate) fn of_queue(queues: Arc<Queues>, topic: &str, group: &str) -> Result<Self> {
        queues.topics.check_open()?;
        check_group(group, topic)?;
        let own = own_name(topic, group);
        let mut letters = Self::new(queues, &own, (topic, group));
        if !letters.find()? {
            // There is no letter yet, of a queue that there may be.
            letters.queues.topics.get(topic)?;
        }
        Ok(letters)
    }

    pub(crate) fn in_topic(queues: Arc<Queues>, letters: &str, of: (&str, &str)) -> Result<Self> {
        let worker = Self::worker(&queues, letters, of)?;
        Ok(Self { worker: Some(worker), ..Self::new(queues, letters, of) })
    }

    fn new(queues: Arc<Queues>, letters: &str, (topic, group): (&str, &str)) -> Self {
        let name = LentName::new(&queues, letters);
        Self { queues, worker: None, kept: None, topic: topic.to_owned(), group: group.to_owned(), name }
    }

    fn worker(queues: &Arc<Queues>, letters: &str, (topic, group): (&str, &str)) -> Result<Worker> {
        let builder = QueueBuilder::new(Arc::clone(queues), letters, group);
        let builder = builder.delivery_limit(u16::MAX).without_dead_letters().count_in_memory();
        builder.letters_of(topic).build()
    }

    /// Looks for the queue's own topic of letters, which comes to be with the first of them. Whether it is there.
    fn find(&mut self) -> Result<bool> {
        if self.worker.is_none() {
            let letters = match self.queues.own_letters(&own_name(&self.topic, &self.group)) {
                Err(Error::UnknownTopic { .. }) => return Ok(false),
                letters => letters?,
            };
            self.worker = Some(Self::worker(&self.queues, letters.name(), (&self.topic, &self.group))?);
        }
        Ok(true)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        self.queues.topics.check_process()?;
        self.queues.topics.check_open()
    }

    /// The queue of the letters; none while there is no topic of them.
    pub(super) fn queue(&mut self) -> Result<Option<Arc<Queue>>> {
        self.find()?;
        Ok(self.worker.as_ref().and_then(Worker::queue).cloned())
    }

    /// Takes up to `most` letters, the oldest of each partition first. A letter that is dropped stays where it is.
    ///
    /// # Errors
    /// As for [`Worker::take`].
    pub fn take(&mut self, most: usize) -> Result<Vec<DeadLetter>> {
        self.queues.topics.check_open()?;
        if !self.find()? {
            return Ok(Vec::new());
        }
        let Some(worker) = &mut self.worker else { return Ok(Vec::new()) };
        self.kept.take().map_or(Ok(()), |failure| Err(*failure))?;
        let mut letters = Vec::new();
        // One look counts with them what stands between, where that was not looked at before.
        while letters.len() < most {
            match worker.take(most - letters.len(), Duration::ZERO) {
                Ok(messages) if messages.is_empty() => break,
                Ok(messages) => letters.extend(messages.into_iter().map(DeadLetter::of)),
                Err(failure) if letters.is_empty() => return Err(failure),
                Err(failure) => {
                    self.kept = Some(Box::new(failure));
                    break;
                }
            }
        }
        Ok(letters)
    }

    /// Sends the message to its topic again, and ends the letter, in one transaction. It is a new record at the end of the partition it came from,
    /// and its deliveries are counted from the beginning. The queues of other groups skip it; consumers see it. If a letter is not
    /// [whole](DeadLetter::is_whole), the message is read from where it was. If a message is so large that there is no room for the header by which
    /// other groups skip it, it goes back without that header, and their queues get it too. If the record is copied into another topic with its
    /// headers, everybody there gets it.
    ///
    /// # Errors
    /// [`LockLost`](crate::Error::LockLost) for a letter that was [erased](crate::Store::erase) since it was taken: its record is in no topic any more.
    /// [`UnknownTopic`](crate::Error::UnknownTopic) when its topic is gone, even if another has its name by now,
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a letter that is not whole when its message is not in its topic any more, and
    /// for a letter of another store; as for [`Transaction::commit`](crate::Transaction::commit). The letter stays where it is.
    pub fn send_back(&mut self, letter: DeadLetter) -> Result<()> {
        self.queues.topics.check_process()?;
        self.check_own(&letter)?;
        // It stays so where a panic comes in between.
        let was_spent = std::mem::replace(&mut self.name.is_spent, true);
        let sent = self.send_back_in_one(letter);
        self.name.is_spent = was_spent || matches!(sent, Err(Error::Undecided { .. }));
        sent
    }

    fn send_back_in_one(&self, letter: DeadLetter) -> Result<()> {
        let target = letter.target()?;
        let original = letter.missing.as_ref().map(|missing| self.original(&letter, missing)).transpose()?;
        let DeadLetter { partition, group, message, record, .. } = letter;
        let mut record = original.unwrap_or(record);
        sent_back::take_out(&mut record);
        refuse_write(target.is_internal(), target.name())?;
        let target = target.partition(partition % target.partition_count().max(1))?;
        let producer = self.queues.producer.clone();
        let durability = self.worker.as_ref().map(Worker::durability).unwrap_or_default();
        let builder = TransactionBuilder::new(self.queues.transactions()?, producer, &self.name.name);
        // One that was erased is found out before anything is written. What it sends is in memory already.
        let mut tx = builder.durability(durability).buffer_bytes(usize::MAX).begin()?;
        let back = Record::from(&record).timestamp(self.queues.clock.now());
        let topic_id = format!("{:032x}", target.topic_id());
        let mut for_one = [sent_back::say(back.clone(), (&topic_id, &group))];
        if let Err(Error::RecordTooLarge { .. }) = target.log().check_records(&for_one) {
            for_one = [back];
        }
        let [back] = for_one;
        // Not to the topic of the name: by now that may be another.
        tx.send_to(&target, &back)?;
        tx.ack(message);
        tx.commit().map(drop)
    }

    /// The message of a letter that is not whole, where it was.
    fn original(&self, letter: &DeadLetter, missing: &Missing) -> Result<OwnedRecord> {
        let topic = self.queues.topics.get(&letter.topic)?;
        let partition = topic.partition(letter.partition)?;
        let is_there = missing.topic == Some(topic.id())
            && (partition.start()..partition.end()).contains(&letter.offset);
        let found = if is_there { partition.get(letter.offset)? } else { None };
        found.filter(|record| record.offset == letter.offset).ok_or_else(|| {
            let DeadLetter { topic, partition, offset, .. } = letter;
            let (what, at) = (&missing.what, letter.message.offset);
            let why =
                format!("{topic}-{partition}@{offset} no longer exists, and the letter {at} is without its");
            Error::invalid(format!("{why} {what}: it can only be discarded"))
        })
    }

    fn check_own(&self, letter: &DeadLetter) -> Result<()> {
        let of = &letter.message.delivery().queue.queues;
        if Arc::ptr_eq(of, &self.queues) {
            return Ok(());
        }
        let (other, own) = (of.topics.path().display(), self.queues.topics.path().display());
        Err(Error::invalid(format!("the letter is of the store in {other}, and this is the one in {own}")))
    }

    /// Ends the letter. Its record stays in the topic of the dead letters as long as that keeps it; [`Store::erase`](crate::Store::erase) of
    /// its key removes it.
    ///
    /// # Errors
    /// As for [`Message::ack`](crate::Message::ack); [`InvalidArgument`](crate::Error::InvalidArgument) for a letter of another store.
    pub fn discard(&mut self, letter: DeadLetter) -> Result<()> {
        self.queues.topics.check_process()?;
        self.check_own(&letter)?;
        letter.message.ack()
    }
}
