//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::error::{Error, Result};
use crate::io::Directory;
use crate::partition::{Agenda, Chore};
use crate::store::caretaker::Caretaker;

/// The maintenance thread, while there is one.
#[derive(Debug)]
pub(super) struct Maintenance {
    agenda: Arc<Agenda>,
    caretaker: Arc<Caretaker>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    pub(super) fn by_hand(agenda: Arc<Agenda>, caretaker: Arc<Caretaker>) -> Self {
        Self { agenda, caretaker, thread: None }
    }

    /// Starts the thread. It sleeps while there is nothing to do.
    pub(super) fn start(agenda: Arc<Agenda>, caretaker: Arc<Caretaker>, root: &Directory) -> Result<Self> {
        let (work, care) = (Arc::clone(&agenda), Arc::clone(&caretaker));
        let thread = Builder::new().name("annals-maintenance".to_owned()).spawn(move || {
            while let Some(chores) = work.wait() {
                // A failure poisons its partition, or is told to the next sender there: nobody else waits for it.
                chores.into_iter().for_each(|chore| drop(run(chore, &care)));
            }
        });
        let thread =
            thread.map_err(|error| Error::io(root.path(), "start the maintenance thread of", error))?;
        Ok(Self { agenda, caretaker, thread: Some(thread) })
    }

    /// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
    pub(super) fn run_due(&self) -> Result<()> {
        let chores = self.agenda.due().into_iter().chain([Chore::Round]);
        let outcomes: Vec<_> = chores.map(|chore| run(chore, &self.caretaker)).collect();
        outcomes.into_iter().collect()
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
