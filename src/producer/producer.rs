//! Sending to any topic of the store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::RecordBody;
use crate::locks::RwLock;
use crate::log::{Append, Appended};
use crate::producer::builder::Settings;
use crate::producer::sticky::Sticky;
use crate::producer::topic_producer::TopicProducer;
use crate::topic::{BatchMetadata, Durable, Partition, RecordMetadata, Route, Topic, Topics, refuse_write};
use crate::types::Record;

/// Sends records. Cheap to clone, and usable from many threads at once. The records of one thread keep their order in each
/// partition.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// store.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let producer = store.producer();
/// let first = producer.send(Record::to("orders").key("alice").value("2 apples"))?;
/// let second = producer.send(Record::to("orders").key("alice").value("1 pear"))?;
/// assert_eq!((second.partition, second.offset), (first.partition, first.offset + 1));
/// producer.flush()?; // everything sent so far survives a power cut
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    topics: Arc<Topics>,
    settings: Settings,
    how: Append,
    /// One for each topic sent to without a key.
    sticky: RwLock<Choices>,
}

/// The sticky choices of topics, by their ids.
#[derive(Debug, Default)]
struct Choices {
    of: HashMap<u128, Arc<Sticky>>,
    /// At this number those of deleted topics are dropped.
    most: usize,
}

/// So many choices are never looked through for those of deleted topics.
const FEW_CHOICES: usize = 16;

impl Choices {
    /// The choice of a topic that has none. Those of topics that are not there any more go each time their number may have
    /// doubled, so that adding one costs no walk over all.
    fn add(&mut self, topic: u128, is_there: impl Fn(u128) -> bool) -> Arc<Sticky> {
        if self.of.len() >= self.most {
            self.of.retain(|topic, _| is_there(*topic));
            self.most = (2 * self.of.len()).max(FEW_CHOICES);
        }
        Arc::clone(self.of.entry(topic).or_insert_with(|| Arc::new(Sticky::new())))
    }
}

/// Named as OpenTelemetry names what sends messages.
#[cfg(feature = "tracing")]
fn span_of_send(topic: &str, records: usize) -> tracing::Span {
    tracing::debug_span!(
        target: "annals",
        "send",
        messaging.system = "annals",
        messaging.operation.name = "send",
        messaging.operation.r#type = "send",
        messaging.destination.name = topic,
        messaging.batch.message_count = records,
    )
}

impl Producer {
    pub(super) fn new(topics: Arc<Topics>, settings: Settings) -> Self {
        let Settings { durability, linger, batch_size, buffer_memory, .. } = settings;
        let how = Append {
            durability,
            batch_bytes: batch_size,
            linger,
            expected_end: None,
            most_open_batches: buffer_memory / batch_size.max(1),
            is_needed: false,
        };
        Self { shared: Arc::new(Shared { topics, settings, how, sticky: RwLock::default() }) }
    }

