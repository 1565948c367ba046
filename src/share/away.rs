//! Queues in a process that does not own the store: what they do is appended to files of steps, and held over what was folded.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{DeliveryState, OwedLetter, SpooledRecord, StateBatch, Step, encode_step};
use crate::group::Groups;
use crate::io::{Clock, Deadline, pause};
use crate::live::Guest;
use crate::locks::{Mutex, OnceLock};
use crate::producer::ProducerBuilder;
use crate::share::burial::Burial;
use crate::share::folding::Later;
use crate::share::in_time::in_time;
use crate::share::letter::{REASON_MOST_BYTES, cut};
use crate::share::queue::{Place, Queue};
use crate::share::queue_steps::{SlotSteps, unencodable, update};
use crate::share::queues::{Queues, named};
use crate::share::settings::{DeadLetterTopic, Settings};
use crate::share::share_partition::SharePartition;
use crate::share::slot::{Slot, SlotInner, push};
use crate::share::state_log::{AllFound, Found, SlotName, StateLog};
use crate::share::step_files::{QueueLock, StepFiles};
use crate::share::suspects::Entered;
use crate::share::uncut::Uncut;
use crate::topic::{Partition, Replay, SHARE_STATE, Topic, Topics};
use crate::transaction::Transactions;
use crate::types::Offset;

/// How long it is waited for transactions that have changed states.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long an owner may take to remove the file of a queue that nobody has.
const LONGEST_REMOVAL: Duration = Duration::from_millis(20);

/// What queues have to do with other processes.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// None in the owner.
    guest: Option<Arc<Guest>>,
    /// None where no other process can have a queue.
    pub(super) files: OnceLock<Arc<StepFiles>>,
    /// Held over a fold.
    pub(super) folding: Mutex<Folding>,
    /// What the open could not cut.
    pub(super) uncut: Mutex<Uncut>,
    pub(super) later: OnceLock<Arc<Later>>,
}

/// Whether the store is still open.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folding {
    #[default]
    Goes,
    Over,
}

impl Away {
    pub(super) fn at_home() -> Self {
        Self::default()
    }

    /// The owner as it is seen from another process, and the files that it takes over; none at home.
    pub(super) fn elsewhere(&self) -> Option<(&Guest, &StepFiles)> {
        Some((&**self.guest.as_ref()?, &**self.files.get()?))
    }
}

impl Queues {
    /// The queues of a store that another process owns; of one that nobody writes where there is no guest: then nobody can work on them.
    pub(crate) fn attach(
        (topics, groups): (&Arc<Topics>, &Arc<Groups>),
        clock: &Arc<dyn Clock>,
        with: Option<(StepFiles, Arc<Guest>)>,
    ) -> Arc<Self> {
        let (mut away, mut states) = (Away::default(), StateLog::new(Arc::clone(topics)));
        if let Some((files, guest)) = with {
            let files = Arc::new(files);
            states.files = Some(Arc::clone(&files));
            away = Away { guest: Some(guest), files: OnceLock::from(files), ..Away::default() };
        }
        let producer = ProducerBuilder::new(Arc::clone(topics)).build_default();
        Arc::new(Self::with((topics, groups), (producer, states), (clock, away)))
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.guest.is_some()
    }

    /// What only the owner has.
    pub(super) fn transactions(&self) -> Result<&Arc<Transactions>> {
        let why = "a process that does not own the store has no transactions";
        self.transactions.as_ref().ok_or_else(|| Error::invalid(why))
    }

    /// Makes a queue this process's, for its first worker here, and sees what was done elsewhere.
    pub(super) fn take_over(&self, owner: &Arc<str>, topic: &Topic) -> Result<Option<QueueLock>> {
        let group = named(owner).0.to_owned();
        let Some(files) = self.away.files.get() else {
            let why = "a store that is only read takes no answers of workers";
            return if self.transactions.is_some() {
                Ok(None)
            } else {
                Err(Error::config("group.id", group, why))
            };
        };
        let name = SlotName { topic: topic.id(), partition: 0, owner: Arc::clone(owner) }.steps();
        let deadline = Deadline::after(LONGEST_REMOVAL);
        let lock = loop {
            match files.try_lock(&name)? {
                Some(lock) => break lock,
                None if deadline.has_passed() => return Err(Error::GroupInUse { group }),
                // The owner may have it for as long as it looks whether its file can go.
                None => pause(Duration::from_millis(1)),
            }
        };
        if self.is_away() {
            self.load(files, &name, (owner, topic))?;
            self.wish();
        } else {
            self.fold_one(files, &name)?;
        }
        Ok(Some(lock))
    }

    /// Asks the owner to fold before long.
    fn wish(&self) {
        self.away.guest.iter().for_each(|guest| guest.wish());
    }

