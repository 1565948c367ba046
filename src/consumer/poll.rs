//! Polling: records of all partitions in turn, and waiting for them.

use std::ops::Bound;
use std::time::Duration;

use crate::consumer::assigned::{Assigned, Flow};
use crate::consumer::consumer::{Consumer, Role};
use crate::error::{Error, Result};
#[cfg(feature = "metrics")]
use crate::io::Stopwatch;
use crate::io::undone_by_panic;
use crate::log::{FetchLimits, Patience, RecordSlice};
use crate::topic::{PartitionRecords, Records};
use crate::types::TopicPartition;

/// What a look at the partitions in turn has come to.
#[derive(Default)]
struct Round {
    fetched: Vec<PartitionRecords>,
    records: usize,
    bytes: usize,
    /// The partition that is being looked at.
    asked: Option<TopicPartition>,
}

impl Round {
    fn take_in(&mut self, place: TopicPartition, slices: Vec<RecordSlice>) {
        self.bytes += slices.iter().map(RecordSlice::stored_bytes).sum::<usize>();
        let part = PartitionRecords::new(place, slices);
        self.records += part.len();
        self.fetched.push(part);
    }
}

impl Consumer {
    /// Returns records, as soon as there are some; none after `timeout`, or when a [`ConsumerWaker`](crate::ConsumerWaker) ends the
    /// wait. It sleeps while it waits and uses no processor time. The look that begins when `timeout` is over is the last, whatever others,
    /// and its own listener, do meanwhile. Records in memory are written for it, unless another thread is writing to their partition just
    /// then: it does not wait for that thread, and is woken by it.
    ///
    /// Records of one partition come in the order of their offsets. What was returned counts as read: the next poll
    /// continues after it, and [`commit`](Self::commit) commits it. Partitions are taken in turn. A partition that fails does not hold up
    /// the others: its error is reported, and the next polls return what the others have before it is reported again. The same applies when a
    /// clock or a file system of the program panics: the panic propagates, and what the poll had read by then was not returned.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) for a damaged batch: again in turn, until a [`seek`](Self::seek) to its `resume_at` skips it.
    /// [`UnknownTopic`](Error::UnknownTopic) when a topic was deleted: once for a member of a group, also when there is another topic
    /// of that name by then; it then reads what is left of its topics, and that other one from its beginning; again in turn for a consumer that has
    /// [assigned](Self::assign) itself a partition of it, until it assigns itself others or [pauses](Self::pause) that one. [`OffsetOutOfRange`](Error::OffsetOutOfRange) and
    /// [`NoCommittedOffset`](Error::NoCommittedOffset) with [`StartFrom::Fail`](crate::StartFrom::Fail), the first of them with [`OnDeleted::Fail`](crate::OnDeleted::Fail), too.
    /// [`StoreClosed`](Error::StoreClosed), [`Io`](Error::Io).
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        #[cfg(feature = "tracing")]
        let _span = self.span_of_poll().entered();
        let mut patience = Patience::new(timeout);
        loop {
            // Read before looking: whatever comes after this look ends the wait below.
            let seen = self.signal.raised();
            match patience.bounds(|| self.look())? {
                Some(Some(records)) => return Ok(records),
                Some(None) => {}
                // Its time was over while an owner elsewhere showed nothing.
                None => return Ok(Records::new(Vec::new())),
            }
            let waits = match self.auto_commit.due() {
                Some(due) => patience.waits_until(due, &self.signal, seen),
                None => patience.waits(&self.signal, seen),
            };
            if !waits {
                return Ok(Records::new(Vec::new()));
            }
        }
    }

    /// What there is now: records, none if the wait is ended from elsewhere, nothing if it is to go on.
    pub(super) fn look(&mut self) -> Result<Option<Records>> {
        self.topics.check_open()?;
        self.follow_group()?;
        self.report_rebalance();
        self.commit_when_due();
        if let Some(topic) = self.deleted.pop_first() {
            return Err(Error::UnknownTopic { topic: topic.to_string(), was_deleted: true });
        }
        #[cfg(feature = "metrics")]
        let watch = Stopwatch::start();
        let records = self.fetch()?;
        if !records.is_empty() {
            #[cfg(feature = "metrics")]
            self.topics.figures().poll.note(watch.elapsed());
            self.auto_commit.note_change();
            return Ok(Some(records));
        }
        Ok(self.waker.take().then_some(records))
    }

    /// Named as OpenTelemetry names what receives messages.
    #[cfg(feature = "tracing")]
    fn span_of_poll(&self) -> tracing::Span {
        tracing::debug_span!(
            target: "annals",
            "poll",
            messaging.system = "annals",
            messaging.operation.name = "poll",
            messaging.operation.r#type = "receive",
            messaging.consumer.group.name = self.group.as_ref().map(|group| group.name()),
            messaging.batch.message_count = tracing::field::Empty,
        )
    }

    fn fetch(&mut self) -> Result<Records> {
        let mut round = Round::default();
        let work = |(consumer, round): &mut (&mut Self, &mut Round)| consumer.go_round(round);
        undone_by_panic((self, &mut round), work, |(consumer, round)| consumer.take_back(round))?;
        Ok(Records::new(round.fetched))
    }

    /// A file system or a clock of the program's own has panicked: nothing of the round is handed out. The others come first at the next
    /// poll.
    fn take_back(&mut self, round: &mut Round) {
        for place in round.fetched.iter().map(PartitionRecords::topic_partition) {
            if let Some(assigned) = self.assigned.get_mut(place) {
                assigned.take_back();
            }
        }
        if let Some(place) = round.asked.take() {
            self.next = self.after(&place);
            self.panicked = Some(place);
        }
    }

    fn go_round(&mut self, round: &mut Round) -> Result<()> {
        for place in self.in_turn() {
            let limits = self.settings.limits(round.records, round.bytes);
            // What panics whenever it is looked at would keep from being handed out what others have.
            let may_panic = !round.fetched.is_empty() && self.panicked.as_ref() == Some(&place);
            if limits.max_records == 0 || limits.max_bytes == 0 || may_panic {
                self.next = Some(place);
                break;
            }
            if self.assigned.get(&place).is_none_or(|one| one.flow != Flow::Running) {
                continue;
            }
            let outcome = self.ask(round.asked.insert(place), limits);
            let Some(place) = round.asked.take() else { continue };
            if self.panicked.as_ref() == Some(&place) {
                self.panicked = None;
            }
            match outcome {
                Ok(slices) if slices.is_empty() => {}
                Ok(slices) => round.take_in(place, slices),
                // The others come first at the next poll.
                Err(error) if round.fetched.is_empty() => {
                    self.next = self.after(&place);
                    self.note_deleted(&error);
                    return Err(error);
                }
                // What other partitions gave is handed out first; the next poll begins with this one and reports.
                Err(_) => {
                    self.next = Some(place);
                    break;
                }
            }
        }
        #[cfg(feature = "tracing")]
        if round.records > 0 {
            tracing::Span::current().record("messaging.batch.message_count", round.records);
        }
        Ok(())
    }

    /// The partitions, that whose turn it is first.
    fn in_turn(&mut self) -> Vec<TopicPartition> {
        let first = self.next.take();
        let ahead = self.assigned.keys().filter(|place| first.as_ref().is_none_or(|first| *place >= first));
        let before = self.assigned.keys().filter(|place| first.as_ref().is_some_and(|first| *place < first));
        ahead.chain(before).cloned().collect()
    }

    fn ask(&mut self, place: &TopicPartition, limits: FetchLimits) -> Result<Vec<RecordSlice>> {
        let settled = self.settle(place);
        let Some(assigned) = self.assigned.get_mut(place) else { return Ok(Vec::new()) };
        let was_decided = assigned.decided_position().is_some();
        let outcome = settled.and_then(|()| assigned.fetch(limits, &self.settings));
        if !was_decided {
            self.auto_commit.note_change();
        }
        outcome
    }

    /// The partition that is next in turn.
    fn after(&self, place: &TopicPartition) -> Option<TopicPartition> {
        let behind = (Bound::Excluded(place), Bound::Unbounded);
        self.assigned.range::<TopicPartition, _>(behind).next().map(|(place, _)| place.clone())
    }

    /// A member is told once that a topic is gone, be it before or after its group is.
    fn note_deleted(&mut self, error: &Error) {
        if let (Role::Member(_), Error::UnknownTopic { topic, .. }) = (&self.role, error) {
            let is_gone = |one: &Assigned| one.partition.topic() == topic && one.partition.is_gone();
            for (place, one) in std::mem::take(&mut self.assigned) {
                if is_gone(&one) {
                    self.let_go(&place, &one);
                } else {
                    self.assigned.insert(place, one);
                }
            }
        }
    }

    fn report_rebalance(&mut self) {
        if let Some(listener) = &self.settings.on_rebalance
            && let Some(change) = self.unreported.take()
        {
            Patience::call(|| (listener.0)(&change));
        }
    }
}
