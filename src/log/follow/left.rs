//! Transactions that an owner has left open when it died. The log does not know how they end: the layer above finds out, as an open
//! for writing does, and readers go by that. No byte changes.

use crate::error::Result;
use crate::format::Ending;
use crate::io::Deadline;
use crate::live::{Growth, OwnerState};
use crate::log::follow::follow::{Basis, Follow};
use crate::log::follow::waits::LONGEST_LOOK;
use crate::log::log::Log;
use crate::log::producers::table::{Fate, OpenTransaction};
use crate::log::write::stage::Standing;
use crate::log::write::writer::Phase;
use crate::types::Offset;

/// Says how transactions end that were left open in a life; those of which nobody can tell are missing. It is called under no lock of
/// a log, and may look at other logs with [`Log::left_in`].
pub(crate) type Judge = Box<dyn Fn(u64, &[OpenTransaction]) -> Result<Vec<(i64, Ending)>> + Send + Sync>;

/// What was found out. It stays true whatever later owners do: they decide the same, and write it down.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Everything below is decided.
    stable: Offset,
    /// Of the files.
    end: Offset,
    aborted: Vec<Aborted>,
}

/// All that a producer has written from `first` on and before `end` is of a transaction that was aborted.
#[derive(Debug)]
struct Aborted {
    producer_id: i64,
    first: Offset,
    end: Offset,
}

impl Left {
    /// The files of another life are looked at.
    pub(super) fn begin(&mut self, start: Offset, end: Offset) {
        if end < self.end {
            // Not the ones that were judged.
            *self = Self::default();
        }
        self.aborted.retain(|one| one.end > start);
    }

    /// What is stable where an owner shows this: it may not have written down yet what was left to it.
    pub(super) fn stable(&self, shown: &Growth) -> Offset {
        if shown.end < self.end { shown.stable } else { shown.stable.max(self.stable) }
    }

    fn fate(&self, producer_id: i64, offset: Offset) -> Option<Fate> {
        let is_it = |one: &Aborted| one.producer_id == producer_id && (one.first..one.end).contains(&offset);
        self.aborted.iter().any(is_it).then_some(Fate::Aborted)
    }
}

impl Follow {
    /// What is known of the transaction of a record beside what stands in the log.
    pub(in crate::log) fn fate(&self, producer_id: i64, offset: Offset) -> Option<Fate> {
        self.left.read().fate(producer_id, offset)
    }
}

impl Log {
    /// Sees what is there. Returns when what was left open is judged, if it can be.
    #[cold]
    pub(super) fn look_and_judge(&self, follow: &Follow) -> Result<()> {
        let deadline = Deadline::after(LONGEST_LOOK);
        loop {
            self.look_at(follow)?;
            let known = follow.known.lock();
            let Basis::LeftFiles { life } = known.basis else { return Ok(()) };
            if known.unjudged.is_empty() {
                return Ok(());
            }
            let open = known.unjudged.clone();
            // Whoever judges looks at other logs, and others may look at this one for the same reason.
            drop(known);
            let judged = (follow.judge)(life, &open)?;
            if self.take_judged(follow, life, (&open, &judged)) || deadline.has_passed() {
                return Ok(());
            }
        }
    }

    /// False where another owner has come meanwhile: what was found out is of files that may have changed.
    fn take_judged(
        &self,
        follow: &Follow,
        life: u64,
        (open, judged): (&[OpenTransaction], &[(i64, Ending)]),
    ) -> bool {
        let mut known = follow.known.lock();
        if known.basis != (Basis::LeftFiles { life }) || follow.guest.life() != life {
            return false;
        }
        if known.unjudged.is_empty() {
            return true;
        }
        known.unjudged.clear();
        let end = self.end();
        let ending = |one: &OpenTransaction| {
            judged.iter().find(|(producer, _)| *producer == one.producer_id).map(|(_, ending)| *ending)
        };
        // One of which nothing is left keeps nobody waiting.
        let start = self.start();
        let waits = |one: &&OpenTransaction| ending(one).is_none() && one.last >= start;
        let undecided = open.iter().filter(waits).map(|one| one.first).min();
        let stable = undecided.unwrap_or(end);
        let mut left = follow.left.write();
        let aborted = open.iter().filter(|one| ending(one) == Some(Ending::Abort));
        left.aborted.extend(aborted.map(|one| Aborted {
            producer_id: one.producer_id,
            first: one.first,
            end,
        }));
        (left.stable, left.end) = (stable, end);
        drop(left);
        // Behind it: nobody reads further before it is known what is passed over.
        self.offsets.move_stable(stable);
        drop(known);
        self.watchers.raise();
        true
    }

    /// Sees what is there, and in which life its owner has left it; `None` while there is one, and of a log of this process. What was
    /// left open there may not be judged.
    pub(crate) fn left_in(&self) -> Result<Option<u64>> {
        let Some(follow) = &self.follow else { return Ok(None) };
        if matches!(follow.guest.owner(), Ok(OwnerState::Gone(_))) {
            // What it has shown last may be less than there is, and tells nothing of transactions.
            self.leave_owner();
        }
        self.look_at(follow)?;
        match follow.known.lock().basis {
            Basis::LeftFiles { life } => Ok(Some(life)),
            _ => Ok(None),
        }
    }

    /// What the files that were left tell of the transaction of a producer in an epoch.
    pub(in crate::log) fn left_standing(&self, producer: (i64, i16)) -> Standing {
        match &self.writer.lock().phase {
            Phase::Untouched(found) => Standing::of(&found.producers, producer),
            _ => Standing::Unknown,
        }
    }
}
