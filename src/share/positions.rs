//! The positions of a step: one goes on where another cannot.
//!
//! A later position says of all that an earlier one has said that it has moved, so it rests on the move before it. Where a sync has failed on which
//! that one rests, nothing more can be said by it before the store is opened again, of whatever topic. So the next move goes by another position, which
//! says of its own moves alone that they are done, and rests on no other. What has moved is what any of them says, and of each record one does:
//! whatever a power cut takes back, that one waits again and nothing else. So it is, too, where a position has passed over as much as its text can say.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::Group;
use crate::share::holds::Holds;
use crate::share::moved::Moved;
use crate::share::steps::{Leaving, Step, Steps};
use crate::topic::{DELAYED, DELAYED_POSITIONS, Topic, position_group};
use crate::types::Offset;

/// A position by which a move goes on, and what it says then.
pub(super) struct Position {
    pub(super) number: usize,
    pub(super) group: Arc<Group>,
    pub(super) moved: Moved,
    pub(super) text: String,
}

impl Position {
    /// `None` where its text has no room for that.
    fn after(step: &Step, moving: &[Range<Offset>], (number, group): (usize, &Arc<Group>)) -> Option<Self> {
        let moved = step.said_by(number).with(moving);
        let text = moved.text()?;
        Some(Self { number, group: Arc::clone(group), moved, text })
    }
}

impl Holds {
    /// The first position whose last move can become durable, and whose text has room for what is to move; the last one where there is none such, and
    /// the move is refused. An error where nobody knows what one of them says.
    pub(super) fn position_to_go_on(
        &self,
        groups: &[Arc<Group>],
        (step, ranges): (&Step, &[Range<Offset>]),
    ) -> Result<Position> {
        for group in groups {
            self.groups.check_decided(group, [&step.partition].into_iter())?;
        }
        // Between a record that was passed over and the next that waits some have moved, by whichever position: that one says so, and where a
        // power cut takes that back no other may.
        let moving = step.moved.lacks(ranges);
        let says = |(number, group): (usize, &Arc<Group>)| Position::after(step, &moving, (number, group));
        let goes_on = |(_, group): &(usize, &Arc<Group>)| self.can_go_on(group, step);
        let all = || groups.iter().enumerate();
        let found = all().filter(goes_on).find_map(says).or_else(|| all().next_back().and_then(says));
        found.ok_or_else(|| {
            let why = "it has passed over as many records as it can remember";
            Error::invalid(format!("{}: {why}", step.partition.topic_partition()))
        })
    }

    fn can_go_on(&self, group: &Group, step: &Step) -> bool {
        let moved_in = self.groups.moved_in(group, &step.partition);
        self.topics.clearing().check_sound(&moved_in.into_iter().collect()).is_ok()
    }

    /// Leaves out records that came here with a transaction that cannot become durable before the store is opened again. Where a power cut takes
    /// that one back they wait where they were, and would be delivered from there once more.
    pub(super) fn leave_out_stuck(&self, step: &mut Step, due: &mut Vec<Leaving<'_>>) {
        let log = step.partition.log();
        let kept =
            |one: &Leaving<'_>| self.topics.clearing().check_sound(&log.committed_at(&[one.record.offset]));
        let offsets: Vec<_> = due.iter().map(|one| one.record.offset).collect();
        if let Err(error) = self.topics.clearing().check_sound(&log.committed_at(&offsets)) {
            due.retain(|one| kept(one).is_ok());
            step.stuck = Some(error);
        }
    }

    /// Has no position say of offsets that are not there yet that they have moved on, where a repair has taken the end of a step: records that come to
    /// stand there would go nowhere.
    pub(super) fn cut_positions(&self, topic: &Topic) {
        for partition in topic.partitions() {
            for group in (0..DELAYED_POSITIONS).map(position_group) {
                let Some(at) = self.groups.committed(&group, &partition) else { continue };
                let said = Moved::of(at.offset, &at.metadata);
                let cut = said.below(partition.end());
                if let Some(text) = cut.text().filter(|_| cut != said) {
                    self.groups.note_instead(&group, &partition, text);
                }
            }
        }
    }

    /// Has steps get along with one position again, once no power cut takes back what the others say.
    pub(super) fn join_positions(&self) -> Result<()> {
        let is_any = |number| !self.groups.committed_of(&position_group(number)).is_empty();
        if self.topics.get(DELAYED.name).is_err() || !(1..DELAYED_POSITIONS).any(is_any) {
            return Ok(());
        }
        let Some(mut steps) = self.hold_steps()? else { return Ok(()) };
        let Steps { groups, all } = &mut *steps;
        let Some((first, others)) = groups.split_first() else { return Ok(()) };
        let mut joined = Ok(());
        for step in all {
            let is_one =
                others.iter().all(|group| self.groups.committed(group.name(), &step.partition).is_none());
            if is_one || !groups_go_on(self, first, others, step) {
                continue;
            }
            let Some(text) = step.moved.text() else { continue };
            let at = (step.moved.first(), text);
            match self.groups.merge((first, others), &step.partition, at) {
                Ok(()) => step.are_joined(),
                Err(error) => joined = joined.and(Err(error)),
            }
        }
        joined
    }
}

fn groups_go_on(holds: &Holds, first: &Group, others: &[Arc<Group>], step: &Step) -> bool {
    holds.can_go_on(first, step) && others.iter().all(|group| holds.can_go_on(group, step))
}
