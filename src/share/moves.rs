//! What is due moves on, step by step.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::group::Group;
use crate::share::holds::Holds;
use crate::share::ids::LATER_ID_HEADER;
use crate::share::moved::Moved;
use crate::share::steps::{Leaving, Step, Steps, Waiting};
use crate::share::wakes::Wakes;
use crate::topic::{DELAYED, DELAYED_POSITIONS, OwnedRecord, position_group};
use crate::types::Timestamp;
use crate::upkeep::Otherwise;

/// So many transactions follow each other before others have their turn.
const MOST_MOVES: usize = 64;
/// When what has failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MS: Timestamp = 1000;

/// Steps in the hands of whoever moves records of one. A panic of a file system or a clock of the program may come
/// after the move is decided and before that is noted here: then the next look begins with what is committed, and with all steps, for
/// nobody knows which of them something has entered.
struct Moving<'a> {
    holds: &'a Holds,
    steps: &'a mut Steps,
    is_over: bool,
}

impl<'a> Moving<'a> {
    fn new(holds: &'a Holds, steps: &'a mut Steps) -> Self {
        Self { holds, steps, is_over: false }
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.steps.all.clear();
            self.holds.wakes.lock().all();
        }
    }
}

impl Holds {
    /// Moves what is due. What fails is tried again.
    pub(crate) fn run_due(self: &Arc<Self>) -> Result<()> {
        let again = Otherwise::new(|| self.try_again_after(AGAIN_AFTER));
        let moved = self.move_all()?;
        self.set_timer();
        again.went_well();
        moved
    }

    /// The first failure of any step; the others have their turn all the same. An error where none had.
    fn move_all(self: &Arc<Self>) -> Result<Result<()>> {
        let mut steps = self.steps.lock();
        let mut first = Ok(());
        for _ in 0..MOST_MOVES {
            let now = self.now();
            let due: Vec<_> =
                (0..DELAYED.partitions).filter(|step| self.wakes.lock().is_due(*step, now)).collect();
            if due.is_empty() {
                break;
            }
            self.look_up(&mut steps)?;
            for step in due {
                let mut moving = Moving::new(self, &mut steps);
                first = first.and(self.move_step(moving.steps, step, now));
                moving.is_over = true;
            }
        }
        Ok(first)
    }

    /// Where each step was left, at the first look, and at the first after a panic.
    pub(super) fn look_up(&self, steps: &mut Steps) -> Result<()> {
        if !steps.all.is_empty() {
            return Ok(());
        }
        let topic = self.topics.get(DELAYED.name)?;
        while steps.groups.len() < DELAYED_POSITIONS {
            let group = self.groups.take(&position_group(steps.groups.len()))?;
            steps.groups.push(group);
        }
        let now = self.now();
        let mut all = Vec::new();
        for partition in topic.partitions() {
            let gone = 0..partition.start();
            let said_by = |group: &Arc<Group>| {
                let committed = self.groups.committed(group.name(), &partition);
                let said = committed.map_or_else(Moved::default, |at| Moved::of(at.offset, &at.metadata));
                said.with(std::slice::from_ref(&gone))
            };
            let positions = steps.groups.iter().map(said_by).collect();
            all.push(Step::new(partition, positions));
        }
        let mut wakes = self.wakes.lock();
        all.iter().for_each(|step| wakes.begin(step.partition.number(), now));
        drop(wakes);
        steps.all = all;
        Ok(())
    }

