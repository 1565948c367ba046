//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::error::{Error, Result};
use crate::io::Directory;
use crate::log::{Agenda, Chore};
use crate::store::caretaker::Caretaker;

/// The maintenance thread, while there is one.
#[derive(Debug)]
pub(super) struct Maintenance {
    agenda: Arc<Agenda>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    pub(super) fn by_hand(agenda: Arc<Agenda>) -> Self {
        Self { agenda, thread: None }
    }

    /// Starts the thread. It sleeps while there is nothing to do.
    pub(super) fn start(agenda: Arc<Agenda>, caretaker: Arc<Caretaker>, root: &Directory) -> Result<Self> {
        let work = Arc::clone(&agenda);
        let thread = Builder::new().name("annals-maintenance".to_owned()).spawn(move || {
            while let Some(chores) = work.wait() {
                // A failure poisons its partition, or is told to the next sender there: nobody else waits for it.
                chores.into_iter().for_each(|chore| drop(run(chore, &caretaker)));
            }
        });
        let thread =
            thread.map_err(|error| Error::io(root.path(), "start the maintenance thread of", error))?;
        Ok(Self { agenda, thread: Some(thread) })
    }

    /// Ends the thread; what it was doing is finished.
    pub(super) fn stop(&mut self) {
        self.agenda.stop();
        if let Some(thread) = self.thread.take() {
            // It ends by returning: a panic there would be a bug, and closing is not the place to spread it.
            drop(thread.join());
        }
    }
}

/// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
pub(super) fn run_due(agenda: &Agenda, caretaker: &Caretaker) -> Result<()> {
    let chores = agenda.due().into_iter().chain([Chore::Round]);
    let outcomes: Vec<_> = chores.map(|chore| run(chore, caretaker)).collect();
    outcomes.into_iter().collect()
}

fn run(chore: Chore, caretaker: &Caretaker) -> Result<()> {
    match chore {
        Chore::Write(log) => {
            log.end_linger();
            Ok(())
        }
        Chore::Sync(log) => log.sync_in_background(),
        Chore::Round => caretaker.round(),
    }
}
