//! The owner takes what queues elsewhere have done into the states, writes the letters that they owe, and takes it out of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::OwedLetter;
use crate::io::Deadline;
use crate::locks::{AtomicBool, Mutex, Ordering, RwLock};
use crate::log::{Patience, Watchers};
use crate::share::away::Folding;
use crate::share::burial::Burial;
use crate::share::in_time::in_time;
use crate::share::queue::{Place, Queue};
use crate::share::queue_steps::{SlotSteps, Steps, update};
use crate::share::queues::{Queues, named, owner};
use crate::share::runs::Span;
use crate::share::settings::{DeadLetterTopic, Settings};
use crate::share::share_partition::SharePartition;
use crate::share::slot::{Slot, SlotInner};
use crate::share::step_files::{QueueLock, StepFiles, file_of, topic_of};
use crate::topic::Topic;
use crate::types::Offset;
use crate::upkeep::{Chore, Reason};

/// As long as another process has a queue, or letters cannot be written, it is looked at again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Has what queues elsewhere do folded now and then.
#[derive(Debug)]
pub(super) struct Later {
    queues: Weak<Queues>,
    is_set: AtomicBool,
    /// However often others wish for it, it is done no more often for that.
    not_before: Mutex<Deadline>,
}

impl Chore for Later {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        *self.not_before.lock() = Deadline::after(AGAIN_AFTER);
        self.is_set.store(false, Ordering::Release);
        // It is the thread that writes lingers: another process that is stopped while it changes its file holds up nobody, and is asked again. A round of
        // maintenance waits for it, and reports what fails.
        let fold = |queues: Arc<Queues>| drop(Patience::new(Duration::ZERO).bounds(|| queues.fold()));
        self.queues.upgrade().into_iter().for_each(fold);
        Ok(())
    }
}

/// How folding the steps of one queue has ended.
#[derive(Debug)]
pub(super) struct Folded {
    /// Letters that could not be written, and why. They are owed as before.
    letters: Result<()>,
    /// Another process has the queue, or something is left.
    goes_on: bool,
}

/// What was not folded, and why.
enum Unfolded {
    Letters(Error),
    Steps(Error),
}

impl Unfolded {
    fn into_error(self) -> Error {
        match self {
            Self::Letters(error) | Self::Steps(error) => error,
        }
    }
}

impl Folded {
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn wholly() -> Self {
        Self { letters: Ok(()), goes_on: false }
    }
}

impl Queues {
    /// Says where other processes write what their queues do. What lies above the end of a partition, after a crash, is cut off there, before
    /// anything is appended to it.
    pub(crate) fn steps_in(self: &Arc<Self>, files: StepFiles) {
        let files = Arc::new(files);
        self.cut_at_open(&files);
        drop(self.away.files.set(files));
        let (queues, is_set) = (Arc::downgrade(self), AtomicBool::new(false));
        let later = Later { queues, is_set, not_before: Mutex::new(Deadline::after(Duration::ZERO)) };
        drop(self.away.later.set(Arc::new(later)));
    }

    /// Takes what queues elsewhere have done into the topic of states, durably, and out of their files. The first failure is returned; the
    /// other queues are done all the same.
    pub(crate) fn fold(&self) -> Result<()> {
        self.fold_all(|_| true)
    }

    /// The same for a copy of the store, which goes without what cannot be folded before the state of its queue is set right: letters for which
    /// there is no room, and files that are broken. What stands in a file that another process keeps locked was put into the topic before it was
    /// to be taken out.
    pub(crate) fn fold_for_copy(&self) -> Result<()> {
        self.fold_all(
            |failed| matches!(failed, Unfolded::Steps(error) if !is_damage(error) && !is_stopped(error)),
        )
    }

    /// The first failure that `counts` is returned.
    fn fold_all(&self, counts: impl Fn(&Unfolded) -> bool) -> Result<()> {
        let Some(files) = self.away.files.get().filter(|_| !self.is_away()) else { return Ok(()) };
        let (mut first, mut goes_on) = (Ok(()), false);
        let names = files.list().inspect_err(|_| self.fold_again())?;
        for name in names {
            let failed = match self.fold_one(files, &name) {
                Ok(folded) => {
                    goes_on |= folded.goes_on;
                    folded.letters.err().map(Unfolded::Letters)
                }
                Err(error) => {
                    // It may be folded when it is tried again.
                    goes_on |= !is_damage(&error) && !matches!(error, Error::StoreClosed { .. });
                    Some(Unfolded::Steps(error))
                }
            };
            if let Some(failed) = failed.filter(&counts) {
                first = first.and(Err(failed.into_error()));
            }
        }
        if goes_on {
            self.fold_again();
        }
        self.tell_groups();
        first
    }

    fn fold_again(&self) {
        self.fold_at(|_| Deadline::after(AGAIN_AFTER));
    }

