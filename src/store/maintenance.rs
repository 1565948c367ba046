//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.

use std::sync::Arc;
use std::thread::Builder;

use crate::error::{Error, Result};
use crate::io::{Directory, caught};
use crate::log::{Agenda, Chore};
use crate::store::caretaker::Caretaker;
use crate::store::life::{Lease, Work};

/// Starts the thread. It sleeps while there is nothing to do, and ends once the agenda is stopped. Nobody joins it: it may
/// be the one that closes the store, from a callback. Whoever waits for its end waits for the lease.
pub(super) fn start(
    agenda: Arc<Agenda>,
    caretaker: Arc<Caretaker>,
    root: &Directory,
    lease: Arc<Lease>,
) -> Result<()> {
    let thread = Builder::new().name("annals-maintenance".to_owned()).spawn(move || {
        let work = Work::begin(lease);
        while let Some(chores) = agenda.wait() {
            // A failure poisons its partition, or is told to the next sender there: nobody else waits for it.
            chores.into_iter().for_each(|chore| drop(run(chore, &caretaker)));
        }
        // First what may hold files, then the right to.
        drop((agenda, caretaker));
        drop(work);
    });
    thread.map(drop).map_err(|error| Error::io(root.path(), "start the maintenance thread of", error))
}

/// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
pub(super) fn run_due(agenda: &Agenda, caretaker: &Caretaker) -> Result<()> {
    let chores = agenda.due().into_iter().chain([Chore::Round]);
    let outcomes: Vec<_> = chores.map(|chore| run(chore, caretaker)).collect();
    outcomes.into_iter().collect()
}

/// A panic ends this chore and no other.
fn run(chore: Chore, caretaker: &Caretaker) -> Result<()> {
    let outcome = caught(|| match chore {
        Chore::Write(log) => {
            log.end_linger();
            Ok(())
        }
        Chore::Sync(log) => log.sync_in_background(),
        Chore::Round => caretaker.round(),
    });
    if let Err(error @ Error::Panicked { .. }) = &outcome {
        caretaker.troubles.note_panic(error);
    }
    outcome
}
