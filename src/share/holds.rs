//! Records that are to be delivered later: any number of them, for any time, in constant memory.
//!
//! They wait in a ladder of partitions of `__delayed_messages`. All records of one step wait equally long there, so the
//! oldest is due first, and only the first ones are looked at. A record enters the highest step that is not too long for it; when it has
//! waited there it enters a lower one, and so on, and then goes to its topic. Each move is a transaction with the position in
//! the step, so that a crash neither loses a record nor delivers it twice.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::group::{Group, Groups};
use crate::io::{Clock, Deadline};
use crate::locks::{Mutex, MutexGuard};
use crate::log::{EraseReport, RetentionPolicy};
use crate::producer::Producer;
use crate::share::erasure::{find, is_any, remove};
use crate::share::held::Held;
use crate::share::steps::{Step, Steps};
use crate::share::wakes::Wakes;
use crate::topic::{DELAYED, Partition, RecordRef, Topic, Topics};
use crate::transaction::Transactions;
use crate::types::Timestamp;
use crate::upkeep::{Agenda, Chore, Otherwise, Reason};

/// All records that are held.
#[derive(Debug)]
pub(crate) struct Holds {
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) transactions: Arc<Transactions>,
    pub(super) producer: Producer,
    clock: Arc<dyn Clock>,
    agenda: Arc<Agenda>,
    /// Held by whoever moves records.
    pub(super) steps: Mutex<Steps>,
    /// Held for a moment, also by senders.
    pub(super) wakes: Mutex<Wakes>,
    /// Held by whoever sends a record with an id: another of that name would fence it.
    pub(super) with_id: Mutex<()>,
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
            steps: Mutex::default(),
            wakes: Mutex::default(),
            with_id: Mutex::default(),
        });
        if let Ok(topic) = topics.get(DELAYED.name) {
            holds.cut_positions(&topic);
            // What waits there is not known before it is looked at.
            holds.wakes.lock().all();
            holds.set_timer();
        }
        holds
    }

    /// Has none of what is held for a topic under a key be delivered. Says how many records that are.
    pub(super) fn cancel(&self, topic: &str, key: &[u8]) -> Result<u64> {
        let topic = self.topics.get(topic)?;
        let key_matches = |other: &[u8]| other == key;
        let Some(steps) = self.hold_steps()? else { return Ok(0) };
        self.check_decided(&steps, (&topic, &key_matches))?;
        self.take_out_of(&steps, (&topic, &key_matches)).map(|(waiting, _)| waiting)
    }

    /// An error in a child of a fork.
    pub(super) fn check_process(&self) -> Result<()> {
        self.topics.check_process()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn step(&self, number: u32) -> Result<Partition> {
        self.topics.ensure(DELAYED.name, &DELAYED.config())?.partition(number)
    }

    /// The time at which a record enters a step. What a clock that was ahead has put in front of it is looked for at once: it is known by
    /// its time, until the clock is there again.
    pub(super) fn enter(self: &Arc<Self>, partition: &Partition, now: Timestamp) -> Timestamp {
        let mut wakes = self.wakes.lock();
        let entered = wakes.enter(partition.number(), now);
        let is_due = wakes.earliest() == Some(Timestamp::MIN);
        drop(wakes);
        if is_due {
            self.set_timer();
        }
        entered
    }

    /// A record has entered a step: it is to be looked at when the record has waited there.
    pub(super) fn wake_at(self: &Arc<Self>, step: u32, entered: Timestamp) {
        let due = Wakes::due(step, entered);
        let mut wakes = self.wakes.lock();
        let earliest = wakes.earliest();
        wakes.lower(step, due);
        drop(wakes);
        if earliest.is_none_or(|earliest| due < earliest) {
            self.set_timer();
        }
    }

    /// A step is to be looked at now. It asks no clock.
    pub(super) fn look_at(self: &Arc<Self>, step: u32) {
        let mut wakes = self.wakes.lock();
        wakes.lower(step, Timestamp::MIN);
        self.sleep(&mut wakes, Duration::ZERO);
    }

    /// Sets the one timer to the earliest time by now: of two who have lowered it each may come last, and none takes away what the other has set.
    pub(super) fn set_timer(self: &Arc<Self>) {
        // Where a clock of the program's own panics, whoever looks at what is due asks it again.
        let at_once = Otherwise::new(|| self.try_again_after(Duration::ZERO));
        let mut wakes = self.wakes.lock();
        if let Some(due) = wakes.earliest() {
            let wait = u64::try_from(due.saturating_sub(self.now())).unwrap_or(0);
            self.sleep(&mut wakes, Duration::from_millis(wait));
        }
        drop(wakes);
        at_once.went_well();
    }

    /// What is due is looked at again after so long, and not before.
    pub(super) fn try_again_after(self: &Arc<Self>, wait: Duration) {
        self.sleep(&mut self.wakes.lock(), wait);
    }

    fn sleep(self: &Arc<Self>, wakes: &mut Wakes, wait: Duration) {
        if let Some(ticket) = wakes.ticket.take() {
            self.agenda.remove_timer(ticket);
        }
        wakes.ticket = Some(self.agenda.add_timer(self, Deadline::nap(wait)));
    }

    /// Takes out what is held for a topic and has such a key: none of it is delivered any more. What was moved and is still there goes, too.
    /// Reads all that is held; nothing is moved meanwhile.
    pub(super) fn take_out(
        &self,
        topic: &Topic,
        key_matches: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(u64, Vec<EraseReport>)> {
        let Some(steps) = self.hold_steps()? else { return Ok((0, Vec::new())) };
        self.take_out_of(&steps, (topic, key_matches))
    }

    /// Nothing is moved meanwhile; `None` where nothing is held.
    pub(super) fn hold_steps(&self) -> Result<Option<MutexGuard<'_, Steps>>> {
        match self.topics.get(DELAYED.name) {
            Err(Error::UnknownTopic { .. }) => return Ok(None),
            found => drop(found?),
        }
        let mut steps = self.steps.lock();
        self.look_up(&mut steps)?;
        Ok(Some(steps))
    }

    /// An error where something that would go may have moved on: of what a step was to move last nobody knows whether it has.
    fn check_decided(&self, steps: &Steps, (topic, key_matches): Wanted<'_>) -> Result<()> {
        for step in &steps.all {
            let is_decided =
                |group: &Arc<Group>| self.groups.check_decided(group, [&step.partition].into_iter());
            let decided = steps.groups.iter().try_for_each(is_decided);
            if decided.is_err() && is_any(&step.partition, &|record| goes(record, (topic, key_matches)))? {
                return decided;
            }
        }
        Ok(())
    }

    fn take_out_of(&self, steps: &Steps, wanted: Wanted<'_>) -> Result<(u64, Vec<EraseReport>)> {
        let outcomes: Vec<_> =
            steps.all.iter().map(|step| self.take_out_of_step(&steps.groups, step, wanted)).collect();
        // The others are done all the same where one fails.
        let (waiting, reports): (Vec<u64>, Vec<_>) =
            outcomes.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok((waiting.iter().sum(), reports))
    }

    fn take_out_of_step(
        &self,
        groups: &[Arc<Group>],
        step: &Step,
        wanted: Wanted<'_>,
    ) -> Result<(u64, EraseReport)> {
        let offsets = find(&step.partition, &|record| goes(record, wanted))?;
        for (_, group) in groups.iter().enumerate().filter(|(number, _)| step.says_any(*number, &offsets)) {
            // Else a power cut takes back the move, and the record is nowhere.
            self.groups.keep_committed_by(group, &step.partition)?;
        }
        let report = remove(&step.partition, &offsets)?;
        let waiting = offsets.iter().filter(|offset| !step.moved.has(**offset)).count() as u64;
        Ok((waiting, report))
    }

    /// Takes out of all steps what was moved: part of a round of maintenance.
    pub(crate) fn drop_all_moved(&self) -> Result<()> {
        let Ok(topic) = self.topics.get(DELAYED.name) else { return Ok(()) };
        let mut first = self.join_positions();
        for partition in topic.partitions().iter().filter(|one| one.log().poisoned_by().is_none()) {
            match self.drop_moved(partition) {
                // A backup is copying it: the next round will do.
                Err(Error::Held { .. }) => {}
                dropped => first = first.and(dropped),
            }
        }
        first
    }

    pub(super) fn drop_moved(&self, partition: &Partition) -> Result<()> {
        let keep_from = self.groups.removable_below(partition)?;
        partition.apply_retention(|| RetentionPolicy { keep_from, ..RetentionPolicy::default() }).map(drop)
    }
}

/// A topic, and which keys.
type Wanted<'a> = (&'a Topic, &'a dyn Fn(&[u8]) -> bool);

fn goes(record: &RecordRef<'_>, (topic, key_matches): Wanted<'_>) -> bool {
    record.key().is_some_and(key_matches) && Held::is_for(record, topic.id())
}

impl Chore for Holds {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.run_due()
    }
}
