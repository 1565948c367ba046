//! What follows a decision: its marker in every partition.
//!
//! A COMMIT marker is written once everything that the decision rests on is durable: no partition ever holds one that an
//! open would have to take back. Until then readers go by what is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::Ending;
use crate::io::Deadline;
use crate::log::{NotEnded, TransactionId};
use crate::topic::Partition;
use crate::transaction::coordinator::Transactions;
use crate::transaction::found::FoundUnsynced;
use crate::transaction::ids::ProducerId;
use crate::transaction::in_hand::InHand;
use crate::transaction::names::{Named, OpenParts, Written};
use crate::transaction::pieces::Place;
use crate::transaction::round::Round;
use crate::transaction::settling::{Settled, Settling};
use crate::transaction::undertaken::Undertaken;
use crate::types::Offset;
use crate::upkeep::{Chore, Otherwise, Reason, Ticket};

/// How many decisions may wait for their markers, before whoever makes one more writes those of all.
const MOST_OUTSTANDING: usize = 1000;
/// With so many times as many a task does it, too, which is to wait for no disk: maintenance, asked before, does not come.
const FAR_TOO_MANY: usize = 16;
/// How long they wait at most, and how often transactions are looked at whose time is over.
const AT_THE_LATEST: Duration = Duration::from_secs(1);

/// Decisions whose markers are not in the log everywhere.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    pub(super) ended: Vec<Ended>,
    /// How many of them were left when all were tried last.
    tried: usize,
    /// When the store is reminded of them. There is one at most: each would put down another as long as anything is left.
    timer: Option<Ticket>,
    /// The oldest decision of each list that somebody is writing the markers of, by the number of that list.
    pub(super) in_hand: BTreeMap<u64, Offset>,
    pub(super) settling: Settling,
    pub(super) found: FoundUnsynced,
    /// Those that a panic has left in the middle.
    pub(super) undertaken: Vec<Undertaken>,
    /// Decisions that are being written, each by an offset that it will not stand before. One of which nobody knows whether it is
    /// there stays among them.
    pub(super) deciding: Vec<Offset>,
}

impl Outstanding {
    /// Whether nobody has to come back to it.
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.undertaken.is_empty()
    }
}

/// A transaction that is decided.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) producer: ProducerId,
    pub(super) ending: Ending,
    /// Where its end is missing.
    pub(super) places: BTreeMap<Place, Written>,
    /// What its offsets were read from.
    inputs: Vec<(Partition, Offset)>,
    /// Whether all that the decision rests on is durable.
    pub(super) is_synced: bool,
    /// Where its decision is, if there is one.
    pub(super) decision: Option<Offset>,
    /// Where its end stands.
    pub(super) markers: Vec<(Partition, Offset)>,
    /// Whose it is, if that one is of this life.
    named: Option<Arc<Named>>,
}

impl Ended {
    /// One that is to be committed; its decision is not written yet.
    pub(super) fn undertaken(named: &Arc<Named>, open: OpenParts, inputs: Vec<(Partition, Offset)>) -> Self {
        let named = Some(Arc::clone(named));
        Self { named, inputs, ..Self::found(open.producer, Ending::Commit, open.places) }
    }

    /// The same transaction, of which nothing takes effect.
    pub(super) fn without_effect(self) -> Self {
        Self { ending: Ending::Abort, inputs: Vec::new(), ..self }
    }

    pub(super) fn aborted(named: &Arc<Named>, open: OpenParts) -> Self {
        Self { named: Some(Arc::clone(named)), ..Self::found(open.producer, Ending::Abort, open.places) }
    }

    /// One that an earlier life has committed, and not ended everywhere.
    pub(super) fn found_committed(
        producer: ProducerId,
        places: BTreeMap<Place, Written>,
        (decision, inputs): (Offset, Vec<(Partition, Offset)>),
    ) -> Self {
        Self { decision: Some(decision), inputs, ..Self::found(producer, Ending::Commit, places) }
    }

    pub(super) fn is_commit(&self) -> bool {
        self.ending == Ending::Commit
    }

    /// Adds what it rests on, its decision apart.
    pub(super) fn add_own(&self, round: &mut Round) {
        self.places.values().for_each(|written| round.add(&written.partition, written.last));
        self.inputs.iter().for_each(|(partition, last)| round.add(partition, *last));
    }

    /// One that an earlier life has left.
    pub(super) fn found(producer: ProducerId, ending: Ending, places: BTreeMap<Place, Written>) -> Self {
        Self {
            producer,
            ending,
            places,
            inputs: Vec::new(),
            is_synced: false,
            decision: None,
            markers: Vec::new(),
            named: None,
        }
    }
}

impl Transactions {
    /// Sees to it that a decision comes to be in the log: at once where nothing has to be synced first, else before long.
    pub(super) fn follow(self: &Arc<Self>, ended: Ended) {
        if ended.is_synced || ended.ending == Ending::Abort {
            // What cannot be written now is tried again.
            drop(self.write_ends(InHand::new(self, |_| vec![ended])));
            return;
        }
        if self.leave(ended) >= MOST_OUTSTANDING {
            drop(self.finish());
        }
    }