    /// Sends a record to the topic it names, and returns where it is: offsets are known at once. How far the record has gone
    /// by then is the producer's [`Durability`](crate::Durability).
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`UnknownPartition`](Error::UnknownPartition),
    /// [`RecordTooLarge`](Error::RecordTooLarge), [`KeyRequired`](Error::KeyRequired),
    /// [`InvalidTimestamp`](Error::InvalidTimestamp): the record can never be accepted as it is.
    /// [`Io`](Error::Io): nothing was appended, and the same call may succeed once the cause is gone (a full disk).
    /// [`Lost`](Error::Lost): this record was not appended, and earlier ones, accepted at `Memory`, are gone; or it is itself what is lost.
    /// [`Poisoned`](Error::Poisoned), and `Io` from a sync at `Disk`: reopening shows whether the record is there.
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata> {
        self.shared.topics.check_process()?;
        let name = topic_of(&record)?;
        #[cfg(feature = "tracing")]
        let _span = span_of_send(name, 1).entered();
        let route = Route::new(self.shared.topics.get(name)?);
        self.shared.send(&Target { route: &route, sticky: None }, &record)
    }

    /// Sends records to one partition of one topic as parts of one batch, all or nothing, with consecutive offsets. The
    /// first record chooses the partition; the others must agree with it.
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`InvalidArgument`](Error::InvalidArgument) for no records, or records that do not belong
    /// together.
    pub fn send_batch(&self, records: &[Record<'_>]) -> Result<BatchMetadata> {
        self.shared.topics.check_process()?;
        let first = records.first().ok_or_else(|| Error::invalid("a batch needs at least one record"))?;
        let name = topic_of(first)?;
        if records.iter().any(|record| record.topic_name() != Some(name)) {
            return Err(Error::invalid(format!("the first record is for topic {name:?}, another is not")));
        }
        #[cfg(feature = "tracing")]
        let _span = span_of_send(name, records.len()).entered();
        let route = Route::new(self.shared.topics.get(name)?);
        self.shared.send_batch(&Target { route: &route, sticky: None }, records)
    }

    /// The partition that a record goes to.
    pub(crate) fn place_of(&self, record: &Record<'_>) -> Result<Partition> {
        self.shared.topics.check_open()?;
        let topic = self.shared.topics.get(topic_of(record)?)?;
        if topic.is_internal() {
            return Err(Error::invalid(format!("topic {:?} is written by the store alone", topic.name())));
        }
        let route = Route::new(topic);
        let target = Target { route: &route, sticky: None };
        route.with_partitions(|partitions| {
            let number = self.shared.choose(&target, partitions, record)?;
            let found = usize::try_from(number).ok().and_then(|number| partitions.get(number));
            found.cloned().ok_or_else(|| unknown(&target, number, count(partitions)))
        })
    }

    /// Returns a producer for one topic: no name is looked up per record.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic).
    pub fn bind(&self, topic: &str) -> Result<TopicProducer> {
        self.shared.topics.check_open()?;
        Ok(TopicProducer::new(self.clone(), self.shared.topics.get(topic)?))
    }

    /// Returns when everything sent so far, by any producer of the store, survives a power cut. Topics that are deleted
    /// meanwhile are skipped.
    ///
    /// # Errors
    /// [`Lost`](Error::Lost): records accepted at `Memory` before this call are gone, and no flush has reported them, though a send may have.
    /// [`Io`](Error::Io), [`Poisoned`](Error::Poisoned). The first failure is returned; every other partition is flushed all the same. `Lost`
    /// names one partition: if others have lost records too, the next flush reports the next one.
    pub fn flush(&self) -> Result<()> {
        self.shared.topics.flush()
    }

    /// Returns a future that is ready when everything sent before this call, by any producer of the store, survives a power cut: a flush
    /// without a waiting thread. Failures are reported as by [`flush`](Self::flush).
    ///
    /// Dropping the future changes nothing: what was sent is synced as it would have been.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # async fn work(store: &Store) -> annals::Result<()> {
    /// let producer = store.producer();
    /// producer.send(Record::to("orders").key("alice").value("2 apples"))?;
    /// producer.flush_async().await?; // survives a power cut
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush_async(&self) -> Durable {
        if let Err(closed) = self.check_open() {
            return Durable::failed(closed);
        }
        let topics = self.shared.topics.all();
        Durable::of_all(topics.iter().flat_map(|topic| topic.partitions()))
    }

    /// An error once the store closes.
    pub(super) fn check_open(&self) -> Result<()> {
        self.shared.topics.check_open()
    }
}

fn topic_of<'r>(record: &Record<'r>) -> Result<&'r str> {
    record
        .topic_name()
        .ok_or_else(|| Error::invalid("the record names no topic: use Record::to, or a bound producer"))
}

/// Where records go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) route: &'a Route,
    /// The topic's, where it is at hand.
    pub(super) sticky: Option<&'a Sticky>,
}

impl Shared {
    #[inline(always)]
    pub(super) fn send(&self, target: &Target<'_>, record: &Record<'_>) -> Result<RecordMetadata> {
        self.topics.check_process()?;
        let partitions = target.route.partitions();
        let number = self.choose(target, &partitions, record)?;
        let sent = self.append(target, &partitions, number, std::slice::from_ref(record))?;
        Ok(RecordMetadata::new(number, sent.first_offset, sent.timestamp))
    }

