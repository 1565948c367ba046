//! When each step of what is delivered later has to be looked at: values only.

use crate::share::held::wait_of;
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
    /// The one place on the agenda.
    pub(super) ticket: Option<Ticket>,
}

impl Wakes {
    /// Every step is to be looked at.
    pub(super) fn all(&mut self) {
        self.at = [Some(Timestamp::MIN); STEPS];
    }

    fn of(&mut self, step: u32) -> Option<&mut Option<Timestamp>> {
        self.at.get_mut(usize::try_from(step).ok()?)
    }

    /// The time at which a record enters a step. Where the clock went back by little, it is that of the one in front: steps stay in order. One that
    /// went back further is followed.
    pub(super) fn enter(&mut self, step: u32, now: Timestamp) -> Timestamp {
        let entered = usize::try_from(step).ok().and_then(|step| self.entered.get_mut(step));
        entered.map_or(now, |entered| {
            let is_little = entered.saturating_sub(now) <= wait_of(0);
            *entered = if is_little { now.max(*entered) } else { now };
            *entered
        })
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

    /// When the first of them is to be looked at.
    pub(super) fn earliest(&self) -> Option<Timestamp> {
        self.at.iter().flatten().min().copied()
    }
}
