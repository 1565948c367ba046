//! Records that are to be delivered later: any number of them, for any time, in constant memory.
//!
//! They wait in a ladder of partitions of `__delayed_messages`. All records of one step wait equally long there, so the
//! oldest is due first, and only the first ones are looked at. A record enters the highest step that is not too long for it; when it has
//! waited there it enters a lower one, and so on, and then goes to its topic. Each move is a transaction with the position in
//! the step, so that a crash neither loses a record nor delivers it twice.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::group::{Group, Groups, Pending, PendingOffsets};
use crate::io::{Clock, Deadline};
use crate::locks::Mutex;
use crate::log::{BelowStart, EraseReport, FetchLimits, Reader, RetentionPolicy, Visibility};
use crate::producer::Producer;
use crate::share::erasure::remove_where;
use crate::share::held::{Held, step_for};
use crate::share::ids::LATER_ID_HEADER;
use crate::share::wakes::Wakes;
use crate::topic::{
    DELAYED, MESSAGE_IDS, OwnedRecord, Partition, PartitionRecords, RecordRef, Records, TRANSACTIONS, Topic,
    Topics,
};
use crate::transaction::{Transaction, TransactionBuilder, Transactions};
use crate::types::{Offset, Record, Timestamp};
use crate::upkeep::{Agenda, Chore, Otherwise, Reason};

/// What one transaction moves at most.
const MOST_RECORDS: usize = 500;
const MOST_BYTES: usize = 1 << 20;
/// So many transactions follow each other before others have their turn.
const MOST_MOVES: usize = 64;
/// When what has failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const NAME: &str = "annals.schedule";

/// All records that are held.
#[derive(Debug)]
pub(crate) struct Holds {
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    transactions: Arc<Transactions>,
    pub(super) producer: Producer,
    clock: Arc<dyn Clock>,
    agenda: Arc<Agenda>,
    /// Held by whoever moves records.
    moving: Mutex<Moving>,
    /// Held for a moment, also by senders.
    wakes: Mutex<Wakes>,
    /// Held by whoever sends a record with an id: another of that name would fence it.
    pub(super) with_id: Mutex<()>,
}

/// Where each step is.
#[derive(Debug, Default)]
struct Moving {
    group: Option<Arc<Group>>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    partition: Partition,
    position: Offset,
}

impl Holds {
    pub(crate) fn open(
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        (transactions, producer): (&Arc<Transactions>, Producer),
        (clock, agenda): (&Arc<dyn Clock>, &Arc<Agenda>),
    ) -> Arc<Self> {
        let holds = Arc::new(Self {
            topics: Arc::clone(topics),
            groups: Arc::clone(groups),
            transactions: Arc::clone(transactions),
            producer,
            clock: Arc::clone(clock),
            agenda: Arc::clone(agenda),
            moving: Mutex::default(),
            wakes: Mutex::default(),
            with_id: Mutex::default(),
        });
        if topics.get(DELAYED.name).is_ok() {
            // What waits there is not known before it is looked at.
            holds.wakes.lock().all();
            holds.sleep(Duration::ZERO);
        }
        holds
    }

