//! What is done without being asked: lingering batches are written, written bytes synced, old and superseded
//! records removed.
//!
//! Two threads, so that what has a time does not wait for what takes long: one runs the chores of the agenda, each as
//! long as a write or a sync; the other looks at all partitions from time to time, and may rewrite segments for minutes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::error::{Error, Result};
use crate::io::Directory;
use crate::store::caretaker::Caretaker;
use crate::upkeep::Agenda;

/// The maintenance threads, while there are any.
#[derive(Debug)]
pub(super) struct Maintenance {
    agenda: Arc<Agenda>,
    threads: Vec<JoinHandle<()>>,
}

impl Maintenance {
    pub(super) fn by_hand(agenda: Arc<Agenda>) -> Self {
        Self { agenda, threads: Vec::new() }
    }

    /// Starts the threads. They sleep while there is nothing to do.
    pub(super) fn start(agenda: Arc<Agenda>, caretaker: Arc<Caretaker>, root: &Directory) -> Result<Self> {
        let mut maintenance = Self::by_hand(agenda);
        let work = Arc::clone(&maintenance.agenda);
        // A failure poisons its partition, or is reported to the next sender there: nobody else waits for it.
        maintenance.spawn("annals-maintenance", root, move || {
            while let Some(due) = work.wait() {
                due.into_iter().for_each(|due| drop(run(|| due.run())));
            }
        })?;
        let work = Arc::clone(&maintenance.agenda);
        maintenance.spawn("annals-rounds", root, move || {
            while work.wait_for_round() {
                drop(run(|| caretaker.round()));
            }
        })?;
        Ok(maintenance)
    }

    fn spawn(&mut self, name: &str, root: &Directory, work: impl FnOnce() + Send + 'static) -> Result<()> {
        match Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                self.stop();
                Err(Error::io(root.path(), "start the maintenance threads of", error))
            }
        }
    }

    /// Ends the threads; what they were doing is finished.
    pub(super) fn stop(&mut self) {
        self.agenda.stop();
        for thread in self.threads.drain(..) {
            // It ends by returning: a panic there would be a bug, and closing is not the place to spread it.
            drop(thread.join());
        }
    }
}

/// Does what is due now, on this thread, and a round over all partitions whether it is due or not.
pub(super) fn run_due(agenda: &Agenda, caretaker: &Caretaker) -> Result<()> {
    let mut first = Ok(());
    for due in agenda.due() {
        first = first.and(run(|| due.run()));
    }
    first.and(run(|| caretaker.round()))
}

/// Runs one piece of work. A panic in it, which a file system or a clock of the program's own may bring about, ends that
/// piece alone: the partition it was at knows of it, and the others need their maintenance.
fn run(work: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::invalid("a piece of maintenance has panicked")))
}