    /// The same for a task: nothing is synced on it.
    pub(super) fn follow_later(self: &Arc<Self>, ended: Ended) {
        match self.leave(ended) {
            count if count >= FAR_TOO_MANY * MOST_OUTSTANDING => drop(self.finish()),
            count if count > 0 && count % MOST_OUTSTANDING == 0 => self.remind_within(Duration::ZERO),
            _ => {}
        }
    }

    /// Its end is written before long. Says how many there are of that kind that were not tried.
    fn leave(self: &Arc<Self>, ended: Ended) -> usize {
        let mut outstanding = self.outstanding.lock();
        outstanding.ended.push(ended);
        let count = outstanding.ended.len().saturating_sub(outstanding.tried);
        drop(outstanding);
        self.remind();
        count
    }

    /// A decision is about to be written: compaction keeps it from the moment it is there. Says by what it is known until
    /// [`decided`](Self::decided).
    pub(super) fn deciding(&self) -> Result<Offset> {
        let from = self.decisions.partition()?.end();
        let mut outstanding = self.outstanding.lock();
        outstanding.deciding.push(from);
        self.decisions.keep_at_least_from(from);
        Ok(from)
    }

    /// It was written and is outstanding, or it never was.
    pub(super) fn decided(&self, from: Offset) {
        let mut outstanding = self.outstanding.lock();
        if let Some(at) = outstanding.deciding.iter().position(|one| *one == from) {
            outstanding.deciding.swap_remove(at);
        }
    }

    /// The same for whoever may be the last to hold it.
    pub(super) fn remind_if_there(&self) {
        if let Some(this) = self.this.upgrade() {
            this.remind();
        }
    }

    /// Has the store come back to what is outstanding.
    pub(super) fn remind(self: &Arc<Self>) {
        self.remind_within(AT_THE_LATEST);
    }

    fn remind_within(self: &Arc<Self>, wait: Duration) {
        let deadline = Deadline::after(wait);
        let mut outstanding = self.outstanding.lock();
        if outstanding.timer.is_some_and(|ticket| ticket.deadline() <= deadline) {
            return;
        }
        self.forget_timer(&mut outstanding);
        outstanding.timer = Some(self.agenda.add_timer(self, deadline));
    }

    fn forget_timer(&self, outstanding: &mut Outstanding) {
        if let Some(ticket) = outstanding.timer.take() {
            self.agenda.remove_timer(ticket);
        }
    }

    /// Writes every marker that is missing, after a round of syncs for what the decisions rest on. Those that another thread is
    /// writing are written, too, when it returns, or were refused: a close must not overtake them. Of those that this thread is writing, further up,
    /// an error says which a power cut may still take back.
    pub(crate) fn finish(self: &Arc<Self>) -> Result<(), NotEnded> {
        // Who comes here again from a file system or a clock of the program's own is in the middle of it.
        let Some(_turn) = self.finishing.take() else { return self.own_rounds.check_all_durable() };
        let taken_up = self.take_up_again();
        let mut in_hand = InHand::new(self, |outstanding| std::mem::take(&mut outstanding.ended));
        let mut round = Round::default();
        let waiting = |one: &&mut Ended| one.ending == Ending::Commit && !one.is_synced;
        let waiting = in_hand.ended.iter_mut().filter(waiting);
        let gathered = waiting.map(|one| self.rests_on(one, &mut round)).fold(Ok(()), Result::and);
        let synced = gathered.and(round.sync());
        for one in &mut in_hand.ended {
            // A partition that cannot be synced holds up what rests on it, and nothing else.
            one.is_synced |= synced.is_ok() || self.is_durable(one);
        }
        drop(self.resting.look_through());
        self.own_rounds.forget_durable();
        let (ended, left) = self.write_ends(in_hand);
        let mut outstanding = self.outstanding.lock();
        // Each is tried once more with as many others, and by whoever comes back to all.
        outstanding.tried = left.len().min(outstanding.ended.len());
        drop(outstanding);
        taken_up.and(synced).and(ended).map_err(|error| NotEnded { error: Box::new(error), left })
    }

    /// The same at the end of a life. Markers are synced, so that partitions need not remember whose they are.
    pub(crate) fn finish_for_good(self: &Arc<Self>) -> Result<()> {
        let finished = self.finish().map_err(|not_ended| *not_ended.error);
        let mut round = Round::default();
        for (partition, marker) in self.outstanding.lock().settling.markers() {
            round.add(partition, *marker);
        }
        let synced = round.sync();
        self.outstanding.lock().settling.look_through();
        self.release_decisions();
        finished.and(synced)
    }

    fn is_durable(&self, ended: &Ended) -> bool {
        let mut round = Round::default();
        self.rests_on(ended, &mut round).is_ok() && round.is_durable()
    }

