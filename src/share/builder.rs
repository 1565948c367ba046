//! Settings of a queue.

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::StartFrom;
use crate::error::{Error, Result};
use crate::format::check_topic_name;
use crate::log::OnDamage;
use crate::share::queues::Queues;
use crate::share::retry::RetryPolicy;
use crate::share::settings::{Asked, DeadLetterTopic, LOCK_TIMEOUT};
use crate::share::worker::Worker;
use crate::topic::refuse_change;
use crate::types::Durability;

/// One take in so many begins with a lower class.
const LOWER_SHARE: u64 = 16;

/// Builds a [`Worker`] with settings other than those of [`Store::queue`](crate::Store::queue). All workers of a queue need the same
/// settings, except for the lock timeout and the priorities: a worker that asks for others is refused while they work. What is not set keeps
/// its current value.
///
/// ```
/// # use annals::{Durability, Store, TopicConfig};
/// # use annals::queue::RetryPolicy;
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let mut worker = store
///     .queue_builder("orders", "shipping")
///     .lock_timeout(Duration::from_secs(300))
///     .delivery_limit(10)
///     .retry_policy(RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(600)).jitter(20, 7))
///     .ordered_by_key()
///     .durability(Durability::Disk)
///     .build()?;
/// assert!(worker.take(1, Duration::ZERO)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct QueueBuilder {
    queues: Arc<Queues>,
    topics: Vec<String>,
    group: String,
    asked: Asked,
    lock_timeout: Duration,
    lower_share: Option<u64>,
}

impl QueueBuilder {
    pub(crate) fn new(queues: Arc<Queues>, topic: &str, group: &str) -> Self {
        Self {
            queues,
            topics: vec![topic.to_owned()],
            group: group.to_owned(),
            asked: Asked::default(),
            lock_timeout: LOCK_TIMEOUT,
            lower_share: Some(LOWER_SHARE),
        }
    }

    /// `group.share.record.lock.duration.ms`: how long this worker holds a message. Work that takes longer
    /// [renews](crate::Message::renew) the lock. By the store's clock. Default: 30 s. At least 1 ms.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// `group.share.delivery.count.limit`: how often a message is delivered at most, counting crashes of the process. Then it goes to the
    /// dead letters. At least 1; 32767 and more mean no limit. Default: 5.
    pub fn delivery_limit(mut self, deliveries: u16) -> Self {
        self.asked.delivery_limit = Some(deliveries);
        self
    }

