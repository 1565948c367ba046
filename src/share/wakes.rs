//! When each step of what is delivered later has to be looked at: values only.

use crate::share::held::{FIRST_WAIT_MS, wait_of};
use crate::topic::DELAYED_PARTITIONS;
use crate::types::Timestamp;
use crate::upkeep::Ticket;

const STEPS: usize = DELAYED_PARTITIONS as usize;

/// When each step has to be looked at; `None` where nothing is known to wait.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    at: [Option<Timestamp>; STEPS],
    /// The time at which the last record has entered each step: none there is due before the one in front of it, unless the clock went back.
    entered: [Timestamp; STEPS],
    /// Where records may stand in front of others that are due before them, for the clock went back.
    went_back: [bool; STEPS],
    /// The one place on the agenda.
    pub(super) ticket: Option<Ticket>,
}

impl Wakes {
    /// By so much a clock may go back, and records that enter after that stand in their order all the same.
    pub(super) const LITTLE: Timestamp = FIRST_WAIT_MS;

    /// Every step is to be looked at.
    pub(super) fn all(&mut self) {
        self.at = [Some(Timestamp::MIN); STEPS];
    }

    fn of(&mut self, step: u32) -> Option<&mut Option<Timestamp>> {
        self.at.get_mut(usize::try_from(step).ok()?)
    }

    /// What stands on a step has entered it by now, or by a clock that is ahead.
    pub(super) fn begin(&mut self, step: u32, now: Timestamp) {
        if let Some(entered) = usize::try_from(step).ok().and_then(|step| self.entered.get_mut(step)) {
            *entered = now.max(*entered);
        }
        self.note_went_back(step);
    }

    /// The time at which a record enters a step. Where the clock went back by little, it is that of the one in front: steps stay in order. One that
    /// went back further is followed, and the step is to be looked at now.
    pub(super) fn enter(&mut self, step: u32, now: Timestamp) -> Timestamp {
        let Some(entered) = usize::try_from(step).ok().and_then(|step| self.entered.get_mut(step)) else {
            return now;
        };
        if entered.saturating_sub(now) <= Self::LITTLE {
            *entered = now.max(*entered);
            return *entered;
        }
        *entered = now;
        self.note_went_back(step);
        self.lower(step, Timestamp::MIN);
        now
    }

    pub(super) fn note_went_back(&mut self, step: u32) {
        if let Some(back) = usize::try_from(step).ok().and_then(|step| self.went_back.get_mut(step)) {
            *back = true;
        }
    }

    /// Whether they may; whoever asks sees to it.
    pub(super) fn take_went_back(&mut self, step: u32) -> bool {
        let back = usize::try_from(step).ok().and_then(|step| self.went_back.get_mut(step));
        back.is_some_and(std::mem::take)
    }

    /// When a record that has entered a step then has waited there.
    pub(super) fn due(step: u32, entered: Timestamp) -> Timestamp {
        entered.saturating_add(wait_of(step))
    }

    pub(super) fn is_due(&mut self, step: u32, now: Timestamp) -> bool {
        self.of(step).is_some_and(|at| at.is_some_and(|at| at <= now))
    }

    /// Nothing is known to wait on a step.
    pub(super) fn clear(&mut self, step: u32) {
        self.of(step).into_iter().for_each(|at| *at = None);
    }

    /// A step is to be looked at then, or before.
    pub(super) fn lower(&mut self, step: u32, to: Timestamp) {
        self.of(step).into_iter().for_each(|at| *at = Some(at.map_or(to, |at| at.min(to))));
    }

    /// A step is to be looked at then, and not before.
    pub(super) fn put_off(&mut self, step: u32, to: Timestamp) {
        self.of(step).into_iter().for_each(|at| *at = Some(to));
    }

    /// When the first of them is to be looked at.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.at.iter().flatten().min().copied()
    }
}