    /// Another process wishes for it, as one that has a queue since.
    pub(crate) fn fold_soon(&self) {
        self.fold_at(|later| *later.not_before.lock());
    }

    fn fold_at(&self, at: impl Fn(&Later) -> Deadline) {
        let later = self.away.later.get().filter(|later| !later.is_set.swap(true, Ordering::AcqRel));
        later.into_iter().for_each(|later| _ = self.topics.agenda().add_timer(later, at(later)));
    }

    /// The same of one queue.
    pub(super) fn fold_one(&self, files: &Arc<StepFiles>, name: &str) -> Result<Folded> {
        let of = &self.away.folding;
        let folding = in_time(|| of.try_lock(), || of.lock(), || files.root.join(name))?;
        self.fold_held(files, name, &folding)
    }

    fn fold_held(&self, files: &Arc<StepFiles>, name: &str, folding: &Folding) -> Result<Folded> {
        if *folding == Folding::Over {
            return Err(self.closed());
        }
        self.cut_what_is_left(|left| left == name)?;
        let Some(found) = files.read(name)? else {
            return remove_if_free(files, name).map(|_| Folded::wholly());
        };
        let topic = match topic_of(name).map(|id| self.topics.by_id(id)) {
            Some(Ok(Some(topic))) => topic,
            // It could not be opened: what was done there holds.
            Some(Err(_)) => return Ok(Folded::wholly()),
            Some(Ok(None)) | None => return files.remove(name).map(|()| Folded::wholly()),
        };
        files.check_taken_out(name)?;
        if found.steps.is_empty() {
            return Ok(Folded { letters: Ok(()), goes_on: !remove_if_free(files, name)? });
        }
        let (mut left, mut letters, mut places) = (Steps::default(), Ok(()), Vec::new());
        for (of, steps) in &found.steps.0 {
            let Ok(partition) = topic.partition(of.partition) else { continue };
            let start = steps.begin.or(steps.start).unwrap_or_else(|| partition.start());
            let slot = self.slot(&of.owner, &partition, start)?;
            let place = Place { partition, slot };
            let (owed, outcome) = self.fold_slot(&topic, &place, steps)?;
            letters = letters.and(outcome);
            if !owed.is_empty() {
                left.0.insert(of.clone(), SlotSteps::only_owed(owed));
            }
            places.push(place);
        }
        // The file is the only other place that has them; letters, too, are there when they are taken out.
        self.keep(places.iter().map(|place| &place.slot))?;
        // Where nothing but letters was there, and none could be written, there is nothing to take out.
        if left != found.steps {
            files.take_out(name, &found, &left)?;
            self.room.raise();
        }
        places.iter().for_each(|place| drop(self.drop_consumed(&topic, place)));
        let goes_on = !left.is_empty() || !remove_if_free(files, name)?;
        Ok(Folded { letters, goes_on })
    }

    /// Folds the steps of one state. Returns the letters that are owed still, and why.
    fn fold_slot(
        &self,
        topic: &Topic,
        place: &Place,
        steps: &SlotSteps,
    ) -> Result<(BTreeMap<Offset, OwedLetter>, Result<()>)> {
        drop(self.write_owed());
        let mut inner = place.slot.enter(&self.suspects);
        let mut steps = steps.without_written(&inner.state);
        steps.cut_to(place.partition.end());
        // Whether these are given up shows when the store is opened again.
        let mut left = steps.take_owed(|offset| inner.state.is_set_aside(offset));
        if steps.is_only_owed() {
            steps.owed.keys().for_each(|offset| inner.state.owe(*offset));
        } else {
            self.take_in(place, &mut inner, &steps)?;
        }
        let mut outcome: Result<()> = Ok(());
        for (offset, owed) in steps.owed {
            // There is no room for the others either.
            if outcome
                .as_ref()
                .is_err_and(|error| matches!(error, Error::Full { .. }) || error.is_disk_full())
            {
                left.insert(offset, owed);
            } else if let Err(error) = self.bury_owed((topic, place), &mut inner, &owed) {
                outcome = outcome.and(Err(error));
                left.insert(offset, owed);
            }
        }
        inner.again = None;
        Ok((left, outcome))
    }

    /// Writes what steps make of a state, then applies it: also what is in memory alone is another's by now.
    fn take_in(&self, place: &Place, inner: &mut SlotInner, steps: &SlotSteps) -> Result<()> {
        let mut next = inner.state.clone();
        next.restart();
        steps.apply_to(&mut next);
        let stored = |state: &SharePartition| (state.start(), state.batches());
        if stored(&next) != stored(&inner.state) {
            let update = update(steps.start, steps.batches());
            self.states.write_folded(&place.slot, inner, (update, self.clock.now()))?;
            inner.known = inner.known.after_fold();
        }
        inner.state = next;
        (inner.reader, inner.prepared_for, inner.is_searched) = (None, 0, false);
        Ok(())
    }

