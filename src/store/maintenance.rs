//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.
//!
//! Two threads, so that what has a time does not wait for what takes long: one runs the chores of the agenda, each as
//! long as a write or a sync; the other looks at all partitions from time to time, and may rewrite segments for minutes. It
//! also takes over what groups in other processes have committed, which reads much and may wait for them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Directory, caught, thread};
use crate::store::caretaker::Caretaker;
use crate::store::life::{Life, Work};
use crate::upkeep::{Agenda, Due, Reason, Turn, side_by_side};

/// Between so many syncs, what has a time to keep gets its turn.
const SYNCS_AT_A_TIME: usize = 256;

/// Starts the threads. They sleep while there is nothing to do, and end once the agenda is stopped. Nobody joins them: one of
/// them may be what closes the store, from a callback. Whoever waits for their end waits for their leases.
pub(super) fn start(
    agenda: &Arc<Agenda>,
    caretaker: &Arc<Caretaker>,
    (life, root): (&Life, &Directory),
) -> Result<()> {
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let lease = life.lease()?;
        let run = move || {
            let presence = Work::begin(lease);
            work();
            drop(presence);
        };
        thread(name)
            .and_then(|thread| thread.spawn(run))
            .map(drop)
            .map_err(|error| Error::io(root.path(), "start the maintenance threads of", error))
    };
    let (due, care) = (Arc::clone(agenda), Arc::clone(caretaker));
    // A failure poisons its partition, or is reported to the next sender there: nobody else waits for it.
    let chores = move || {
        while let Some(chores) = due.wait() {
            drop(run_chores(&due, chores, &care));
        }
    };
    spawn("annals-maintenance", Box::new(chores))?;
    let (due, care) = (Arc::clone(agenda), Arc::clone(caretaker));
    let rounds = move || {
        while let Some(turn) = due.wait_for_round() {
            drop(run(&care, || match turn {
                Turn::Round => care.round(),
                Turn::Fold => care.fold_early(),
            }));
        }
    };
    spawn("annals-rounds", Box::new(rounds))
}

/// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
pub(super) fn run_due(agenda: &Agenda, caretaker: &Caretaker) -> Result<()> {
    let chores = run_chores(agenda, agenda.due(), caretaker);
    chores.and(run(caretaker, || caretaker.round()))
}

/// Runs what is due: first what has a time to keep, then the syncs, those of many partitions side by side. What falls due while
/// they last does not wait for all of them.
fn run_chores(agenda: &Agenda, due: Vec<Due>, caretaker: &Caretaker) -> Result<()> {
    let mut first = Ok(());
    let mut syncs = Vec::new();
    let mut run_others = |due: Vec<Due>, syncs: &mut Vec<Due>| {
        for due in due {
            if due.reason == Reason::Sync {
                syncs.push(due);
            } else {
                first = std::mem::replace(&mut first, Ok(())).and(run(caretaker, || due.run()));
            }
        }
    };
    run_others(due, &mut syncs);
    let mut synced = Ok(());
    while !syncs.is_empty() {
        let rest = syncs.split_off(syncs.len().min(SYNCS_AT_A_TIME));
        let some = std::mem::replace(&mut syncs, rest);
        let sync = |due: &Due| run(caretaker, || due.run_kept());
        synced = synced.and(side_by_side("annals-sync", (&some, some.len()), sync));
        if !syncs.is_empty() {
            run_others(agenda.due(), &mut syncs);
        }
    }
    first.and(synced)
}

/// Runs one piece of work. A panic in it, which a file system or a clock of the program's own may bring about, ends that
/// piece alone: the partition it was at knows of it, and the others need their maintenance.
fn run(caretaker: &Caretaker, work: impl FnOnce() -> Result<()>) -> Result<()> {
    match caught(work) {
        // What it was about was deleted meanwhile.
        Err(Error::UnknownTopic { .. }) => Ok(()),
        outcome => {
            if let Err(error @ Error::Panicked { .. }) = &outcome {
                caretaker.failures.note_panic(error);
            }
            outcome
        }
    }
}
