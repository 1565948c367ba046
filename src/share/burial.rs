//! Giving messages up: the dead letter and the end of the message take effect together.

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::format::{DeliveryState, StateBatch};
use crate::locks::Mutex;
use crate::share::queue::{Place, Queue, hash_of};
use crate::share::runs::Span;
use crate::share::settings::DeadLetterTopic;
use crate::share::slot::SlotInner;
use crate::topic::{
    Contribution, Entry, Outcome, OwnedRecord, Participant, Partition, Prepared, SHARE_STATE, Topic,
    TopicConfig,
};
use crate::transaction::TransactionBuilder;
use crate::types::{Offset, Record, Timestamp};

/// Kafka's headers of a dead letter, behind those of the record.
pub(super) const TOPIC_HEADER: &str = "__dlq.errors.topic";
pub(super) const PARTITION_HEADER: &str = "__dlq.errors.partition";
pub(super) const OFFSET_HEADER: &str = "__dlq.errors.offset";
pub(super) const GROUP_HEADER: &str = "__dlq.errors.group";
pub(super) const COUNT_HEADER: &str = "__dlq.errors.delivery.count";
pub(super) const MESSAGE_HEADER: &str = "__dlq.errors.message";

/// So many messages are given up at a time.
pub(super) const AT_A_TIME: u64 = 32;
/// What cannot be given up now is tried again after so long.
pub(super) const AGAIN_AFTER_MS: Timestamp = 1000;
/// The most bytes of a topic's name.
const NAME_MOST_BYTES: usize = 249;

/// Messages that are to be given up.
pub(super) struct Burial<'a> {
    pub(super) span: Span,
    /// Those of them that are there.
    pub(super) records: &'a [OwnedRecord],
    pub(super) reason: &'a str,
    pub(super) now: Timestamp,
}

/// The state's part of the transaction. Whoever gives up holds the state's lock until it is decided.
#[derive(Debug)]
struct Buried {
    contribution: Mutex<Option<Contribution>>,
}

/// The same, with its records.
struct BuriedRecords(Contribution);

impl Participant for Buried {
    fn topic(&self) -> &'static str {
        SHARE_STATE.name
    }

    fn prepare(&self) -> Result<Option<Box<dyn Prepared + '_>>> {
        let contribution = self.contribution.lock().take();
        Ok(contribution.map(|contribution| Box::new(BuriedRecords(contribution)) as Box<dyn Prepared>))
    }
}

impl Prepared for BuriedRecords {
    fn contribution(&self) -> &Contribution {
        &self.0
    }

    fn end(self: Box<Self>, _outcome: Outcome) {}
}

impl Queue {
    /// Gives messages up: they end in the dead letters, or nowhere where there are none.
    pub(super) fn bury(&self, place: &Place, inner: &mut SlotInner, burial: &Burial<'_>) -> Result<()> {
        let Burial { span, now, .. } = *burial;
        let batch = StateBatch {
            first: span.first,
            last: span.last,
            state: DeliveryState::Archived,
            count: span.count,
        };
        match self.dead_letter_topic()? {
            Some(topic) if !burial.records.is_empty() => {
                let (entry, accounts) = self.queues.states.entry(&place.slot, inner, (vec![batch], now))?;
                let buried = self.bury_together(place, (&topic, burial), entry);
                if let Err(Error::Undecided { .. }) = buried {
                    inner.set_aside(&[span]);
                }
                buried?;
                inner.accounts = accounts;
            }
            _ => self.queues.states.write(&place.slot, inner, (vec![batch], now))?,
        }
        inner.state.finish(span.first, span.last, DeliveryState::Archived);
        inner.counters.buried += span.len();
        self.queues.topics.figures().events.note(|| Event::GivenUp {
            partition: place.partition.topic_partition().clone(),
            group: self.group.to_string(),
            first: span.first,
            last: span.last,
            deliveries: u16::try_from(span.count).unwrap_or(0),
            reason: burial.reason.to_owned(),
        });
        Ok(())
    }