    pub(super) fn send_batch(&self, target: &Target<'_>, records: &[Record<'_>]) -> Result<BatchMetadata> {
        self.topics.check_process()?;
        let first = records.first().ok_or_else(|| Error::invalid("a batch needs at least one record"))?;
        target.route.with_partitions(|partitions| {
            let number = self.choose(target, partitions, first)?;
            let count = count(partitions);
            let elsewhere = |record: &Record<'_>| {
                let own =
                    record.partition_number().or_else(|| self.settings.partitioner.partition(record, count));
                own.filter(|own| *own != number)
            };
            // The first was asked about: a partitioner may answer otherwise the next time.
            let others = records.get(1..).unwrap_or_default();
            let is_sure = count == 1 && others.iter().all(|record| record.partition_number().is_none());
            if !is_sure && let Some(other) = others.iter().find_map(elsewhere) {
                let why =
                    format!("the batch is for partition {number}, one of its records for partition {other}");
                return Err(Error::invalid(why));
            }
            let sent = self.append(target, partitions, number, records)?;
            Ok(BatchMetadata::new(number, (sent.first_offset, sent.last_offset), sent.timestamp))
        })
    }

    #[inline(always)]
    fn choose(&self, target: &Target<'_>, partitions: &[Partition], record: &Record<'_>) -> Result<u32> {
        if partitions.len() == 1 && record.partition_number().is_none() {
            return Ok(0);
        }
        self.choose_of(target, count(partitions), record)
    }

    fn choose_of(&self, target: &Target<'_>, count: u32, record: &Record<'_>) -> Result<u32> {
        let chosen = record.partition_number().or_else(|| self.settings.partitioner.partition(record, count));
        match chosen {
            Some(number) if number < count => Ok(number),
            Some(number) => Err(unknown(target, number, count)),
            None => {
                let bytes = RecordBody::most_len(record.key_bytes(), record.value_bytes(), record.headers());
                let choose = |sticky: &Sticky| sticky.choose(count, bytes, self.settings.batch_size);
                Ok(target.sticky.map_or_else(|| choose(&self.sticky(target.route.topic())), choose))
            }
        }
    }

    pub(super) fn sticky(&self, topic: &Topic) -> Arc<Sticky> {
        if let Some(sticky) = self.sticky.read().of.get(&topic.id()) {
            return Arc::clone(sticky);
        }
        let topics = self.topics.all();
        let ids: HashSet<_> = topics.iter().map(Topic::id).collect();
        self.sticky.write().add(topic.id(), |id| ids.contains(&id))
    }

    #[inline(always)]
    fn append(
        &self,
        target: &Target<'_>,
        partitions: &[Partition],
        number: u32,
        records: &[Record<'_>],
    ) -> Result<Appended> {
        let topic = target.route.topic();
        refuse_write(topic.is_internal(), topic.name())?;
        let Some(partition) = usize::try_from(number).ok().and_then(|number| partitions.get(number)) else {
            return Err(unknown(target, number, count(partitions)));
        };
        partition.log().append(records, &self.how)
    }
}

fn count(partitions: &[Partition]) -> u32 {
    u32::try_from(partitions.len()).unwrap_or(u32::MAX)
}

fn unknown(target: &Target<'_>, partition: u32, partitions: u32) -> Error {
    Error::UnknownPartition { topic: target.route.topic().name().to_owned(), partition, partitions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_of_topics_that_are_deleted_are_not_kept() {
        let mut choices = Choices::default();
        for topic in 0..10_000 {
            // Ten are there at a time.
            choices.add(topic, |other| other + 10 > topic);
            assert!(choices.of.len() <= 2 * FEW_CHOICES, "{} after {topic}", choices.of.len());
        }
        let kept = Arc::clone(&choices.of[&9_999]);
        assert!(Arc::ptr_eq(&choices.add(9_999, |_| true), &kept), "a topic has one choice");
        // Where none is deleted there is one for each.
        let mut choices = Choices::default();
        (0..1000).for_each(|topic| drop(choices.add(topic, |_| true)));
        assert_eq!(choices.of.len(), 1000);
    }
}