    fn bury_owed(
        &self,
        (topic, place): (&Topic, &Place),
        inner: &mut SlotInner,
        owed: &OwedLetter,
    ) -> Result<()> {
        let queue = self.queue_of(topic, &place.slot, owed)?;
        let (mut records, mut reader) = (Vec::new(), None);
        queue
            .each(place, &mut reader, (owed.offset, owed.offset), |record| records.push(record.to_owned()))?;
        let span = Span { first: owed.offset, last: owed.offset, count: owed.count };
        let burial = Burial { span, records: &records, reason: &owed.reason, now: self.clock.now() };
        queue.bury(place, inner, &burial)
    }

    /// A queue that nobody works on here, to write a letter of it.
    fn queue_of(&self, topic: &Topic, slot: &Slot, owed: &OwedLetter) -> Result<Queue> {
        let queues = self.away.later.get().and_then(|later| later.queues.upgrade());
        let queues = queues.ok_or_else(|| self.closed())?;
        let dead_letters = owed.letters.clone().map_or(DeadLetterTopic::Own, DeadLetterTopic::Named);
        Ok(Queue {
            queues,
            group: named(&slot.name.owner).0.into(),
            owner: Arc::clone(&slot.name.owner),
            topic: topic.clone(),
            settings: Settings { dead_letters, ..Settings::default() },
            number: 0,
            places: RwLock::new([].into()),
            watchers: Watchers::default(),
            _lock: None,
        })
    }

    fn closed(&self) -> Error {
        Error::StoreClosed { path: self.topics.path().to_path_buf() }
    }

    /// Has everything that was written of some states survive a power cut, also what a transaction has.
    pub(super) fn keep<'a>(&self, slots: impl Iterator<Item = &'a Arc<Slot>>) -> Result<()> {
        // A partition that cannot be synced is a matter of those transactions that rest on it.
        if let Err(not_ended) = self.topics.write_decided() {
            let unsettled =
                |slot: &Arc<Slot>| slot.enter(&self.suspects).unsettled.iter().collect::<Vec<_>>();
            not_ended.of(slots.flat_map(unsettled))?;
        }
        self.states.sync()
    }

    /// Makes all queues of a group this process's, with what was done elsewhere.
    pub(super) fn lock_all_of(&self, group: &str, folding: &Folding) -> Result<Vec<QueueLock>> {
        let Some(files) = self.away.files.get() else { return Ok(Vec::new()) };
        let mut names = BTreeSet::new();
        for name in files.list()?.into_iter().filter(|name| self.is_of(name, group)) {
            match self.fold_held(files, &name, folding) {
                // One that is broken goes with the others.
                Err(error) if !is_damage(&error) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            names.insert(name);
        }
        let (all, _) = self.all();
        let of_group = all.iter().filter(|slot| named(&slot.name.owner).0 == group);
        names.extend(of_group.map(|slot| slot.steps.clone()));
        let in_use = || Error::GroupInUse { group: group.to_owned() };
        names.iter().map(|name| files.try_lock(name)?.ok_or_else(in_use)).collect()
    }

    /// Whether a file is that of a queue of a group: its own, or of dead letters of a topic that is there.
    fn is_of(&self, name: &str, group: &str) -> bool {
        let Some(topic) = topic_of(name) else { return false };
        let is = |letters_of: Option<&str>| file_of(topic, &owner(&group.into(), letters_of)) == name;
        is(None) || self.topics.all().iter().any(|of| is(Some(of.name())))
    }

    /// Removes the files of queues that are forgotten, durably, and also those that an earlier call has removed, or a fold.
    pub(super) fn remove_steps(&self, locks: &[QueueLock]) -> Result<()> {
        let Some(files) = self.away.files.get() else { return Ok(()) };
        locks.iter().try_for_each(|lock| files.remove(&lock.name))?;
        files.root.sync()
    }

    /// The same of topics that are gone.
    pub(super) fn remove_steps_of_deleted(&self) -> Result<()> {
        let Some(files) = self.away.files.get() else { return Ok(()) };
        let listed = files.list()?;
        let there = self.topics.ids()?;
        let is_gone = |name: &&String| topic_of(name).is_some_and(|topic| !there.contains(&topic));
        let mut outcome = Ok(());
        for name in listed.iter().filter(is_gone) {
            outcome = outcome.and(files.remove(name));
        }
        outcome
    }
}

/// Removes the file of a queue that nobody has, with nothing in it. Says whether it is gone.
fn remove_if_free(files: &Arc<StepFiles>, name: &str) -> Result<bool> {
    let Some(_lock) = files.try_lock(name)? else { return Ok(false) };
    files.remove_if_empty(name)
}

/// Whether trying again changes nothing.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::UnsupportedFormat { .. })
}

/// Whether another process keeps a file locked, as one that is stopped while it changes it.
fn is_stopped(error: &Error) -> bool {
    matches!(error, Error::Io { operation: "lock", source, .. } if source.kind() == std::io::ErrorKind::TimedOut)
}
