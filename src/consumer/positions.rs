//! Where a consumer stands, and moving it.

use crate::consumer::assigned::{Assigned, Flow};
use crate::consumer::builder::OnDeleted;
use crate::consumer::consumer::{Consumer, Role};
use crate::error::{Error, Result};
use crate::topic::{Partition, Records, unless_deleted};
use crate::types::{Offset, Timestamp, TopicPartition};

/// Where a poll has begun in a partition, and since when that is the consumer's.
#[derive(Debug)]
pub(crate) struct Polled {
    partition: Partition,
    since: u64,
    offset: Offset,
}

impl Consumer {
    /// Returns the next offset that a poll will return from a partition.
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned); [`UnknownTopic`](Error::UnknownTopic) for a partition that it has
    /// [assigned](Self::assign) itself and whose topic was deleted, whatever has its name by then;
    /// [`NoCommittedOffset`](Error::NoCommittedOffset) with [`StartFrom::Fail`](crate::StartFrom::Fail); [`Io`](Error::Io) where a
    /// [`StoreReader`](crate::StoreReader) cannot see where it is to begin.
    pub fn position(&mut self, partition: impl Into<TopicPartition>) -> Result<Offset> {
        let place = partition.into();
        self.settle(&place)?;
        self.with_assigned(&place, |assigned, settings| {
            assigned.partition.log().check_open().and_then(|()| assigned.position(settings))
        })?
    }

    /// Continues at `offset`. The next poll shows whether the partition has it.
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned), [`UnknownTopic`](Error::UnknownTopic) as for [`position`](Self::position);
    /// [`InvalidArgument`](Error::InvalidArgument) for a negative offset.
    pub fn seek(&mut self, partition: impl Into<TopicPartition>, offset: Offset) -> Result<()> {
        self.topics.check_process()?;
        if offset < 0 {
            return Err(Error::invalid(format!("offset {offset} is negative")));
        }
        let place = partition.into();
        let sought = self.with_assigned(&place, |assigned, settings| {
            assigned.partition.log().check_open().map(|()| assigned.seek(offset, settings))
        })?;
        self.endings.note_moved(&place);
        sought
    }

    /// Continues at the first record of every partition it reads.
    ///
    /// In a [`StoreReader`](crate::StoreReader) it waits while the owner of the store is opening it, for all partitions together 10 seconds at most.
    /// A partition whose start cannot be seen after that keeps its position, and this call does not report it: [`position`](Self::position)
    /// does, and the next poll says why.
    pub fn seek_to_beginning(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // The next poll says why it could not.
        drop(self.follow_group());
        self.auto_commit.note_change();
        for assigned in self.assigned.values_mut() {
            if let Ok(start) = assigned.partition.log().readable_start() {
                assigned.seek(start, &self.settings);
                self.endings.note_moved(assigned.partition.topic_partition());
            }
        }
    }

    /// Continues after the last record of every partition it reads.
    ///
    /// In a [`StoreReader`](crate::StoreReader) it waits while the owner of the store is opening it, for all partitions together 10 seconds at most.
    /// A partition whose end cannot be seen after that keeps its position, and this call does not report it: [`position`](Self::position)
    /// does, and the next poll says why.
    pub fn seek_to_end(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // The next poll says why it could not.
        drop(self.follow_group());
        self.auto_commit.note_change();
        for assigned in self.assigned.values_mut() {
            assigned.partition.log().write_queued();
            if let Ok(end) = assigned.partition.log().readable_end(self.settings.isolation) {
                assigned.seek(end, &self.settings);
                self.endings.note_moved(assigned.partition.topic_partition());
            }
        }
    }

    /// Goes back, in every partition it reads, to what does not count as done: after what this consumer last committed or, if it
    /// has committed nothing since, where it began or was moved by a seek. What polls have returned after that is returned again. This is for
    /// work that failed; a [transaction](crate::Transaction) with its offsets that takes no effect does it automatically.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// # store.producer().send(Record::to("orders").value("2 apples"))?;
    /// # fn work(_: &annals::Records) -> Result<(), &'static str> { Err("no printer") }
    /// let mut billing = store.consumer("billing")?;
    /// billing.subscribe(["orders"])?;
    /// let orders = billing.poll(Duration::from_millis(500))?;
    /// match work(&orders) {
    ///     Ok(()) => billing.commit()?,
    ///     Err(reason) => {
    ///         eprintln!("again later: {reason}");
    ///         billing.seek_to_committed();
    ///     }
    /// }
    /// assert_eq!(billing.position(("orders", 0))?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek_to_committed(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // The next poll says why it could not.
        drop(self.follow_group());
        self.auto_commit.note_change();
        self.owed.clear();
        for assigned in self.assigned.values_mut() {
            assigned.go_back();
            self.endings.note_moved(assigned.partition.topic_partition());
        }
    }

    /// Where a poll that was just made has begun.
    pub(crate) fn polled(&self, records: &Records) -> Vec<Polled> {
        let first_of = |(place, offset): (&TopicPartition, Offset)| {
            let one = self.assigned.get(place)?;
            Some(Polled { partition: one.partition.clone(), since: one.since, offset })
        };
        records.first_offsets().filter_map(first_of).collect()
    }

    /// Hands out again what polls handed out from there on. Not of a partition that was another member's in between: that one may have
    /// done it, and has committed how far.
    pub(crate) fn go_back_to(&mut self, polled: &[Polled]) {
        if !self.process.is_current() {
            return;
        }
        self.auto_commit.note_change();
        for Polled { partition, since, offset } in polled {
            let place = partition.topic_partition();
            let assigned = self.assigned.get_mut(place);
            if let Some(one) = assigned.filter(|one| one.since == *since && one.partition.is_same(partition))
            {
                one.seek(*offset, &self.settings);
                self.endings.note_moved(place);
            }
        }
    }

    /// Continues, in every partition it reads, at the earliest record of `timestamp` (Unix milliseconds) or later; at the end
    /// if there is none. A time before 1970 is before every record. A partition whose topic was deleted is left out.
    ///
    /// # Errors
    /// [`Io`](Error::Io),
    /// [`Corrupt`](Error::Corrupt): partitions before the failing one have moved.
    pub fn seek_to_time(&mut self, timestamp: Timestamp) -> Result<()> {
        self.topics.check_open()?;
        self.follow_group()?;
        self.auto_commit.note_change();
        for assigned in self.assigned.values_mut().filter(|one| !one.partition.is_gone()) {
            // The end is read before the look: what is sent meanwhile is not passed over unseen.
            assigned.partition.log().write_queued();
            let end = assigned.partition.log().readable_end(self.settings.isolation);
            let found = end.and_then(|end| Ok((end, assigned.partition.offset_for_time(timestamp)?)));
            let Some(found) = unless_deleted(found) else { continue };
            let (end, found) = found?;
            let offset = found.map_or(end, |found| found.offset);
            assigned.seek(offset, &self.settings);
            self.endings.note_moved(assigned.partition.topic_partition());
        }
        Ok(())
    }

    /// Pauses these partitions: until they are resumed, polls return nothing from them and report nothing about them. Positions stay.
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned): those before it are paused.
    pub fn pause<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) -> Result<()> {
        self.set_flow(partitions, Flow::Paused)
    }

    /// Resumes partitions after [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`NotAssigned`](Error::NotAssigned): those before it are resumed.
    pub fn resume<P: Into<TopicPartition>>(&mut self, partitions: impl IntoIterator<Item = P>) -> Result<()> {
        self.set_flow(partitions, Flow::Running)
    }

    fn set_flow<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
        flow: Flow,
    ) -> Result<()> {
        self.topics.check_process()?;
        partitions
            .into_iter()
            .try_for_each(|place| self.with_assigned(&place.into(), |assigned, _| assigned.flow = flow))
    }

    /// Returns the partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.assigned.iter().filter(|(_, assigned)| assigned.flow == Flow::Paused);
        paused.map(|(place, _)| place.clone()).collect()
    }

    /// Returns how many offsets lie between the positions of this consumer and the last records sent to its partitions, including those still
    /// in memory; for readers of committed records nothing after an undecided transaction counts. What was deleted
    /// from the front does not count. Where compaction or erasure left gaps, and where transactions have their ends, it is more than there
    /// are records; after a poll that finds nothing it is 0. But what that poll did not look at counts: paused partitions, records that are
    /// not durable yet if the consumer [reads only durable ones](crate::ConsumerBuilder::read_durable_only), and records in memory of a
    /// partition to which another thread is writing just then. A partition whose topic was deleted is left out.
    ///
    /// # Errors
    /// [`NoCommittedOffset`](Error::NoCommittedOffset) as for [`position`](Self::position); [`OffsetOutOfRange`](Error::OffsetOutOfRange)
    /// where the next poll [fails](crate::OnDeleted::Fail) because the records at a position were deleted; [`Io`](Error::Io) where a
    /// [`StoreReader`](crate::StoreReader) cannot see the end.
    pub fn lag(&mut self) -> Result<u64> {
        self.topics.check_open()?;
        self.follow_group()?;
        let life = self.topics.owners_life();
        let unseen = self.assigned.iter().filter(|(_, one)| one.is_unseen(life));
        let unseen: Vec<_> = unseen.map(|(place, _)| place.clone()).collect();
        unseen.iter().try_for_each(|place| self.settle(place))?;
        let mut lag = 0;
        for assigned in self.assigned.values_mut().filter(|one| !one.partition.is_gone()) {
            let Some(between) = unless_deleted(assigned.lag(&self.settings)) else { continue };
            lag += between?;
        }
        Ok(lag)
    }

    /// Offsets that it went on over, or began behind, as they were deleted, since the last call.
    pub(crate) fn take_deleted(&mut self) -> u64 {
        self.assigned.values_mut().map(Assigned::take_deleted).sum()
    }

    /// What to do from now on where records were deleted.
    pub(crate) fn set_on_deleted(&mut self, policy: OnDeleted) {
        self.settings.on_deleted = Some(policy);
        self.assigned.values_mut().for_each(|one| one.note_setting(&self.settings));
    }

    fn with_assigned<T>(
        &mut self,
        place: &TopicPartition,
        act: impl FnOnce(&mut Assigned, &super::builder::Settings) -> T,
    ) -> Result<T> {
        self.topics.check_open()?;
        self.follow_group()?;
        self.auto_commit.note_change();
        // A group takes it from its members a moment after its topic was deleted.
        let is_a_members = matches!(self.role, Role::Member(_));
        let is_lost = |assigned: &Assigned| is_a_members && assigned.partition.is_gone();
        match self.assigned.get_mut(place).filter(|assigned| !is_lost(assigned)) {
            Some(assigned) => Ok(act(assigned, &self.settings)),
            None => Err(Error::NotAssigned {
                partition: place.clone(),
                group: self.group.as_ref().map(|group| group.name().to_owned()).unwrap_or_default(),
                member: self.member_id().to_owned(),
            }),
        }
    }
}
