//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.
//!
//! Two threads, so that what has a time does not wait for what takes long: one runs the chores of the agenda, each as
//! long as a write or a sync; the other looks at all partitions from time to time, and may rewrite segments for minutes.

use std::sync::Arc;
use std::thread::Builder;

use crate::error::{Error, Result};
use crate::io::{Directory, caught};
use crate::store::caretaker::Caretaker;
use crate::store::life::{Life, Work};
use crate::upkeep::Agenda;

/// Starts the threads. They sleep while there is nothing to do, and end once the agenda is stopped. Nobody joins them: one of
/// them may be what closes the store, from a callback. Whoever waits for their end waits for their leases.
pub(super) fn start(
    agenda: &Arc<Agenda>,
    caretaker: &Arc<Caretaker>,
    (life, root): (&Life, &Directory),
) -> Result<()> {
    let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let lease = life.lease()?;
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let presence = Work::begin(lease);
            work();
            drop(presence);
        });
        thread.map(drop).map_err(|error| Error::io(root.path(), "start the maintenance threads of", error))
    };
    let (due, care) = (Arc::clone(agenda), Arc::clone(caretaker));
    // A failure poisons its partition, or is reported to the next sender there: nobody else waits for it.
    let chores = move || {
        while let Some(chores) = due.wait() {
            chores.into_iter().for_each(|chore| drop(run(&care, || chore.run())));
        }
    };
    spawn("annals-maintenance", Box::new(chores))?;
    let (due, care) = (Arc::clone(agenda), Arc::clone(caretaker));
    let rounds = move || {
        while due.wait_for_round() {
            drop(run(&care, || care.round()));
        }
    };
    spawn("annals-rounds", Box::new(rounds))
}

/// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
pub(super) fn run_due(agenda: &Agenda, caretaker: &Caretaker) -> Result<()> {
    let mut first = Ok(());
    for due in agenda.due() {
        first = first.and(run(caretaker, || due.run()));
    }
    first.and(run(caretaker, || caretaker.round()))
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
