//! Polling: records of all partitions in turn, and waiting for them.

use std::ops::Bound;
use std::time::Duration;

use crate::consumer::assigned::{Assigned, Flow};
use crate::consumer::consumer::{Consumer, Role};
use crate::error::{Error, Result};
#[cfg(feature = "metrics")]
use crate::io::Stopwatch;
use crate::log::Patience;
use crate::topic::{PartitionRecords, Records};
use crate::types::TopicPartition;

impl Consumer {
    /// Records, as soon as there are some; none after `timeout`, or when a [`ConsumerWaker`](crate::ConsumerWaker) ends the
    /// wait. Sleeps meanwhile and uses no processor. The look that begins when `timeout` is over is the last, whatever others,
    /// and a listener of its own, do meanwhile. Records in memory are written for it, unless another thread writes to their partition just
    /// then: it does not wait for that, and is woken by it.
    ///
    /// Records of one partition come in the order of their offsets. What was handed out counts as read: the next poll
    /// continues after it, and [`commit`](Self::commit) commits it. Partitions are taken in turn. One that fails is in no
    /// other's way: its error is reported, and the next polls hand out what the others have before it is reported again.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) for a damaged batch: again in turn, until a [`seek`](Self::seek) to its `resume_at` passes it over.
    /// [`UnknownTopic`](Error::UnknownTopic) when a topic was deleted: once for a member of a group, also when there is another
    /// of that name by then; it then reads what is left of its topics, and that other one from its beginning; again in turn for a consumer that has
    /// [assigned](Self::assign) itself a partition of it, until it assigns itself others or [pauses](Self::pause) that one. [`OffsetOutOfRange`](Error::OffsetOutOfRange) and
    /// [`NoCommittedOffset`](Error::NoCommittedOffset) with [`StartFrom::Fail`](crate::StartFrom::Fail).
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
            #[cfg(feature = "tracing")]
            tracing::Span::current().record("messaging.batch.message_count", records.len());
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
        let first = self.next.take();
        let ahead = self.assigned.keys().filter(|place| first.as_ref().is_none_or(|first| *place >= first));
        let before = self.assigned.keys().filter(|place| first.as_ref().is_some_and(|first| *place < first));
        let order: Vec<_> = ahead.chain(before).cloned().collect();
        let mut fetched = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        for place in order {
            let limits = self.settings.limits(records, bytes);
            if limits.max_records == 0 || limits.max_bytes == 0 {
                self.next = Some(place);
                break;
            }
            if self.assigned.get(&place).is_none_or(|one| one.flow != Flow::Running) {
                continue;
            }
            let settled = self.settle(&place);
            let Some(assigned) = self.assigned.get_mut(&place) else { continue };
            let was_decided = assigned.decided_position().is_some();
            let outcome = settled.and_then(|()| assigned.fetch(limits, &self.settings));
            if !was_decided {
                self.auto_commit.note_change();
            }
            match outcome {
                Ok(slices) if slices.is_empty() => {}
                Ok(slices) => {
                    bytes += slices.iter().map(crate::log::RecordSlice::stored_bytes).sum::<usize>();
                    let part = PartitionRecords::new(place, slices);
                    records += part.len();
                    fetched.push(part);
                }
                // The others come first at the next poll.
                Err(error) if fetched.is_empty() => {
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
        Ok(Records::new(fetched))
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