    fn bury_together(
        &self,
        place: &Place,
        (topic, burial): (&Topic, &Burial<'_>),
        entry: Entry,
    ) -> Result<()> {
        let records = burial.records;
        let slot = &place.slot.name;
        // One name for each state: its lock is held, so nobody else has a transaction under it.
        let name = format!(
            "annals.dead-letters.{:032x}.{}.{:016x}",
            slot.topic,
            slot.partition,
            hash_of(slot.group.as_bytes())
        );
        let producer = self.queues.producer.clone();
        let builder = TransactionBuilder::new(&self.queues.transactions, producer, &name);
        let mut tx = builder.durability(self.settings.durability).begin()?;
        for record in records {
            let letter = Letter::of(record, (&self.group, burial));
            let target = slot.partition % topic.partition_count().max(1);
            match tx
                .send(letter.record(record, record.value.as_deref()).topic(topic.name()).partition(target))
            {
                // Its place is told, and it is there as long as its topic keeps it.
                Err(Error::RecordTooLarge { .. }) => {
                    tx.send(letter.record(record, None).topic(topic.name()).partition(target))?;
                }
                other => other?,
            }
        }
        let partition = self.queues.states.partition()?;
        let inputs: Vec<(Partition, Offset)> =
            records.last().map(|last| (place.partition.clone(), last.offset)).into_iter().collect();
        let contribution = Mutex::new(Some(Contribution { partition, entries: vec![entry], inputs }));
        tx.take_part(|| Buried { contribution }, |_| {});
        tx.commit().map(drop)
    }

    /// The topic of the dead letters, which is made for the first of them.
    fn dead_letter_topic(&self) -> Result<Option<Topic>> {
        let name = match &self.settings.dead_letters {
            DeadLetterTopic::None => return Ok(None),
            DeadLetterTopic::Named(name) => name.clone(),
            DeadLetterTopic::Own => own_name(self.topic.name(), &self.group),
        };
        match self.queues.topics.get(&name) {
            Err(Error::UnknownTopic { .. }) => {
                let config = TopicConfig::new().partitions(self.topic.partition_count());
                let topic = self.queues.topics.ensure(&name, &config)?;
                self.queues.groups.topic_changed(&name);
                Ok(Some(topic))
            }
            found => found.map(Some),
        }
    }
}

/// The name of a queue's own topic of dead letters: what a topic's name cannot hold of the group's becomes `_`.
pub(super) fn own_name(topic: &str, group: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let group: String = group.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    let name = format!("{topic}.{group}.dead");
    if name.len() <= NAME_MOST_BYTES {
        return name;
    }
    let end = format!(".{:016x}.dead", hash_of(name.as_bytes()));
    let head: String = name.chars().take(NAME_MOST_BYTES.saturating_sub(end.len())).collect();
    format!("{head}{end}")
}

/// What a dead letter says of its message.
struct Letter {
    topic: String,
    partition: String,
    offset: String,
    group: String,
    count: String,
    reason: String,
}

impl Letter {
    fn of(record: &OwnedRecord, (group, burial): (&str, &Burial<'_>)) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: record.partition.to_string(),
            offset: record.offset.to_string(),
            group: group.to_owned(),
            count: burial.span.count.to_string(),
            reason: burial.reason.to_owned(),
        }
    }

    fn record<'a>(&'a self, record: &'a OwnedRecord, value: Option<&'a [u8]>) -> Record<'a> {
        let mut letter = Record::new();
        if let Some(key) = &record.key {
            letter = letter.key(key);
        }
        if let Some(value) = value {
            letter = letter.value(value);
        }
        for header in &record.headers {
            letter = match &header.value {
                Some(value) => letter.header(&header.key, value),
                None => letter.null_header(&header.key),
            };
        }
        let own = [
            (TOPIC_HEADER, &self.topic),
            (PARTITION_HEADER, &self.partition),
            (OFFSET_HEADER, &self.offset),
            (GROUP_HEADER, &self.group),
            (COUNT_HEADER, &self.count),
            (MESSAGE_HEADER, &self.reason),
        ];
        own.into_iter().fold(letter, |letter, (name, value)| letter.header(name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_dead_letters_has_a_name_that_a_topic_can_have() {
        assert_eq!(own_name("orders", "workers"), "orders.workers.dead");
        assert_eq!(own_name("orders", "Büro 7"), "orders.B_ro_7.dead");
        let long = own_name("orders", &"g".repeat(1000));
        assert_eq!(long.len(), NAME_MOST_BYTES);
        assert_ne!(long, own_name("orders", &"g".repeat(1001)));
    }
}