    /// Sets how long a message waits that is [retried](crate::Message::retry) or dropped. Default: not at all.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.asked.retry = Some(policy);
        self
    }

    /// Delivers at most one message of a key at a time, and that is the oldest one that is not done. A message that is to be tried again
    /// keeps the later ones of its key waiting until it is done or given up, but no others. Records without a key are delivered freely.
    ///
    /// Equal keys have to be in one partition, as producers put them. About 65,536 records of a partition, and as many as a take asks for,
    /// are examined beyond the oldest that is not done; when all of them wait for their keys, later ones wait too. With [`then`](Self::then)
    /// each topic keeps its own order.
    pub fn ordered_by_key(mut self) -> Self {
        self.asked.is_ordered = Some(true);
        self
    }

    /// Adds a topic of lower priority than those already added: its messages are delivered when the ones before have none. The group
    /// has a queue on each.
    pub fn then(mut self, topic: &str) -> Self {
        self.topics.push(topic.to_owned());
        self
    }

    /// Makes one [`take`](Worker::take) in so many begin with a lower topic, each in turn, so that none starves. Default: 16.
    pub fn lower_share(mut self, takes: u64) -> Self {
        self.lower_share = Some(takes.max(1));
        self
    }

    /// Gives lower topics nothing as long as a higher one has something.
    pub fn strict_priority(mut self) -> Self {
        self.lower_share = None;
        self
    }

    /// Sets the topic that takes what is given up. It is created for the first message if there is none, with as many partitions.
    /// Default: one of the queue's own, `TOPIC.GROUP.dead`. [`Store::dead_letters_in`](crate::Store::dead_letters_in) reads what is in a
    /// chosen topic.
    pub fn dead_letter_topic(mut self, topic: &str) -> Self {
        self.asked.dead_letters = Some(DeadLetterTopic::Named(topic.to_owned()));
        self
    }

    /// Keeps nothing of messages that are given up, as in Kafka by default. Their records stay in the topic as long as it keeps them.
    pub fn without_dead_letters(mut self) -> Self {
        self.asked.dead_letters = Some(DeadLetterTopic::None);
        self
    }

    /// Sets what an answer survives when its call returns; [`Durability::Memory`] is taken as [`Durability::Os`]. If an answer is lost in a
    /// power cut, the message is delivered again. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.asked.durability = Some(durability);
        self
    }

    /// Sets where a new queue begins. [`StartFrom::Fail`] refuses to create one. Default: [`StartFrom::Earliest`].
    pub fn start_from(mut self, start_from: StartFrom) -> Self {
        self.asked.start_from = Some(start_from);
        self
    }

    /// Sets what is done about a damaged batch. Default: [`OnDamage::Fail`].
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.asked.on_damage = Some(on_damage);
        self
    }

    /// Counts deliveries in memory only, which saves a small write for each take. A message that ends the process is then
    /// delivered for ever.
    pub fn count_in_memory(mut self) -> Self {
        self.asked.counts_written = Some(false);
        self
    }

    /// Its topic is one of dead letters, of which those of the group's queue on `topic` are handed out.
    pub(super) fn letters_of(mut self, topic: &str) -> Self {
        self.asked.letters_of = Some(topic.into());
        self
    }

    /// Builds the worker; a new queue begins now.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`InvalidName`](Error::InvalidName), [`InvalidConfig`](Error::InvalidConfig),
    /// [`InvalidArgument`](Error::InvalidArgument) when the queue is in use with other settings, by workers or for messages that they have
    /// taken, and for a topic of dead letters that is the queue's own topic, [`TopicExists`](Error::TopicExists) for one whose name clashes
    /// with that of another topic, [`NoCommittedOffset`](Error::NoCommittedOffset) with [`StartFrom::Fail`], [`Io`](Error::Io),
    /// [`StoreClosed`](Error::StoreClosed); [`GroupInUse`](Error::GroupInUse) when another process has the queue, and whatever prevents
    /// taking over what that process did there. In a process that does not own the store, as
    /// [`StoreReader::queue_builder`](crate::StoreReader::queue_builder) says.
    pub fn build(self) -> Result<Worker> {
        let Self { queues, topics, group, asked, lock_timeout, lower_share } = self;
        queues.topics.check_open()?;
        if lock_timeout < Duration::from_millis(1) {
            let key = "group.share.record.lock.duration.ms";
            return Err(Error::config(
                key,
                lock_timeout.as_millis(),
                "at least 1 ms: no answer would come in time",
            ));
        }
        if let Some((number, topic)) = topics
            .iter()
            .enumerate()
            .find(|(number, topic)| topics.iter().take(*number).any(|other| other == *topic))
        {
            return Err(Error::invalid(format!("topic {topic:?} is listed twice, also as number {number}")));
        }
        if let Some(DeadLetterTopic::Named(name)) = &asked.dead_letters {
            check_letters(&queues, name, &topics)?;
        }
        let joined = topics.iter().map(|topic| queues.join(&group, topic, &asked)).collect::<Result<_>>()?;
        Ok(Worker::new(queues, joined, (lower_share, lock_timeout)))
    }
}

/// Refuses a topic that could not take dead letters.
fn check_letters(queues: &Queues, name: &str, topics: &[String]) -> Result<()> {
    if topics.iter().any(|topic| topic == name) {
        return Err(Error::invalid(format!("topic {name:?} cannot take the dead letters of its own queue")));
    }
    check_topic_name(name).map_err(|reason| Error::InvalidName {
        kind: "topic",
        name: name.to_owned(),
        reason,
    })?;
    refuse_change(name)?;
    match queues.own_letters(name) {
        Ok(found) if found.name() != name => {
            let existing = found.name().to_owned();
            Err(Error::TopicExists { topic: name.to_owned(), existing })
        }
        Ok(_) | Err(Error::UnknownTopic { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
