//! Giving messages up: the dead letter and the end of the message take effect together.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::format::{DeliveryState, StateBatch, collision_key};
use crate::share::burying::{Buried, Burying};
use crate::share::letter::{Letter, MOST_HEADER_BYTES, REASON_MOST_BYTES, Without, cut};
use crate::share::queue::{Place, Queue, hash_of};
use crate::share::queues::{Queues, owner};
use crate::share::runs::Span;
use crate::share::settings::DeadLetterTopic;
use crate::share::slot::SlotInner;
use crate::topic::{Contribution, Entry, OwnedRecord, Partition, Topic, TopicConfig, refuse_write};
use crate::transaction::TransactionBuilder;
use crate::types::{Offset, Timestamp};

/// So many messages are given up at a time.
const AT_A_TIME: u64 = 32;
/// What cannot be given up now is tried again after so long.
const AGAIN_AFTER_MS: Timestamp = 1000;
/// So many reasons are kept of a partition, of 16 KiB each at most.
const MOST_REASONS: usize = 256;
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

/// Why messages came back from their last deliveries whose letters could not be written then. In memory alone.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<Offset, String>);

impl Reasons {
    fn keep(&mut self, offset: Offset, why: &str) {
        if self.0.len() >= MOST_REASONS {
            self.0.pop_first();
        }
        self.0.insert(offset, cut(why, REASON_MOST_BYTES).to_owned());
    }

    fn take(&mut self, offset: Offset) -> Option<String> {
        self.0.remove(&offset)
    }

    /// These are handed out once more, as the limit is another by now.
    pub(super) fn forget(&mut self, span: &Span) {
        while let Some((offset, _)) = self.0.range(span.first..=span.last).next() {
            let offset = *offset;
            self.0.remove(&offset);
        }
    }

    /// Up to where messages can be given up together: one that has a reason of its own is given up by itself.
    fn alike_from(&self, first: Offset) -> Offset {
        let next = self.0.range(first..).next().map(|(offset, _)| *offset);
        next.map_or(Offset::MAX, |next| first.max(next - 1))
    }
}

impl Queue {
    /// Gives up messages that were handed out as often as they may be, the last time for the reason that is given.
    pub(super) fn give_up(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (span, now, why): (Span, Timestamp, Option<&str>),
    ) -> Result<()> {
        let most = Offset::try_from(AT_A_TIME).unwrap_or(1);
        let mut span = Span { last: span.last.min(span.first.saturating_add(most - 1)), ..span };
        span.last = inner.reasons.alike_from(span.first).min(span.last);
        let why = why.map(ToOwned::to_owned).or_else(|| inner.reasons.take(span.first));
        let times = if span.count == 1 { "once".to_owned() } else { format!("{} times", span.count) };
        let mut reason = format!("delivered {times} and not done");
        why.iter().for_each(|why| reason.extend([", at last: ", why]));
        let mut buried = self.bury_span(place, inner, (span, now, &reason));
        if span.len() > 1 && matches!(buried, Err(Error::RecordTooLarge { .. } | Error::Full { .. })) {
            // There may be room for one where there is none for all of them.
            span.last = span.first;
            buried = self.bury_span(place, inner, (span, now, &reason));
        }
        if buried.as_ref().is_err_and(|error| !matches!(error, Error::Undecided { .. })) {
            // It is in nobody's way meanwhile.
            let again = now.saturating_add(AGAIN_AFTER_MS);
            why.into_iter().for_each(|why| inner.reasons.keep(span.first, &why));
            inner.state.release(span.first, span.last, Some(again));
        }
        self.watchers.raise();
        if buried.is_ok() {
            self.queues.room.raise();
        }
        buried
    }

    /// Gives messages up that are in the log still: one that was erased, or compacted away, since it was handed out is done, and leaves no letter.
    pub(super) fn bury_span(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (span, now, reason): (Span, Timestamp, &str),
    ) -> Result<()> {
        let mut records = Vec::new();
        let range = (span.first, span.last);
        self.each(place, &mut inner.again, range, |record| {
            if self.is_for(&record) {
                records.push(record.to_owned());
            }
        })?;
        self.bury(place, inner, &Burial { span, records: &records, reason, now })
    }