    /// Moves the oldest records of a step up to the last that has waited there, and notes when the next ones have.
    fn move_step(self: &Arc<Self>, steps: &mut Steps, number: u32, now: Timestamp) -> Result<()> {
        let Steps { groups, all } = steps;
        let Some(step) = usize::try_from(number).ok().and_then(|number| all.get_mut(number)) else {
            return Ok(());
        };
        let later = now.saturating_add(AGAIN_AFTER_MS);
        let again = Otherwise::new(|| self.wakes.lock().put_off(number, later));
        // Before looking: whoever enters from here on says so.
        self.wakes.lock().clear(number);
        let in_order = self.put_in_order(groups, step);
        let is_refused = (step.has_passed() && step.holds_ids).then(|| self.keep_ids(step));
        if matches!(is_refused, Some(Ok(()))) {
            step.begin_again();
        }
        let shows_all = step.shows_all();
        let waiting = step.read(step.next)?;
        if !shows_all {
            // Nobody else says when the rest is to be seen: whoever sends some of it may be gone by a panic, or be refused.
            self.wakes.lock().lower(number, later);
        }
        let due_at = |record: &OwnedRecord| Wakes::due(number, record.timestamp);
        // Where the clock went back one is due before some in front of it: these enter other steps then, for as long as they have left.
        let count = waiting.records.iter().rposition(|one| due_at(one) <= now).map_or(0, |last| last + 1);
        // Of those that were not read none is due before, or there may be more.
        let first = waiting.records.iter().skip(count).map(due_at).min();
        let first = first.or((count > 0).then_some(now));
        first.into_iter().for_each(|at| self.wakes.lock().lower(number, at));
        if count > 0 {
            self.move_due(groups, step, (&waiting, count, now))?;
        }
        let is_emptied = self.leave_emptied(groups, step, &waiting)?;
        in_order?;
        again.went_well();
        if let (0, Some(Err(refused))) = (count, is_refused) {
            self.wakes.lock().lower(number, later);
            return Err(refused);
        }
        if count == 0
            && let Some(stuck) = step.stuck.take()
        {
            // Where that topic is deleted they move on.
            step.begin_again();
            self.wakes.lock().lower(number, later);
            return Err(stuck);
        }
        // What was moved is there twice until a segment of it is full, or maintenance looks.
        if (count > 0 || is_emptied) && step.partition.log().has_much_below(step.moved.first()) {
            drop(self.drop_moved(&step.partition));
        }
        Ok(())
    }

    /// Whether whole segments are left of which all was taken back: nothing of them is ever due, and they would stay.
    fn leave_emptied(&self, groups: &[Arc<Group>], step: &mut Step, waiting: &Waiting) -> Result<bool> {
        let is_emptied = waiting.records.is_empty()
            && !step.has_passed()
            && step.moved.first() < waiting.looked_at.end
            && step.partition.log().has_much_below(waiting.looked_at.end);
        if is_emptied {
            self.leave(groups, step, waiting.looked_at.clone())?;
            step.next = step.moved.first();
        }
        Ok(is_emptied)
    }

    /// Moves the first of those that wait. Where those with an id have to stay they are passed over, and what stands behind them goes on.
    fn move_due(
        self: &Arc<Self>,
        groups: &[Arc<Group>],
        step: &mut Step,
        (waiting, count, now): (&Waiting, usize, Timestamp),
    ) -> Result<()> {
        let mut due: Vec<Leaving<'_>> = waiting.leaving(count).collect();
        let end = due.last().map_or(step.next, |last| last.range.end);
        if due.iter().any(has_id) && self.keep_ids(step).is_err() {
            due.retain(|one| !has_id(one));
            step.holds_ids = true;
        }
        self.leave_out_stuck(step, &mut due);
        self.move_records(groups, step, (&due, now))?;
        // The next look says why some were passed over.
        step.next = end.max(step.moved.first());
        Ok(())
    }

    /// Has records that a clock which was ahead has put on a step enter others, for as long as they have left: what enters behind them is due
    /// before them. Some of them at a time.
    fn put_in_order(self: &Arc<Self>, groups: &[Arc<Group>], step: &mut Step) -> Result<()> {
        let number = step.partition.number();
        if self.wakes.lock().take_went_back(number) {
            let again = Otherwise::new(|| self.wakes.lock().note_went_back(number));
            let ahead = step.partition.offset_for_time(self.ahead_from())?;
            step.ahead = ahead.map(|ahead| ahead.offset);
            again.went_well();
        }
        let Some(from) = step.ahead else { return Ok(()) };
        let waiting = step.read(from)?;
        // Nobody has put anything there after that: what is later is of a clock that was ahead.
        let ahead_from = self.ahead_from();
        let mut ahead: Vec<Leaving<'_>> =
            waiting.leaving(usize::MAX).filter(|one| one.record.timestamp >= ahead_from).collect();
        if ahead.iter().any(has_id) && self.keep_ids(step).is_err() {
            ahead.retain(|one| !has_id(one));
        }
        self.leave_out_stuck(step, &mut ahead);
        self.move_records(groups, step, (&ahead, self.now()))?;
        step.next = step.next.max(step.moved.first());
        step.ahead = Some(waiting.looked_at.end).filter(|_| !waiting.records.is_empty());
        if step.ahead.is_some() {
            self.wakes.lock().lower(number, Timestamp::MIN);
        }
        Ok(())
    }

    /// No right clock has put a record of that time on a step.
    fn ahead_from(&self) -> Timestamp {
        self.now().saturating_add(Wakes::LITTLE + 1)
    }
}

fn has_id(one: &Leaving<'_>) -> bool {
    one.record.headers.iter().any(|header| header.key == LATER_ID_HEADER)
}