    /// What has to be durable before a COMMIT marker is written.
    pub(super) fn rests_on(&self, ended: &Ended, round: &mut Round) -> Result<()> {
        ended.add_own(round);
        let decisions = self.decisions.partition()?;
        let last = ended.decision.unwrap_or(decisions.end() - 1);
        round.add(&decisions, last);
        Ok(())
    }

    /// Writes markers, those of one partition together. Says which transactions have some missing still.
    fn write_ends(self: &Arc<Self>, mut in_hand: InHand<'_>) -> (Result<()>, BTreeSet<TransactionId>) {
        if let Err(error) = self.write_owed() {
            return (Err(error), self.settle(in_hand));
        }
        let ended = &mut in_hand.ended;
        let mut by_place: BTreeMap<Place, (Partition, Vec<usize>)> = BTreeMap::new();
        let may_end = |one: &Ended| one.is_synced || one.ending == Ending::Abort;
        for (number, one) in ended.iter().enumerate().filter(|(_, one)| may_end(one)) {
            for (place, written) in &one.places {
                let here = by_place.entry(*place).or_insert_with(|| (written.partition.clone(), Vec::new()));
                here.1.push(number);
            }
        }
        let mut first = Ok(());
        for (place, (partition, numbers)) in by_place {
            let of = |number: &usize| ended.get(*number).map(|one| one.producer.id);
            match write_markers(&partition, numbers.iter().filter_map(of)) {
                Ok(last) => {
                    for number in numbers {
                        let Some(one) = ended.get_mut(number) else { continue };
                        one.places.remove(&place);
                        one.markers.extend(last.map(|last| (partition.clone(), last)));
                    }
                }
                Err(error) => first = first.and(Err(error)),
            }
        }
        if first.is_err() {
            // Before anything of it is out of hand.
            self.ends_needed.keep_through(self.decisions.end() - 1);
        }
        (first, self.settle(in_hand))
    }

    /// Says which are left.
    fn settle(self: &Arc<Self>, mut in_hand: InHand<'_>) -> BTreeSet<TransactionId> {
        let done: Vec<_> = in_hand.ended.extract_if(.., |one| one.places.is_empty()).collect();
        let left: BTreeSet<_> = in_hand.ended.iter().map(|one| one.producer.transaction()).collect();
        let since = self.now();
        let mut outstanding = self.outstanding.lock();
        for one in done {
            if let Some(named) = &one.named {
                named.give_back(one.producer);
            }
            if let Some(decision) = one.decision {
                let producer = one.named.is_some().then_some(one.producer);
                outstanding.settling.add(Settled { decision, markers: one.markers, since, producer });
            }
        }
        drop(outstanding);
        drop(in_hand);
        self.release_decisions();
        if !left.is_empty() {
            self.remind();
        }
        left
    }

    /// Lets compaction have those decisions whose markers are durable everywhere.
    pub(super) fn release_decisions(&self) {
        let mut outstanding = self.outstanding.lock();
        outstanding.settling.forget_durable();
        let settling = outstanding.settling.oldest();
        let waiting = outstanding.ended.iter().filter_map(|one| one.decision).min();
        let in_hand = outstanding.in_hand.values().copied();
        let deciding = outstanding.deciding.iter().copied();
        let keep = settling.into_iter().chain(waiting).chain(in_hand).chain(deciding).min();
        self.ends_needed.forget_below(keep);
        // Before anybody who decides next says what else is to be kept.
        self.decisions.keep_from(keep.into_iter().chain(outstanding.found.keeps_from()).min());
    }

    /// Aborts transactions whose time is over.
    fn expire(self: &Arc<Self>) -> bool {
        let names: Vec<_> = self.names.lock().values().cloned().collect();
        let mut is_any_open = false;
        for named in names {
            // Whoever writes under it right now is looked at the next time.
            let Some(mut state) = named.state.try_lock() else {
                is_any_open = true;
                continue;
            };
            let expired = state.expire(&named.name);
            is_any_open |= state.open.is_some();
            drop(state);
            if let Some(open) = expired {
                self.give_up(&named, open);
            }
        }
        is_any_open
    }
}

impl Chore for Transactions {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.forget_timer(&mut self.outstanding.lock());
        let again = Otherwise::new(|| self.remind());
        let is_any_open = self.expire();
        let finished = self.finish().map_err(|not_ended| *not_ended.error);
        self.bring_found_over();
        if !is_any_open && self.outstanding.lock().is_empty() {
            again.went_well();
        }
        finished
    }
}

/// Writes the ends of these producers' transactions in one partition; says where the last one is. What is gone needs none.
fn write_markers(partition: &Partition, producers: impl Iterator<Item = i64>) -> Result<Option<Offset>> {
    let mut stage = match partition.log().stage() {
        Err(Error::UnknownTopic { .. }) => return Ok(None),
        stage => stage?,
    };
    let mut last = None;
    for producer in producers {
        if let Some(marker) = stage.marker(producer) {
            last = Some(stage.place_marker(marker)?);
        }
    }
    stage.write()?;
    // An end that was there already is not behind what is written now.
    Ok(last.or(Some(partition.end() - 1)))
}