    /// Gives messages up: they end in the dead letters, or nowhere where there are none.
    pub(super) fn bury(&self, place: &Place, inner: &mut SlotInner, burial: &Burial<'_>) -> Result<()> {
        if self.queues.is_away() {
            return self.owe(place, inner, burial).map_err(|error| self.explain(place, error));
        }
        let Burial { span, now, .. } = *burial;
        let batch = StateBatch {
            first: span.first,
            last: span.last,
            state: DeliveryState::Archived,
            count: span.count,
        };
        match self.dead_letter_topic()? {
            Some(topic) if !burial.records.is_empty() => {
                self.bury_with_letters(place, inner, ((&topic, burial), batch))?;
            }
            _ => self.bury_without(place, inner, (batch, now))?,
        }
        if burial.records.is_empty() {
            return Ok(());
        }
        inner.counters.buried += burial.records.len() as u64;
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

    fn bury_with_letters(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        ((topic, burial), batch): ((&Topic, &Burial<'_>), StateBatch),
    ) -> Result<()> {
        let (entry, accounts) = self.queues.states.entry(&place.slot, inner, (&[batch], burial.now))?;
        let mut burying = Burying::new(self, inner, (batch, accounts));
        let buried = self.bury_together(place, (topic, burial), (&entry, &burying));
        if buried.is_ok() {
            burying.take_effect();
        }
        burying.end();
        match buried {
            // Its topic takes no letter at all, however short. The message's record is where it was. A topic without
            // room for one may have some later.
            Err(Error::RecordTooLarge { setting, .. })
                if burial.records.len() == 1 && setting != "annals.size.limit.bytes" =>
            {
                self.bury_without(place, inner, (batch, burial.now))
            }
            Err(error @ Error::Undecided { .. }) => {
                inner.set_aside(&[batch]);
                Err(error)
            }
            buried => buried,
        }
    }

    /// There are no letters.
    fn bury_without(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (batch, now): (StateBatch, Timestamp),
    ) -> Result<()> {
        self.queues.states.write(&place.slot, inner, (&[batch], now))?;
        inner.state.finish(batch.first, batch.last, batch.state);
        Ok(())
    }

    /// One letter leaves out ever more until its topic takes it. Several that are too much together are refused.
    fn bury_together(
        &self,
        place: &Place,
        (topic, burial): (&Topic, &Burial<'_>),
        (entry, burying): (&Entry, &Burying<'_>),
    ) -> Result<()> {
        let mut least = Without::Nothing;
        loop {
            let buried = self.try_to_bury(place, (topic, burial, least), (entry.clone(), burying));
            match (&buried, least.more()) {
                (Err(Error::RecordTooLarge { .. }), Some(more)) if burial.records.len() == 1 => least = more,
                _ => return buried,
            }
        }
    }

    fn try_to_bury(
        &self,
        place: &Place,
        (topic, burial, least): (&Topic, &Burial<'_>, Without),
        (entry, burying): (Entry, &Burying<'_>),
    ) -> Result<()> {
        let records = burial.records;
        let slot = &place.slot.name;
        // One name for each state: its lock is held, so nobody else has a transaction under it.
        let name = format!(
            "annals.dead-letters.{:032x}.{}.{:016x}",
            slot.topic,
            slot.partition,
            hash_of(slot.owner.as_bytes())
        );
        let producer = self.queues.producer.clone();
        // It waits for no room, for the lock is held that whoever makes room may need. What it sends is in memory already.
        let builder = TransactionBuilder::new(self.queues.transactions()?, producer, &name)
            .buffer_bytes(usize::MAX)
            .without_waiting()
            .holding_locks();
        let mut tx = builder.durability(self.settings.durability).begin()?;
        refuse_write(topic.is_internal(), topic.name())?;
        let target = topic.partition(slot.partition % topic.partition_count().max(1))?;
        self.begin_letters(&target)?;
        let is_compacted = topic.settings().compaction().is_some();
        for record in records {
            let letter = Letter::of(record, (&self.group, self.topic.id(), is_compacted), burial);
            let mut without = least;
            loop {
                let missing = letter.missing(without);
                // Not to the topic of the name: another by now would keep no letter that is not done.
                let sent = tx.send_to(&target, &letter.record(record, (without, &missing)));
                match (sent, without.more()) {
                    (Err(Error::RecordTooLarge { .. }), Some(more)) => without = more,
                    (sent, _) => break sent?,
                }
            }
        }
        let partition = self.queues.states.partition()?;
        let inputs: Vec<(Partition, Offset)> =
            records.last().map(|last| (place.partition.clone(), last.offset)).into_iter().collect();
        let (written_in, told) = (burying.written_in.clone(), burying.told.clone());
        // What is written of a state replaces nothing that is.
        let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
        let laid_over = place.partition.log().committed_at(&offsets).into_iter().collect();
        let (owners, entries, behind) = (vec![entry.key.clone()], vec![entry], Vec::new());
        let contribution = Contribution { partition, entries, inputs, behind, owners, laid_over, written_in };
        tx.take_part(|| Buried::new(contribution, told), |_| {});
        tx.commit().map(drop)
    }

    /// From the first letter on its queue has dead letters, whoever looks at them: figures show them, and nothing that is not done goes.
    fn begin_letters(&self, partition: &Partition) -> Result<()> {
        let owner = owner(&self.group, Some(self.topic.name()));
        self.queues.slot(&owner, partition, partition.start()).map(drop)
    }

    /// The topic of the dead letters, which is made for the first of them.
    fn dead_letter_topic(&self) -> Result<Option<Topic>> {
        let (name, found) = match &self.settings.dead_letters {
            DeadLetterTopic::None => return Ok(None),
            DeadLetterTopic::Named(name) => (name.clone(), self.queues.topics.get(name)),
            DeadLetterTopic::Own => {
                let name = own_name(self.topic.name(), &self.group);
                let found = self.queues.own_letters(&name);
                (name, found)
            }
        };
        match found {
            Err(Error::UnknownTopic { .. }) => {
                // What was committed for an earlier topic of the name is not to hold for this one.
                self.queues.groups.write_what_cannot_wait()?;
                let topic = self.queues.topics.ensure(&name, &self.letter_config())?;
                self.queues.news.add(name);
                Ok(Some(topic))
            }
            found => found.map(Some),
        }
    }

    /// Of a topic that takes whatever the queue's topic does, and the headers of a letter with it.
    fn letter_config(&self) -> TopicConfig {
        let config = TopicConfig::new().partitions(self.topic.partition_count());
        let most = i32::MAX.unsigned_abs();
        let bytes = self.topic.settings().max_message_bytes().saturating_add(MOST_HEADER_BYTES).min(most);
        let config = config.max_message_bytes(bytes);
        // A batch and the end of its transaction are in one segment.
        let segment: u32 = config.get("segment.bytes").parse().unwrap_or(most);
        if segment < bytes.saturating_add(MOST_HEADER_BYTES) {
            return config.segment_bytes(bytes.saturating_add(MOST_HEADER_BYTES).min(most));
        }
        config
    }
}

impl Queues {
    /// The topic of that name; or the one beside which none of that name can be, as names that differ in `.` and `_` alone. Letters
    /// say whose they are, so queues may share a topic of them.
    pub(super) fn own_letters(&self, name: &str) -> Result<Topic> {
        match self.topics.get(name) {
            Err(unknown @ Error::UnknownTopic { .. }) => {
                let is_in_the_way = |topic: &Topic| collision_key(topic.name()) == collision_key(name);
                self.topics.all().into_iter().find(is_in_the_way).ok_or(unknown)
            }
            found => found,
        }
    }
}

/// Whether that may be the name of the own topic of dead letters of some queue of a topic, or of one beside which there can be none of such a name.
pub(super) fn may_be_own(letters: &str, topic: &str) -> bool {
    let begin = format!("{topic}.");
    let begin = cut(&begin, NAME_MOST_BYTES.saturating_sub(own_end("").len()));
    let name = collision_key(letters);
    name.starts_with(&*collision_key(begin)) && name.ends_with(&*collision_key(".dead"))
}

/// How the names of such topics end that would be too long.
fn own_end(name: &str) -> String {
    format!(".{:016x}.dead", hash_of(name.as_bytes()))
}

/// The name of a queue's own topic of dead letters: what a topic's name cannot hold of the group's becomes `_`, so several groups may
/// have one.
pub(super) fn own_name(topic: &str, group: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let group: String = group.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
    let name = format!("{topic}.{group}.dead");
    if name.len() <= NAME_MOST_BYTES {
        return name;
    }
    let end = own_end(&name);
    let head: String = name.chars().take(NAME_MOST_BYTES.saturating_sub(end.len())).collect();
    format!("{head}{end}")
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
        let long = "t".repeat(NAME_MOST_BYTES);
        for (topic, group) in [("orders", "workers"), ("orders", "Büro 7"), (&long, "g"), (&long, &long)] {
            assert!(may_be_own(&own_name(topic, group), topic), "{topic} {group}");
        }
        assert!(may_be_own("a_b.workers_dead", "a.b") && !may_be_own("orders.workers.dead", "order"));
    }
}