    /// What was written of a queue: by its owner, and over that what is not folded.
    fn load(&self, files: &StepFiles, name: &str, (owner, topic): (&Arc<str>, &Topic)) -> Result<()> {
        // First: what is taken out of there meanwhile was put into the topic before.
        let steps = files.begin(name)?;
        // Before the states: an owner that has cut one, for records were lost, writes that before it appends others in their place. And after the
        // steps: whoever has begun is told of a cut.
        let (ends, mut states) = (self.ends_of(topic)?, self.written()?);
        let mut slots = self.slots.lock();
        let is_of = |name: &SlotName| name.topic == topic.id() && name.owner == *owner;
        let before: Vec<_> = slots.keys().filter(|name| is_of(name)).cloned().collect();
        slots.retain(|name, _| !is_of(name));
        // Nobody has a message of them: the queue was no one's here.
        self.suspects.forget(&before);
        for (partition, end) in ends {
            let name = SlotName { topic: topic.id(), partition, owner: Arc::clone(owner) };
            let of = steps.0.get(&name);
            let new = || of.map(|of| Found::new(of.beginning()));
            let Some(mut found) = states.0.remove(&name).or_else(new) else { continue };
            if let Some(of) = of {
                of.apply_to(&mut found.state);
            }
            // After a power cut, as long as no owner has.
            found.state.cut_to(end);
            slots.insert(name.clone(), Arc::new(Slot::found(name, found)?));
        }
        Ok(())
    }

    /// What is written of all states.
    fn written(&self) -> Result<AllFound> {
        let mut states = AllFound::default();
        match self.topics.get(SHARE_STATE.name) {
            Ok(topic) => _ = states.read_on(&decided(topic.partition(0)?)?, 0)?,
            Err(Error::UnknownTopic { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(states)
    }

    /// Where each partition of a topic ends by now.
    fn ends_of(&self, topic: &Topic) -> Result<Vec<(u32, Offset)>> {
        let end = |partition: Partition| {
            partition.log().look()?;
            Ok((partition.number(), partition.end()))
        };
        topic.partitions().into_iter().map(end).collect()
    }

    /// Sees what the owner shows of a partition, and in which life. Nothing to look for at home.
    pub(super) fn look_elsewhere(&self, place: &Place) -> Result<Option<u64>> {
        let Some(guest) = &self.away.guest else { return Ok(None) };
        self.away.files.get().map_or(Ok(()), |files| files.root.check_in_place())?;
        in_one_life(|| guest.life(), || place.partition.log().look()).map(Some)
    }

    /// Locks a state. Elsewhere another thread may have it, and wait for the owner with it.
    pub(super) fn enter_in_time<'a>(&'a self, slot: &'a Slot) -> Result<Entered<'a>> {
        let enter = || slot.enter(&self.suspects);
        match self.away.elsewhere() {
            Some((_, files)) => {
                in_time(|| slot.try_enter(&self.suspects), enter, || files.root.join(&slot.steps))
            }
            None => Ok(enter()),
        }
    }

    /// Takes in what an owner elsewhere has done to a state.
    pub(super) fn catch_up(&self, place: &Place, inner: &mut SlotInner, life: Option<u64>) -> Result<()> {
        let Some((life, files)) = life.zip(self.away.files.get()) else { return Ok(()) };
        if inner.seen_life != Some(life) {
            // It may have cut what stood there, whether this call has a step to write or not.
            files.check_tenure(&place.slot.steps)?;
            if inner.seen_life.replace(life).is_some() {
                // What the owner before had shown, and had not on the disk, need not be there.
                inner.state.forget_what_is_not_noted();
                inner.prepared_for = 0;
            }
        }
        let name = &place.slot.name;
        for offset in files.take_written(&place.slot.steps, name)? {
            inner.state.finish(offset, offset, DeliveryState::Archived);
        }
        Ok(())
    }

    /// The store is closed, with nobody at work in it: workers and messages that are kept keep no queue any more.
    pub(crate) fn leave(&self) {
        // A fold that has begun takes out what it has read: nobody appends to it in between.
        *self.away.folding.lock() = Folding::Over;
        // They have their locks in common, which are given back last.
        self.groups.leave_spool();
        self.away.files.get().into_iter().for_each(|files| files.leave());
    }

    /// Whether there is room for the step that a message is handed out.
    pub(super) fn check_room(&self, place: &Place) -> Result<()> {
        match &self.states.files {
            Some(files) => files.check_room(&place.slot.steps),
            None => Ok(()),
        }
    }

    /// Refuses what only the owner can do.
    pub(super) fn check_asked(&self, settings: &Settings) -> Result<()> {
        if self.is_away() && !settings.counts_written {
            let why =
                "count_in_memory is for the process that owns the store: elsewhere each delivery is written";
            return Err(Error::invalid(why));
        }
        Ok(())
    }
}

/// Looks, and says in which life. Where another owner comes meanwhile it looks again: what it saw may be what the one before has left, with messages that cannot be
/// read there, and a queue that was prepared by that, for the life of the new one, would not be prepared once they can.
pub(super) fn in_one_life(life: impl Fn() -> u64, look: impl Fn() -> Result<()>) -> Result<u64> {
    let mut before = life();
    loop {
        look()?;
        let after = life();
        if after == before {
            return Ok(after);
        }
        before = after;
    }
}

/// The partition of all states, once whatever stands in it now is decided.
fn decided(partition: Partition) -> Result<Partition> {
    let deadline = Deadline::after(LONGEST_WAIT);
    partition.log().look()?;
    let end = partition.end();
    while partition.stable() < end {
        if deadline.has_passed() {
            let why = "a transaction that changes states of queues is not decided";
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, why);
            return Err(Error::io(partition.topic().as_ref(), "read the states of queues in", source));
        }
        pause(Duration::from_millis(1));
        partition.log().look()?;
    }
    Ok(partition)
}

impl AllFound {
    /// Takes in records from an offset on. Returns where they end.
    pub(super) fn read_on(&mut self, partition: &Partition, from: Offset) -> Result<Offset> {
        let mut reader = partition.walk(from..Offset::MAX)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                return Ok(reader.position());
            }
            for record in &records {
                // What is not understood counts for nothing: the owner names it.
                drop(self.replay(record.key().unwrap_or_default(), record.value()));
            }
        }
    }
}

