//! Records of a step enter another, or their topics: each time in one transaction with where the step is then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::{Beyond, Group, IsOver, Pending, PendingOffsets};
use crate::log::TransactionId;
use crate::share::held::{Held, step_for};
use crate::share::holds::Holds;
use crate::share::positions::Position;
use crate::share::steps::{Leaving, Step};
use crate::topic::{MESSAGE_IDS, OwnedRecord, Partition, TRANSACTIONS};
use crate::transaction::{Transaction, TransactionBuilder};
use crate::types::{Offset, Record, Timestamp};

const NAME: &str = "annals.schedule";

impl Holds {
    /// Moves all of them in one transaction; where that is refused, one by one, so that one topic is in no other's way.
    pub(super) fn move_records(
        self: &Arc<Self>,
        groups: &[Arc<Group>],
        step: &mut Step,
        (leaving, now): (&[Leaving<'_>], Timestamp),
    ) -> Result<()> {
        if leaving.is_empty() || self.try_move(groups, step, (leaving, now)).is_ok() {
            return Ok(());
        }
        for one in leaving {
            if let Err(error) = self.try_move(groups, step, (std::slice::from_ref(one), now)) {
                self.put_off(groups, step, (one, now)).map_err(|_| error)?;
            }
        }
        Ok(())
    }

    fn try_move(
        self: &Arc<Self>,
        groups: &[Arc<Group>],
        step: &mut Step,
        (leaving, now): (&[Leaving<'_>], Timestamp),
    ) -> Result<()> {
        let mut tx = self.transaction(NAME).begin()?;
        let mut entered = Vec::new();
        for Leaving { record, .. } in leaving {
            let held = Held::of(record);
            let own = Held::strip(record);
            if held.at > now {
                entered.push(self.hold_again(&mut tx, record, (held.at - now, now))?);
                continue;
            }
            match held.target(&self.topics) {
                Ok(target) => tx.send_to(&target, &Record::from(&own).timestamp(now))?,
                // Its topic is gone, and so is everything that was sent to it.
                Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let follows = step.partition.log().committed_at(&offsets_of(leaving));
        self.commit(tx, groups, (step, &ranges_of(leaving), follows))?;
        entered.into_iter().for_each(|(step, at)| self.wake_at(step, at));
        Ok(())
    }

    /// Has a record that its topic does not take come back: the later, the longer it is refused.
    fn put_off(
        self: &Arc<Self>,
        groups: &[Arc<Group>],
        step: &mut Step,
        (leaving, now): (&Leaving<'_>, Timestamp),
    ) -> Result<()> {
        let wait = now.saturating_sub(Held::of(leaving.record).at).clamp(1000, 3_600_000);
        let mut tx = self.transaction(NAME).begin()?;
        let (number, at) = self.hold_again(&mut tx, leaving.record, (wait, now))?;
        let follows = step.partition.log().committed_at(&[leaving.record.offset]);
        self.commit(tx, groups, (step, std::slice::from_ref(&leaving.range), follows))?;
        self.wake_at(number, at);
        Ok(())
    }

    fn hold_again(
        self: &Arc<Self>,
        tx: &mut Transaction,
        record: &OwnedRecord,
        (wait, now): (Timestamp, Timestamp),
    ) -> Result<(u32, Timestamp)> {
        let partition = self.step(step_for(wait))?;
        let entered = self.enter(&partition, now);
        tx.send_to(&partition, &Record::from(record).timestamp(entered))?;
        Ok((partition.number(), entered))
    }

    /// Records with an id for later are about to move on. No move outlives the transaction that has written record and id: else the record
    /// would be there, and its id not.
    pub(super) fn keep_ids(&self, step: &Step) -> Result<()> {
        let mut rests_on = vec![step.partition.clone()];
        for internal in [&MESSAGE_IDS, &TRANSACTIONS] {
            match self.topics.get(internal.name) {
                Ok(topic) => rests_on.extend(topic.partitions()),
                Err(Error::UnknownTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        rests_on
            .iter()
            .map(Partition::log)
            .try_for_each(|log| log.flush_for_others().map_err(|error| log.explain(error)))
    }

    pub(super) fn transaction(&self, name: &str) -> TransactionBuilder {
        // What waits for one topic is in the way of no other.
        TransactionBuilder::new(&self.transactions, self.producer.clone(), name).without_waiting()
    }

    /// A step goes on behind offsets that hold nothing any more.
    pub(super) fn leave(&self, groups: &[Arc<Group>], step: &mut Step, emptied: Range<Offset>) -> Result<()> {
        let tx = self.transaction(NAME).begin()?;
        self.commit(tx, groups, (step, &[emptied], BTreeSet::new()))
    }

    fn commit(
        &self,
        mut tx: Transaction,
        groups: &[Arc<Group>],
        (step, ranges, follows): (&mut Step, &[Range<Offset>], BTreeSet<TransactionId>),
    ) -> Result<()> {
        let Position { number, group, moved, text } = self.position_to_go_on(groups, (step, ranges))?;
        let positions = vec![(step.partition.clone(), moved.first())];
        let beyond = Some(Beyond { text, read_to: moved.end(), follows });
        let (untouched, touched) = (BTreeMap::new(), BTreeMap::new());
        let (member, owed, endings, _taken) = (None, None, None, None);
        let pending = Pending { group, member, positions, owed, untouched, touched, endings, beyond, _taken };
        tx.take_part(
            || PendingOffsets::new(&self.groups, IsOver::default()),
            |offsets| offsets.set(pending),
        )?;
        tx.commit()?;
        step.say(number, moved);
        Ok(())
    }
}

fn offsets_of(leaving: &[Leaving<'_>]) -> Vec<Offset> {
    leaving.iter().map(|one| one.record.offset).collect()
}

fn ranges_of(leaving: &[Leaving<'_>]) -> Vec<Range<Offset>> {
    leaving.iter().map(|one| one.range.clone()).collect()
}