    /// Has none of what is held for a topic under a key be delivered. Says how many records that are.
    pub(super) fn cancel(&self, topic: &str, key: &[u8]) -> Result<u64> {
        let topic = self.topics.get(topic)?;
        self.take_out(&topic, &|other| other == key).map(|(waiting, _)| waiting)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn step(&self, number: u32) -> Result<Partition> {
        self.topics.ensure(DELAYED.name, &DELAYED.config())?.partition(number)
    }

    /// The time at which a record enters a step.
    pub(super) fn enter(&self, partition: &Partition, now: Timestamp) -> Timestamp {
        self.wakes.lock().enter(partition.number(), now)
    }

    /// A record has entered a step: it is to be looked at when the record has waited there.
    pub(super) fn wake_at(self: &Arc<Self>, step: u32, entered: Timestamp) {
        let due = Wakes::due(step, entered);
        let mut wakes = self.wakes.lock();
        let earliest = wakes.earliest();
        wakes.lower(step, due);
        drop(wakes);
        if earliest.is_none_or(|earliest| due < earliest) {
            self.sleep_until(due);
        }
    }

    fn sleep_until(self: &Arc<Self>, due: Timestamp) {
        let wait = u64::try_from(due.saturating_sub(self.now())).unwrap_or(0);
        self.sleep(Duration::from_millis(wait));
    }

    fn sleep(self: &Arc<Self>, wait: Duration) {
        let mut wakes = self.wakes.lock();
        if let Some(ticket) = wakes.ticket.take() {
            self.agenda.remove_timer(ticket);
        }
        wakes.ticket = Some(self.agenda.add_timer(self, Deadline::after(wait)));
    }

    /// Moves what is due. What fails is tried again.
    pub(crate) fn run_due(self: &Arc<Self>) -> Result<()> {
        let again = Otherwise::new(|| self.sleep(AGAIN_AFTER));
        self.move_all()?;
        let earliest = self.wakes.lock().earliest();
        if let Some(due) = earliest {
            self.sleep_until(due);
        }
        again.went_well();
        Ok(())
    }

    fn move_all(self: &Arc<Self>) -> Result<()> {
        let mut moving = self.moving.lock();
        for _ in 0..MOST_MOVES {
            let now = self.now();
            let due: Vec<_> =
                (0..DELAYED.partitions).filter(|step| self.wakes.lock().is_due(*step, now)).collect();
            if due.is_empty() {
                break;
            }
            self.look_up(&mut moving)?;
            for step in due {
                self.move_step(&mut moving, step, now)?;
            }
        }
        Ok(())
    }

    /// Where each step was left, at the first look.
    fn look_up(&self, moving: &mut Moving) -> Result<()> {
        if !moving.steps.is_empty() {
            return Ok(());
        }
        let topic = self.topics.get(DELAYED.name)?;
        moving.group = Some(self.groups.take(DELAYED.name)?);
        for partition in topic.partitions() {
            let committed = self.groups.committed(DELAYED.name, &partition).map(|committed| committed.offset);
            let position = committed.unwrap_or(0).max(partition.start());
            moving.steps.push(Step { partition, position });
        }
        Ok(())
    }

    /// Moves the oldest records of a step up to the last that has waited there, and notes when the next ones have.
    fn move_step(self: &Arc<Self>, moving: &mut Moving, number: u32, now: Timestamp) -> Result<()> {
        let Moving { group: Some(group), steps } = moving else { return Ok(()) };
        let Some(step) = usize::try_from(number).ok().and_then(|number| steps.get_mut(number)) else {
            return Ok(());
        };
        let again = Otherwise::new(|| self.wakes.lock().lower(number, now.saturating_add(1000)));
        // Before looking: whoever enters from here on says so.
        self.wakes.lock().clear(number);
        let (records, next) = self.read(step)?;
        let due_at = |record: &OwnedRecord| Wakes::due(number, record.timestamp);
        // Where the clock went back one is due before some in front of it: these enter other steps then, for as long as they have left.
        let count = records.iter().rposition(|record| due_at(record) <= now).map_or(0, |last| last + 1);
        let (due, waiting) = records.split_at_checked(count).unwrap_or_default();
        let next = waiting.first().map_or(next, |first| first.offset);
        // Of those that were not read none is due before, or there may be more.
        let first = waiting.iter().map(due_at).min().or((!due.is_empty()).then_some(now));
        first.into_iter().for_each(|at| self.wakes.lock().lower(number, at));
        if !due.is_empty() {
            self.move_records(group, step, ((due, next), now))?;
        }
        again.went_well();
        if due.is_empty() {
            return Ok(());
        }
        // What was moved is there twice until a segment of it is full, or maintenance looks.
        if step.partition.log().has_much_below(step.position) {
            drop(self.drop_moved(&step.partition));
        }
        Ok(())
    }

    fn read(&self, step: &Step) -> Result<(Vec<OwnedRecord>, Offset)> {
        let log = step.partition.log();
        let position = step.position.max(step.partition.start());
        let mut reader =
            Reader::new(Arc::clone(log), position, Visibility::Written, crate::log::OnDamage::Fail)
                .below_start(BelowStart::GoOn);
        let limits = FetchLimits { max_records: MOST_RECORDS, max_bytes: MOST_BYTES };
        let slices = reader.fetch(limits).map_err(|error| log.explain(error))?;
        let place = step.partition.topic_partition().clone();
        let records = Records::new(vec![PartitionRecords::new(place, slices)]);
        Ok((records.iter().map(|record| record.to_owned()).collect(), reader.position()))
    }

    /// Moves all of them in one transaction; where that is refused, one by one, so that one topic is in no other's way.
    fn move_records(
        self: &Arc<Self>,
        group: &Arc<Group>,
        step: &mut Step,
        ((due, next), now): ((&[OwnedRecord], Offset), Timestamp),
    ) -> Result<()> {
        if self.try_move(group, step, ((due, next), now)).is_ok() {
            return Ok(());
        }
        for (number, record) in due.iter().enumerate() {
            let behind = due.get(number + 1).map_or(next, |after| after.offset);
            let one = std::slice::from_ref(record);
            if let Err(error) = self.try_move(group, step, ((one, behind), now)) {
                self.put_off(group, step, ((record, behind), now)).map_err(|_| error)?;
            }
        }
        Ok(())
    }

    fn try_move(
        self: &Arc<Self>,
        group: &Arc<Group>,
        step: &mut Step,
        ((due, next), now): ((&[OwnedRecord], Offset), Timestamp),
    ) -> Result<()> {
        self.keep_ids(step, due)?;
        let mut tx = self.transaction(NAME).begin()?;
        let mut entered = Vec::new();
        for record in due {
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
        self.commit(tx, group, (step, next))?;
        entered.into_iter().for_each(|(step, at)| self.wake_at(step, at));
        Ok(())
    }

    /// Has a record that its topic does not take come back: the later, the longer it is refused.
    fn put_off(
        self: &Arc<Self>,
        group: &Arc<Group>,
        step: &mut Step,
        ((record, next), now): ((&OwnedRecord, Offset), Timestamp),
    ) -> Result<()> {
        let wait = now.saturating_sub(Held::of(record).at).clamp(1000, 3_600_000);
        self.keep_ids(step, std::slice::from_ref(record))?;
        let mut tx = self.transaction(NAME).begin()?;
        let (number, at) = self.hold_again(&mut tx, record, (wait, now))?;
        self.commit(tx, group, (step, next))?;
        self.wake_at(number, at);
        Ok(())
    }

    fn hold_again(
        &self,
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
    fn keep_ids(&self, step: &Step, records: &[OwnedRecord]) -> Result<()> {
        let has_id = |record: &OwnedRecord| record.headers.iter().any(|header| header.key == LATER_ID_HEADER);
        if !records.iter().any(has_id) {
            return Ok(());
        }
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

    fn commit(
        &self,
        mut tx: Transaction,
        group: &Arc<Group>,
        (step, next): (&mut Step, Offset),
    ) -> Result<()> {
        let positions = vec![(step.partition.clone(), next)];
        let pending =
            Pending { group: Arc::clone(group), member: None, positions, endings: None, _taken: None };
        tx.take_part(|| PendingOffsets::new(&self.groups), |offsets| offsets.set(pending))?;
        tx.commit()?;
        step.position = next;
        Ok(())
    }

    /// Takes out what is held for a topic and has such a key: none of it is delivered any more. What was moved and is still there goes, too.
    /// Reads all that is held; nothing is moved meanwhile.
    pub(super) fn take_out(
        &self,
        topic: &Topic,
        key_matches: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(u64, Vec<EraseReport>)> {
        let Ok(held) = self.topics.get(DELAYED.name) else { return Ok((0, Vec::new())) };
        let mut moving = self.moving.lock();
        self.look_up(&mut moving)?;
        let (mut waiting, mut reports) = (0, Vec::new());
        for step in &moving.steps {
            let goes = |record: &RecordRef<'_>| {
                record.key().is_some_and(key_matches) && Held::is_for(record, topic.id())
            };
            let partition = held.partition(step.partition.number())?;
            let (offsets, report) = remove_where(&partition, &goes)?;
            waiting += offsets.iter().filter(|offset| **offset >= step.position).count() as u64;
            reports.push(report);
        }
        Ok((waiting, reports))
    }

    /// Takes out of all steps what was moved: part of a round of maintenance.
    pub(crate) fn drop_all_moved(&self) -> Result<()> {
        let Ok(topic) = self.topics.get(DELAYED.name) else { return Ok(()) };
        let mut first = Ok(());
        for partition in topic.partitions().iter().filter(|one| one.log().poisoned_by().is_none()) {
            match self.drop_moved(partition) {
                // A backup is copying it: the next round will do.
                Err(Error::Held { .. }) => {}
                dropped => first = first.and(dropped),
            }
        }
        first
    }

    fn drop_moved(&self, partition: &Partition) -> Result<()> {
        let keep_from = self.groups.removable_below(partition)?;
        partition.apply_retention(|| RetentionPolicy { keep_from, ..RetentionPolicy::default() }).map(drop)
    }
}

impl Chore for Holds {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.run_due()
    }
}