impl SlotSteps {
    /// A state of which nothing was folded.
    pub(super) fn beginning(&self) -> SharePartition {
        SharePartition::new(self.begin.or(self.start).unwrap_or(0))
    }
}

impl StepFiles {
    /// Writes what is about to become of some messages.
    pub(super) fn write(&self, slot: &Slot, inner: &SlotInner, batches: &[StateBatch]) -> Result<()> {
        let step = Step::Update(update(Some(inner.state.start()), batches.to_vec()));
        self.append(&slot.steps, (&[record(&slot.name, &step)?], &[]))
    }

    /// The same, if `still` says so when nobody else can change the file. Says whether it was written.
    pub(super) fn write_if(
        &self,
        slot: &Slot,
        inner: &SlotInner,
        (batches, still): (&[StateBatch], impl FnOnce() -> bool),
    ) -> Result<bool> {
        let step = Step::Update(update(Some(inner.state.start()), batches.to_vec()));
        self.append_if(&slot.steps, (&[record(&slot.name, &step)?], &[]), still)
    }

    /// Writes where a new state begins, durably.
    pub(super) fn write_beginning(&self, slot: &Slot, inner: &SlotInner) -> Result<()> {
        self.append(&slot.steps, (&[record(&slot.name, &Step::Begin(inner.state.start()))?], &[]))
    }
}

fn record(name: &SlotName, step: &Step) -> Result<SpooledRecord> {
    encode_step((&name.owner, name.topic, name.partition), step).map_err(|malformed| unencodable(&malformed))
}

impl Queue {
    /// What a failure elsewhere means: the file of a queue goes with its topic, which may have gone since this process looked.
    pub(super) fn explain(&self, place: &Place, error: Error) -> Error {
        let is_not_there =
            matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
        if !is_not_there || !self.queues.is_away() {
            return error;
        }
        drop(self.queues.topics.look());
        place.partition.log().check_open().err().unwrap_or(error)
    }

    /// Gives messages up, where the owner is another: from here on they are out to nobody, and the owner writes letters and ends when it
    /// folds.
    pub(super) fn owe(&self, place: &Place, inner: &mut SlotInner, burial: &Burial<'_>) -> Result<()> {
        let Burial { span, records, reason, .. } = *burial;
        let letters = match &self.settings.dead_letters {
            DeadLetterTopic::None => None,
            DeadLetterTopic::Own => Some(None),
            DeadLetterTopic::Named(name) => Some(Some(name.clone())),
        };
        let name = &place.slot.name;
        let (mut gaps, mut owed, mut next) = (Vec::new(), Vec::new(), span.first);
        let archived = (DeliveryState::Archived, span.count);
        for record in records.iter().filter(|_| letters.is_some()) {
            push(&mut gaps, (next, record.offset - 1), archived);
            owed.push(record.offset);
            next = record.offset + 1;
        }
        push(&mut gaps, (next, span.last), archived);
        let mut steps = Vec::new();
        if !gaps.is_empty() {
            let step = Step::Update(update(Some(inner.state.start()), gaps.clone()));
            steps.push(record(name, &step)?);
        }
        for offset in &owed {
            let reason = cut(reason, REASON_MOST_BYTES).to_owned();
            let letters = letters.clone().flatten();
            let letter = OwedLetter { offset: *offset, count: span.count, letters, reason };
            steps.push(record(name, &Step::Owed(letter))?);
        }
        if let Some(files) = &self.queues.states.files {
            let of: Vec<_> = owed.iter().map(|offset| (name.clone(), *offset)).collect();
            files.append_at(&place.slot.steps, (&steps, &of), self.settings.durability)?;
        }
        gaps.iter().for_each(|gap| inner.state.finish(gap.first, gap.last, DeliveryState::Archived));
        owed.iter().for_each(|offset| inner.state.owe(*offset));
        inner.counters.buried += records.len() as u64;
        Ok(())
    }
}
